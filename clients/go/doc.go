// Package contextbridge is the client of contextbridge, a gRPC service in front of an HTTP AI
// gateway: cached contexts, streaming chat and Gemini-native generation.
//
// Requests and responses are the generated messages of package
// contextbridge.dev/go/contextbridge/v1. Every call takes a context, whose deadline and
// cancellation are the call's, and fails with an *Error.
//
// A call with an idempotency key resumes after a break, and upstream charges for it once; see
// Resume. A call that may cost money and has no idempotency key is sent once.
package contextbridge
