"""Journals in the store, where every replica finds them.

A generation is found by its lookup key: a key of the response cache, or an idempotency key. In one
slot with the lookup key are, of each of its generations, by its id: `state`, a hash of the
journal's state; `events`, a stream of batches of events, sealed, each under the sequence of its
last event; and after its end, instead of `events`, `whole`: all events, sealed as one. `alive`
lapses when the process that produces the generation has died, `readers` are the other processes
that read it. A lookup key has a `current` generation, and a `next` one where a complete one is to
be replaced. The lookup key of an idempotency key has a `pointer` to the generation that the key
names, which may have another lookup key.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..errors import BridgeError
from ..store.interface import Script, Store
from ..store.keys import generation_prefix
from ..store.vault import Vault
from .encoding import (
    decode_events,
    decode_failure,
    encode_events,
    encode_failure,
    unreadable,
)
from .journal_scripts import (
    DROP,
    END_UNREAD,
    FIND,
    FIND_OR_BEGIN,
    FINISH,
    FINISH_WITH_WHOLE,
    FORGET_POINTER,
    GIVE_UP,
    LEAVE,
    OPEN,
    POLL,
    SAVE,
    START,
    TEND,
)

ALIVE = timedelta(seconds=5)
"""How long a generation is taken for running after its process was last heard of."""
PRESENCE = timedelta(seconds=5)
"""How long a process is taken for a reader after it was last heard of."""
LINGER = timedelta(minutes=1)
"""How long a generation that is not kept stays, for those who are reading it."""
LONGEST = timedelta(hours=1)
"""A generation may run so long and still be found by its request id."""
BATCHES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class LookupKey:
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
        lookup_key: Where it is found.
        id: Tells it from others of its lookup_key.
    """

    lookup_key: LookupKey
    id: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Where in the store what has ended of it stands, and what finds it."""
        prefix = f"{self.lookup_key.prefix}{self.id}"
        return (*places_of(self.lookup_key), f"{prefix}:state", f"{prefix}:whole")

    @property
    def events_label(self) -> str:
        """What its events are sealed under."""
        return f"{self.lookup_key.prefix}{self.id}:events"


@dataclass(frozen=True, slots=True)
class JournalState:
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

    async def find(
        self, lookup_key: LookupKey, *, max_age: timedelta, named: bool
    ) -> JournalState | None:
        """Return a lookup_key's generation, complete or running.

        Args:
            lookup_key: A key of the response cache.
            max_age: One that was completed longer ago is not returned.
            named: A request id will name it.
        """
        keys = places_of(lookup_key)
        named_life = self._named_life(named=named)
        reply = await self._store.tracked.run(
            FIND, keys, lookup_key.prefix, self.process, "", _ms(max_age), named_life
        )
        return _found(lookup_key, reply) if reply else None

    async def find_or_begin(
        self, lookup_key: LookupKey, *, max_age: timedelta, refresh: bool, named: bool
    ) -> JournalState | GenerationId:
        """Return a lookup_key's generation, complete or running; or begin one and return its id.

        Args:
            lookup_key: A key of the response cache.
            max_age: One that was completed longer ago is not returned.
            refresh: None is returned, whatever is there.
            named: A request id will name it.
        """
        new = GenerationId(lookup_key, secrets.token_hex(8))
        reply = await self._run(
            FIND_OR_BEGIN,
            new,
            *(_ms(max_age), self._named_life(named=named)),
            *(_ms(ALIVE), _ms(self._life), int(refresh)),
        )
        return new if len(reply) == 1 else _found(lookup_key, reply)

    async def start(
        self, lookup_key: LookupKey, digest: str, outcome: str
    ) -> GenerationId | Pointer:
        """Begin the generation of a request id; or return what the id names already."""
        new = GenerationId(lookup_key, secrets.token_hex(8))
        pointer = await self._point(lookup_key, new, digest, outcome, _ms(ALIVE))
        return pointer or new

    async def point(
        self, lookup_key: LookupKey, digest: str, id_: GenerationId, outcome: str
    ) -> Pointer | None:
        """Let a request id name a generation; or return what the id names already."""
        return await self._point(lookup_key, id_, digest, outcome, "")

    async def _point(
        self, lookup_key: LookupKey, id_: GenerationId, digest: str, outcome: str, alive: int | str
    ) -> Pointer | None:
        reply = await self._store.run(
            START,
            (*places_of(lookup_key), f"{lookup_key.prefix}pointer"),
            *(lookup_key.prefix, self.process, id_.id, alive, _ms(self._life)),
            *(_ms(self.retention + LONGEST), digest, id_.lookup_key.name, outcome),
        )
        return _pointer(lookup_key.tenant, reply)

    async def pointer(self, lookup_key: LookupKey) -> Pointer | None:
        """Return what a request id names."""
        fields = ("digest", "lookup", "id", "outcome")
        reply = await self._store.execute("HMGET", f"{lookup_key.prefix}pointer", *fields)
        return _pointer(lookup_key.tenant, reply)

    async def forget(self, lookup_key: LookupKey, id_: GenerationId) -> None:
        """Let a request id name nothing, if it still names this generation."""
        await self._store.run(FORGET_POINTER, (f"{lookup_key.prefix}pointer",), id_.id)

    async def open(self, id_: GenerationId) -> JournalState | None:
        """Return a generation that a request id names, or None where it is gone."""
        reply = await self._run(OPEN, id_, _ms(self.retention))
        return _found(id_.lookup_key, reply) if reply else None

    async def failure(self, found: JournalState) -> BridgeError | None:
        """Return what readers of a generation are told that has failed.

        Raises:
            BridgeError: CONTENT_UNREADABLE.
        """
        if not found.failure:
            return None
        label = f"{found.id.events_label}/failure"
        return decode_failure(await self._vault.opened(found.failure, label))

    async def events(self, found: JournalState) -> list[bytes]:
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
    ) -> tuple[JournalState, list[bytes]] | None:
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
        return _found(id_.lookup_key, described), events

    async def leave(self, id_: GenerationId, reader: str) -> None:
        """Tell that this process reads a generation no more."""
        await self._run(LEAVE, id_, reader)

    async def current(self, lookup_key: LookupKey) -> GenerationId | None:
        """Return the generation that a lookup_key has now."""
        reply = await self._store.execute("GET", f"{lookup_key.prefix}current")
        return GenerationId(lookup_key, reply.decode()) if reply else None

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
        prefix = id_.lookup_key.prefix
        keys = places_of(id_.lookup_key)
        return await self._store.run(script, keys, prefix, self.process, id_.id, *arguments)


def places_of(lookup_key: LookupKey) -> tuple[str, str]:
    """Return where in the store the ids of a lookup_key's generations stand."""
    return f"{lookup_key.prefix}current", f"{lookup_key.prefix}next"


def _found(lookup_key: LookupKey, reply: Sequence[Any]) -> JournalState:
    id_, status, owner, begun, ended, failure, saved, whole, now = reply
    return JournalState(
        id=GenerationId(lookup_key, id_.decode()),
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
    digest, lookup_key, id_, outcome = (part.decode() for part in reply if part is not None)
    return Pointer(digest, GenerationId(LookupKey(tenant, lookup_key), id_), outcome)


def _ms(life: timedelta) -> int:
    return max(round(life.total_seconds() * 1000), 1)
