package contextbridge

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// Contexts

// CreateContext creates a context, which upstream charges for until its binding lapses. Without an
// idempotency key a repeated call creates, and pays for, a second one.
func (c *Client) CreateContext(
	ctx context.Context, request *pb.CreateContextRequest, options ...CallOption,
) (*pb.CreateContextResponse, error) {
	return unary(ctx, c, c.contexts.CreateContext, request, options)
}

// GetContext returns a context as it is now.
func (c *Client) GetContext(
	ctx context.Context, id string, options ...CallOption,
) (*pb.Context, error) {
	request := &pb.GetContextRequest{Id: id}
	response, err := unary(ctx, c, c.contexts.GetContext, request, options)
	return response.GetContext(), err
}

// ListContexts iterates over the caller's contexts, newest first, page by page; a nil request asks
// for all. The iteration ends with the first error.
func (c *Client) ListContexts(
	ctx context.Context, request *pb.ListContextsRequest, options ...CallOption,
) iter.Seq2[*pb.Context, error] {
	return pages(ctx, c, c.contexts.ListContexts, request, (*pb.ListContextsResponse).GetContexts, options)
}

// UpdateContext changes a context's lifetime or display name, and returns the context.
func (c *Client) UpdateContext(
	ctx context.Context, request *pb.UpdateContextRequest, options ...CallOption,
) (*pb.Context, error) {
	response, err := unary(ctx, c, c.contexts.UpdateContext, request, options)
	return response.GetContext(), err
}

// DeleteContext deletes a context and everything that the server stored for it.
func (c *Client) DeleteContext(ctx context.Context, id string, options ...CallOption) error {
	request := &pb.DeleteContextRequest{Id: id}
	_, err := unary(ctx, c, c.contexts.DeleteContext, request, options)
	return err
}

// Chat continues from a context and streams the answer. The call starts with the first read.
//
// A request on a context's own id needs no Model, because the server knows it. A request on an
// upstream id does.
func (c *Client) Chat(
	ctx context.Context, request *pb.ChatWithContextRequest, options ...CallOption,
) *ChatStream {
	request = copyOf(request)
	open := func(ctx context.Context, after int32) (receiver[*pb.ChatWithContextResponse], error) {
		request.ResumeAfter = after
		return c.contexts.ChatWithContext(ctx, request)
	}
	return newStream(ctx, c, request, open, newChatFold(), options)
}

// CompleteChat continues from a context and returns the whole answer. It takes the same request as
// Chat.
func (c *Client) CompleteChat(
	ctx context.Context, request *pb.ChatWithContextRequest, options ...CallOption,
) (*pb.CompleteChatWithContextResponse, error) {
	return unary(ctx, c, c.contexts.CompleteChatWithContext, request, options)
}

// Gemini

// GenerateContent returns a whole answer. The answer to a blocked prompt has no candidates.
func (c *Client) GenerateContent(
	ctx context.Context, request *pb.GenerateContentRequest, options ...CallOption,
) (*pb.GenerateContentResponse, error) {
	return unary(ctx, c, c.gemini.GenerateContent, request, options)
}

// StreamGenerateContent streams an answer. It takes the same request as GenerateContent. The call
// starts with the first read.
func (c *Client) StreamGenerateContent(
	ctx context.Context, request *pb.GenerateContentRequest, options ...CallOption,
) *ContentStream {
	request = copyOf(request)
	open := func(ctx context.Context, after int32) (receiver[*pb.GenerateContentResponse], error) {
		request.ResumeAfter = after
		return c.gemini.StreamGenerateContent(ctx, request)
	}
	return newStream(ctx, c, request, open, newContentFold(), options)
}

// CountTokens counts the tokens of a prompt without generating an answer. It is free.
func (c *Client) CountTokens(
	ctx context.Context, request *pb.CountTokensRequest, options ...CallOption,
) (*pb.CountTokensResponse, error) {
	return unary(ctx, c, c.gemini.CountTokens, request, options)
}

// Cached contents

// CreateCachedContent creates a cached content, which upstream charges for until it expires.
func (c *Client) CreateCachedContent(
	ctx context.Context, request *pb.CreateCachedContentRequest, options ...CallOption,
) (*pb.CachedContent, error) {
	response, err := unary(ctx, c, c.cached.CreateCachedContent, request, options)
	return response.GetCachedContent(), err
}

