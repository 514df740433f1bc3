// Command conformance runs the conformance suite: see ../../../conformance/README.md.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"contextbridge.dev/go"
	pb "contextbridge.dev/go/contextbridge/v1"
)

type testCase struct {
	Name    string `json:"name"`
	Connect struct {
		Target        string `json:"target"`
		Token         string `json:"token"`
		InsecureToken bool   `json:"insecure_token"`
		CAFile        string `json:"ca_file"`
		ServerName    string `json:"server_name"`
	} `json:"connect"`
	Call        string          `json:"call"`
	Request     json.RawMessage `json:"request"`
	Upload      []byte          `json:"upload"`
	Read        string          `json:"read"`
	Timeout     float64         `json:"timeout"`
	CancelAfter int             `json:"cancel_after"`
	Resume      *bool           `json:"resume"`
}

type report struct {
	Name      string             `json:"name"`
	Events    *[]json.RawMessage `json:"events,omitempty"`
	Texts     *[]string          `json:"texts,omitempty"`
	Response  json.RawMessage    `json:"response,omitempty"`
	Error     *failure           `json:"error,omitempty"`
	Cancelled bool               `json:"cancelled,omitempty"`
}

type failure struct {
	Code            string            `json:"code"`
	Reason          string            `json:"reason"`
	Message         string            `json:"message"`
	Metadata        map[string]string `json:"metadata"`
	Violations      []violation       `json:"violations"`
	RetryDelay      *float64          `json:"retry_delay"`
	RequestID       string            `json:"request_id"`
	UpstreamMessage string            `json:"upstream_message"`
}

type violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: conformance PLAN")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var plan struct {
		Cases []testCase `json:"cases"`
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return err
	}
	output := json.NewEncoder(os.Stdout)
	for _, one := range plan.Cases {
		found, err := one.run()
		if err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
		if err := output.Encode(found); err != nil {
			return err
		}
	}
	return nil
}

