package contextbridge

import pb "contextbridge.dev/go/contextbridge/v1"

// System returns a chat message with role system.
func System(text string) *pb.ChatMessage { return &pb.ChatMessage{Role: "system", Content: text} }

// User returns a chat message with role user.
func User(text string) *pb.ChatMessage { return &pb.ChatMessage{Role: "user", Content: text} }

// Assistant returns a chat message with role assistant.
func Assistant(text string) *pb.ChatMessage {
	return &pb.ChatMessage{Role: "assistant", Content: text}
}

// UserContent returns a Gemini content with role user and one text.
func UserContent(text string) *pb.Content {
	return &pb.Content{Role: "user", Parts: []*pb.Part{TextPart(text)}}
}

// TextPart returns a text part of a content.
func TextPart(text string) *pb.Part { return &pb.Part{Data: &pb.Part_Text{Text: text}} }
