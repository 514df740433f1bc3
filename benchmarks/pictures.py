"""Draw what the results say, as SVG: `pictures.py FOLDER`, where there is matplotlib."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, GRID, PAPER = "#1f2933", "#d9dee3", "#ffffff"
COLOURS = {"bridge": "#0b6e99", "floor": "#9aa5b1", "tuned": "#c3cad2", "direct": "#d98e04"}
TITLES = {
    "bridge": "bridge",
    "floor": "floor",
    "tuned": "floor, tuned",
    "direct": "upstream, direct",
}
OTHERS = ("#7a5195", "#bc5090", "#ef5675")
CALLERS = 32
KIB_IN_MIB = 1024
Figures = dict[str, Any]

mpl.rcParams.update(
    {
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.edgecolor": GRID,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "svg.hashsalt": "contextbridge",  # The same figures give the same file.
    }
)


def median(rounds: list[float]) -> float:
    """Return the median of the rounds."""
    return statistics.median(rounds)


def quartiles(rounds: list[float]) -> tuple[float, float]:
    """Return the distances from the median to the quartiles."""
    if len(rounds) < 2:  # noqa: PLR2004 - One round has no spread.
        return 0.0, 0.0
    low, middle, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return middle - low, high - middle


def bars(axes: Axes, named: dict[str, tuple[list[float], str]], unit: str) -> None:
    """Draw a bar for each name, with its quartiles and its figure."""
    names = list(named)
    values = [median(rounds) for rounds, _ in named.values()]
    errors = [quartiles(rounds) for rounds, _ in named.values()]
    axes.barh(
        names,
        values,
        color=[colour for _, colour in named.values()],
        height=0.62,
        xerr=tuple(zip(*errors, strict=True)),
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    most = max(value + error[1] for value, error in zip(values, errors, strict=True))
    axes.set_xlim(0, most * 1.18)
    for place, (value, error) in enumerate(zip(values, errors, strict=True)):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - Digits.
        axes.text(value + error[1] + most * 0.015, place, text, va="center", color=INK, fontsize=9)
    axes.set_xlabel(unit)


def throughput(cases: Figures) -> Figure:
    """Draw calls per second of the bridge beside the floor's."""
    figure, (unary, streams) = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained")
    for axes, kinds, title in (
        (unary, ("chat", "gemini", "hit"), "Unary calls, one core"),
        (streams, ("stream", "gemini-stream", "hit-stream"), "Streams of 64 deltas, one core"),
    ):
        named: dict[str, tuple[list[float], str]] = {}
        for kind, label in zip(kinds, ("chat", "Gemini", "cache hit"), strict=True):
            for server in ("floor", "tuned", "bridge"):
                case = cases.get(f"{server}/{kind}/{CALLERS}")
                if case:
                    named[f"{label}: {TITLES[server]}"] = (case["rate"], COLOURS[server])
        bars(axes, named, "a second, 32 callers")
        axes.set_title(title)
    return figure


def frontier(cases: Figures) -> Figure:
    """Draw the 99th percentile over the calls per second, as callers are added."""
    figure, both = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
    for axes, kind, title in zip(
        both, ("chat", "stream"), ("Unary chat", "Streams of 64 deltas"), strict=True
    ):
        for server in ("floor", "bridge"):
            prefix = f"{server}/{kind}/"
            steps = sorted(
                (int(name.removeprefix(prefix)), case)
                for name, case in cases.items()
                if name.startswith(prefix)
            )
            rates = [median(case["rate"]) for _, case in steps]
            p99 = [median(case["p99"]) for _, case in steps]
            axes.plot(rates, p99, "o-", color=COLOURS[server], label=TITLES[server], markersize=4)
            for rate, at, callers in (
                (rates[0], p99[0], steps[0][0]),
                (rates[-1], p99[-1], steps[-1][0]),
            ):
                text = "1 caller" if callers == 1 else f"{callers} callers"
                axes.annotate(
                    text, (rate, at), (5, 5), textcoords="offset points", fontsize=8, color=INK
                )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axes.set_xlim(left=0)
        axes.margins(x=0.15)
        axes.grid()
        axes.set_title(title)
        axes.set_xlabel("calls a second")
        axes.set_ylabel("p99, ms")
        axes.legend()
    return figure


