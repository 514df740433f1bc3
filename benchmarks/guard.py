"""Fail when a call has come to cost more than it did, and not when the machine is another one.

    make bench-guard                                compare with the build that guard.json is of
    .venv/bin/python benchmarks/guard.py --record 5 measure so often, and write it anew

Two builds run side by side: this one, and the one of the commit that wrote benchmarks/guard.json
last. What is compared is the CPU time of a call, the store's with it, in the same rounds: what a
call costs beside the floor's differs by half from one processor to another, and what it costs
beside the other build's does not. A run is the median of its rounds. The margin comes from runs of
one and the same build (A/A). What is beyond it has to be so again in two more runs, which a
regression is and noise is not.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from apart import target_of
from bench import fill, say
from figures import Json, ratios
from measure import Target, measure
from servers import BRIDGE, ROOT, bridge, floor, prepare_driver, scratch, upstream
from workloads import CALLERS, Case

PATH = ROOT / "benchmarks/guard.json"
SOURCES = ("server", "clients/python")
"""What a build is run from; its dependencies are those of this one."""
PAIRS = {"chat": "chat", "stream": "stream", "hit": "chat"}
"""What is guarded, and the floor's call that it is told beside."""
ROUNDS = 8
"""Many short ones rather than few long ones: what disturbs meets both builds."""
SECONDS = 0.5
WARMUP_SECONDS = 0.1
TRIES = 3
DEVIATIONS = 4.0
LEAST_MARGIN = 0.1
NORMAL = 1.4826
"""The standard deviation of a normal distribution, to its median distance from the median."""

Run = dict[str, float]
Measure = Callable[[], Run]


def figures_of(seen: Json) -> dict[str, float]:
    """Return the CPU time of a call, wherever it was spent, and the time between two."""
    return {"cpu": seen["cpu_us"] + seen["store_cpu_us"], "wall": 1e6 / seen["rate"]}


def run_of(
    rounds: Sequence[Mapping[str, dict[str, float]]], beside: str = "before", figure: str = "cpu"
) -> Run:
    """Return the median, over the rounds, of each workload's cost to that of another server."""
    return {
        workload: statistics.median(
            ratios(
                [costs[f"bridge/{workload}"][figure] for costs in rounds],
                [costs[_key(beside, workload)][figure] for costs in rounds],
            )
        )
        for workload in PAIRS
    }


def _key(server: str, workload: str) -> str:
    return f"{server}/{PAIRS[workload] if server == 'floor' else workload}"


def margins_of(runs: Sequence[Run], walls: Sequence[Run]) -> Json:
    """Return of each workload how far runs of one build deviate, and the margin that follows.

    Beside it, for its reader, is how far they would by the clock.
    """
    found: Json = {}
    for workload in PAIRS:
        seen = [run[workload] for run in runs]
        found[workload] = {
            "margin": round(max(LEAST_MARGIN, DEVIATIONS * deviation(seen)), 3),
            "runs": len(seen),
            "deviation": round(deviation(seen), 4),
            "deviation_by_clock": round(deviation([run[workload] for run in walls]), 4),
            "farthest": round(max(abs(one - 1) for one in seen), 4),
        }
    return found


def deviation(seen: Sequence[float]) -> float:
    """Return the standard deviation, as a share of the median.

    It is taken from the median of the distances: one run that was disturbed must not widen the
    margin, as one such run does not fail the guard either.
    """
    middle = statistics.median(seen)
    return NORMAL * statistics.median(abs(one - middle) for one in seen) / middle


def beyond(margins: Json, run: Run) -> set[str]:
    """Return the workloads that cost more than they did before, and the margin."""
    return {name for name, known in margins.items() if run[name] > 1 + known["margin"]}


def regressions(margins: Json, measured: Measure, tell: Callable[[str], None]) -> set[str]:
    """Return the workloads that are beyond their margins in every one of several runs."""
    suspects = set(margins)
    for _ in range(TRIES):
        run = measured()
        tell(told(margins, run))
        suspects &= beyond(margins, run)
        if not suspects:
            break
    return suspects


def told(margins: Json, run: Run) -> str:
    """Return a run for its reader."""
    return "CPU time of a call, to before: " + "; ".join(
        f"{workload} {run[workload] - 1:+.1%} (margin {known['margin']:.1%})"
        for workload, known in margins.items()
    )


def baseline_commit(path: Path = PATH) -> str:
    """Return the commit of the build that is compared with: the last one that wrote a file."""
    command = ["git", "log", "-1", "--format=%H", "--", str(path)]
    return _output(command).strip()


