"""Running an emulator inside a program, on a real socket."""

import ipaddress
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from .app import make_app
from .config import Config
from .observation import Observations, Record
from .state import GoneDialect, State

_SHUTDOWN_SECONDS = 0.2


class Emulator:
    """A running emulator: where it is, what it saw, and what it should forget."""

    def __init__(self, url: str, state: State, observations: Observations) -> None:
        self.url = url
        """Address without a trailing slash, such as `http://127.0.0.1:8080`."""
        self._state = state
        self._observations = observations

    @property
    def requests(self) -> deque[Record]:
        """Requests seen, oldest first; the oldest are forgotten."""
        return self._observations.records

    @property
    def open_requests(self) -> int:
        """How many requests are being served right now."""
        return self._observations.open_requests

    async def wait_for_open(self, count: int, timeout_seconds: float = 5.0) -> None:
        """Wait until so many requests, or none for 0, are served; raise TimeoutError otherwise."""
        await self.wait_until(
            lambda: self.open_requests >= count if count else not self.open_requests,
            timeout_seconds,
        )

    async def wait_until(self, true: Callable[[], bool], timeout_seconds: float = 5.0) -> None:
        """Wait until something about the requests holds; raise TimeoutError otherwise."""
        await self._observations.wait_until(true, timeout_seconds)

    def expire(
        self,
        entry_id: str | None = None,
        *,
        key: str | None = None,
        dialect: GoneDialect | None = None,
    ) -> int:
        """End one context or cache now, or all; return how many ended."""
        return self._state.expire(entry_id, key, dialect)

    def reset(self) -> None:
        """Forget everything that was made and seen."""
        self._state.clear()
        self._observations.clear()

    def state(self) -> dict[str, Any]:
        """Return how many contexts, caches and files there are."""
        accounts = self._state.accounts.values()
        return {
            "contexts": sum(len(account.contexts) for account in accounts),
            "caches": sum(len(account.caches) for account in accounts),
            "files": sum(len(account.files) for account in accounts),
        }


@asynccontextmanager
async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    config: Config | None = None,
    insecure: bool = False,
) -> AsyncIterator[Emulator]:
    """Serve until the block ends; port 0 picks a free one."""
    if not insecure and not is_loopback(host):
        message = f"{host} is no loopback address; serving others needs --insecure"
        raise ValueError(message)
    config = config or Config()
    state = State(config.max_accounts, config.max_entries_per_account)
    observations = Observations(config.max_records, config.max_record_bytes)
    runner = web.AppRunner(
        make_app(config, state, observations),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port = runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield Emulator(f"http://{shown}:{bound_port}", state, observations)
    finally:
        await runner.cleanup()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
