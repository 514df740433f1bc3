package dev.contextbridge.client;

import dev.contextbridge.v1.ChatCompleted;
import dev.contextbridge.v1.ChatStarted;
import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.ChatWithContextResponse;
import dev.contextbridge.v1.TextDelta;

/** Events of chats, and a request for them. */
final class Events {
  private Events() {}

  static ChatWithContextRequest chat(String idempotencyKey) {
    return ChatWithContextRequest.newBuilder()
        .setContextId("context-1")
        .setModel("m")
        .addMessages(Messages.user("Where are you?"))
        .setIdempotencyKey(idempotencyKey)
        .build();
  }

  static ChatWithContextResponse started(int sequence) {
    return started(sequence, true);
  }

  static ChatWithContextResponse started(int sequence, boolean resumable) {
    return event(sequence)
        .setStarted(ChatStarted.newBuilder().setId("answer-1").setResumable(resumable))
        .build();
  }

  static ChatWithContextResponse content(int sequence, String text) {
    return event(sequence).setContent(TextDelta.newBuilder().setText(text)).build();
  }

  static ChatWithContextResponse completed(int sequence) {
    return event(sequence).setCompleted(ChatCompleted.getDefaultInstance()).build();
  }

  static ChatWithContextResponse.Builder event(int sequence) {
    return ChatWithContextResponse.newBuilder().setSequence(sequence);
  }
}
