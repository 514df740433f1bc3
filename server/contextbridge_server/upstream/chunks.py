"""A stream's events as chunks; those that repeat the one before but for a text are not decoded.

Most of a stream is the same JSON again and again with another word in it. Once two neighbours are
seen to differ in the bytes of one string, those after them are compared instead: what comes before
and after that string is the same, and between them is nothing but a string (ADR 28).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from ..errors import BridgeError
from .failures import decode_object
from .interface import Batch, Chunk, Path, Repeated

DONE = b"[DONE]"
PLAIN_LINES = re.compile(rb'(?:[^"\\\x00-\x1f]++\n)++')
"""Texts that a JSON string holds as they are, one in a line."""
STRING = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])++')
"""What is between the quotes of a JSON string that is not empty."""
PLACEHOLDER = "\N{OBJECT REPLACEMENT CHARACTER}"
MAX_ATTEMPTS = 3
"""Neighbours that are looked at before a stream is taken for one that does not repeat itself."""
MAX_TOGETHER = 256
"""Events that are compared at once: those after one that differs are looked at again."""

_decode_texts = msgspec.json.Decoder(list[str]).decode


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
        events, failure = _gathered(payloads)
        place = 0
        while place < len(events):
            repeated = self._repeated(events[place : place + MAX_TOGETHER])
            if repeated is not None:
                batch.append(repeated)
                place += len(repeated.texts)
                continue
            event = events[place]
            place += 1
            if event.strip() == DONE:
                return batch, DONE
            if event:
                try:
                    batch.append(self._decode(event))
                except BridgeError as error:
                    return batch, error
        return batch, failure

    def _repeated(self, events: Iterable[bytes]) -> Repeated | None:
        """Return the first of some events as repetitions; None where the first is none."""
        repetition = self._repetition
        texts = repetition.texts_of(events) if repetition is not None else ()
        return Repeated(repetition.like, repetition.path, texts) if repetition and texts else None

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

    __slots__ = ("_after", "_before", "like", "path")

    def __init__(self, before: bytes, after: bytes, like: Chunk, path: Path) -> None:
        self._before = before
        self._after = after
        self.like = like
        self.path = path

    def texts_of(self, events: Iterable[bytes]) -> Sequence[str]:
        """Return the texts of the first events, up to one that does not repeat the others."""
        before, after = self._before, self._after
        strings: list[bytes] = []
        for event in events:
            if not (event.startswith(before) and event.endswith(after)):
                break
            strings.append(event[len(before) : -len(after)])
        try:
            if PLAIN_LINES.fullmatch(b"\n".join((*strings, b""))):
                texts = b"\n".join(strings).decode().split("\n")
                return texts if len(texts) == len(strings) else ()
            quoted = (b'"%s"' % string for string in takewhile(STRING.fullmatch, strings))
            return _decode_texts(b"[%s]" % b",".join(quoted))
        except (UnicodeDecodeError, msgspec.DecodeError):
            return ()


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
        texts = found.texts_of((one, other))
        is_so = list(Repeated(like, path, texts).chunks())[1:] == [chunk]
    except (BridgeError, RecursionError):
        return None
    return found if is_so else None


def _shared_length(one: bytes, other: bytes) -> int:
    """Return how many bytes two events have in common at their start."""
    shorter = min(len(one), len(other))
    # As one number each, so that they are compared in one step.
    differing = int.from_bytes(one[:shorter]) ^ int.from_bytes(other[:shorter])
    return shorter - (differing.bit_length() + 7) // 8


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


def _gathered(payloads: Iterable[bytes]) -> tuple[Sequence[bytes], BridgeError | None]:
    """Return events, and the failure after which there are no more."""
    events: list[bytes] = []
    try:
        for payload in payloads:
            events.append(payload)  # noqa: PERF402 - what came before a failure counts
    except BridgeError as error:
        return events, error
    return events, None
