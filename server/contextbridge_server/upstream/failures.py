"""What upstream's failures mean: the table from HTTP answers to reasons.

The rules are tried in the order of wire.md E: what the content says beats Google's status name,
which beats the HTTP status.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import msgspec

from contextbridge import v1 as pb

from ..errors import BridgeError, malformed
from .sse import BOM

Reason: TypeAlias = pb.ErrorReason.ValueType

BY_CODE: Mapping[str, Reason] = {
    # Ark's dotted codes (wire.md A.4); a longer one is looked up by its prefixes too.
    "MissingParameter": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "InvalidParameter": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "InvalidArgumentError": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "OutofContextError": pb.ERROR_REASON_UPSTREAM_PROMPT_TOO_LONG,
    "InputTextRiskDetection": pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED,
    "OutputTextRiskDetection": pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED,
    "SensitiveContentDetected": pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED,
    "InvalidEndpoint": pb.ERROR_REASON_UPSTREAM_FAILED_PRECONDITION,
    "AuthenticationError": pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    "InvalidAccountStatus": pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    "AccountOverdueError": pb.ERROR_REASON_UPSTREAM_ACCOUNT_OVERDUE,
    "OperationDenied.ServiceOverdue": pb.ERROR_REASON_UPSTREAM_ACCOUNT_OVERDUE,
    "OperationDenied.InvalidState": pb.ERROR_REASON_CONTEXT_BUSY,
    "OperationDenied": pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
    "AccessDenied": pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
    "InvalidEndpointOrModel": pb.ERROR_REASON_MODEL_NOT_FOUND,
    "ModelNotOpen": pb.ERROR_REASON_MODEL_NOT_FOUND,
    "NotFound.context_id": pb.ERROR_REASON_CONTEXT_NOT_FOUND,
    "RateLimitExceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "ModelAccountRpmRateLimitExceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "ModelAccountTpmRateLimitExceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "APIAccountRpmRateLimitExceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "AccountRateLimitExceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "InflightBatchsizeExceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "RequestBurstTooFast": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "ServerOverloaded": pb.ERROR_REASON_UPSTREAM_OVERLOADED,
    "QuotaExceeded": pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    "SetLimitExceeded": pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    "InternalServiceError": pb.ERROR_REASON_UPSTREAM_INTERNAL,
    # The codes of one-api and new-api (wire.md A.4).
    "invalid_request": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "bad_request_body": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "convert_request_failed": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "context_length_exceeded": pb.ERROR_REASON_UPSTREAM_PROMPT_TOO_LONG,
    "sensitive_words_detected": pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED,
    "prompt_blocked": pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED,
    "access_denied": pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
    "model_not_found": pb.ERROR_REASON_MODEL_NOT_FOUND,
    "insufficient_quota": pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    "insufficient_user_quota": pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    "pre_consume_token_quota_failed": pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    "token_concurrency_limit_reached": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "rate_limit_exceeded": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    # Google's ErrorInfo reasons (wire.md E).
    "API_KEY_INVALID": pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    "CREDENTIALS_MISSING": pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    "ACCESS_TOKEN_EXPIRED": pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    "API_KEY_SERVICE_BLOCKED": pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
    "SERVICE_DISABLED": pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
}
"""Reasons by upstream's code, type or ErrorInfo reason."""

