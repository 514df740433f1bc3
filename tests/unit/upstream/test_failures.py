"""The table from upstream's failures to reasons: every row, the order of rows, and look-alikes."""

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.upstream.failures import (
    BY_CODE,
    BY_GOOGLE_STATUS,
    BY_HTTP_STATUS,
    BY_MESSAGE,
    decode_object,
    failure_in_object,
    failure_of_answer,
)

CODES = {
    "MissingParameter": (400, "UPSTREAM_INVALID_ARGUMENT"),
    "InvalidParameter": (400, "UPSTREAM_INVALID_ARGUMENT"),
    "InvalidArgumentError": (400, "UPSTREAM_INVALID_ARGUMENT"),
    "OutofContextError": (400, "UPSTREAM_PROMPT_TOO_LONG"),
    "InputTextRiskDetection": (400, "UPSTREAM_CONTENT_REFUSED"),
    "OutputTextRiskDetection": (400, "UPSTREAM_CONTENT_REFUSED"),
    "SensitiveContentDetected": (400, "UPSTREAM_CONTENT_REFUSED"),
    "InvalidEndpoint": (400, "UPSTREAM_FAILED_PRECONDITION"),
    "AuthenticationError": (401, "UPSTREAM_KEY_INVALID"),
    "InvalidAccountStatus": (401, "UPSTREAM_KEY_INVALID"),
    "AccountOverdueError": (403, "UPSTREAM_ACCOUNT_OVERDUE"),
    "OperationDenied.ServiceOverdue": (403, "UPSTREAM_ACCOUNT_OVERDUE"),
    "OperationDenied.InvalidState": (403, "CONTEXT_BUSY"),
    "OperationDenied": (403, "UPSTREAM_PERMISSION_DENIED"),
    "AccessDenied": (403, "UPSTREAM_PERMISSION_DENIED"),
    "InvalidEndpointOrModel": (404, "MODEL_NOT_FOUND"),
    "ModelNotOpen": (404, "MODEL_NOT_FOUND"),
    "NotFound.context_id": (404, "CONTEXT_NOT_FOUND"),
    "RateLimitExceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "ModelAccountRpmRateLimitExceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "ModelAccountTpmRateLimitExceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "APIAccountRpmRateLimitExceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "AccountRateLimitExceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "InflightBatchsizeExceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "RequestBurstTooFast": (429, "UPSTREAM_RATE_LIMITED"),
    "ServerOverloaded": (429, "UPSTREAM_OVERLOADED"),
    "QuotaExceeded": (429, "UPSTREAM_QUOTA_EXHAUSTED"),
    "SetLimitExceeded": (429, "UPSTREAM_QUOTA_EXHAUSTED"),
    "InternalServiceError": (500, "UPSTREAM_INTERNAL"),
    "invalid_request": (400, "UPSTREAM_INVALID_ARGUMENT"),
    "bad_request_body": (400, "UPSTREAM_INVALID_ARGUMENT"),
    "convert_request_failed": (500, "UPSTREAM_INVALID_ARGUMENT"),
    "context_length_exceeded": (400, "UPSTREAM_PROMPT_TOO_LONG"),
    "sensitive_words_detected": (400, "UPSTREAM_CONTENT_REFUSED"),
    "prompt_blocked": (400, "UPSTREAM_CONTENT_REFUSED"),
    "access_denied": (403, "UPSTREAM_PERMISSION_DENIED"),
    "model_not_found": (503, "MODEL_NOT_FOUND"),
    "insufficient_quota": (429, "UPSTREAM_QUOTA_EXHAUSTED"),
    "insufficient_user_quota": (403, "UPSTREAM_QUOTA_EXHAUSTED"),
    "pre_consume_token_quota_failed": (403, "UPSTREAM_QUOTA_EXHAUSTED"),
    "token_concurrency_limit_reached": (429, "UPSTREAM_RATE_LIMITED"),
    "rate_limit_exceeded": (429, "UPSTREAM_RATE_LIMITED"),
    "API_KEY_INVALID": (400, "UPSTREAM_KEY_INVALID"),
    "CREDENTIALS_MISSING": (401, "UPSTREAM_KEY_INVALID"),
    "ACCESS_TOKEN_EXPIRED": (401, "UPSTREAM_KEY_INVALID"),
    "API_KEY_SERVICE_BLOCKED": (403, "UPSTREAM_PERMISSION_DENIED"),
    "SERVICE_DISABLED": (403, "UPSTREAM_PERMISSION_DENIED"),
}
"""HTTP status that a code comes with, and its reason (wire.md A.4, E)."""

