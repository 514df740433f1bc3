"""Runs of chunks that differ in their text alone, which is what most of a stream is.

A stream's chunks repeat everything but a few characters: who answers, which model, where the text
belongs. Recognizing that costs a comparison of members; reading a chunk anew costs ten times as
much. What is recognized here must mean the same when it is read anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..upstream.interface import Batch, Chunk, Path, Repeated, each_chunk
from .json_values import Json

KINDS = {"content": "content", "reasoning_content": "reasoning"}
"""Kinds of events by the one member that a delta of mere text has."""

GEMINI_TEXT: Path = ("candidates", 0, "content", "parts", 0, "text")
"""Where Gemini's chunks have their text."""

Text: TypeAlias = tuple[str, str]
"""A kind of event, and what it adds."""


@dataclass(frozen=True, slots=True)
class ChatRun:
    """What the chunks of a run of chat text repeat.

    Attributes:
        head: The chunk's members but its choices.
        choice: Its one choice's members but the delta.
        index: The choice's index.
    """

    head: Json
    choice: Json
    index: int

    def text_of(self, chunk: Chunk) -> Text | None:
        """Return what a chunk adds to the run; None where it says anything else."""
        if len(chunk) != len(self.head) + 1 or not self.head.items() <= chunk.items():
            return None
        choice = _only(chunk.get("choices"))
        if choice is None or len(choice) != len(self.choice) + 1:
            return None
        text = _text_of(choice)
        return text if text is not None and self.choice.items() <= choice.items() else None


def chat_run(chunk: Chunk) -> ChatRun | None:
    """Return the run that a chunk of mere text may begin; None where it says more."""
    choice = _only(chunk.get("choices"))
    if choice is None or _text_of(choice) is None:
        return None
    others = {name: value for name, value in choice.items() if name != "delta"}
    index = others.get("index", 0)
    if type(index) is not int or any(
        others[name] is not None for name in others if name != "index"
    ):
        return None
    head = {name: value for name, value in chunk.items() if name != "choices"}
    return ChatRun(head, others, index)


def kind_at(path: Path) -> str | None:
    """Return the kind of event that a text in a chunk's first choice makes, by where it is."""
    *where, name = path
    return KINDS.get(str(name)) if where == ["choices", 0, "delta"] else None


def _only(items: object) -> Json | None:
    """Return the one object of an array; None where it is no such array."""
    if type(items) is list and len(items) == 1 and type(items[0]) is dict:
        return items[0]
    return None


def _text_of(choice: Json) -> Text | None:
    delta = choice.get("delta")
    if type(delta) is not dict or len(delta) != 1:
        return None
    ((name, text),) = delta.items()
    kind = KINDS.get(name)
    return (kind, text) if kind is not None and type(text) is str and text else None


def joined(batch: Batch) -> list[Chunk]:
    """Return Gemini's chunks, neighbours that differ in text and counts alone made into one.

    The counts are the later one's: they are of the whole answer so far (content.proto).
    """
    result: list[Chunk] = []
    texts: list[str] = []
    last: Chunk | None = None
    for chunk, more in _by_first(batch):
        text = _gemini_text(chunk)
        if text is not None and last is not None and _continues(last, chunk):
            texts.append(text)
        else:
            _end_run(result, texts)
            result.append(chunk)
            texts = [] if text is None else [text]
        result[-1], last = chunk, None if text is None else chunk
        texts.extend(more)
    _end_run(result, texts)
    return result


def _by_first(batch: Batch) -> Iterator[tuple[Chunk, Sequence[str]]]:
    """Yield chunks, with the texts of those after each that repeat it but for its text."""
    for item in batch:
        if isinstance(item, Repeated) and item.path == GEMINI_TEXT:
            first = next(item.chunks())
            if _gemini_text(first) is not None:
                yield first, item.texts[1:]
                continue
        yield from ((chunk, ()) for chunk in each_chunk((item,)))


def _end_run(result: list[Chunk], texts: list[str]) -> None:
    if len(texts) > 1:
        chunk = result[-1]
        candidate = chunk["candidates"][0]
        part = candidate["content"]["parts"][0]
        content = {**candidate["content"], "parts": [{**part, "text": "".join(texts)}]}
        result[-1] = {**chunk, "candidates": [{**candidate, "content": content}]}


def _gemini_text(chunk: Chunk) -> str | None:
    """Return a chunk's text; None where its candidate has anything beside."""
    candidate = _only(chunk.get("candidates"))
    if candidate is None or not candidate.keys() <= {"content", "index"}:
        return None
    content = candidate.get("content")
    part = _only(content.get("parts")) if type(content) is dict else None
    if part is None or not part.keys() <= {"text", "thought"}:
        return None
    text = part.get("text")
    return text if type(text) is str and text else None


def _continues(last: Chunk, chunk: Chunk) -> bool:
    """Tell whether two chunks of mere text differ in text and counts alone."""
    if last.keys() != chunk.keys():
        return False
    if any(last[name] != chunk[name] for name in chunk if name not in TOLD_ANEW):
        return False
    one, other = last["candidates"][0], chunk["candidates"][0]
    if one.get("index") != other.get("index"):
        return False
    before, after = one["content"], other["content"]
    if before.get("role") != after.get("role") or len(before) != len(after):
        return False
    return bool(before["parts"][0].get("thought") == after["parts"][0].get("thought"))


TOLD_ANEW = frozenset(("candidates", "usageMetadata"))
