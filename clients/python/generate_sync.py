"""Write the blocking client from the asyncio one, or check that what is committed is current.

The two have the same methods, so one is written by hand; `_aio_client.py` stays free of what has no
blocking twin, which is in the transports and streams.
"""

import argparse
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "contextbridge"
SOURCE = PACKAGE / "_aio_client.py"
TARGET = PACKAGE / "_sync_client.py"
RUFF = Path(sysconfig.get_path("scripts")) / "ruff"

REPLACEMENTS = (
    (r'"""The asyncio client\."""', '"""The blocking client. Generated from _aio_client.py."""'),
    (r"# ruff: noqa: ASYNC109.*\n\n", ""),
    (r"import grpc\.aio\n", ""),
    (r"grpc\.aio\.", "grpc."),
    (r"for asyncio\.", "for threads."),
    (r" It belongs to the event loop that first used it\.", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsync(?=Client|ChatStream|ContentStream|Stubs|Transport\b)", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\b_aio_", "_sync_"),
)
"""What becomes of the words of asyncio, in this order."""


def blocking(source: str) -> str:
    """Return the blocking client's code."""
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    command = (RUFF, "format", "--stdin-filename", TARGET.name, "-")
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> int:
    """Write or check, as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    code = blocking(SOURCE.read_text())
    if not parser.parse_args().check:
        TARGET.write_text(code)
    elif TARGET.read_text() != code:
        print(f"not what {SOURCE.name} generates: {TARGET.name} (run `make client`)")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
