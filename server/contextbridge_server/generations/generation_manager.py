"""Finds the generation that a call reads, or begins one."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import structlog

from contextbridge import v1 as pb

from ..background_tasks import BackgroundTasks
from ..contexts.authorizing_answers import AuthorizingAnswers
from ..errors import BridgeError
from ..telemetry import names
from ..translate.prompt import Prompt
from .call import GenerationCall
from .counters import ResponseCacheCounters
from .journal import Journal, not_resumable
from .producer import Producer, Terms
from .remote_follower import RemoteFollower, end
from .response_cache import CacheUse, idempotency_lookup_key, request_digest
from .retention_index import RetentionIndex
from .stored_journals import GenerationId, JournalState, LookupKey, Pointer, StoredJournals

Status: TypeAlias = pb.ResponseCacheStatus.ValueType
AT_ONCE = timedelta(0)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A call's generation.

    Attributes:
        journal: Returns what the call reads, or None where it has just ended here unread. It is
            called right before the reading, so that nobody ends it in between.
        status: What the response cache did.
        age: How old the answer is; zero where it is made for this call.
        is_mine: This call has begun it.
        is_resumed: Another call has begun it, under the same idempotency key.
        is_stored: Tells whether the store has it, or will.
        keys: Where in the store it was read; nothing where it was not.
    """

    journal: Callable[[], Journal | None]
    status: Status
    age: timedelta = AT_ONCE
    is_mine: bool = False
    is_resumed: bool = False
    is_stored: Callable[[], bool] = lambda: True
    keys: tuple[str, ...] = ()


