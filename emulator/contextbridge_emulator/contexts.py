"""Create contexts: POST /v1/context/create."""

import secrets
import string
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from aiohttp import web

from . import caches, errors
from .call import Call
from .faults import split_model
from .messages import is_gemini, read_turns, required_text, total
from .state import SECOND, Context, Counts, Turn
from .streaming import send_json

_DEFAULT_TTL = timedelta(days=1)
_DEFAULT_GEMINI_TTL = timedelta(hours=1)
_MODES = ("session", "common_prefix")
_TRUNCATIONS = ("last_history_tokens", "rolling_tokens")
_DEFAULT_HISTORY_TOKENS = 4096
_ID_ALPHABET = string.ascii_lowercase + string.digits


async def create(call: Call) -> web.StreamResponse:
    """Create a context of the kind that the model's family supports."""
    body = await call.read_json()
    model = required_text(body, "model")
    plain, _ = split_model(model)
    chosen = call.faults(model, "create")
    if plain.startswith("unknown-"):
        raise errors.model_not_open(plain)
    turns = read_turns(body)
    make = _create_gemini if is_gemini(plain) else _create_ark
    answer = make(call, body, plain, turns)
    await call.wait(chosen.wire)
    return await send_json(call, answer, chosen.wire)


def _create_gemini(
    call: Call, body: Mapping[str, Any], model: str, turns: Sequence[Turn]
) -> dict[str, Any]:
    ttl = _read_ttl(body, _DEFAULT_GEMINI_TTL, (timedelta(seconds=1), timedelta(days=365)))
    counts = sum((turn.counts for turn in turns), Counts())
    try:
        caches.check_size(call, f"models/{model.removeprefix('models/')}", counts, "vertex")
        cache = caches.store(
            call,
            dialect="vertex",
            model=f"models/{model.removeprefix('models/')}",
            turns=turns,
            counts=counts,
            expires_ns=call.arrived_ns + int(ttl.total_seconds() * SECOND),
        )
    except errors.GoogleError as error:
        raise errors.relayed(error) from error
    seconds = ttl.total_seconds()
    return {
        "id": cache.name,
        "ttl": int(seconds) if seconds.is_integer() else seconds,
        "usage": {
            "prompt_tokens": counts.total,
            "completion_tokens": 0,
            "total_tokens": 0,
            "cache_creation_input_tokens": counts.total,
        },
    }


def _create_ark(
    call: Call, body: Mapping[str, Any], model: str, turns: Sequence[Turn]
) -> dict[str, Any]:
    mode = body.get("mode") or "session"
    if mode not in _MODES:
        raise errors.invalid_parameter(name="mode", why="must be session or common_prefix")
    ttl = _read_ttl(body, _DEFAULT_TTL, call.config.context_ttl_range)
    truncation = _read_truncation(body, mode)
    account = call.account
    if not account.has_room(account.contexts, call.arrived_ns):
        raise errors.ark(429, "SetLimitExceeded", "Too many contexts in this account.")
    ttl_ns = int(ttl.total_seconds()) * SECOND
    context = Context(
        id=_new_id(),
        model=model,
        mode=mode,
        ttl_ns=ttl_ns,
        expires_ns=call.arrived_ns + ttl_ns,
        initial=turns,
        truncation=truncation,
    )
    account.contexts[context.id] = context
    answer = {"id": context.id, "model": model, "mode": mode, "ttl": int(ttl.total_seconds())}
    if truncation is not None:
        answer["truncation_strategy"] = truncation
    tokens = total(turns)
    answer["usage"] = {
        "prompt_tokens": tokens,
        "completion_tokens": 0,
        "total_tokens": tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    return answer


def _new_id() -> str:
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    return f"ctx-{stamp}-{''.join(secrets.choice(_ID_ALPHABET) for _ in range(5))}"


def _read_ttl(
    body: Mapping[str, Any], otherwise: timedelta, allowed: tuple[timedelta, timedelta]
) -> timedelta:
    value = body.get("ttl")
    if value is None:
        return otherwise
    least, most = (bound.total_seconds() for bound in allowed)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise errors.invalid_parameter(name="ttl")
    return timedelta(seconds=value)


def _read_truncation(body: Mapping[str, Any], mode: str) -> dict[str, Any] | None:
    asked = body.get("truncation_strategy")
    if mode == "common_prefix":
        if asked is not None:
            raise errors.invalid_parameter(
                name="truncation_strategy", why="not allowed with common_prefix"
            )
        return None
    asked = {} if asked is None else asked
    kind = asked.get("type", "last_history_tokens") if isinstance(asked, dict) else None
    if kind not in _TRUNCATIONS:
        raise errors.invalid_parameter(name="truncation_strategy")
    if kind == "rolling_tokens":
        rolling = asked.get("rolling_tokens", True)
        if not isinstance(rolling, bool):
            raise errors.invalid_parameter(
                name="truncation_strategy", why="rolling_tokens is a boolean"
            )
        return {"type": kind, "rolling_tokens": rolling}
    tokens = asked.get("last_history_tokens", _DEFAULT_HISTORY_TOKENS)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise errors.invalid_parameter(
            name="truncation_strategy", why="last_history_tokens is an integer"
        )
    return {"type": kind, "last_history_tokens": tokens}
