import { Code } from "@connectrpc/connect";

import type { ContextBridgeError } from "./errors.js";

/** How the client resumes a broken call with an idempotency key, within the call's deadline. */
export interface ResumePolicy {
  /**
   * The number of consecutive attempts without a new event. The default is 5; 0 disables resuming.
   */
  readonly attempts?: number;
  /**
   * The longest wait before the first attempt, in milliseconds. The default is 100. It doubles with
   * each attempt. The actual wait is random, at least half of that, and longer if the server asks
   * for it.
   */
  readonly initialBackoffMs?: number;
  /** The upper limit of the backoff, in milliseconds. The default is 5,000. */
  readonly maxBackoffMs?: number;
}

/** A policy, true for the default policy, or false to disable resuming. */
export type Resume = ResumePolicy | boolean;

const DEFAULT = { attempts: 5, initialBackoffMs: 100, maxBackoffMs: 5_000 };
const NEVER = { ...DEFAULT, attempts: 0 };

/** The policy of reads, which are free. */
const READING = { attempts: 3, initialBackoffMs: 200, maxBackoffMs: 3_000 };

const CONNECTION_CODES: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Canceled,
  Code.Internal,
  Code.Unknown,
]);
const TRANSIENT_REASONS: ReadonlySet<string> = new Set([
  "ERROR_REASON_STORE_UNAVAILABLE",
  "ERROR_REASON_OVERLOADED",
]);

/**
 * Returns whether a failure leaves the generation intact: the connection was lost, the server was
 * overloaded, or its store was unavailable. An error of upstream and the caller's deadline are not
 * breaks.
 */
export function isBreak(failure: ContextBridgeError): boolean {
  return failure.reason
    ? TRANSIENT_REASONS.has(failure.reason)
    : CONNECTION_CODES.has(failure.code);
}

/** Counts the attempts of one call. */
export class Attempts {
  #used = 0;

  private constructor(
    private readonly policy: Required<ResumePolicy>,
    private readonly canRetry: (failure: ContextBridgeError) => boolean,
  ) {}

  /** Returns the attempts of a call that may cost money: one without an idempotency key. */
  static resuming(resume: Resume, idempotencyKey: string | undefined): Attempts {
    const chosen = resume === true ? {} : resume === false ? NEVER : resume;
    return new Attempts(idempotencyKey ? { ...DEFAULT, ...chosen } : NEVER, isBreak);
  }

  /** Returns the attempts of a read, which is retried on UNAVAILABLE. */
  static reading(): Attempts {
    return new Attempts(READING, (failure) => failure.code === Code.Unavailable);
  }

  /** Returns the single attempt of any other call. */
  static once(): Attempts {
    return new Attempts(NEVER, () => false);
  }

  /** Starts the count anew, after an event has arrived. */
  reset(): void {
    this.#used = 0;
  }

  /**
   * Returns the wait before the next attempt in milliseconds; undefined if there is none.
   *
   * @param failure - The error of the previous attempt.
   * @param remainingMs - The time until the call's deadline; infinity without one.
   */
  pauseAfter(failure: ContextBridgeError, remainingMs: number): number | undefined {
    if (!this.canRetry(failure) || this.#used >= this.policy.attempts) {
      return undefined;
    }
    const { initialBackoffMs, maxBackoffMs } = this.policy;
    const longest = Math.min(initialBackoffMs * 2 ** this.#used, maxBackoffMs);
    this.#used += 1;
    const backoff = longest * (0.5 + Math.random() / 2);
    const pause = Math.max(backoff, failure.retryDelayMs ?? 0);
    return pause < remainingMs ? pause : undefined;
  }
}
