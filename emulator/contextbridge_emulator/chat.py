"""Answer chat completions, with and without a context."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from . import caches, errors
from .answers import Answer, Prompt, answer
from .call import Call
from .completions import Completion, events, whole
from .faults import Chosen, Wire, split_model
from .messages import (
    check_sampling,
    is_gemini,
    must_call,
    read_limits,
    read_new_turns,
    read_tools,
    required_text,
    text_counts,
    total,
)
from .state import Context, Turn
from .streaming import ChatFraming, send_json, send_stream

WINDOW_TOKENS = 131_072
"""Longest prompt, in tokens, of models other than Gemini."""
_UNSUPPORTED_ON_CONTEXTS = (
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "thinking",
    "response_format",
)
_THINKING_WORDS = ("think", "reason", "-r1")


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The messages and tokens that a context contributes."""

    turns: Sequence[Turn] = ()
    cached_tokens: int = 0
    context: Context | None = None


async def with_context(call: Call) -> web.StreamResponse:
    """Answer POST /v1/context/chat/completions."""
    body = await call.read_json()
    required_text(body, "context_id")
    return await complete(call, body)


async def maybe_with_context(call: Call) -> web.StreamResponse:
    """Answer POST /v1/chat/completions, where a context is optional."""
    return await complete(call, await call.read_json())


async def complete(
    call: Call,
    body: dict[str, Any],
    keep: Callable[[Completion], None] = lambda _: None,
) -> web.StreamResponse:
    """Answer a chat; call `keep` with the completion just before sending its last byte."""
    model = required_text(body, "model")
    plain, _ = split_model(model)
    chosen = call.faults(model + _faults_of_user(body), "answer")
    if plain.startswith("unknown-"):
        raise errors.model_not_open(plain)
    new = read_new_turns(body)
    check_sampling(body)
    prefix = _find_prefix(call, body, plain, total(new))
    if chosen.blocks_prompt:
        raise errors.ark(
            400,
            "InputTextRiskDetection",
            "The request failed because the input text may contain sensitive information.",
        )
    with _in_progress(prefix.context):
        completion = _make(body, model, prefix, new, chosen)
        await call.wait(chosen.wire)
        join_history = _releasing(prefix.context, new, completion.answers[0])

        def release() -> None:
            join_history()
            keep(completion)

        return await send(call, body, completion, chosen.wire, release)


def _faults_of_user(body: Mapping[str, Any]) -> str:
    """Return the faults in `user`: a chat on a context cannot change its model's name."""
    user = body.get("user")
    return user if isinstance(user, str) and user.startswith("+") else ""


async def send(
    call: Call,
    body: Mapping[str, Any],
    completion: Completion,
    wire: Wire,
    release: Callable[[], None],
) -> web.StreamResponse:
    """Send a completion, whole or as a stream, as the body requests."""
    if not body.get("stream"):
        return await send_json(call, whole(completion, wire), wire, release)
    options = body.get("stream_options") or {}
    chunks = events(completion, wire, include_usage=bool(options.get("include_usage")))
    return await send_stream(call, ChatFraming(done=not wire.no_done), chunks, wire, release)


def _releasing(context: Context | None, new: Sequence[Turn], said: Answer) -> Callable[[], None]:
    def release() -> None:
        if context is not None and context.mode == "session":
            context.history += [*new, Turn("assistant", said.text, text_counts(said.text))]
            # The caller may send the next turn as soon as the last byte arrives.
            context.run = None

    return release


def _in_progress(context: Context | None) -> AbstractContextManager[None]:
    if context is None or context.mode != "session":
        return nullcontext()
    if context.run is not None:
        raise errors.context_busy(context.id)
    return _running(context)


@contextmanager
def _running(context: Context) -> Iterator[None]:
    run = context.run = object()
    try:
        yield
    finally:
        # The next call may start between this call's last byte and its end.
        if context.run is run:
            context.run = None


def _find_prefix(call: Call, body: Mapping[str, Any], model: str, new_tokens: int) -> _Prefix:
    context_id = body.get("context_id")
    if context_id is None or context_id == "":
        return _Prefix()
    if not isinstance(context_id, str):
        raise errors.invalid_parameter(name="context_id", why="must be a string")
    if "cachedContents/" in context_id:
        return _cache_prefix(call, context_id, model)
    context = _find_context(call, body, context_id, model)
    _truncate(context, new_tokens)
    turns = [*context.initial, *context.history]
    return _Prefix(turns=turns, cached_tokens=total(turns), context=context)