BY_MESSAGE: tuple[tuple[re.Pattern[str], Reason], ...] = (
    (
        re.compile(r"cache(d)? ?content \S+ is expired", re.IGNORECASE),
        pb.ERROR_REASON_CACHE_EXPIRED,
    ),
    (re.compile(r"^CachedContent not found", re.IGNORECASE), pb.ERROR_REASON_CACHE_NOT_FOUND),
    (re.compile(r"cached content metadata", re.IGNORECASE), pb.ERROR_REASON_CACHE_NOT_FOUND),
    (
        re.compile(r"^Cached content \S+ is not found", re.IGNORECASE),
        pb.ERROR_REASON_CACHE_NOT_FOUND,
    ),
    (
        re.compile(
            # `context deadline expired` is Go's word for a timeout.
            r"\bcontext(?! deadline)( \S+)? (is |was |has |does )?(not found|expired|not exist)",
            re.IGNORECASE,
        ),
        pb.ERROR_REASON_CONTEXT_NOT_FOUND,
    ),
    (
        re.compile(
            r"^Cached content is too small|minimum token count to start .*caching", re.IGNORECASE
        ),
        pb.ERROR_REASON_CACHE_TOO_SMALL,
    ),
    (
        re.compile(
            r"CachedContent can not be used with GenerateContent"
            r"|should not be set in the request when using cached content"
            r"|CachedContent .* has to be the same",
            re.IGNORECASE,
        ),
        pb.ERROR_REASON_CACHE_CONFLICT,
    ),
    (
        re.compile(r"permission to access the File \S+ or it may not exist", re.IGNORECASE),
        pb.ERROR_REASON_FILE_NOT_FOUND,
    ),
    (
        re.compile(r"not in an ACTIVE state", re.IGNORECASE),
        pb.ERROR_REASON_UPSTREAM_FAILED_PRECONDITION,
    ),
    (
        re.compile(r"^(models/|Publisher Model)\S* ?.*(is|was) not found", re.IGNORECASE),
        pb.ERROR_REASON_MODEL_NOT_FOUND,
    ),
    (
        re.compile(r"input token count .* exceeds the maximum", re.IGNORECASE),
        pb.ERROR_REASON_UPSTREAM_PROMPT_TOO_LONG,
    ),
    (re.compile(r"unregistered callers", re.IGNORECASE), pb.ERROR_REASON_UPSTREAM_KEY_INVALID),
)
"""Reasons by what upstream's message says, where no code says it; the first match counts."""

BY_GOOGLE_STATUS: Mapping[str, Reason] = {
    "INVALID_ARGUMENT": pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    "FAILED_PRECONDITION": pb.ERROR_REASON_UPSTREAM_FAILED_PRECONDITION,
    "OUT_OF_RANGE": pb.ERROR_REASON_UPSTREAM_OUT_OF_RANGE,
    "UNAUTHENTICATED": pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    "PERMISSION_DENIED": pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
    "NOT_FOUND": pb.ERROR_REASON_UPSTREAM_NOT_FOUND,
    "ALREADY_EXISTS": pb.ERROR_REASON_UPSTREAM_ALREADY_EXISTS,
    "ABORTED": pb.ERROR_REASON_UPSTREAM_CONFLICT,
    "RESOURCE_EXHAUSTED": pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    "CANCELLED": pb.ERROR_REASON_UPSTREAM_CANCELLED,
    "UNKNOWN": pb.ERROR_REASON_UPSTREAM_UNKNOWN,
    "INTERNAL": pb.ERROR_REASON_UPSTREAM_INTERNAL,
    "DATA_LOSS": pb.ERROR_REASON_UPSTREAM_DATA_LOSS,
    "UNIMPLEMENTED": pb.ERROR_REASON_UPSTREAM_UNIMPLEMENTED,
    "UNAVAILABLE": pb.ERROR_REASON_UPSTREAM_UNAVAILABLE,
    "DEADLINE_EXCEEDED": pb.ERROR_REASON_UPSTREAM_DEADLINE_EXCEEDED,
}
"""Reasons by the status name in Google's envelope."""

BY_HTTP_STATUS: Mapping[int, Reason] = {
    400: pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    401: pb.ERROR_REASON_UPSTREAM_KEY_INVALID,
    402: pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    403: pb.ERROR_REASON_UPSTREAM_PERMISSION_DENIED,
    404: pb.ERROR_REASON_UPSTREAM_NOT_FOUND,
    405: pb.ERROR_REASON_UPSTREAM_UNIMPLEMENTED,
    406: pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    408: pb.ERROR_REASON_UPSTREAM_DEADLINE_EXCEEDED,
    409: pb.ERROR_REASON_UPSTREAM_CONFLICT,
    410: pb.ERROR_REASON_UPSTREAM_NOT_FOUND,
    412: pb.ERROR_REASON_UPSTREAM_FAILED_PRECONDITION,
    413: pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    415: pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    416: pb.ERROR_REASON_UPSTREAM_OUT_OF_RANGE,
    422: pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    425: pb.ERROR_REASON_UPSTREAM_UNAVAILABLE,
    429: pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    431: pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    499: pb.ERROR_REASON_UPSTREAM_CANCELLED,
    500: pb.ERROR_REASON_UPSTREAM_INTERNAL,
    501: pb.ERROR_REASON_UPSTREAM_UNIMPLEMENTED,
    502: pb.ERROR_REASON_UPSTREAM_UNAVAILABLE,
    503: pb.ERROR_REASON_UPSTREAM_UNAVAILABLE,
    504: pb.ERROR_REASON_UPSTREAM_DEADLINE_EXCEEDED,
    **dict.fromkeys((*range(520, 524), *range(525, 531)), pb.ERROR_REASON_UPSTREAM_UNAVAILABLE),
    524: pb.ERROR_REASON_UPSTREAM_DEADLINE_EXCEEDED,
}
"""Reasons by HTTP status; other 5xx are UPSTREAM_INTERNAL, all else is UPSTREAM_UNKNOWN."""

