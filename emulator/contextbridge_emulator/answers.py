"""Generate the text, tool calls and finish reason of an answer, deterministically."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from .samples import sample
from .tokens import count_number_tokens, count_tokens

Finish = Literal["stop", "length", "content_filter", "tool_calls"]

QUOTED_CHARACTERS = 80
"""Length up to which an answer quotes the context."""
MAX_COUNT = 1_000_000
"""Largest number a model counts to."""

_PIECE = re.compile(r"\s*\S+|\s+")
_COUNT = re.compile(r"\s*count to (\d{1,7})\s*", re.ASCII | re.IGNORECASE)
_RECALL = re.compile(r"\s*recall turn (\d{1,4})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the caller offers to the model."""

    name: str
    schema: Any = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call in an answer."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The parts of a request that determine the answer, independent of the API surface."""

    model: str
    user_texts: Sequence[str]
    context: str = ""
    tool_result: str | None = None
    tools: Sequence[Tool] = ()
    call_tools: bool = False
    json_schema: Any = None
    wants_json: bool = False
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the length of an answer."""

    max_tokens: int | None = None
    stops: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; a stream splits it at word boundaries."""

    text: str
    thoughts: str = ""
    calls: Sequence[ToolCall] = field(default=())
    finish: Finish = "stop"
    refused: bool = False
    tokens: int = 0
    thought_tokens: int = 0

    def pieces(self) -> Iterator[str]:
        """Split the text into deltas."""
        return pieces(self.text)


def pieces(text: str) -> Iterator[str]:
    """Split a text at word boundaries; the pieces joined are the text."""
    return (match.group() for match in _PIECE.finditer(text))


def answer(prompt: Prompt, limits: Limits) -> Answer:
    """Return the answer to a prompt."""
    thoughts = _thoughts(prompt) if prompt.thinks else ""
    thought_tokens = count_tokens(thoughts)
    if prompt.call_tools and prompt.tools:
        return _calling(prompt, thoughts, thought_tokens)
    counting = _COUNT.fullmatch(_last(prompt)) if prompt.tool_result is None else None
    if counting:
        last = min(int(counting[1]), MAX_COUNT)
        text = " ".join(map(str, range(1, last + 1)))
        tokens = count_number_tokens(last)
    else:
        text = _reply(prompt)
        tokens = count_tokens(text)
    whole = Answer(text=text, thoughts=thoughts, tokens=tokens, thought_tokens=thought_tokens)
    return _limit(whole, limits)


def cut_short(whole: Answer, piece_count: int) -> Answer:
    """Truncate an answer after some pieces, as a model at its token limit does."""
    text = "".join(piece for piece, _ in zip(whole.pieces(), range(piece_count), strict=False))
    return replace(whole, text=text, tokens=count_tokens(text), finish="length")


def with_text(whole: Answer, text: str) -> Answer:
    """Prepend a text to an answer."""
    longer = f"{text} {whole.text}" if whole.text else text
    return replace(whole, text=longer, tokens=count_tokens(longer))


def silenced(whole: Answer) -> Answer:
    """Remove the text of an answer, as a safety filter does."""
    return replace(
        whole, text="", thoughts="", calls=(), tokens=0, thought_tokens=0, finish="content_filter"
    )


def refused(whole: Answer) -> Answer:
    """Replace an answer with a refusal by the model."""
    text = "I cannot help with that."
    return replace(whole, text=text, calls=(), refused=True, tokens=count_tokens(text))


def _last(prompt: Prompt) -> str:
    return prompt.user_texts[-1] if prompt.user_texts else ""


def _reply(prompt: Prompt) -> str:
    last = _last(prompt)
    if prompt.tool_result is not None:
        return f'The tool said: "{prompt.tool_result[:QUOTED_CHARACTERS]}".'
    if prompt.wants_json:
        return _json_text(prompt, last)
    if last.startswith("say: "):
        return last.removeprefix("say: ")
    recalled = _RECALL.fullmatch(last)
    if recalled:
        turn = int(recalled[1])
        known = 1 <= turn <= len(prompt.user_texts)
        return prompt.user_texts[turn - 1] if known else "There was no such turn."
    quote = prompt.context[:QUOTED_CHARACTERS]
    context = f' The context says: "{quote}".' if quote else ""
    return f'You said: "{last}".{context} (turn {max(1, len(prompt.user_texts))})'


def _json_text(prompt: Prompt, last: str) -> str:
    value = sample(prompt.json_schema, last) if prompt.json_schema else {"said": last}
    return msgspec.json.encode(value).decode()


def _thoughts(prompt: Prompt) -> str:
    return f"The caller asks about {len(_last(prompt))} characters; a plain reply will do."


def _calling(prompt: Prompt, thoughts: str, thought_tokens: int) -> Answer:
    last = _last(prompt)
    wanted = prompt.tools if "tools" in prompt.model else prompt.tools[:1]
    calls = tuple(ToolCall(tool.name, _arguments(tool, last)) for tool in wanted)
    tokens = sum(count_tokens(f"{call.name}{call.arguments}") for call in calls)
    return Answer(
        text="",
        thoughts=thoughts,
        calls=calls,
        finish="tool_calls",
        tokens=tokens,
        thought_tokens=thought_tokens,
    )


def _arguments(tool: Tool, text: str) -> dict[str, Any]:
    value = sample(tool.schema, text) if tool.schema else {}
    return value if isinstance(value, dict) else {}


def _limit(whole: Answer, limits: Limits) -> Answer:
    text = _stopped(whole.text, limits.stops)
    if text != whole.text:
        whole = replace(whole, text=text, tokens=count_tokens(text))
    room = limits.max_tokens
    if room is None or whole.tokens <= room:
        return whole
    return _fitted(whole, room)


def _stopped(text: str, stops: Sequence[str]) -> str:
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return text[: min(found)] if found else text


def _fitted(whole: Answer, room: int) -> Answer:
    kept: list[str] = []
    used = 0
    for piece in whole.pieces():
        cost = count_tokens(piece)
        if used + cost > room:
            break
        kept.append(piece)
        used += cost
    return replace(whole, text="".join(kept), tokens=used, finish="length")
