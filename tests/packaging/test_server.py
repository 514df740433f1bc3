"""The server's wheel in an empty environment, without the emulator and with it."""

import json
import os
import subprocess
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist" / "python"
VERSION = (ROOT / "clients" / "VERSION").read_text().strip()
SERVER, CLIENT, EMULATOR = (
    DIST / f"{name}-{VERSION}-py3-none-any.whl"
    for name in ("contextbridge_server", "contextbridge", "contextbridge_emulator")
)
INSTALL = 'pip install "contextbridge-server[emulator]"'
INSTALL_SECONDS = 600
START_SECONDS = 60

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)


class Environment:
    """A virtual environment that wheels are installed into."""

    def __init__(self, folder: Path, *requirements: Path | str) -> None:
        venv.create(folder, with_pip=True)
        self._bin = folder / "bin"
        done = self.run("python", "-m", "pip", "install", "--quiet", *map(str, requirements))
        assert done.returncode == 0, done.stderr

    def start(self, *command: str, **options: int) -> subprocess.Popen[str]:
        """Start a command of the environment, with nothing of the repository's own."""
        hidden = ("PYTHON", "PYTEST", "CONTEXTBRIDGE_", "COV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        path, *arguments = command
        return subprocess.Popen(
            [str(self._bin / path), *arguments],
            cwd=self._bin.parent,
            env=kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            text=True,
            **options,
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment to its end."""
        with self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=INSTALL_SECONDS)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def installed(self) -> set[str]:
        """Return the names of the distributions that are installed."""
        listed = json.loads(self.run("python", "-m", "pip", "list", "--format", "json").stdout)
        return {entry["name"].lower().replace("_", "-") for entry in listed}


@pytest.fixture(name="bare", scope="module")
def bare_fixture(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("bare"), SERVER, CLIENT)


@pytest.fixture(name="extended", scope="module")
def extended_fixture(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    extended = f"contextbridge-server[emulator] @ {SERVER.as_uri()}"
    return Environment(tmp_path_factory.mktemp("extended"), extended, CLIENT, EMULATOR)


@contextmanager
def serving(environment: Environment, *flags: str) -> Iterator[str]:
    """Run a server on a socket in a folder of its own; yield its target; stop it by SIGTERM."""
    with tempfile.TemporaryDirectory() as folder:
        target = f"unix:{folder}/socket"
        places = ("--listen", target, "--data-dir", f"{folder}/data")
        process = environment.start("contextbridge", "serve", *flags, *places)
        try:
            yield target
        finally:
            process.terminate()
            status = process.wait(START_SECONDS)
        assert status == 0


def healthy(environment: Environment, target: str) -> bool:
    """Wait until a server answers; tell whether it says that it serves."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        done = environment.run("contextbridge", "healthcheck", "--target", target)
        if done.returncode == 0:
            return done.stdout == f"{target}: SERVING\n"
        time.sleep(0.2)
    return False


def locked(name: str) -> set[str]:
    """Return the names in a lock file."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line and line[0].isalnum()}


@pytest.mark.parametrize(
    "wheel, package",
    [(SERVER, "contextbridge_server"), (EMULATOR, "contextbridge_emulator")],
    ids=["server", "emulator"],
)
def test_a_wheel_holds_one_package(wheel: Path, package: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}

    assert tops == {package, f"{package}-{VERSION}.dist-info"}


def test_the_server_brings_what_its_lock_has_and_nothing_more(bare: Environment) -> None:
    installed = bare.installed()
    brought = installed - {"pip", "setuptools"}

    assert {"contextbridge", "contextbridge-server"} <= brought
    assert brought - {"contextbridge", "contextbridge-server"} <= locked("server.txt")
    assert not brought & {"aiohttp", "contextbridge-emulator"}


@pytest.mark.parametrize("module", ["aiohttp", "contextbridge_emulator"])
def test_the_emulators_modules_are_not_there(bare: Environment, module: str) -> None:
    done = bare.run("python", "-c", f"import {module}")

    assert f"No module named '{module}'" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "--upstream", "emulator", "--workers", "1"),
        ("serve", "--upstream", "emulator", "--workers", "2", "--listen", "127.0.0.1:0"),
        ("emulate",),
        ("emulate", "--help"),
    ],
    ids=" ".join,
)
def test_without_the_emulator_the_command_that_installs_it_is_named(
    bare: Environment, command: tuple[str, ...]
) -> None:
    done = bare.run("contextbridge", *command)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"contextbridge: the emulator is not installed; install it with: {INSTALL}"
    ]


def test_without_the_emulator_the_server_serves_another_upstream(bare: Environment) -> None:
    with serving(bare, "--upstream", "http://127.0.0.1:9", "--upstream-api-key", "k") as target:
        assert healthy(bare, target)


def test_the_extra_brings_the_emulator(extended: Environment) -> None:
    installed = extended.installed()

    assert {"aiohttp", "contextbridge-emulator"} <= installed
    assert installed - {"pip", "setuptools"} <= locked("dev.txt") | {
        "contextbridge",
        "contextbridge-emulator",
        "contextbridge-server",
    }
    assert extended.run("python", "-m", "pip", "check").returncode == 0


def test_with_the_emulator_the_server_is_healthy(extended: Environment) -> None:
    with serving(extended, "--upstream", "emulator") as target:
        assert healthy(extended, target)


def test_with_the_emulator_its_options_are_listed(extended: Environment) -> None:
    assert "cut-midstream" in extended.run("contextbridge", "emulate", "--help").stdout
