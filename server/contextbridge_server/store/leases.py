"""Leases: one holder at a time among all replicas, and what a slow one wrote is refused.

A lease lapses unless it is renewed, so that a holder who died blocks nobody for long. Each new
holder gets a higher fencing token; what is written under a lease carries its token, and is refused
once a later holder has come (a holder that was paused cannot know that it is none any more).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from ..background_tasks import background
from ..errors import BridgeError
from .backoff import BRIEFLY, retry_with_backoff
from .interface import WITHOUT_ROOM, Script, Store

LIFE = timedelta(seconds=10)
"""How long a lease, or a claim, blocks others after its holder died."""
RENEWALS_PER_LIFE = 4

ACQUIRE = Script(
    WITHOUT_ROOM
    + """
if redis.call('EXISTS', KEYS[2]) == 0 then return -1 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local token = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return token
"""
)
"""KEYS: lease, record. ARGV: the record's field that counts tokens, life. The token; 0 where it is
held; -1 where there is no record."""

RENEW = Script(
    WITHOUT_ROOM
    + """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[2] then return redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if holder or redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)
"""KEYS: lease, record. ARGV: field, token, life. A lapsed lease that nobody took is taken again."""

RELEASE = Script(
    WITHOUT_ROOM
    + """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)
"""KEYS: lease. ARGV: token."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What is leased: keys of one slot.

    Attributes:
        key: Where the holder's token stands.
        record_key: The hash that the lease is about.
        token_field: The field of that hash that holds the latest token.
    """

    key: str
    record_key: str
    token_field: str


class Leases:
    """Leases of a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def acquire(self, lease: Lease) -> int | None:
        """Take a lease if it is free: its fencing token; 0 where it is held, None without record.

        Raises:
            BridgeError: STORE_UNAVAILABLE.
        """
        keys = (lease.key, lease.record_key)
        run = self._store.run(ACQUIRE, keys, lease.token_field, _life_ms())
        acquiring = asyncio.create_task(run)
        try:
            token = int(await asyncio.shield(acquiring))
        except asyncio.CancelledError:
            # Who leaves now may have it all the same, and nobody else would release it.
            with suppress(BridgeError):
                await self._release(lease, int(await acquiring))
            raise
        return None if token < 0 else token

    @asynccontextmanager
    async def kept(self, lease: Lease, token: int) -> AsyncIterator[None]:
        """Keep an acquired lease from lapsing; release it on leaving."""
        try:
            async with background(self._renew(lease, token)):
                yield
        finally:
            try:
                await self._release(lease, token)
            except asyncio.CancelledError:
                # Who leaves just now would leave the lease behind.
                await self._release(lease, token)
                raise

    async def _renew(self, lease: Lease, token: int) -> None:
        keys = (lease.key, lease.record_key)
        while True:
            await asyncio.sleep(LIFE.total_seconds() / RENEWALS_PER_LIFE)
            try:
                await self._store.run(RENEW, keys, lease.token_field, token, _life_ms())
            except BridgeError:
                # The store is away; the lease is taken up again when it is back.
                continue

    async def _release(self, lease: Lease, token: int) -> None:
        try:
            await retry_with_backoff(lambda: self._store.run(RELEASE, (lease.key,), token), BRIEFLY)
        except BridgeError:
            # It lapses by itself.
            return


def _life_ms() -> int:
    return round(LIFE.total_seconds() * 1000)
