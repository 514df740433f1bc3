"""The one exception that calls raise, and how it is read from a status."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request that the server refused."""

    field: str
    """The field's path, such as `messages[0].role`."""

    description: str
    """What is wrong with it, for people."""


class ContextBridgeError(Exception):
    """A call failed. Branch on `reason`, or on `code`; `message` is for people.

    The gRPC error is its `__cause__`, where there was one. A cancelled call of the async client
    raises `asyncio.CancelledError` instead.
    """

    code: grpc.StatusCode
    """The gRPC status."""

    message: str
    """What happened, for people. Its wording may change."""

    reason: str
    """The `ErrorReason` by its full name, such as `ERROR_REASON_CONTEXT_BUSY`. Empty where the
    status came without one: from gRPC itself, or from a proxy."""

    metadata: dict[str, str]
    """What is variable in the message: `requestId`, `httpStatus`, `upstreamCode` and so on."""

    violations: tuple[Violation, ...]
    """Every field that was refused, with `ERROR_REASON_REQUEST_INVALID`."""

    retry_delay: timedelta | None
    """How long to wait before a retry. None where a retry does not help, or nothing is known."""

    request_id: str
    """The id under which the server's log has the call. Empty where it is not known."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: dict[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_delay: timedelta | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(code, message)  # What pickle and copy rebuild it from.
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = metadata or {}
        self.violations = violations
        self.retry_delay = retry_delay
        self.request_id = request_id

    def __str__(self) -> str:
        text = f"{self.reason or self.code.name}: {self.message}"
        for violation in self.violations:
            text += f"; {violation.field}: {violation.description}"
        return f"{text} (request id {self.request_id})" if self.request_id else text

    @property
    def upstream_message(self) -> str:
        """What upstream said, in its own words. Empty where it said nothing."""
        return self.metadata.get("upstreamMessage", "")

    @classmethod
    def from_rpc_error(cls, error: grpc.RpcError) -> Self:
        """Reads a gRPC error. The client does it by itself; calls on `stubs` need it.

        Details that are missing or cannot be read are left out; this never raises.
        """
        code = getattr(error, "code", lambda: None)() or grpc.StatusCode.UNKNOWN
        message = getattr(error, "details", lambda: None)() or ""
        pairs = getattr(error, "trailing_metadata", lambda: None)() or ()
        return cls(code, message, **_read_details(pairs))


def incomplete(missing: str) -> ContextBridgeError:
    """The error of a stream that ended with OK and without its last event."""
    return ContextBridgeError(
        grpc.StatusCode.DATA_LOSS,
        f"The stream ended without {missing}: the answer is not whole.",
    )


def cancelled() -> ContextBridgeError:
    """The error of a blocking stream that is read after it was cancelled."""
    return ContextBridgeError(grpc.StatusCode.CANCELLED, "The stream was cancelled.")


def _read_details(pairs: Iterable[tuple[str, str | bytes]]) -> dict[str, Any]:
    status = status_pb2.Status()
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    try:
        for key, value in pairs:
            if key == _DETAILS_KEY and isinstance(value, bytes):
                status.ParseFromString(value)
    except DecodeError:
        return {}
    for detail in status.details:
        for known in (info, bad_request, retry, request):
            try:
                detail.Unpack(known)
            except DecodeError:
                known.Clear()
    return {
        "reason": info.reason,
        "metadata": dict(info.metadata),
        "violations": tuple(
            Violation(v.field, v.description) for v in bad_request.field_violations
        ),
        "retry_delay": _delay(retry),
        "request_id": request.request_id or info.metadata.get("requestId", ""),
    }


def _delay(retry: error_details_pb2.RetryInfo) -> timedelta | None:
    try:
        return retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    except (OverflowError, ValueError):
        return None
