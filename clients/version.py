"""Write the version in VERSION into every package's manifest, or check that it is there.

The server, the emulator and all clients have one version; registries want it in files of their own.
"""

import argparse
import re
import sys
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent
VERSION = (CLIENTS / "VERSION").read_text().strip()

PLACES = (
    ("../pyproject.toml", r'^  "contextbridge==(.*)",$'),
    ("../pyproject.toml", r'^emulator = \["contextbridge-emulator==(.*)"\]$'),
    ("../emulator/contextbridge_emulator/_version.py", r'^__version__ = "(.*)"$'),
    ("python/contextbridge/_version.py", r'^__version__ = "(.*)"$'),
    ("go/version.go", r'^const Version = "(.*)"$'),
    ("typescript/package.json", r'^  "version": "(.*)",$'),
    ("typescript/package-lock.json", r'^  "version": "(.*)",$'),
    (
        "typescript/package-lock.json",
        r'"name": "@contextbridge/client",\n      "version": "(.*)",$',
    ),
    ("typescript/src/version.ts", r'^export const VERSION = "(.*)";$'),
    ("java/pom.xml", r"<artifactId>contextbridge-client</artifactId>\n  <version>(.*)</version>"),
    ("rust/Cargo.toml", r'^name = "contextbridge-client"\nversion = "(.*)"$'),
    ("rust/Cargo.lock", r'^name = "contextbridge-client"\nversion = "(.*)"$'),
)
"""Files, and what stands around the version in them, once."""


def stamped(text: str, pattern: str) -> str:
    """Return a file's text with the version in its place."""
    (found,) = re.finditer(pattern, text, re.MULTILINE)
    return text[: found.start(1)] + VERSION + text[found.end(1) :]


def main() -> int:
    """Write or check, as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = False
    for name, pattern in PLACES:
        path = CLIENTS / name
        text = path.read_text()
        wanted = stamped(text, pattern)
        if check and text != wanted:
            print(f"not version {VERSION}: clients/{name} (run `make version`)")
            stale = True
        elif text != wanted:
            path.write_text(wanted)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
