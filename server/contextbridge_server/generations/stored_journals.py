"""Journals in the store, where every replica finds them.

A generation has a home, which finds it: a key of the response cache, or a request id. In one slot
with the home are, of each of its generations, by its id: `state`, a hash of what became of it;
`events`, a stream of batches of events, sealed, each under the sequence of its last event; and once
it has ended, instead of `events`, `whole`: all events, sealed as one. `alive` lapses when the
process that makes the generation has died, `readers` are the other processes that read it.
A home has a `current` generation, and a `next` one where what is complete is to be replaced; the
home of a request id has a `pointer` to the generation that the id names, which may be at another
home.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..errors import BridgeError
from ..store.keys import generation_prefix
from ..store.port import WITHOUT_ROOM, Script, Store
from ..store.vault import Vault
from .encoding import (
    decode_events,
    decode_failure,
    encode_events,
    encode_failure,
    unreadable,
)

VERSION = 1
ALIVE = timedelta(seconds=5)
"""How long a generation is taken for running after its process was last heard of."""
PRESENCE = timedelta(seconds=5)
"""How long a process is taken for a reader after it was last heard of."""
LINGER = timedelta(minutes=1)
"""How long a generation that is not kept stays, for those who are reading it."""
LONGEST = timedelta(hours=1)
"""A generation may run so long and still be found by its request id."""
BATCHES_AT_ONCE = 100

BEGINNING = """
local prefix, me = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key(id, part) return prefix .. id .. ':' .. part end
local function status_of(id)
  local status = redis.call('HGET', key(id, 'state'), 'status')
  if status == 'running' and redis.call('EXISTS', key(id, 'alive')) == 0 then
    status = 'abandoned'
    redis.call('HSET', key(id, 'state'), 'status', status, 'ended', now)
  end
  return status
end
local function is_mine(id)
  local owner = redis.call('HGET', key(id, 'state'), 'owner')
  return owner == me and redis.call('HGET', key(id, 'state'), 'status') == 'running'
end
local function is_named(id) return redis.call('HGET', key(id, 'state'), 'named') == '1' end
local function unfind(id)
  for _, name in ipairs(KEYS) do
    if redis.call('GET', name) == id then redis.call('DEL', name) end
  end
end
local function unlink(id)
  unfind(id)
  return redis.call('UNLINK', key(id, 'state'), key(id, 'events'), key(id, 'whole'),
    key(id, 'alive'), key(id, 'readers'))
end
"""
"""KEYS: current, next. ARGV: what the home's keys begin with, the process. Keys of a generation are
made in the script, since `current` names it; they lie in the slot of the KEYS."""

FINDING = """
local function describe(id)
  local status = status_of(id)
  if not status then return false end
  local state = redis.call('HMGET', key(id, 'state'),
    'owner', 'begun', 'ended', 'failure', 'saved')
  local whole = redis.call('GET', key(id, 'whole'))
  return {id, status, state[1], state[2], state[3], state[4], state[5], whole, now}
end
local function name(id, life)
  if redis.call('EXISTS', key(id, 'state')) == 0 then return end
  redis.call('HSET', key(id, 'state'), 'named', 1)
  for _, part in ipairs({'state', 'whole'}) do
    redis.call('PEXPIRE', key(id, part), life, 'GT')
  end
end
local function find(max_age)
  for _, place in ipairs(KEYS) do
    local id = redis.call('GET', place)
    local status = id and status_of(id)
    if status == 'running' then return id end
    if status == 'complete' then
      local ended = redis.call('HGET', key(id, 'state'), 'ended')
      if ended + max_age > now then return id end
    end
  end
  return false
end
"""

MAKING = """
local function begin(id, alive, life, named)
  redis.call('HSET', key(id, 'state'),
    'v', 1, 'status', 'running', 'owner', me, 'begun', now, 'saved', 0, 'named', named)
  redis.call('PEXPIRE', key(id, 'state'), life)
  redis.call('SET', key(id, 'alive'), '', 'PX', alive)
end
"""

FIND = Script(
    WITHOUT_ROOM
    + BEGINNING
    + FINDING
    + """
local found = find(ARGV[4])
if found and ARGV[5] ~= '' then name(found, ARGV[5]) end
return found and describe(found)
"""
)
"""ARGV: '', most age, least life of what a request id names ('' for no request id)."""

FIND_OR_BEGIN = Script(
    BEGINNING
    + FINDING
    + MAKING
    + """
local id, max_age, named_life, alive, life, refresh = unpack(ARGV, 3)
if refresh == '0' then
  local found = find(max_age)
  if found and named_life ~= '' then name(found, named_life) end
  if found then return describe(found) end
