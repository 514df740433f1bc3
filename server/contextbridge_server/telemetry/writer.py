"""Writes log lines from a thread of its own, so that a slow or broken output stops no call."""

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterator

MAX_WAITING_LINES = 10_000
LINES_PER_WRITE = 100

PAUSE_SECONDS = 0.02
"""How long lines are gathered before they are written. Waking the thread costs the loop more than
making a line does, so it is woken for many lines, not for each."""


class LineWriter:
    """Writes lines in order, as long as the output takes them.

    Where the output takes them more slowly than they come, lines past a bound are lost: a full pipe
    must not stop the event loop. Where it is broken, all are. Where several processes have one
    output, none begins before another's lines are whole.

    Args:
        descriptor: The file descriptor that takes the lines. It is written without a buffer,
            whose lock a blocked write would hold while the process ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._has_lines = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line, without its end; returns at once."""
        if len(self._waiting) >= MAX_WAITING_LINES:
            return
        self._waiting.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Write what is waiting, for a bounded time."""
        self._closing.set()
        self._has_lines.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._has_lines.wait()
            self._closing.wait(PAUSE_SECONDS)
            # Before they are taken: a line that comes in between is told of again.
            self._has_lines.clear()
            while self._waiting:
                self._write(self._take())

    def _take(self) -> bytes:
        count = min(len(self._waiting), LINES_PER_WRITE)
        return b"\n".join((*(self._waiting.popleft() for _ in range(count)), b""))

    def _write(self, batch: bytes) -> None:
        # A broken output is not this process's to mend; its calls go on.
        with contextlib.suppress(OSError), _locked(self._descriptor):
            while batch:
                batch = batch[os.write(self._descriptor, batch) :]


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Keep other processes with the same output from writing; the system ends it if we die."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError:
        # Not every system can lock everything: macOS has no locks on pipes.
        yield
        return
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
