"""One measurement: a load on a server, with what both cores and both processes did meanwhile."""

import json
import subprocess
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO

from figures import Json
from processes import Process, core_seconds, pinned
from servers import OTHER_CORE, ROOT, SERVER_CORE

LOAD = ROOT / ".tools/bin/bench-load"
Options = Mapping[str, str | int | float | bool | tuple[str, ...]]


@dataclass(frozen=True)
class Target:
    """A server as the load meets it."""

    name: str
    url: str
    process: Process
    options: Options = field(default_factory=dict)
    """What every load on it is told, such as the context of chats."""


def load_command(url: str, options: Options, *, cores: str, is_guest: bool = False) -> list[str]:
    """Return the command of a load."""
    command = [str(LOAD), "-target", url]
    for name, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        command += [f"-{name}={str(one).lower() if one is True else one}" for one in values]
    return pinned(cores, command, is_guest=is_guest)


def start_load(url: str, options: Options) -> subprocess.Popen[str]:
    """Start a load; its last line is what it saw."""
    command = load_command(url, options, cores=str(OTHER_CORE))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def load(
    url: str, options: Options, *, cores: str = str(OTHER_CORE), is_guest: bool = False
) -> Json:
    """Run a load to its end, and return what it saw."""
    command = load_command(url, options, cores=cores, is_guest=is_guest)
    return last_line(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def last_line(output: str) -> Json:
    """Return the figures that a load has printed."""
    read: Json = json.loads(output.splitlines()[-1])
    return read


def lines_of(process: subprocess.Popen[str]) -> IO[str]:
    """Return what a load prints while it runs."""
    if process.stdout is None:
        raise AssertionError
    return process.stdout


def seen_upstream(url: str) -> Json:
    """Return the answers that upstream has begun, and its open streams."""
    with urllib.request.urlopen(url + "/seen") as response:  # noqa: S310 - A URL of our own.
        read: Json = json.load(response)
    return read


@dataclass(frozen=True)
class Clock:
    """The time that processes and cores have spent, at one moment."""

    processes: dict[str, float]
    cores: dict[int, tuple[float, float]]

    @classmethod
    def now(cls, process: Process) -> "Clock":
        """Read all clocks."""
        cores = {core: core_seconds(core) for core in (SERVER_CORE, OTHER_CORE)}
        return cls(process.cpu_seconds(), cores)

    def since(self, earlier: "Clock") -> dict[str, float]:
        """Return the time of each process since then."""
        return {
            name: seconds - earlier.processes.get(name, 0.0)
            for name, seconds in self.processes.items()
        }

    def busy_since(self, earlier: "Clock", core: int) -> float:
        """Return the share of the time since then that a core was busy."""
        busy, idle = (
            now - then for now, then in zip(self.cores[core], earlier.cores[core], strict=True)
        )
        return busy / (busy + idle) if busy + idle else 0.0


STORE = "valkey-server"


def measure(target: Target, options: Options) -> Json:
    """Return a load's figures, with the CPU time per call and how busy the cores were."""
    before = Clock.now(target.process)
    # A server may have the model by another name.
    saw = load(target.url, {**options, **target.options})
    after = Clock.now(target.process)
    taken = after.since(before)
    store = taken.pop(STORE, 0.0)
    calls = max(saw["made"], 1)
    return {
        "rate": saw["rate"],
        "calls": saw["calls"],
        "failed": saw["failed"],
        "failure": saw.get("failure", ""),
        "p50": saw["latency"]["p50"],
        "p99": saw["latency"]["p99"],
        "first_p50": saw["first"]["p50"],
        "first_p99": saw["first"]["p99"],
        "gap_p50": saw["gap"]["p50"],
        "gap_p99": saw["gap"]["p99"],
        "events": saw["messages"] / saw["seconds"],
        "cpu_us": sum(taken.values()) / calls * 1e6,
        "store_cpu_us": store / calls * 1e6,
        "busy_server": after.busy_since(before, SERVER_CORE),
        "busy_other": after.busy_since(before, OTHER_CORE),
    }


def gather(rounds: Iterable[Json]) -> Json:
    """Return the figures of a case: of each kind, those of all rounds."""
    gathered: Json = {}
    for one in rounds:
        for name, value in one.items():
            gathered.setdefault(name, []).append(value)
    return gathered
