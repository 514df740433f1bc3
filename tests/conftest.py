"""Fixtures that every kind of test uses: the emulator, the bridge, and channels to it."""

import json
import os
import shutil
import subprocess
import sys
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
import pytest

import gateway_emulator
from contextbridge_server.app import running_server
from contextbridge_server.settings import Settings

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).parent / "contextbridge")
GRPCURL_VERSION = "v1.9.4"

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
        **settings,
    }
    async with running_server(Settings(**given)) as server:
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            yield channel


@pytest.fixture(name="bridge", scope="session")
def bridge_fixture() -> Bridge:
    """Return what runs a bridge: `async with bridge(upstream_url, **settings) as channel`."""
    return _bridge


@pytest.fixture(name="emulator")
async def emulator_fixture() -> AsyncIterator[Any]:
    """Run the emulator, in this process, for one test."""
    async with gateway_emulator.serve() as emulator:
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


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """Run `contextbridge serve` on a free port; yield its address; stop it by SIGTERM."""
    command = [COMMAND, "serve", "--listen", "127.0.0.1:0", "--drain-grace", "1s", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _address(process: "subprocess.Popen[str]") -> str:
    for line in process.stdout or ():
        event = json.loads(line)
        if event["event"] == "server.started":
            return str(event["address"])
    raise AssertionError("the server did not start")


@pytest.fixture(name="grpcurl", scope="session")
def grpcurl_fixture() -> Path:
    """Return grpcurl, built by the Go toolchain where it is not there yet."""
    binary = ROOT / ".tools" / GRPCURL_VERSION / "grpcurl"
    if not binary.is_file():
        if shutil.which("go") is None:
            pytest.skip("grpcurl is not there, and no Go toolchain to build it with")
        package = f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{GRPCURL_VERSION}"
        environment = os.environ | {"GOBIN": str(binary.parent), "GOFLAGS": "-mod=mod"}
        subprocess.run(["go", "install", package], env=environment, check=True, timeout=600)
    return binary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Where nothing may be skipped, make a failure of what would be."""
    report = yield
    if report.skipped and os.environ.get("CONTEXTBRIDGE_NO_SKIPS"):
        report.outcome = "failed"
    return report
