"""HTTP/1.1 to one host: connections that are kept and used again, one exchange at a time on each.

llhttp parses, by way of httptools; what is here moves bytes between it and whoever reads an answer.
The path of each token goes through here, so there is little of it: an answer is read as what its
connection received, everything that waits at once (ADR 27).
"""

import asyncio
import math
import socket
import ssl
import zlib
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import aiohappyeyeballs
import httptools

MAX_HEADER_BYTES = 64 * 1024
"""An answer's headers and trailers together."""
MAX_WAITING_BYTES = 128 * 1024
"""Past it a connection is not read until its reader has taken what waits."""
SLICE_BYTES = 256 * 1024
"""A larger body is sent piece by piece, so that other calls get their turns in between."""
KEPT_SECONDS = 15.0
"""How long an idle connection is kept; upstreams close theirs after about a minute."""
LOOK_SECONDS = 0.1
"""How much later than its deadline a wait may end."""
FALL_BACK_SECONDS = 0.25
"""How long an address is tried before the next one is tried beside it (RFC 8305)."""
PIECE_BYTES = 64 * 1024
"""The most that is decompressed at once: a few bytes may hold gigabytes."""

WINDOW_BITS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}
BODY_ENDS_BY_ITSELF = ("content-length", "transfer-encoding")
INFORMATIONAL = range(100, 200)
SWITCHING_PROTOCOLS = 101


class ConnectError(Exception):
    """No connection was made: nothing was sent."""


class ConnectionLostError(Exception):
    """The connection broke before the answer was whole."""


class LateError(Exception):
    """The connection's deadline passed before anything came."""


class MalformedAnswerError(Exception):
    """What was answered is no HTTP, or nothing that was asked for."""


class BrokenCompressionError(Exception):
    """The answer's compression is broken, or none that is known."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where connections lead.

    Attributes:
        name: A host name or an IP address.
        port: The TCP port.
        tls: What to trust; None speaks in the clear.
    """

    name: str
    port: int
    tls: ssl.SSLContext | None = None