DOTTED = {
    "MissingParameter.context_id": "UPSTREAM_INVALID_ARGUMENT",
    "InvalidParameter.UnsupportedParameter": "UPSTREAM_INVALID_ARGUMENT",
    "InvalidParameter.ttl": "UPSTREAM_INVALID_ARGUMENT",
    "InvalidArgumentError.UnknownRole": "UPSTREAM_INVALID_ARGUMENT",
    "InvalidEndpoint.ClosedEndpoint": "UPSTREAM_FAILED_PRECONDITION",
    "OperationDenied.PermissionDenied": "UPSTREAM_PERMISSION_DENIED",
    "OperationDenied.InvalidState.context": "CONTEXT_BUSY",
    "InvalidEndpointOrModel.NotFound": "MODEL_NOT_FOUND",
    "RateLimitExceeded.EndpointRPMExceeded": "UPSTREAM_RATE_LIMITED",
    "RateLimitExceeded.EndpointTPMExceeded": "UPSTREAM_RATE_LIMITED",
}

MESSAGES = [
    (400, "Cache content 7016131366404227072 is expired.", "CACHE_EXPIRED"),
    (400, "CachedContent 7016131366404227072 is expired.", "CACHE_EXPIRED"),
    (403, "CachedContent not found (or permission denied)", "CACHE_NOT_FOUND"),
    (
        404,
        "Not found: cached content metadata for 6116704758662168576.",
        "CACHE_NOT_FOUND",
    ),
    (404, "Cached content 123 is not found.", "CACHE_NOT_FOUND"),
    (404, "The specified context ctx-gone is not found. Request id: 0219", "CONTEXT_NOT_FOUND"),
    (400, "context not found", "CONTEXT_NOT_FOUND"),
    (400, "The context ctx-20260301091500-a1b2c has expired", "CONTEXT_NOT_FOUND"),
    (400, "context ctx-1 does not exist", "CONTEXT_NOT_FOUND"),
    (
        400,
        "Cached content is too small. total_token_count=16, min_total_token_count=1024",
        "CACHE_TOO_SMALL",
    ),
    (
        400,
        (
            "The cached content is of 401 tokens. "
            "The minimum token count to start explicit caching is 4096."
        ),
        "CACHE_TOO_SMALL",
    ),
    (
        400,
        "The cached content is of 401 tokens. The minimum token count to start caching is 4096.",
        "CACHE_TOO_SMALL",
    ),
    (
        400,
        (
            "CachedContent can not be used with GenerateContent request setting "
            "system_instruction, tools or tool_config.\n\nProposed fix: move those values to "
            "CachedContent from GenerateContent request."
        ),
        "CACHE_CONFLICT",
    ),
    (
        400,
        (
            "Tool config, tools and system instruction should not be set in the request when using "
            "cached content."
        ),
        "CACHE_CONFLICT",
    ),
    (
        400,
        (
            "Model used by GenerateContent request (models/A) and CachedContent (models/B) "
            "has to be the same."
        ),
        "CACHE_CONFLICT",
    ),
    (
        403,
        "You do not have permission to access the File xyz or it may not exist.",
        "FILE_NOT_FOUND",
    ),
    (
        400,
        "The File xyz is not in an ACTIVE state and usage is not allowed.",
        "UPSTREAM_FAILED_PRECONDITION",
    ),
    (
        404,
        (
            "models/X is not found for API version v1beta, or is not supported for "
            "createCachedContent. Call ListModels to see the list of available models"
        ),
        "MODEL_NOT_FOUND",
    ),
    (
        404,
        "Publisher Model `projects/p/locations/l/publishers/google/models/m` was not found",
        "MODEL_NOT_FOUND",
    ),
    (
        400,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "UPSTREAM_PROMPT_TOO_LONG",
    ),
    (
        403,
        "Method doesn't allow unregistered callers (callers without established identity).",
        "UPSTREAM_KEY_INVALID",
    ),
]
"""HTTP status, upstream's own text (wire.md A.4, C, E) and its reason."""

