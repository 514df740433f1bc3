"""Runs the workers of a server: starts them, replaces those that die, and ends all together.

A supervisor takes no calls and never loads gRPC. What all workers need is opened here once, so that
the death of one of them takes nothing from its peers.
"""

import asyncio
import json
import socket
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from time import monotonic

import structlog

from ..settings import Settings
from ..telemetry import names
from .listen_socket import held_listen_socket
from .shared import RunningServer, WorkerConfig, running_shared

COMMAND = (sys.executable, "-m", "contextbridge_server.process.worker")
STEADY_SECONDS = 10.0
"""A worker that lived so long is replaced at once, one that did not a little later each time."""
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 10.0
CUT_SECONDS = 15.0
"""How long workers that are cut may take to end."""

log = structlog.get_logger()


@asynccontextmanager
async def running_workers(settings: Settings) -> AsyncIterator[RunningServer]:
    """Run as many workers as the settings say; drain them on leaving.

    Raises:
        OSError: The data directory cannot be used.
        RuntimeError: The address cannot be bound, or a worker does not start, as it says itself.
    """
    with held_listen_socket(settings.listen) as listen:
        async with running_shared(settings, listen) as shared:
            draining = asyncio.Event()
            numbers = range(1, settings.workers + 1)
            posts = [
                WorkerSlot(WorkerConfig(number, settings, shared), draining) for number in numbers
            ]
            crew = WorkerPool(posts, draining)
            try:
                version = await crew.start()
                yield RunningServer(listen, version, settings.workers)
                await crew.drain()
            finally:
                await crew.end()


class WorkerSlot:
    """The place of a worker, which is filled again when the worker dies.

    Args:
        config: What each worker on it is told.
        draining: Is set when it is not filled again.
    """

    def __init__(self, config: WorkerConfig, draining: asyncio.Event) -> None:
        self._brief = config
        self._draining = draining
        self._process: Process | None = None
        self._reader = StreamReader()
        self._writer: StreamWriter | None = None
        self._began = monotonic()
        self._error: str | None = None

    async def fill(self) -> None:
        """Start a worker.

        Raises:
            OSError: The system does not let us.
        """
        self.close()
        self._began, self._error = monotonic(), None
        ours, theirs = socket.socketpair()
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        with theirs:
            # A Ctrl-C in the terminal is for us: workers are told by us, all at once.
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=theirs.fileno(), start_new_session=True
            )
        self._writer.write(self._brief.encode())
        if self._draining.is_set():
            self.signal(SIGTERM)

    async def ready(self) -> str:
        """Return the worker's version once it serves.

        Raises:
            RuntimeError: It does not come to that.
        """
        report = await self._report()
        if "version" not in report:
            self._error = report.get("error")
            raise RuntimeError(self._error or f"a worker ended with status {await self.ended()}")
        log.info(names.WORKER_STARTED, **self._fields())
        return report["version"]

    async def keep(self) -> None:
        """Fill the place again whenever its worker dies, until the server drains."""
        quick_ends = 0
        while not await self._is_over():
            quick_ends = 0 if monotonic() > self._began + STEADY_SECONDS else quick_ends + 1
            pause = backoff_seconds(quick_ends)
            log.warning(names.WORKER_DIED, **self._fields(), restart_ms=round(pause * 1000))
            if await _is_set_within(self._draining, pause):
                return
            await self._refill()

    async def ended(self) -> int | None:
        """Return the worker's exit status once it has ended; None where there is none."""
        return await self._process.wait() if self._process else None

    def signal(self, number: Signals) -> None:
        """Send the worker a signal, if it lives."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def close(self) -> None:
        """Close the socket to the worker."""
        if self._writer is not None:
            self._writer.close()

    async def _is_over(self) -> bool:
        """Wait for the worker's end; tell whether it was the last on this place."""
        await self.ended()
        self._error = self._error or (await self._report()).get("error")
        if self._draining.is_set():
            log.info(names.WORKER_STOPPED, **self._fields())
        return self._draining.is_set()

    async def _refill(self) -> None:
        try:
            await self.fill()
            await self.ready()
        except (OSError, RuntimeError) as error:
            # What it means for the place is seen at the end of the worker.
            self._error = str(error)

    async def _report(self) -> dict[str, str]:
        """Return what the worker tells; nothing where it ends without a word."""
        with suppress(ConnectionError):
            line = await self._reader.readline()
            if line.endswith(b"\n"):
                return dict(json.loads(line))
        return {}

    def _fields(self) -> dict[str, object]:
        process = self._process
        fields = {
            names.WORKER: self._brief.number,
            "pid": process and process.pid,
            "exit_status": process and process.returncode,
            "error": self._error,
        }
        return {name: value for name, value in fields.items() if value is not None}


class WorkerPool:
    """All workers of a server.

    Args:
        posts: The place of each.
        draining: Is set when none is replaced any more.
    """

    def __init__(self, posts: Sequence[WorkerSlot], draining: asyncio.Event) -> None:
        self._posts = posts
        self._draining = draining
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Start all; return their version once they serve.

        Raises:
            OSError: The system does not let us.
            RuntimeError: One does not start.
        """
        for post in self._posts:
            await post.fill()
        versions = await asyncio.gather(*(post.ready() for post in self._posts))
        self._keeping = [asyncio.create_task(post.keep()) for post in self._posts]
        return versions[0]

    async def drain(self) -> None:
        """Ask all to end at once; return when they have."""
        self._draining.set()
        for post in self._posts:
            post.signal(SIGTERM)
        await asyncio.gather(*self._keeping)

    async def end(self) -> None:
        """End those that are left, whatever they serve."""
        self._draining.set()
        for post in self._posts:
            # Two signals cut, and of one kind the second could be lost.
            post.signal(SIGTERM)
            post.signal(SIGINT)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CUT_SECONDS):
                    await asyncio.gather(*(post.ended() for post in self._posts))
        finally:
            for post in self._posts:
                post.signal(SIGKILL)
                post.close()
            for task in self._keeping:
                task.cancel()


def backoff_seconds(quick_ends: int) -> float:
    """Return how long a place stays empty after so many workers that ended soon, one by one."""
    if quick_ends <= 1:
        return 0.0
    # Ten doublings are past any bound, and within what a float can hold.
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(quick_ends - 2, 10), MAX_BACKOFF_SECONDS)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
