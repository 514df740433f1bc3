import type { CallOptions as RpcOptions } from "@connectrpc/connect";

import { cancelled, ContextBridgeError, late } from "./errors.js";
import type { Attempts, Resume } from "./resume.js";

/** How a call is made. */
export interface CallOptions {
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /**
   * The deadline of the whole call in milliseconds, streams and resuming included. Undefined means
   * the client's.
   */
  readonly timeoutMs?: number | undefined;
  /** How a call with an idempotency key that breaks is taken up again. Undefined means as the client does. */
  readonly resume?: Resume | undefined;
}

/** `grpc-timeout` has at most eight digits: a good day in milliseconds. */
const MAX_TIMEOUT_MS = 99_999_999;

/** When a call must be over, and what cancels it. */
export class Limits {
  readonly #end: number;

  /** The call begins now. */
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

  /** What the transport is told; throws where the call is over already. */
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

  /** Reads what ended a call: its own limits, or something else. */
  read(reason: unknown): ContextBridgeError {
    if (this.signal?.aborted) {
      return cancelled(this.signal.reason);
    }
    const failure = ContextBridgeError.from(reason);
    return failure.reason === "" && this.remainingMs() === 0 ? late(reason) : failure;
  }

  /** Waits; throws where the call is cancelled in the meantime. */
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

/** Makes a call with one answer, and sends it again where that helps. */
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
      const failure = limits.read(error);
      const pause = attempts.pauseAfter(failure, limits.remainingMs());
      if (pause === undefined) {
        throw failure;
      }
      await limits.pause(pause);
    }
  }
}