GOOGLE_STATUSES = {
    "INVALID_ARGUMENT": "UPSTREAM_INVALID_ARGUMENT",
    "FAILED_PRECONDITION": "UPSTREAM_FAILED_PRECONDITION",
    "OUT_OF_RANGE": "UPSTREAM_OUT_OF_RANGE",
    "UNAUTHENTICATED": "UPSTREAM_KEY_INVALID",
    "PERMISSION_DENIED": "UPSTREAM_PERMISSION_DENIED",
    "NOT_FOUND": "UPSTREAM_NOT_FOUND",
    "ALREADY_EXISTS": "UPSTREAM_ALREADY_EXISTS",
    "ABORTED": "UPSTREAM_CONFLICT",
    "RESOURCE_EXHAUSTED": "UPSTREAM_RATE_LIMITED",
    "CANCELLED": "UPSTREAM_CANCELLED",
    "UNKNOWN": "UPSTREAM_UNKNOWN",
    "INTERNAL": "UPSTREAM_INTERNAL",
    "DATA_LOSS": "UPSTREAM_DATA_LOSS",
    "UNIMPLEMENTED": "UPSTREAM_UNIMPLEMENTED",
    "UNAVAILABLE": "UPSTREAM_UNAVAILABLE",
    "DEADLINE_EXCEEDED": "UPSTREAM_DEADLINE_EXCEEDED",
}

HTTP_STATUSES = {
    **dict.fromkeys((400, 406, 413, 415, 422, 431), "UPSTREAM_INVALID_ARGUMENT"),
    401: "UPSTREAM_KEY_INVALID",
    402: "UPSTREAM_QUOTA_EXHAUSTED",
    403: "UPSTREAM_PERMISSION_DENIED",
    **dict.fromkeys((404, 410), "UPSTREAM_NOT_FOUND"),
    **dict.fromkeys((405, 501), "UPSTREAM_UNIMPLEMENTED"),
    **dict.fromkeys((408, 504, 524), "UPSTREAM_DEADLINE_EXCEEDED"),
    409: "UPSTREAM_CONFLICT",
    412: "UPSTREAM_FAILED_PRECONDITION",
    416: "UPSTREAM_OUT_OF_RANGE",
    425: "UPSTREAM_UNAVAILABLE",
    429: "UPSTREAM_RATE_LIMITED",
    499: "UPSTREAM_CANCELLED",
    500: "UPSTREAM_INTERNAL",
    **dict.fromkeys(
        (502, 503, 520, 521, 522, 523, 525, 526, 527, 528, 529, 530), "UPSTREAM_UNAVAILABLE"
    ),
}
"""The table of wire.md E, step 2."""


def reason_of(error: BridgeError | None) -> str:
    assert error is not None
    return pb.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")


def answered(status: int, error: Any, headers: dict[str, str] | None = None) -> BridgeError:
    return failure_of_answer(status, headers or {}, json.dumps({"error": error}).encode())


# ---------------------------------------------------------------------------- the rows


def test_every_row_of_every_table_has_its_case() -> None:
    # Arrange
    covered = {
        pattern
        for pattern, _ in BY_MESSAGE
        if any(pattern.search(message) for _, message, _ in MESSAGES)
    }

    # Assert
    assert set(CODES) == set(BY_CODE)
    assert covered == {pattern for pattern, _ in BY_MESSAGE}
    assert set(GOOGLE_STATUSES) == set(BY_GOOGLE_STATUS)
    assert set(HTTP_STATUSES) == set(BY_HTTP_STATUS)


