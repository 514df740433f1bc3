package dev.contextbridge.client;

import dev.contextbridge.v1.ChatChoice;
import dev.contextbridge.v1.CompleteChatWithContextResponse;
import dev.contextbridge.v1.GenerateContentResponse;
import java.util.stream.Collectors;

/** Reads whole answers. */
public final class Answers {
  private Answers() {}

  /**
   * The text of a chat's first choice.
   *
   * @param answer what {@code completeChat} or a stream's {@code answer} gave
   * @return the text, thoughts left out; empty where there is none
   */
  public static String textOf(CompleteChatWithContextResponse answer) {
    return textOf(answer, 0);
  }

  /**
   * The text of one choice of a chat.
   *
   * @param answer what {@code completeChat} or a stream's {@code answer} gave
   * @param index the choice, from 0
   * @return the text, thoughts left out; empty where there is none
   */
  public static String textOf(CompleteChatWithContextResponse answer, int index) {
    return answer.getChoicesList().stream()
        .filter(choice -> choice.getIndex() == index)
        .map(ChatChoice::getMessage)
        .map(message -> message.getContent())
        .collect(Collectors.joining());
  }

  /**
   * The text of Gemini's first candidate.
   *
   * @param answer what {@code generateContent} or a stream's {@code answer} gave
   * @return the text, thoughts left out; empty where there is none
   */
  public static String textOf(GenerateContentResponse answer) {
    return textOf(answer, 0);
  }

  /**
   * The text of one of Gemini's candidates.
   *
   * @param answer what {@code generateContent} or a stream's {@code answer} gave
   * @param index the candidate, from 0
   * @return the text, thoughts left out; empty where there is none
   */
  public static String textOf(GenerateContentResponse answer, int index) {
    return answer.getCandidatesList().stream()
        .filter(candidate -> candidate.getIndex() == index)
        .flatMap(candidate -> candidate.getContent().getPartsList().stream())
        .filter(part -> !part.getThought())
        .map(part -> part.getText())
        .collect(Collectors.joining());
  }
}