def latency(cases: Figures) -> Figure:
    """Draw the latency that the bridge adds for one caller."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    named: dict[str, tuple[list[float], str]] = {}
    for kind, label, figures in (
        ("chat", "Unary chat", ("p50", "p99")),
        ("gemini", "Unary Gemini", ("p50", "p99")),
        ("first", "Chat stream, first token", ("first_p50", "first_p99")),
        ("gemini-stream", "Gemini stream, first token", ("first_p50", "first_p99")),
    ):
        ours, direct = cases[f"bridge/{kind}/1"], cases[f"direct/{kind}/1"]
        for name in figures:
            added = [a - b for a, b in zip(ours[name], direct[name], strict=True)]
            shade = COLOURS["bridge"] if name.endswith("p50") else "#7fb6cc"
            named[f"{label}, {name[-3:]}"] = (added, shade)
    bars(axes, named, "ms over a direct call, one caller")
    axes.set_title("Latency added")
    return figure


def memory(memory: Figures) -> Figure:
    """Draw the bridge's memory over the open streams and the cancels."""
    figure, axes = plt.subplots(figsize=(10.5, 3.6), layout="constrained")
    samples = memory["samples"]
    seconds = [one["s"] for one in samples]
    own = [one["kib"] / KIB_IN_MIB for one in samples]
    axes.fill_between(seconds, own, color=COLOURS["bridge"], alpha=0.15)
    axes.plot(seconds, own, color=COLOURS["bridge"], label="bridge")
    store = [one["store_kib"] / KIB_IN_MIB for one in samples]
    axes.plot(seconds, store, color=COLOURS["direct"], label="its store", linewidth=1)
    idle = memory["idle_kib"] / KIB_IN_MIB
    axes.axhline(idle, color=INK, linewidth=0.8, linestyle=":", label="idle")
    top = max(own) * 1.2
    phases = {one["phase"]: one["s"] for one in reversed(samples)}
    for phase, since in phases.items():
        if phase.endswith(" open") or phase == "cancels":
            until = max(one["s"] for one in samples if one["phase"] == phase)
            axes.axvspan(since, until, color=GRID, alpha=0.5, linewidth=0)
            words = phase.split()
            text = f"{int(words[0]):,}\nopen" if len(words) > 1 else "streams\nleft"
            axes.text((since + until) / 2, top * 0.97, text, ha="center", va="top", fontsize=9)
    axes.set_ylim(0, top)
    axes.set_xlim(0, seconds[-1])
    axes.grid(axis="y")
    axes.set_title("Memory of one worker")
    axes.set_xlabel("s")
    axes.set_ylabel("MiB")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return figure


def peers(peers: Figures) -> Figure:
    """Draw calls per second of the bridge beside other gateways'."""
    figure, both = plt.subplots(1, 2, figsize=(10.5, 2.6), layout="constrained")
    colours = dict(zip(peers["versions"], OTHERS, strict=False))
    for axes, kind, title in zip(
        both,
        ("chat", "stream"),
        ("Unary chat, one core", "Streams of 64 deltas, one core"),
        strict=True,
    ):
        named = {}
        for server in ("bridge", *peers["versions"]):
            http = kind.replace("chat", "openai").replace("stream", "openai-stream")
            prefix = f"{server}/{kind if server == 'bridge' else http}/"
            steps = [one["rate"] for name, one in peers["cases"].items() if name.startswith(prefix)]
            best = [max(rates) for rates in zip(*steps, strict=True)]
            name = f"{server} {peers['versions'].get(server, '')}".strip()
            named[name] = (best, colours.get(server, COLOURS["bridge"]))
        bars(axes, named, "a second")
        axes.set_title(title)
    return figure


PICTURES = (
    ("throughput", "cases", throughput),
    ("frontier", "cases", frontier),
    ("latency", "cases", latency),
    ("memory", "memory", memory),
    ("peers", "peers", peers),
)


def main() -> None:
    """Draw all pictures of which there are figures."""
    folder = Path(sys.argv[1])
    results = json.loads((folder / "results.json").read_text())
    for name, part, draw in PICTURES:
        if part in results:
            figure = draw(results[part]["figures"])
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            if len(sys.argv) > 2:  # noqa: PLR2004 - To look at.
                figure.savefig(folder / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
