"""What is measured apart: upstream's ceiling, memory, cancels, workers, a large create."""

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from figures import Json
from measure import (
    STORE,
    Clock,
    Options,
    Target,
    gather,
    last_line,
    lines_of,
    load,
    measure,
    seen_upstream,
    start_load,
)
from processes import Process
from servers import BOTH, OTHER_CORE, SERVER_CORE, bridge, create_context, upstream
from workloads import MODEL, WORKLOADS, Memory, Scale, options_of

SAMPLE_SECONDS = 0.25
SETTLE_SECONDS = 45.0
"""Long enough for idle connections to be closed and memory to be given back after it."""
CONNECTIONS = 64
"""The more connections, the more evenly the system spreads them over workers."""


def target_of(process: Process, name: str = "bridge") -> Target:
    """Return a bridge as the load meets it, with chats on upstream's own id, as upstream has it."""
    return Target(name, f"grpc://{process.address}", process)


def kept_target_of(process: Process, name: str = "kept") -> Target:
    """Return a bridge with chats on a context that it keeps: looked up, healed and counted."""
    options: Options = {"context": create_context(process.address, MODEL)}
    return Target(name, f"grpc://{process.address}", process, options)


def ceiling(gateway: Process, scale: Scale) -> Json:
    """Return upstream's answers and streams in a second of its core, with the load on the other.

    The load, which has more to do, may be full before upstream is: what upstream could do on a
    full core follows from the time that each answer takes it.
    """
    found: Json = {}
    for workload in ("chat", "stream"):
        options = {**WORKLOADS[workload].options, "unchecked": True, "concurrency": 64}
        options["seconds"] = 3 * scale.seconds
        before = gateway.cpu_seconds()
        saw = load(gateway.address, options, cores=str(SERVER_CORE))
        spent = sum(gateway.cpu_seconds().values()) - sum(before.values())
        found[workload] = {"seen": saw["rate"], "ceiling": saw["made"] / spent}
    return found


class Sampler:
    """Notes a process's memory, over time and by phase."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._start = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.samples: list[Json] = []
        self.phase = "start"

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.now()

    def now(self) -> tuple[float, float]:
        """Take a sample, and return the memory of the bridge and of its store, in KiB."""
        memory = self._process.memory_kib()
        store = memory.pop(STORE, 0)
        own = sum(memory.values())
        at = round(time.monotonic() - self._start, 2)
        self.samples.append({"s": at, "phase": self.phase, "kib": own, "store_kib": store})
        return own, store

    def most(self, *phases: str) -> tuple[float, float]:
        """Return the most memory in the phases."""
        samples = [one for one in self.samples if one["phase"] in phases]
        return max(one["kib"] for one in samples), max(one["store_kib"] for one in samples)


def memory(folder: Path, gateway: Process, scale: Scale) -> Json:
    """Return the bridge's memory: idle, with open streams, afterwards, and over cancelled ones."""
    settings = scale.memory
    most = str(max(step.streams for step in settings.steps) + 200)
    options = ("--max-concurrent-calls", most)
    found: Json = {"steps": {}}
    with bridge(folder, gateway.address, *options, name="memory") as process:
        target = target_of(process)
        with Sampler(process) as sampler:
            # What a server has once it has worked: modules, arenas, connections.
            for workload in ("chat", "stream"):
                warm: Options = {**WORKLOADS[workload].options, "concurrency": 16}
                load(target.url, {**target.options, **warm, "seconds": 2 * scale.seconds})
            time.sleep(SETTLE_SECONDS * scale.seconds)
            idle, store = sampler.now()
            found["idle_kib"], found["idle_store_kib"] = idle, store
            for step in settings.steps:
                connected = {**step.options(), "connections": settings.connections}
                found["steps"][str(step.streams)] = _open_streams(
                    target, sampler, step.streams, connected, scale
                )
            found["storm"] = _storm(target, gateway, sampler, settings, scale)
        found["samples"] = sampler.samples
    return found


def _open_streams(
    target: Target, sampler: Sampler, streams: int, options: Options, scale: Scale
) -> Json:
    before = Clock.now(target.process)
    sampler.phase = f"opening {streams}"
    with start_load(target.url, {**target.options, **options}) as running:
        opened = lines_of(running).readline()
        sampler.phase = f"{streams} open"
        sampler.now()
        open_before = Clock.now(target.process)
        time.sleep(SETTLE_SECONDS * scale.seconds)
        busy = Clock.now(target.process).busy_since(open_before, SERVER_CORE)
        output = lines_of(running).read()
    sampler.phase = f"after {streams}"
    saw = last_line(output or opened)
    most, most_store = sampler.most(f"opening {streams}", f"{streams} open")
    time.sleep(SETTLE_SECONDS * scale.seconds)
    after, after_store = sampler.now()
    spent = Clock.now(target.process).since(before)
    return {
        "kib": most,
        "store_kib": most_store,
        "after_kib": after,
        "after_store_kib": after_store,
        "calls": saw["calls"],
        "failed": saw["failed"] + (streams - saw["made"]),
        "failure": saw.get("failure", ""),
        "events": saw["messages"],
        "gap_p50": saw["gap"]["p50"],
        "gap_p99": saw["gap"]["p99"],
        "busy_server": busy,
        "cpu_ms": sum(spent.values()) / streams * 1000,
    }


