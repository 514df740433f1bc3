"""Waiting: for another holder, and for a store that is away for a moment."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from contextbridge import v1 as pb

from ..errors import BridgeError

Result = TypeVar("Result")

FIRST_WAIT = timedelta(milliseconds=5)
LONGEST_WAIT = timedelta(milliseconds=100)
PATIENCE = timedelta(seconds=15)
"""How long what must not be lost is tried to be written: the time that a store needs to restart."""
BRIEFLY = timedelta(seconds=1)
"""How long what lapses by itself is tried to be given up: a store that restarts shall not keep
others waiting until then."""


async def backoff() -> AsyncIterator[None]:
    """Yield at once, and then again and again, with growing pauses."""
    pause = FIRST_WAIT.total_seconds()
    while True:
        yield
        # Spreads those who wait; it guards nothing.
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - as above
        pause = min(pause * 2, LONGEST_WAIT.total_seconds())


async def retry_with_backoff(
    write: Callable[[], Awaitable[Result]], patience: timedelta = PATIENCE
) -> Result:
    """Repeat a write while the store is away, for what upstream was paid for already.

    The write must bear to be done twice: what was sent before the store went away may be done.

    Raises:
        BridgeError: STORE_UNAVAILABLE, after a long while; STORE_FULL.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + patience.total_seconds()
    async for _ in backoff():
        try:
            return await write()
        except BridgeError as error:
            is_away = error.reason == pb.ERROR_REASON_STORE_UNAVAILABLE
            if not is_away or loop.time() >= give_up:
                raise
    raise AssertionError("backoff never ends")
