"""A JSON array that arrives piece by piece: bytes in, the bytes of its elements out, no I/O."""

import re
from collections.abc import Iterator

from ..errors import too_large

OUTSIDE_STRING = re.compile(rb'["{}\[\]]')
INSIDE_STRING = re.compile(rb'["\\]')


class JsonArrayParser:
    """Splits the array framing of `streamGenerateContent` (wire.md B.1) into its objects.

    Args:
        max_event_bytes: The largest element taken; a larger one is an UPSTREAM_RESPONSE_TOO_LARGE.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._element: list[bytes] = []
        self._element_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each element that these bytes complete."""
        position, start = int(self._escaped and bool(chunk)), 0
        self._escaped = self._escaped and not chunk
        while (mark := self._next_mark(chunk, position)) is not None:
            position = mark + 1
            match chunk[mark : mark + 1]:
                case b'"':
                    self._in_string = not self._in_string
                case b"\\":
                    # The escaped byte may be in the next piece.
                    self._escaped = position >= len(chunk)
                    position += 1
                case b"{" | b"[":
                    self._depth += 1
                    if self._depth == 2:  # noqa: PLR2004 - the array is the first level, an element the second
                        start = mark
                case _:
                    self._depth -= 1
                    if self._depth == 1:
                        self._keep(chunk[start:position])
                        yield b"".join(self._element)
                        self._element.clear()
                        self._element_bytes = 0
        if self._depth > 1:
            self._keep(chunk[start:])

    def finish(self) -> Iterator[bytes]:
        """Yield nothing; an array that was cut within an element has lost it."""
        yield from ()

    def _next_mark(self, chunk: bytes, position: int) -> int | None:
        pattern = INSIDE_STRING if self._in_string else OUTSIDE_STRING
        found = pattern.search(chunk, position)
        return found.start() if found else None

    def _keep(self, piece: bytes) -> None:
        self._element.append(piece)
        self._element_bytes += len(piece)
        if self._element_bytes > self._max_event_bytes:
            raise too_large(self._max_event_bytes)


class JsonObjectParser:
    """Takes a whole body that is one JSON object, where a stream was asked for.

    Args:
        max_event_bytes: The largest body taken; a larger one is an UPSTREAM_RESPONSE_TOO_LARGE.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._body = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Keep the bytes; yield nothing before the end."""
        self._body += chunk
        if len(self._body) > self._max_event_bytes:
            raise too_large(self._max_event_bytes)
        yield from ()

    def finish(self) -> Iterator[bytes]:
        """Yield the whole body."""
        yield bytes(self._body)