def _cache_prefix(call: Call, name: str, model: str) -> _Prefix:
    gone = call.account.gone.get(name)
    if gone is not None and gone.dialect == "ark":
        raise errors.context_not_found(name)
    try:
        cache = caches.find(call, name)
        caches.check_model(cache, model)
    except errors.GoogleError as error:
        raise errors.relayed(error) from error
    return _Prefix(turns=cache.turns, cached_tokens=cache.counts.total)


def _find_context(call: Call, body: Mapping[str, Any], context_id: str, model: str) -> Context:
    context = call.account.context(context_id, call.arrived_ns)
    if context is None:
        raise errors.context_not_found(context_id)
    if context.model != model:
        raise errors.invalid_parameter(
            name="model", why=f"the context was made for {context.model}"
        )
    for name in _UNSUPPORTED_ON_CONTEXTS:
        if body.get(name) is not None:
            raise errors.unsupported_parameter(name)
    context.expires_ns = call.arrived_ns + context.ttl_ns
    return context


def _truncate(context: Context, new_tokens: int) -> None:
    """Drop the oldest turns of a session that exceeds its truncation strategy."""
    strategy = context.truncation or {}
    if strategy.get("type") == "last_history_tokens":
        room = strategy["last_history_tokens"]
    elif strategy.get("rolling_tokens"):
        room = WINDOW_TOKENS - total(context.initial) - new_tokens
    else:
        return
    while context.history and total(context.history) > room:
        del context.history[0]


def _make(
    body: Mapping[str, Any],
    model: str,
    prefix: _Prefix,
    new: Sequence[Turn],
    chosen: Chosen,
) -> Completion:
    plain, _ = split_model(model)
    prompt = _prompt(body, plain, prefix, new)
    prompt_tokens = prefix.cached_tokens + total(new)
    if body.get("tools"):
        prompt_tokens += text_counts(msgspec.json.encode(body["tools"]).decode()).total
    said = answer(prompt, read_limits(body))
    if not is_gemini(plain) and prompt_tokens > WINDOW_TOKENS:
        said = _without_room(prefix)
    said = chosen.reshape(said)
    count = int(body.get("n") or 1)
    return Completion(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=model,
        answers=[said] * count,
        usage=_usage(prompt_tokens, prefix.cached_tokens, said, count),
        top_logprobs=int(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
    )


def _without_room(prefix: _Prefix) -> Answer:
    context = prefix.context
    strategy = context.truncation if context is not None else None
    if strategy is not None and strategy.get("rolling_tokens") is False:
        return Answer(text="", finish="length")
    raise errors.ark(400, "OutofContextError", "Total tokens exceed the context window.")


def _prompt(body: Mapping[str, Any], model: str, prefix: _Prefix, new: Sequence[Turn]) -> Prompt:
    turns = [*prefix.turns, *new]
    tools = read_tools(body)
    wanted = body.get("response_format")
    shape = wanted if isinstance(wanted, dict) else {}
    described = shape.get("json_schema")
    return Prompt(
        model=model,
        user_texts=[turn.text for turn in turns if turn.role == "user"],
        context=_quotable(prefix, new),
        tool_result=new[-1].text if new[-1].role == "tool" else None,
        tools=tools,
        call_tools=(must_call(body) or "tool" in model)
        and body.get("tool_choice") != "none"
        and new[-1].role != "tool",
        json_schema=described.get("schema") if isinstance(described, dict) else None,
        wants_json=shape.get("type") in ("json_object", "json_schema"),
        thinks=any(word in model for word in _THINKING_WORDS),
    )


def _quotable(prefix: _Prefix, new: Sequence[Turn]) -> str:
    turns = prefix.turns or [turn for turn in new if turn.role == "system"]
    system = next((turn.text for turn in turns if turn.role == "system"), None)
    return system if system is not None else next((turn.text for turn in turns), "")


def _usage(prompt: int, cached: int, said: Answer, count: int) -> dict[str, Any]:
    completion = (said.tokens + said.thought_tokens) * count
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": said.thought_tokens * count},
    }
