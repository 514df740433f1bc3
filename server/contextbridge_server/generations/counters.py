"""What the response cache has done, counted in the process and added to the store now and then.

So counting costs no call a round trip. What was not yet added is lost with its process.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from contextbridge import v1 as pb

from ..background_tasks import background
from ..errors import BridgeError
from ..store.interface import WITHOUT_ROOM, Script, Store
from ..store.keys import response_cache_key

EVERY = timedelta(seconds=1)

COUNTED = {
    pb.RESPONSE_CACHE_STATUS_HIT: "hit_count",
    pb.RESPONSE_CACHE_STATUS_MISS: "miss_count",
    pb.RESPONSE_CACHE_STATUS_JOINED: "joined_count",
    pb.RESPONSE_CACHE_STATUS_REFRESHED: "refreshed_count",
    pb.RESPONSE_CACHE_STATUS_BYPASSED: "bypassed_count",
}
"""Fields of ResponseCacheStatistics, by what happened to a call."""
START = "start_ms"

ADD = Script(
    WITHOUT_ROOM
    + """
local time = redis.call('TIME')
redis.call('HSETNX', KEYS[1], ARGV[1], time[1] * 1000 + math.floor(time[2] / 1000))
for place = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[place], ARGV[place + 1]) end
return 1
"""
)
"""KEYS: counters. ARGV: the field that says since when, fields, and what is added to each."""


class ResponseCacheCounters:
    """The counters of all tenants.

    Args:
        store: Where they are added up.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def count(self, tenant: str, status: pb.ResponseCacheStatus.ValueType, saved: pb.Usage) -> None:
        """Count a call.

        Args:
            tenant: Whose it is.
            status: What the response cache did; unspecified where it was not asked.
            saved: What the call did not pay for.
        """
        if status not in COUNTED:
            return
        tally = self._new[tenant]
        tally[COUNTED[status]] += 1
        tally["saved_prompt_tokens"] += saved.prompt_tokens
        tally["saved_completion_tokens"] += saved.completion_tokens

    def count_corrupt(self, tenant: str) -> None:
        """Count an entry that could not be read."""
        self._new[tenant]["corrupt_count"] += 1

    async def of(self, tenant: str) -> pb.ResponseCacheStatistics:
        """Return a tenant's counters, those of this process included.

        Raises:
            BridgeError: STORE_UNAVAILABLE.
        """
        await self._add(tenant)
        reply = await self._store.execute("HGETALL", response_cache_key(tenant))
        fields = {
            name.decode(): int(value) for name, value in zip(reply[::2], reply[1::2], strict=True)
        }
        start_ms = fields.pop(START, None)
        statistics = pb.ResponseCacheStatistics()
        for field in statistics.DESCRIPTOR.fields_by_name.keys() & fields.keys():
            setattr(statistics, field, fields[field])
        if start_ms is not None:
            start = datetime.fromtimestamp(start_ms / 1000, UTC)
            statistics.start_time.FromDatetime(start)
        return statistics

    @asynccontextmanager
    async def adding(self) -> AsyncIterator[None]:
        """Add what is counted to the store while the context is open, and at its end."""
        try:
            async with background(self._add_now_and_then()):
                yield
        finally:
            await self._add_all()

    async def _add_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            await self._add_all()

    async def _add_all(self) -> None:
        for tenant in list(self._new):
            # Where the store is away, it is added later.
            with suppress(BridgeError):
                await self._add(tenant)

    async def _add(self, tenant: str) -> None:
        new = self._new.pop(tenant, None)
        if new is None:
            return
        pairs = [part for field, count in new.items() if count for part in (field, count)]
        try:
            await self._store.run(ADD, (response_cache_key(tenant),), START, *pairs)
        except BaseException:
            self._new[tenant].update(new)
            raise