class Connection(asyncio.Protocol):
    """One connection, and the answer that is read from it.

    Attributes:
        status: The answer's HTTP status.
        headers: Its headers, names in lower case; a repeated one's values are joined by commas.
        is_whole: The answer has been received to its end.
        deadline: When waiting for upstream ends, by the loop's clock; for an idle connection, when
            it is closed. The user of the connection sets it.
        is_idle: Nobody uses the connection.
    """

    __slots__ = (
        "_ends_by_itself",
        "_error",
        "_header_bytes",
        "_inflater",
        "_is_full",
        "_is_kept_alive",
        "_is_late",
        "_is_lost",
        "_is_sent",
        "_may_write",
        "_parser",
        "_pieces",
        "_transport",
        "_waiter",
        "_waiting_bytes",
        "deadline",
        "headers",
        "is_idle",
        "is_whole",
        "status",
    )

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._is_lost = False
        self._may_write = True
        self._waiter: asyncio.Future[None] | None = None
        self._is_late = False
        self._parser: Any = httptools.HttpResponseParser(self)
        self._begin()
        self.is_whole = True
        self.is_idle = False
        self.deadline = math.inf

    def _begin(self) -> None:
        self._error: Exception | None = None
        self._header_bytes = 0
        self._ends_by_itself = False
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._is_full = False
        self._is_kept_alive = False
        self._is_sent = False
        self._inflater: Inflater | None = None
        self.headers: dict[str, str] = {}
        self.status = 0
        self.is_whole = False

    # ------------------------------------------------------------------ an exchange

    async def ask(self, head: bytes, body: bytes) -> None:
        """Send a request; return when the answer's headers are there.

        Raises:
            ConnectionLostError: The connection broke.
            LateError: The deadline passed.
            MalformedAnswerError: What came is no HTTP.
        """
        self._begin()
        transport = self._transport
        if transport is None or self._is_lost:
            raise ConnectionLostError
        if len(body) <= SLICE_BYTES:
            transport.write(head + body)
            self._is_sent = True
        else:
            await self._send_slices(transport, head, body)
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._news()

    async def _send_slices(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        transport.write(head)
        for start in range(0, len(body), SLICE_BYTES):
            # Who answers before the end does not want the rest.
            if self._is_answered:
                return
            transport.write(body[start : start + SLICE_BYTES])
            await asyncio.sleep(0)
            while not (self._may_write or self._is_answered):
                await self._news()
        self._is_sent = True

    @property
    def _is_answered(self) -> bool:
        return self.status > 0 or self._error is not None

    async def read(self) -> bytes:
        """Return what has come of the body since it was last read, waiting if it is nothing yet.

        Returns:
            Some bytes; none at the body's end.

        Raises:
            ConnectionLostError: The connection broke before the end.
            LateError: The deadline passed before anything came.
            MalformedAnswerError: What came is no HTTP.
            BrokenCompressionError: What came cannot be decompressed.
        """
        while True:
            piece = self._taken()
            if piece:
                return piece
            if self.is_whole:
                self._check_compression()
                return b""
            if self._error is not None:
                raise self._error
            await self._news()

    def _taken(self) -> bytes:
        """Take what waits to be read."""
        if self._inflater is not None and (piece := self._inflater.more()):
            return piece
        received = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        if self._is_full and self._transport is not None:
            self._is_full = False
            self._transport.resume_reading()
        return received if self._inflater is None else self._inflater.begin(received)

    def _check_compression(self) -> None:
        if self._inflater is not None and not self._inflater.is_whole:
            raise BrokenCompressionError

    async def _news(self) -> None:
        """Wait until something has happened to the connection."""
        self._is_late = False
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._is_late:
            raise LateError

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def is_reusable(self) -> bool:
        """Whether another request can be sent: both messages are whole, and both sides go on.

        A connection that is not read, because what waits on it was never taken, stays so.
        """
        is_whole = self._is_kept_alive and self._is_sent
        return is_whole and not self._is_lost and not self._is_full

    @property
    def is_open(self) -> bool:
        """Whether the connection was not lost, by what is known."""
        return not self._is_lost

    def end_wait(self) -> None:
        """Tell who waits that the deadline has passed; close a connection that nobody uses."""
        if self.is_idle:
            self.abort()
        elif self._waiter is not None:
            self._is_late = True
            self._tell()

    def abort(self) -> None:
        """Close the connection at once; upstream learns that nobody reads on."""
        self._is_lost = True
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment] # of a stream, as asked for

    def data_received(self, data: bytes) -> None:
        """Let the parser have what has come."""
        if self.is_whole:
            # What was not asked for: the two sides do not agree where an answer ends.
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(MalformedAnswerError(str(error)))
        except httptools.HttpParserUpgrade:
            self._fail(MalformedAnswerError("upgrade"))
        self._tell()

    def eof_received(self) -> None:
        """Take the end of what upstream sends, which ends a body that has no other end."""
        if self.status and not self._ends_by_itself and self._error is None:
            self.is_whole = True
        self._is_lost = True
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was not whole."""
        self._is_lost = True
        # The parser refers to this: apart, both go at once, and not when garbage is collected.
        self._parser = None
        if not self.is_whole and self._error is None:
            self._error = ConnectionLostError()
            self._error.__cause__ = exc
        self._tell()

    def pause_writing(self) -> None:
        """Stop sending: the other side takes no more for now."""
        self._may_write = False

    def resume_writing(self) -> None:
        """Go on sending."""
        self._may_write = True
        self._tell()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.abort()

    # ------------------------------------------------------------------ what the parser tells

    def on_message_begin(self) -> None:
        """Refuse a second answer."""
        if self.is_whole:
            raise MalformedAnswerError("an answer to nothing")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or count a trailer."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise MalformedAnswerError("headers too large")
        if self.status:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Take the status, unless it is one that comes before the answer."""
        status = self._parser.get_status_code()
        if status == SWITCHING_PROTOCOLS:
            raise MalformedAnswerError("nobody asked for another protocol")
        if status in INFORMATIONAL:
            self.headers.clear()
            return
        self._ends_by_itself = any(name in self.headers for name in BODY_ENDS_BY_ITSELF)
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", ""):
            self._inflater = Inflater(encoding)
        self.status = status

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body until it is read."""
        self._pieces.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes > MAX_WAITING_BYTES and not self._is_full and self._transport:
            self._is_full = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        if self.status:
            self.is_whole = True
            # The parser forgets it in a moment.
            self._is_kept_alive = self._parser.should_keep_alive()


class Inflater:
    """Decompresses a body that upstream compressed unasked, a bounded piece at a time.

    Args:
        encoding: The `Content-Encoding`, in lower case.
    """

    def __init__(self, encoding: str) -> None:
        self._bits = WINDOW_BITS.get(encoding)
        self._stream = zlib.decompressobj(self._bits or zlib.MAX_WBITS)
        self._waiting = b""
        self._has_begun = False

    @property
    def is_whole(self) -> bool:
        """Whether what was compressed has been received to its end; nothing at all is whole too."""
        return self._stream.eof or not self._has_begun

    def begin(self, received: bytes) -> bytes:
        """Return the first piece of what has been received, which may be empty."""
        self._has_begun = self._has_begun or bool(received)
        self._waiting += received
        return self.more()

    def more(self) -> bytes:
        """Return the next piece; nothing where more must be received first."""
        if self._bits is None:
            raise BrokenCompressionError
        piece = b""
        try:
            while self._waiting and not piece:
                piece = self._stream.decompress(self._waiting, PIECE_BYTES)
                self._waiting = self._stream.unconsumed_tail
        except zlib.error as error:
            raise BrokenCompressionError from error
        return piece


class Connections:
    """The connections to one host. Open it with `async with`.

    Their number follows that of the requests at once, which the caller bounds.
    One timer looks after the deadlines of all: each wait costs nothing, and ends a little late.

    Args:
        host: Where they lead.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._looking: asyncio.TimerHandle | None = None

    async def aclose(self) -> None:
        """Close idle connections; those in use close when they are given back."""
        if self._looking is not None:
            self._looking.cancel()
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        # A transport lets go of its socket in the loop's next round.
        await asyncio.sleep(0)

    def idle(self) -> Connection | None:
        """Return an open connection that nobody uses, the one used last; None where none is left.

        It may be closed by upstream in the very moment in which it is used again, as with any
        client; that is a lost connection.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                connection.is_idle = False
                return connection
        return None

    async def connect(self) -> Connection:
        """Return a new connection.

        Raises:
            ConnectError: There is none to be had.
        """
        # It outlives the call for which it is made, and would keep alive what the call's context
        # variables hold.
        connecting = asyncio.create_task(self._connect(), context=Context())
        connection = await connecting
        self._open.add(connection)
        if self._looking is None:
            self._look_later()
        return connection

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        host = self._host
        connected: socket.socket | None = None
        try:
            found = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
            connected = await aiohappyeyeballs.start_connection(
                found, happy_eyeballs_delay=FALL_BACK_SECONDS, loop=loop
            )
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            name = host.name if host.tls else None
            _, connection = await loop.create_connection(
                Connection, sock=connected, ssl=host.tls, server_hostname=name
            )
            connected = None
        except OSError as error:
            raise ConnectError from error
        finally:
            # Where the loop did not come to take it (uvloop#653).
            if connected is not None:
                with suppress(OSError):
                    connected.close()
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end; close one that was left."""
        if not connection.is_reusable:
            connection.abort()
            return
        connection.deadline = asyncio.get_running_loop().time() + KEPT_SECONDS
        connection.is_idle = True
        self._idle.append(connection)

    def _look_later(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """End waits that are late, and forget connections that are closed."""
        if not all(each.is_open for each in self._open):
            # Anew: a set from which much was taken stays as large as it was.
            self._open = {each for each in self._open if each.is_open}
            self._idle = [each for each in self._idle if each.is_open]
        self._looking = None
        if self._open:
            self._look_later()
        now = asyncio.get_running_loop().time()
        for connection in [each for each in self._open if each.deadline <= now]:
            connection.end_wait()


def header_lines(headers: Sequence[tuple[str, str]]) -> bytes:
    """Return headers as they are sent.

    Raises:
        ValueError: A value has a line end, by which it could pass for more headers.
    """
    lines = b""
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise ValueError("a header's value has a line end")
        lines += f"{name}: {value}\r\n".encode()
    return lines
