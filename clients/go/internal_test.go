package contextbridge

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "contextbridge.dev/go/contextbridge/v1"
)

func TestBackOffDoublesUpToItsLimitAndIsAtLeastHalf(t *testing.T) {
	for range 50 {
		tries := Resume{Attempts: 7, InitialBackoff: 100, MaxBackoff: 1000}.attempts()
		for _, longest := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
			pause, ok := tries.pauseAfter(t.Context(), &Error{Code: codes.Unavailable})
			if !ok || pause < longest/2 || pause > longest {
				t.Fatalf("a pause of %v instead of at most %v", pause, longest)
			}
		}
		if _, ok := tries.pauseAfter(t.Context(), &Error{Code: codes.Unavailable}); ok {
			t.Fatal("an eighth attempt was allowed")
		}
	}
}

func TestTheServersRetryDelayExtendsTheBackoff(t *testing.T) {
	hour := time.Hour
	tries := Resume{}.attempts()
	pause, ok := tries.pauseAfter(t.Context(), &Error{
		Reason: "ERROR_REASON_OVERLOADED", Code: codes.ResourceExhausted, retryDelay: &hour,
	})
	if !ok || pause != hour {
		t.Errorf("a pause of %v, %v", pause, ok)
	}
}

func TestOnlyTransientReasonsAreBreaks(t *testing.T) {
	for reason := range pb.ErrorReason_value {
		found := isBreak(&Error{Code: codes.Unavailable, Reason: reason})
		wanted := reason == "ERROR_REASON_STORE_UNAVAILABLE" || reason == "ERROR_REASON_OVERLOADED"
		if found != wanted {
			t.Errorf("%s: %v", reason, found)
		}
	}
}

func TestToolCallsAndChoicesAreFolded(t *testing.T) {
	fold := newChatFold()
	for _, delta := range []*pb.ToolCallDelta{
		{Index: 1, CallIndex: 1, Id: "c-2", Name: "g", ArgumentsJson: "{"},
		{Index: 1, CallIndex: 0, Id: "c-1", Name: "f", ArgumentsJson: `{"a":`},
		{Index: 1, CallIndex: 0, ArgumentsJson: "1}"},
		{Index: 1, CallIndex: 1, ArgumentsJson: "}"},
	} {
		event := &pb.ChatWithContextResponse_ToolCall{ToolCall: delta}
		fold.add(&pb.ChatWithContextResponse{Event: event})
	}
	text := &pb.ChatWithContextResponse_Content{Content: &pb.TextDelta{Text: "Hi"}}
	fold.add(&pb.ChatWithContextResponse{Event: text})
	fold.add(&pb.ChatWithContextResponse{Sequence: 9}) // An event of a kind that this version does not know.

	answer := fold.answer()

	wanted := []*pb.ChatToolCall{
		{Id: "c-1", Name: "f", ArgumentsJson: `{"a":1}`}, {Id: "c-2", Name: "g", ArgumentsJson: "{}"},
	}
	calls := answer.GetChoices()[1].GetMessage().GetToolCalls()
	if len(calls) != 2 || !proto.Equal(calls[0], wanted[0]) || !proto.Equal(calls[1], wanted[1]) {
		t.Errorf("calls %v", calls)
	}
	if TextOf(answer, 0) != "Hi" || fold.state.sequence != 9 {
		t.Errorf("answered %v", answer)
	}
}

func TestExtraMembersOfAToolCallAreMerged(t *testing.T) {
	for name, tried := range map[string]struct {
		extras []string
		wanted string
	}{
		"none":          {[]string{"", ""}, ""},
		"one unchanged": {[]string{"", `{"signature" : "<é>", "n": 1.0}`, ""}, `{"signature" : "<é>", "n": 1.0}`},
		"two, the later member wins": {
			[]string{`{"a": 1.0, "b": {"x": 1}}`, `{"b": {"y": 1e7}, "c": null}`},
			`{"a":1.0,"b":{"y":1e7},"c":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fold := newChatFold()
			for _, extra := range tried.extras {
				for callIndex, text := range []string{extra, ""} {
					delta := &pb.ToolCallDelta{CallIndex: int32(callIndex), Name: "f", ExtraJson: text}
					event := &pb.ChatWithContextResponse_ToolCall{ToolCall: delta}
					fold.add(&pb.ChatWithContextResponse{Event: event})
				}
			}
			calls := fold.answer().GetChoices()[0].GetMessage().GetToolCalls()
			if len(calls) != 2 || calls[0].GetExtraJson() != tried.wanted || calls[1].GetExtraJson() != "" {
				t.Errorf("folded to %v", calls)
			}
		})
	}
}

func TestExtraMembersAreMerged(t *testing.T) {
	fold := newChatFold()
	for _, text := range []string{
		`{"a": 1.0, "delta": {"name": "Ann", "x": "<é>"}}`, `{"b": [1e7], "a": 2, "delta": {"y": null}}`,
	} {
		event := &pb.ChatWithContextResponse_Extra{Extra: &pb.ExtraDelta{ExtraJson: text}}
		fold.add(&pb.ChatWithContextResponse{Event: event})
	}
	choice := fold.answer().GetChoices()[0]
	if choice.GetExtraJson() != `{"a":2,"b":[1e7]}` ||
		choice.GetMessage().GetExtraJson() != `{"x":"<é>","y":null}` ||
		choice.GetMessage().GetName() != "Ann" {
		t.Errorf("folded to %v", choice)
	}
}

func TestPiecesOfGeminiAreFolded(t *testing.T) {
	fold := newContentFold()
	text := func(text string, thought bool) *pb.Part {
		return &pb.Part{Thought: thought, Data: &pb.Part_Text{Text: text}}
	}
	signed := text("!", false)
	signed.ThoughtSignature = []byte("s")
	for _, parts := range [][]*pb.Part{
		{text("Hm", true)}, {text("m.", true), text("Hel", false)}, {text("lo", false)}, {signed}, {text("?", false)},
	} {
		candidate := &pb.Candidate{Content: &pb.Content{Role: "model", Parts: parts}}
		fold.add(&pb.GenerateContentResponse{Candidates: []*pb.Candidate{candidate}, ExtraJson: `{"a": 1}`})
	}
	fold.add(&pb.GenerateContentResponse{BilledUsage: &pb.Usage{TotalTokens: 3}, ModelVersion: "v"})

	answer := fold.answer()

	var texts []string
	for _, part := range answer.GetCandidates()[0].GetContent().GetParts() {
		texts = append(texts, part.GetText())
	}
	if len(texts) != 4 || texts[0] != "Hmm." || texts[1] != "Hello" || texts[2] != "!" || texts[3] != "?" {
		t.Errorf("parts %q", texts)
	}
	if !fold.state.complete || answer.GetModelVersion() != "v" || answer.GetExtraJson() != `{"a":1}` ||
		TextOf(answer, 0) != "Hello!?" {
		t.Errorf("folded to %v", answer)
	}
}