SUCCESS = range(200, 300)
SERVER_ERRORS = range(500, 600)
LONG_QUOTA = re.compile(r"PerDay|limit: ?0\b|limit=0\b")
REQUEST_ID_SUFFIX = re.compile(r"\s*\(?request id: ?([\w-]+)\)?\s*$", re.IGNORECASE)
REQUEST_ID_HEADERS = ("x-request-id", "x-oneapi-request-id", "x-goog-request-id")
MAX_MESSAGE_CHARACTERS = 1_000
MAX_SUFFIX_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """What a body of upstream's says about a failure, in whichever of the known shapes."""

    message: str = ""
    codes: tuple[str, ...] = ()
    google_status: str = ""
    details: tuple[Mapping[str, Any], ...] = field(default=())
    http_status: int | None = None


FAULT_MEMBERS = frozenset(("error", "message", "msg", "err", "error_msg"))
"""Members by one of which an object tells of an error; see `fault_in`."""

_JSON = msgspec.json.Decoder()


def failure_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> BridgeError:
    """Return the error for an HTTP answer with a status that is no success.

    Args:
        status: The HTTP status.
        headers: The headers, names in lower case.
        body: The body, of any kind: JSON, HTML, nothing.
    """
    return _failure(status, headers, fault_in(_decoded(body)))


def failure_in_object(value: Any, headers: Mapping[str, str]) -> BridgeError | None:
    """Return the error that a JSON value under HTTP 200 holds, or None where it holds none.

    Its own code decides; without one the failure is upstream's internal one (wire.md E).
    """
    fault = fault_in(value)
    if fault is None:
        return None
    return _failure(fault.http_status or 500, headers, fault)


def fault_in(value: Any) -> Fault | None:
    """Read an error out of JSON: OpenAI's, Ark's and Google's objects, and the odd ones."""
    match value:
        case [dict() as only]:
            return fault_in(only)
        # A file that upstream could not prepare says why in its own `error`.
        case {"error": dict() as error} if "state" not in value:
            return _fault_of_object(error)
        case {"error": str() as message} if message:
            return Fault(message=message)
        case (
            {"success": False, "message": str() as message}
            | {"msg": str() as message}
            | {"err": str() as message}
            | {"error_msg": str() as message}
        ):
            return Fault(message=message, codes=_texts(value.get("code")))
        case {"message": str() as message} if "choices" not in value:
            return Fault(message=message, codes=_texts(value.get("code")))
        case _:
            return None


def _fault_of_object(error: dict[str, Any]) -> Fault:
    details = _objects(error.get("details"))
    code = error.get("code")
    is_http = isinstance(code, int) and 400 <= code < 600  # noqa: PLR2004 - the range of HTTP errors
    return Fault(
        message=_text(error.get("message")),
        codes=(
            *_texts(code),
            *_texts(error.get("type")),
            *(_text(d.get("reason")) for d in details),
        ),
        google_status=_text(error.get("status")),
        details=details,
        http_status=code if is_http else None,
    )


def _failure(status: int, headers: Mapping[str, str], fault: Fault | None) -> BridgeError:
    fault = fault or Fault()
    message, request_id = _without_request_id(fault.message, headers)
    reason = _reason(status, fault)
    metadata = {
        "httpStatus": str(status),
        "upstreamCode": _word(fault),
        "upstreamMessage": message,
        "upstreamRequestId": request_id,
    }
    return BridgeError(
        reason,
        f"Upstream answered HTTP {status}: {message}"
        if message
        else f"Upstream answered HTTP {status}.",
        metadata={key: value for key, value in metadata.items() if value},
        retry_after=_retry_after(headers, fault),
        http_status=status,
    )


