package contextbridge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// fold builds the answer of the unary call from the events of a stream, in order.
type fold[Event, Answer any] interface {
	add(Event)
	text(Event, int32) string
	answer() Answer
	progress() *progress
	lastEvent() string // The field that ends a complete stream, for error messages.
}

// progress is the state of a stream after its newest event.
type progress struct {
	sequence  int32
	complete  bool // The last event has arrived.
	resumable bool // The server has not said that the stream cannot be resumed.
}

// TextOf returns the text of one choice or candidate of a whole answer, by its index from 0, without
// thoughts. Empty if the answer has no such choice.
func TextOf[Answer *pb.CompleteChatWithContextResponse | *pb.GenerateContentResponse](
	answer Answer, index int32,
) string {
	var text strings.Builder
	switch answer := any(answer).(type) {
	case *pb.CompleteChatWithContextResponse:
		for _, choice := range answer.GetChoices() {
			if choice.GetIndex() == index {
				text.WriteString(choice.GetMessage().GetContent())
			}
		}
	case *pb.GenerateContentResponse:
		for _, candidate := range answer.GetCandidates() {
			if candidate.GetIndex() == index {
				for _, part := range candidate.GetContent().GetParts() {
					if !part.GetThought() {
						text.WriteString(part.GetText())
					}
				}
			}
		}
	}
	return text.String()
}

// chatFold folds the events of ChatWithContext.
type chatFold struct {
	state     progress
	started   *pb.ChatStarted
	completed *pb.ChatCompleted
	choices   map[int32]*choice
}

func newChatFold() *chatFold {
	return &chatFold{state: progress{resumable: true}, choices: map[int32]*choice{}}
}

func (f *chatFold) progress() *progress { return &f.state }

func (*chatFold) lastEvent() string { return "`completed`" }

// add takes the next event. An event of a kind that this version does not know changes only the
// sequence.
func (f *chatFold) add(response *pb.ChatWithContextResponse) {
	f.state.sequence = response.GetSequence()
	switch event := response.GetEvent().(type) {
	case *pb.ChatWithContextResponse_Started:
		f.started = event.Started
		f.state.resumable = event.Started.GetResumable()
	case *pb.ChatWithContextResponse_Content:
		choice := f.choice(event.Content.GetIndex())
		choice.content.WriteString(event.Content.GetText())
		choice.logprobs = append(choice.logprobs, event.Content.GetLogprobs()...)
	case *pb.ChatWithContextResponse_Reasoning:
		f.choice(event.Reasoning.GetIndex()).reasoning.WriteString(event.Reasoning.GetText())
	case *pb.ChatWithContextResponse_Refusal:
		choice := f.choice(event.Refusal.GetIndex())
		choice.refusal.WriteString(event.Refusal.GetText())
		choice.refusalLogprobs = append(choice.refusalLogprobs, event.Refusal.GetLogprobs()...)
	case *pb.ChatWithContextResponse_ToolCall:
		f.choice(event.ToolCall.GetIndex()).addToolCall(event.ToolCall)
	case *pb.ChatWithContextResponse_ChoiceFinished:
		f.choice(event.ChoiceFinished.GetIndex()).finished = event.ChoiceFinished
	case *pb.ChatWithContextResponse_Extra:
		f.choice(event.Extra.GetIndex()).addExtra(event.Extra.GetExtraJson())
	case *pb.ChatWithContextResponse_Completed:
		f.completed = event.Completed
		f.state.complete = true
	}
}

func (*chatFold) text(event *pb.ChatWithContextResponse, index int32) string {
	if delta := event.GetContent(); delta.GetIndex() == index {
		return delta.GetText()
	}
	return ""
}

func (f *chatFold) answer() *pb.CompleteChatWithContextResponse {
	answer := &pb.CompleteChatWithContextResponse{
		Id:                f.started.GetId(),
		Model:             f.started.GetModel(),
		CreateTime:        f.started.GetCreateTime(),
		SystemFingerprint: f.started.GetSystemFingerprint(),
		Usage:             f.completed.GetUsage(),
		ResponseCache:     f.completed.GetResponseCache(),
		BilledUsage:       f.completed.GetBilledUsage(),
		Context:           f.completed.GetContext(),
		ServiceTier:       f.completed.GetServiceTier(),
		ExtraJson:         f.completed.GetExtraJson(),
	}
	role := cmp.Or(f.started.GetRole(), "assistant")
	for _, index := range slices.Sorted(maps.Keys(f.choices)) {
		answer.Choices = append(answer.Choices, f.choices[index].build(index, role))
	}
	return answer
}