@pytest.mark.parametrize("code", CODES)
def test_a_code_decides_the_reason(code: str) -> None:
    # Arrange
    status, reason = CODES[code]

    # Act
    error = answered(status, {"message": "m", "type": "BadRequest", "param": None, "code": code})

    # Assert
    assert reason_of(error) == reason
    assert error.metadata["upstreamCode"] == code


@pytest.mark.parametrize("code, reason", DOTTED.items())
def test_a_longer_code_is_known_by_its_beginning(code: str, reason: str) -> None:
    # Act
    error = answered(400, {"message": "m", "type": "BadRequest", "code": code})

    # Assert
    assert reason_of(error) == reason


@pytest.mark.parametrize("code", ["InvalidParameterX", "Invalid", "NotFound", "NotFound.file_id"])
def test_a_code_that_only_looks_like_a_known_one_leaves_it_to_the_http_status(code: str) -> None:
    # Act
    error = answered(404, {"message": "m", "type": "X", "code": code})

    # Assert
    assert reason_of(error) == "UPSTREAM_NOT_FOUND"


def test_a_type_is_looked_at_where_the_code_says_nothing() -> None:
    # Act
    error = answered(429, {"message": "m", "type": "insufficient_quota", "code": None})

    # Assert
    assert reason_of(error) == "UPSTREAM_QUOTA_EXHAUSTED"


@pytest.mark.parametrize("status, message, reason", MESSAGES)
def test_a_message_decides_where_no_code_does(status: int, message: str, reason: str) -> None:
    # Act
    openai = answered(status, {"message": message, "type": "upstream_error", "code": ""})
    google = answered(status, {"code": status, "message": message, "status": "FAILED_PRECONDITION"})

    # Assert
    assert [reason_of(openai), reason_of(google)] == [reason, reason]


@pytest.mark.parametrize("name, reason", GOOGLE_STATUSES.items())
def test_googles_status_decides_where_its_content_does_not(name: str, reason: str) -> None:
    # Act
    error = answered(418, {"code": 418, "message": "m", "status": name})

    # Assert
    assert reason_of(error) == reason


@pytest.mark.parametrize("status, reason", HTTP_STATUSES.items())
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{}", b'{"error":{"message":"m"}}'])
def test_the_http_status_decides_where_nothing_else_does(
    status: int, reason: str, body: bytes
) -> None:
    # Act
    error = failure_of_answer(status, {}, body)

    # Assert
    assert reason_of(error) == reason
    assert error.http_status == status
    assert error.metadata["httpStatus"] == str(status)


@pytest.mark.parametrize("status", [505, 507, 511, 531, 599])
def test_another_5xx_is_upstreams_internal_failure(status: int) -> None:
    # Act
    error = failure_of_answer(status, {}, b"")

    # Assert
    assert reason_of(error) == "UPSTREAM_INTERNAL"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 407, 418, 451, 600, 999])
def test_another_status_is_unknown(status: int) -> None:
    # Act
    error = failure_of_answer(status, {}, b"")

    # Assert
    assert reason_of(error) == "UPSTREAM_UNKNOWN"


# ---------------------------------------------------------------------------- precedence


def test_a_code_beats_the_message_the_google_status_and_the_http_status() -> None:
    # Act
    error = answered(
        503,
        {
            "code": "AuthenticationError",
            "message": "context ctx-1 is not found",
            "status": "UNAVAILABLE",
        },
    )

    # Assert
    assert reason_of(error) == "UPSTREAM_KEY_INVALID"


