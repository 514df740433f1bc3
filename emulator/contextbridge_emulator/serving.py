"""Run an emulator inside a program, on a socket."""

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
    """A running emulator: its URL, its recorded requests, and its state."""

    def __init__(self, url: str, state: State, observations: Observations) -> None:
        self.url = url
        """Address without a trailing slash, such as `http://127.0.0.1:8080`."""
        self._state = state
        self._observations = observations

    @property
    def requests(self) -> deque[Record]:
        """Recorded requests, oldest first; the oldest are dropped at the limit."""
        return self._observations.records

    @property
    def open_requests(self) -> int:
        """Number of requests being served."""
        return self._observations.open_requests

    async def wait_for_open(self, count: int, timeout_seconds: float = 5.0) -> None:
        """Wait until at least `count` requests are open, or none for 0; raise TimeoutError."""
        await self.wait_until(
            lambda: self.open_requests >= count if count else not self.open_requests,
            timeout_seconds,
        )

    async def wait_until(self, true: Callable[[], bool], timeout_seconds: float = 5.0) -> None:
        """Wait until a condition on the requests holds; raise TimeoutError after a timeout."""
        await self._observations.wait_until(true, timeout_seconds)

    def expire(
        self,
        entry_id: str | None = None,
        *,
        key: str | None = None,
        dialect: GoneDialect | None = None,
    ) -> int:
        """Expire one context or cache now, or all; return the number of expired entries."""
        return self._state.expire(entry_id, key, dialect)

    def reset(self) -> None:
        """Delete all state and all recorded requests."""
        self._state.clear()
        self._observations.clear()

    def state(self) -> dict[str, Any]:
        """Return the number of contexts, caches and files."""
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
    """Serve until the block ends; port 0 selects a free port."""
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
    """Return whether an address is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
