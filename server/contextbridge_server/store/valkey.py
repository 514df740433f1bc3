"""The store on Valkey: one server or a cluster, shared or embedded."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import structlog
from valkey.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    NoScriptError,
)

from ..errors import BridgeError
from ..telemetry import names
from .cluster import Cluster, key_of
from .connections import Address, Node, Options, reply_of
from .interface import Argument, Command, Script
from .near_cache import InvalidationTracker

DEFAULT_PORT = 6379
EVICTION_POLICY = re.compile(rb"maxmemory_policy:([\w-]+)")
WRONG_CREDENTIALS = (AuthenticationError, AuthenticationWrongNumberOfArgsError)

log = structlog.get_logger()


class Servers(Protocol):
    """One server, or those of a cluster. Deadlines are by the loop's clock."""

    async def send(
        self, command: Command, key: Argument | None, deadline: float, *, tracked: bool
    ) -> Any:
        """Run a command where its key is; return its reply.

        Args:
            command: The command.
            key: A key of it; None where it has none.
            deadline: When to give up.
            tracked: Changes to what it reads are to be told of.

        Raises:
            BridgeError: Valkey cannot be reached or cannot do it now.
            ResponseError: The command is wrong.
        """
        ...

    async def send_each(
        self, commands: Sequence[Command], deadline: float, *, tracked: bool
    ) -> list[Any]:
        """Run commands, each where its key is; return their replies."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class SingleServer:
    """A server that keeps all keys."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def send(
        self,
        command: Command,
        key: Argument | None,  # noqa: ARG002 - All keys are here.
        deadline: float,
        *,
        tracked: bool,
    ) -> Any:
        """Run a command; return its reply."""
        (reply,) = await self._node.exchange([command], deadline, tracked=tracked)
        return reply_of(reply)

    async def send_each(
        self, commands: Sequence[Command], deadline: float, *, tracked: bool
    ) -> list[Any]:
        """Run commands in one go; return their replies."""
        replies = await self._node.exchange(commands, deadline, tracked=tracked)
        return [reply_of(reply) for reply in replies]

    async def aclose(self) -> None:
        """Close every connection."""
        await self._node.aclose()


