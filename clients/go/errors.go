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

// Error is the error of every failed call. Branch on Reason, or on Code; Message is for people.
// Error wraps gRPC's own error, and context.Canceled or context.DeadlineExceeded if the caller's
// context ended the call.
type Error struct {
	// Code is the gRPC status.
	Code codes.Code

	// Message says what happened, for people. Its wording may change.
	Message string

	// Reason is the ErrorReason by its full name, such as "ERROR_REASON_CONTEXT_BUSY". Empty for a
	// status without one, which comes from gRPC itself or from a proxy.
	Reason string

	// Metadata has the variable parts of the message: requestId, httpStatus, upstreamCode and so on.
	Metadata map[string]string

	// Violations lists every invalid field, with ERROR_REASON_REQUEST_INVALID.
	Violations []Violation

	// RequestID is the id of the call in the server's log. Empty if it is unknown.
	RequestID string

	retryDelay *time.Duration
	causes     []error
}

// Violation is an invalid field of the request.
type Violation struct {
	// Field is its path, such as "messages[0].role".
	Field string

	// Description is the problem with the value, for people.
	Description string
}

// Error returns the reason, the message, the violations and the request id.
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

// Unwrap returns gRPC's error, and the context's where that ended the call.
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

// CodeName returns the canonical name of the status, such as "NOT_FOUND".
func (e *Error) CodeName() string { return code.Code(e.Code).String() }

// RetryDelay returns how long to wait before a retry; false if the server named no delay.
func (e *Error) RetryDelay() (time.Duration, bool) {
	if e.retryDelay == nil {
		return 0, false
	}
	return *e.retryDelay, true
}

// UpstreamMessage returns upstream's own error message. Empty if there was none.
func (e *Error) UpstreamMessage() string { return e.Metadata["upstreamMessage"] }

// ErrorFrom returns the Error of a call on the generated stubs; nil for nil. Calls of a Client
// return an *Error already.
func ErrorFrom(err error) *Error {
	if err == nil {
		return nil
	}
	return newError(context.Background(), err)
}

// newError returns the Error of a failed gRPC call. It leaves out details that are missing or
// malformed.
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
	if cause := contextError(ctx, failure); cause != nil {
		failure.causes = append(failure.causes, cause)
	}
	return failure
}

// contextError returns the caller's cancellation or deadline, if that ended the call. A server that
// notices the deadline before the context does sends DEADLINE_EXCEEDED without a reason.
func contextError(ctx context.Context, failure *Error) error {
	switch {
	case failure.Reason != "":
		return nil
	case failure.Code == codes.DeadlineExceeded:
		return context.DeadlineExceeded
	default:
		return ctx.Err()
	}
}

// incomplete returns the error of a stream that ended with OK but without its last event.
func incomplete(missing string) *Error {
	return &Error{
		Code:    codes.DataLoss,
		Message: fmt.Sprintf("The stream ended without %s: the answer is incomplete.", missing),
	}
}

// closed returns the error of a stream that is read after Close.
func closed() *Error {
	return &Error{
		Code:    codes.Canceled,
		Message: "The stream was closed before its end.",
		causes:  []error{context.Canceled},
	}
}
