package dev.contextbridge.client;

import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.ChatWithContextResponse;
import dev.contextbridge.v1.Completed;
import dev.contextbridge.v1.Started;
import dev.contextbridge.v1.TextDelta;

/** Events of chats, and a request for them. */
final class Events {
  private Events() {}

  static ChatWithContextRequest chat(String requestId) {
    return ChatWithContextRequest.newBuilder()
        .setContextId("context-1")
        .setModel("m")
        .addMessages(Messages.user("Where are you?"))
        .setRequestId(requestId)
        .build();
  }

  static ChatWithContextResponse started(long sequence) {
    return started(sequence, true);
  }

  static ChatWithContextResponse started(long sequence, boolean resumable) {
    return event(sequence)
        .setStarted(Started.newBuilder().setId("answer-1").setResumable(resumable))
        .build();
  }

  static ChatWithContextResponse content(long sequence, String text) {
    return event(sequence).setContent(TextDelta.newBuilder().setText(text)).build();
  }

  static ChatWithContextResponse completed(long sequence) {
    return event(sequence).setCompleted(Completed.getDefaultInstance()).build();
  }

  static ChatWithContextResponse.Builder event(long sequence) {
    return ChatWithContextResponse.newBuilder().setSequence(sequence);
  }
}
