/**
 * The messages, enums, services and schemas of package contextbridge.v1.
 *
 * @module
 */
export * from "./generated/contextbridge/v1/cached_content_pb.js";
export * from "./generated/contextbridge/v1/cached_content_service_pb.js";
export * from "./generated/contextbridge/v1/chat_pb.js";
export * from "./generated/contextbridge/v1/content_pb.js";
export * from "./generated/contextbridge/v1/context_pb.js";
export * from "./generated/contextbridge/v1/context_service_pb.js";
export * from "./generated/contextbridge/v1/error_reason_pb.js";
export * from "./generated/contextbridge/v1/file_pb.js";
export * from "./generated/contextbridge/v1/file_service_pb.js";
export * from "./generated/contextbridge/v1/gemini_service_pb.js";
export * from "./generated/contextbridge/v1/response_cache_pb.js";
export * from "./generated/contextbridge/v1/response_cache_service_pb.js";
export * from "./generated/contextbridge/v1/usage_pb.js";
