"""Sessions: one call at a time, on whatever replica; the others wait for their turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from weakref import WeakValueDictionary

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..store.backoff import backoff
from ..store.leases import Leases
from .records import ContextKey, not_found


class Sessions:
    """The turns of sessions.

    Args:
        leases: Keep other replicas from a session.
        wait: Longest wait for a turn; the caller's deadline bounds it too.
    """

    def __init__(self, leases: Leases, wait: timedelta) -> None:
        self._leases = leases
        self._wait = wait
        # Those who wait in this process stand in line; only the first asks the store.
        self._lines: WeakValueDictionary[ContextKey, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: ContextKey) -> AsyncIterator[int]:
        """Wait for a session's turn and keep it; yield its fencing token.

        Raises:
            BridgeError: CONTEXT_BUSY after a long wait; CONTEXT_NOT_FOUND; STORE_UNAVAILABLE.
        """
        line = self._lines.setdefault(key, asyncio.Lock())
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._wait.total_seconds()):
                    await stack.enter_async_context(line)
                    token = await self._acquired(key)
            except TimeoutError as error:
                raise busy() from error
            await stack.enter_async_context(self._leases.kept(key.turn_lease, token))
            yield token

    async def _acquired(self, key: ContextKey) -> int:
        async for _ in backoff():
            token = await self._leases.acquire(key.turn_lease)
            if token is None:
                raise not_found(key.id)
            if token:
                return token
        raise AssertionError("backoff never ends")


def busy() -> BridgeError:
    """Return the error for a session that another call holds."""
    return BridgeError(pb.ERROR_REASON_CONTEXT_BUSY, "Another call holds the session.")