def _word(fault: Fault) -> str:
    """Return upstream's own name of the failure: a word if there is one, a number otherwise."""
    words = [code for code in (*fault.codes, fault.google_status) if code]
    return next((word for word in words if not word.isdigit()), words[0] if words else "")


def _reason(status: int, fault: Fault) -> Reason:
    found = (
        _reason_of_code(fault.codes),
        _reason_of_message(fault.message),
        BY_GOOGLE_STATUS.get(fault.google_status),
        BY_HTTP_STATUS.get(status),
    )
    reason = next((reason for reason in found if reason is not None), None)
    if reason is None:
        in_server = status in SERVER_ERRORS
        return pb.ERROR_REASON_UPSTREAM_INTERNAL if in_server else pb.ERROR_REASON_UPSTREAM_UNKNOWN
    if reason == pb.ERROR_REASON_UPSTREAM_RATE_LIMITED and _is_long_quota(fault):
        return pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED
    return reason


def _reason_of_code(codes: tuple[str, ...]) -> Reason | None:
    for code in codes:
        words = code.split(".")
        for length in range(len(words), 0, -1):
            if reason := BY_CODE.get(".".join(words[:length])):
                return reason
    return None


def _reason_of_message(message: str) -> Reason | None:
    text = message[:MAX_MESSAGE_CHARACTERS]
    return next((reason for pattern, reason in BY_MESSAGE if pattern.search(text)), None)


def _is_long_quota(fault: Fault) -> bool:
    """Tell whether the quota that was exceeded refills too slowly to wait for."""
    quotas = [
        _text(violation.get("quotaId"))
        for detail in fault.details
        for violation in _objects(detail.get("violations"))
    ]
    return any(LONG_QUOTA.search(text) for text in (*quotas, fault.message))


def _retry_after(headers: Mapping[str, str], fault: Fault) -> timedelta | None:
    """Return how long upstream asks to wait: `retry-after-ms`, RetryInfo, then `Retry-After`."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return timedelta(milliseconds=milliseconds)
    for detail in fault.details:
        delay = _text(detail.get("retryDelay"))
        if delay.endswith("s") and (seconds := _number(delay[:-1])) is not None:
            return timedelta(seconds=seconds)
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None:
        return timedelta(seconds=seconds)
    return _until(text) if text else None


def _until(http_date: str) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(http_date)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(aware - datetime.now(UTC), timedelta(0))
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """Read a number of at least 0 and at most a day's milliseconds; anything else is no number."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number <= 86_400_000 else None  # noqa: PLR2004 - a day in milliseconds


def _without_request_id(message: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Split upstream's request id off its message; the header has it otherwise."""
    # From near the end only: the pattern backtracks, and upstream's messages may be long.
    found = REQUEST_ID_SUFFIX.search(message, max(0, len(message) - MAX_SUFFIX_CHARACTERS))
    in_header = next((headers[name] for name in REQUEST_ID_HEADERS if name in headers), "")
    text = message[: found.start()] if found else message
    return text[:MAX_MESSAGE_CHARACTERS], in_header or (found[1] if found else "")


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: Any) -> tuple[dict[str, Any], ...]:
    return tuple(v for v in value if isinstance(v, dict)) if isinstance(value, list) else ()


def _texts(value: Any) -> tuple[str, ...]:
    match value:
        case str():
            return (value,)
        case int() | float():
            return (str(value),)
        case _:
            return ()


def decode_object(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Decode an answer or a chunk under HTTP 200 into a JSON object.

    Raises:
        BridgeError: The body is empty, no JSON object, or holds an error.
    """
    try:
        value = _JSON.decode(body.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not body.strip():
            raise BridgeError(
                pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY,
                "Upstream answered with success and no content.",
            ) from error
        raise malformed("it is no JSON") from error
    # Each chunk of a stream comes by here; nearly none has a member that could be an error's.
    if type(value) is dict and FAULT_MEMBERS.isdisjoint(value):
        return value
    if failure := failure_in_object(value, headers):
        raise failure
    if not isinstance(value, dict):
        raise malformed("it is no JSON object")
    return value
