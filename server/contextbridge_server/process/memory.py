"""The process's memory: one arena of the C library, given back to the system after a burst.

Cycles wait for a collection, which counts objects made and not memory held, and the C library keeps
what was freed. With `PYTHONMALLOC=malloc` the C library has all of Python's memory too and returns
it page by page, for a little of the speed (ADR 28).
"""

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ..background_tasks import background
from ..upstream.http1 import KEPT_SECONDS

M_ARENA_MAX = -8
"""A parameter of glibc's mallopt()."""
LOOK_SECONDS = 2.0
BURST = 100
"""The fewest open calls that count as a burst."""
QUIET_SHARE = 0.1
"""The share of a burst's calls at which it is over."""


def keep_one_arena() -> None:
    """Let all threads share one arena of the C library's, where each would keep its own.

    gRPC has a dozen threads, and what one of them frees, no other can use. A thread that has an
    arena already keeps it, so call this before any is started.
    """
    option = getattr(_c_library(), "mallopt", None)
    if option is not None:
        option(M_ARENA_MAX, 1)


def give_back() -> None:
    """Collect garbage and return free memory to the system; takes some tens of milliseconds."""
    gc.collect()
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@asynccontextmanager
async def giving_back(count_open: Callable[[], int]) -> AsyncIterator[None]:
    """Give memory back after each burst of calls, until the context is left.

    Args:
        count_open: Returns how many calls are open.
    """
    async with background(_give_back_after_bursts(count_open)):
        yield


async def _give_back_after_bursts(count_open: Callable[[], int]) -> None:
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


def _c_library() -> Any:
    return ctypes.CDLL(None)
