package contextbridge_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"contextbridge.dev/go"
	pb "contextbridge.dev/go/contextbridge/v1"
)

func ExampleClient_Chat() {
	ctx := context.Background()
	client, err := contextbridge.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	created, err := client.CreateContext(ctx, &pb.CreateContextRequest{
		Model:    "doubao-1-5-pro-32k",
		Messages: []*pb.ChatMessage{contextbridge.System("You answer from this handbook: …")},
		Ttl:      durationpb.New(time.Hour),
	})
	if err != nil {
		log.Fatal(err)
	}

	stream := client.Chat(ctx, &pb.ChatWithContextRequest{
		ContextId: created.GetContext().GetId(),
		Messages:  []*pb.ChatMessage{contextbridge.User("How long is the notice period?")},
		// With an idempotency key the stream resumes after a lost connection.
		IdempotencyKey: rand.Text(),
	})
	for piece, err := range stream.Text(0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(piece)
	}
	answer, err := stream.Answer()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.GetUsage().GetCachedTokens(), "tokens came from the cache")
}

func ExampleClient_GenerateContent() {
	client, err := contextbridge.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	answer, err := client.GenerateContent(context.Background(), &pb.GenerateContentRequest{
		Model:    "gemini-2.5-flash",
		Contents: []*pb.Content{contextbridge.UserContent("Name one sea bird.")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(contextbridge.TextOf(answer, 0))
}

func ExampleError() {
	client, err := contextbridge.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.GetContext(context.Background(), "context-that-is-gone")
	if failure := (*contextbridge.Error)(nil); errors.As(err, &failure) {
		fmt.Println(failure.CodeName(), failure.Reason, failure.UpstreamMessage(), failure.RequestID)
	}
}

func ExampleNew() {
	readToken := func() (string, error) { return "a token, read for each call", nil }
	client, err := contextbridge.New("dns:///bridge.internal:443",
		contextbridge.WithTLS(nil), // Trusts the system's roots.
		contextbridge.WithTokenSource(func(context.Context) (string, error) { return readToken() }),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}
