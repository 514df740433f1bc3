"""What the results say, as Markdown: the requirements with what was seen, and tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from figures import (
    Json,
    Requirement,
    Summary,
    best_within,
    differences,
    ratios,
    summary,
)
from workloads import (
    ADDITIONS,
    CALLERS,
    CEILING,
    CHAT_STEPS,
    COMPARISONS,
    DELTAS,
    LIMITS_MS,
    MEMORY_AFTER,
    MEMORY_FLAT,
    MEMORY_PER_STREAM,
    PEER_RATIOS,
    STREAM_FAILURES,
    STREAM_STEPS,
    TWO_WORKERS,
    WORKLOADS,
    key,
)

Row = Sequence[str]
Verdict = tuple[Requirement, Summary]

NAMES = {
    "direct": "upstream, direct",
    "floor": "floor",
    "tuned": "floor, tuned",
    "bridge": "bridge",
    "stateless": "bridge, `store=none`",
    "kept": "bridge, on a context of its own",
}
KIB_IN_MIB = 1024


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a table; all columns but the first are figures."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def number(value: float) -> str:
    """Return a figure with three digits that count."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:  # noqa: PLR2004 - Three digits.
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004 - Three digits.


def with_spread(one: Summary) -> str:
    """Return a median with its quartiles."""
    return f"{number(one.median)} ({number(one.low)} to {number(one.high)})"


def spread_of(rounds: Sequence[float]) -> str:
    """Return the median of rounds with its quartiles."""
    return with_spread(summary(rounds))


def exactly(value: float) -> Summary:
    """Return a figure that was seen once."""
    return Summary(value, value, value)


def verdicts(results: Json) -> list[Verdict]:
    """Return every requirement of which something was seen, with what it was."""
    parts: tuple[tuple[str, Callable[[Json], list[Verdict]]], ...] = (
        ("cases", _of_rounds),
        ("memory", _of_memory),
        ("workers", _of_workers),
        ("peers", _of_peers),
    )
    found: list[Verdict] = []
    for name, read in parts:
        if name in results:
            found += read(results[name]["figures"])
    if {"ceiling", "cases"} <= results.keys():
        found.append((CEILING, exactly(headroom(results))))
    return found


def _of_rounds(cases: Json) -> list[Verdict]:
    found: list[Verdict] = [
        (
            one.requirement,
            summary(ratios(cases[one.ours][one.figure], cases[one.theirs][one.figure])),
        )
        for one in COMPARISONS
    ]
    found += [
        (
            one.requirement,
            summary(differences(cases[one.ours][one.figure], cases[one.theirs][one.figure])),
        )
        for one in ADDITIONS
    ]
    return found


def _of_memory(memory: Json) -> list[Verdict]:
    streams, most = max(memory["steps"].items(), key=lambda step: int(step[0]))
    storm = memory["storm"]
    return [
        (STREAM_FAILURES, exactly(most["failed"])),
        (MEMORY_PER_STREAM, exactly((most["kib"] - memory["idle_kib"]) / int(streams))),
        (MEMORY_AFTER, exactly(most["after_kib"] / memory["idle_kib"])),
        (MEMORY_FLAT, exactly(storm["kib"][-1] / storm["kib"][0])),
    ]


def _of_workers(workers: Json) -> list[Verdict]:
    chat = workers["chat"]
    return [(TWO_WORKERS, summary(ratios(chat["two"]["capacity"], chat["one"]["capacity"])))]


def _of_peers(peers: Json) -> list[Verdict]:
    return [
        (one.requirement, summary(peer_ratios(peers, one.peer, one.workload)))
        for one in PEER_RATIOS
        if one.peer in peers["versions"]
    ]


def peer_ratios(peers: Json, peer: str, workload: str) -> list[float]:
    """Return the ratio of the bridge's best rate to a peer's, round by round."""
    return ratios(
        best_rates(peers["cases"], "bridge", workload),
        best_rates(peers["cases"], peer, _over_http(workload)),
    )


def _over_http(workload: str) -> str:
    return workload.replace("chat", "openai").replace("stream", "openai-stream")


def best_rates(cases: Json, server: str, workload: str) -> list[float]:
    """Return the most calls per second of a server, with whatever number of callers, by round."""
    prefix = f"{server}/{workload}/"
    steps = [figures["rate"] for name, figures in cases.items() if name.startswith(prefix)]
    return [max(rates) for rates in zip(*steps, strict=True)]


