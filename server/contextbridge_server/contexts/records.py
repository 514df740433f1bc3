"""Contexts in the store: each change is one step, which a later holder's change cannot undo.

Of a context there are, in one slot: `record`, a hash of what it is and what happened to it;
`content`, what it was made from, sealed; `turns`, a session's turns, sealed; and two leases,
`restore` and `turn`. A tenant's `contexts` lists the ids, whose order is that of their making.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import msgspec

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..request_context import RequestContext
from ..store.interface import WITHOUT_ROOM, Argument, Script, Store
from ..store.keys import context_key, contexts_key
from ..store.leases import Lease
from ..store.near_cache import NearCache
from ..store.vault import Vault
from ..translate.json_values import Json
from .record import Binding, ContextRecord, milliseconds, moment_of
from .statistics import Counters

VERSION = 1
MAX_RECENT = 10_000
"""Contexts that are remembered for a moment."""
SAMPLE = 4
"""Entries of a tenant's list that each new one looks at, to take out those that are gone: more than
one each, so that the list cannot grow with what is dead."""

KEEP = """
local function keep(account, now, otherwise)
  local used, retention, expires =
    unpack(redis.call('HMGET', KEYS[1], 'used', 'retention', 'expires:' .. account))
  local ends = tonumber(retention ~= '' and used + retention or expires or '')
  local life = ends and math.max(ends - now, 1000) or otherwise
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, life) end
end
"""
"""Begins scripts that keep a context's keys as long as its record says now, which another call may
have changed since this one read it: for its retention, or as long as its binding; `otherwise` is
for a binding whose end upstream did not say."""

ADD = Script("""
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1]) end
return 1
""")
"""KEYS: record, content. ARGV: life, content, fields and values."""

BIND = Script(
    WITHOUT_ROOM
    + """
local fence = redis.call('HGET', KEYS[1], 'restore_token')
if not fence then return -1 end
if fence ~= ARGV[1] then return 0 end
local id = 'upstream_id:' .. ARGV[2]
if redis.call('HGET', KEYS[1], id) == ARGV[3] then return 1 end
redis.call('HSET', KEYS[1], id, ARGV[3], 'made:' .. ARGV[2], ARGV[4],
  'expires:' .. ARGV[2], ARGV[5], 'tokens:' .. ARGV[2], ARGV[6], 'ttl:' .. ARGV[2], ARGV[8])
redis.call('HDEL', KEYS[1], 'uncacheable_until:' .. ARGV[2])
redis.call('HINCRBY', KEYS[1], 'held_token_ms', ARGV[7])
redis.call('HINCRBY', KEYS[1], 'creation_tokens', ARGV[6])
redis.call('HINCRBY', KEYS[1], 'restores', 1)
return 1
"""
)
"""KEYS: record. ARGV: fencing token, account, upstream id, made, expires, tokens,
token-milliseconds of the binding before, ttl. -1 where the context is gone, 0 where a later holder
came."""

REFUSE = Script(
    WITHOUT_ROOM
    + """
if redis.call('HGET', KEYS[1], 'restore_token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1],
  'uncacheable_until:' .. ARGV[2], ARGV[3], 'expires:' .. ARGV[2], ARGV[4])
