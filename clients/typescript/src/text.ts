import type { Answer } from "./fold.js";

/**
 * Returns the text of one choice or candidate of a whole answer, thoughts left out; empty where
 * there is none.
 *
 * @param answer - What `completeChat`, `generateContent` or a stream's `answer` gave.
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