// GetCachedContent returns a cached content's metadata. Upstream does not return the content.
func (c *Client) GetCachedContent(
	ctx context.Context, name string, options ...CallOption,
) (*pb.CachedContent, error) {
	request := &pb.GetCachedContentRequest{Name: name}
	response, err := unary(ctx, c, c.cached.GetCachedContent, request, options)
	return response.GetCachedContent(), err
}

// ListCachedContents iterates over the cached contents' metadata, page by page; a nil request asks
// for upstream's page size. The iteration ends with the first error.
func (c *Client) ListCachedContents(
	ctx context.Context, request *pb.ListCachedContentsRequest, options ...CallOption,
) iter.Seq2[*pb.CachedContent, error] {
	items := (*pb.ListCachedContentsResponse).GetCachedContents
	return pages(ctx, c, c.cached.ListCachedContents, request, items, options)
}

// UpdateCachedContent changes a cached content's expiry, and returns its metadata.
func (c *Client) UpdateCachedContent(
	ctx context.Context, request *pb.UpdateCachedContentRequest, options ...CallOption,
) (*pb.CachedContent, error) {
	response, err := unary(ctx, c, c.cached.UpdateCachedContent, request, options)
	return response.GetCachedContent(), err
}

// DeleteCachedContent deletes a cached content.
func (c *Client) DeleteCachedContent(
	ctx context.Context, name string, options ...CallOption,
) error {
	request := &pb.DeleteCachedContentRequest{Name: name}
	_, err := unary(ctx, c, c.cached.DeleteCachedContent, request, options)
	return err
}

// Files

// GetFile returns a file's metadata.
func (c *Client) GetFile(
	ctx context.Context, name string, options ...CallOption,
) (*pb.File, error) {
	response, err := unary(ctx, c, c.files.GetFile, &pb.GetFileRequest{Name: name}, options)
	return response.GetFile(), err
}

// ListFiles iterates over the files' metadata, page by page; a nil request asks for upstream's page
// size. The iteration ends with the first error.
func (c *Client) ListFiles(
	ctx context.Context, request *pb.ListFilesRequest, options ...CallOption,
) iter.Seq2[*pb.File, error] {
	return pages(ctx, c, c.files.ListFiles, request, (*pb.ListFilesResponse).GetFiles, options)
}

// DeleteFile deletes a file.
func (c *Client) DeleteFile(ctx context.Context, name string, options ...CallOption) error {
	_, err := unary(ctx, c, c.files.DeleteFile, &pb.DeleteFileRequest{Name: name}, options)
	return err
}

// Response cache

// DeleteCachedResponses deletes cached answers of the caller's tenant, and returns their number. The
// request's Target selects them: by key, customer or context, or all.
func (c *Client) DeleteCachedResponses(
	ctx context.Context, request *pb.DeleteCachedResponsesRequest, options ...CallOption,
) (int64, error) {
	response, err := unary(ctx, c, c.responseCache.DeleteCachedResponses, request, options)
	return response.GetDeletedCount(), err
}

// GetResponseCacheStatistics returns the size and the use of the response cache of the caller's
// tenant.
func (c *Client) GetResponseCacheStatistics(
	ctx context.Context, options ...CallOption,
) (*pb.ResponseCacheStatistics, error) {
	request := &pb.GetResponseCacheStatisticsRequest{}
	response, err := unary(ctx, c, c.responseCache.GetResponseCacheStatistics, request, options)
	return response.GetStatistics(), err
}

// pages iterates over the items of all pages of a list.
func pages[Item any, Request proto.Message, Response interface{ GetNextPageToken() string }](
	ctx context.Context,
	c *Client,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
	itemsOf func(Response) []Item,
	options []CallOption,
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		request := copyOf(request)
		token := request.ProtoReflect().Descriptor().Fields().ByName("page_token")
		for {
			page, err := unary(ctx, c, method, request, options)
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range itemsOf(page) {
				if !yield(item, nil) {
					return
				}
			}
			if page.GetNextPageToken() == "" {
				return
			}
			request.ProtoReflect().Set(token, protoreflect.ValueOfString(page.GetNextPageToken()))
		}
	}
}

// copyOf returns a copy of a message, so that the caller may change the original during the call.
// The copy of nil is empty.
func copyOf[Message proto.Message](message Message) Message {
	made := message.ProtoReflect().New().Interface().(Message)
	proto.Merge(made, message)
	return made
}