def test_an_error_info_beats_the_google_status() -> None:
    # Act
    error = answered(
        400,
        {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
            "details": [{"@type": "x/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
        },
    )

    # Assert
    assert reason_of(error) == "UPSTREAM_KEY_INVALID"


def test_a_message_beats_the_google_status() -> None:
    # Act
    error = answered(
        403,
        {
            "code": 403,
            "message": "CachedContent not found (or permission denied)",
            "status": "PERMISSION_DENIED",
        },
    )

    # Assert
    assert reason_of(error) == "CACHE_NOT_FOUND"


def test_a_google_status_beats_the_http_status() -> None:
    # Act
    error = answered(
        400,
        {
            "code": 400,
            "message": "User location is not supported for the API use.",
            "status": "FAILED_PRECONDITION",
        },
    )

    # Assert
    assert reason_of(error) == "UPSTREAM_FAILED_PRECONDITION"


def test_an_unknown_google_status_leaves_it_to_the_http_status() -> None:
    # Act
    error = answered(429, {"code": 429, "message": "m", "status": "NEW_WORD"})

    # Assert
    assert reason_of(error) == "UPSTREAM_RATE_LIMITED"


# ---------------------------------------------------------------------------- look-alikes

GONE = {"CONTEXT_NOT_FOUND", "CACHE_NOT_FOUND", "CACHE_EXPIRED"}


@pytest.mark.parametrize(
    "status, error",
    [
        (401, {"message": "Invalid token", "type": "new_api_error", "code": ""}),
        (401, {"message": "The API key is not found or has expired", "code": None}),
        (401, {"message": "Your token has expired", "type": "new_api_error"}),
        (400, {"code": 400, "message": "API key expired.", "status": "INVALID_ARGUMENT"}),
        (400, {"message": "Model context window is 32768 tokens", "code": ""}),
        (400, {"message": "maximum context length is 8192 tokens", "code": ""}),
        (400, {"message": "This model's maximum context length was exceeded", "code": None}),
        (503, {"message": "context deadline exceeded", "type": "upstream_error"}),
        (504, {"message": "context deadline expired", "type": "upstream_error"}),
        (500, {"message": "context canceled", "type": "upstream_error"}),
        (404, {"message": "models/nope is not found for API version v1beta", "code": 404}),
        (404, {"message": "The model nope does not exist", "code": "model_not_found"}),
        (
            404,
            {
                "message": "The model or endpoint nope-1 does not exist or you do not have access",
                "code": "InvalidEndpointOrModel.NotFound",
            },
        ),
        (
            403,
            {
                "message": "The specified context is in invalid state: InProgress",
                "code": "OperationDenied.InvalidState",
            },
        ),
        (400, {"message": "The specified parameter context_id is invalid.", "code": None}),
        (400, {"message": "The required parameter context_id is missing.", "code": None}),
        (
            400,
            {
                "code": 400,
                "message": "Cached content is too small. total_token_count=1",
                "status": "INVALID_ARGUMENT",
            },
        ),
        (403, {"message": "You do not have permission to access the File a or it may not exist."}),
        (404, {"message": "The requested URL was not found on this server."}),
        (404, {"message": "Invalid URL (POST /v1/context/chat/completions)"}),
    ],
)
def test_what_only_looks_like_a_gone_context_is_none(status: int, error: Any) -> None:
    # Act
    failure = answered(status, error)

    # Assert
    assert reason_of(failure) not in GONE


# ---------------------------------------------------------------------------- quotas and waiting


@pytest.mark.parametrize(
    "error",
    [
        {
            "code": 429,
            "message": "m",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
            ],
        },
        {
            "code": 429,
            "message": "TotalCachedContentStorageTokensPerModelFreeTier limit exceeded for model "
            "m: limit=0, requested=5",
            "status": "RESOURCE_EXHAUSTED",
        },
        {"code": 429, "message": "Quota exceeded, limit: 0, model: m", "status": ""},
    ],
)
def test_a_quota_that_refills_slowly_is_exhausted(error: Any) -> None:
    # Act
    failure = answered(429, error)

    # Assert
    assert reason_of(failure) == "UPSTREAM_QUOTA_EXHAUSTED"


@pytest.mark.parametrize("message", ["limit: 20, model: m", "limit=05", "PerMinute"])
def test_a_quota_that_refills_soon_is_a_rate_limit(message: str) -> None:
    # Act
    failure = answered(429, {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"})

    # Assert
    assert reason_of(failure) == "UPSTREAM_RATE_LIMITED"


RETRY_INFO = {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "13.5s"}]}


@pytest.mark.parametrize(
    "headers, error, seconds",
    [
        ({"retry-after": "2"}, {}, 2),
        ({"retry-after": "0"}, {}, 0),
        ({"retry-after": "1.5"}, {}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "2"}, RETRY_INFO, 0.25),
        ({"retry-after": "2"}, RETRY_INFO, 13.5),
        ({}, RETRY_INFO, 13.5),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, {}, 0),
        ({}, {}, None),
        ({"retry-after": ""}, {}, None),
        ({"retry-after": "soon"}, {}, None),
        ({"retry-after": "-1"}, {}, None),
        ({"retry-after": "nan"}, {}, None),
        ({"retry-after": "inf"}, {}, None),
        ({"retry-after": "1e300"}, {}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, {}, None),
        ({"retry-after": "Mon, 01 Jan 2030 00:00:00 +99999999999999"}, {}, None),
        ({}, {"details": [{"retryDelay": "soon"}]}, None),
        ({}, {"details": [{"retryDelay": 13}]}, None),
        ({"retry-after-ms": "x", "retry-after": "3"}, {}, 3),
    ],
)
def test_how_long_to_wait_is_read_where_it_can_be(
    headers: dict[str, str], error: dict[str, Any], seconds: float | None
) -> None:
    # Act
    failure = answered(429, {"message": "m", **error}, headers)

    # Assert
    waited = None if failure.retry_after is None else failure.retry_after.total_seconds()
    assert waited == seconds


