"""How each language's runner is started. `make client-runners` builds them."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "clients"
PROTOSET = ROOT / "protos" / "contextbridge.protoset"
TIMEOUT_SECONDS = 240

RUNNERS: dict[str, Sequence[str | Path]] = {
    "python": (sys.executable, CLIENTS / "python" / "conformance.py"),
    "python-blocking": (sys.executable, CLIENTS / "python" / "conformance.py", "--blocking"),
}
"""What is run with the path of a plan."""


async def run(language: str, cases: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Run a language's runner on cases; return its reports by the cases' names."""
    plan = folder / f"{language}.json"
    plan.write_text(json.dumps({"protoset": str(PROTOSET), "cases": cases}))
    process = await asyncio.create_subprocess_exec(
        *map(str, RUNNERS[language]),
        str(plan),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
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