return 1
"""
)
"""KEYS: record. ARGV: fencing token, account, until, now: the binding is gone, and upstream is not
asked for another until then."""

USE_TEXT = (
    KEEP
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[10] ~= '' then
  if redis.call('HGET', KEYS[1], 'turn_token') ~= ARGV[10] then return 0 end
  if redis.call('HGET', KEYS[1], 'turn_kept') == ARGV[10] then return 1 end
  redis.call('RPUSH', KEYS[3], ARGV[11])
  redis.call('HSET', KEYS[1], 'turn_kept', ARGV[10])
  local bytes = redis.call('HINCRBY', KEYS[1], 'turn_bytes', #ARGV[11])
  while bytes > tonumber(ARGV[12]) do
    local oldest = redis.call('LPOP', KEYS[3])
    if not oldest then break end
    bytes = redis.call('HINCRBY', KEYS[1], 'turn_bytes', -#oldest)
  end
  -- Other accounts' bindings, and those that are being made, do not know the turn.
  redis.call('HINCRBY', KEYS[1], 'restore_token', 1)
  local state = redis.call('HGETALL', KEYS[1])
  for place = 1, #state, 2 do
    local field, ends = state[place], tonumber(state[place + 1])
    local is_other = field:find('^expires:') and field ~= 'expires:' .. ARGV[1]
    if is_other and not (ends and ends < tonumber(ARGV[4])) then
      redis.call('HSET', KEYS[1], field, ARGV[4])
    end
  end
end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'upstream_id:' .. ARGV[1]) == ARGV[2] then
  -- Calls do not end in the order in which they began.
  local ends = tonumber(redis.call('HGET', KEYS[1], 'expires:' .. ARGV[1])) or 0
  redis.call('HSET', KEYS[1], 'expires:' .. ARGV[1], math.max(ends, ARGV[3]))
end
redis.call('HSET', KEYS[1], 'used', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'calls', 1)
for place, field in ipairs({'prompt_tokens', 'cached_tokens', 'completion_tokens', 'inlined'}) do
  if ARGV[5 + place] ~= '0' then redis.call('HINCRBY', KEYS[1], field, ARGV[5 + place]) end
end
keep(ARGV[1], ARGV[4], ARGV[5])
-- A connection is told of no more changes to a key that it has changed itself, until it reads it.
redis.call('HEXISTS', KEYS[1], 'used')
return 1
"""
)
USE, USE_WITH_TURN = Script(WITHOUT_ROOM + USE_TEXT), Script(USE_TEXT)
"""KEYS: record, content, turns. ARGV: account, upstream id, its expiry ('' leaves it), used, life,
four counts, the turn's fencing token ('' for no turn), the turn, most bytes of turns.
-1 where the context is gone, 0 where a later turn came."""

CHANGE = Script(
    WITHOUT_ROOM
    + KEEP
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local account = ARGV[3]
if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'upstream_id:' .. account) == ARGV[4] then
  redis.call('HSET', KEYS[1], 'expires:' .. account, ARGV[5])
end
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
keep(account, ARGV[1], ARGV[2])
return 1
"""
)
"""KEYS: record, content, turns. ARGV: now, life, account, upstream id, its new expiry ('' leaves
it), fields and values. -1 where the context is gone."""

TOUCH = Script(
    WITHOUT_ROOM
    + KEEP
    + """
local used = tonumber(redis.call('HGET', KEYS[1], 'used'))
if not used then return 0 end
if used < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'used', ARGV[2]) end
keep(ARGV[1], ARGV[2], ARGV[3])
return 1
"""
)
"""KEYS: record, content, turns. ARGV: account, now, life. 0 where the context is gone."""

DELETE = Script(
    WITHOUT_ROOM
    + """
local record = redis.call('HGETALL', KEYS[1])
redis.call('UNLINK', unpack(KEYS))
return record
"""
)
"""KEYS: record first, then all else of a context. What the record was: a binding that was made at
the last moment is in it."""

SPEND = Script(
    WITHOUT_ROOM
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local day = redis.call('HGET', KEYS[1], 'warm_day')
local spent = 0
if day == ARGV[1] then spent = tonumber(redis.call('HGET', KEYS[1], 'warm_token_ms') or 0) end
if spent + tonumber(ARGV[2]) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1],
  'warm_day', ARGV[1], 'warm_token_ms', string.format('%.0f', spent + ARGV[2]))
return 1
"""
)
"""KEYS: record. ARGV: day, what is to be spent, the most of a day. 0 where that is too much."""


@dataclass(frozen=True, slots=True)
class ContextKey:
    """Where a context is: whose it is, and whose upstream account its binding is in.

    Attributes:
        tenant: Whose it is.
        account: Tells callers' own upstream keys apart; empty for the server's.
        id: The context's id.
    """

    tenant: str
    account: str
    id: str

    @classmethod
    def of(cls, ctx: RequestContext, context_id: str) -> Self:
        """Return the key of a context of the caller's."""
        return cls(ctx.caller.tenant, ctx.account, context_id)

    def part(self, name: str) -> str:
        """Return the store's key of a part of the context."""
        return context_key(self.tenant, self.id, name)

    @property
    def restore_lease(self) -> Lease:
        """The lease of who makes its binding again."""
        return Lease(self.part("restore"), self.part("record"), "restore_token")

    @property
    def turn_lease(self) -> Lease:
        """The lease of the call that has a session's turn."""
        return Lease(self.part("turn"), self.part("record"), "turn_token")


