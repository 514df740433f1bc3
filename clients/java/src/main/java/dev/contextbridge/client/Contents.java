package dev.contextbridge.client;

import dev.contextbridge.v1.Content;
import dev.contextbridge.v1.Part;

/** Gemini's contents that are text alone. */
public final class Contents {
  private Contents() {}

  /**
   * What the model is told about its task, for {@code system_instruction}.
   *
   * @param text the text
   * @return a content without a role
   */
  public static Content system(String text) {
    return content("", text);
  }

  /**
   * What the user says.
   *
   * @param text the text
   * @return a content with the role {@code user}
   */
  public static Content user(String text) {
    return content("user", text);
  }

  /**
   * What the model said.
   *
   * @param text the text
   * @return a content with the role {@code model}
   */
  public static Content model(String text) {
    return content("model", text);
  }

  private static Content content(String role, String text) {
    return Content.newBuilder().setRole(role).addParts(Part.newBuilder().setText(text)).build();
  }
}
