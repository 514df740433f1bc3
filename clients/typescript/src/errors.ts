import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";

/** An invalid field of the request. */
export interface Violation {
  /** The field's path, such as `messages[0].role`. */
  readonly field: string;
  /** The problem with the value, for people. */
  readonly description: string;
}

/** The optional members of an error. */
interface Details {
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly Violation[];
  readonly retryDelayMs?: number | undefined;
  readonly requestId?: string;
  readonly cause?: unknown;
}

/**
 * The error of every failed call. Branch on `reason`, or on `code`; `message` is for people. `cause`
 * is the error of the transport, or the reason of the signal that cancelled the call.
 */
export class ContextBridgeError extends Error {
  override readonly name = "ContextBridgeError";

  /** The gRPC status. */
  readonly code: Code;

  /** The message without reason, violations and request id. Its wording may change. */
  readonly rawMessage: string;

  /**
   * The `ErrorReason` by its full name, such as `ERROR_REASON_CONTEXT_BUSY`. Empty for a status
   * without one, which comes from the transport or from a proxy.
   */
  readonly reason: string;

  /** The variable parts of the message: `requestId`, `httpStatus`, `upstreamCode` and so on. */
  readonly metadata: Readonly<Record<string, string>>;

  /** Every invalid field, with `ERROR_REASON_REQUEST_INVALID`. */
  readonly violations: readonly Violation[];

  /** How long to wait before a retry, in milliseconds. Undefined if the server named no delay. */
  readonly retryDelayMs: number | undefined;

  /** The id of the call in the server's log. Empty if it is unknown. */
  readonly requestId: string;

  /** Creates an error. For calls on the stubs use `from`. */
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

  /** The canonical name of the status, such as `NOT_FOUND`. */
  get codeName(): string {
    return codeName(this.code);
  }

  /** Upstream's own error message. Empty if there was none. */
  get upstreamMessage(): string {
    return this.metadata["upstreamMessage"] ?? "";
  }

  /**
   * Converts the error of a call on the stubs. Leaves out details that are missing or malformed, and
   * never throws.
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

/** The transport's codes for a lost connection, which depend on the error of Node's http2. */
const LOST: ReadonlySet<Code> = new Set([Code.Aborted, Code.Canceled, Code.Internal, Code.Unknown]);

/** Returns the server's status, or UNAVAILABLE for a lost connection. */
function codeOf(error: ConnectError): Code {
  const sentByServer = error.metadata.has("grpc-status");
  return !sentByServer && LOST.has(error.code) ? Code.Unavailable : error.code;
}

/** Returns the error of a stream that ended with OK but without its last event. */
export function incomplete(missing: string): ContextBridgeError {
  return new ContextBridgeError(
    Code.DataLoss,
    `The stream ended without ${missing}: the answer is incomplete.`,
  );
}

/** Returns the error of a call that its caller cancelled. */
export function cancelled(cause: unknown): ContextBridgeError {
  return new ContextBridgeError(Code.Canceled, "The call was cancelled.", { cause });
}

/** Returns the error of a call past its deadline. */
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
