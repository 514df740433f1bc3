package contextbridge

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// ChatStream streams a chat's answer: a started event, the answer's events, a completed event.
type ChatStream = Stream[*pb.ChatWithContextResponse, *pb.CompleteChatWithContextResponse]

// ContentStream streams a Gemini answer.
type ContentStream = Stream[*pb.GenerateContentResponse, *pb.GenerateContentResponse]

// ErrNoWholeAnswer is the error of Answer on a stream with resume_after: the stream lacks the events
// before that.
var ErrNoWholeAnswer = errors.New("contextbridge: a stream with resume_after has no whole answer")

// Stream is an answer that arrives event by event. The call starts with the first read. It ends with
// the last event, with an error, or when the reader breaks out of a range, calls Close or cancels
// the context. Leaving early cancels upstream's work too, unless the call has an idempotency key or
// other calls share the answer.
//
// A stream is for one goroutine. Another goroutine ends it by cancelling the context.
type Stream[Event, Answer any] struct {
	client      *Client
	open        opener[Event]
	fold        fold[Event, Answer]
	attempts    attempts
	resumeAfter int32 // The request's resume_after.

	ctx    context.Context
	cancel context.CancelFunc // Nil before the call has started.
	call   receiver[Event]    // Nil before the call has started, and after a break.
	end    error              // Nil before the end; then io.EOF, or an *Error.
}

type receiver[Event any] interface{ Recv() (Event, error) }

// opener starts a call for the events after a sequence.
type opener[Event any] func(ctx context.Context, after int32) (receiver[Event], error)

func newStream[Event, Answer any](
	ctx context.Context,
	client *Client,
	request interface{ GetResumeAfter() int32 },
	open opener[Event],
	fold fold[Event, Answer],
	options []CallOption,
) *Stream[Event, Answer] {
	resumeAfter := request.GetResumeAfter()
	fold.progress().sequence = resumeAfter
	return &Stream[Event, Answer]{
		client:      client,
		open:        open,
		fold:        fold,
		attempts:    client.attempts(request, options),
		resumeAfter: resumeAfter,
		ctx:         ctx,
	}
}

// Sequence returns the position of the newest event in its generation, from 1. Before the first
// event it returns the request's resume_after.
func (s *Stream[Event, Answer]) Sequence() int32 { return s.fold.progress().sequence }

// Events iterates over the events as the server sends them. If the call fails, the iteration ends
// with an *Error. Breaking out of the loop closes the stream.
func (s *Stream[Event, Answer]) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer s.Close()
		for {
			event, err := s.next()
			if err == io.EOF || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Text iterates over the text of one choice or candidate, by its index from 0, as it arrives. It
// skips empty pieces and thoughts. It consumes the events of the stream.
func (s *Stream[Event, Answer]) Text(index int32) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range s.Events() {
			if err != nil {
				yield("", err)
				return
			}
			if piece := s.fold.text(event, index); piece != "" && !yield(piece, nil) {
				return
			}
		}
	}
}

// Answer reads to the end and returns the whole answer, including the events that were read before.
// It fails as Events does, and with ErrNoWholeAnswer.
func (s *Stream[Event, Answer]) Answer() (Answer, error) {
	var none Answer
	if s.resumeAfter > 0 {
		return none, ErrNoWholeAnswer
	}
	for _, err := range s.Events() {
		if err != nil {
			return none, err
		}
	}
	return s.fold.answer(), nil
}

// Close cancels the call if it is still in flight.
func (s *Stream[Event, Answer]) Close() {
	switch {
	case s.end != nil:
	case s.fold.progress().complete:
		s.finish(io.EOF)
	default:
		s.finish(closed())
	}
}

func (s *Stream[Event, Answer]) finish(end error) {
	s.end = end
	if s.cancel != nil {
		s.cancel()
	}
}

// next returns the next event; io.EOF after the last.
func (s *Stream[Event, Answer]) next() (Event, error) {
	var none Event
	for s.end == nil {
		event, err := s.receive()
		if err == nil {
			s.attempts.reset()
			s.fold.add(event)
			return event, nil
		}
		s.call = nil
		if end := s.retry(err); end != nil {
			s.finish(end)
		}
	}
	return none, s.end
}

func (s *Stream[Event, Answer]) receive() (Event, error) {
	if s.cancel == nil {
		s.ctx, s.cancel = s.client.begin(s.ctx)
	}
	if s.call == nil {
		call, err := s.open(s.ctx, s.Sequence())
		if err != nil {
			var none Event
			return none, err
		}
		s.call = call
	}
	return s.call.Recv()
}

// retry waits until the stream may be resumed, and returns nil; otherwise it returns the stream's
// end.
func (s *Stream[Event, Answer]) retry(err error) error {
	progress := s.fold.progress()
	if err == io.EOF {
		return s.endOf(progress)
	}
	failure := newError(s.ctx, err)
	if progress.complete && isBreak(failure) {
		return io.EOF // Only the final OK status is missing.
	}
	if !progress.resumable || !s.attempts.next(s.ctx, s.client, failure) {
		return failure
	}
	return nil
}

// endOf returns the end of a stream whose status is OK. A stream that resumes after the last event
// has no further events.
func (s *Stream[Event, Answer]) endOf(progress *progress) error {
	if progress.complete || s.resumeAfter > 0 && progress.sequence == s.resumeAfter {
		return io.EOF
	}
	return incomplete(s.fold.lastEvent())
}
