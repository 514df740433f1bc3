package contextbridge_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"contextbridge.dev/go"
	pb "contextbridge.dev/go/contextbridge/v1"
)

// server answers from a script, and records the requests of chats.
type server struct {
	pb.UnimplementedContextServiceServer
	chat func(*pb.ChatWithContextRequest, grpc.ServerStreamingServer[pb.ChatWithContextResponse]) error
	get  func(context.Context) (*pb.GetContextResponse, error)

	mutex    sync.Mutex
	requests []*pb.ChatWithContextRequest
	left     chan struct{}
}

func (s *server) ChatWithContext(
	request *pb.ChatWithContextRequest, stream grpc.ServerStreamingServer[pb.ChatWithContextResponse],
) error {
	s.record(request)
	return s.chat(request, stream)
}

func (s *server) CompleteChatWithContext(
	_ context.Context, request *pb.ChatWithContextRequest,
) (*pb.CompleteChatWithContextResponse, error) {
	s.record(request)
	if len(s.asked()) < 3 {
		return nil, status.Error(codes.Unavailable, "unavailable")
	}
	return &pb.CompleteChatWithContextResponse{Id: "a-1"}, nil
}

func (s *server) GetContext(
	ctx context.Context, _ *pb.GetContextRequest,
) (*pb.GetContextResponse, error) {
	return s.get(ctx)
}

func (s *server) record(request *pb.ChatWithContextRequest) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.requests = append(s.requests, request)
}

// asked returns the resume_after of each chat.
func (s *server) asked() []int32 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var after []int32
	for _, request := range s.requests {
		after = append(after, request.GetResumeAfter())
	}
	return after
}

