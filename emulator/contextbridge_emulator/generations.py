"""Render a Gemini generation as one response or as a stream of responses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .answers import Answer, pieces
from .faults import Wire
from .state import Counts
from .streaming import Event

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "tool_calls": "STOP"}
_SIGNATURE = "c2lnbmF0dXJl"
_HARM = {
    "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
    "probability": "HIGH",
    "blocked": True,
}


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation, to be rendered whole or in parts."""

    answer: Answer
    candidates: int
    prompt: Counts
    cached: Counts
    model: str
    response_id: str
    created: str
    shows_thoughts: bool
    logprobs: bool
    wire: Wire
    blocked: bool


def whole(generation: Generation) -> dict[str, Any]:
    """Return a generation as one response."""
    body: dict[str, Any] = {}
    if generation.blocked:
        body["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []}
    else:
        body["candidates"] = [
            _whole_candidate(generation, index) for index in range(generation.candidates)
        ]
    return _with_tail(generation, body, final=True)


def _whole_candidate(generation: Generation, index: int) -> dict[str, Any]:
    parts = [*_thought_parts(generation), *_call_parts(generation)]
    if generation.answer.text:
        parts.append({"text": generation.answer.text})
    candidate = _candidate(generation, index, parts, finish=True)
    if generation.answer.finish != "content_filter":
        candidate["avgLogprobs"] = -0.125
    if generation.logprobs:
        candidate["logprobsResult"] = _logprobs(generation.answer)
    return candidate


def _thought_parts(generation: Generation) -> list[dict[str, Any]]:
    if not generation.shows_thoughts or not generation.answer.thoughts:
        return []
    return [{"text": generation.answer.thoughts, "thought": True}]


def _call_parts(generation: Generation) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for call in generation.answer.calls:
        part: dict[str, Any] = {"functionCall": {"name": call.name, "args": call.arguments}}
        if generation.answer.thoughts and not parts:
            part["thoughtSignature"] = _SIGNATURE
        parts.append(part)
    return parts


def _candidate(
    generation: Generation, index: int, parts: list[dict[str, Any]], *, finish: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {}
    withheld = generation.answer.finish == "content_filter"
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    elif not withheld:
        candidate["content"] = {"role": "model"}
    if finish:
        candidate["finishReason"] = _FINISH[generation.answer.finish]
    candidate["index"] = index
    if finish and withheld:
        candidate["safetyRatings"] = [_HARM]
    return candidate


def _logprobs(said: Answer) -> dict[str, Any]:
    chosen = [
        {"token": piece, "tokenId": len(piece), "logProbability": -0.125} for piece in said.pieces()
    ]
    return {
        "topCandidates": [{"candidates": [each]} for each in chosen],
        "chosenCandidates": chosen,
    }


def events(generation: Generation) -> Iterator[Event]:
    """Split a generation into responses; a candidate's last has the finish reason."""
    if generation.blocked:
        yield Event("finish", whole(generation))
        return
    held: dict[str, Any] | None = None
    for part in _parts(generation):
        for index in range(generation.candidates):
            if held is not None:
                yield Event("delta", _chunk(generation, held))
            held = _candidate(generation, index, [part], finish=False)
    yield from _last_events(generation, held)


def _last_events(generation: Generation, held: dict[str, Any] | None) -> Iterator[Event]:
    """Finish every candidate; the last response has the complete usage."""
    if generation.candidates > 1 and held is not None:
        yield Event("delta", _chunk(generation, held))
        held = None
    for index in range(generation.candidates):
        parts = held["content"]["parts"] if held is not None else []
        final = index == generation.candidates - 1
        candidate = _candidate(generation, index, parts, finish=True)
        yield Event("finish", _chunk(generation, candidate, final=final))


def _parts(generation: Generation) -> Iterator[dict[str, Any]]:
    if generation.shows_thoughts:
        for piece in pieces(generation.answer.thoughts):
            yield {"text": piece, "thought": True}
    yield from _call_parts(generation)
    for piece in generation.answer.pieces():
        yield {"text": piece}


def _chunk(
    generation: Generation, candidate: dict[str, Any], *, final: bool = False
) -> dict[str, Any]:
    return _with_tail(generation, {"candidates": [candidate]}, final=final)


def _with_tail(generation: Generation, body: dict[str, Any], *, final: bool) -> dict[str, Any]:
    wire = generation.wire
    if not wire.no_usage and (final or not wire.usage_on_finish):
        body["usageMetadata"] = _usage(generation, final=final)
    body["modelVersion"] = generation.model
    body["createTime"] = generation.created
    body["responseId"] = generation.response_id
    return body


def _usage(generation: Generation, *, final: bool) -> dict[str, Any]:
    """Sum the tokens; omit counts of zero."""
    prompt, cached = generation.prompt, generation.cached
    said = generation.answer.tokens * generation.candidates if final else 0
    thought = generation.answer.thought_tokens if final else 0
    if generation.blocked:
        said = thought = 0
    usage: dict[str, Any] = {
        "promptTokenCount": prompt.total,
        "candidatesTokenCount": said,
        "totalTokenCount": prompt.total + said + thought,
        "cachedContentTokenCount": cached.total,
        "trafficType": "ON_DEMAND",
        "promptTokensDetails": prompt.details(),
        "cacheTokensDetails": cached.details(),
        "candidatesTokensDetails": Counts((("TEXT", said),)).details(),
        "thoughtsTokenCount": thought,
    }
    return {name: value for name, value in usage.items() if value}
