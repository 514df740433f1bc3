"""One Valkey server, and the connection to it that all commands share."""

import asyncio
import select
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

import structlog
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import (
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..telemetry import names
from .interface import Command
from .near_cache import InvalidationTracker
from .pipeline import Pipeline

RESTART_SECONDS = 1.0
"""How long after it has gone an embedded Valkey is waited for; then, it is away."""
RECONNECT_SECONDS = 0.01

# What is raised where there is no reply; TimeoutError is an OSError.
NO_REPLY = (ValkeyConnectionError, InvalidResponse, OSError)

# Error replies that tell of the server's state and not of the command. Some of the kind are raised
# as connections that fail (LOADING, NOAUTH), some have a class, the rest their code alone.
STATE_ERRORS = (NoPermissionError, ReadOnlyError)
STATE_CODES = frozenset({"BUSY", "CLUSTERDOWN", "MASTERDOWN", "MISCONF", "NOREPLICAS"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to a server, wherever it is.

    Attributes:
        username: Who to be; None is Valkey's default user.
        password: Their password.
        database: The number of the database.
        tls: What to trust; None speaks in the clear.
        invalidations: Are told of changes to what was read by who asks to watch.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: ssl.SSLContext | None = None
    invalidations: InvalidationTracker = field(default_factory=InvalidationTracker)


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
    """One Valkey server, a connection to it, and another one for what is tracked."""

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self.outage = Outage(address)
        self._options = options
        self._current: dict[bool, Pipeline] = {}
        self._connecting = {False: asyncio.Lock(), True: asyncio.Lock()}
        self._closed = False
        self._refused_at: float | None = None

    async def exchange(
        self,
        commands: Sequence[Command],
        deadline: float,
        *,
        looking: bool = False,
        tracked: bool = False,
    ) -> list[Any]:
        """Send commands in one go; return their replies, errors among them.

        Args:
            commands: The commands.
            deadline: When to give up, by the loop's clock.
            looking: The store does without their replies: that one is refused is no outage.
            tracked: Changes to what they read are to be told of.

        Raises:
            BridgeError: STORE_UNAVAILABLE: they did not reach Valkey, or the replies did not come.
        """
        try:
            async with asyncio.timeout_at(deadline):
                replies = await self._exchange(commands, tracked=tracked)
        except NO_REPLY as error:
            self.outage.failed(error)
            raise unavailable() from error
        for command, reply in zip(commands, replies, strict=True):
            if _tells_of_state(reply) and not looking:
                self.outage.failed(reply, command)
                return replies
        self.outage.answered(commands)
        return replies

    async def aclose(self) -> None:
        """Close the connection, once what is due has come."""
        self._closed = True
        self._retire()
        # A transport lets go of its socket in the loop's next round.
        await asyncio.sleep(0)

    async def _exchange(self, commands: Sequence[Command], *, tracked: bool) -> list[Any]:
        connection = self._usable(tracked) or await self._connected(tracked)
        replies = await connection.exchange(commands)
        if self._closed or any(isinstance(reply, ReadOnlyError) for reply in replies):
            # A name may by now lead to another server: the one that takes writes.
            self._retire()
        return replies

    def _usable(self, tracked: bool) -> Pipeline | None:
        connection = self._current.get(tracked)
        if connection is None or not connection.is_usable:
            return None
        # What is tracked may be told of at any time; then only the end is looked for.
        if connection.is_idle and not _is_quiet(connection.descriptor, END if tracked else ANY):
            connection.abort()
            return None
        return connection

    async def _connected(self, tracked: bool) -> Pipeline:
        """Return a connection that is ready, made once for all who wait for it."""
        async with self._connecting[tracked]:
            connection = self._usable(tracked)
            while connection is None:
                try:
                    connection = await self._made(tracked)
                except (ValkeyConnectionError, OSError) as error:
                    # Nothing was done: it may be tried again, and our own Valkey is started again.
                    is_ours = bool(self.address.path) and not isinstance(error, TimeoutError)
                    if not is_ours or self._refused_seconds() > RESTART_SECONDS:
                        raise
                    await asyncio.sleep(RECONNECT_SECONDS)
            self._refused_at = None
            self._current[tracked] = connection
        return connection

    async def _made(self, tracked: bool) -> Pipeline:
        loop = asyncio.get_running_loop()
        address, options = self.address, self._options
        make = partial(Pipeline, options.invalidations if tracked else None)
        if address.path:
            _, connection = await loop.create_unix_connection(make, address.path)
        else:
            name = address.host if options.tls else None
            _, connection = await loop.create_connection(
                make, address.host, address.port, ssl=options.tls, server_hostname=name
            )
            connection.keep_alive()
        try:
            await _greet(connection, options)
            if tracked and not await _is_told_of_changes(connection):
                options.invalidations.refuse()
        except BaseException:
            connection.abort()
            raise
        return connection

    def _refused_seconds(self) -> float:
        if self._refused_at is None:
            self._refused_at = monotonic()
        return monotonic() - self._refused_at

    def _retire(self) -> None:
        for connection in self._current.values():
            connection.retire()
        self._current.clear()


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


async def _greet(connection: Pipeline, options: Options) -> None:
    """Say who we are; while Valkey reads its data it takes connections and refuses commands."""
    commands: list[Command] = [("PING",)]
    if options.database:
        commands.insert(0, ("SELECT", options.database))
    if options.password is not None:
        user = () if options.username is None else (options.username,)
        commands.insert(0, ("AUTH", *user, options.password))
    # It is for people who look at Valkey's clients; where it is not known, nothing is lost.
    *replies, _ = await connection.exchange(
        [*commands, ("CLIENT", "SETINFO", "LIB-NAME", "contextbridge")]
    )
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise ValkeyConnectionError(str(reply)) from reply


async def _is_told_of_changes(connection: Pipeline) -> bool:
    """Ask to be told of changes to what is read; False where the server, or a proxy, will not."""
    # RESP3 tells of them among the replies, so that none comes before what it concerns.
    replies = await connection.exchange([("HELLO", 3), ("CLIENT", "TRACKING", "ON", "NOLOOP")])
    return not any(isinstance(reply, ResponseError) for reply in replies)


ANY = select.POLLIN
END = getattr(select, "POLLRDHUP", 0)
"""Not every system has it; an end is then found out by the command that meets it."""


def _is_quiet(descriptor: int, event: int) -> bool:
    """Tell whether an idle connection is still open and owes nothing, by asking the system."""
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, event)
    # An end of file can be read too.
    return not poll.poll(0)


def _brief(error: BaseException) -> str:
    """Return what went wrong, on one line; the client's texts name addresses, no secrets."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
