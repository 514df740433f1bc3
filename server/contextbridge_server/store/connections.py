"""Connections to one Valkey server: a bounded pool that never hands out one with a reply due."""

import asyncio
import select
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeAlias

import structlog
from valkey.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import (
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from valkey.exceptions import TimeoutError as ValkeyTimeoutError

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..telemetry import names
from .port import Argument

RESTART_SECONDS = 1.0
"""How long after it has gone an embedded Valkey is waited for; then, it is away."""
RECONNECT_SECONDS = 0.01

MAX_CONNECTIONS = 64
"""To one server. More commands at once wait their turn: Valkey runs one after the other anyway."""

# What the client raises when there is no reply; TimeoutError is an OSError.
NO_REPLY = (ValkeyConnectionError, ValkeyTimeoutError, InvalidResponse, OSError)

# Error replies that tell of the server's state and not of the command. The client raises some of
# the kind as connections that fail (LOADING, NOAUTH), knows some by class, and leaves the code of
# the rest as the first word.
STATE_ERRORS = (NoPermissionError, ReadOnlyError)
STATE_CODES = frozenset({"BUSY", "CLUSTERDOWN", "MASTERDOWN", "MISCONF", "NOREPLICAS"})

Command: TypeAlias = Sequence[Argument]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to a server, wherever it is.

    Attributes:
        username: Who to be; None is Valkey's default user.
        password: Their password.
        database: The number of the database.
        tls: What to trust; None speaks in the clear.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a host and a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


class Outage:
    """Remembers since when a server has been away, and logs the beginning and the end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._began: float | None = None
        self._refused: Command | None = None
        self._failures = 0

    @property
    def lasts(self) -> bool:
        """Whether the server is away, by the last that was heard of it."""
        return self._began is not None

    def failed(self, error: BaseException, refused: Command | None = None) -> None:
        """Take note of a failure.

        Args:
            error: What went wrong.
            refused: The command that the server refused to do; None if it did not answer.
        """
        self._failures += 1
        self._refused = None if refused is None else _kind(refused)
        if self._began is None:
            self._began = monotonic()
            log.warning(names.STORE_UNAVAILABLE, address=str(self._address), error=_brief(error))

    def answered(self, commands: Sequence[Command]) -> None:
        """Take note of commands that were done."""
        if self._began is None:
            return
        # Who refuses to write may still read: only what was refused shows that it is over.
        if self._refused is not None and self._refused not in map(_kind, commands):
            return
        log.info(
            names.STORE_AVAILABLE,
            address=str(self._address),
            away_ms=round((monotonic() - self._began) * 1000),
            failures=self._failures,
        )
        self._began, self._refused, self._failures = None, None, 0


class Node:
    """One Valkey server and the connections to it."""

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self.outage = Outage(address)
        self._make: Callable[[], AbstractConnection] = _maker(address, options)
        self._idle: list[AbstractConnection] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._closed = False
        self._refused_at: float | None = None

    async def exchange(
        self, commands: Sequence[Command], deadline: float, *, looking: bool = False
    ) -> list[Any]:
        """Send commands in one go; return their replies, errors among them.

        Args:
            commands: The commands.
            deadline: When to give up, by the loop's clock.
            looking: The store does without their replies: that one is refused is no outage.

        Raises:
            BridgeError: STORE_UNAVAILABLE: they did not reach Valkey, or the replies did not come.
        """
        our_turn = False
        try:
            async with asyncio.timeout_at(deadline), self._room:
                our_turn = True
                replies = await self._exchange(commands)
        except NO_REPLY as error:
            if our_turn:
                # What is broken for one connection is for all, and each would fail once.
                self._drop_idle()
                self.outage.failed(error)
            raise unavailable() from error
        for command, reply in zip(commands, replies, strict=True):
            if _tells_of_state(reply) and not looking:
                self.outage.failed(reply, command)
                return replies
        self.outage.answered(commands)
        return replies

    async def aclose(self) -> None:
        """Close the connections; those in use close when they are done with."""
        self._closed = True
        self._drop_idle()
        # A transport lets go of its socket in the loop's next round.
        await asyncio.sleep(0)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._usable_idle() or self._make()
        try:
            await self._connect(connection)
            replies = await _talk(connection, commands)
        except BaseException:
            # Cancellation too: a reply may be due, which the next command would take for its own.
            _close(connection)
            raise
        if self._closed or any(isinstance(reply, ReadOnlyError) for reply in replies):
            # A name may by now lead to another server: the one that takes writes.
            _close(connection)
        else:
            self._idle.append(connection)
        return replies

    async def _connect(self, connection: AbstractConnection) -> None:
        while not connection.is_connected:
            try:
                await connection.connect()  # type: ignore[no-untyped-call] # The client has none.
                if self.address.path:
                    # While Valkey reads its data it takes connections and refuses commands.
                    await _talk(connection, [("PING",)])
            except ValkeyConnectionError:
                # Nothing was done: it may be tried again. Our own Valkey is being started again.
                if not self.address.path or self._refused_seconds() > RESTART_SECONDS:
                    raise
                _close(connection)
                await asyncio.sleep(RECONNECT_SECONDS)
        self._refused_at = None

    def _refused_seconds(self) -> float:
        if self._refused_at is None:
            self._refused_at = monotonic()
        return monotonic() - self._refused_at

    def _usable_idle(self) -> AbstractConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if _is_quiet(connection):
                return connection
            _close(connection)
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            _close(self._idle.pop())


def unavailable() -> BridgeError:
    """Return the error for a store that is away."""
    return BridgeError(pb.ERROR_REASON_STORE_UNAVAILABLE, "The store cannot be reached.")


def reply_of(reply: Any) -> Any:
    """Return a reply, or raise the error that it is.

    Raises:
        BridgeError: The server cannot do it now, whatever the command: STORE_UNAVAILABLE, or
            STORE_FULL.
        ResponseError: The command is wrong: a fault of ours.
    """
    if not isinstance(reply, ResponseError):
        return reply
    if isinstance(reply, OutOfMemoryError):
        raise BridgeError(pb.ERROR_REASON_STORE_FULL, "The store has no room left.") from reply
    if _tells_of_state(reply):
        raise unavailable() from reply
    raise reply


def code_of(error: ResponseError) -> str:
    """Return the first word of an error reply, which says its kind."""
    return str(error).partition(" ")[0]


def _kind(command: Command) -> Command:
    """Return what is the same each time a command is run: its name, and a script's."""
    return tuple(command[:2]) if command[0] in ("EVAL", "EVALSHA") else (command[0],)


def _tells_of_state(reply: Any) -> bool:
    if not isinstance(reply, ResponseError):
        return False
    return isinstance(reply, STATE_ERRORS) or code_of(reply) in STATE_CODES


async def _talk(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


def _maker(address: Address, options: Options) -> Callable[[], AbstractConnection]:
    """Return what makes a connection, not yet connected."""
    given: dict[str, Any] = {
        "db": options.database,
        "username": options.username,
        "password": options.password,
        # Commands are bounded as a whole; the client would make a task of each write for it.
        "socket_timeout": None,
        "lib_name": "contextbridge",
        "lib_version": None,
    }
    if address.path:
        return lambda: UnixDomainSocketConnection(path=address.path, **given)
    given |= {"host": address.host, "port": address.port, "socket_keepalive": True}
    if options.tls is None:
        return lambda: Connection(**given)
    return lambda: _tls_connection(options.tls, given)


def _tls_connection(tls: ssl.SSLContext | None, given: dict[str, Any]) -> AbstractConnection:
    connection = SSLConnection(**given)
    # One for all connections: reading the authorities takes milliseconds.
    connection.ssl_context.context = tls
    return connection


def _is_quiet(connection: AbstractConnection) -> bool:
    """Tell whether an idle connection is still open and owes nothing, by asking the system."""
    writer = connection._writer  # noqa: SLF001 - the client has no other way to its socket
    if writer is None or writer.is_closing():
        return False
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
    # An end of file can be read too.
    return not poll.poll(0)


def _close(connection: AbstractConnection) -> None:
    """Close a connection without waiting."""
    # The client's disconnect() is a coroutine, in which a cancelled task would be cancelled again.
    with suppress(RuntimeError):
        connection._close()  # type: ignore[no-untyped-call] # noqa: SLF001 - see above


def _brief(error: BaseException) -> str:
    """Return what went wrong, on one line; the client's texts name addresses, no secrets."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