func (t *testCase) run() (*report, error) {
	client, err := t.client()
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // No call is in flight.
	ctx := context.Background()
	if t.Timeout > 0 {
		timeout := time.Duration(t.Timeout * float64(time.Second))
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	found := &report{Name: t.Name}
	call, known := calls[t.Call]
	if !known {
		return nil, fmt.Errorf("unknown call: %s", t.Call)
	}
	err = call(ctx, client, t, found)
	if failed := (*contextbridge.Error)(nil); errors.As(err, &failed) {
		found.Error = failureOf(failed)
		err = nil
	}
	return found, err
}

func (t *testCase) client() (*contextbridge.Client, error) {
	var options []contextbridge.Option
	if t.Connect.Token != "" {
		options = append(options, contextbridge.WithToken(t.Connect.Token))
	}
	if t.Connect.InsecureToken {
		options = append(options, contextbridge.WithInsecureToken())
	}
	if t.Connect.CAFile != "" {
		pem, err := os.ReadFile(t.Connect.CAFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		options = append(options, contextbridge.WithTLS(
			&tls.Config{RootCAs: roots, ServerName: t.Connect.ServerName, MinVersion: tls.VersionTLS12},
		))
	}
	return contextbridge.New(t.Connect.Target, options...)
}

func (t *testCase) options() []contextbridge.CallOption {
	if t.Resume != nil && !*t.Resume {
		return []contextbridge.CallOption{contextbridge.WithoutResume()}
	}
	return nil
}

func failureOf(err *contextbridge.Error) *failure {
	found := &failure{
		Code:            err.CodeName(),
		Reason:          err.Reason,
		Message:         err.Message,
		Metadata:        err.Metadata,
		Violations:      []violation{},
		RequestID:       err.RequestID,
		UpstreamMessage: err.UpstreamMessage(),
	}
	for _, one := range err.Violations {
		found.Violations = append(found.Violations, violation(one))
	}
	if delay, ok := err.RetryDelay(); ok {
		seconds := delay.Seconds()
		found.RetryDelay = &seconds
	}
	return found
}

func asJSON(message proto.Message) (json.RawMessage, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	return text, err
}

// call makes the call of a case and fills in its report.
type call func(context.Context, *contextbridge.Client, *testCase, *report) error

// unary returns the call of a unary method.
func unary[Request any, Pointer interface {
	*Request
	proto.Message
}, Response proto.Message](
	method func(context.Context, *contextbridge.Client, *Request, []contextbridge.CallOption) (Response, error),
) call {
	return func(ctx context.Context, client *contextbridge.Client, t *testCase, found *report) error {
		request := new(Request)
		if err := protojson.Unmarshal(t.Request, Pointer(request)); err != nil {
			return err
		}
		response, err := method(ctx, client, request, t.options())
		if err != nil {
			return err
		}
		found.Response, err = asJSON(response)
		return err
	}
}

// streaming returns the call of a streaming method, which reads as its case says.
func streaming[Request any, Pointer interface {
	*Request
	proto.Message
}, Event, Answer proto.Message](
	method func(
		context.Context, *contextbridge.Client, *Request, []contextbridge.CallOption,
	) *contextbridge.Stream[Event, Answer],
) call {
	return func(ctx context.Context, client *contextbridge.Client, t *testCase, found *report) error {
		request := new(Request)
		if err := protojson.Unmarshal(t.Request, Pointer(request)); err != nil {
			return err
		}
		stream := method(ctx, client, request, t.options())
		switch t.Read {
		case "answer":
			answer, err := stream.Answer()
			if err != nil {
				return err
			}
			found.Response, err = asJSON(answer)
			return err
		case "text":
			found.Texts = &[]string{}
			for piece, err := range stream.Text(0) {
				if err != nil {
					return err
				}
				*found.Texts = append(*found.Texts, piece)
			}
			return nil
		default:
			return readEvents(stream.Events(), t, found)
		}
	}
}

func readEvents[Event proto.Message](
	events iter.Seq2[Event, error], t *testCase, found *report,
) error {
	found.Events = &[]json.RawMessage{}
	for event, err := range events {
		if err != nil {
			return err
		}
		text, err := asJSON(event)
		if err != nil {
			return err
		}
		*found.Events = append(*found.Events, text)
		if len(*found.Events) == t.CancelAfter {
			found.Cancelled = true
			return nil
		}
	}
	return nil
}

// collected returns all items of a list.
func collected[Item any](items iter.Seq2[Item, error]) ([]Item, error) {
	var all []Item
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

func upload(ctx context.Context, client *contextbridge.Client, t *testCase, found *report) error {
	metadata := &pb.UploadFileMetadata{}
	if err := protojson.Unmarshal(t.Request, metadata); err != nil {
		return err
	}
	file, err := client.UploadFile(ctx, metadata, bytes.NewReader(t.Upload), t.options()...)
	if err != nil {
		return err
	}
	found.Response, err = asJSON(&pb.UploadFileResponse{File: file})
	return err
}

type options = []contextbridge.CallOption

var calls = map[string]call{
	"ChatWithContext": streaming(func(ctx context.Context, c *contextbridge.Client, r *pb.ChatWithContextRequest, o options) *contextbridge.ChatStream {
		return c.Chat(ctx, r, o...)
	}),
	"StreamGenerateContent": streaming(func(ctx context.Context, c *contextbridge.Client, r *pb.GenerateContentRequest, o options) *contextbridge.ContentStream {
		return c.StreamGenerateContent(ctx, r, o...)
	}),
	"UploadFile": upload,
	"CreateContext": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.CreateContextRequest, o options) (*pb.CreateContextResponse, error) {
		return c.CreateContext(ctx, r, o...)
	}),
	"GetContext": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.GetContextRequest, o options) (*pb.GetContextResponse, error) {
		found, err := c.GetContext(ctx, r.GetId(), o...)
		return &pb.GetContextResponse{Context: found}, err
	}),
	"ListContexts": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.ListContextsRequest, o options) (*pb.ListContextsResponse, error) {
		found, err := collected(c.ListContexts(ctx, r, o...))
		return &pb.ListContextsResponse{Contexts: found}, err
	}),
	"UpdateContext": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.UpdateContextRequest, o options) (*pb.UpdateContextResponse, error) {
		found, err := c.UpdateContext(ctx, r, o...)
		return &pb.UpdateContextResponse{Context: found}, err
	}),
	"DeleteContext": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.DeleteContextRequest, o options) (*pb.DeleteContextResponse, error) {
		return &pb.DeleteContextResponse{}, c.DeleteContext(ctx, r.GetId(), o...)
	}),
	"CompleteChatWithContext": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.ChatWithContextRequest, o options) (*pb.CompleteChatWithContextResponse, error) {
		return c.CompleteChat(ctx, r, o...)
	}),
	"GenerateContent": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.GenerateContentRequest, o options) (*pb.GenerateContentResponse, error) {
		return c.GenerateContent(ctx, r, o...)
	}),
	"CountTokens": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.CountTokensRequest, o options) (*pb.CountTokensResponse, error) {
		return c.CountTokens(ctx, r, o...)
	}),
	"CreateCachedContent": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.CreateCachedContentRequest, o options) (*pb.CreateCachedContentResponse, error) {
		found, err := c.CreateCachedContent(ctx, r, o...)
		return &pb.CreateCachedContentResponse{CachedContent: found}, err
	}),
	"GetCachedContent": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.GetCachedContentRequest, o options) (*pb.GetCachedContentResponse, error) {
		found, err := c.GetCachedContent(ctx, r.GetName(), o...)
		return &pb.GetCachedContentResponse{CachedContent: found}, err
	}),
	"ListCachedContents": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.ListCachedContentsRequest, o options) (*pb.ListCachedContentsResponse, error) {
		found, err := collected(c.ListCachedContents(ctx, r, o...))
		return &pb.ListCachedContentsResponse{CachedContents: found}, err
	}),
	"UpdateCachedContent": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.UpdateCachedContentRequest, o options) (*pb.UpdateCachedContentResponse, error) {
		found, err := c.UpdateCachedContent(ctx, r, o...)
		return &pb.UpdateCachedContentResponse{CachedContent: found}, err
	}),
	"DeleteCachedContent": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.DeleteCachedContentRequest, o options) (*pb.DeleteCachedContentResponse, error) {
		return &pb.DeleteCachedContentResponse{}, c.DeleteCachedContent(ctx, r.GetName(), o...)
	}),
	"GetFile": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.GetFileRequest, o options) (*pb.GetFileResponse, error) {
		found, err := c.GetFile(ctx, r.GetName(), o...)
		return &pb.GetFileResponse{File: found}, err
	}),
	"ListFiles": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.ListFilesRequest, o options) (*pb.ListFilesResponse, error) {
		found, err := collected(c.ListFiles(ctx, r, o...))
		return &pb.ListFilesResponse{Files: found}, err
	}),
	"DeleteFile": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.DeleteFileRequest, o options) (*pb.DeleteFileResponse, error) {
		return &pb.DeleteFileResponse{}, c.DeleteFile(ctx, r.GetName(), o...)
	}),
	"DeleteCachedResponses": unary(func(ctx context.Context, c *contextbridge.Client, r *pb.DeleteCachedResponsesRequest, o options) (*pb.DeleteCachedResponsesResponse, error) {
		count, err := c.DeleteCachedResponses(ctx, r, o...)
		return &pb.DeleteCachedResponsesResponse{DeletedCount: count}, err
	}),
	"GetResponseCacheStatistics": unary(func(ctx context.Context, c *contextbridge.Client, _ *pb.GetResponseCacheStatisticsRequest, o options) (*pb.GetResponseCacheStatisticsResponse, error) {
		found, err := c.GetResponseCacheStatistics(ctx, o...)
		return &pb.GetResponseCacheStatisticsResponse{Statistics: found}, err
	}),
}
