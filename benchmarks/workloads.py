"""What is measured: kinds of calls, and which server meets which, with how many callers."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from figures import Requirement
from measure import Options

DELTAS = 64
MODEL = f"bench-{DELTAS}"
PACED = f"{MODEL}-20ms"


@dataclass(frozen=True)
class Workload:
    """A kind of call."""

    title: str
    options: Options
    is_stream: bool = False
    calls_each: int = 0
    """Calls that each caller makes, instead of calling for a time: a paced stream takes a second
    and more, and of those that a clock begins it would cut off some."""


WORKLOADS = {
    "chat": Workload("Unary chat", {"workload": "chat", "model": MODEL}),
    "stream": Workload(
        f"Stream of {DELTAS} deltas, as fast as upstream sends",
        {"workload": "chat-stream", "model": MODEL},
        is_stream=True,
    ),
    "paced": Workload(
        f"Stream of {DELTAS} deltas, one in 20 ms",
        {"workload": "chat-stream", "model": PACED},
        is_stream=True,
        calls_each=2,
    ),
    # Short, so that a round has enough of them: only their first token is looked at.
    "first": Workload(
        "Stream of 8 deltas, one in 5 ms",
        {"workload": "chat-stream", "model": "bench-8-5ms", "deltas": 8},
        is_stream=True,
    ),
    "gemini": Workload("Unary Gemini", {"workload": "gemini", "model": MODEL}),
    "gemini-stream": Workload(
        f"Gemini stream of {DELTAS} deltas", {"workload": "gemini-stream", "model": MODEL}, True
    ),
    "hit": Workload(
        "Unary chat, from the response cache", {"workload": "chat", "model": MODEL, "cached": True}
    ),
    "hit-stream": Workload(
        f"Stream of {DELTAS} deltas, from the response cache",
        {"workload": "chat-stream", "model": MODEL, "cached": True},
        is_stream=True,
    ),
    # What servers speak that have no interface of ours.
    "openai": Workload("Unary chat, OpenAI", {"workload": "openai", "model": MODEL}),
    "openai-stream": Workload(
        f"OpenAI stream of {DELTAS} deltas", {"workload": "openai-stream", "model": MODEL}, True
    ),
}


def options_of(workload: str, concurrency: int) -> Options:
    """Return what a load of so many callers is told."""
    what = WORKLOADS[workload]
    return {
        **what.options,
        "concurrency": concurrency,
        "count": what.calls_each * concurrency,
    }


FILL: Options = {
    "workload": "chat-stream",
    "model": PACED,
    "cached": True,
    "count": 1,
    "connections": 1,
}
"""The call that fills the cache: paced, or deltas that come together would be kept as one event."""


@dataclass(frozen=True)
class Case:
    """A workload on a server, with so many callers at once."""

    server: str
    workload: str
    concurrency: int
    seconds: float = 1.2

    @property
    def key(self) -> str:
        """The case's name among the results."""
        return key(self.server, self.workload, self.concurrency)

    def options(self, scale: float) -> Options:
        """Return what the load is told."""
        return {
            **options_of(self.workload, self.concurrency),
            "connections": min(self.concurrency, 4),
            "seconds": self.seconds * scale,
        }


def key(server: str, workload: str, concurrency: int) -> str:
    """Return a case's name among the results."""
    return f"{server}/{workload}/{concurrency}"


CALLERS = 32
"""Callers at once where two servers' throughput is compared: enough to keep a core busy."""
CHAT_STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
STREAM_STEPS = (1, 8, 16, 32, 64)
LIMITS_MS = (5, 10, 50, float("inf"))
"""The 99th percentiles within which throughput is told."""
ALONE_SECONDS = 2.0
"""How long one caller calls: long enough for a 99th percentile."""


def cases() -> Iterator[Case]:
    """Yield every case of a round."""
    for workload in ("chat", "first", "gemini", "gemini-stream"):
        for server in ("direct", "bridge"):
            yield Case(server, workload, 1, ALONE_SECONDS)
    for server in ("floor", "tuned", "stateless", "kept"):
        yield Case(server, "chat", 1, ALONE_SECONDS)
    for server in ("floor", "bridge"):
        for concurrency in CHAT_STEPS[1:]:
            yield Case(server, "chat", concurrency)
        for concurrency in STREAM_STEPS:
            yield Case(server, "stream", concurrency)
        for workload in ("gemini", "gemini-stream"):
            yield Case(server, workload, CALLERS)
    for server in ("direct", "tuned"):
        for workload in ("chat", "stream"):
            yield Case(server, workload, CALLERS)
    yield Case("stateless", "chat", CALLERS)
    for workload in ("chat", "stream"):
        yield Case("kept", workload, CALLERS)
    for workload in ("hit", "hit-stream"):
        yield Case("bridge", workload, 1)
        yield Case("bridge", workload, CALLERS)
    for server in ("direct", "bridge"):
        yield Case(server, "paced", 2 * CALLERS)