def test_a_date_to_wait_for_is_counted_from_now() -> None:
    # Arrange
    moment = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)

    # Act
    failure = answered(503, {}, {"retry-after": moment})

    # Assert
    assert failure.retry_after is not None
    assert 50 < failure.retry_after.total_seconds() <= 60


# ---------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "it broke", "type": "t", "param": None, "code": None}},
        {"error": {"message": "it broke", "code": 5}},
        {"error": {"message": "it broke", "code": 1.5}},
        {"error": {"message": "it broke", "code": True}},
        {"error": {"message": "it broke", "details": None}},
        {"error": {"message": "it broke", "details": 5}},
        {"error": {"message": "it broke", "details": "x"}},
        {"error": {"message": "it broke", "details": [5, {"violations": 5}, {"reason": 5}]}},
        {"error": {"message": "it broke", "details": [{"violations": [1, {"quotaId": 5}]}]}},
        {"error": "it broke"},
        [{"error": {"message": "it broke"}}],
        {"success": False, "message": "it broke", "code": "x"},
        {"message": "it broke"},
        {"msg": "it broke"},
        {"err": "it broke"},
        {"error_msg": "it broke"},
    ],
)
def test_every_shape_of_an_error_gives_its_message(body: Any) -> None:
    # Act
    error = failure_of_answer(503, {}, json.dumps(body).encode())

    # Assert
    assert error.metadata["upstreamMessage"] == "it broke"
    assert error.message == "Upstream answered HTTP 503: it broke"


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff", b"null", b"[]", b"[1]", b"5", b'"x"', b"[" * 100_000, b'{"error":null}'],
)
def test_a_body_that_says_nothing_still_is_an_error(body: bytes) -> None:
    # Act
    error = failure_of_answer(503, {}, body)

    # Assert
    assert reason_of(error) == "UPSTREAM_UNAVAILABLE"
    assert error.message == "Upstream answered HTTP 503."


