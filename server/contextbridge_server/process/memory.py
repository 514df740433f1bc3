"""Gives memory back to the system once a burst of calls is over.

Cycles wait for a collection, which counts objects made and not memory held, and the C library keeps
what was freed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..upstream.http1 import KEPT_SECONDS
from .allocator import give_back

LOOK_SECONDS = 2.0
BURST = 100
"""Calls open at once that are worth tidying up after."""
QUIET_SHARE = 0.1
"""Of a burst's calls; that few left, and it is over."""


@asynccontextmanager
async def giving_back(count_open: Callable[[], int]) -> AsyncIterator[None]:
    """Give memory back after each burst of calls, until the context is left.

    Args:
        count_open: Tells how many calls are open.
    """
    task = asyncio.create_task(_look(count_open))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _look(count_open: Callable[[], int]) -> None:
    most = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = count_open()
        most = max(most, now)
        if most >= BURST and now <= most * QUIET_SHARE:
            most = now
            give_back()
            # Idle connections to upstream are kept for longer than the calls.
            await asyncio.sleep(2 * KEPT_SECONDS + LOOK_SECONDS)
            give_back()