end
begin(id, alive, life, named_life == '' and 0 or 1)
local current = redis.call('GET', KEYS[1])
local place = KEYS[1]
-- What is there is served to others until the new one is complete.
if current and status_of(current) == 'complete' then place = KEYS[2] end
if refresh == '0' or not redis.call('GET', place) then redis.call('SET', place, id, 'PX', life) end
return {id}
"""
)
"""ARGV: a new id, most age, least life of what a request id names ('' for no request id), lives of
`alive` and of the rest, whether it is to be new. What is there, or the new id alone."""

START = Script(
    BEGINNING
    + MAKING
    + """
local id, alive, life, pointer_life, digest, home, outcome = unpack(ARGV, 3)
local pointer = redis.call('HMGET', KEYS[3], 'digest', 'home', 'id', 'outcome')
if pointer[1] then return pointer end
if alive ~= '' then begin(id, alive, life, 1) end
redis.call('HSET', KEYS[3], 'v', 1, 'digest', digest, 'home', home, 'id', id, 'outcome', outcome)
redis.call('PEXPIRE', KEYS[3], pointer_life)
return false
"""
)
"""KEYS: and pointer. ARGV: id, lives of `alive`, of the rest and of the pointer, digest, home,
outcome. The pointer that is there; else the pointer is set, and unless the life of `alive` is
empty, the generation is begun."""

OPEN = Script(
    WITHOUT_ROOM
    + BEGINNING
    + FINDING
    + """
-- To be read again prolongs nothing: it is kept for so long after it has ended.
if not is_named(ARGV[3]) then name(ARGV[3], ARGV[4]) end
return describe(ARGV[3])
"""
)
"""ARGV: id, its least life, since a request id names it."""

SAVE = Script(
    BEGINNING
    + """
local id, first, last, batch, life = unpack(ARGV, 3)
if not is_mine(id) then return 0 end
local saved = tonumber(redis.call('HGET', key(id, 'state'), 'saved'))
if saved + 1 < tonumber(first) then return 0 end
if saved < tonumber(last) then
  redis.call('XADD', key(id, 'events'), last .. '-0', 'batch', batch)
  redis.call('HSET', key(id, 'state'), 'saved', last)
end
redis.call('PEXPIRE', key(id, 'events'), life)
return 1
"""
)
"""ARGV: id, the batch's first and last sequence, the batch, life. 0 where the generation is
another's, or the store has lost what came before."""

TEND = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id, alive, life = ARGV[3], ARGV[4], ARGV[5]
if not is_mine(id) then return {-1, 0} end
redis.call('SET', key(id, 'alive'), '', 'PX', alive)
for _, part in ipairs({'state', 'events'}) do redis.call('PEXPIRE', key(id, part), life) end
for _, place in ipairs(KEYS) do
  if redis.call('GET', place) == id then redis.call('PEXPIRE', place, life) end
end
redis.call('ZREMRANGEBYSCORE', key(id, 'readers'), '-inf', now)
local named = tonumber(redis.call('HGET', key(id, 'state'), 'named'))
return {redis.call('ZCARD', key(id, 'readers')), named}
"""
)
"""ARGV: id, lives of `alive` and of the rest. The other processes that read it, -1 where it is
another's, and whether a request id names it."""

END_UNREAD = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id, even_named = ARGV[3], ARGV[4]
if not is_mine(id) then return 1 end
if redis.call('ZCOUNT', key(id, 'readers'), '(' .. now, '+inf') > 0 then return 0 end
if even_named == '0' and is_named(id) then return 0 end
unlink(id)
return 1
"""
)
"""ARGV: id, whether a request id keeps it no more. 0 where it is read or kept."""

FINISH_TEXT = (
    BEGINNING
    + """
local id, status, failure, last, whole, linger, named_life, cached, refresh = unpack(ARGV, 3)
if not is_mine(id) then return {0, false} end
local before = redis.call('GET', KEYS[1])
local is_other = before and before ~= id
local loses = is_other and refresh == '0' and status_of(before) == 'complete'
  and redis.call('GET', KEYS[2]) ~= id
local is_cached = cached ~= '' and not loses
local life = tonumber(is_cached and cached or linger)
if last ~= '0' and is_named(id) then
  life = math.max(is_cached and cached or 0, named_life)
end
redis.call('HSET', key(id, 'state'),
  'status', status, 'ended', now, 'failure', failure, 'saved', last)
