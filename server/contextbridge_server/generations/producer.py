"""A generation that this process makes: from upstream into a journal, and from there to the store.

Readers here read the journal, those elsewhere the store. Saving runs beside and may fall behind;
the last event waits for it, since it says that the answer is kept.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from contextbridge import v1 as pb

from ..contexts.answers import Answers
from ..errors import BridgeError
from ..store.backoff import BRIEFLY, retry_with_backoff
from ..telemetry import names
from ..telemetry.faults import log_fault
from ..translate.prompt import Prompt
from .call import GenerationCall
from .direct import produce
from .journal import Journal
from .response_cache import CacheUse
from .retention_index import RetentionIndex
from .stored_journals import Ending, GenerationId, StoredJournals

HEARTBEAT = timedelta(seconds=1)
"""How often the store is told that a generation's process lives."""
UNREAD_LOOK = timedelta(milliseconds=250)
"""How often a generation without readers here is looked at for readers elsewhere."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all generations that a process makes.

    Attributes:
        grace: How long a generation that a request id names goes on without a reader.
        max_bytes: Most bytes of events that are held for readers who may come.
        server_key: The server's own key for upstream, which no failure may tell.
    """

    grace: timedelta
    max_bytes: int
    server_key: str | None


class Producer:
    """One generation, while it is made.

    Args:
        id_: The generation, which was begun in the store.
        call: The call that began it.
        prompt: What it asks upstream.
        cache: How the call uses the response cache; None for not at all.
        answers: Where answers come from.
        stored: The journals in the store.
        kept: What is kept of each tenant's.
        terms: What holds for all generations.
    """

    def __init__(
        self,
        id_: GenerationId,
        call: GenerationCall[Any],
        prompt: Prompt,
        cache: CacheUse | None,
        *,
        answers: Answers,
        stored: StoredJournals,
        retention: RetentionIndex,
        terms: Terms,
    ) -> None:
        self.id = id_
        self.journal = Journal(terms.max_bytes)
        self.is_named = bool(call.request.idempotency_key)
        """A request id names it, so that it is kept for a while when nobody reads it."""
        self.is_stored = True
        """The store has it all, or will: it can be resumed, and kept."""
        self.is_over = False
        """It ends, or has ended, since nobody read it; who comes now needs another."""
        # The answer serves other calls too.
        self._ctx = call.ctx.without_deadline()
        self._call = replace(call, ctx=self._ctx)
        self._prompt = prompt
        self._cache = cache
        self._answers = answers
        self._stored = stored
        self._retention = retention
        self._terms = terms
        self._unsaved = asyncio.Event()
        self._is_ending = False

    async def run(self) -> None:
        """Make the generation; end it when nobody wants it any more."""
        making = asyncio.create_task(self._make())
        saving = asyncio.create_task(self._save())
        making.add_done_callback(lambda _: self.journal.left.set())
        try:
            await self._tend(making)
        finally:
            for task in (making, saving):
                task.cancel()
            await asyncio.wait([making, saving])
            if not self.journal.has_ended:
                self.journal.fail(abandoned(self.journal.last))
                await self._give_up()

    # Making it.

    async def _make(self) -> None:
        try:
            await self._answer()
        except BridgeError as error:
            await self._fail(self._redacted(error))
        except Exception as error:  # noqa: BLE001 - readers must be told of a fault too
            log_fault(error, self._ctx.request_id, self._call.translator.name)
            message = "The server failed within itself."
            await self._fail(BridgeError(pb.ERROR_REASON_INTERNAL, message))

    async def _answer(self) -> None:
        async def emit(events: Iterator[Any]) -> None:
            self._take(events)
            await self.journal.room()

        async with AsyncExitStack() as stack:
            produced = await produce(self._call, self._prompt, self._answers, stack, emit)
            last = [event.SerializeToString() for event in produced.last]
        await self._complete(last, worth_keeping=produced.decoder.is_worth_keeping)

    def _take(self, events: Iterator[Any]) -> None:
        """Add events to the journal, those before a failure too."""
        taken: list[bytes] = []
        try:
            for event in events:
                taken.append(event.SerializeToString())  # noqa: PERF401 - those before a failure count
        finally:
            if taken:
                self.journal.append(taken)
                self._unsaved.set()

    async def _complete(self, last: list[bytes], *, worth_keeping: bool) -> None:
        cache = self._cache if worth_keeping else None
        ending = Ending(
            events=[*self.journal.since(0), *last],
            cached_for=cache.ttl if cache else None,
            replaces=bool(cache and cache.refresh),
        )
        await self._end(ending, lambda: self.journal.complete(last))

    async def _fail(self, error: BridgeError) -> None:
        ending = Ending(self.journal.since(0), error)
        await self._end(ending, lambda: self.journal.fail(error))

    async def _end(self, ending: Ending, tell: Callable[[], None]) -> None:
        """Keep how it ended, and tell the readers; they wait for the store for a moment only."""
        if self.journal.has_outgrown:
            await self._give_up()
        if not self.is_stored:
            tell()
            return
        self._is_ending = True
        try:
            await self._finish(ending, BRIEFLY)
        except BridgeError:
            self._lose()
            tell()
            with suppress(BridgeError):
                await self._finish(ending)
        else:
            tell()

    async def _finish(self, ending: Ending, *patience: timedelta) -> None:
        if self._is_kept(ending):
            # Listed first: what can be found can be deleted.
            tags = self._cache.tags if self._cache else ()
            is_listed = await retry_with_backoff(
                lambda: self._retention.add(self.id, ending, tags), *patience
            )
            if not is_listed:
                ending = replace(ending, cached_for=None)
        done, unserved = await retry_with_backoff(
            lambda: self._stored.finish(self.id, ending), *patience
        )
        self.is_stored = done
        if unserved or not done:
            await self._retention.forget(replace(self.id, id=unserved or self.id.id))

    # Saving it.

    async def _save(self) -> None:
        """Save events as they come; give up where the store stays away, or they are too many."""
        saved = 0
        try:
            while True:
                await self._unsaved.wait()
                self._unsaved.clear()
                if self.journal.has_outgrown:
                    break
                events = self.journal.since(saved)
                if not await self._save_next(saved + 1, events):
                    break
                saved += len(events)
        except BridgeError:
            pass
        except Exception as error:  # noqa: BLE001 - the answer itself goes on
            log_fault(error, self._ctx.request_id, self._call.translator.name)
        # Once it ends it is kept as a whole, and whether that is done counts.
        if not self._is_ending:
            await self._give_up()

    async def _save_next(self, first: int, events: Sequence[bytes]) -> bool:
        return await retry_with_backoff(lambda: self._stored.save(self.id, first, events))

    async def _give_up(self) -> None:
        """Keep it no more; its readers here go on."""
        if not self.is_stored:
            return
        self._lose()
        with suppress(BridgeError):
            await retry_with_backoff(lambda: self._stored.give_up(self.id), BRIEFLY)

    def _lose(self) -> None:
        self.is_stored = False
        log.warning(
            names.GENERATION_ABANDONED,
            request_id=self._ctx.request_id,
            **{names.TENANT: self.id.lookup_key.tenant},
            events=self.journal.last,
        )

    # Watching who reads it.

    async def _tend(self, making: "asyncio.Task[None]") -> None:
        """Tell the store that the process lives, until the answer ends or nobody wants it."""
        loop = asyncio.get_running_loop()
        unread_since: float | None = None
        while not await self._pause(making):
            readers, named = await self._heard()
            if self.journal.is_read or readers > 0:
                unread_since = None
                continue
            if unread_since is None:
                unread_since = loop.time()
            grace = self._terms.grace.total_seconds() if named else 0
            if loop.time() - unread_since >= grace and await self._end_unread(named=named):
                log.info(
                    names.GENERATION_UNREAD,
                    request_id=self._ctx.request_id,
                    **{names.TENANT: self.id.lookup_key.tenant},
                    events=self.journal.last,
                )
                return

    async def _pause(self, making: "asyncio.Task[None]") -> bool:
        """Wait a while, or until a reader leaves; tell whether the answer has ended."""
        if not making.done():
            self.journal.left.clear()
            wait = HEARTBEAT if self.journal.is_read else UNREAD_LOOK
            with suppress(TimeoutError):
                async with asyncio.timeout(wait.total_seconds()):
                    await self.journal.left.wait()
        return making.done()

    async def _heard(self) -> tuple[int, bool]:
        """Return how many processes read it elsewhere, and whether a request id names it."""
        if not self.is_stored and not self._is_ending:
            # Without its process's word it is abandoned in the store too, and nobody comes.
            return 0, False
        try:
            readers, named = await self._stored.tend(self.id)
        except BridgeError:
            # The store is away, and who would read elsewhere cannot.
            return 0, self.is_named
        if readers < 0 and not self._is_ending:
            # It was taken for dead, or dropped.
            self._lose()
            return 0, False
        return readers, self.is_named or named

    async def _end_unread(self, *, named: bool) -> bool:
        """End it in the store; False where somebody reads it after all."""
        # Who comes here meanwhile waits until this is decided, and finds it or another then.
        self.is_over = True
        try:
            # One that has just been named, without our having heard of it, has its grace to come.
            even_named = named or not self.is_stored
            ended = await self._stored.end_unread(self.id, even_named=even_named)
        except BridgeError:
            ended = True
        self.is_over = ended
        self.is_stored = self.is_stored and not ended
        return ended

    def _is_kept(self, ending: Ending) -> bool:
        return ending.cached_for is not None or (self.is_named and bool(ending.events))

    def _redacted(self, error: BridgeError) -> BridgeError:
        for key in (self._terms.server_key, self._ctx.upstream_key):
            if key:
                error.redact(key)
        return error


def abandoned(saved: int) -> BridgeError:
    """Return what readers are told of a generation whose rest will not be there."""
    return BridgeError(
        pb.ERROR_REASON_GENERATION_ABANDONED,
        "The generation was abandoned before the answer was whole.",
        metadata={"savedEvents": str(saved)},
    )
