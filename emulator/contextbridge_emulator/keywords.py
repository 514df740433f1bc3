"""Answer chat completions through a response cache, as Keywords AI does.

The conversation is the key, with the model and the customer on request. A hit repeats the first
answer unchanged, without a mark.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from . import chat, errors
from .call import Call
from .completions import Completion
from .faults import Wire
from .state import SECOND

DEFAULT_TTL_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A cached answer with its expiry."""

    completion: Completion
    expires_ns: int


async def complete(call: Call) -> web.StreamResponse:
    """Answer POST /api/chat/completions."""
    body = await call.read_json()
    if not body.get("cache_enabled"):
        return await chat.complete(call, body)
    key, expires_ns = _key(body), call.arrived_ns + _ttl_ns(body)
    cached = call.account.responses.get(key)
    if cached is not None and cached.expires_ns > call.arrived_ns:
        return await chat.send(call, body, cached.completion, Wire(), lambda: None)

    def keep(completion: Completion) -> None:
        call.account.responses[key] = CachedResponse(completion, expires_ns)

    return await chat.complete(call, body, keep)


def _key(body: Mapping[str, Any]) -> str:
    options, customer = _object(body, "cache_options"), _object(body, "customer_params")
    parts = {
        "messages": body.get("messages"),
        "model": body.get("model") if options.get("is_cached_by_model") else None,
        "customer": (
            customer.get("customer_identifier") if options.get("cache_by_customer") else None
        ),
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def _ttl_ns(body: Mapping[str, Any]) -> int:
    ttl = body.get("cache_ttl", DEFAULT_TTL_SECONDS)
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl <= 0:
        raise errors.invalid_parameter(name="cache_ttl", why="must be a number of seconds above 0")
    return int(min(ttl, DEFAULT_TTL_SECONDS * 12) * SECOND)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.invalid_parameter(name=name, why="must be an object")
    return value
