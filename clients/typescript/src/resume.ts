import { Code } from "@connectrpc/connect";

import type { ContextBridgeError } from "./errors.js";

/** How a broken call with an idempotency key is taken up again, within its deadline. */
export interface ResumePolicy {
  /** How often in a row without a new event; 5 unless it is given. 0 never resumes. */
  readonly attempts?: number;
  /**
   * The longest wait before the first attempt, in milliseconds; 100 unless it is given. It doubles
   * with each, and at least half of it is waited; longer where the server asks for that.
   */
  readonly initialBackoffMs?: number;
  /** Where it stops doubling, in milliseconds; 5,000 unless it is given. */
  readonly maxBackoffMs?: number;
}

/** A policy, true for the default one, or false for never. */
export type Resume = ResumePolicy | boolean;

const DEFAULT = { attempts: 5, initialBackoffMs: 100, maxBackoffMs: 5_000 };
const NEVER = { ...DEFAULT, attempts: 0 };

/** For calls that read alone, which cost nothing. */
const OF_READS = { attempts: 3, initialBackoffMs: 200, maxBackoffMs: 3_000 };

const OF_THE_WAY: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Canceled,
  Code.Internal,
  Code.Unknown,
]);
const OF_THE_MOMENT: ReadonlySet<string> = new Set([
  "ERROR_REASON_STORE_UNAVAILABLE",
  "ERROR_REASON_OVERLOADED",
]);

/**
 * Tells whether a failure left the generation as it was: the way to the server broke, or the server
 * was busy. What upstream said is none, and neither is the caller's own deadline.
 */
export function broke(failure: ContextBridgeError): boolean {
  return failure.reason ? OF_THE_MOMENT.has(failure.reason) : OF_THE_WAY.has(failure.code);
}

/** The tries of one call. */
export class Attempts {
  #used = 0;

  private constructor(
    private readonly policy: Required<ResumePolicy>,
    private readonly helps: (failure: ContextBridgeError) => boolean,
  ) {}

  /** Those of a call that may cost money: one, where it has no idempotency key. */
  static ofNamed(resume: Resume, idempotencyKey: string | undefined): Attempts {
    const chosen = resume === true ? {} : resume === false ? NEVER : resume;
    return new Attempts(idempotencyKey ? { ...DEFAULT, ...chosen } : NEVER, broke);
  }

  /** Those of a call that reads: on UNAVAILABLE alone. */
  static ofRead(): Attempts {
    return new Attempts(OF_READS, (failure) => failure.code === Code.Unavailable);
  }

  /** Those of a call that is sent once. */
  static once(): Attempts {
    return new Attempts(NEVER, () => false);
  }

  /** Takes note of a new event. */
  beginAgain(): void {
    this.#used = 0;
  }

  /**
   * Returns the milliseconds to wait before the next try; undefined where the failure stands.
   *
   * @param failure - What ended the try before.
   * @param remainingMs - Until the call's deadline; infinity without one.
   */
  pauseAfter(failure: ContextBridgeError, remainingMs: number): number | undefined {
    if (!this.helps(failure) || this.#used >= this.policy.attempts) {
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
