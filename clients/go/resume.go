package contextbridge

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// Resume is how a broken call with a request id is taken up again: a stream after its newest event,
// a unary call from the start. The zero Resume never does.
//
// A call breaks where its connection is lost or its server stops, and where the server is
// overloaded or its store is away for a moment. What upstream said, the caller's deadline and its
// cancellation are no breaks.
type Resume struct {
	// Attempts is how often in a row without a new event.
	Attempts int

	// InitialBackoff is the longest wait before the first attempt. It doubles with each, and at
	// least half of it is waited; longer where the server asks for that.
	InitialBackoff time.Duration

	// MaxBackoff is where it stops doubling.
	MaxBackoff time.Duration
}

// DefaultResume is what a client does unless it is told otherwise.
var DefaultResume = Resume{
	Attempts: 5, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
}

// broke tells whether a failure left the generation as it was: the way to the server broke, or the
// server was busy.
func broke(failure *Error) bool {
	switch failure.Reason {
	case "":
		switch failure.Code {
		case codes.Unavailable, codes.Canceled, codes.Internal, codes.Unknown:
			return true
		}
	case "ERROR_REASON_STORE_UNAVAILABLE", "ERROR_REASON_OVERLOADED":
		return true
	}
	return false
}

// attempts are the tries of one call.
type attempts struct {
	resume Resume
	used   int
}

// beginAgain takes note of a new event.
func (a *attempts) beginAgain() { a.used = 0 }

// getOver waits until a call may be sent again after a failure; false where the failure stands.
func (a *attempts) getOver(ctx context.Context, c *Client, failure *Error) bool {
	pause, ok := a.pauseAfter(ctx, failure)
	if !ok {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	c.reconnect(ctx)
	return true
}

// pauseAfter returns how long to wait before the next try; false where there is none.
func (a *attempts) pauseAfter(ctx context.Context, failure *Error) (time.Duration, bool) {
	if !broke(failure) || ctx.Err() != nil || a.used >= a.resume.Attempts {
		return 0, false
	}
	pause := a.backoff()
	a.used++
	if asked, ok := failure.RetryDelay(); ok {
		pause = max(pause, asked)
	}
	end, limited := ctx.Deadline()
	return pause, !limited || time.Until(end) > pause
}

func (a *attempts) backoff() time.Duration {
	longest := a.resume.InitialBackoff
	for range a.used {
		if longest >= a.resume.MaxBackoff {
			break
		}
		longest *= 2
	}
	longest = min(longest, a.resume.MaxBackoff)
	return longest/2 + time.Duration(rand.Int64N(int64(longest/2)+1))
}
