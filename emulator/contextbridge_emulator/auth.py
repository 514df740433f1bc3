"""Authenticate the caller by an API key, sent in any of three ways."""

from aiohttp import web

from . import errors
from .call import Call

_BAD_KEY_PREFIX = "bad-"


def key_of(request: web.Request) -> str:
    """Return the API key of a request, or an empty string."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("x-goog-api-key", "") or request.query.get("key", "") or bearer


def has_google_key(request: web.Request) -> bool:
    """Return whether the key is where only Google's clients send it."""
    return "x-goog-api-key" in request.headers or "key" in request.query


def authenticate(call: Call) -> None:
    """Return the caller's account, or raise the surface's authentication error."""
    key = key_of(call.request)
    google = call.surface == "google"
    if not key:
        raise errors.missing_google_key() if google else errors.missing_openai_key()
    accepted = call.config.api_keys
    if key not in accepted if accepted else key.startswith(_BAD_KEY_PREFIX):
        raise errors.wrong_google_key() if google else errors.wrong_openai_key()
    call.account = call.state.account(key)
