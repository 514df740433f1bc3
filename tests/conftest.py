"""Fixtures that every kind of test uses: the emulator, the bridge, and channels to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import gateway_emulator
import grpc
import pytest

from contextbridge_server.app import running_server
from contextbridge_server.settings import Settings

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
