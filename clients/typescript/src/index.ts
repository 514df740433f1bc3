/**
 * The client of contextbridge, a gRPC service in front of an HTTP AI gateway: cached contexts,
 * streaming chat and Gemini-native generation.
 *
 * `@contextbridge/client/v1` exports the messages.
 *
 * @module
 */
export { Client } from "./client.js";
export type { CallOptions } from "./calls.js";
export type { ClientOptions, Secret, Tls } from "./connection.js";
export { ContextBridgeError, type Violation } from "./errors.js";
export type { ResumePolicy } from "./resume.js";
export { AnswerStream, type ChatStream, type ContentStream } from "./stream.js";
export { textOf } from "./text.js";
export type { UploadOptions } from "./upload.js";
export { VERSION } from "./version.js";
