"""Which framing a stream has: decided by its first byte, because upstream may ignore `alt`."""

from collections.abc import Iterator
from typing import Protocol

from .json_array import JsonArrayParser, JsonObjectParser
from .sse import BOM, SseParser


class EventParser(Protocol):
    """Bytes in, events out."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each event that these bytes complete."""
        ...

    def finish(self) -> Iterator[bytes]:
        """Yield what the end of the stream leaves."""
        ...


class Framing:
    """Splits a stream into its events, be it server-sent events, a JSON array or one object.

    Args:
        max_event_bytes: The largest event taken; a larger one is an UPSTREAM_RESPONSE_TOO_LARGE.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._parser: EventParser | None = None
        self._start = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Return an iterator over the events that these bytes complete."""
        if self._parser is None:
            chunk = (self._start + chunk).lstrip()
            if BOM.startswith(chunk):
                # Nothing yet, or what may be a byte order mark.
                self._start = chunk
                return iter(())
            self._parser = self._parser_for(chunk.removeprefix(BOM)[:1])
        return self._parser.feed(chunk)

    def finish(self) -> Iterator[bytes]:
        """Return an iterator over what the end of the stream leaves."""
        return iter(()) if self._parser is None else self._parser.finish()

    def _parser_for(self, first: bytes) -> EventParser:
        match first:
            case b"[":
                return JsonArrayParser(self._max_event_bytes)
            case b"{":
                return JsonObjectParser(self._max_event_bytes)
            case _:
                return SseParser(self._max_event_bytes)
