"""Server-sent events: bytes in, data payloads out, no I/O.

The rules are the WHATWG's (html.spec.whatwg.org, "Parsing an event stream"), on bytes: line ends
are CR, LF and CRLF and nothing else, which no UTF-8 sequence contains.
"""

from collections.abc import Iterator, Sequence

from ..errors import too_large

BOM = b"\xef\xbb\xbf"


class SseParser:
    """Splits an event stream into the data of its events, however its bytes are cut.

    Args:
        max_event_bytes: The largest event taken; a larger one is an UPSTREAM_RESPONSE_TOO_LARGE.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._partial: list[bytes] = []
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._stray: list[bytes] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each event that these bytes complete."""
        if self._at_start:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if not self._partial and not self._data and b"\r" not in chunk:
            events, blank_line, chunk = chunk.rpartition(b"\n\n")
            if blank_line:
                yield from self._plain(events) or self._each(events)
        lines = chunk.splitlines(keepends=True)
        if not lines:
            return
        if self._partial and lines[0].endswith((b"\n", b"\r")):
            lines[0] = self._take_partial() + lines[0]
        self._after_cr = lines[-1].endswith(b"\r")
        partial = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        for line in lines:
            yield from self._line(line.rstrip(b"\r\n"))
        if partial:
            self._hold(len(partial))
            self._partial.append(partial)

    def finish(self) -> Iterator[bytes]:
        """Yield what the end of the stream leaves: an event without its blank line, stray JSON.

        The standard drops both; upstreams end on `data: [DONE]` without a line end (wire.md A.3)
        and write a late error as a bare object (wire.md B.1).
        """
        if self._partial:
            yield from self._line(self._take_partial())
        if self._data:
            yield b"\n".join(self._data)
            self._data.clear()
        if self._stray:
            yield b"\n".join(self._stray)
            self._stray.clear()

    def _without_bom(self, chunk: bytes) -> bytes:
        start = self._take_partial() + chunk
        if len(start) < len(BOM) and BOM.startswith(start):
            self._hold(len(start))
            self._partial.append(start)
            return b""
        self._at_start = False
        return start.removeprefix(BOM)

    def _plain(self, events: bytes) -> Sequence[bytes]:
        """Return the data of events of one line of data each; nothing if one is of another form.

        Nearly all are: each word of a stream comes by here, and one step serves all of a read.
        """
        payloads = events.removeprefix(b"data: ").split(b"\n\ndata: ")
        if not events.startswith(b"data: ") or events.count(b"\n") != 2 * (len(payloads) - 1):
            return ()
        largest = max(map(len, payloads)) + len(b"data: ") + 1
        return payloads if self._held_bytes + largest <= self._max_event_bytes else ()

    def _each(self, events: bytes) -> Iterator[bytes]:
        """Yield the data of events line by line."""
        for line in (events + b"\n").split(b"\n"):
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[bytes]:
        # The byte more stands for the line's end, so that empty lines count too.
        if line.startswith(b"data:") or line == b"data":
            start = 6 if line[5:6] == b" " else 5
            self._hold(len(line) + 1)
            self._data_bytes += len(line) + 1
            self._data.append(line[start:])
        elif not line and self._data:
            yield b"\n".join(self._data)
            self._data.clear()
            self._held_bytes -= self._data_bytes
            self._data_bytes = 0
        elif self._stray or line.lstrip()[:1] in (b"{", b"["):
            self._hold(len(line) + 1)
            self._stray.append(line)

    def _take_partial(self) -> bytes:
        partial = b"".join(self._partial)
        self._partial.clear()
        self._held_bytes -= len(partial)
        return partial

    def _hold(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        if self._held_bytes > self._max_event_bytes:
            raise too_large(self._max_event_bytes)
