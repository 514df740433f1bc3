import { Code, type CallOptions as RpcOptions } from "@connectrpc/connect";

import { Limits } from "./calls.js";
import { cancelled, ContextBridgeError, incomplete } from "./errors.js";
import type { Fold } from "./fold.js";
import type {
  ChatWithContextResponse,
  CompleteChatWithContextResponse,
  GenerateContentResponse,
} from "./v1.js";
import { type Attempts, broke } from "./resume.js";

/** A chat's answer on its way: `started`, its pieces, `completed`. */
export type ChatStream = AnswerStream<ChatWithContextResponse, CompleteChatWithContextResponse>;

/** A Gemini answer on its way, piece by piece. */
export type ContentStream = AnswerStream<GenerateContentResponse, GenerateContentResponse>;

/** How a stream is made: what a client knows of its call. */
export interface StreamCall<Event> {
  /** Begins a call for what follows an event, by its sequence. */
  readonly open: (after: number, options: RpcOptions) => AsyncIterable<Event>;
  readonly resumeAfter: number;
  readonly attempts: Attempts;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/**
 * An answer on its way: an async iterator over its events, as the server sends them.
 *
 * The call begins with the first event asked for. Leaving a `for await` early, or `cancel`, ends
 * it, and upstream's work with it, unless others share the answer or it has an idempotency key. A stream
 * throws ContextBridgeError where the call fails, and where it ends well without its last event.
 */
export class AnswerStream<Event, Answer> implements AsyncIterableIterator<Event> {
  readonly #call: StreamCall<Event>;
  readonly #fold: Fold<Event, Answer>;
  readonly #leaving = new AbortController();
  #limits: Limits | undefined;
  #events: AsyncIterator<Event> | undefined;
  #failure: ContextBridgeError | undefined;
  #ended = false;

  /** A client makes it. */
  constructor(call: StreamCall<Event>, fold: Fold<Event, Answer>) {
    this.#call = call;
    this.#fold = fold;
  }

  /**
   * The place of the newest event in its generation, from 1; before the first it is the request's
   * `resumeAfter`.
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
          this.#call.attempts.beginAgain();
          this.#fold.add(result.value);
          return { done: false, value: result.value };
        }
        this.#end();
      } catch (error) {
        await this.#getOver(error);
      }
    }
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    return { done: true, value: undefined };
  }

  /** Cancels the call; leaving a `for await` early does it. */
  return(): Promise<IteratorResult<Event, undefined>> {
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  /**
   * Iterates over the pieces of one choice's text, none of them empty, thoughts left out. It reads
   * the stream's own events.
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
   * Reads to the end and returns the whole answer, events that were read before included. Throws
   * as iterating does, and a RangeError on a stream that was begun with `resumeAfter`, because its
   * beginning is not here.
   */
  async answer(): Promise<Answer> {
    if (this.#call.resumeAfter > 0) {
      throw new RangeError("a stream begun with resumeAfter has no whole answer");
    }
    while (!(await this.next()).done);
    return this.#fold.answer();
  }

  /** Ends the call. Does nothing after the end. */
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
    // A caller that has the last event asks for what follows it, which is nothing.
    if (!this.#fold.complete && (this.#fold.sequence > 0 || this.#call.resumeAfter === 0)) {
      this.#failure = incomplete(this.#fold.lastEvent);
    }
  }

  /** Waits until the rest may be asked for, where it may; else the failure is the stream's. */
  async #getOver(error: unknown): Promise<void> {
    const failure = this.#limits?.read(error) ?? ContextBridgeError.from(error);
    this.#events = undefined;
    if (this.#fold.complete && broke(failure)) {
      this.#ended = true; // Nothing was lost but the word that all is well.
      return;
    }
    const own = failure.code === Code.Canceled && this.#limits?.signal?.aborted;
    const remaining = this.#limits?.remainingMs() ?? 0;
    const pause = own ? undefined : this.#call.attempts.pauseAfter(failure, remaining);
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
