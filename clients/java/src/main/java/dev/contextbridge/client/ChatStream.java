package dev.contextbridge.client;

import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.ChatWithContextResponse;
import dev.contextbridge.v1.CompleteChatWithContextResponse;
import dev.contextbridge.v1.ContextServiceGrpc;

/** A chat's answer on its way: {@code started}, its pieces, {@code completed}. */
public final class ChatStream
    extends AnswerStream<ChatWithContextResponse, CompleteChatWithContextResponse> {
  ChatStream(Calls calls, ChatWithContextRequest request) {
    this(calls, request, new ChatFold());
  }

  private ChatStream(Calls calls, ChatWithContextRequest request, ChatFold fold) {
    super(
        fold,
        new Relay<>(
            calls,
            ContextServiceGrpc.getChatWithContextMethod(),
            after -> request.toBuilder().setResumeAfter(after).build(),
            request.getIdempotencyKey(),
            request.getResumeAfter(),
            fold));
  }
}
