import type { Answer } from "./fold.js";

/**
 * Returns the text of one choice or candidate of a whole answer, without thoughts; empty if the
 * answer has no such choice.
 *
 * @param answer - The result of `completeChat`, `generateContent` or a stream's `answer`.
 * @param index - The choice or candidate, from 0.
 */
export function textOf(answer: Answer, index = 0): string {
  if (answer.$typeName === "contextbridge.v1.GenerateContentResponse") {
    return answer.candidates
      .filter((candidate) => candidate.index === index)
      .flatMap((candidate) => candidate.content?.parts ?? [])
      .map((part) => (!part.thought && part.data.case === "text" ? part.data.value : ""))
      .join("");
  }
  return answer.choices
    .filter((choice) => choice.index === index)
    .map((choice) => choice.message?.content ?? "")
    .join("");
}