@pytest.mark.parametrize(
    "message, headers, text, request_id",
    [
        ("Invalid token (request id: 2026abc)", {}, "Invalid token", "2026abc"),
        ("It is gone. Request id: 0219", {}, "It is gone.", "0219"),
        ("Plain", {"x-request-id": "req_1"}, "Plain", "req_1"),
        ("Plain", {"x-oneapi-request-id": "r2"}, "Plain", "r2"),
        ("T (request id: a)", {"x-oneapi-request-id": "b"}, "T", "b"),
        ("Plain", {}, "Plain", None),
    ],
)
def test_the_request_id_is_split_off_the_message(
    message: str, headers: dict[str, str], text: str, request_id: str | None
) -> None:
    # Act
    error = answered(500, {"message": message}, headers)

    # Assert
    assert error.metadata["upstreamMessage"] == text
    assert error.metadata.get("upstreamRequestId") == request_id


def test_a_message_of_many_kilobytes_is_cut_and_read_quickly() -> None:
    # Arrange: a pattern that backtracks would need minutes.
    message = " " * 60_000 + "CachedContent " * 60_000 + "x" + " (request id: 9)"

    # Act
    error = answered(500, {"message": message})

    # Assert
    assert len(error.metadata["upstreamMessage"]) <= 1_000
    assert error.metadata["upstreamRequestId"] == "9"


# ---------------------------------------------------------------------------- HTTP 200


def test_an_error_under_http_200_is_read_by_its_own_code() -> None:
    # Act
    by_code = failure_in_object(
        {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, {}
    )
    by_word = failure_in_object({"error": {"code": "ServerOverloaded", "message": "m"}}, {})
    by_default = failure_in_object({"error": {"message": "m", "code": None}}, {})

    # Assert
    assert reason_of(by_code) == "UPSTREAM_UNAVAILABLE"
    assert reason_of(by_word) == "UPSTREAM_OVERLOADED"
    assert reason_of(by_default) == "UPSTREAM_INTERNAL"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"error": None, "id": "x"},
        {"error": "", "id": "x"},
        {"choices": [], "message": "hello"},
        {"name": "files/f", "state": "FAILED", "error": {"code": 3, "message": "bad video"}},
        [],
        5,
    ],
)
def test_an_answer_that_only_looks_like_an_error_is_none(value: Any) -> None:
    # Act
    failure = failure_in_object(value, {})

    # Assert
    assert failure is None


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "UPSTREAM_RESPONSE_EMPTY"),
        (b" \r\n", "UPSTREAM_RESPONSE_EMPTY"),
        (b"<html>", "UPSTREAM_RESPONSE_MALFORMED"),
        (b"[]", "UPSTREAM_RESPONSE_MALFORMED"),
        (b"5", "UPSTREAM_RESPONSE_MALFORMED"),
        (b"\xff", "UPSTREAM_RESPONSE_MALFORMED"),
        (b'"\xff"', "UPSTREAM_RESPONSE_MALFORMED"),
        (b"[" * 100_000, "UPSTREAM_RESPONSE_MALFORMED"),
        (b'{"a":', "UPSTREAM_RESPONSE_MALFORMED"),
        (b'{"a":NaN}', "UPSTREAM_RESPONSE_MALFORMED"),
        (b'{"error":{"code":404,"message":"m"}}', "UPSTREAM_NOT_FOUND"),
    ],
)
def test_a_body_that_is_no_json_object_is_an_error(body: bytes, reason: str) -> None:
    # Act
    with pytest.raises(BridgeError) as caught:
        decode_object(body, {})

    # Assert
    assert reason_of(caught.value) == reason


def test_the_tables_name_reasons_only() -> None:
    # Arrange
    reasons = {
        *BY_CODE.values(),
        *(reason for _, reason in BY_MESSAGE),
        *BY_GOOGLE_STATUS.values(),
        *BY_HTTP_STATUS.values(),
    }

    # Assert
    assert reasons <= set(pb.ErrorReason.values()) - {pb.ERROR_REASON_UNSPECIFIED}
    assert all(isinstance(pattern, re.Pattern) for pattern, _ in BY_MESSAGE)
