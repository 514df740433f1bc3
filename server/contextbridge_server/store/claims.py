"""Claims: one makes a thing, all who asked for the same get it, on whatever replica."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from contextbridge import v1 as pb

from ..background_tasks import background
from ..errors import BridgeError
from .backoff import BRIEFLY, backoff, retry_with_backoff
from .interface import WITHOUT_ROOM, Script, Store
from .leases import LIFE, RENEWALS_PER_LIFE

CLAIM = Script("""
local state = redis.call('HMGET', KEYS[1], 'digest', 'answer')
if not state[1] then
  redis.call('HSET', KEYS[1], 'v', 1, 'digest', ARGV[1], 'maker', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'MINE'}
end
if state[1] ~= ARGV[1] then return {'OTHER'} end
if state[2] then return {'DONE', state[2]} end
return {'RUNNING'}
""")
"""KEYS: claim. ARGV: digest of what is asked, maker, life."""

RENEW = Script(
    WITHOUT_ROOM
    + """
if redis.call('HGET', KEYS[1], 'maker') == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""
)
"""KEYS: claim. ARGV: maker, life."""

FINISH = Script(
    WITHOUT_ROOM
    + """
local maker = redis.call('HGET', KEYS[1], 'maker')
if maker and maker ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', 1, 'digest', ARGV[2], 'maker', ARGV[1], 'answer', ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[4])
"""
)
"""KEYS: claim. ARGV: maker, digest, answer, life. A claim that lapsed and that nobody took is
finished all the same."""

ABANDON = Script(
    WITHOUT_ROOM
    + """
if redis.call('HGET', KEYS[1], 'maker') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)
"""KEYS: claim. ARGV: maker."""

FORGET = Script(
    WITHOUT_ROOM
    + """
if redis.call('HGET', KEYS[1], 'answer') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)
"""KEYS: claim. ARGV: answer."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was claimed.

    Attributes:
        answer: What was made.
        is_first: It was made for this claim, not found.
    """

    answer: bytes
    is_first: bool


class Claims:
    """Claims of a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def once(
        self, key: str, digest: str, life: timedelta, make: Callable[[], Awaitable[bytes]]
    ) -> Claimed:
        """Return what is made once for a key, waiting while another makes it.

        A failure is not kept: who makes it is told, and one of those who wait tries next.

        Args:
            key: What is claimed.
            digest: Tells different things apart that claim the same key.
            life: How long the answer is kept.
            make: Makes it.

        Raises:
            BridgeError: IDEMPOTENCY_KEY_REUSED where the key is claimed for something else;
                STORE_UNAVAILABLE; or what `make` raises.
        """
        maker = secrets.token_hex(8)
        async for _ in backoff():
            async with self._given_up_on_failure(key, maker):
                reply = await self._store.run(CLAIM, (key,), digest, maker, _ms(LIFE))
                if reply == [b"MINE"]:
                    async with background(self._renew(key, maker)):
                        made = await make()
                        finish = partial(
                            self._store.run, FINISH, (key,), maker, digest, made, _ms(life)
                        )
                        await retry_with_backoff(finish)
                    return Claimed(made, is_first=True)
            match reply:
                case [b"DONE", answer]:
                    return Claimed(answer, is_first=False)
                case [b"OTHER"]:
                    raise BridgeError(
                        pb.ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
                        "The idempotency_key came with another request before.",
                    )
        raise AssertionError("backoff never ends")

    async def prolong(self, key: str, life: timedelta) -> None:
        """Keep an answer that was of use for longer."""
        await self._store.execute("PEXPIRE", key, _ms(life), "GT")

    async def forget(self, key: str, answer: bytes) -> None:
        """Give up an answer that is of no use any more, unless there is a newer one."""
        await self._store.run(FORGET, (key,), answer)

    @asynccontextmanager
    async def _given_up_on_failure(self, key: str, maker: str) -> AsyncIterator[None]:
        """Give up a claim, or what may have become one, where its answer is not made."""
        try:
            yield
        except BaseException:
            await self._abandon(key, maker)
            raise

    async def _renew(self, key: str, maker: str) -> None:
        while True:
            await asyncio.sleep(LIFE.total_seconds() / RENEWALS_PER_LIFE)
            try:
                await self._store.run(RENEW, (key,), maker, _ms(LIFE))
            except BridgeError:
                # The store is away; nobody else can claim either.
                continue

    async def _abandon(self, key: str, maker: str) -> None:
        try:
            await retry_with_backoff(lambda: self._store.run(ABANDON, (key,), maker), BRIEFLY)
        except BridgeError:
            # It lapses by itself.
            return


def _ms(life: timedelta) -> int:
    return max(round(life.total_seconds() * 1000), 1)