def _storm(
    target: Target, gateway: Process, sampler: Sampler, settings: Memory, scale: Scale
) -> Json:
    """Leave streams after their first message; return memory on the way, and what upstream has."""
    options: Options = {
        **options_of("paced", settings.storm_callers),
        "cancel-after": 1,
        "count": settings.cancelled // 10,
    }
    kib, rates, failed = [], [], 0
    sampler.phase = "cancels"
    before = Clock.now(target.process)
    for _ in range(10):
        saw = load(target.url, {**target.options, **options})
        failed += saw["failed"]
        rates.append(saw["rate"])
        kib.append(sampler.now()[0])
    left = time.monotonic()
    while seen_upstream(gateway.address)["streams"] and time.monotonic() - left < SETTLE_SECONDS:
        time.sleep(0.002)
    drained = time.monotonic() - left
    open_streams = seen_upstream(gateway.address)["streams"]
    spent = Clock.now(target.process).since(before)
    sampler.phase = "after cancels"
    time.sleep(SETTLE_SECONDS * scale.seconds)
    after, _ = sampler.now()
    return {
        "cancelled": settings.cancelled,
        "failed": failed,
        "rate": rates,
        "kib": kib,
        "after_kib": after,
        "drained_ms": drained * 1000,
        "open_upstream": open_streams,
        "cpu_us": sum(spent.values()) / settings.cancelled * 1e6,
    }


@contextmanager
def _workers(folder: Path, gateway: Process, workers: int, cores: str) -> Iterator[Target]:
    name = f"workers-{workers}"
    with bridge(folder, gateway.address, name=name, workers=workers, cores=cores) as process:
        yield target_of(process, name)


def workers(folder: Path, scale: Scale) -> Json:
    """Return the calls that one worker on one core takes, and two on two.

    With two cores in all, upstream and the load have to live on the cores of two workers. So it is
    told what the workers make of the time that those two leave them: calls per core-second that
    neither upstream nor the load has used, idle ones included, times the cores. Those two wait
    their turn: a worker that they interrupted would pay for caches that it would have to itself.
    """
    found: Json = {}
    with (
        upstream(folder, cores=BOTH, is_guest=True) as shared,
        upstream(folder, is_guest=True) as apart,
        _workers(folder, apart, 1, str(SERVER_CORE)) as one,
        _workers(folder, shared, 2, BOTH) as two,
    ):
        arrangements = {
            "one": _Arrangement(one, apart, (SERVER_CORE,), str(OTHER_CORE)),
            "two": _Arrangement(two, shared, (SERVER_CORE, OTHER_CORE), BOTH),
        }
        for workload in ("chat", "stream"):
            rounds: dict[str, list[Json]] = {}
            for _ in range(scale.pair_rounds):
                for name, arrangement in arrangements.items():
                    figures = _capacity(arrangement, workload, scale)
                    rounds.setdefault(name, []).append(figures)
            found[workload] = {name: gather(figures) for name, figures in rounds.items()}
    return found


@dataclass(frozen=True)
class _Arrangement:
    target: Target
    gateway: Process
    cores: tuple[int, ...]
    others: str
    """The cores of upstream and the load."""


def _capacity(given: _Arrangement, workload: str, scale: Scale) -> Json:
    target, gateway, cores = given.target, given.gateway, given.cores
    options: Options = {
        **target.options,
        **WORKLOADS[workload].options,
        "concurrency": 2 * CONNECTIONS,
        "connections": CONNECTIONS,
        "seconds": 3 * scale.seconds,
    }
    started, before, upstream_before = time.monotonic(), Clock.now(target.process), _cpu(gateway)
    saw, load_seconds = _load_with_time(target.url, options, given.others)
    after, elapsed = Clock.now(target.process), time.monotonic() - started
    taken = after.since(before)
    guests = load_seconds + _cpu(gateway) - upstream_before if len(cores) > 1 else 0.0
    left = len(cores) * elapsed - guests
    served = [seconds for name, seconds in taken.items() if name != STORE]
    return {
        "failed": saw["failed"],
        "rate": saw["rate"],
        "capacity": saw["made"] / left * len(cores),
        "cpu_us": sum(taken.values()) / saw["made"] * 1e6,
        "used": sum(taken.values()) / left,
        "balance": _balance(served),
    }


def _balance(seconds: list[float]) -> float:
    """Return the least busy worker's share of the busiest one's time; the supervisor has none."""
    busiest = max(seconds)
    working = [one for one in seconds if one > busiest / 20]
    return min(working) / busiest


def _cpu(process: Process) -> float:
    return sum(process.cpu_seconds().values())


def _load_with_time(url: str, options: Options, cores: str) -> tuple[Json, float]:
    before = _children_seconds()
    saw = load(url, options, cores=cores, is_guest=True)
    return saw, _children_seconds() - before


def _children_seconds() -> float:
    # Of children that have ended: the loads.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def head_of_line(target: Target, scale: Scale) -> Json:
    """Return the figures of small streams, alone and beside creates of 100,000 tokens."""
    small = options_of("paced", 16)
    large: Options = {"workload": "create", "model": MODEL, "connections": 1, "seconds": 3.5}
    rounds: dict[str, list[Json]] = {"alone": [], "beside": [], "creates": []}
    for _ in range(scale.pair_rounds):
        rounds["alone"].append(measure(target, small))
        with start_load(target.url, {**target.options, **large}) as creating:
            time.sleep(0.3)
            rounds["beside"].append(measure(target, small))
            output = lines_of(creating).read()
        saw = last_line(output)
        rounds["creates"].append(
            {
                "rate": saw["rate"],
                "p50": saw["latency"]["p50"],
                "p99": saw["latency"]["p99"],
                "failed": saw["failed"],
            }
        )
    return {name: gather(figures) for name, figures in rounds.items()}
