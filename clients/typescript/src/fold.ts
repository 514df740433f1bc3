import { create, isFieldSet, mergeFromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";

import { mergeJson, type Members, membersOf, textOfMembers } from "./json.js";
import { textOf } from "./text.js";
import {
  type Candidate,
  CandidateSchema,
  type ChatChoice,
  ChatChoiceSchema,
  type ChatCompleted,
  type ChatStarted,
  type ChatToolCallSchema,
  type ChatWithContextResponse,
  type ChoiceFinished,
  type CompleteChatWithContextResponse,
  CompleteChatWithContextResponseSchema,
  ContentSchema,
  type GenerateContentResponse,
  GenerateContentResponseSchema,
  type Part,
  PartSchema,
  type TokenLogprob,
  type ToolCallDelta,
} from "./v1.js";

/** A whole answer. */
export type Answer = CompleteChatWithContextResponse | GenerateContentResponse;

/** Builds the answer of the unary call from the events of a stream, in order. */
export interface Fold<Event, Whole> {
  /** The field that ends a complete stream, for error messages. */
  readonly lastEvent: string;
  /** The position of the newest event in its generation, from 1; 0 before the first. */
  readonly sequence: number;
  /** Whether the last event has arrived. */
  readonly complete: boolean;
  /** False if the server has said that the stream cannot be resumed. */
  readonly resumable: boolean;
  /** Takes the next event. */
  add(event: Event): void;
  /** Returns the text that an event adds to one choice; empty for none. */
  text(event: Event, index: number): string;
  /** Returns the answer so far. */
  answer(): Whole;
}

/** Folds the events of ChatWithContext. */
export class ChatFold implements Fold<ChatWithContextResponse, CompleteChatWithContextResponse> {
  readonly lastEvent = "`completed`";
  sequence = 0;
  complete = false;
  resumable = true;
  readonly #choices = new Map<number, Choice>();
  #started: ChatStarted | undefined;
  #completed: ChatCompleted | undefined;

  /** Takes the next event. An event of an unknown kind changes only the sequence. */
  add({ sequence, event }: ChatWithContextResponse): void {
    this.sequence = sequence;
    switch (event.case) {
      case "started":
        this.#started = event.value;
        this.resumable = event.value.resumable;
        break;
      case "content":
        this.#choice(event.value.index).content.push(event.value.text);
        this.#choice(event.value.index).logprobs.push(...event.value.logprobs);
        break;
      case "reasoning":
        this.#choice(event.value.index).reasoning.push(event.value.text);
        break;
      case "refusal":
        this.#choice(event.value.index).refusal.push(event.value.text);
        this.#choice(event.value.index).refusalLogprobs.push(...event.value.logprobs);
        break;
      case "toolCall":
        this.#choice(event.value.index).addToolCall(event.value);
        break;
      case "choiceFinished":
        this.#choice(event.value.index).finished = event.value;
        break;
      case "extra":
        this.#choice(event.value.index).addExtra(event.value.extraJson);
        break;
      case "completed":
        this.#completed = event.value;
        this.complete = true;
        break;
      case undefined:
        break;
    }
  }

  text({ event }: ChatWithContextResponse, index: number): string {
    return event.case === "content" && event.value.index === index ? event.value.text : "";
  }

  answer(): CompleteChatWithContextResponse {
    const { id, model, createTime, systemFingerprint } = this.#started ?? {};
    const role = this.#started?.role || "assistant";
    const { usage, responseCache, billedUsage, context, serviceTier, extraJson } =
      this.#completed ?? {};
    return create(CompleteChatWithContextResponseSchema, {
      ...set({ id, model, createTime, systemFingerprint }),
      ...set({ usage, responseCache, billedUsage, context, serviceTier, extraJson }),
      choices: inOrder(this.#choices).map(([index, choice]) => choice.build(index, role)),
    });
  }

  #choice(index: number): Choice {
    return found(this.#choices, index, () => new Choice());
  }
}

/** Accumulates one choice of a chat. `build` joins the texts. */
class Choice {
  readonly content: string[] = [];
  readonly reasoning: string[] = [];
  readonly refusal: string[] = [];
  readonly logprobs: TokenLogprob[] = [];
  readonly refusalLogprobs: TokenLogprob[] = [];
  readonly #calls = new Map<number, ToolCallDelta[]>();
  readonly #extra: Members = new Map();
  readonly #messageExtra: Members = new Map();
  finished: ChoiceFinished | undefined;

  addToolCall(delta: ToolCallDelta): void {
    found(this.#calls, delta.callIndex, () => []).push(delta);
  }

  /** Takes upstream's other members of a choice and, under `delta`, of its message. */
  addExtra(text: string): void {
    for (const [name, value] of membersOf(text) ?? []) {
      const ofMessage = name === "delta" ? membersOf(value) : undefined;
      if (ofMessage) {
        ofMessage.forEach((inner, innerName) => this.#messageExtra.set(innerName, inner));
      } else {
        this.#extra.set(name, value);
      }
    }
  }

  build(index: number, role: string): ChatChoice {
    const { finishReason, finishReasonRaw, moderationHitType } = this.finished ?? {};
    const { name, rest } = withoutName(this.#messageExtra);
    return create(ChatChoiceSchema, {
      index,
      message: {
        role,
        name,
        content: this.content.join(""),
        reasoning: this.reasoning.join(""),
        refusal: this.refusal.join(""),
        toolCalls: inOrder(this.#calls).map(([, deltas]) => toolCallOf(deltas)),
        extraJson: textOfMembers(rest),
      },
      ...set({ finishReason, finishReasonRaw, moderationHitType }),
      logprobs: this.logprobs,
      refusalLogprobs: this.refusalLogprobs,
      extraJson: textOfMembers(this.#extra),
    });
  }
}

/** Joins the deltas of one tool call. */
function toolCallOf(deltas: readonly ToolCallDelta[]): MessageInitShape<typeof ChatToolCallSchema> {
  return {
    id: deltas.find((delta) => delta.id)?.id ?? "",
    name: deltas.find((delta) => delta.name)?.name ?? "",
    argumentsJson: deltas.map((delta) => delta.argumentsJson).join(""),
    extraJson: mergeJson(deltas.map((delta) => delta.extraJson).filter(Boolean)),
  };
}

/** Removes the speaker's name, for which ChatMessage has a field and the events have none. */
function withoutName(members: Members): { name: string; rest: Members } {
  const name: unknown = JSON.parse(members.get("name") ?? "null");
  if (typeof name !== "string") {
    return { name: "", rest: members };
  }
  return { name, rest: new Map([...members].filter(([member]) => member !== "name")) };
}

/** Folds the messages of StreamGenerateContent. */
export class ContentFold implements Fold<GenerateContentResponse, GenerateContentResponse> {
  readonly lastEvent = "`billed_usage`";
  sequence = 0;
  complete = false;
  readonly resumable = true;
  readonly #candidates = new Map<number, GrowingCandidate>();
  readonly #latest = create(GenerateContentResponseSchema);
  readonly #extras: string[] = [];

  add(event: GenerateContentResponse): void {
    this.sequence = event.sequence;
    this.complete ||= event.billedUsage !== undefined;
    for (const piece of event.candidates) {
      found(this.#candidates, piece.index, () => new GrowingCandidate()).add(piece);
    }
    if (event.extraJson) {
      this.#extras.push(event.extraJson);
    }
    const excluded = ["candidates", "extra_json", "sequence"];
    keepLatest(GenerateContentResponseSchema, this.#latest, event, excluded);
  }

  text(event: GenerateContentResponse, index: number): string {
    return textOf(event, index);
  }

  answer(): GenerateContentResponse {
    return create(GenerateContentResponseSchema, {
      ...this.#latest,
      candidates: inOrder(this.#candidates).map(([, candidate]) => candidate.build()),
      extraJson: mergeJson(this.#extras),
    });
  }
}

/** A part of a content, with the joined texts of the neighbouring parts of its kind. */
interface Run {
  readonly part: Part;
  readonly fields: string;
  readonly texts: string[];
}

/** The fields of parts that are joined. A part with a signature stays separate. */
const PLAIN_TEXT = ["text", "text,thought"];

/**
 * Accumulates one candidate of a Gemini answer. It appends the lists to which each piece adds, and
 * replaces every field that describes the candidate so far.
 */
class GrowingCandidate {
  readonly #latest = create(CandidateSchema);
  readonly #grown = create(CandidateSchema);
  readonly #extras: string[] = [];
  readonly #runs: Run[] = [];
  #hasContent = false;
  #role = "";

  add(piece: Candidate): void {
    if (piece.content) {
      this.#hasContent = true;
      this.#role = piece.content.role || this.#role;
      piece.content.parts.forEach((part) => {
        this.#addPart(part);
      });
    }
    const { citationMetadata, logprobsResult } = piece;
    const growing = create(CandidateSchema, set({ citationMetadata, logprobsResult }));
    mergeFromBinary(CandidateSchema, this.#grown, toBinary(CandidateSchema, growing));
    if (piece.extraJson) {
      this.#extras.push(piece.extraJson);
    }
    const excluded = ["content", "citation_metadata", "logprobs_result", "extra_json"];
    keepLatest(CandidateSchema, this.#latest, piece, excluded);
  }

  build(): Candidate {
    const { citationMetadata, logprobsResult } = this.#grown;
    return create(CandidateSchema, {
      ...this.#latest,
      ...set({ citationMetadata, logprobsResult }),
      extraJson: mergeJson(this.#extras),
      ...(this.#hasContent && {
        content: create(ContentSchema, { role: this.#role, parts: this.#runs.map(joined) }),
      }),
    });
  }

  #addPart(part: Part): void {
    const fields = PartSchema.fields
      .filter((field) => isFieldSet(part, field))
      .map((field) => field.name)
      .sort()
      .join();
    const text = part.data.case === "text" ? part.data.value : "";
    const last = this.#runs.at(-1);
    if (last?.fields === fields && PLAIN_TEXT.includes(fields)) {
      last.texts.push(text);
    } else {
      this.#runs.push({ part, fields, texts: [text] });
    }
  }
}

function joined({ part, texts }: Run): Part {
  if (texts.length === 1) {
    return part;
  }
  const data = { case: "text", value: texts.join("") } as const;
  return create(PartSchema, { thought: part.thought, data });
}

/** Copies the set fields of a later message into the latest one, except for the excluded fields. */
function keepLatest<Desc extends DescMessage>(
  schema: Desc,
  latest: MessageShape<Desc>,
  later: MessageShape<Desc>,
  excluded: readonly string[],
): void {
  const target = reflect(schema, latest);
  const source = reflect(schema, later);
  for (const field of schema.fields) {
    if (source.isSet(field) && !excluded.includes(field.name)) {
      target.set(field, source.get(field));
    }
  }
}

/** Returns the fields that are not undefined. */
function set<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}

function found<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

function inOrder<Value>(map: ReadonlyMap<number, Value>): [number, Value][] {
  return [...map].sort(([one], [other]) => one - other);
}
