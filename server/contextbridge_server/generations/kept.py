"""What is kept of each tenant's generations: listed, bounded, and found again to be deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..store.keys import kept_key
from ..store.port import WITHOUT_ROOM, Script, Store
from .stored_journals import Ending, GenerationId, Home, StoredJournals

EVICTED_AT_ONCE = 100
CACHED, RESUMABLE = "cached", "resumable"
"""The lists: answers that the response cache serves, and those that only a request id names."""

LISTING = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local order, sizes = KEYS[1], KEYS[2]
local function forget(member)
  redis.call('ZREM', order, member)
  local bytes = redis.call('HGET', sizes, member)
  if not bytes then return end
  redis.call('HDEL', sizes, member)
  redis.call('HINCRBY', sizes, '', -bytes)
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', now, 'LIMIT', 0, 1000)) do
  forget(member)
end
"""
"""KEYS: order, sizes. Members of the order score when they lapse; the field '' sums the sizes."""

ADD = Script(
    LISTING
    + """
local member, bytes, life, most, most_bytes = unpack(ARGV, 1, 5)
forget(member)
redis.call('ZADD', order, now + life, member)
redis.call('HSET', sizes, member, bytes)
redis.call('HINCRBY', sizes, '', bytes)
for place = 3, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[place], '-inf', now)
  redis.call('ZADD', KEYS[place], now + life, member)
  redis.call('PEXPIRE', KEYS[place], life, 'NX')
  redis.call('PEXPIRE', KEYS[place], life, 'GT')
end
local evicted = {}
while #evicted < 100 and (redis.call('ZCARD', order) > tonumber(most)
    or tonumber(redis.call('HGET', sizes, '')) > tonumber(most_bytes)) do
  local first = redis.call('ZRANGE', order, 0, 0)[1]
  forget(first)
  table.insert(evicted, first)
end
return evicted
"""
)
"""KEYS: and tags. ARGV: member, its bytes, its life, most members, most bytes. The members that had
to go: those that would have lapsed first."""

FORGET = Script(
    WITHOUT_ROOM
    + LISTING
    + """
for _, member in ipairs(ARGV) do
  forget(member)
  for place = 3, #KEYS do redis.call('ZREM', KEYS[place], member) end
end
return {redis.call('ZCARD', order), redis.call('HGET', sizes, '')}
"""
)
"""KEYS: and tags. ARGV: members. How many there are, and the sum of their sizes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most that is kept of one tenant's, in each list.

    Attributes:
        count: Generations.
        bytes: Their events.
    """

    count: int
    bytes: int


class KeptGenerations:
    """The lists of all tenants; every method raises STORE_UNAVAILABLE.

    Args:
        store: Where they are.
        stored: The journals that they list.
        bounds: Most that is kept.
    """

    def __init__(self, store: Store, stored: StoredJournals, bounds: Bounds) -> None:
        self._store = store
        self._stored = stored
        self._bounds = bounds

    async def add(self, id_: GenerationId, ending: Ending, tags: Sequence[str]) -> None:
        """List a generation that is about to be kept; drop what is too much then."""
        name = CACHED if ending.cached_for else RESUMABLE
        life = ending.cached_for or self._stored.retention
        evicted = await self._store.run(
            ADD,
            self._keys(id_.home.tenant, name, tags),
            *(_member(id_), sum(map(len, ending.events)), round(life.total_seconds() * 1000)),
            *(self._bounds.count, self._bounds.bytes),
        )
        for member in evicted:
            await self._stored.drop(_id_of(id_.home.tenant, member))

    async def forget(self, id_: GenerationId) -> None:
        """Take a generation out of the list of what is cached."""
        await self._store.run(FORGET, self._keys(id_.home.tenant, CACHED), _member(id_))

    async def delete(self, tenant: str, tag: str | None) -> int:
        """Delete what is cached and has a tag, or all of it; return how many there were."""
        order, *_ = self._keys(tenant, CACHED)
        key = order if tag is None else kept_key(tenant, f"tag:{tag}")
        members = await self._store.execute("ZRANGE", key, 0, -1)
        count = 0
        for member in members:
            count += await self._stored.drop(_id_of(tenant, member))
        if members:
            keys = self._keys(tenant, CACHED, () if tag is None else (tag,))
            await self._store.run(FORGET, keys, *members)
        return count

    async def size(self, tenant: str) -> tuple[int, int]:
        """Return how many answers are cached, and their bytes."""
        count, bytes_ = await self._store.run(FORGET, self._keys(tenant, CACHED))
        return count, int(bytes_ or 0)

    def _keys(self, tenant: str, name: str, tags: Sequence[str] = ()) -> list[str]:
        parts = (f"{name}:order", f"{name}:sizes", *(f"tag:{tag}" for tag in tags))
        return [kept_key(tenant, part) for part in parts]


def _member(id_: GenerationId) -> str:
    return f"{id_.id} {id_.home.name}"


def _id_of(tenant: str, member: bytes) -> GenerationId:
    id_, _, home = member.decode().partition(" ")
    return GenerationId(Home(tenant, home), id_)