// serve starts the server and returns a client for it.
func serve(t *testing.T, s *server, options ...contextbridge.Option) *contextbridge.Client {
	t.Helper()
	s.left = make(chan struct{}, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := grpc.NewServer()
	pb.RegisterContextServiceServer(served, s)
	go func() { _ = served.Serve(listener) }()
	t.Cleanup(served.Stop)
	client, err := contextbridge.New(listener.Addr().String(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func numbered(events ...*pb.ChatWithContextResponse) []*pb.ChatWithContextResponse {
	for place, event := range events {
		event.Sequence = int32(place + 1)
	}
	return events
}

func started(resumable bool) *pb.ChatWithContextResponse {
	event := &pb.ChatStarted{Id: "a-1", Resumable: resumable}
	return &pb.ChatWithContextResponse{Event: &pb.ChatWithContextResponse_Started{Started: event}}
}

func content(text string) *pb.ChatWithContextResponse {
	event := &pb.TextDelta{Text: text}
	return &pb.ChatWithContextResponse{Event: &pb.ChatWithContextResponse_Content{Content: event}}
}

func completed() *pb.ChatWithContextResponse {
	event := &pb.ChatCompleted{Usage: &pb.Usage{TotalTokens: 7}}
	return &pb.ChatWithContextResponse{Event: &pb.ChatWithContextResponse_Completed{Completed: event}}
}

func hello() []*pb.ChatWithContextResponse {
	return numbered(started(true), content("Hel"), content("lo"), completed())
}

// oneEach sends one event per call, and fails after each event but the last.
func oneEach(events []*pb.ChatWithContextResponse, code codes.Code) *server {
	return &server{chat: func(
		request *pb.ChatWithContextRequest, stream grpc.ServerStreamingServer[pb.ChatWithContextResponse],
	) error {
		if err := stream.Send(events[request.GetResumeAfter()]); err != nil {
			return err
		}
		if int(request.GetResumeAfter())+1 == len(events) {
			return nil
		}
		return status.Error(code, "cut off")
	}}
}

func failing(err error) *server {
	return &server{chat: func(
		*pb.ChatWithContextRequest, grpc.ServerStreamingServer[pb.ChatWithContextResponse],
	) error {
		return err
	}}
}

func keyed() *pb.ChatWithContextRequest {
	return &pb.ChatWithContextRequest{ContextId: "context-1", IdempotencyKey: "k-1"}
}

var atOnce = contextbridge.WithResume(contextbridge.Resume{InitialBackoff: 1})

func TestAStreamThatBreaksAfterEachEventIsOneSequence(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.Canceled, codes.Internal, codes.Unknown} {
		t.Run(code.String(), func(t *testing.T) {
			s := oneEach(hello(), code)
			stream := serve(t, s).Chat(t.Context(), keyed(), atOnce)
			var seen []*pb.ChatWithContextResponse
			for event, err := range stream.Events() {
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, event)
			}
			if !slices.EqualFunc(seen, hello(), func(one, other *pb.ChatWithContextResponse) bool {
				return proto.Equal(one, other)
			}) {
				t.Errorf("saw %v", seen)
			}
			answer, err := stream.Answer()
			if err != nil || contextbridge.TextOf(answer, 0) != "Hello" || answer.GetUsage().GetTotalTokens() != 7 {
				t.Errorf("answered %v, %v", answer, err)
			}
			if asked := s.asked(); !slices.Equal(asked, []int32{0, 1, 2, 3}) {
				t.Errorf("asked after %v", asked)
			}
		})
	}
}

func TestCallsThatAreNotResumed(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "unavailable")
	upstream := withReason(codes.Unavailable, "ERROR_REASON_UPSTREAM_UNAVAILABLE")
	busy := withReason(codes.Aborted, "ERROR_REASON_CONTEXT_BUSY")
	unkeyed := keyed()
	unkeyed.IdempotencyKey = ""
	for name, tried := range map[string]struct {
		server  *server
		request *pb.ChatWithContextRequest
		option  contextbridge.CallOption
		asked   int
	}{
		"without an idempotency key": {failing(unavailable), unkeyed, atOnce, 1},
		"with resuming disabled":     {failing(unavailable), keyed(), contextbridge.WithoutResume(), 1},
		"after five attempts":        {failing(unavailable), keyed(), atOnce, 6},
		"not resumable":              {oneEach(numbered(started(false), completed()), codes.Unavailable), keyed(), atOnce, 1},
		"another status":             {failing(status.Error(codes.NotFound, "no")), keyed(), atOnce, 1},
		"an error of upstream":       {failing(upstream), keyed(), atOnce, 1},
		"a busy context":             {failing(busy), keyed(), atOnce, 1},
		"a passed deadline":          {failing(status.Error(codes.DeadlineExceeded, "late")), keyed(), atOnce, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, tried.server).Chat(t.Context(), tried.request, tried.option).Answer()
			if failure := (*contextbridge.Error)(nil); !errors.As(err, &failure) {
				t.Fatalf("failed with %v", err)
			}
			if asked := tried.server.asked(); len(asked) != tried.asked {
				t.Errorf("asked %d times", len(asked))
			}
		})
	}
}

func withReason(code codes.Code, reason string) error {
	found, err := status.New(code, "It said no.").WithDetails(
		&errdetails.ErrorInfo{
			Reason: reason, Domain: "contextbridge.dev",
			Metadata: map[string]string{"requestId": "q-1", "upstreamMessage": "No."},
		},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "model", Description: "It is empty."},
		}},
	)
	if err != nil {
		panic(err)
	}
	return found.Err()
}

func TestARetryDelayPastTheDeadlineFailsAtOnce(t *testing.T) {
	s := failing(withReason(codes.Unavailable, "ERROR_REASON_STORE_UNAVAILABLE"))
	client := serve(t, s, contextbridge.WithTimeout(time.Minute))
	if _, err := client.Chat(t.Context(), keyed()).Answer(); status.Code(err) != codes.Unavailable {
		t.Errorf("failed with %v", err)
	}
	if asked := s.asked(); len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
}

