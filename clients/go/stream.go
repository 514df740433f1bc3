package contextbridge

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "contextbridge.dev/go/contextbridge/v1"
)

// ChatStream is a chat's answer on its way: started, its pieces, completed.
type ChatStream = Stream[*pb.ChatWithContextResponse, *pb.CompleteChatWithContextResponse]

// ContentStream is a Gemini answer on its way, piece by piece.
type ContentStream = Stream[*pb.GenerateContentResponse, *pb.GenerateContentResponse]

// ErrNoWholeAnswer is what Answer fails with on a stream that was begun with resume_after, because
// its beginning is not here.
var ErrNoWholeAnswer = errors.New("contextbridge: a stream begun with resume_after has no whole answer")

// Stream is an answer on its way. The call begins with the first event asked for, and ends with the
// last event, with an error, or when its reader leaves: by a break out of a range, by Close, or by
// cancelling the context. Leaving ends upstream's work too, unless the call has an idempotency key or
// others share the answer.
//
// A stream is for one goroutine; from another it is left by cancelling the context.
type Stream[Event, Answer any] struct {
	client *Client
	open   opener[Event]
	fold   fold[Event, Answer]
	tries  attempts
	asked  int32 // The event after which the caller wanted to begin.

	ctx    context.Context
	cancel context.CancelFunc // Nil before the call has begun.
	call   receiver[Event]    // Nil before it has, and after a break.
	end    error              // Nil before the end; then io.EOF, or an *Error.
}

type receiver[Event any] interface{ Recv() (Event, error) }

// opener begins a call for what follows an event, by its sequence.
type opener[Event any] func(ctx context.Context, after int32) (receiver[Event], error)

func newStream[Event, Answer any](
	ctx context.Context,
	client *Client,
	request interface{ GetResumeAfter() int32 },
	open opener[Event],
	whole fold[Event, Answer],
	options []CallOption,
) *Stream[Event, Answer] {
	asked := request.GetResumeAfter()
	whole.progress().sequence = asked
	return &Stream[Event, Answer]{
		client: client,
		open:   open,
		fold:   whole,
		tries:  client.attempts(request, options),
		asked:  asked,
		ctx:    ctx,
	}
}

// Sequence returns the place of the newest event in its generation, from 1; before the first it is
// the request's resume_after.
func (s *Stream[Event, Answer]) Sequence() int32 { return s.fold.progress().sequence }

// Events iterates over the events as the server sends them. Where the call fails, an *Error is the
// last that it gives. Breaking out of it closes the stream.
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

// Text iterates over the pieces of the text of one choice or candidate, by its index from 0. None
// is empty, and thoughts are left out. It reads the stream's own events.
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

// Answer reads to the end and returns the whole answer, events that were read before included. It
// fails as Events does, and with ErrNoWholeAnswer.
func (s *Stream[Event, Answer]) Answer() (Answer, error) {
	var none Answer
	if s.asked > 0 {
		return none, ErrNoWholeAnswer
	}
	for _, err := range s.Events() {
		if err != nil {
			return none, err
		}
	}
	return s.fold.answer(), nil
}

// Close ends the call where it has not ended.
func (s *Stream[Event, Answer]) Close() {
	switch {
	case s.end != nil:
	case s.fold.progress().complete:
		s.finish(io.EOF)
	default:
		s.finish(left())
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
			s.tries.beginAgain()
			s.fold.add(event)
			return event, nil
		}
		s.call = nil
		if end := s.getOver(err); end != nil {
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

// getOver waits until the rest may be asked for, where it may; else it returns the stream's end.
func (s *Stream[Event, Answer]) getOver(err error) error {
	progress := s.fold.progress()
	if err == io.EOF {
		return s.endOf(progress)
	}
	failure := newError(s.ctx, err)
	if progress.complete && broke(failure) {
		return io.EOF // Nothing was lost but the word that all is well.
	}
	if !progress.resumable || !s.tries.getOver(s.ctx, s.client, failure) {
		return failure
	}
	return nil
}

// endOf returns what an end with OK is. A caller that has the last event asks for what follows it,
// which is nothing.
func (s *Stream[Event, Answer]) endOf(progress *progress) error {
	if progress.complete || s.asked > 0 && progress.sequence == s.asked {
		return io.EOF
	}
	return incomplete(s.fold.lastEvent())
}