def headroom(results: Json) -> float:
    """Return upstream's ceiling to the most that was put through it, the lesser of both kinds."""
    ceiling, cases = results["ceiling"]["figures"], results["cases"]["figures"]
    return min(
        float(ceiling[workload]["ceiling"]) / summary(best_rates(cases, "bridge", workload)).median
        for workload in ("chat", "stream")
    )


def failures(results: Json) -> list[str]:
    """Return where a call has failed: figures with failures are none."""
    return [
        f"{name}: {failed} failed calls{such_as}"
        for part, found in results.items()
        for name, failed, such_as in _failures(part, found["figures"])
    ]


def _failures(name: str, figures: Json) -> Iterator[tuple[str, int, str]]:
    failed = _listed(figures.get("failed", 0))
    if sum(failed):
        texts = sorted({text for text in _listed(figures.get("failure", "")) if text})
        yield name, sum(failed), f", such as {texts[0]}" if texts else ""
    for inner, value in figures.items():
        if isinstance(value, dict):
            yield from _failures(f"{name}: {inner}", value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def exit_code(results: Json) -> int:
    """Return 0 where no call failed: a requirement that is not met is for its reader to judge."""
    return 1 if failures(results) else 0


def markdown(results: Json) -> str:
    """Return everything that the results say."""
    parts: list[tuple[str, str, Callable[[Json], str]]] = [
        ("Latency of one caller", "cases", _latency),
        ("Throughput", "cases", _throughput),
        ("Throughput within a latency", "cases", _frontier),
        ("Streams at 20 ms", "cases", _paced),
        ("Memory", "memory", _memory),
        ("Cancels", "memory", _cancels),
        ("Two workers", "workers", _workers),
        ("A large create beside small streams", "head", _head),
        ("Other gateways", "peers", _peers),
    ]
    text = ["# Results", "", "<!-- Made by benchmarks/bench.py; README.md says how. -->", ""]
    text += [_about(results), "", "A figure is the median of the rounds (quartiles). ", ""]
    text += ["## Required and seen", "", _required(results), ""]
    for title, part, write in parts:
        if part in results:
            text += [f"## {title}", "", write(results[part]["figures"]), ""]
    wrong = failures(results)
    if wrong:
        text += ["## Failed calls", "", *(f"* {one}" for one in wrong), ""]
    if "ceiling" in results:
        text += ["## Upstream's ceiling", "", _ceiling(results["ceiling"]["figures"]), ""]
    return "\n".join(line.rstrip() for line in "\n".join(text).splitlines()) + "\n"


def _about(results: Json) -> str:
    abouts = {
        f"commit {one['about']['commit']}, {one['about']['date']}" for one in results.values()
    }
    machine = next(iter(results.values()))["about"]["machine"]
    versions = ", ".join(
        f"{name} {machine[name]}" for name in ("python", "grpcio", "uvloop", "protobuf", "go")
    )
    return (
        f"{'; '.join(sorted(abouts))}.\n"
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}; {versions}."
    )


def _required(results: Json) -> str:
    return table(
        ("figure", "required", "seen", "met"),
        (
            (
                one.name,
                one.words(),
                number(seen.median) if seen.low == seen.high else with_spread(seen),
                "yes" if one.is_met(seen.median) else "**no**",
            )
            for one, seen in verdicts(results)
        ),
    )


def _latency(cases: Json) -> str:
    rows = []
    for workload, figure in (
        ("chat", "p50"),
        ("chat", "p99"),
        ("first", "first_p50"),
        ("first", "first_p99"),
        ("gemini", "p50"),
        ("gemini", "p99"),
        ("gemini-stream", "first_p50"),
        ("gemini-stream", "first_p99"),
    ):
        direct, ours = cases[key("direct", workload, 1)], cases[key("bridge", workload, 1)]
        what = "first token, " if figure.startswith("first") else ""
        rows.append(
            (
                f"{WORKLOADS[workload].title}, {what}{figure[-3:]}",
                spread_of(direct[figure]),
                spread_of(ours[figure]),
                spread_of(differences(ours[figure], direct[figure])),
            )
        )
    text = table(("ms", "direct", "bridge", "added"), rows)
    others = [
        (
            NAMES[server],
            *(spread_of(cases[key(server, "chat", 1)][name]) for name in ("p50", "p99")),
        )
        for server in ("floor", "tuned", "stateless", "bridge", "kept")
    ]
    others += [
        (
            f"bridge: {WORKLOADS[hit].title}",
            *(spread_of(cases[key("bridge", hit, 1)][name]) for name in ("p50", "p99")),
        )
        for hit in ("hit", "hit-stream")
    ]
    return f"{text}\n\n{table(('ms, a whole call', 'p50', 'p99'), others)}"


