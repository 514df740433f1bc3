"""Render a chat completion as one response or as a stream of chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec

from .answers import Answer, ToolCall
from .faults import Wire
from .streaming import Event


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion, to be rendered whole or in chunks."""

    id: str
    created: int
    model: str
    answers: Sequence[Answer]
    usage: dict[str, Any]
    top_logprobs: int | None
    """Alternatives to list for each token; None omits log probabilities."""


def whole(completion: Completion, wire: Wire) -> dict[str, Any]:
    """Return a completion as one response."""
    body: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [
            _choice(index, said, completion.top_logprobs)
            for index, said in enumerate(completion.answers)
        ],
    }
    if not wire.no_usage:
        body["usage"] = completion.usage
    return body


def _choice(index: int, said: Answer, top_logprobs: int | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text}
    if said.thoughts:
        message["reasoning_content"] = said.thoughts
    if said.refused:
        message |= {"content": None, "refusal": said.text}
    if said.calls:
        message |= {
            "content": None,
            "tool_calls": [_tool_call(at, call) for at, call in enumerate(said.calls)],
        }
    choice: dict[str, Any] = {
        "index": index,
        "message": message,
        "finish_reason": said.finish,
    }
    if top_logprobs is not None:
        pieces = said.pieces()
        choice["logprobs"] = {"content": [_logprob(piece, top_logprobs) for piece in pieces]}
    if said.finish == "content_filter":
        choice["moderation_hit_type"] = "severe_violation"
    return choice


def _tool_call(at: int, call: ToolCall) -> dict[str, Any]:
    return {
        "id": f"call_{at}_{call.name}",
        "type": "function",
        "function": {"name": call.name, "arguments": _arguments(call)},
    }


def _arguments(call: ToolCall) -> str:
    return msgspec.json.encode(call.arguments).decode()


def _logprob(piece: str, top: int) -> dict[str, Any]:
    likely = [_token(piece, -0.125), *(_token(f"{piece}~{n}", -3.0 - n) for n in range(1, top))]
    return _token(piece, -0.125) | {"top_logprobs": likely[:top]}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def events(completion: Completion, wire: Wire, *, include_usage: bool) -> Iterator[Event]:
    """Split a completion into the chunks of a stream, in the order that clients expect."""
    send_usage = include_usage and not wire.no_usage and not wire.usage_on_finish

    def chunk(kind: Any, choices: list[dict[str, Any]]) -> Event:
        body: dict[str, Any] = {
            "id": completion.id,
            "object": "chat.completion.chunk",
            "created": completion.created,
            "model": completion.model,
            "choices": choices,
        }
        if send_usage:
            body["usage"] = None
        return Event(kind, body)

    for index in range(len(completion.answers)):
        delta = {"role": "assistant", "content": ""}
        yield chunk("open", [_piece(index, delta)])
    for row in zip_longest(
        *(_deltas(said, completion.top_logprobs) for said in completion.answers)
    ):
        for index, piece in enumerate(row):
            if piece is not None:
                yield chunk("delta", [_piece(index, *piece)])
    last = len(completion.answers) - 1
    for index, said in enumerate(completion.answers):
        finish = chunk("finish", [_piece(index, {}, finish=said)])
        if wire.usage_on_finish and index == last:
            finish.body["usage"] = completion.usage
        yield finish
    if send_usage:
        usage = chunk("usage", [])
        usage.body["usage"] = completion.usage
        yield usage


def _piece(
    index: int,
    delta: dict[str, Any],
    logprobs: dict[str, Any] | None = None,
    finish: Answer | None = None,
) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "delta": delta,
        "finish_reason": finish.finish if finish else None,
    }
    if logprobs is not None:
        choice["logprobs"] = logprobs
    if finish is not None and finish.finish == "content_filter":
        choice["moderation_hit_type"] = "severe_violation"
    return choice


def _deltas(
    said: Answer, top_logprobs: int | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    for piece in Answer(text=said.thoughts).pieces():
        yield {"reasoning_content": piece}, None
    for at, call in enumerate(said.calls):
        yield from _call_deltas(at, call)
    member = "refusal" if said.refused else "content"
    for piece in said.pieces():
        named = None if top_logprobs is None else {"content": [_logprob(piece, top_logprobs)]}
        yield {member: piece}, named


def _call_deltas(at: int, call: ToolCall) -> Iterator[tuple[dict[str, Any], None]]:
    head = _tool_call(at, call)
    head["function"]["arguments"] = ""
    yield {"tool_calls": [{"index": at, **head}]}, None
    text = _arguments(call)
    middle = (len(text) + 1) // 2
    for fragment in (text[:middle], text[middle:]):
        if fragment:
            yield {"tool_calls": [{"index": at, "function": {"arguments": fragment}}]}, None
