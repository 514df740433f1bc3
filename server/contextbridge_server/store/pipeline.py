"""One connection to Valkey that many exchanges share.

Commands go out as they come, and replies return in their order. Valkey runs one command after
another whoever sends them, so what a connection for each exchange would add is its cost: of system
calls, and of waking Valkey for each command. libvalkey parses.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from socket import SO_KEEPALIVE, SOL_SOCKET
from typing import Any

import libvalkey
from valkey.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    DataError,
    InvalidResponse,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from valkey.exceptions import ConnectionError as ValkeyConnectionError

from .interface import Command
from .near_cache import InvalidationTracker

MAX_WAITING = 20_000
"""Exchanges whose replies are due; more are refused. Calls are bounded: so many mean trouble."""

ERRORS: dict[str, type[Exception]] = {
    "LOADING": BusyLoadingError,
    "NOAUTH": AuthenticationError,
    "NOPERM": NoPermissionError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "WRONGPASS": AuthenticationError,
}
"""Kinds of error replies by their code; of those that are connection failures nothing was done."""

UNASKED = "called without any password configured"
INVALIDATE = b"invalidate"
NOT_YET = object()


def error_of(text: str) -> Exception:
    """Return an error reply as an exception that keeps its text."""
    if UNASKED in text:
        return AuthenticationError(text)
    return ERRORS.get(text.partition(" ")[0], ResponseError)(text)


def _packed(command: Command) -> bytes:
    """Return a command as it is sent. Raises DataError for an argument of another kind."""
    try:
        packed: bytes = libvalkey.pack_command(tuple(command))
    except TypeError:
        packed = libvalkey.pack_command(tuple(map(_plain, command)))
    return packed


def _plain(argument: Any) -> Any:
    """Return a number of a kind of its own, such as a byte size, as the number that it is."""
    if isinstance(argument, int) and not isinstance(argument, bool):
        return int(argument)
    if not isinstance(argument, (str, bytes, float)):
        raise DataError(f"no argument: {type(argument).__name__}")
    return argument


class _Exchange:
    """Commands whose replies are due."""

    __slots__ = ("done", "expected", "replies")

    def __init__(self, expected: int, done: "asyncio.Future[list[Any]]") -> None:
        self.expected = expected
        self.replies: list[Any] = []
        self.done = done


class Pipeline(asyncio.Protocol):
    """A connection. Error replies are among the replies, except those by which it fails.

    Args:
        invalidations: Are told what Valkey tells of changes; None where it is not asked to.
    """

    def __init__(self, invalidations: InvalidationTracker | None = None) -> None:
        self._invalidations = invalidations
        self._transport: asyncio.Transport | None = None
        self._reader = libvalkey.Reader(
            protocolError=InvalidResponse, replyError=error_of, notEnoughData=NOT_YET
        )
        self._due: deque[_Exchange] = deque()
        self._is_retired = False
        self._failure: Exception | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another exchange may begin, by what is known."""
        return self._failure is None and not self._is_retired

    @property
    def is_idle(self) -> bool:
        """Whether no reply is due."""
        return not self._due

    @property
    def descriptor(self) -> int:
        """The file descriptor of the socket; -1 where it is closed."""
        transport = self._transport
        return -1 if transport is None else int(transport.get_extra_info("socket").fileno())

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go; return their replies.

        Who stops waiting retires the connection: a command that blocks would hold up the rest.

        Raises:
            ConnectionError (Valkey's): The connection broke, or Valkey refuses to do anything.
            InvalidResponse: What came is no reply.
        """
        if self._transport is None or self._failure is not None or len(self._due) >= MAX_WAITING:
            raise ValkeyConnectionError("not connected") from self._failure
        packed = b"".join(map(_packed, commands))
        due = _Exchange(len(commands), asyncio.get_running_loop().create_future())
        self._due.append(due)
        self._transport.write(packed)
        try:
            replies = await due.done
        except asyncio.CancelledError:
            self.retire()
            raise
        for reply in replies:
            if isinstance(reply, ValkeyConnectionError):
                self.retire()
                raise reply
        return replies

    def keep_alive(self) -> None:
        """Let the system find out that the other side is gone, while nothing is said."""
        if self._transport is not None:
            socket = self._transport.get_extra_info("socket")
            socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)

    def retire(self) -> None:
        """Begin no more exchanges; close once nobody waits for a reply."""
        self._is_retired = True
        if all(exchange.done.done() for exchange in self._due):
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._is_retired = True
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment] # of a stream, as asked for

    def data_received(self, data: bytes) -> None:
        """Give replies to those who wait for them."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not NOT_YET:
                if self._invalidations is None or not self._took_change(reply, self._invalidations):
                    self._give(reply)
        except InvalidResponse as error:
            self._fail(error)
            self.abort()

    def _took_change(self, reply: Any, invalidations: InvalidationTracker) -> bool:
        """Take a message that tells of changes. It stands among replies, none of which is alike."""
        if type(reply) is not list or len(reply) != 2 or reply[0] != INVALIDATE:  # noqa: PLR2004
            return False
        for key in reply[1] or ():
            invalidations.changed(key.decode())
        if reply[1] is None:
            invalidations.lost()
        return True

    def _give(self, reply: Any) -> None:
        if type(reply) is dict:
            # RESP3's; all else that is read while changes are told of has the form it always had.
            reply = [part for pair in reply.items() for part in pair]
        if not self._due:
            raise InvalidResponse("a reply to nothing")
        exchange = self._due[0]
        exchange.replies.append(reply)
        if len(exchange.replies) < exchange.expected:
            return
        self._due.popleft()
        if not exchange.done.done():
            exchange.done.set_result(exchange.replies)
        if self._is_retired:
            self.retire()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail those who wait."""
        lost = ValkeyConnectionError(str(exc) if exc else "Valkey closed the connection")
        self._fail(lost)
        if self._invalidations is not None:
            self._invalidations.lost()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        while self._due:
            exchange = self._due.popleft()
            if not exchange.done.done():
                exchange.done.set_exception(error)