func (f *chatFold) choice(index int32) *choice {
	found := f.choices[index]
	if found == nil {
		found = &choice{toolCalls: map[int32]*toolCall{}}
		f.choices[index] = found
	}
	return found
}

// choice accumulates one choice of a chat.
type choice struct {
	content, reasoning, refusal strings.Builder
	logprobs, refusalLogprobs   []*pb.TokenLogprob
	toolCalls                   map[int32]*toolCall
	finished                    *pb.ChoiceFinished
	extra, messageExtra         object
}

// toolCall accumulates one tool call of a choice.
type toolCall struct {
	id, name  string
	arguments strings.Builder
	extras    []string
}

func (c *choice) addToolCall(delta *pb.ToolCallDelta) {
	call := c.toolCalls[delta.GetCallIndex()]
	if call == nil {
		call = &toolCall{}
		c.toolCalls[delta.GetCallIndex()] = call
	}
	call.id = cmp.Or(call.id, delta.GetId())
	call.name = cmp.Or(call.name, delta.GetName())
	call.arguments.WriteString(delta.GetArgumentsJson())
	call.extras = appendText(call.extras, delta.GetExtraJson())
}

// addExtra takes upstream's other members of a choice and, under `delta`, of its message.
func (c *choice) addExtra(text string) {
	for _, member := range membersOf(text) {
		delta := membersOf(string(member.value))
		if member.name != "delta" || delta == nil {
			c.extra.set(member)
		}
		if member.name == "delta" {
			for _, inner := range delta {
				c.messageExtra.set(inner)
			}
		}
	}
}

func (c *choice) build(index int32, role string) *pb.ChatChoice {
	// ChatMessage has a field for the speaker's name; the events have none.
	messageExtra, name := c.messageExtra.without("name")
	message := &pb.ChatMessage{
		Role:      role,
		Content:   c.content.String(),
		Name:      name,
		Reasoning: c.reasoning.String(),
		Refusal:   c.refusal.String(),
		ExtraJson: messageExtra.String(),
	}
	for _, place := range slices.Sorted(maps.Keys(c.toolCalls)) {
		call := c.toolCalls[place]
		message.ToolCalls = append(message.ToolCalls, &pb.ChatToolCall{
			Id:            call.id,
			Name:          call.name,
			ArgumentsJson: call.arguments.String(),
			ExtraJson:     mergeJSON(call.extras),
		})
	}
	return &pb.ChatChoice{
		Index:             index,
		Message:           message,
		FinishReason:      c.finished.GetFinishReason(),
		FinishReasonRaw:   c.finished.GetFinishReasonRaw(),
		ModerationHitType: c.finished.GetModerationHitType(),
		Logprobs:          c.logprobs,
		RefusalLogprobs:   c.refusalLogprobs,
		ExtraJson:         c.extra.String(),
	}
}

// contentFold folds the messages of StreamGenerateContent.
type contentFold struct {
	state      progress
	candidates map[int32]*candidate
	latest     *pb.GenerateContentResponse
	extras     []string
}

func newContentFold() *contentFold {
	return &contentFold{
		state:      progress{resumable: true},
		candidates: map[int32]*candidate{},
		latest:     &pb.GenerateContentResponse{},
	}
}

func (f *contentFold) progress() *progress { return &f.state }

func (*contentFold) lastEvent() string { return "`billed_usage`" }

func (f *contentFold) add(event *pb.GenerateContentResponse) {
	f.state.sequence = event.GetSequence()
	f.state.complete = f.state.complete || event.GetBilledUsage() != nil
	for _, piece := range event.GetCandidates() {
		found := f.candidates[piece.GetIndex()]
		if found == nil {
			found = &candidate{latest: &pb.Candidate{}, grown: &pb.Candidate{}}
			f.candidates[piece.GetIndex()] = found
		}
		found.add(piece)
	}
	f.extras = appendText(f.extras, event.GetExtraJson())
	keepLatest(f.latest, event, "candidates", "extra_json", "sequence")
}

func (*contentFold) text(event *pb.GenerateContentResponse, index int32) string {
	return TextOf(event, index)
}

func (f *contentFold) answer() *pb.GenerateContentResponse {
	answer := proto.CloneOf(f.latest)
	answer.ExtraJson = mergeJSON(f.extras)
	for _, index := range slices.Sorted(maps.Keys(f.candidates)) {
		answer.Candidates = append(answer.Candidates, f.candidates[index].build())
	}
	return answer
}

// candidate accumulates one candidate of a Gemini answer. It appends the lists to which each piece
// adds, and replaces every field that describes the candidate so far.
type candidate struct {
	hasContent    bool
	role          string
	parts         []*run
	grown, latest *pb.Candidate
	extras        []string
}