if last ~= '0' then redis.call('SET', key(id, 'whole'), whole, 'PX', life) end
redis.call('PEXPIRE', key(id, 'state'), life)
redis.call('UNLINK', key(id, 'events'), key(id, 'alive'), key(id, 'readers'))
unfind(id)
if not is_cached then return {1, cached ~= '' and id or false} end
redis.call('SET', KEYS[1], id, 'PX', cached)
if not is_other or status_of(before) ~= 'complete' then return {1, false} end
if not is_named(before) then
  unlink(before)
  return {1, before}
end
for _, part in ipairs({'state', 'whole'}) do
  redis.call('PEXPIRE', key(before, part), named_life, 'LT')
end
return {1, before}
"""
)
FINISH, FINISH_WITH_WHOLE = Script(WITHOUT_ROOM + FINISH_TEXT), Script(FINISH_TEXT)
"""ARGV: id, status, failure, last sequence, all events, life for those who read it, life of what a
request id names, life in the response cache ('' for none), whether it replaces what is there.
Whether it was done, and the id of what the response cache does not serve (any more): what it has
replaced, or itself, where another of the same key was complete first."""

GIVE_UP = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id = ARGV[3]
if not is_mine(id) then return 0 end
redis.call('HSET', key(id, 'state'), 'status', 'abandoned', 'ended', now)
redis.call('DEL', key(id, 'alive'))
unfind(id)
return 1
"""
)
"""ARGV: id. The rest of the generation will not be there."""

POLL = Script(
    WITHOUT_ROOM
    + BEGINNING
    + FINDING
    + """
local id, reader, presence, after, count = unpack(ARGV, 3)
local found = describe(id)
if not found then return false end
redis.call('ZADD', key(id, 'readers'), now + presence, reader)
redis.call('PEXPIRE', key(id, 'readers'), presence)
return {found, redis.call('XRANGE', key(id, 'events'), '(' .. after .. '-0', '+', 'COUNT', count)}
"""
)
"""ARGV: id, the reader, life of presence, the last sequence that is known, most batches."""

LEAVE = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
return redis.call('ZREM', key(ARGV[3], 'readers'), ARGV[4])
"""
)
"""ARGV: id, the reader."""

DROP = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id = ARGV[3]
if status_of(id) == 'running' then return 0 end
return unlink(id)
"""
)
"""ARGV: id. 0 where nothing of it was there, or it is still being made."""

