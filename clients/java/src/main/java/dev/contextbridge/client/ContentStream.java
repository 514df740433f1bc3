package dev.contextbridge.client;

import dev.contextbridge.v1.GeminiServiceGrpc;
import dev.contextbridge.v1.GenerateContentRequest;
import dev.contextbridge.v1.GenerateContentResponse;

/** A Gemini answer on its way, piece by piece; {@code billed_usage} is on the last. */
public final class ContentStream
    extends AnswerStream<GenerateContentResponse, GenerateContentResponse> {
  ContentStream(Calls calls, GenerateContentRequest request) {
    this(calls, request, new ContentFold());
  }

  private ContentStream(Calls calls, GenerateContentRequest request, ContentFold fold) {
    super(
        fold,
        new Relay<>(
            calls,
            GeminiServiceGrpc.getStreamGenerateContentMethod(),
            after -> request.toBuilder().setResumeAfter(after).build(),
            request.getIdempotencyKey(),
            request.getResumeAfter(),
            fold));
  }
}