func TestABreakAfterTheLastEventIsNoError(t *testing.T) {
	s := &server{chat: func(
		_ *pb.ChatWithContextRequest, stream grpc.ServerStreamingServer[pb.ChatWithContextResponse],
	) error {
		for _, event := range hello() {
			if err := stream.Send(event); err != nil {
				return err
			}
		}
		return status.Error(codes.Unavailable, "cut off")
	}}
	answer, err := serve(t, s).Chat(t.Context(), keyed(), contextbridge.WithoutResume()).Answer()
	if err != nil || contextbridge.TextOf(answer, 0) != "Hello" {
		t.Errorf("answered %v, %v", answer, err)
	}
}

func TestAChatOnAContextIdIsSentWithoutAModel(t *testing.T) {
	s := oneEach(numbered(completed()), codes.OK)
	request := &pb.ChatWithContextRequest{
		ContextId: "context-1", Messages: []*pb.ChatMessage{contextbridge.User("Hi")},
	}
	if _, err := serve(t, s).Chat(t.Context(), request).Answer(); err != nil {
		t.Fatal(err)
	}
	if len(s.requests) != 1 || !proto.Equal(s.requests[0], request) {
		t.Errorf("asked for %v", s.requests)
	}
}

func TestAUnaryCallWithAnIdempotencyKeyIsSentAgain(t *testing.T) {
	s := &server{}
	answer, err := serve(t, s).CompleteChat(t.Context(), keyed(), atOnce)
	if err != nil || answer.GetId() != "a-1" || len(s.asked()) != 3 {
		t.Errorf("answered %v, %v after %d calls", answer, err, len(s.asked()))
	}
}

func TestAStreamWithoutItsLastEventIsDataLoss(t *testing.T) {
	_, err := serve(t, failing(nil)).Chat(t.Context(), keyed()).Answer()
	if status.Code(err) != codes.DataLoss {
		t.Errorf("failed with %v", err)
	}
}

func TestAStreamWithResumeAfterHasNoWholeAnswer(t *testing.T) {
	request := keyed()
	request.ResumeAfter = 2
	stream := serve(t, failing(nil)).Chat(t.Context(), request)
	for _, err := range stream.Events() {
		t.Errorf("an event after the last, or %v", err)
	}
	if _, err := stream.Answer(); !errors.Is(err, contextbridge.ErrNoWholeAnswer) {
		t.Errorf("failed with %v", err)
	}
}

func TestLeavingAStreamCancelsTheCall(t *testing.T) {
	s := &server{}
	s.chat = func(
		_ *pb.ChatWithContextRequest, stream grpc.ServerStreamingServer[pb.ChatWithContextResponse],
	) error {
		if err := stream.Send(hello()[0]); err != nil {
			return err
		}
		<-stream.Context().Done()
		s.left <- struct{}{}
		return stream.Context().Err()
	}
	client := serve(t, s)
	leave := map[string]func(*contextbridge.ChatStream, context.CancelFunc) error{
		"by a break": func(stream *contextbridge.ChatStream, _ context.CancelFunc) error {
			for range stream.Events() {
				break
			}
			_, err := stream.Answer()
			return err
		},
		"by its context": func(stream *contextbridge.ChatStream, cancel context.CancelFunc) error {
			for _, err := range stream.Events() {
				if err != nil {
					return err
				}
				cancel()
			}
			return nil
		},
	}
	for name, left := range leave {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := left(client.Chat(ctx, keyed(), atOnce), cancel); !errors.Is(err, context.Canceled) {
				t.Errorf("failed with %v", err)
			}
			<-s.left
		})
	}
}

func TestABusyContextIsAborted(t *testing.T) {
	s := failing(withReason(codes.Aborted, "ERROR_REASON_CONTEXT_BUSY"))
	_, err := serve(t, s).Chat(t.Context(), keyed()).Answer()
	var failure *contextbridge.Error
	if !errors.As(err, &failure) {
		t.Fatalf("failed with %v", err)
	}
	delay, ok := failure.RetryDelay()
	if failure.CodeName() != "ABORTED" || failure.Reason != "ERROR_REASON_CONTEXT_BUSY" || !ok || delay != time.Hour {
		t.Errorf("failed with %+v", failure)
	}
}

