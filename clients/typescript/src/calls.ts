import type { CallOptions as RpcOptions } from "@connectrpc/connect";

import { cancelled, ContextBridgeError, late } from "./errors.js";
import type { Attempts, Resume } from "./resume.js";

/** Options of a call. */
export interface CallOptions {
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /**
   * The deadline of the whole call in milliseconds, including a stream's resumptions. Undefined
   * means the client's.
   */
  readonly timeoutMs?: number | undefined;
  /** How a broken call with an idempotency key is resumed. Undefined means the client's setting. */
  readonly resume?: Resume | undefined;
}

/** `grpc-timeout` has at most eight digits, which is 27 hours in milliseconds. */
const MAX_TIMEOUT_MS = 99_999_999;

/** The deadline and the cancellation signal of a call. */
export class Limits {
  readonly #end: number;

  /** Starts the timeout. */
  constructor(
    readonly signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
  ) {
    this.#end = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
  }

  /** Milliseconds until the deadline, at least 0. */
  remainingMs(): number {
    return Math.max(0, this.#end - performance.now());
  }

  /** Returns the transport's options; throws if the call is cancelled or past its deadline. */
  forTransport(): RpcOptions {
    const remaining = this.remainingMs();
    if (this.signal?.aborted) {
      throw cancelled(this.signal.reason);
    }
    if (remaining === 0) {
      throw late();
    }
    return {
      ...(this.signal && { signal: this.signal }),
      ...(remaining <= MAX_TIMEOUT_MS && { timeoutMs: Math.ceil(remaining) }),
    };
  }

  /** Returns the error of a failed call: its cancellation, its deadline, or the call's own error. */
  errorOf(reason: unknown): ContextBridgeError {
    if (this.signal?.aborted) {
      return cancelled(this.signal.reason);
    }
    const failure = ContextBridgeError.from(reason);
    return failure.reason === "" && this.remainingMs() === 0 ? late(reason) : failure;
  }

  /** Waits; throws if the call is cancelled meanwhile. */
  async pause(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        reject(cancelled(this.signal?.reason));
      };
      const timer = setTimeout(() => {
        this.signal?.removeEventListener("abort", stop);
        resolve();
      }, milliseconds);
      this.signal?.addEventListener("abort", stop, { once: true });
    });
  }
}

/** Makes a unary call, and sends it again as its attempts allow. */
export async function unary<Request, Response>(
  method: (request: Request, options: RpcOptions) => Promise<Response>,
  request: Request,
  limits: Limits,
  attempts: Attempts,
): Promise<Response> {
  for (;;) {
    try {
      return await method(request, limits.forTransport());
    } catch (error) {
      const failure = limits.errorOf(error);
      const pause = attempts.pauseAfter(failure, limits.remainingMs());
      if (pause === undefined) {
        throw failure;
      }
      await limits.pause(pause);
    }
  }
}