class ValkeyStore:
    """The store, by its port. Replies are as Valkey sends them: bytes, integers, lists, None.

    Args:
        servers: Where it is.
        timeout: Longest time for a command.
        invalidations: Are told of changes to what is read by way of `tracked`.
        is_tracked: This is that way.
    """

    def __init__(
        self,
        servers: Servers,
        timeout: timedelta,
        invalidations: InvalidationTracker,
        *,
        is_tracked: bool = False,
    ) -> None:
        self._servers = servers
        self._timeout = timeout
        self._timeout_seconds = timeout.total_seconds()
        self._is_tracked = is_tracked
        self.invalidations = invalidations
        """What was read by way of `tracked`, and has not changed since."""

    @property
    def tracked(self) -> "ValkeyStore":
        """The same store, for reads that are tracked."""
        return ValkeyStore(self._servers, self._timeout, self.invalidations, is_tracked=True)

    async def execute(self, *command: Argument) -> Any:
        """Run one command, whose keys lie in one slot; return its reply."""
        return await self._send(command, key_of(command), self._deadline())

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands that need nothing of one another, in any slots; return their replies."""
        if not commands:
            return []
        deadline = self._deadline()
        return await self._servers.send_each(commands, deadline, tracked=self._is_tracked)

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """Run a script on keys of one slot, as one step; return its reply."""
        deadline = self._deadline()
        rest = (len(keys), *keys, *arguments)
        key = keys[0] if keys else None
        try:
            return await self._send(("EVALSHA", script.sha1, *rest), key, deadline)
        except NoScriptError:
            # A server that has started again, or has never seen it. EVAL makes it known.
            return await self._send(("EVAL", script.text, *rest), key, deadline)

    async def _send(self, command: Command, key: Argument | None, deadline: float) -> Any:
        return await self._servers.send(command, key, deadline, tracked=self._is_tracked)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout_seconds


@asynccontextmanager
async def opened_store(
    url: str,
    *,
    timeout: timedelta,  # noqa: ASYNC109 - of each command, not of the opening
    ca_file: Path | None = None,
) -> AsyncIterator[ValkeyStore]:
    """Open the store at an address; close it on leaving.

    A store that is away stops nobody from starting: its commands fail until it is there.

    Args:
        url: `valkey://`, `valkeys://` (TLS), `valkey+cluster://`, `valkeys+cluster://` or `unix://`.
        timeout: Longest time for a command, waiting and connecting included.
        ca_file: Certificates (PEM) to trust instead of the system's.

    Raises:
        RuntimeError: Valkey answers, and is not what the address says, or refuses us.
        OSError: The file of certificates cannot be read.
    """
    addresses, options = parse(url, ca_file)
    nodes = [Node(address, options) for address in addresses]
    clustered = "+cluster:" in url
    servers: Servers = Cluster(nodes, options) if clustered else SingleServer(nodes[0])
    try:
        await _check(nodes, timeout, clustered=clustered)
        yield ValkeyStore(servers, timeout, options.invalidations)
    finally:
        await servers.aclose()


async def _check(nodes: Sequence[Node], time_for_each: timedelta, *, clustered: bool) -> None:
    """Find out early what would fail for ever; leave to the commands what may pass.

    Raises:
        RuntimeError: Valkey answers, and is not what the address says, or refuses us.
    """
    loop = asyncio.get_running_loop()
    for node in nodes:
        try:
            deadline = loop.time() + time_for_each.total_seconds()
            asked: list[Command] = [("HELLO", 2), ("INFO", "memory")]
            hello, info = await node.exchange(asked, deadline, looking=True)
        except BridgeError as error:
            _check_credentials(error)
            continue
        _check_mode(hello, clustered=clustered)
        _check_policy(node, info)
        return


def _check_credentials(error: BridgeError) -> None:
    refused = isinstance(error.__cause__, WRONG_CREDENTIALS)
    if refused:
        raise RuntimeError("store: Valkey refuses the URL's user or password") from error


def _check_mode(hello: Any, *, clustered: bool) -> None:
    mode = _mode(hello)
    if mode is not None and (mode == b"cluster") != clustered:
        found, scheme = ("no cluster", "valkey") if clustered else ("a cluster", "valkey+cluster")
        raise RuntimeError(f"store: this Valkey is {found}; its URL begins with {scheme}://")


def _mode(hello: Any) -> Any:
    """Return what a server says it is; None if it does not: it may refuse HELLO."""
    if not isinstance(hello, list):
        return None
    return dict(zip(hello[::2], hello[1::2], strict=True)).get(b"mode")


def _check_policy(node: Node, info: Any) -> None:
    """Warn of a Valkey that drops what it was given when it is full: contexts would be lost."""
    found = EVICTION_POLICY.search(info) if isinstance(info, bytes) else None
    if found and found[1] != b"noeviction":
        log.warning(names.STORE_EVICTS, address=str(node.address), policy=found[1].decode())


def parse(url: str, ca_file: Path | None = None) -> tuple[list[Address], Options]:
    """Return what a URL says: where the servers are, and how to talk to them.

    A cluster's servers may be several, by commas: one that answers is enough.

    Raises:
        ValueError: A port is no number.
        OSError: The file of certificates cannot be read.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    options = Options(
        username=unquote(username) or None,
        password=unquote(password) or None,
        database=int(parts.path.strip("/") or 0) if hosts else 0,
        tls=_trusting(ca_file) if parts.scheme.startswith("valkeys") else None,
    )
    if not hosts:
        return [Address(path=unquote(parts.path))], options
    return [_address(host) for host in hosts.split(",")], options


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("store: the URL names no host")
    return Address(host=parts.hostname, port=parts.port or DEFAULT_PORT)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