@dataclass(frozen=True)
class Comparison:
    """A requirement on the ratio of a figure of one case to that of another, in one round."""

    requirement: Requirement
    ours: str
    theirs: str
    figure: str = "rate"


@dataclass(frozen=True)
class Addition:
    """A requirement on what one case adds to a figure of another, in one round."""

    requirement: Requirement
    ours: str
    theirs: str
    figure: str


UNARY_SHARE = 0.45
HIT_SHARE = 0.7
STREAM_TIMES = 2.0

COMPARISONS = (
    Comparison(
        Requirement("Unary chat, requests/s to the floor's", least=UNARY_SHARE),
        key("bridge", "chat", CALLERS),
        key("floor", "chat", CALLERS),
    ),
    Comparison(
        Requirement("Response-cache hits, requests/s to the floor's", least=HIT_SHARE),
        key("bridge", "hit", CALLERS),
        key("floor", "chat", CALLERS),
    ),
    Comparison(
        Requirement(f"Streams of {DELTAS} deltas, streams/s to the floor's", least=STREAM_TIMES),
        key("bridge", "stream", CALLERS),
        key("floor", "stream", CALLERS),
    ),
)

ADDITIONS = (
    Addition(
        Requirement("Added latency, one caller, p50", most=1.0, unit=" ms"),
        key("bridge", "chat", 1),
        key("direct", "chat", 1),
        "p50",
    ),
    Addition(
        Requirement("Added latency, one caller, p99", most=3.0, unit=" ms"),
        key("bridge", "chat", 1),
        key("direct", "chat", 1),
        "p99",
    ),
    Addition(
        Requirement("Added time to the first token, one caller, p50", most=1.5, unit=" ms"),
        key("bridge", "first", 1),
        key("direct", "first", 1),
        "first_p50",
    ),
)


@dataclass(frozen=True)
class Open:
    """Streams that are open at once, at a pace that one core can carry for all of them."""

    streams: int
    pace: str
    deltas: int = 16
    opened_a_second: int = 200
    """Slower than they can be, and so that the first has not ended when the last is open."""

    def options(self) -> Options:
        """Return what the load is told."""
        return {
            "workload": "chat-stream",
            "model": f"bench-{self.deltas}-{self.pace}",
            "deltas": self.deltas,
            "concurrency": self.streams,
            "count": self.streams,
            "ramp": self.streams / self.opened_a_second,
            "announce": True,
            "patience": 300,
        }


@dataclass(frozen=True)
class Memory:
    """How memory is measured: streams that are open at once, and streams that are left."""

    steps: tuple[Open, ...] = (Open(1_000, "1s"), Open(10_000, "6s", deltas=14))
    connections: int = 32
    cancelled: int = 100_000
    storm_callers: int = 64


@dataclass(frozen=True)
class Scale:
    """How much is measured: as required, or little, to see that all works."""

    rounds: int = 7
    seconds: float = 1.0
    memory: Memory = field(default_factory=Memory)
    pair_rounds: int = 5
    """Rounds of what is measured apart: two workers, and a large create beside small streams."""
    peer_rounds: int = 5


QUICK = Scale(
    rounds=2,
    seconds=0.2,
    memory=Memory((Open(100, "100ms"), Open(1_000, "1s")), connections=8, cancelled=3_000),
    pair_rounds=2,
    peer_rounds=1,
)

MEMORY_PER_STREAM = Requirement("Memory of each of 10,000 open streams", most=60, unit=" KiB")
MEMORY_AFTER = Requirement("Memory afterwards, to that when idle", most=1.1)
MEMORY_FLAT = Requirement("Memory after 100,000 cancelled streams, to that after 10,000", most=1.1)
STREAM_FAILURES = Requirement("Failed calls of 10,000 streams, each event looked at", most=0)
TWO_WORKERS = Requirement("Two workers on two cores, to one on one", least=1.7)
CEILING = Requirement("Upstream's ceiling, to the most that was put through it", least=3)


@dataclass(frozen=True)
class PeerRatio:
    """A requirement on the bridge's best rate, to that of another gateway."""

    requirement: Requirement
    peer: str
    workload: str


PEER_RATIOS = tuple(
    PeerRatio(Requirement(f"{what}, the bridge's to {peer}'s", least=least), peer, workload)
    for peer, what, workload, least in (
        ("LiteLLM", "Unary chat", "chat", 20),
        ("LiteLLM", "Streams", "stream", 40),
        ("Portkey", "Unary chat", "chat", 1.5),
    )
)
