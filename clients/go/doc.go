// Package contextbridge is the client of contextbridge, a gRPC service in front of an HTTP AI
// gateway: cached contexts, streaming chat and Gemini-native generation.
//
// Requests and responses are the generated messages of package
// contextbridge.dev/go/contextbridge/v1. Every call takes a context, whose deadline and
// cancellation are the call's, and fails with an *Error.
//
// A call with an idempotency key that breaks is taken up again where it broke, and is paid once; see
// Resume. A call without one that may cost money is sent once.
package contextbridge
