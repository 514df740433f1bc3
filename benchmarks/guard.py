"""Fail when a call has come to cost more than it did, and not when the machine is busy.

    make bench-guard                                compare with benchmarks/guard.json
    .venv/bin/python benchmarks/guard.py --record 9 measure so often, and write it anew

What is compared is the CPU time of a call, the store's with it, to that of the floor's call in the
same round: a neighbour on the machine takes time on the clock from whomever it meets. A run is the
median of its rounds. The margin comes from runs of one and the same build (A/A). What is beyond it
has to be so again in two more runs, which a regression is and noise is not.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from apart import target_of
from bench import fill, say
from figures import Json, ratios
from measure import Target, measure
from servers import ROOT, bridge, floor, prepare_driver, scratch, upstream
from workloads import CALLERS, Case

PATH = ROOT / "benchmarks/guard.json"
PAIRS = {"chat": "chat", "stream": "stream", "hit": "chat"}
"""What is guarded, and the floor's call that it is set beside."""
ROUNDS = 8
"""Many short ones rather than few long ones: what disturbs meets the floor as well."""
SECONDS = 0.5
WARMUP_SECONDS = 0.1
TRIES = 3
DEVIATIONS = 4.0
LEAST_MARGIN = 0.4
"""What a build costs beside the floor differs by that much from one machine to another, and under
load: more than it ever did from run to run on one that was idle."""
NORMAL = 1.4826
"""The standard deviation of a normal distribution, to its median distance from the median."""

Run = dict[str, float]
Measure = Callable[[], Run]


def figures_of(seen: Json) -> dict[str, float]:
    """Return the CPU time of a call, wherever it was spent, and the time between two."""
    return {"cpu": seen["cpu_us"] + seen["store_cpu_us"], "wall": 1e6 / seen["rate"]}


def run_of(rounds: Sequence[Mapping[str, dict[str, float]]], figure: str = "cpu") -> Run:
    """Return the median, over the rounds, of each workload's cost to the floor's."""
    return {
        workload: statistics.median(
            ratios(
                [costs[f"bridge/{workload}"][figure] for costs in rounds],
                [costs[f"floor/{beside}"][figure] for costs in rounds],
            )
        )
        for workload, beside in PAIRS.items()
    }


def baseline_of(runs: Sequence[Run], walls: Sequence[Run]) -> Json:
    """Return what later runs are compared with: of each workload the ratio, and a margin for it.

    Beside it, for its reader, is how far the runs deviate, and how far they would by the clock.
    """
    found: Json = {}
    for workload in PAIRS:
        seen = [run[workload] for run in runs]
        found[workload] = {
            "ratio": round(statistics.median(seen), 3),
            "margin": round(max(LEAST_MARGIN, DEVIATIONS * deviation(seen)), 3),
            "runs": len(seen),
            "deviation": round(deviation(seen), 4),
            "deviation_by_clock": round(deviation([run[workload] for run in walls]), 4),
            "farthest": round(max(abs(one / statistics.median(seen) - 1) for one in seen), 4),
        }
    return found


def deviation(seen: Sequence[float]) -> float:
    """Return the standard deviation, as a share of the median.

    It is taken from the median of the distances: one run that was disturbed must not widen the
    margin, as one such run does not fail the guard either.
    """
    middle = statistics.median(seen)
    return NORMAL * statistics.median(abs(one - middle) for one in seen) / middle


def beyond(baseline: Json, run: Run) -> set[str]:
    """Return the workloads that cost more than the baseline and its margin."""
    return {
        workload
        for workload, known in baseline.items()
        if run[workload] > known["ratio"] * (1 + known["margin"])
    }


def regressions(baseline: Json, measured: Measure, tell: Callable[[str], None]) -> set[str]:
    """Return the workloads that are beyond their margins in every one of several runs."""
    suspects = set(baseline)
    for _ in range(TRIES):
        run = measured()
        tell(told(baseline, run))
        suspects &= beyond(baseline, run)
        if not suspects:
            break
    return suspects


def told(baseline: Json, run: Run) -> str:
    """Return a run for its reader."""
    return "; ".join(
        f"{workload} {run[workload]:.2f} of the floor's CPU time "
        f"({run[workload] / known['ratio'] - 1:+.1%}, margin {known['margin']:.1%})"
        for workload, known in baseline.items()
    )


@contextmanager
def servers() -> Iterator[dict[str, Target]]:
    """Run what is measured."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        gateway = stack.enter_context(upstream(folder))
        ours = target_of(stack.enter_context(bridge(folder, gateway.address)))
        fill(ours, gateway)
        bare = stack.enter_context(floor(folder))
        yield {"bridge": ours, "floor": Target("floor", f"grpc://{bare.address}", bare)}


def measured_rounds(targets: dict[str, Target]) -> list[dict[str, dict[str, float]]]:
    """Return what was seen in each round of one run."""
    cases = [Case("bridge", workload, CALLERS, SECONDS) for workload in PAIRS]
    cases += [Case("floor", workload, CALLERS, SECONDS) for workload in set(PAIRS.values())]
    rounds = []
    for _ in range(ROUNDS):
        costs = {}
        for case in cases:
            options = {**case.options(1), "warmup": WARMUP_SECONDS}
            seen = measure(targets[case.server], options)
            if seen["failed"] or not seen["calls"]:
                raise RuntimeError(f"{case.key}: {seen['failure'] or 'no call was answered'}")
            costs[f"{case.server}/{case.workload}"] = figures_of(seen)
        rounds.append(costs)
    return rounds


def main() -> None:
    """Compare, or record what is compared with."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--record", type=int, help="runs to take the baseline from")
    parser.add_argument("--baseline", type=Path, default=PATH, help="default: %(default)s")
    given = parser.parse_args()
    prepare_driver()
    with servers() as targets:
        if given.record:
            runs = []
            for _ in range(given.record):
                runs.append(measured_rounds(targets))
                say(", ".join(f"{name} {one:.3f}" for name, one in run_of(runs[-1]).items()))
            baseline = baseline_of(
                [run_of(rounds) for rounds in runs], [run_of(rounds, "wall") for rounds in runs]
            )
            given.baseline.write_text(json.dumps(baseline, indent=2) + "\n")
            say(json.dumps(baseline))
            return
        baseline = json.loads(given.baseline.read_text())
        worse = regressions(baseline, lambda: run_of(measured_rounds(targets)), say)
    if worse:
        say(f"costs more than it did, in each of {TRIES} runs: {', '.join(sorted(worse))}")
        say("If it is worth it: benchmarks/README.md, on recording the baseline anew.")
        sys.exit(1)
    say("no call costs more than it did")


if __name__ == "__main__":
    main()
