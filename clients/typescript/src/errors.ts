import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";

/** A field of the request that the server refused. */
export interface Violation {
  /** The field's path, such as `messages[0].role`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/** What an error is made of. */
interface Details {
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly Violation[];
  readonly retryDelayMs?: number | undefined;
  readonly requestId?: string;
  readonly cause?: unknown;
}

/**
 * A call failed. Branch on `reason`, or on `code`; `message` is for people. `cause` is the error of
 * the transport, or the reason of the signal that cancelled the call.
 */
export class ContextBridgeError extends Error {
  override readonly name = "ContextBridgeError";

  /** The gRPC status. */
  readonly code: Code;

  /** What happened, without reason, violations and request id. Its wording may change. */
  readonly rawMessage: string;

  /**
   * The `ErrorReason` by its full name, such as `ERROR_REASON_CONTEXT_BUSY`. Empty where the status
   * came without one: from the transport, or from a proxy.
   */
  readonly reason: string;

  /** What is variable in the message: `requestId`, `httpStatus`, `upstreamCode` and so on. */
  readonly metadata: Readonly<Record<string, string>>;

  /** Every field that was refused, with `ERROR_REASON_REQUEST_INVALID`. */
  readonly violations: readonly Violation[];

  /**
   * How long to wait before a retry, in milliseconds. Undefined where a retry does not help, or
   * nothing is known.
   */
  readonly retryDelayMs: number | undefined;

  /** The id under which the server's log has the call. Empty where it is not known. */
  readonly requestId: string;

  /** Calls of a client make it; `from` makes it for calls on the stubs. */
  constructor(code: Code, rawMessage: string, details: Details = {}) {
    super(messageOf(code, rawMessage, details), { cause: details.cause });
    this.code = code;
    this.rawMessage = rawMessage;
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryDelayMs = details.retryDelayMs;
    this.requestId = details.requestId ?? "";
  }

  /** The status by its name in gRPC's own list, such as `NOT_FOUND`. */
  get codeName(): string {
    return codeName(this.code);
  }

  /** What upstream said, in its own words. Empty where it said nothing. */
  get upstreamMessage(): string {
    return this.metadata["upstreamMessage"] ?? "";
  }

  /**
   * Reads the error of a call on the stubs. Details that are missing or cannot be read are left
   * out; this never throws.
   */
  static from(reason: unknown): ContextBridgeError {
    if (reason instanceof ContextBridgeError) {
      return reason;
    }
    const error = ConnectError.from(reason);
    const [info] = error.findDetails(ErrorInfoSchema);
    const [badRequest] = error.findDetails(BadRequestSchema);
    const [retry] = error.findDetails(RetryInfoSchema);
    const [request] = error.findDetails(RequestInfoSchema);
    const delay = retry?.retryDelay;
    return new ContextBridgeError(codeOf(error), error.rawMessage, {
      reason: info?.reason ?? "",
      metadata: info?.metadata ?? {},
      violations: (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({
        field,
        description,
      })),
      retryDelayMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1_000_000,
      requestId: (request?.requestId ?? "") || (info?.metadata["requestId"] ?? ""),
      cause: reason,
    });
  }
}

/** What the transport makes of a connection that was lost, by what node's http2 said of it. */
const LOST: ReadonlySet<Code> = new Set([Code.Aborted, Code.Canceled, Code.Internal, Code.Unknown]);

/** The status of an error: the server's word, or UNAVAILABLE where the connection was lost. */
function codeOf(error: ConnectError): Code {
  const saidByTheServer = error.metadata.has("grpc-status");
  return !saidByTheServer && LOST.has(error.code) ? Code.Unavailable : error.code;
}

/** The error of a stream that ended with OK and without its last event. */
export function incomplete(missing: string): ContextBridgeError {
  return new ContextBridgeError(
    Code.DataLoss,
    `The stream ended without ${missing}: the answer is not whole.`,
  );
}

/** The error of a call that its caller cancelled. */
export function cancelled(cause: unknown): ContextBridgeError {
  return new ContextBridgeError(Code.Canceled, "The call was cancelled.", { cause });
}

/** The error of a call whose own deadline has passed. */
export function late(cause?: unknown): ContextBridgeError {
  return new ContextBridgeError(Code.DeadlineExceeded, "The deadline has passed.", { cause });
}

function codeName(code: Code): string {
  if (code === Code.Canceled) {
    return "CANCELLED"; // gRPC spells it with two l's.
  }
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

function messageOf(code: Code, message: string, details: Details): string {
  const name = details.reason || codeName(code);
  const violations = (details.violations ?? []).map((v) => `; ${v.field}: ${v.description}`);
  const request = details.requestId ? ` (request id ${details.requestId})` : "";
  return `${name}: ${message}${violations.join("")}${request}`;
}
