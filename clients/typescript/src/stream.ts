import { Code, type CallOptions as RpcOptions } from "@connectrpc/connect";

import { Limits } from "./calls.js";
import { cancelled, ContextBridgeError, incomplete } from "./errors.js";
import type { Fold } from "./fold.js";
import type {
  ChatWithContextResponse,
  CompleteChatWithContextResponse,
  GenerateContentResponse,
} from "./v1.js";
import { type Attempts, isBreak } from "./resume.js";

/** Streams a chat's answer: `started`, the answer's events, `completed`. */
export type ChatStream = AnswerStream<ChatWithContextResponse, CompleteChatWithContextResponse>;

/** Streams a Gemini answer. */
export type ContentStream = AnswerStream<GenerateContentResponse, GenerateContentResponse>;

/** The call of a stream. */
export interface StreamCall<Event> {
  /** Starts a call for the events after a sequence. */
  readonly open: (after: number, options: RpcOptions) => AsyncIterable<Event>;
  readonly resumeAfter: number;
  readonly attempts: Attempts;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/**
 * An answer that arrives event by event: an async iterator over the events as the server sends them.
 *
 * The call starts with the first read. Leaving a `for await` early, or `cancel`, cancels the call
 * and upstream's work, unless the call has an idempotency key or other calls share the answer. A
 * stream throws ContextBridgeError if the call fails, or ends with OK but without its last event.
 */
export class AnswerStream<Event, Answer> implements AsyncIterableIterator<Event> {
  readonly #call: StreamCall<Event>;
  readonly #fold: Fold<Event, Answer>;
  readonly #leaving = new AbortController();
  #limits: Limits | undefined;
  #events: AsyncIterator<Event> | undefined;
  #failure: ContextBridgeError | undefined;
  #ended = false;

  /** Creates a stream. The methods of a client do it. */
  constructor(call: StreamCall<Event>, fold: Fold<Event, Answer>) {
    this.#call = call;
    this.#fold = fold;
  }

  /**
   * The position of the newest event in its generation, from 1. Before the first event it is the
   * request's `resumeAfter`.
   */
  get sequence(): number {
    return this.#fold.sequence || this.#call.resumeAfter;
  }

  /** The stream itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Returns the next event. */
  async next(): Promise<IteratorResult<Event, undefined>> {
    while (!this.#ended && this.#failure === undefined) {
      try {
        const result = await this.#source().next();
        if (!result.done) {
          this.#call.attempts.reset();
          this.#fold.add(result.value);
          return { done: false, value: result.value };
        }
        this.#end();
      } catch (error) {
        await this.#retry(error);
      }
    }
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    return { done: true, value: undefined };
  }

  /** Cancels the call. Leaving a `for await` early calls this. */
  return(): Promise<IteratorResult<Event, undefined>> {
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  /**
   * Iterates over the text of one choice as it arrives. Skips empty pieces and thoughts. Consumes
   * the events of the stream.
   *
   * @param index - The choice or candidate, from 0.
   */
  async *text(index = 0): AsyncGenerator<string, void, undefined> {
    for await (const event of this) {
      const piece = this.#fold.text(event, index);
      if (piece) {
        yield piece;
      }
    }
  }

  /**
   * Reads to the end and returns the whole answer, including the events that were read before.
   * Throws as iterating does, and a RangeError on a stream with `resumeAfter`, which lacks the
   * events before that.
   */
  async answer(): Promise<Answer> {
    if (this.#call.resumeAfter > 0) {
      throw new RangeError("a stream with resumeAfter has no whole answer");
    }
    while (!(await this.next()).done);
    return this.#fold.answer();
  }

  /** Cancels the call if it is still in flight. */
  cancel(): void {
    if (!this.#ended && this.#failure === undefined) {
      this.#failure = cancelled(undefined);
      this.#leaving.abort();
    }
  }

  #source(): AsyncIterator<Event> {
    if (this.#events === undefined) {
      this.#limits ??= new Limits(this.#signal(), this.#call.timeoutMs);
      const events = this.#call.open(this.sequence, this.#limits.forTransport());
      this.#events = events[Symbol.asyncIterator]();
    }
    return this.#events;
  }

  #signal(): AbortSignal {
    const leaving = this.#leaving.signal;
    return this.#call.signal ? AbortSignal.any([this.#call.signal, leaving]) : leaving;
  }

  #end(): void {
    this.#ended = true;
    // A stream that resumes after the last event has no further events.
    if (!this.#fold.complete && (this.#fold.sequence > 0 || this.#call.resumeAfter === 0)) {
      this.#failure = incomplete(this.#fold.lastEvent);
    }
  }

  /** Waits until the stream may be resumed; if it may not, sets its failure. */
  async #retry(error: unknown): Promise<void> {
    const failure = this.#limits?.errorOf(error) ?? ContextBridgeError.from(error);
    this.#events = undefined;
    if (this.#fold.complete && isBreak(failure)) {
      this.#ended = true; // Only the final OK status is missing.
      return;
    }
    const aborted = failure.code === Code.Canceled && this.#limits?.signal?.aborted;
    const remaining = this.#limits?.remainingMs() ?? 0;
    const pause = aborted ? undefined : this.#call.attempts.pauseAfter(failure, remaining);
    if (pause === undefined || !this.#fold.resumable) {
      this.#failure ??= failure;
      return;
    }
    try {
      await this.#limits?.pause(pause);
    } catch (cancellation) {
      this.#failure ??= ContextBridgeError.from(cancellation);
    }
  }
}
