package contextbridge

import pb "contextbridge.dev/go/contextbridge/v1"

// System returns a system's message of a chat.
func System(text string) *pb.ChatMessage { return &pb.ChatMessage{Role: "system", Content: text} }

// User returns a user's message of a chat.
func User(text string) *pb.ChatMessage { return &pb.ChatMessage{Role: "user", Content: text} }

// Assistant returns an assistant's message of a chat.
func Assistant(text string) *pb.ChatMessage {
	return &pb.ChatMessage{Role: "assistant", Content: text}
}

// UserContent returns a user's content for Gemini.
func UserContent(text string) *pb.Content {
	return &pb.Content{Role: "user", Parts: []*pb.Part{TextPart(text)}}
}

// TextPart returns a part of a content that is text.
func TextPart(text string) *pb.Part { return &pb.Part{Data: &pb.Part_Text{Text: text}} }