@dataclass(frozen=True, slots=True)
class Turn:
    """A session's turn, to be kept.

    Attributes:
        token: The fencing token of its lease.
        messages: What was asked and answered, as the context surface has it.
    """

    token: int
    messages: Sequence[Json]


class ContextRecords:
    """The contexts of all tenants.

    Every method raises STORE_UNAVAILABLE where the store is away.

    Args:
        store: Where they are kept.
        vault: Seals what they were made from.
        max_turn_bytes: Most that is kept of a session's turns.
    """

    def __init__(self, store: Store, vault: Vault, max_turn_bytes: int) -> None:
        self._store = store
        self._vault = vault
        self._max_turn_bytes = max_turn_bytes
        self._recent: NearCache[ContextKey, ContextRecord] = NearCache(
            store.invalidations, MAX_RECENT
        )

    async def add(
        self, key: ContextKey, record: ContextRecord, content: bytes | None, now: datetime
    ) -> None:
        """Keep a new context; `content` is what it was made from, or None to keep nothing of it."""
        store_key = key.part("content")
        sealed = await self._vault.sealed(content, store_key) if content is not None else b""
        fields = _fields(key, record)
        await self._store.run(
            ADD, (key.part("record"), store_key), _ms(record.life(now)), sealed, *_flat(fields)
        )
        # Listed last: what is listed is there.
        await self._store.execute("ZADD", contexts_key(key.tenant), 0, key.id)

    async def load(self, key: ContextKey) -> ContextRecord | None:
        """Return a context, or None where there is none."""
        reply = await self._store.execute("HGETALL", key.part("record"))
        return _record(key, reply) if reply else None

    async def recent(self, key: ContextKey) -> ContextRecord | None:
        """Return a context as it was a moment ago at most, but for its uses by this process.

        A session's is always as it is now: its turns follow one another.
        """
        found = self._recent.get(key)
        if found is not None:
            return found
        mark = self._recent.mark()
        reply = await self._store.tracked.execute("HGETALL", key.part("record"))
        if not reply:
            return None
        record = _record(key, reply)
        if not record.is_session:
            self._recent.keep(key, record, mark, (key.part("record"),))
        return record

    async def page(
        self, tenant: str, account: str, before: str, count: int
    ) -> tuple[list[ContextRecord], str]:
        """Return contexts, the newest first, and the last id that was looked at.

        Args:
            tenant: Whose.
            account: Whose bindings are shown.
            before: Only those made before this id; empty for the newest.
            count: How many are looked at; the id is empty once there are no more.
        """
        start = f"({before}" if before else "+"
        store_key = contexts_key(tenant)
        found = await self._store.execute(
            "ZRANGE", store_key, start, "-", "BYLEX", "REV", "LIMIT", 0, count
        )
        keys = [ContextKey(tenant, account, member.decode()) for member in found]
        records = await self._load_each(keys)
        last = keys[-1].id if len(keys) == count else ""
        return [record for record in records if record is not None], last

    async def _load_each(self, keys: Sequence[ContextKey]) -> Sequence[ContextRecord | None]:
        replies = await self._store.execute_each([("HGETALL", key.part("record")) for key in keys])
        pairs = list(zip(keys, replies, strict=True))
        await self._unlist([key for key, reply in pairs if not reply])
        return [_record(key, reply) if reply else None for key, reply in pairs]

    async def make_room(self, tenant: str) -> None:
        """Make sure that a new context can be kept; take some that are gone out of the list."""
        await self._store.execute("SET", f"{contexts_key(tenant)}:room", "", "PX", 1)
        members = await self._store.execute("ZRANDMEMBER", contexts_key(tenant), SAMPLE)
        await self._load_each([ContextKey(tenant, "", member.decode()) for member in members])

    async def _unlist(self, keys: Sequence[ContextKey]) -> None:
        if keys:
            ids = [key.id for key in keys]
            await self._store.execute("ZREM", contexts_key(keys[0].tenant), *ids)

    async def content(self, key: ContextKey) -> Json | None:
        """Return the body that a context was created by; None where it is not kept.

        Raises:
            BridgeError: CONTENT_UNREADABLE.
        """
        store_key = key.part("content")
        sealed = await self._store.execute("GET", store_key)
        if sealed is None:
            return None
        body: Json = msgspec.json.decode(await self._vault.opened(sealed, store_key))
        return body

    async def turns(self, key: ContextKey) -> list[list[Json]]:
        """Return a session's turns, the oldest first, each its messages.

        Raises:
            BridgeError: CONTENT_UNREADABLE.
        """
        store_key = key.part("turns")
        sealed = await self._store.execute("LRANGE", store_key, 0, -1)
        return [msgspec.json.decode(await self._vault.opened(turn, store_key)) for turn in sealed]

    async def bind(
        self, key: ContextKey, token: int, binding: Binding, held_before: int
    ) -> bool | None:
        """Give a context a new binding.

        Args:
            key: The context.
            token: The fencing token of its restore lease.
            binding: The binding.
            held_before: Token-milliseconds that upstream held the binding before.

        Returns:
            False where a later holder of the lease came, None where the context is gone.
        """
        done = await self._store.run(
            BIND,
            (key.part("record"),),
            *(token, key.account, binding.upstream_id, milliseconds(binding.made)),
            *(_optional_ms(binding.expires), binding.token_count, held_before),
            _optional_ms(binding.ttl),
        )
        return None if done < 0 else bool(done)

    async def refuse(self, key: ContextKey, token: int, until: datetime, now: datetime) -> None:
        """Note that upstream would not make a binding, and is not asked again until then."""
        await self._store.run(
            REFUSE,
            (key.part("record"),),
            *(token, key.account, milliseconds(until), milliseconds(now)),
        )

    async def use(
        self,
        key: ContextKey,
        used: ContextRecord,
        usage: pb.Usage,
        now: datetime,
        *,
        inlined: bool,
        turn: Turn | None,
    ) -> bool | None:
        """Note that a call used a context, and keep a session's turn.

        Args:
            key: The context.
            used: The context as the call leaves it.
            usage: What the call cost.
            now: When it ended.
            inlined: The prefix went inline.
            turn: The turn that the session gained.

        Returns:
            False where a later turn came, None where the context is gone.
        """
        binding = used.binding if not inlined else None
        store_key = key.part("turns")
        sealed = (
            await self._vault.sealed(msgspec.json.encode(turn.messages), store_key) if turn else b""
        )
        # By the connection that recent ones were read by, which is not told of what it does itself.
        done = await self._store.tracked.run(
            USE_WITH_TURN if turn else USE,
            (key.part("record"), key.part("content"), store_key),
            *(key.account, binding.upstream_id if binding else ""),
            _optional_ms(binding.expires) if binding and not binding.is_cached_content else "",
            *(milliseconds(used.used), _ms(used.life(now))),
            *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, int(inlined)),
            *(turn.token if turn else "", sealed, self._max_turn_bytes),
        )
        known = self._recent.get(key)
        if known is not None:
            self._recent.replace(key, used.not_before(known))
        return None if done < 0 else bool(done)

    async def touch(self, key: ContextKey, record: ContextRecord, now: datetime) -> bool:
        """Begin a context's retention anew, and count nothing; False where it is gone."""
        done = await self._store.run(
            TOUCH,
            (key.part("record"), key.part("content"), key.part("turns")),
            *(key.account, milliseconds(now), _ms(record.life(now))),
        )
        return bool(done)

    async def change(
        self, key: ContextKey, known: ContextRecord, changed: ContextRecord, now: datetime
    ) -> bool:
        """Keep a context's changed name, lives and expiry; False where it is gone.

        Args:
            key: The context.
            known: The context as it was read: only what differs from it is written.
            changed: The context as it should be.
            now: When it was changed.
        """
        binding = changed.binding
        is_moved = binding is not None and binding != known.binding
        before = _changeable(known)
        fields = {k: v for k, v in _changeable(changed).items() if k == "updated" or v != before[k]}
        done = await self._store.run(
            CHANGE,
            (key.part("record"), key.part("content"), key.part("turns")),
            *(milliseconds(now), _ms(changed.life(now))),
            *(key.account, binding.upstream_id if binding else ""),
            _optional_ms(binding.expires) if binding and is_moved else "",
            *_flat(fields),
        )
        return bool(done > 0)

    async def spend(self, key: ContextKey, day: str, token_ms: int, most_token_ms: int) -> bool:
        """Take from a day's budget for keeping a context warm; False where too little is left."""
        keys = (key.part("record"),)
        return bool(await self._store.run(SPEND, keys, day, token_ms, most_token_ms))

    async def delete(self, key: ContextKey) -> ContextRecord | None:
        """Delete a context and all that was stored of it; return what it was, if it was there."""
        parts = ("record", "content", "turns", "restore", "turn")
        reply = await self._store.run(DELETE, [key.part(part) for part in parts])
        await self._unlist([key])
        return _record(key, reply) if reply else None


