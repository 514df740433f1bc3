"""Fixtures that every kind of test uses: the emulator, the bridge, and channels to it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import Any

import grpc
import hypothesis
import pytest

import contextbridge_emulator
from contextbridge_server.app import running_server
from contextbridge_server.settings import Settings
from contextbridge_server.store.embedded import EmbeddedOptions, running_valkey

pytest_plugins = ["valkey_engines", "stored_bridges"]

# How long an example takes, to be drawn or to run, tells of the machine.
hypothesis.settings.register_profile(
    "timeless",
    hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("timeless")

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).parent / "contextbridge")

Bridge = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]


@asynccontextmanager
async def _bridge(upstream: str, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """Run a bridge on a free port and yield a channel to it."""
    given = {
        "listen": "127.0.0.1:0",
        "upstream": upstream,
        "upstream_api_key": "sk-test",
        "drain_grace": "0s",
        "retry_base_delay": "1ms",
        "log_level": "error",
        "store_timeout": "10s",
        **settings,
    }
    async with running_server(Settings(**given)) as server:
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            channel.address = server.address
            yield channel


@pytest.fixture(name="data_dir", scope="session", autouse=True)
async def data_dir_fixture() -> AsyncIterator[Path]:
    """Keep one embedded store running, which every server of the tests shares by default."""
    with tempfile.TemporaryDirectory(prefix="contextbridge-") as directory:
        os.environ["CONTEXTBRIDGE_DATA_DIR"] = directory
        async with running_valkey(EmbeddedOptions(Path(directory))):
            yield Path(directory)


@pytest.fixture(name="bridge", scope="session")
def bridge_fixture() -> Bridge:
    """Return what runs a bridge: `async with bridge(upstream_url, **settings) as channel`."""
    return _bridge


@pytest.fixture(name="emulator")
async def emulator_fixture() -> AsyncIterator[Any]:
    """Run the emulator, in this process, for one test."""
    async with contextbridge_emulator.serve() as emulator:
        yield emulator


@pytest.fixture(name="channel")
async def channel_fixture(emulator: Any, bridge: Bridge) -> AsyncIterator[grpc.aio.Channel]:
    """Run a bridge to the emulator, and yield a channel to it."""
    async with bridge(emulator.url) as channel:
        yield channel


@pytest.fixture(name="served", scope="session")
def served_fixture() -> Iterator[str]:
    """Run `contextbridge serve` with the emulator, as a process; return its address."""
    with serving("--upstream", "emulator") as address:
        yield address


@pytest.fixture(name="serving", scope="session")
def serving_fixture() -> Callable[..., AbstractContextManager[str]]:
    """Return what runs `contextbridge serve` with flags, as a process, and yields its address."""
    return serving


@pytest.fixture(name="serving_process", scope="session")
def serving_process_fixture() -> Callable[..., AbstractContextManager[tuple[int, str]]]:
    """Return what does the same and yields the process's id too."""
    return serving_process


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """Run `contextbridge serve` on a free port; yield its address; stop it by SIGTERM."""
    with serving_process(*flags) as (_, address):
        yield address


@pytest.fixture(name="serving_logged", scope="session")
def serving_logged_fixture() -> Callable[
    ..., AbstractContextManager[tuple[str, Callable[..., str]]]
]:
    """Return what does the same and yields the address and what reads the log so far."""
    return serving_logged


@contextmanager
def serving_process(*flags: str) -> Iterator[tuple[int, str]]:
    """Run `contextbridge serve` on a free port; yield its id and address; stop it by SIGTERM."""
    with started(*flags) as (process, address, _):
        yield process.pid, address


@contextmanager
def serving_logged(*flags: str, **environment: str) -> Iterator[tuple[str, Callable[..., str]]]:
    """Run `contextbridge serve` on a free port; yield its address and what reads its log.

    The reader waits for as many lines of calls as it is told.
    """
    with started(*flags, **environment) as (_, address, log):
        yield address, lambda calls=0: _log_with(log, calls)


def _log_with(log: Path, calls: int) -> str:
    """Return the log once it has the lines of so many calls; a line may come after its answer."""
    for _ in range(1_000):
        written = log.read_text()
        if written.count('"event":"call"') >= calls:
            return written
        time.sleep(0.01)
    raise AssertionError(f"the log has no {calls} calls: {written}")


@pytest.fixture(name="started", scope="session")
def started_fixture() -> Callable[
    ..., AbstractContextManager[tuple["subprocess.Popen[bytes]", str, Path]]
]:
    """Return what does the same and yields the process, the address and the file of the log."""
    return started


@contextmanager
def started(
    *flags: str, **environment: str
) -> Iterator[tuple["subprocess.Popen[bytes]", str, Path]]:
    """Run `contextbridge serve` on a free port; yield process, address and log; stop it.

    It has one worker unless it is told otherwise.
    """
    environment = {"CONTEXTBRIDGE_WORKERS": "1", **environment}
    patience = ("--drain-grace", "1s", "--store-timeout", "10s")
    command = [COMMAND, "serve", "--listen", "127.0.0.1:0", *patience, *flags]
    # A file takes any amount of log lines; a pipe that nobody reads would fill and block.
    with (
        tempfile.NamedTemporaryFile("ab") as log,
        subprocess.Popen(command, stdout=log, env=os.environ | environment) as process,
    ):
        try:
            yield process, _address(process, Path(log.name)), Path(log.name)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"server.started"' in line and line.endswith("}"):
                return str(json.loads(line)["address"])
        time.sleep(0.01)
    raise AssertionError("the server did not start")


@pytest.fixture(name="go_tools", scope="session")
def go_tools_fixture() -> Path:
    """Return the folder of grpcurl, grpcui and ghz, built by the Go toolchain where they are not.

    Their versions are those of the module in `clients/go/tools`.
    """
    folder = ROOT / ".tools" / "bin"
    if not all((folder / tool).is_file() for tool in ("grpcurl", "grpcui", "ghz")):
        if shutil.which("go") is None:
            pytest.skip("grpcurl is not there, and no Go toolchain to build it with")
        subprocess.run(
            ["go", "install", "tool"],
            cwd=ROOT / "clients" / "go" / "tools",
            env=os.environ | {"GOBIN": str(folder)},
            check=True,
            timeout=900,
        )
    return folder


@pytest.fixture(name="grpcurl", scope="session")
def grpcurl_fixture(go_tools: Path) -> Path:
    """Return grpcurl."""
    return go_tools / "grpcurl"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Where nothing may be skipped, make a failure of what would be."""
    report = yield
    if report.skipped and os.environ.get("CONTEXTBRIDGE_NO_SKIPS"):
        report.outcome = "failed"
    return report
