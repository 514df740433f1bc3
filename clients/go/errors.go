package contextbridge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is how every call fails. Branch on Reason, or on Code; Message is for people. It wraps the
// error of gRPC, and context.Canceled or context.DeadlineExceeded where the caller's own context
// ended the call.
type Error struct {
	// Code is the gRPC status.
	Code codes.Code

	// Message says what happened, for people. Its wording may change.
	Message string

	// Reason is the ErrorReason by its full name, such as "ERROR_REASON_CONTEXT_BUSY". Empty where
	// the status came without one: from gRPC itself, or from a proxy.
	Reason string

	// Metadata is what is variable in the message: requestId, httpStatus, upstreamCode and so on.
	Metadata map[string]string

	// Violations are all fields that were refused, with ERROR_REASON_REQUEST_INVALID.
	Violations []Violation

	// RequestID is the id under which the server's log has the call. Empty where it is not known.
	RequestID string

	retryDelay *time.Duration
	causes     []error
}

// Violation is a field of the request that the server refused.
type Violation struct {
	// Field is its path, such as "messages[0].role".
	Field string

	// Description says what is wrong with it, for people.
	Description string
}

// Error returns everything that a person can use.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s", cmp.Or(e.Reason, e.CodeName()), e.Message)
	for _, violation := range e.Violations {
		fmt.Fprintf(&text, "; %s: %s", violation.Field, violation.Description)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&text, " (request id %s)", e.RequestID)
	}
	return text.String()
}

// Unwrap returns the errors that it was read from.
func (e *Error) Unwrap() []error { return e.causes }

// GRPCStatus returns the status, for status.FromError and status.Code.
func (e *Error) GRPCStatus() *status.Status {
	for _, cause := range e.causes {
		if found, ok := status.FromError(cause); ok {
			return found
		}
	}
	return status.New(e.Code, e.Message)
}

// CodeName returns the status by its name in gRPC's own list, such as "NOT_FOUND".
func (e *Error) CodeName() string { return code.Code(e.Code).String() }

// RetryDelay returns how long to wait before a retry; false where a retry does not help, or nothing
// is known.
func (e *Error) RetryDelay() (time.Duration, bool) {
	if e.retryDelay == nil {
		return 0, false
	}
	return *e.retryDelay, true
}

// UpstreamMessage returns what upstream said, in its own words. Empty where it said nothing.
func (e *Error) UpstreamMessage() string { return e.Metadata["upstreamMessage"] }

// ErrorFrom reads the error of a call on the generated stubs; nil where there is none. The calls of
// a Client need it not.
func ErrorFrom(err error) *Error {
	if err == nil {
		return nil
	}
	return newError(context.Background(), err)
}

// newError reads gRPC's error of a call. Details that are missing or cannot be read are left out.
func newError(ctx context.Context, err error) *Error {
	found := status.Convert(err)
	failure := &Error{Code: found.Code(), Message: found.Message(), causes: []error{err}}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason = detail.GetReason()
			failure.Metadata = maps.Clone(detail.GetMetadata())
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failure.Violations = append(failure.Violations, Violation{
					Field: violation.GetField(), Description: violation.GetDescription(),
				})
			}
		case *errdetails.RetryInfo:
			if detail.GetRetryDelay() != nil {
				delay := detail.GetRetryDelay().AsDuration()
				failure.retryDelay = &delay
			}
		case *errdetails.RequestInfo:
			failure.RequestID = detail.GetRequestId()
		}
	}
	failure.RequestID = cmp.Or(failure.RequestID, failure.Metadata["requestId"])
	if own := ownEnd(ctx, failure); own != nil {
		failure.causes = append(failure.causes, own)
	}
	return failure
}

// ownEnd returns the caller's cancellation or deadline, where that ended a call. A server that is
// quicker to notice the deadline than the context gives it no reason.
func ownEnd(ctx context.Context, failure *Error) error {
	switch {
	case failure.Reason != "":
		return nil
	case failure.Code == codes.DeadlineExceeded:
		return context.DeadlineExceeded
	default:
		return ctx.Err()
	}
}

// incomplete is the error of a stream that ended with OK and without its last event.
func incomplete(missing string) *Error {
	return &Error{
		Code:    codes.DataLoss,
		Message: fmt.Sprintf("The stream ended without %s: the answer is not whole.", missing),
	}
}

// left is the error of a stream that is read after it was closed.
func left() *Error {
	return &Error{
		Code:    codes.Canceled,
		Message: "The stream was left before its end.",
		causes:  []error{context.Canceled},
	}
}