def unpack(commit: str, folder: Path) -> Path:
    """Write the sources of a commit into a new folder, and return it."""
    target = folder / "sources"
    target.mkdir()
    archive = ["git", "archive", commit, *SOURCES]
    extract = ["tar", "-x", "-C", str(target)]
    archived = subprocess.run(archive, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(extract, input=archived, check=True)
    return target


def environment_of(sources: Path) -> dict[str, str]:
    """Return the environment in which Python takes a build from its sources.

    Raises:
        RuntimeError: It takes another one, and this would compare a build with itself.
    """
    path = ":".join(str(sources / part) for part in SOURCES)
    asked = "import contextbridge_server; print(contextbridge_server.__file__)"
    found = _output([str(BRIDGE.parent / "python"), "-c", asked], {"PYTHONPATH": path}).strip()
    if not found.startswith(str(sources)):
        raise RuntimeError(f"Python takes the build from {found}")
    return {"PYTHONPATH": path}


def _output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@contextmanager
def servers(before: Callable[[Path], Path]) -> Iterator[dict[str, Target]]:
    """Run what is measured.

    Args:
        before: Returns the sources of the build that is compared with, given a folder for them.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        gateway = stack.enter_context(upstream(folder))
        environments = {"bridge": {}, "before": environment_of(before(folder))}
        targets = {}
        for name, environment in environments.items():
            process = stack.enter_context(
                bridge(folder, gateway.address, name=name, environment=environment)
            )
            targets[name] = target_of(process, name)
            fill(targets[name], gateway)
        bare = stack.enter_context(floor(folder))
        targets["floor"] = Target("floor", f"grpc://{bare.address}", bare)
        yield targets


def measured_rounds(targets: dict[str, Target]) -> list[dict[str, dict[str, float]]]:
    """Return what was seen in each round of one run."""
    builds = ["bridge", "before"]
    rounds = []
    for _ in range(ROUNDS):
        # Who comes first changes: what the floor leaves behind meets each of the two.
        builds.reverse()
        cases = [Case(name, workload, CALLERS, SECONDS) for workload in PAIRS for name in builds]
        cases += [Case("floor", workload, CALLERS, SECONDS) for workload in set(PAIRS.values())]
        costs = {}
        for case in cases:
            options = {**case.options(1), "warmup": WARMUP_SECONDS}
            seen = measure(targets[case.server], options)
            if seen["failed"] or not seen["calls"]:
                raise RuntimeError(f"{case.key}: {seen['failure'] or 'no call was answered'}")
            costs[f"{case.server}/{case.workload}"] = figures_of(seen)
        rounds.append(costs)
    return rounds


def record(runs: int, path: Path) -> None:
    """Measure this build beside itself, and write how far that deviates."""
    seen = []
    with servers(lambda _: ROOT) as targets:
        for _ in range(runs):
            seen.append(measured_rounds(targets))
            say(", ".join(f"{name} {one:.3f}" for name, one in run_of(seen[-1]).items()))
    found = margins_of(
        [run_of(rounds) for rounds in seen], [run_of(rounds, figure="wall") for rounds in seen]
    )
    path.write_text(json.dumps(found, indent=2) + "\n")
    say(json.dumps(found))


def compare(path: Path) -> set[str]:
    """Return the workloads that cost more than in the build that wrote a file, and say it."""
    commit = baseline_commit(path)
    say(f"before: {commit[:12] or 'nothing that is committed'}")

    def run() -> Run:
        rounds = measured_rounds(targets)
        beside = run_of(rounds, "floor")
        say("of the floor's: " + ", ".join(f"{name} {one:.2f}" for name, one in beside.items()))
        return run_of(rounds)

    with servers(lambda folder: unpack(commit, folder)) as targets:
        return regressions(json.loads(path.read_text()), run, say)


def main() -> None:
    """Compare, or record what is compared with."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--record", type=int, help="runs to take the margins from")
    parser.add_argument("--baseline", type=Path, default=PATH, help="default: %(default)s")
    given = parser.parse_args()
    prepare_driver()
    if given.record:
        record(given.record, given.baseline)
        return
    worse = compare(given.baseline)
    if worse:
        say(f"costs more than it did, in each of {TRIES} runs: {', '.join(sorted(worse))}")
        say("If it is worth it: benchmarks/README.md, on recording the baseline anew.")
        sys.exit(1)
    say("no call costs more than it did")


if __name__ == "__main__":
    main()
