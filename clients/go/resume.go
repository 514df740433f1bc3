package contextbridge

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// Resume is how a broken call with an idempotency key is taken up again, within its deadline: a stream
// after its newest event, a unary call from the start. The zero Resume is the default.
//
// A call breaks where its connection is lost or its server stops, and where the server is
// overloaded or its store is away for a moment. What upstream said, the caller's deadline and its
// cancellation are no breaks.
type Resume struct {
	// Attempts is how often in a row without a new event. 0 means 5; below 0 never resumes.
	Attempts int

	// InitialBackoff is the longest wait before the first attempt. It doubles with each, and at
	// least half of it is waited; longer where the server asks for that. 0 means 100 ms.
	InitialBackoff time.Duration

	// MaxBackoff is where it stops doubling. 0 means 5 s.
	MaxBackoff time.Duration
}

func (r Resume) attempts() attempts {
	return attempts{
		most:           cmp.Or(r.Attempts, 5),
		initialBackoff: cmp.Or(r.InitialBackoff, 100*time.Millisecond),
		maxBackoff:     cmp.Or(r.MaxBackoff, 5*time.Second),
	}
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

// attempts are the tries of one call. The zero value has but the first.
type attempts struct {
	most, used                 int
	initialBackoff, maxBackoff time.Duration
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
		c.reconnect(ctx)
	case <-ctx.Done(): // Sent again, the call fails at once and says why.
	}
	return true
}

// pauseAfter returns how long to wait before the next try; false where there is none.
func (a *attempts) pauseAfter(ctx context.Context, failure *Error) (time.Duration, bool) {
	if !broke(failure) || ctx.Err() != nil || a.used >= a.most {
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
