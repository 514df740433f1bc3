// Command quickstart creates a context, chats on it, generates with Gemini, and handles a call that
// fails. Run it against `make run`; CONTEXTBRIDGE_ADDRESS names another server.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"contextbridge.dev/go"
	pb "contextbridge.dev/go/contextbridge/v1"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := contextbridge.New(os.Getenv("CONTEXTBRIDGE_ADDRESS"))
	if err != nil {
		return err
	}
	defer client.Close()

	created, err := client.CreateContext(ctx, &pb.CreateContextRequest{
		Model:    "Doubao-1.5-pro-32k",
		Messages: []*pb.ChatMessage{contextbridge.System("You keep the lighthouse at Oban.")},
		Mode:     pb.ContextMode_CONTEXT_MODE_SESSION,
		Ttl:      durationpb.New(time.Hour),
	})
	if err != nil {
		return err
	}

	stream := client.Chat(ctx, &pb.ChatWithContextRequest{
		ContextId: created.GetContext().GetId(),
		Messages:  []*pb.ChatMessage{contextbridge.User("Where are you?")},
		// With an idempotency key the stream resumes after a lost connection.
		IdempotencyKey: rand.Text(),
	})
	for piece, err := range stream.Text(0) {
		if err != nil {
			return err
		}
		fmt.Print(piece)
	}
	fmt.Println()
	chat, err := stream.Answer()
	if err != nil {
		return err
	}
	usage := chat.GetUsage()
	fmt.Printf("%d of %d prompt tokens came from the cache\n", usage.GetCachedTokens(), usage.GetPromptTokens())

	answer, err := client.GenerateContent(ctx, &pb.GenerateContentRequest{
		Model:    "gemini-2.5-flash",
		Contents: []*pb.Content{contextbridge.UserContent("Name one sea bird.")},
	})
	if err != nil {
		return err
	}
	fmt.Println(contextbridge.TextOf(answer, 0))

	_, err = client.GetContext(ctx, "context-that-is-gone")
	if failure := (*contextbridge.Error)(nil); errors.As(err, &failure) {
		fmt.Println(failure.CodeName(), failure.Reason)
	}

	return client.DeleteContext(ctx, created.GetContext().GetId())
}