class GenerationManager:
    """The generations that this process makes, or reads from others.

    Args:
        answers: Where answers come from.
        stored: The journals in the store.
        kept: What is kept of them.
        counters: Count entries that cannot be read.
        tasks: Own the generations, which go on when their callers leave.
        terms: What holds for all generations.
        max_running: Most generations of a tenant that this process makes at once.
    """

    def __init__(
        self,
        *,
        answers: AuthorizingAnswers,
        stored: StoredJournals,
        retention: RetentionIndex,
        counters: ResponseCacheCounters,
        tasks: BackgroundTasks,
        terms: Terms,
        max_running: int,
    ) -> None:
        self._answers = answers
        self._stored = stored
        self._retention = retention
        self._counters = counters
        self._tasks = tasks
        self._terms = terms
        self._max_running = max_running
        self._producers: dict[GenerationId, Producer] = {}
        self._followers: dict[GenerationId, RemoteFollower] = {}
        self._running: Counter[str] = Counter()
        self._runs: set[asyncio.Task[None]] = set()

    async def settle(self) -> None:
        """Wait until no generation is being made; they may outlive their callers."""
        while self._runs:
            await asyncio.wait(self._runs)

    async def attach(
        self, call: GenerationCall[Any], prompt: Prompt, use: CacheUse | None, bypassed: Status
    ) -> Attachment | None:
        """Find the generation that a call reads, or begin it.

        Args:
            call: The call, which has a request id or uses the response cache.
            prompt: What it asks upstream.
            use: How it uses the response cache; None for not at all.
            bypassed: What the response cache did where it is not used.

        Returns:
            None where something has just changed, and another try finds out more.

        Raises:
            BridgeError: IDEMPOTENCY_KEY_REUSED, NOT_RESUMABLE; STORE_UNAVAILABLE, STORE_FULL.
        """
        lookup_key = None
        if call.request.idempotency_key:
            lookup_key = idempotency_lookup_key(call.ctx, call.request.idempotency_key)
            pointer = await self._stored.pointer(lookup_key)
            if pointer is not None:
                return await self._resumed(lookup_key, pointer, call)
            if call.request.resume_after > 0:
                raise not_resumable("The generation is not kept.")
        if use is not None and not use.refresh:
            found = await self._stored.find(
                use.lookup_key(call.ctx.caller.tenant),
                max_age=use.ttl,
                named=lookup_key is not None,
            )
            if found is not None:
                return await self._shared(found, call, lookup_key)
        if self._running[call.ctx.caller.tenant] >= self._max_running:
            raise BridgeError(pb.ERROR_REASON_STORE_FULL, "Too many generations are being made.")
        # A caller who leaves just now would leave a generation that nobody makes.
        begun = self._begun(call, prompt, use, lookup_key, bypassed)
        return await self._tasks.finish(begun)

    async def _begun(
        self,
        call: GenerationCall[Any],
        prompt: Prompt,
        use: CacheUse | None,
        lookup_key: LookupKey | None,
        bypassed: Status,
    ) -> Attachment | None:
        """Begin a generation, unless another call was faster."""
        if use is not None:
            return await self._cached(call, prompt, use, lookup_key)
        if lookup_key is None:
            raise AssertionError("a call with neither request id nor response cache")
        outcome = pb.ResponseCacheStatus.Name(bypassed)
        begun = await self._stored.start(lookup_key, request_digest(call), outcome)
        if isinstance(begun, Pointer):
            return await self._resumed(lookup_key, begun, call)
        return self._made_here(self._produce(begun, call, prompt, None), bypassed)

    async def _cached(
        self, call: GenerationCall[Any], prompt: Prompt, use: CacheUse, lookup_key: LookupKey | None
    ) -> Attachment | None:
        """Begin the generation of a key of the response cache, unless another call was faster."""
        found = await self._stored.find_or_begin(
            use.lookup_key(call.ctx.caller.tenant),
            max_age=use.ttl,
            refresh=use.refresh,
            named=lookup_key is not None,
        )
        if isinstance(found, GenerationId):
            return await self._made_for_cache(found, call, prompt, use, lookup_key)
        return await self._shared(found, call, lookup_key)

    async def _shared(
        self, found: JournalState, call: GenerationCall[Any], lookup_key: LookupKey | None
    ) -> Attachment | None:
        """Return how a call reads an answer that was made, or is made, for another.

        Args:
            found: The generation.
            call: The call.
            lookup_key: Where its request id is found, which is to name the generation.
        """
        status = pb.RESPONSE_CACHE_STATUS_HIT
        if found.is_running:
            status = pb.RESPONSE_CACHE_STATUS_JOINED
        if lookup_key is not None and not await self._pointed(lookup_key, found.id, call, status):
            return None
        return await self._opened(found, status, is_named=lookup_key is not None)

    async def _made_for_cache(
        self,
        id_: GenerationId,
        call: GenerationCall[Any],
        prompt: Prompt,
        use: CacheUse,
        lookup_key: LookupKey | None,
    ) -> Attachment | None:
        status = pb.RESPONSE_CACHE_STATUS_MISS
        if use.refresh:
            status = pb.RESPONSE_CACHE_STATUS_REFRESHED
        if lookup_key is not None and not await self._pointed(lookup_key, id_, call, status):
            await self._stored.give_up(id_)
            return None
        return self._made_here(self._produce(id_, call, prompt, use), status)

    async def _pointed(
        self, lookup_key: LookupKey, id_: GenerationId, call: GenerationCall[Any], status: Status
    ) -> bool:
        """Let a request id name a generation; False where it names another already."""
        outcome = pb.ResponseCacheStatus.Name(status)
        pointer = await self._stored.point(lookup_key, request_digest(call), id_, outcome)
        return pointer is None or pointer.id == id_

    async def _resumed(
        self, lookup_key: LookupKey, pointer: Pointer, call: GenerationCall[Any]
    ) -> Attachment | None:
        """Take up what a request id names.

        Raises:
            BridgeError: IDEMPOTENCY_KEY_REUSED.
        """
        found = await self._stored.open(pointer.id)
        # What failed before its first event can be begun again: nobody has anything of it.
        if found is None or (found.status == "failed" and not found.saved):
            await self._stored.forget(lookup_key, pointer.id)
            return None
        if pointer.digest != request_digest(call):
            raise BridgeError(
                pb.ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
                "The idempotency_key came with another request.",
            )
        status = pb.ResponseCacheStatus.Value(pointer.outcome)
        return await self._opened(found, status, is_named=True, is_resumed=True)

    async def _opened(
        self, found: JournalState, status: Status, *, is_named: bool, is_resumed: bool = False
    ) -> Attachment | None:
        """Return how a generation is read that is there."""
        if found.status in ("complete", "failed"):
            replayed = await self._replayed(found)
            if replayed is None:
                return None
            return Attachment(
                lambda: replayed, status, found.age, is_resumed=is_resumed, keys=found.id.keys
            )
        if found.is_running and found.owner == self._stored.process:
            producer = self._producers.get(found.id)
            if producer is None:
                return None
            producer.is_named = producer.is_named or is_named
            mine = self._made_here(producer, status)
            return Attachment(mine.journal, status, found.age, False, is_resumed, mine.is_stored)
        return Attachment(
            lambda: self._followed(found.id), status, found.age, is_resumed=is_resumed
        )

    def _made_here(self, producer: Producer, status: Status) -> Attachment:
        return Attachment(
            journal=lambda: None if producer.is_over else producer.journal,
            status=status,
            is_mine=True,
            is_stored=lambda: producer.is_stored,
        )

    async def _replayed(self, found: JournalState) -> Journal | None:
        """Return the journal of a generation that has ended; None where it cannot be read."""
        journal = Journal(self._terms.max_bytes)
        try:
            await end(journal, found, self._stored)
        except BridgeError as error:
            if error.reason != pb.ERROR_REASON_CONTENT_UNREADABLE:
                raise
            tenant = found.id.lookup_key.tenant
            log.warning(names.RESPONSE_CACHE_CORRUPT, **{names.TENANT: tenant})
            self._counters.count_corrupt(tenant)
            await self._stored.drop(found.id)
            with suppress(BridgeError):
                await self._retention.forget(found.id)
            return None
        return journal

    def _produce(
        self, id_: GenerationId, call: GenerationCall[Any], prompt: Prompt, use: CacheUse | None
    ) -> Producer:
        producer = Producer(
            id_,
            call,
            prompt,
            use,
            answers=self._answers,
            stored=self._stored,
            retention=self._retention,
            terms=self._terms,
        )
        self._producers[id_] = producer
        self._running[id_.lookup_key.tenant] += 1
        run = self._tasks.begin(self._run(producer))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return producer

    async def _run(self, producer: Producer) -> None:
        try:
            await producer.run()
        finally:
            del self._producers[producer.id]
            self._running[producer.id.lookup_key.tenant] -= 1

    def _followed(self, id_: GenerationId) -> Journal:
        follower = self._followers.get(id_)
        if follower is None:
            follower = RemoteFollower(id_, self._stored, self._terms.max_bytes)
            self._followers[id_] = follower
            self._tasks.begin(self._follow(id_, follower))
        return follower.journal

    async def _follow(self, id_: GenerationId, follower: RemoteFollower) -> None:
        try:
            await follower.run()
        finally:
            del self._followers[id_]
            await follower.leave()
