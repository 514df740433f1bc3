package dev.contextbridge.client;

import dev.contextbridge.v1.ChatMessage;

/** Messages of a chat that are text alone. */
public final class Messages {
  private Messages() {}

  /**
   * What the model is told about its task.
   *
   * @param text the text
   * @return a message with the role {@code system}
   */
  public static ChatMessage system(String text) {
    return message("system", text);
  }

  /**
   * What the user says.
   *
   * @param text the text
   * @return a message with the role {@code user}
   */
  public static ChatMessage user(String text) {
    return message("user", text);
  }

  /**
   * What the model said.
   *
   * @param text the text
   * @return a message with the role {@code assistant}
   */
  public static ChatMessage assistant(String text) {
    return message("assistant", text);
  }

  /**
   * What a tool gave.
   *
   * @param toolCallId the id of the call that the model asked for
   * @param text the result
   * @return a message with the role {@code tool}
   */
  public static ChatMessage tool(String toolCallId, String text) {
    return message("tool", text).toBuilder().setToolCallId(toolCallId).build();
  }

  private static ChatMessage message(String role, String text) {
    return ChatMessage.newBuilder().setRole(role).setContent(text).build();
  }
}
