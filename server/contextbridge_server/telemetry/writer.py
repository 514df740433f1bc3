"""Writes log lines from a thread of its own, so that a slow or broken output stops no call."""

import contextlib
import os
import queue
import threading

MAX_WAITING_LINES = 10_000
LINES_PER_WRITE = 100


class LineWriter:
    """Writes lines in order, as long as the output takes them.

    Where the output takes them more slowly than they come, lines past a bound are lost: a full pipe
    must not stop the event loop. Where it is broken, all are.

    Args:
        descriptor: The file descriptor that takes the lines. It is written without a buffer,
            whose lock a blocked write would hold while the process ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING_LINES)
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line, without its end; returns at once."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(line)

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Write what is waiting, for a bounded time."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            batch, is_last = self._with_waiting(line)
            # A broken output is not this process's to mend; its calls go on.
            with contextlib.suppress(OSError):
                while batch:
                    batch = batch[os.write(self._descriptor, batch) :]
            if is_last:
                return

    def _with_waiting(self, line: bytes) -> tuple[bytes, bool]:
        """Return a line with those that wait behind it, and whether they are the last."""
        lines = [line]
        with contextlib.suppress(queue.Empty):
            while len(lines) < LINES_PER_WRITE:
                following = self._waiting.get_nowait()
                if following is None:
                    return b"\n".join((*lines, b"")), True
                lines.append(following)
        return b"\n".join((*lines, b"")), False
