package contextbridge

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// Resume configures how the client resumes a broken call with an idempotency key, within the call's
// deadline: a stream after its newest event, a unary call from the start. The zero Resume is the
// default.
//
// A call breaks when its connection is lost, its server stops or is overloaded, or the server's
// store is unavailable. An error of upstream, the caller's deadline and the caller's cancellation
// are not breaks.
type Resume struct {
	// Attempts is the number of consecutive attempts without a new event. 0 means 5; a negative
	// number disables resuming.
	Attempts int

	// InitialBackoff is the longest wait before the first attempt. It doubles with each attempt. The
	// actual wait is random, at least half of that, and longer if the server asks for it. 0 means
	// 100 ms.
	InitialBackoff time.Duration

	// MaxBackoff is the upper limit of the backoff. 0 means 5 s.
	MaxBackoff time.Duration
}

func (r Resume) attempts() attempts {
	return attempts{
		limit:          cmp.Or(r.Attempts, 5),
		initialBackoff: cmp.Or(r.InitialBackoff, 100*time.Millisecond),
		maxBackoff:     cmp.Or(r.MaxBackoff, 5*time.Second),
	}
}

// isBreak reports whether a failure leaves the generation intact: the connection was lost, the
// server was overloaded, or its store was unavailable.
func isBreak(failure *Error) bool {
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

// attempts counts the attempts of one call. The zero value allows no second attempt.
type attempts struct {
	limit, used                int
	initialBackoff, maxBackoff time.Duration
}

// reset starts the count anew, after an event has arrived.
func (a *attempts) reset() { a.used = 0 }

// next waits until the call may be sent again after a failure; false if it may not.
func (a *attempts) next(ctx context.Context, c *Client, failure *Error) bool {
	pause, ok := a.pauseAfter(ctx, failure)
	if !ok {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		c.reconnect(ctx)
	case <-ctx.Done(): // The next attempt fails at once, with the context's error.
	}
	return true
}

// pauseAfter returns the wait before the next attempt; false if there is none.
func (a *attempts) pauseAfter(ctx context.Context, failure *Error) (time.Duration, bool) {
	if !isBreak(failure) || ctx.Err() != nil || a.used >= a.limit {
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
	longest := a.initialBackoff
	for range a.used {
		if longest >= a.maxBackoff/2 {
			longest = a.maxBackoff
			break
		}
		longest *= 2
	}
	half := max(0, min(longest, a.maxBackoff)/2)
	return half + rand.N(half+1)
}
