"""Errors in the gateway's two formats: Google's envelope and the OpenAI/Ark envelope."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from aiohttp import web

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    402: "PaymentRequired",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalServerError",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPE = "type.googleapis.com/google.rpc."
JSON_UTF8 = "application/json; charset=UTF-8"


class ApiError(Exception):
    """An error that each surface renders in its own envelope."""

    def __init__(
        self, http: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Store the fields that every envelope has."""
        super().__init__(message)
        self.http = http
        self.message = message
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error envelope."""
        raise NotImplementedError


class GoogleError(ApiError):
    """An error in Google's envelope."""

    def __init__(
        self,
        http: int,
        message: str,
        *,
        status: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Derive the status name from the HTTP status unless one is given."""
        super().__init__(http, message)
        self.status = status or _STATUSES.get(http, "UNKNOWN")
        self.details = list(details)

    def body(self, request_id: str) -> dict[str, Any]:  # noqa: ARG002 - Google's errors have no request id.
        """Return Google's error envelope."""
        error: dict[str, Any] = {"code": self.http, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}


class OpenAIError(ApiError):
    """An error in the OpenAI-style envelope of the context paths."""

    def __init__(
        self,
        http: int,
        message: str,
        *,
        kind: str,
        code: str | int | None,
        param: str | None = None,
        id_style: Literal["ark", "relay", "none"] = "ark",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store the envelope's members and the style of the request id."""
        super().__init__(http, message, headers=headers)
        self.kind = kind
        self.code = code
        self.param = param
        self.id_style = id_style

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the OpenAI-style error envelope."""
        suffix = {
            "ark": f" Request id: {request_id}",
            "relay": f" (request id: {request_id})",
            "none": "",
        }[self.id_style]
        return {
            "error": {
                "message": self.message + suffix,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


def ark(
    http: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> OpenAIError:
    """Build an error of Ark's: its type is the HTTP reason, its code is dotted."""
    return OpenAIError(http, message, kind=_REASONS[http], code=code, param=param, headers=headers)


def missing_parameter(name: str) -> OpenAIError:
    """Build the error for a missing required member."""
    return ark(
        400,
        f"MissingParameter.{name}",
        f"The required parameter {name} is missing.",
        param=name,
    )


def invalid_parameter(name: str, why: str = "") -> OpenAIError:
    """Build the error for a value that is out of range or of the wrong type."""
    return ark(
        400,
        f"InvalidParameter.{name}",
        f"The specified parameter {name} is invalid{': ' + why if why else ''}.",
        param=name,
    )


def unsupported_parameter(name: str) -> OpenAIError:
    """Build the error for a member that context chat does not support."""
    return ark(
        400,
        "InvalidParameter.UnsupportedParameter",
        f"The specified parameter {name} is not supported by this model or context.",
        param=name,
    )


def unknown_role(role: object) -> OpenAIError:
    """Build the error for a message with an unknown role."""
    return ark(
        400,
        "InvalidArgumentError.UnknownRole",
        f"The role {role!s} in messages is unknown.",
        param="messages",
    )


def context_not_found(context_id: str) -> OpenAIError:
    """Build the error for a context that is unknown, expired, or another account's."""
    return ark(
        404,
        "NotFound.context_id",
        f"The specified context {context_id} is not found.",
        param="context_id",
    )


def context_busy(context_id: str) -> OpenAIError:
    """Build the error for a second concurrent call on a session context."""
    return ark(
        403,
        "OperationDenied.InvalidState",
        f"The specified context {context_id} is in invalid state: InProgress.",
        param="context_id",
    )


def model_not_open(model: str) -> OpenAIError:
    """Build the context paths' error for an unknown model."""
    return ark(
        404,
        "InvalidEndpointOrModel.NotFound",
        f"The model or endpoint {model} does not exist or you do not have access to it.",
        param="model",
    )


def relayed(error: GoogleError) -> OpenAIError:
    """Convert an error of Google's to the form in which OpenAI-style callers receive it."""
    return OpenAIError(
        error.http,
        error.message,
        kind="upstream_error",
        code=error.http,
        param="",
        id_style="relay",
    )


def bad_request(field: str, description: str) -> GoogleError:
    """Build the error for one field violation."""
    return violations([(field, description)])


def violations(found: Sequence[tuple[str, str]]) -> GoogleError:
    """Build the error for several field violations."""
    return GoogleError(
        400,
        "\n".join(description for _, description in found),
        details=[
            {
                "@type": _TYPE + "BadRequest",
                "fieldViolations": [
                    {"field": field, "description": description}
                    if field
                    else {"description": description}
                    for field, description in found
                ],
            }
        ],
    )


def model_not_found(model: str, version: str, method: str) -> GoogleError:
    """Build Google's error for an unknown model."""
    return GoogleError(
        404,
        f"models/{model} is not found for API version {version}, or is not supported for "
        f"{method}. Call ListModels to see the list of available models and their supported "
        "methods.",
    )


def file_forbidden(name: str) -> GoogleError:
    """Build the error for a file that is missing or another account's."""
    return GoogleError(
        403,
        f"You do not have permission to access the File {name.removeprefix('files/')} "
        "or it may not exist.",
    )


def wrong_google_key() -> GoogleError:
    """Build Google's error for an invalid key, which is a 400."""
    text = "API key not valid. Please pass a valid API key."
    return GoogleError(
        400,
        text,
        details=[
            {
                "@type": _TYPE + "ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            },
            {"@type": _TYPE + "LocalizedMessage", "locale": "en-US", "message": text},
        ],
    )


def missing_google_key() -> GoogleError:
    """Build Google's error for a missing key."""
    return GoogleError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
    )


def wrong_openai_key() -> OpenAIError:
    """Build the context paths' error for an invalid key."""
    return OpenAIError(
        401, "Invalid token", kind="new_api_error", code="", param="", id_style="relay"
    )


def missing_openai_key() -> OpenAIError:
    """Build the context paths' error for a missing key."""
    return ark(401, "AuthenticationError", "The API key in the request is missing or invalid.")


def google_quota(model: str, *, delay: str | None, per_day: bool) -> GoogleError:
    """Build Google's error for an exceeded rate or quota, with its details."""
    period = "PerDay" if per_day else "PerMinute"
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    details: list[dict[str, Any]] = [
        {
            "@type": _TYPE + "Help",
            "links": [
                {
                    "description": "Learn more about Gemini API quotas",
                    "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                }
            ],
        },
        {
            "@type": _TYPE + "QuotaFailure",
            "violations": [
                {
                    "quotaMetric": metric,
                    "quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier",
                    "quotaDimensions": {"location": "global", "model": model},
                    "quotaValue": "20",
                }
            ],
        },
    ]
    message = (
        "You exceeded your current quota, please check your plan and billing details.\n"
        f"* Quota exceeded for metric: {metric}, limit: 20, model: {model}"
    )
    if delay is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": delay})
        message += f"\nPlease retry in {delay}."
    return GoogleError(429, message, details=details)


def render(error: ApiError, request_id: str, *, in_array: bool = False) -> web.Response:
    """Render an error as an HTTP response; on the array form, the error is in an array."""
    body = error.body(request_id)
    return web.Response(
        status=error.http,
        reason="Client Closed Request" if error.http not in list(HTTPStatus) else None,
        headers={"Content-Type": JSON_UTF8, **error.headers},
        body=msgspec.json.encode([body] if in_array else body),
    )