func (c *candidate) add(piece *pb.Candidate) {
	if content := piece.GetContent(); content != nil {
		c.hasContent = true
		c.role = cmp.Or(content.GetRole(), c.role)
		for _, part := range content.GetParts() {
			c.addPart(part)
		}
	}
	proto.Merge(c.grown, &pb.Candidate{
		CitationMetadata: piece.GetCitationMetadata(), LogprobsResult: piece.GetLogprobsResult(),
	})
	c.extras = appendText(c.extras, piece.GetExtraJson())
	keepLatest(c.latest, piece, "content", "citation_metadata", "logprobs_result", "extra_json")
}

// run is a part of a content, with the joined texts of the neighbouring parts of its kind.
type run struct {
	part   *pb.Part
	fields []string
	text   strings.Builder
}

// addPart joins neighbouring parts of plain text. A part with a signature stays separate.
func (c *candidate) addPart(part *pb.Part) {
	fields := fieldsOf(part)
	isText := slices.Equal(fields, []string{"text"}) || slices.Equal(fields, []string{"text", "thought"})
	if last := len(c.parts) - 1; isText && last >= 0 && slices.Equal(c.parts[last].fields, fields) {
		c.parts[last].text.WriteString(part.GetText())
		return
	}
	added := &run{part: part, fields: fields}
	added.text.WriteString(part.GetText())
	c.parts = append(c.parts, added)
}

func (c *candidate) build() *pb.Candidate {
	built := proto.CloneOf(c.latest)
	proto.Merge(built, c.grown)
	built.ExtraJson = mergeJSON(c.extras)
	if !c.hasContent {
		return built
	}
	built.Content = &pb.Content{Role: c.role}
	for _, run := range c.parts {
		part := proto.CloneOf(run.part)
		if _, isText := part.GetData().(*pb.Part_Text); isText {
			part.Data = &pb.Part_Text{Text: run.text.String()}
		}
		built.Content.Parts = append(built.Content.Parts, part)
	}
	return built
}

// fieldsOf returns the names of the set fields of a message, sorted.
func fieldsOf(message proto.Message) []string {
	var names []string
	message.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		names = append(names, string(field.Name()))
		return true
	})
	slices.Sort(names)
	return names
}

// keepLatest copies the set fields of a later message into the latest one, except for the excluded
// fields.
func keepLatest(latest, later proto.Message, excluded ...protoreflect.Name) {
	target := latest.ProtoReflect()
	later.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !slices.Contains(excluded, field.Name()) {
			target.Set(field, value)
		}
		return true
	})
}

func appendText(texts []string, text string) []string {
	if text == "" {
		return texts
	}
	return append(texts, text)
}

// mergeJSON merges the texts of JSON objects, shallowly; a later member replaces an earlier one of
// its name. A single text is returned unchanged.
func mergeJSON(texts []string) string {
	if len(texts) <= 1 {
		return strings.Join(texts, "")
	}
	var merged object
	for _, text := range texts {
		for _, member := range membersOf(text) {
			merged.set(member)
		}
	}
	return merged.String()
}

// object is a JSON object that preserves the order and the text of its members.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// membersOf returns the members of a JSON object; nil if the text is not a JSON object.
func membersOf(text string) object {
	decoder := json.NewDecoder(strings.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	members := object{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil
		}
		members.set(member{name.(string), value})
	}
	return members
}

// set adds a member, or replaces the member of the same name in its place.
func (o *object) set(added member) {
	for place, found := range *o {
		if found.name == added.name {
			(*o)[place] = added
			return
		}
	}
	*o = append(*o, added)
}

// without removes a member whose value is a string, and returns the other members and that string.
func (o object) without(name string) (object, string) {
	for place, found := range o {
		var text string
		if found.name == name && json.Unmarshal(found.value, &text) == nil {
			return slices.Concat(o[:place], o[place+1:]), text
		}
	}
	return o, ""
}

// String returns the object's compact JSON text; empty for an object without members.
func (o object) String() string {
	if len(o) == 0 {
		return ""
	}
	var text bytes.Buffer
	for place, member := range o {
		text.WriteByte("{,"[min(place, 1)])
		name := json.NewEncoder(&text)
		name.SetEscapeHTML(false)
		_ = name.Encode(member.name) // Encoding a string cannot fail.
		text.Truncate(text.Len() - 1)
		text.WriteByte(':')
		_ = json.Compact(&text, member.value) // The value comes from valid JSON.
	}
	text.WriteByte('}')
	return text.String()
}