FORGET_POINTER = Script(
    WITHOUT_ROOM
    + """
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)
"""KEYS: pointer. ARGV: id."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where generations are found.

    Attributes:
        tenant: Whose they are.
        name: `cache/…` or `request/…`.
    """

    tenant: str
    name: str

    @property
    def prefix(self) -> str:
        """What its keys begin with."""
        return generation_prefix(self.tenant, self.name)


@dataclass(frozen=True, slots=True)
class GenerationId:
    """One generation.

    Attributes:
        home: Where it is found.
        id: Tells it from others of its home.
    """

    home: Home
    id: str

    @property
    def events_label(self) -> str:
        """What its events are sealed under."""
        return f"{self.home.prefix}{self.id}:events"


@dataclass(frozen=True, slots=True)
class Found:
    """What the store holds of a generation.

    Attributes:
        id: The generation.
        status: `running`, `complete`, `failed` or `abandoned`.
        owner: The process that makes it, or made it.
        begun_ms: When it was begun, by the store's clock.
        ended_ms: When it ended; 0 while it runs.
        failure: What its readers are told, sealed; empty where it did not fail.
        saved: The last event that the store holds.
        whole: All its events, sealed; None while it runs, and where it was abandoned.
        now_ms: The time by the store's clock.
    """

    id: GenerationId
    status: str
    owner: str
    begun_ms: int
    ended_ms: int
    failure: bytes
    saved: int
    whole: bytes | None
    now_ms: int

    @property
    def is_running(self) -> bool:
        """Whether it is being made."""
        return self.status == "running"

    @property
    def age(self) -> timedelta:
        """How long ago it was completed; while it runs, how long ago it was begun."""
        return timedelta(milliseconds=max(self.now_ms - (self.ended_ms or self.begun_ms), 0))


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a request id names.

    Attributes:
        digest: Tells what was asked under it.
        id: The generation.
        outcome: What the response cache did for the call that came first.
    """

    digest: str
    id: GenerationId
    outcome: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ends.

    Attributes:
        events: All its events.
        failure: What its readers are told; None where it is complete.
        cached_for: How long the response cache serves it; None for not at all.
        replaces: It takes the place of what the cache holds.
    """

    events: Sequence[bytes]
    failure: BridgeError | None = None
    cached_for: timedelta | None = None
    replaces: bool = False

    @property
    def status(self) -> str:
        """`complete` or `failed`."""
        return "complete" if self.failure is None else "failed"


class StoredJournals:
    """The journals of all tenants.

    Every method raises STORE_UNAVAILABLE where the store is away, and STORE_FULL where one that
    adds to it finds no room.

    Args:
        store: Where they are kept.
        vault: Seals events.
        retention: How long what a request id names is kept after it has ended.
    """

    def __init__(self, store: Store, vault: Vault, retention: timedelta) -> None:
        self._store = store
        self._vault = vault
        self.retention = retention
        self.process = secrets.token_hex(8)
        """Tells this process from others."""

    async def find(self, home: Home, *, max_age: timedelta, named: bool) -> Found | None:
        """Return a home's generation, complete or running.

        Args:
            home: A key of the response cache.
            max_age: One that was completed longer ago is not returned.
            named: A request id will name it.
        """
        reply = await self._run(
            FIND, GenerationId(home, ""), _ms(max_age), self._named_life(named=named)
        )
        return _found(home, reply) if reply else None

    async def find_or_begin(
        self, home: Home, *, max_age: timedelta, refresh: bool, named: bool
    ) -> Found | GenerationId:
        """Return a home's generation, complete or running; or begin one and return its id.

        Args:
            home: A key of the response cache.
            max_age: One that was completed longer ago is not returned.
            refresh: None is returned, whatever is there.
            named: A request id will name it.
        """
        new = GenerationId(home, secrets.token_hex(8))
        reply = await self._run(
            FIND_OR_BEGIN,
            new,
            *(_ms(max_age), self._named_life(named=named)),
            *(_ms(ALIVE), _ms(self._life), int(refresh)),
        )
        return new if len(reply) == 1 else _found(home, reply)

    async def start(self, home: Home, digest: str, outcome: str) -> GenerationId | Pointer:
        """Begin the generation of a request id; or return what the id names already."""
        new = GenerationId(home, secrets.token_hex(8))
        pointer = await self._point(home, new, digest, outcome, _ms(ALIVE))
        return pointer or new

    async def point(
        self, home: Home, digest: str, id_: GenerationId, outcome: str
    ) -> Pointer | None:
        """Let a request id name a generation; or return what the id names already."""
        return await self._point(home, id_, digest, outcome, "")

    async def _point(
        self, home: Home, id_: GenerationId, digest: str, outcome: str, alive: int | str
    ) -> Pointer | None:
        reply = await self._store.run(
            START,
            (*_places(home), f"{home.prefix}pointer"),
            *(home.prefix, self.process, id_.id, alive, _ms(self._life)),
            *(_ms(self.retention + LONGEST), digest, id_.home.name, outcome),
        )
        return _pointer(home.tenant, reply)

    async def pointer(self, home: Home) -> Pointer | None:
        """Return what a request id names."""
        fields = ("digest", "home", "id", "outcome")
        reply = await self._store.execute("HMGET", f"{home.prefix}pointer", *fields)
        return _pointer(home.tenant, reply)

    async def forget(self, home: Home, id_: GenerationId) -> None:
        """Let a request id name nothing, if it still names this generation."""
        await self._store.run(FORGET_POINTER, (f"{home.prefix}pointer",), id_.id)

    async def open(self, id_: GenerationId) -> Found | None:
        """Return a generation that a request id names, or None where it is gone."""
        reply = await self._run(OPEN, id_, _ms(self.retention))
        return _found(id_.home, reply) if reply else None

    async def failure(self, found: Found) -> BridgeError | None:
        """Return what readers of a generation are told that has failed.

        Raises:
            BridgeError: CONTENT_UNREADABLE.
        """
        if not found.failure:
            return None
        label = f"{found.id.events_label}/failure"
        return decode_failure(await self._vault.opened(found.failure, label))

    async def events(self, found: Found) -> list[bytes]:
        """Return all events of a generation that has ended.

        Raises:
            BridgeError: CONTENT_UNREADABLE: they are damaged, or not all there.
        """
        if not found.saved:
            return []
        content = await self._vault.opened(found.whole or b"", f"{found.id.events_label}/whole")
        first, events = decode_events(content)
        if (first, len(events)) != (1, found.saved):
            raise unreadable()
        return events

    async def save(self, id_: GenerationId, first: int, events: Sequence[bytes]) -> bool:
        """Save the next events of a generation.

        Returns:
            False where it is this process's no more, or the store has lost what came before.
        """
        sealed = await self._vault.sealed(encode_events(first, events), id_.events_label)
        last = first + len(events) - 1
        return bool(await self._run(SAVE, id_, first, last, sealed, _ms(self._life)))

    async def tend(self, id_: GenerationId) -> tuple[int, bool]:
        """Tell that a generation's process lives.

        Returns:
            How many other processes read it, -1 where it is this process's no more; and whether a
            request id names it.
        """
        readers, named = await self._run(TEND, id_, _ms(ALIVE), _ms(self._life))
        return readers, bool(named)

    async def end_unread(self, id_: GenerationId, *, even_named: bool) -> bool:
        """End a generation that nobody reads; False where somebody does, or it is kept."""
        return bool(await self._run(END_UNREAD, id_, int(even_named)))

    async def finish(self, id_: GenerationId, ending: Ending) -> tuple[bool, str]:
        """Keep how a generation ended.

        Returns:
            False where it is this process's no more; the id of what the response cache does not
            serve any more: what it has replaced, or itself, where another was complete first.
        """
        whole = failure = b""
        if ending.failure is not None:
            label = f"{id_.events_label}/failure"
            failure = await self._vault.sealed(encode_failure(ending.failure), label)
        if ending.events:
            label = f"{id_.events_label}/whole"
            whole = await self._vault.sealed(encode_events(1, ending.events), label)
        done, replaced = await self._run(
            FINISH_WITH_WHOLE if whole else FINISH,
            id_,
            *(ending.status, failure, len(ending.events), whole),
            *(_ms(LINGER), _ms(self.retention)),
            *(_ms(ending.cached_for) if ending.cached_for else "", int(ending.replaces)),
        )
        return bool(done), (replaced or b"").decode()

    async def give_up(self, id_: GenerationId) -> None:
        """Tell that the rest of a generation will not be there."""
        await self._run(GIVE_UP, id_)

    async def poll(
        self, id_: GenerationId, reader: str, after: int
    ) -> tuple[Found, list[bytes]] | None:
        """Return a generation and its next events, while it runs; None where it is gone.

        Raises:
            BridgeError: CONTENT_UNREADABLE.
        """
        reply = await self._run(POLL, id_, reader, _ms(PRESENCE), after, BATCHES_AT_ONCE)
        if not reply:
            return None
        described, batches = reply
        events: list[bytes] = []
        for _, (_, sealed) in batches:
            content = await self._vault.opened(sealed, id_.events_label)
            first, batch = decode_events(content)
            known = after + len(events)
            if first > known + 1:
                # The store has lost what is between; what comes after it is worth nothing.
                break
            events += batch[known + 1 - first :]
        return _found(id_.home, described), events

    async def leave(self, id_: GenerationId, reader: str) -> None:
        """Tell that this process reads a generation no more."""
        await self._run(LEAVE, id_, reader)

    async def current(self, home: Home) -> GenerationId | None:
        """Return the generation that a home has now."""
        reply = await self._store.execute("GET", f"{home.prefix}current")
        return GenerationId(home, reply.decode()) if reply else None

    async def drop(self, id_: GenerationId) -> bool:
        """Delete a generation that has ended; tell whether anything of it was there."""
        return bool(await self._run(DROP, id_))

    @property
    def _life(self) -> timedelta:
        """How long what is running is kept after its process was last heard of."""
        return self.retention + LINGER

    def _named_life(self, *, named: bool) -> int | str:
        return _ms(self.retention) if named else ""

    async def _run(self, script: Script, id_: GenerationId, *arguments: Any) -> Any:
        prefix = id_.home.prefix
        keys = _places(id_.home)
        return await self._store.run(script, keys, prefix, self.process, id_.id, *arguments)


def _places(home: Home) -> tuple[str, str]:
    """Return where the ids of a home's generations stand."""
    return f"{home.prefix}current", f"{home.prefix}next"


def _found(home: Home, reply: Sequence[Any]) -> Found:
    id_, status, owner, begun, ended, failure, saved, whole, now = reply
    return Found(
        id=GenerationId(home, id_.decode()),
        status=status.decode(),
        owner=owner.decode(),
        begun_ms=int(begun),
        ended_ms=int(ended or 0),
        failure=failure or b"",
        saved=int(saved),
        whole=whole,
        now_ms=now,
    )


def _pointer(tenant: str, reply: Sequence[bytes | None] | None) -> Pointer | None:
    if not reply or reply[0] is None:
        return None
    digest, home, id_, outcome = (part.decode() for part in reply if part is not None)
    return Pointer(digest, GenerationId(Home(tenant, home), id_), outcome)


def _ms(life: timedelta) -> int:
    return max(round(life.total_seconds() * 1000), 1)
