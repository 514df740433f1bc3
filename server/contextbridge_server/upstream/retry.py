"""Repeats requests that upstream cannot have charged for, inside the deadline and a budget."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..request_context import RequestContext
from ..telemetry import names
from .interface import Batch, Upstream, UpstreamAnswer, UpstreamRequest

Result = TypeVar("Result")

NOT_SENT = {
    pb.ERROR_REASON_UPSTREAM_CONNECT_FAILED,
    pb.ERROR_REASON_UPSTREAM_CONNECT_TIMEOUT,
}
"""Failures before upstream had the request."""

TURNED_AWAY = {
    (429, pb.ERROR_REASON_UPSTREAM_RATE_LIMITED),
    (429, pb.ERROR_REASON_UPSTREAM_OVERLOADED),
    (503, pb.ERROR_REASON_UPSTREAM_UNAVAILABLE),
    (503, pb.ERROR_REASON_UPSTREAM_OVERLOADED),
}
"""HTTP answers by which upstream refuses to begin; 500, 502 and 504 may have been charged for."""

MAX_DOUBLINGS = 32
"""Past it every delay is the longest, and numbers would grow out of range."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is repeated.

    Attributes:
        max_attempts: Attempts in all, the first included; 1 never repeats.
        base_delay: The longest wait before the first repetition; doubles with each one.
        max_delay: The longest wait; where upstream asks for more, its failure is passed on.
    """

    max_attempts: int = 3
    base_delay: timedelta = timedelta(milliseconds=100)
    max_delay: timedelta = timedelta(seconds=5)


class RetryBudget:
    """Bounds repetitions to a share of requests, so that they never multiply an outage.

    Args:
        ratio: Repetitions earned by each request, such as 0.2 for one in five.
        reserve: Repetitions that may be saved up, and that a fresh process starts with.
    """

    def __init__(self, ratio: float = 0.2, reserve: float = 20.0) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._saved = reserve

    def earn(self) -> None:
        """Count a request."""
        self._saved = min(self._saved + self._ratio, self._reserve)

    def spend(self) -> bool:
        """Take one repetition; False where none is left."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class RetryingUpstream:
    """An Upstream whose requests are repeated while nothing can have been charged.

    Args:
        upstream: The upstream that is asked.
        policy: How often and how patiently.
        budget: What all requests together may spend on repetitions.
    """

    def __init__(self, upstream: Upstream, policy: RetryPolicy, budget: RetryBudget) -> None:
        self._upstream = upstream
        self._policy = policy
        self._budget = budget

    async def send(self, request: UpstreamRequest, ctx: RequestContext) -> UpstreamAnswer:
        """Send a request and return the whole answer; failures are BridgeErrors."""
        return await self._repeat(lambda: self._upstream.send(request, ctx), ctx)

    @asynccontextmanager
    async def stream(
        self, request: UpstreamRequest, ctx: RequestContext
    ) -> AsyncIterator[AsyncIterator[Batch]]:
        """Send a request and iterate over its chunks; only its beginning is repeated."""
        async with AsyncExitStack() as stack:
            yield await self._repeat(
                lambda: stack.enter_async_context(self._upstream.stream(request, ctx)), ctx
            )

    async def _repeat(
        self, attempt: Callable[[], Awaitable[Result]], ctx: RequestContext
    ) -> Result:
        self._budget.earn()
        for number in range(1, self._policy.max_attempts):
            try:
                return await attempt()
            except BridgeError as error:
                delay = self._delay(error, number)
                if delay is None or not _fits(delay, ctx) or not self._budget.spend():
                    raise
                log.info(
                    names.UPSTREAM_RETRY,
                    attempt=number,
                    delay_ms=round(delay.total_seconds() * 1000),
                    reason=pb.ErrorReason.Name(error.reason),
                    request_id=ctx.request_id,
                )
            await asyncio.sleep(delay.total_seconds())
        return await attempt()

    def _delay(self, error: BridgeError, number: int) -> timedelta | None:
        """Return how long to wait before repeating, or None where that is not safe or not wise."""
        if not may_repeat(error):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._policy.max_delay else None
        doubled = self._policy.base_delay.total_seconds() * 2 ** min(number - 1, MAX_DOUBLINGS)
        longest = min(doubled, self._policy.max_delay.total_seconds())
        # Spreads callers; it guards nothing.
        return timedelta(seconds=longest * random.uniform(0.5, 1))  # noqa: S311 - as above


def may_repeat(error: BridgeError) -> bool:
    """Tell whether upstream cannot have charged for the request that failed."""
    return error.reason in NOT_SENT or (error.http_status, error.reason) in TURNED_AWAY


def _fits(delay: timedelta, ctx: RequestContext) -> bool:
    if ctx.deadline is None:
        return True
    return asyncio.get_running_loop().time() + delay.total_seconds() < ctx.deadline
