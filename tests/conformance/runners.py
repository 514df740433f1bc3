"""How each language's runner is started. `make client-runners` builds them."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 240


def commands(root: Path) -> dict[str, Sequence[str | Path]]:
    """Return what each language's runner of a source tree is started with, but for the plan."""
    python = (sys.executable, root / "clients/python/conformance.py")
    java = root / "clients/java/target"
    class_path = f"{java}/test-classes:{java}/classes:{java}/lib/*"
    return {
        "python": python,
        "python-blocking": (*python, "--blocking"),
        "go": (root / ".tools/bin/conformance-go",),
        "typescript": ("node", root / "clients/typescript/dist/conformance/runner.js"),
        "java": ("java", "-cp", class_path, "Conformance"),
        "rust": (root / "clients/rust/target/debug/conformance",),
    }


@dataclass(frozen=True)
class Runner:
    """A language's runner, of this tree or of another release's."""

    language: str
    root: Path = ROOT

    def __str__(self) -> str:
        return self.language if self.root == ROOT else f"released-{self.language}"

    async def run(self, cases: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
        """Run cases; return the reports by the cases' names."""
        plan = folder / f"{self}.json"
        protoset = self.root / "protos/contextbridge.protoset"
        plan.write_text(json.dumps({"protoset": str(protoset), "cases": cases}))
        process = await asyncio.create_subprocess_exec(
            *map(str, commands(self.root)[self.language]),
            str(plan),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Another release's runner uses its own client, not the one that is installed.
            env=os.environ | {"PYTHONPATH": str(self.root / "clients/python")},
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
        reports = {report["name"]: report for report in map(json.loads, output.splitlines())}
        if process.returncode:
            # What it has reported is judged; the rest says why it is missing.
            died = {"died": errors.decode()[-4000:]}
            return {case["name"]: reports.get(case["name"], died) for case in cases}
        return reports
