"""Measure the bridge beside upstream itself and the floor, in rounds, and write what was seen.

make bench                                    everything, in about a quarter of an hour
.venv/bin/python benchmarks/bench.py --quick  a little of everything, to see that it works
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import apart
import peers
import report
from figures import Json
from measure import Target, gather, load, measure, seen_upstream
from processes import Process, versions
from servers import ROOT, bridge, floor, prepare_driver, scratch, upstream
from workloads import FILL, QUICK, WORKLOADS, Case, Scale, cases

RESULTS = ROOT / "benchmarks/results"
PARTS = ("rounds", "workers", "head", "memory")
PICTURES = ROOT / ".venvs/bench/bin/python"


def say(text: str) -> None:
    """Tell the person who waits how far it is."""
    print(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {text}", flush=True)


def machine() -> Json:
    """Return what the figures depend on, and nothing that names the machine."""
    model = next(
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / 2**20),
        "kernel": platform.release().split("-", maxsplit=1)[0],
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "uvloop": version("uvloop"),
        "protobuf": version("protobuf"),
        **versions({"go": ["go", "env", "GOVERSION"]}),
    }


def commit() -> str:
    """Return the commit that is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def in_rounds(targets: dict[str, Target], chosen: list[Case], scale: Scale) -> Json:
    """Run all cases round by round, each round from another one on; return the figures of each."""
    seen: dict[str, list[Json]] = {case.key: [] for case in chosen}
    for number in range(scale.rounds):
        start = number * len(chosen) // scale.rounds
        for case in chosen[start:] + chosen[:start]:
            seen[case.key].append(measure(targets[case.server], case.options(scale.seconds)))
        say(f"round {number + 1} of {scale.rounds}")
    return {name: gather(rounds) for name, rounds in seen.items()}


def fill(target: Target, gateway: Process) -> None:
    """Fill the response cache, and see that it answers."""
    for name in ("hit", "hit-stream"):
        filled = load(target.url, {**target.options, **FILL})
        if filled["failed"]:
            raise RuntimeError(f"the response cache cannot be filled: {filled}")
        before = seen_upstream(gateway.address)["answers"]
        saw = load(target.url, {**target.options, **WORKLOADS[name].options, "count": 10})
        if saw["failed"] or seen_upstream(gateway.address)["answers"] != before:
            raise RuntimeError(f"the response cache does not answer: {saw}")


def measure_all(parts: tuple[str, ...], scale: Scale, *, with_peers: bool) -> Json:
    """Return the figures of the parts."""
    found: Json = {}
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        gateway = stack.enter_context(upstream(folder))
        direct = Target("direct", gateway.address, gateway)
        found["ceiling"] = apart.ceiling(gateway, scale)
        say(f"upstream's ceiling: {found['ceiling']}")
        if "memory" in parts:
            found["memory"] = apart.memory(folder, gateway, scale)
            say("memory and cancels")
        if "workers" in parts:
            found["workers"] = apart.workers(folder, scale)
            say("workers")
        ours = apart.target_of(stack.enter_context(bridge(folder, gateway.address)))
        if "head" in parts:
            found["head"] = apart.head_of_line(ours, scale)
            say("a large create beside small streams")
        if "rounds" in parts:
            fill(ours, gateway)
            stateless = stack.enter_context(
                bridge(folder, gateway.address, "--store", "none", name="stateless")
            )
            floors = {
                name: stack.enter_context(floor(folder, is_tuned=name == "tuned"))
                for name in ("floor", "tuned")
            }
            targets = {
                "direct": direct,
                "bridge": ours,
                "kept": apart.kept_target_of(ours.process),
                "stateless": apart.target_of(stateless, "stateless"),
                **{
                    name: Target(name, f"grpc://{process.address}", process)
                    for name, process in floors.items()
                },
            }
            found["cases"] = in_rounds(targets, list(cases()), scale)
        if with_peers:
            found["peers"] = peers.measure_peers(folder, gateway, ours, scale, say)
    return found


def main() -> None:
    """Measure, write the results and tell them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="little of everything; no figures")
    parser.add_argument("--rounds", type=int, help="rounds, instead of those that are usual")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of: %(default)s")
    parser.add_argument("--peers", action="store_true", help="measure other gateways, too")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args()
    scale = QUICK if given.quick else Scale()
    if given.rounds:
        scale = dataclasses.replace(scale, rounds=given.rounds)
    prepare_driver()
    started = time.monotonic()
    parts = tuple(part for part in given.parts.split(",") if part)
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "results.json"
    # A part that was left out this time keeps what it had, with the commit that it is of.
    results: Json = json.loads(path.read_text()) if path.exists() else {}
    found = measure_all(parts, scale, with_peers=given.peers)
    about = {
        "commit": commit(),
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "rounds": scale.rounds,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "machine": machine(),
    }
    for name, figures in found.items():
        results[name] = {"about": about, "figures": figures}
    path.write_text(json.dumps(rounded(results), indent=1) + "\n")
    text = report.markdown(results)
    (given.output / "results.md").write_text(text)
    print(text)
    pictures = [str(PICTURES), str(ROOT / "benchmarks/pictures.py"), str(given.output)]
    subprocess.run(pictures, check=True)
    say(f"written to {given.output}, after {about['minutes']} minutes")
    sys.exit(report.exit_code(results))


def rounded(value: object) -> object:
    """Return the results with no more digits than mean anything."""
    match value:
        case dict():
            return {name: rounded(one) for name, one in value.items()}
        case list():
            return [rounded(one) for one in value]
        case float():
            return float(f"{value:.5g}")
    return value


if __name__ == "__main__":
    main()
