"""What each reason is to a gRPC client: the table from the domain's errors to statuses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from contextbridge import v1 as pb

from ..errors import BridgeError

Trailers = tuple[tuple[str, str | bytes], ...]

DOMAIN = "contextbridge.dev"
SOON = timedelta(seconds=1)
LATER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Status:
    """What a reason is to a client.

    Attributes:
        code: The status code.
        advice: What the reader of the message can do; a sentence.
        retry_after: How long to wait before a retry, where one can help and upstream names no
            time; None where a retry does not help.
    """

    code: StatusCode
    advice: str
    retry_after: timedelta | None = None


STATUSES: Mapping[pb.ErrorReason.ValueType, Status] = {
    pb.ERROR_REASON_REQUEST_INVALID: Status(
        StatusCode.INVALID_ARGUMENT, "Correct the fields listed in BadRequest."
    ),
    pb.ERROR_REASON_MESSAGE_MALFORMED: Status(
        StatusCode.INVALID_ARGUMENT, "Build the request from this server's protos."
    ),
    pb.ERROR_REASON_METHOD_UNKNOWN: Status(
        StatusCode.UNIMPLEMENTED, "List the methods by reflection, or update the server."
    ),
    pb.ERROR_REASON_STORE_REQUIRED: Status(
        StatusCode.UNIMPLEMENTED, "Leave the fields out, or run the server with a store."
    ),
    pb.ERROR_REASON_STORE_UNAVAILABLE: Status(
        StatusCode.UNAVAILABLE, "Retry after the delay in RetryInfo.", SOON
    ),
    pb.ERROR_REASON_STORE_FULL: Status(
        StatusCode.RESOURCE_EXHAUSTED, "Delete contexts, or give the store more memory.", LATER
    ),
    pb.ERROR_REASON_IDEMPOTENCY_KEY_REUSED: Status(
        StatusCode.ALREADY_EXISTS, "Use a new idempotency_key for a new request."
    ),
    pb.ERROR_REASON_CONTENT_UNREADABLE: Status(
        StatusCode.FAILED_PRECONDITION, "Give the server the key that the content was stored with."
    ),
    pb.ERROR_REASON_NOT_RESUMABLE: Status(
        StatusCode.OUT_OF_RANGE, "Start again with resume_after = 0."
    ),
    pb.ERROR_REASON_GENERATION_ABANDONED: Status(
        StatusCode.ABORTED, "Call again with a new idempotency_key; the answer is charged again."
    ),
    pb.ERROR_REASON_TOKEN_MISSING: Status(
        StatusCode.UNAUTHENTICATED, "Send authorization: Bearer TOKEN as metadata."
    ),
    pb.ERROR_REASON_TOKEN_INVALID: Status(
        StatusCode.UNAUTHENTICATED, "Check the token against the server's callers file."
    ),
    pb.ERROR_REASON_UPSTREAM_KEY_MISSING: Status(
        StatusCode.UNAUTHENTICATED, "Send x-upstream-api-key as metadata."
    ),
    pb.ERROR_REASON_OVERLOADED: Status(
        StatusCode.RESOURCE_EXHAUSTED, "Retry with back-off, or add replicas.", SOON
    ),
    pb.ERROR_REASON_INTERNAL: Status(
        StatusCode.INTERNAL, "Report it with the request id; the server's log has the details."
    ),
    pb.ERROR_REASON_UPSTREAM_CONNECT_FAILED: Status(
        StatusCode.UNAVAILABLE, "Check the server's upstream address and network.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_CONNECT_TIMEOUT: Status(
        StatusCode.UNAVAILABLE, "Check the network to upstream, or raise connect_timeout.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_CONNECTION_LOST: Status(
        StatusCode.UNAVAILABLE, "A retry may be charged a second time.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_RESPONSE_TIMEOUT: Status(
        StatusCode.DEADLINE_EXCEEDED, "Stream the answer, or raise response_timeout."
    ),
    pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT: Status(
        StatusCode.DEADLINE_EXCEEDED, "Shorten the prompt, or raise first_event_timeout."
    ),
    pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT: Status(
        StatusCode.DEADLINE_EXCEEDED, "The answer is not whole; raise idle_timeout if it recurs."
    ),
    pb.ERROR_REASON_UPSTREAM_STREAM_TRUNCATED: Status(
        StatusCode.UNAVAILABLE, "The answer is not whole; a retry is charged again.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY: Status(
        StatusCode.INTERNAL, "Check upstream, and that the upstream address is the gateway's."
    ),
    pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED: Status(
        StatusCode.INTERNAL, "Check upstream, and that the upstream address is the gateway's."
    ),
    pb.ERROR_REASON_UPSTREAM_RESPONSE_TOO_LARGE: Status(
        StatusCode.RESOURCE_EXHAUSTED, "GenerationCall for less, or raise the limit."
    ),
    pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT: Status(
        StatusCode.INVALID_ARGUMENT, "Correct the request as upstream's message says."
    ),
    pb.ERROR_REASON_UPSTREAM_PROMPT_TOO_LONG: Status(
        StatusCode.INVALID_ARGUMENT, "Shorten the prompt."
    ),
    pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED: Status(
        StatusCode.INVALID_ARGUMENT, "Change the content."
    ),
    pb.ERROR_REASON_CACHE_TOO_SMALL: Status(
        StatusCode.INVALID_ARGUMENT, "Send short prefixes inline, without a cache."
    ),
    pb.ERROR_REASON_CACHE_CONFLICT: Status(
        StatusCode.INVALID_ARGUMENT, "Name the cache's model, and keep instruction and tools in it."
    ),
    pb.ERROR_REASON_UPSTREAM_FAILED_PRECONDITION: Status(
        StatusCode.FAILED_PRECONDITION, "Fix what upstream reports, then retry."
    ),
    pb.ERROR_REASON_CONTEXT_BUSY: Status(
        StatusCode.ABORTED, "Wait for the other call on this session.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_KEY_INVALID: Status(
        StatusCode.UNAUTHENTICATED, "Check the upstream key."
    ),
    pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED: Status(
        StatusCode.PERMISSION_DENIED, "Check what the upstream key may do."
    ),
    pb.ERROR_REASON_UPSTREAM_ACCOUNT_OVERDUE: Status(
        StatusCode.PERMISSION_DENIED, "Settle the upstream account."
    ),
    pb.ERROR_REASON_CONTEXT_NOT_FOUND: Status(StatusCode.NOT_FOUND, "Create the context again."),
    pb.ERROR_REASON_CACHE_NOT_FOUND: Status(
        StatusCode.NOT_FOUND, "Create the cached content again."
    ),
    pb.ERROR_REASON_CACHE_EXPIRED: Status(StatusCode.NOT_FOUND, "Create the cached content again."),
    pb.ERROR_REASON_FILE_NOT_FOUND: Status(StatusCode.NOT_FOUND, "Upload the file again."),
    pb.ERROR_REASON_MODEL_NOT_FOUND: Status(
        StatusCode.NOT_FOUND, "Check the model's name, and what it can do."
    ),
    pb.ERROR_REASON_UPSTREAM_NOT_FOUND: Status(
        StatusCode.NOT_FOUND, "Check the name, and that the upstream address is the gateway's."
    ),
    pb.ERROR_REASON_UPSTREAM_RATE_LIMITED: Status(
        StatusCode.RESOURCE_EXHAUSTED, "Retry after the delay in RetryInfo.", LATER
    ),
    pb.ERROR_REASON_UPSTREAM_OVERLOADED: Status(
        StatusCode.RESOURCE_EXHAUSTED, "Retry after the delay in RetryInfo.", LATER
    ),
    pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED: Status(
        StatusCode.RESOURCE_EXHAUSTED, "Raise the quota or the budget."
    ),
    pb.ERROR_REASON_UPSTREAM_UNAVAILABLE: Status(
        StatusCode.UNAVAILABLE, "Retry after the delay in RetryInfo.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_INTERNAL: Status(
        StatusCode.INTERNAL, "A retry may help, and may be charged a second time.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_DEADLINE_EXCEEDED: Status(
        StatusCode.DEADLINE_EXCEEDED, "A retry may help, and may be charged a second time.", SOON
    ),
    pb.ERROR_REASON_UPSTREAM_CANCELLED: Status(
        StatusCode.CANCELLED, "Upstream cancelled the call on its own."
    ),
    pb.ERROR_REASON_UPSTREAM_CONFLICT: Status(StatusCode.ABORTED, "Retry.", SOON),
    pb.ERROR_REASON_UPSTREAM_ALREADY_EXISTS: Status(
        StatusCode.ALREADY_EXISTS, "Choose another name."
    ),
    pb.ERROR_REASON_UPSTREAM_OUT_OF_RANGE: Status(
        StatusCode.OUT_OF_RANGE, "GenerationCall for what is within upstream's range."
    ),
    pb.ERROR_REASON_UPSTREAM_UNIMPLEMENTED: Status(
        StatusCode.UNIMPLEMENTED, "Check that the upstream address is the gateway's."
    ),
    pb.ERROR_REASON_UPSTREAM_DATA_LOSS: Status(StatusCode.DATA_LOSS, "Report it to upstream."),
    pb.ERROR_REASON_UPSTREAM_UNKNOWN: Status(
        StatusCode.UNKNOWN, "Check that the upstream address is the gateway's."
    ),
}
"""Every reason, and what it is to a client."""

MAX_MESSAGE_BYTES = 600
MAX_METADATA_VALUE_BYTES = 600
MAX_VIOLATION_BYTES = 2_400
MAX_FIELD_BYTES = 400
"""Trailers are kept below the 8 KiB that clients accept by default, once they are encoded:
percent-encoding triples a message, base64 adds a third to the details."""


def trailers(error: BridgeError, request_id: str) -> tuple[StatusCode, str, Trailers]:
    """Return the status code, message and trailing metadata that tell a client of an error."""
    row = STATUSES[error.reason]
    message = _cut(f"{error.message.rstrip('.')}. {row.advice}", MAX_MESSAGE_BYTES)
    status = status_pb2.Status(code=row.code.value[0], message=message)
    for detail in _details(error, row, request_id):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return (
        row.code,
        message,
        (
            ("grpc-status-details-bin", status.SerializeToString()),
            ("x-request-id", request_id),
        ),
    )


def _details(error: BridgeError, row: Status, request_id: str) -> Iterator[Message]:
    metadata = {"requestId": request_id, **error.metadata}
    yield error_details_pb2.ErrorInfo(
        reason=pb.ErrorReason.Name(error.reason),
        domain=DOMAIN,
        metadata={key: _cut(value, MAX_METADATA_VALUE_BYTES) for key, value in metadata.items()},
    )
    if error.violations:
        yield _bad_request(error)
    if row.retry_after is not None:
        retry_info = error_details_pb2.RetryInfo()
        retry_info.retry_delay.FromTimedelta(
            row.retry_after if error.retry_after is None else error.retry_after
        )
        yield retry_info
    yield error_details_pb2.RequestInfo(request_id=request_id)


def _bad_request(error: BridgeError) -> error_details_pb2.BadRequest:
    """Return every violation, or as many as trailers hold and how many more there are."""
    bad_request = error_details_pb2.BadRequest()
    size = 0
    for place, violation in enumerate(error.violations):
        field = _cut(violation.field, MAX_FIELD_BYTES)
        description = _cut(violation.description, MAX_FIELD_BYTES)
        size += len(field.encode()) + len(description.encode()) + 8
        if size > MAX_VIOLATION_BYTES:
            left = len(error.violations) - place
            bad_request.field_violations.add(field="", description=f"And {left} more.")
            break
        bad_request.field_violations.add(field=field, description=description)
    return bad_request


def _cut(text: str, most_bytes: int) -> str:
    """Cut a text to a number of UTF-8 bytes, between characters."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    return encoded[: most_bytes - 3].decode(errors="ignore") + "…"
