"""A stream's events as chunks; those that repeat the one before but for a text are not decoded.

Most of a stream is the same JSON again and again with another word in it. Once two neighbours are
seen to differ in the bytes of one string, the next is compared instead: what comes before and after
that string is the same, and between them is text that JSON writes as it is. That costs a seventh of
decoding it (ADR 28).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import BridgeError
from .failures import decode_object
from .port import Batch, Chunk, Path, Repeated

DONE = b"[DONE]"
PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
"""Text that a JSON string holds as it is: whatever has an escape is decoded."""
PLACEHOLDER = "\N{OBJECT REPLACEMENT CHARACTER}"
MAX_ATTEMPTS = 3
"""Neighbours that are looked at before a stream is taken for one that does not repeat itself."""


class ChunkDecoder:
    """Decodes the events of one stream.

    Args:
        headers: The answer's headers; a failure within the stream is told with theirs.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._last = b""
        self._repetition: Repetition | None = None
        self._attempts = 0

    def decode(self, payloads: Iterable[bytes]) -> tuple[Batch, BridgeError | bytes | None]:
        """Return the chunks of the events of one read, and what ended them, if anything did.

        A failure ends them, and so does DONE, upstream's mark of the end.
        """
        batch: list[Chunk | Repeated] = []
        texts: list[str] = []
        repetition = self._repetition
        try:
            for payload in payloads:
                text = None if repetition is None else repetition.text_of(payload)
                if text is None:
                    _end_run(batch, repetition, texts)
                    texts = []
                    if payload.strip() == DONE:
                        return batch, DONE
                    if payload:
                        batch.append(self._decode(payload))
                    repetition = self._repetition
                else:
                    texts.append(text)
        except BridgeError as error:
            return batch, error
        _end_run(batch, repetition, texts)
        return batch, None

    def _decode(self, payload: bytes) -> Chunk:
        chunk = decode_object(payload, self._headers)
        self._repetition = None
        if self._attempts < MAX_ATTEMPTS:
            self._attempts += 1
            self._repetition = repetition_of(self._last, payload, chunk)
            if self._repetition is not None:
                self._attempts = 0
            self._last = payload
        return chunk


class Repetition:
    """The bytes that neighbours share, around the one string in which they differ.

    Args:
        before: What comes before the string, its opening quote included.
        after: What comes after it, from its closing quote on.
        like: A chunk that these bytes make.
        path: Where the string is in it.
    """

    __slots__ = ("_after", "_before", "_length", "like", "path")

    def __init__(self, before: bytes, after: bytes, like: Chunk, path: Path) -> None:
        self._before = before
        self._after = after
        self._length = len(before) + len(after)
        self.like = like
        self.path = path

    def text_of(self, payload: bytes) -> str | None:
        """Return the text of an event that repeats the others; None for any other."""
        end = len(payload) - len(self._after)
        if (
            len(payload) <= self._length
            or not payload.startswith(self._before)
            or not payload.endswith(self._after)
        ):
            return None
        found = PLAIN.fullmatch(payload, len(self._before), end)
        try:
            return found[0].decode() if found is not None else None
        except UnicodeDecodeError:
            return None


def repetition_of(one: bytes, other: bytes, chunk: Chunk) -> Repetition | None:
    """Return what two events repeat; None where they differ in more than the text of one string.

    Args:
        one: An event.
        other: The one after it.
        chunk: What the other was decoded to.
    """
    before = one[: one.rfind(b'"', 0, _shared_length(one, other)) + 1]
    after = one[one.find(b'"', len(before)) :]
    if not before or not other.endswith(after):
        return None
    # That the bytes between are a string, and which, is seen by putting another one there.
    try:
        like = decode_object(before + PLACEHOLDER.encode() + after, {})
        path = _path_to(PLACEHOLDER, like)
        if not path:
            return None
        found = Repetition(before, after, like, path)
        text = found.text_of(other)
        is_so = text is not None and list(Repeated(like, path, (text,)).chunks()) == [chunk]
    except (BridgeError, RecursionError):
        return None
    return found if is_so and found.text_of(one) is not None else None


def _shared_length(one: bytes, other: bytes) -> int:
    """Return how many bytes two events have in common at their start."""
    places = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(places, min(len(one), len(other)))


def _path_to(text: str, value: Any) -> Path | None:
    """Return where a string is in a JSON value; None where it is not a value there."""
    if isinstance(value, str):
        return () if value == text else None
    items = value.items() if isinstance(value, dict) else enumerate(_array(value))
    for name, member in items:
        path = _path_to(text, member)
        if path is not None:
            return (name, *path)
    return None


def _array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _end_run(
    batch: list[Chunk | Repeated], repetition: Repetition | None, texts: list[str]
) -> None:
    if texts and repetition is not None:
        batch.append(Repeated(repetition.like, repetition.path, texts))