def not_found(context_id: str) -> BridgeError:
    """Return the error for a context that is not there: never made, gone, or another tenant's."""
    return BridgeError(
        pb.ERROR_REASON_CONTEXT_NOT_FOUND,
        "There is no such context.",
        metadata={"contextId": context_id},
    )


def _fields(key: ContextKey, record: ContextRecord) -> dict[str, Argument]:
    fields: dict[str, Argument] = {
        "v": VERSION,
        "context": record.context.SerializeToString(),
        "used": milliseconds(record.used),
        "creation_tokens": record.counters.creation_tokens,
        "restore_token": 0,
        "content_identity": record.content_identity,
        **_changeable(record),
    }
    if binding := record.binding:
        fields |= {
            f"upstream_id:{key.account}": binding.upstream_id,
            f"made:{key.account}": milliseconds(binding.made),
            f"expires:{key.account}": _optional_ms(binding.expires),
            f"tokens:{key.account}": binding.token_count,
            f"ttl:{key.account}": _optional_ms(binding.ttl),
        }
    return fields


def _changeable(record: ContextRecord) -> dict[str, Argument]:
    return {
        "display_name": record.display_name,
        "ttl": _optional_ms(record.ttl),
        "retention": _optional_ms(record.retention),
        "updated": milliseconds(record.updated),
    }


