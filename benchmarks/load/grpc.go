package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// call makes one call and notes what it saw.
type call func(context.Context, *outcome) error

const question = "Where are you, and what do you see from up there tonight?"

// bridge calls a server that has the bridge's contract.
type bridge struct {
	settings
	contexts []pb.ContextServiceClient
	gemini   []pb.GeminiServiceClient
	text     string
	large    string
}

func newBridge(given settings, address string) (*bridge, error) {
	made := &bridge{settings: given, text: whole(given.deltas)}
	if given.workload == "create" {
		made.large = strings.Repeat("lamp ", 100_000)
	}
	for range given.connections {
		connection, err := grpc.NewClient(address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			// A pool of its own for each connection, or channels to one address would share.
			grpc.WithDisableServiceConfig(),
		)
		if err != nil {
			return nil, err
		}
		connection.Connect()
		made.contexts = append(made.contexts, pb.NewContextServiceClient(connection))
		made.gemini = append(made.gemini, pb.NewGeminiServiceClient(connection))
	}
	return made, nil
}

func (b *bridge) calls() map[string]call {
	return map[string]call{
		"chat":          b.chat,
		"chat-stream":   b.chatStream,
		"gemini":        b.generate,
		"gemini-stream": b.generateStream,
		"create":        b.create,
	}
}

func (b *bridge) cache() *pb.ResponseCachePolicy {
	if b.cached {
		return &pb.ResponseCachePolicy{Enabled: true, ByModel: proto.Bool(false)}
	}
	return nil
}

func (b *bridge) chatRequest() *pb.ChatWithContextRequest {
	return &pb.ChatWithContextRequest{
		ContextId:     b.contextID,
		Model:         b.model,
		Messages:      []*pb.ChatMessage{{Role: "user", Content: question}},
		ResponseCache: b.cache(),
	}
}

func (b *bridge) chat(ctx context.Context, one *outcome) error {
	answer, err := b.contexts[one.number%b.connections].CompleteChatWithContext(ctx, b.chatRequest())
	if err != nil {
		return err
	}
	if text := answer.GetChoices()[0].GetMessage().GetContent(); text != b.text {
		return wrong("text", text, b.text)
	}
	return nil
}

func (b *bridge) chatStream(ctx context.Context, one *outcome) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.contexts[one.number%b.connections].ChatWithContext(ctx, b.chatRequest())
	if err != nil {
		return err
	}
	var text strings.Builder
	var sequence int32
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return b.check(text.String())
		}
		if err != nil {
			return err
		}
		if sequence++; event.GetSequence() != sequence {
			return wrong("sequence", event.GetSequence(), sequence)
		}
		if delta := event.GetContent().GetText(); delta != "" {
			text.WriteString(delta)
			one.message()
		}
		if b.cancelAfter > 0 && one.messages == b.cancelAfter {
			return nil
		}
	}
}

func (b *bridge) generateRequest() *pb.GenerateContentRequest {
	part := &pb.Part{Data: &pb.Part_Text{Text: question}}
	return &pb.GenerateContentRequest{
		Model:         b.model,
		Contents:      []*pb.Content{{Role: "user", Parts: []*pb.Part{part}}},
		ResponseCache: b.cache(),
	}
}

func (b *bridge) generate(ctx context.Context, one *outcome) error {
	answer, err := b.gemini[one.number%b.connections].GenerateContent(ctx, b.generateRequest())
	if err != nil {
		return err
	}
	return b.check(textOf(answer))
}

func (b *bridge) generateStream(ctx context.Context, one *outcome) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.gemini[one.number%b.connections].StreamGenerateContent(ctx, b.generateRequest())
	if err != nil {
		return err
	}
	var text strings.Builder
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return b.check(text.String())
		}
		if err != nil {
			return err
		}
		text.WriteString(textOf(event))
		one.message()
	}
}

// create makes a context of about 100,000 tokens.
func (b *bridge) create(ctx context.Context, one *outcome) error {
	_, err := b.contexts[one.number%b.connections].CreateContext(ctx, &pb.CreateContextRequest{
		Model:    b.model,
		Mode:     pb.ContextMode_CONTEXT_MODE_COMMON_PREFIX,
		Messages: []*pb.ChatMessage{{Role: "system", Content: b.large}},
	})
	return err
}

func textOf(answer *pb.GenerateContentResponse) string {
	var text strings.Builder
	for _, candidate := range answer.GetCandidates() {
		for _, part := range candidate.GetContent().GetParts() {
			text.WriteString(part.GetText())
		}
	}
	return text.String()
}

func (b *bridge) check(text string) error {
	if text != b.text {
		return wrong("text", text, b.text)
	}
	return nil
}
