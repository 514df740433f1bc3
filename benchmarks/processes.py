"""Processes that are measured: started on cores of their own, with their time and their memory."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from figures import Json

Ready = Callable[[str], str | None]
"""What a process's output tells of where it listens, once it does."""

START_SECONDS = 120
"""The longest wait for a process that starts; a peer on a busy core takes most of a minute."""
STOP_SECONDS = 40


@dataclass(frozen=True)
class Process:
    """A running process, with those that it has started."""

    pid: int
    address: str
    log: Path

    def pids(self) -> list[int]:
        """Return the process's id, and those of its descendants."""
        found = [self.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """Return the time on a core that each of the processes has had, by its name."""
        return _by_name(self.pids(), lambda pid: time.clock_gettime(_cpu_clock(pid)))

    def memory_kib(self) -> dict[str, float]:
        """Return the resident memory of each of the processes, by its name."""
        return _by_name(self.pids(), _resident_kib)


def _by_name(pids: list[int], figure: Callable[[int], float]) -> dict[str, float]:
    named: dict[str, float] = {}
    for pid in pids:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        key = name if name not in named else f"{name} {pid}"
        named[key] = figure(pid)
    return named


def _cpu_clock(pid: int) -> int:
    # What clock_getcpuclockid(3) returns: to the nanosecond, where /proc/PID/stat counts in 10 ms.
    return (~pid << 3) | 2


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def core_seconds(core: int) -> tuple[float, float]:
    """Return how long a core has been busy and idle since the system started."""
    lines = Path("/proc/stat").read_text().splitlines()
    counts = next(line.split()[1:9] for line in lines if line.startswith(f"cpu{core} "))
    ticks = os.sysconf("SC_CLK_TCK")
    times = [int(count) / ticks for count in counts]
    idle = times[3] + times[4]
    return sum(times) - idle, idle


def raise_file_limit() -> int:
    """Let this process, and all that it starts, open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pinned(cores: str, command: Sequence[str], *, is_guest: bool = False) -> list[str]:
    """Return a command that runs on the cores; a guest interrupts nobody there (`SCHED_BATCH`)."""
    policy = ["chrt", "--batch", "0"] if is_guest else []
    return ["taskset", "-c", cores, *policy, *command]


@contextmanager
def running(
    command: Sequence[str],
    *,
    cores: str,
    log: Path,
    ready: Ready,
    is_guest: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run a server on the cores until the end of the block."""
    # A file, as in production: a pipe would make the driver read every line that is logged.
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(cores, command, is_guest=is_guest),
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield Process(process.pid, _address(process, log, ready), log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, ready: Ready) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            address = ready(line)
            if address:
                return address
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args!r} did not start:\n{tail}")


def versions(commands: Mapping[str, Sequence[str]]) -> Json:
    """Return what each command prints about its version."""
    return {
        name: subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
        for name, command in commands.items()
    }