def _throughput(cases: Json) -> str:
    rows = []
    for workload in ("chat", "gemini", "hit", "stream", "gemini-stream", "hit-stream"):
        floor_workload = {"hit": "chat", "hit-stream": "stream"}.get(workload, workload)
        floor = cases[key("floor", floor_workload, CALLERS)]
        for server in NAMES:
            case = cases.get(key(server, workload, CALLERS))
            if case:
                rows.append(_throughput_row(workload, server, case, floor))
    head = (
        "",
        "calls/s",
        "to the floor",
        "events/s",
        "tokens/s",
        "CPU per call, µs",
        "store's, µs",
        "its core busy",
        "the other",
    )
    return (
        f"{CALLERS} callers. A hit is set beside the floor's call of the same kind. The other core "
        f"is that of upstream and the load.\n\n{table(head, rows)}"
    )


def _throughput_row(workload: str, server: str, case: Json, floor: Json) -> Row:
    is_stream = WORKLOADS[workload].is_stream
    tokens = number(summary(case["rate"]).median * DELTAS)
    return (
        f"{WORKLOADS[workload].title}: {NAMES[server]}",
        spread_of(case["rate"]),
        spread_of(ratios(case["rate"], floor["rate"])),
        number(summary(case["events"]).median) if is_stream else "",
        tokens,
        spread_of(case["cpu_us"]),
        number(summary(case["store_cpu_us"]).median) if server == "bridge" else "",
        *(f"{summary(case[core]).median:.0%}" for core in ("busy_server", "busy_other")),
    )


def frontier(cases: Json, server: str, workload: str, limit: float) -> list[float]:
    """Return, by round, the most calls per second whose 99th percentile is within the limit."""
    steps = CHAT_STEPS if workload == "chat" else STREAM_STEPS
    chosen = [cases[key(server, workload, step)] for step in steps]
    return [
        best_within([(one["rate"][turn], one["p99"][turn]) for one in chosen], limit)
        for turn in range(len(chosen[0]["rate"]))
    ]


def _frontier(cases: Json) -> str:
    head = ["calls/s with p99 within", *(limit_name(limit) for limit in LIMITS_MS)]
    rows = [
        [
            f"{WORKLOADS[workload].title}: {server}",
            *(spread_of(frontier(cases, server, workload, limit)) for limit in LIMITS_MS),
        ]
        for workload in ("chat", "stream")
        for server in ("floor", "bridge")
    ]
    steps = (", ".join(map(str, steps)) for steps in (CHAT_STEPS, STREAM_STEPS))
    return (
        f"The best of {next(steps)} callers (unary) and of {next(steps)} (streams); p99 is that of "
        f"a whole call, and 0 means that not even one caller is within.\n\n{table(head, rows)}"
    )


def limit_name(limit: float) -> str:
    """Return a limit as people write it."""
    return "any" if limit == float("inf") else f"{limit:g} ms"


def _paced(cases: Json) -> str:
    rows = []
    for figure, title in (
        ("first_p50", "first token, p50"),
        ("first_p99", "first token, p99"),
        ("gap_p50", "between tokens, p50"),
        ("gap_p99", "between tokens, p99"),
    ):
        direct, ours = (
            cases[key(name, "paced", 2 * CALLERS)][figure] for name in ("direct", "bridge")
        )
        rows.append(
            (title, spread_of(direct), spread_of(ours), spread_of(differences(ours, direct)))
        )
    return f"{2 * CALLERS} callers.\n\n" + table(("ms", "direct", "bridge", "added"), rows)


def _mib(kib: float) -> str:
    return f"{kib / KIB_IN_MIB:.1f}"


def _memory(memory: Json) -> str:
    rows = [["idle", _mib(memory["idle_kib"]), _mib(memory["idle_store_kib"]), *[""] * 4]]
    for streams, step in memory["steps"].items():
        each = (step["kib"] - memory["idle_kib"]) / int(streams)
        rows.append(
            [
                f"{int(streams):,} open streams",
                _mib(step["kib"]),
                _mib(step["store_kib"]),
                number(each),
                f"{step['events']:,}",
                number(step["gap_p99"]),
                f"{step['busy_server']:.0%}",
            ]
        )
        rows.append(
            ["and after", _mib(step["after_kib"]), _mib(step["after_store_kib"]), *[""] * 4]
        )
    head = ("MiB", "bridge", "store", "KiB a stream", "tokens", "gap p99, ms", "core busy")
    return table(head, rows)