func TestAnErrorHasItsDetails(t *testing.T) {
	sent := withReason(codes.InvalidArgument, "ERROR_REASON_REQUEST_INVALID")
	s := &server{get: func(context.Context) (*pb.GetContextResponse, error) { return nil, sent }}
	_, err := serve(t, s).GetContext(t.Context(), "ctx-1")
	var failure *contextbridge.Error
	if !errors.As(err, &failure) {
		t.Fatalf("failed with %v", err)
	}
	delay, _ := failure.RetryDelay()
	if failure.Code != codes.InvalidArgument || failure.CodeName() != "INVALID_ARGUMENT" ||
		failure.Reason != "ERROR_REASON_REQUEST_INVALID" || failure.RequestID != "q-1" ||
		failure.UpstreamMessage() != "No." || delay != time.Hour ||
		!slices.Equal(failure.Violations, []contextbridge.Violation{{Field: "model", Description: "It is empty."}}) {
		t.Errorf("failed with %+v", failure)
	}
	for _, part := range []string{"ERROR_REASON_REQUEST_INVALID", "It said no.", "model: It is empty.", "q-1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	if found, ok := status.FromError(err); !ok || found.Code() != codes.InvalidArgument {
		t.Errorf("the status is %v", found)
	}
}

func TestTheTimeoutEndsACallWithoutADeadline(t *testing.T) {
	s := &server{get: func(ctx context.Context) (*pb.GetContextResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	client := serve(t, s, contextbridge.WithTimeout(50*time.Millisecond))
	_, err := client.GetContext(t.Context(), "ctx-1")
	if status.Code(err) != codes.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("failed with %v", err)
	}
}

func TestReadsAreRetriedOnUnavailable(t *testing.T) {
	calls := 0
	s := &server{get: func(context.Context) (*pb.GetContextResponse, error) {
		calls++
		if calls < 3 {
			return nil, status.Error(codes.Unavailable, "unavailable")
		}
		return &pb.GetContextResponse{Context: &pb.Context{Id: "ctx-1"}}, nil
	}}
	found, err := serve(t, s).GetContext(t.Context(), "ctx-1")
	if err != nil || found.GetId() != "ctx-1" || calls != 3 {
		t.Errorf("got %v, %v after %d calls", found, err, calls)
	}
}

func TestEveryCallCarriesTheToken(t *testing.T) {
	var sent metadata.MD
	s := &server{get: func(ctx context.Context) (*pb.GetContextResponse, error) {
		sent, _ = metadata.FromIncomingContext(ctx)
		return &pb.GetContextResponse{}, nil
	}}
	client := serve(t, s, contextbridge.WithToken("t"), contextbridge.WithUpstreamAPIKey("k"))
	if _, err := client.GetContext(t.Context(), "ctx-1"); err != nil {
		t.Fatal(err)
	}
	if sent.Get("authorization")[0] != "Bearer t" || sent.Get("x-upstream-api-key")[0] != "k" ||
		!strings.HasPrefix(sent.Get("user-agent")[0], "contextbridge-go/"+contextbridge.Version) {
		t.Errorf("sent %v", sent)
	}
}

func TestATokenIsNotSentUnencryptedToAnotherMachine(t *testing.T) {
	token := contextbridge.WithToken("t")
	for target, local := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "unix:/run/c.sock": true,
		"dns:///localhost:1": true, "bridge.internal:1": false, "dns:///bridge:1": false,
		"10.0.0.1:1": false, "localhost.example.com:1": false,
	} {
		if client, err := contextbridge.New(target, token); (err == nil) != local {
			t.Errorf("%s: %v", target, err)
		} else if err == nil {
			_ = client.Close()
		}
	}
	for _, option := range []contextbridge.Option{contextbridge.WithTLS(nil), contextbridge.WithInsecureToken()} {
		client, err := contextbridge.New("bridge.internal:1", token, option)
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
	}
}