def _record(key: ContextKey, reply: Sequence[bytes]) -> ContextRecord:
    fields = dict(zip(reply[::2], reply[1::2], strict=True))

    def text(name: str) -> str:
        return fields.get(name.encode(), b"").decode()

    def number(name: str) -> int:
        return int(text(name) or 0)

    def lasting(name: str) -> timedelta | None:
        return timedelta(milliseconds=number(name)) if text(name) else None

    def moment(name: str) -> datetime | None:
        return moment_of(number(name)) if text(name) else None

    account = key.account
    binding = Binding(
        upstream_id=text(f"upstream_id:{account}"),
        made=moment_of(number(f"made:{account}")),
        expires=moment(f"expires:{account}"),
        token_count=number(f"tokens:{account}"),
        ttl=lasting(f"ttl:{account}"),
    )
    return ContextRecord(
        tenant=key.tenant,
        context=pb.Context.FromString(fields[b"context"]),
        display_name=text("display_name"),
        ttl=lasting("ttl"),
        retention=lasting("retention"),
        updated=moment_of(number("updated")),
        used=moment_of(number("used")),
        binding=binding if binding.upstream_id else None,
        uncacheable_until=moment(f"uncacheable_until:{account}"),
        turns_begun=number("turn_token"),
        counters=Counters(
            calls=number("calls"),
            prompt_tokens=number("prompt_tokens"),
            cached_tokens=number("cached_tokens"),
            completion_tokens=number("completion_tokens"),
            creation_tokens=number("creation_tokens"),
            restores=number("restores"),
            inlined=number("inlined"),
            held_token_ms=number("held_token_ms"),
        ),
        content_identity=text("content_identity"),
    )


def _flat(fields: Mapping[str, Argument]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]


def _ms(life: timedelta) -> int:
    return round(life.total_seconds() * 1000)


def _optional_ms(time: datetime | timedelta | None) -> Argument:
    if time is None:
        return ""
    return _ms(time) if isinstance(time, timedelta) else milliseconds(time)
