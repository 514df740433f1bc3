"""What is kept of each tenant's generations: listed, bounded, and found again to be deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..store.interface import WITHOUT_ROOM, Script, Store
from ..store.keys import retention_key
from .stored_journals import Ending, GenerationId, LookupKey, StoredJournals

CACHED, RESUMABLE = "cached", "resumable"
"""The lists: answers that the response cache serves, and those that only a request id names."""

LISTING = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local order, sizes, tags, prefix = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local function forget(member)
  redis.call('ZREM', order, member)
  local bytes = redis.call('HGET', sizes, member)
  if not bytes then return end
  redis.call('HDEL', sizes, member)
  redis.call('HINCRBY', sizes, '', -bytes)
  for tag in string.gmatch(redis.call('HGET', tags, member) or '', '%S+') do
    redis.call('ZREM', prefix .. tag, member)
  end
  redis.call('HDEL', tags, member)
end
if redis.call('EXISTS', order) == 0 then redis.call('DEL', sizes, tags) end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', now, 'LIMIT', 0, 1000)) do
  forget(member)
end
"""
"""KEYS: order, sizes, tags. ARGV: what the keys of tags begin with, which lie in the same slot.
Members of the order score when they lapse; the field '' sums the sizes."""

ADD = Script(
    LISTING
    + """
local member, bytes, life, most, most_bytes = unpack(ARGV, 2, 6)
forget(member)
redis.call('ZADD', order, now + life, member)
redis.call('HSET', sizes, member, bytes)
redis.call('HINCRBY', sizes, '', bytes)
redis.call('HSET', tags, member, table.concat({unpack(ARGV, 7)}, ' '))
local lists = {order, sizes, tags}
for place = 7, #ARGV do
  redis.call('ZADD', prefix .. ARGV[place], now + life, member)
  table.insert(lists, prefix .. ARGV[place])
end
for _, list in ipairs(lists) do
  redis.call('PEXPIRE', list, life, 'NX')
  redis.call('PEXPIRE', list, life, 'GT')
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
"""ARGV: and member, its bytes, its life, most members, most bytes, tags. The members that had to
go: those that would have lapsed first."""

FORGET = Script(
    WITHOUT_ROOM
    + LISTING
    + """
for place = 2, #ARGV do forget(ARGV[place]) end
return {redis.call('ZCARD', order), redis.call('HGET', sizes, '')}
"""
)
"""ARGV: and members. How many there are now, and the sum of their sizes."""


@dataclass(frozen=True, slots=True)
class RetentionBounds:
    """Most that is kept of one tenant's, in each list.

    Attributes:
        count: Generations.
        bytes: Their events.
    """

    count: int
    bytes: int


class RetentionIndex:
    """The lists of all tenants; every method raises STORE_UNAVAILABLE.

    Args:
        store: Where they are.
        stored: The journals that they list.
        bounds: Most that is kept.
    """

    def __init__(self, store: Store, stored: StoredJournals, bounds: RetentionBounds) -> None:
        self._store = store
        self._stored = stored
        self._bounds = bounds

    async def add(self, id_: GenerationId, ending: Ending, tags: Sequence[str]) -> bool:
        """List a generation that is about to be kept; drop what is too much then.

        Returns:
            False where it is too much itself: it is larger than all that may be kept, or would
            lapse before the rest.
        """
        name = CACHED if ending.cached_for else RESUMABLE
        life = ending.cached_for or self._stored.retention
        evicted = await self._store.run(
            ADD,
            _keys(id_.lookup_key.tenant, name),
            *(_tag_key(id_.lookup_key.tenant, ""), _member(id_), sum(map(len, ending.events))),
            *(round(life.total_seconds() * 1000), self._bounds.count, self._bounds.bytes),
            *tags,
        )
        own = _member(id_).encode()
        for member in evicted:
            if member != own:
                await self._stored.drop(_id_of(id_.lookup_key.tenant, member))
        return own not in evicted

    async def forget(self, id_: GenerationId) -> None:
        """Take a generation out of the list of what is cached."""
        await self._forget(id_.lookup_key.tenant, [_member(id_)])

    async def delete(self, tenant: str, tag: str | None) -> int:
        """Delete what is cached and has a tag, or all of it; return how many there were."""
        key = _keys(tenant, CACHED)[0] if tag is None else _tag_key(tenant, tag)
        # What has lapsed goes first, and does not count.
        await self._forget(tenant, ())
        members = await self._store.execute("ZRANGE", key, 0, -1)
        count = 0
        for member in members:
            count += await self._stored.drop(_id_of(tenant, member))
        await self._forget(tenant, members)
        return count

    async def size(self, tenant: str) -> tuple[int, int]:
        """Return how many answers are cached, and the bytes of their events."""
        return await self._forget(tenant, ())

    async def _forget(self, tenant: str, members: Sequence[str | bytes]) -> tuple[int, int]:
        keys = _keys(tenant, CACHED)
        count, bytes_ = await self._store.run(FORGET, keys, _tag_key(tenant, ""), *members)
        return count, int(bytes_ or 0)


def _keys(tenant: str, name: str) -> list[str]:
    return [retention_key(tenant, f"{name}:{part}") for part in ("order", "sizes", "tags")]


def _tag_key(tenant: str, tag: str) -> str:
    return retention_key(tenant, f"tag:{tag}")


def _member(id_: GenerationId) -> str:
    return f"{id_.id} {id_.lookup_key.name}"


def _id_of(tenant: str, member: bytes) -> GenerationId:
    id_, _, lookup_key = member.decode().partition(" ")
    return GenerationId(LookupKey(tenant, lookup_key), id_)