def _cancels(memory: Json) -> str:
    storm = memory["storm"]
    rows = [
        ("streams left after their first token", f"{storm['cancelled']:,}"),
        ("failed", str(storm["failed"])),
        ("a second", spread_of(storm["rate"])),
        ("CPU time of each, µs", number(storm["cpu_us"])),
        ("memory after a tenth, MiB", _mib(storm["kib"][0])),
        ("memory after all, MiB", _mib(storm["kib"][-1])),
        ("and when it has settled, MiB", _mib(storm["after_kib"])),
        ("upstream's streams that were open still", str(storm["open_upstream"])),
        ("until the last had ended upstream, ms", number(storm["drained_ms"])),
    ]
    return table(("", "seen"), rows)


def _workers(workers: Json) -> str:
    rows = []
    for workload, seen in workers.items():
        for name, title in (("one", "one worker, one core"), ("two", "two workers, two cores")):
            figures = seen[name]
            rows.append(
                (
                    f"{WORKLOADS[workload].title}: {title}",
                    spread_of(figures["rate"]),
                    spread_of(figures["capacity"]),
                    spread_of(figures["cpu_us"]),
                    f"{summary(figures['used']).median:.0%}",
                    number(summary(figures["balance"]).median),
                )
            )
        rows.append(
            (
                f"{WORKLOADS[workload].title}: two to one",
                spread_of(ratios(seen["two"]["rate"], seen["one"]["rate"])),
                spread_of(ratios(seen["two"]["capacity"], seen["one"]["capacity"])),
                spread_of(ratios(seen["two"]["cpu_us"], seen["one"]["cpu_us"])),
                "",
                "",
            )
        )
    head = ("", "calls/s", "capacity, calls/s", "CPU per call, µs", "used of given", "balance")
    return (
        "Upstream and the load have a core of their own beside one worker, and have to share both "
        "with two.\nCapacity is what the workers make of the core time that is left to them, idle "
        "time included: calls, by the core-seconds that neither upstream nor the load has used, "
        "times the cores.\n\n" + table(head, rows)
    )


def _head(head: Json) -> str:
    alone, beside, creates = head["alone"], head["beside"], head["creates"]
    rows = [
        (title, *(spread_of(one[figure]) for one in (alone, beside)))
        for figure, title in (
            ("first_p50", "first token, p50"),
            ("first_p99", "first token, p99"),
            ("gap_p50", "between tokens, p50"),
            ("gap_p99", "between tokens, p99"),
        )
    ]
    return (
        f"16 streams, one token in 20 ms, beside one caller who creates contexts of 100,000 tokens "
        f"one after the other: {spread_of(creates['rate'])} a second, each in "
        f"{spread_of(creates['p50'])} ms.\n\n" + table(("ms", "alone", "beside creates"), rows)
    )


def _peers(peers: Json) -> str:
    cases = peers["cases"]
    rows: list[Row] = []
    for server in ("direct", "bridge", *peers["versions"]):
        chat, stream = ("chat", "stream") if server == "bridge" else ("openai", "openai-stream")
        name = f"{server} {peers['versions'].get(server, '')}".strip()
        rows.append(
            (
                name,
                spread_of(cases[key(server, chat, 1)]["p50"]),
                spread_of(cases[key(server, chat, 1)]["p99"]),
                spread_of(best_rates(cases, server, chat)),
                _ratio_to(peers, server, "chat"),
                spread_of(best_rates(cases, server, stream)),
                _ratio_to(peers, server, "stream"),
                _mib(peers["memory_kib"][server]),
            )
        )
    head = (
        "",
        "one caller p50, ms",
        "p99, ms",
        "unary calls/s",
        "bridge to it",
        "streams/s",
        "bridge to it",
        "MiB",
    )
    missing = [f"* {name} was not measured: {why}" for name, why in peers["missing"].items()]
    return "\n".join([table(head, rows), "", *missing])


def _ratio_to(peers: Json, server: str, workload: str) -> str:
    return spread_of(peer_ratios(peers, server, workload)) if server in peers["versions"] else ""


def _ceiling(ceiling: Any) -> str:
    rows = [
        (WORKLOADS[workload].title, number(seen["seen"]), number(seen["ceiling"]))
        for workload, seen in ceiling.items()
    ]
    return (
        "The load, on the other core, may be full before upstream is; the ceiling is what a full "
        "core of upstream would do, by the CPU time of each answer.\n\n"
        + table(("answers/s", "seen", "ceiling"), rows)
    )
