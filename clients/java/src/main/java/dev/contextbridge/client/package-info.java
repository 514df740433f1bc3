/**
 * The client of contextbridge, a gRPC service in front of an HTTP AI gateway: cached contexts,
 * streaming chat, Gemini-native generation, cached contents and files.
 *
 * <p>{@link dev.contextbridge.client.ContextBridgeClient} is where to begin. The messages are in
 * {@code dev.contextbridge.v1}, and every failure is a {@link
 * dev.contextbridge.client.ContextBridgeException}.
 */
package dev.contextbridge.client;
