"""Real SDKs judge the emulator: each suite runs in an environment of its SDK's own."""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SUITES = {"genai2": "suite_genai.py", "genai3": "suite_genai.py", "openai": "suite_openai.py"}


def environment(name: str) -> Path:
    """Return the interpreter of an SDK's environment, made on first use."""
    lock = HERE / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    home = ROOT / ".venvs" / f"{name}-{digest}"
    home.parent.mkdir(exist_ok=True)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with (home.parent / f"{name}.lock").open("w") as guard:
        # Several test processes may want the same environment at the same time.
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            venv.create(home, clear=True, with_pip=True)
            # The lock is whole. Left to look for more, pip takes a newer release of what is asked
            # for with an extra, and then finds no hash for it.
            locked = ("--no-deps", "--require-hashes", "-r", lock)
            run(python, "-m", "pip", "install", "--quiet", *locked)
            (home / "complete").touch()
    return python


def run(*command: str | Path, **extra: str) -> None:
    """Run a command, and fail with what it printed when it fails."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON"))}
    done = subprocess.run(
        command,
        env={**inherited, **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run the emulator as a process of its own, as users do."""
    command = [sys.executable, "-m", "contextbridge_emulator", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "emulator")},
    ) as emulator:
        assert emulator.stdout is not None
        line = emulator.stdout.readline()
        yield line.removeprefix("listening on ").strip()
        emulator.terminate()
    assert emulator.returncode == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SUITES)
def test_the_sdk_gets_what_it_expects(name: str, url: str) -> None:
    run(
        environment(name),
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
        *("--rootdir", HERE / "suites", "--confcutdir", HERE / "suites"),
        *("--import-mode=importlib", "-o", "asyncio_mode=auto"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        HERE / "suites" / SUITES[name],
        EMULATOR_URL=url,
    )
