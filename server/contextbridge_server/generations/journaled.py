"""Generations that are shared: resumed, joined while they run, and served again once complete.

One mechanism does all three. A call's request id, or the key of its answer in the response cache,
finds a generation or begins one; then the call reads the generation's journal.
"""

from typing import Any, TypeAlias, TypeVar

from contextbridge import v1 as pb

from ..background import BackgroundTasks
from ..contexts.asker import Asker
from ..contexts.authorizing_answers import AuthorizingAnswers
from ..contexts.context_lookup import NO_CONTEXT, ContextLookup, ResolvedContext
from ..errors import BridgeError
from ..store.backoff import backoff
from ..translate.generation_request import bypassed_cache
from ..translate.limits import Limits
from ..translate.prompt import Prompt
from ..translate.translator import Told
from ..upstream.interface import Chunk
from .counters import ResponseCacheCounters
from .generation import Ask, DirectGenerations, Summary, Write
from .generation_manager import Attachment, GenerationManager
from .hit_cache import Hit, HitCache
from .journal import Journal, Reader
from .response_cache import CacheUse, cache_use

Whole = TypeVar("Whole")
Status: TypeAlias = pb.ResponseCacheStatus.ValueType

SHARED = (pb.RESPONSE_CACHE_STATUS_HIT, pb.RESPONSE_CACHE_STATUS_JOINED)
"""What the response cache did where the answer was made for another call, which pays."""
MADE = (pb.RESPONSE_CACHE_STATUS_MISS, pb.RESPONSE_CACHE_STATUS_REFRESHED)

NO_STORE_NOW = (pb.ERROR_REASON_STORE_UNAVAILABLE, pb.ERROR_REASON_STORE_FULL)
REFUSALS = frozenset(
    (
        pb.ERROR_REASON_REQUEST_INVALID,
        pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
        pb.ERROR_REASON_UPSTREAM_PROMPT_TOO_LONG,
        pb.ERROR_REASON_UPSTREAM_CONTENT_REFUSED,
        pb.ERROR_REASON_CACHE_TOO_SMALL,
        pb.ERROR_REASON_CACHE_CONFLICT,
        pb.ERROR_REASON_CONTEXT_NOT_FOUND,
        pb.ERROR_REASON_CACHE_NOT_FOUND,
        pb.ERROR_REASON_CACHE_EXPIRED,
        pb.ERROR_REASON_FILE_NOT_FOUND,
        pb.ERROR_REASON_MODEL_NOT_FOUND,
    )
)
"""Failures by which upstream refuses what was asked: whoever asks the same meets them again. Other
failures before the first event are of the moment, and the next who waits tries."""


class JournaledGenerations:
    """Answers by way of journals to calls that ask for what needs one, and straight to others.

    Args:
        straight: Answers to others, and where the store is away.
        answers: Tell who may name what.
        attachments: Find generations.
        contexts: Tell what contexts hold.
        tallies: Count what the response cache does.
        tasks: Own what is noted when a call has ended.
        limits: The server's bounds of a request.
        upstream: Tells the upstream that is asked from others, whose answers the store may hold.
        recent: The response cache's hits of a moment ago.
    """

    def __init__(
        self,
        *,
        straight: DirectGenerations,
        answers: AuthorizingAnswers,
        attachments: GenerationManager,
        contexts: ContextLookup,
        tallies: ResponseCacheCounters,
        tasks: BackgroundTasks,
        limits: Limits,
        upstream: str,
        recent: HitCache,
    ) -> None:
        self._straight = straight
        self._answers = answers
        self._attachments = attachments
        self._contexts = contexts
        self._tallies = tallies
        self._tasks = tasks
        self._limits = limits
        self._upstream = upstream
        self._recent = recent

    async def ask(self, prompt: Prompt, asker: Asker) -> Chunk:
        """Return the JSON that answers what is no generation."""
        return await self._straight.ask(prompt, asker)

    async def stream(self, ask: Ask[Any], write: Write) -> Summary:
        """Write an answer's events, no faster than they are taken."""
        hit = self._recent.find(ask)
        if hit is not None:
            outcome = self._hit_again(ask, hit)
            for event in hit.events_with(outcome):
                await write(event)
            return hit.summary(outcome)
        summary = await self._shared(ask, ask.request.resume_after, write)
        if summary is None:
            summary = await self._straight.stream(ask, write)
            self._count(ask, summary.response_cache.status)
        return summary

    async def complete(self, ask: Ask[Any]) -> tuple[Any, Summary]:
        """Return a whole answer."""
        hit = self._recent.find(ask)
        if hit is not None:
            outcome = self._hit_again(ask, hit)
            return hit.whole_with(outcome), hit.summary(outcome)
        events: list[Any] = []

        async def take(event: Any) -> None:
            events.append(ask.translator.parse(event) if isinstance(event, bytes) else event)

        # A whole answer is read from its beginning, whatever a stream before had of it.
        summary = await self._shared(ask, 0, take)
        if summary is not None:
            return ask.translator.fold(events), summary
        whole, summary = await self._straight.complete(ask)
        self._count(ask, summary.response_cache.status)
        return whole, summary

    async def _shared(self, ask: Ask[Any], after: int, write: Write) -> Summary | None:
        """Write the events of a call's generation; None where it is to be answered straight."""
        request = ask.request
        if not (request.idempotency_key or request.response_cache.enabled):
            return None
        prompt = ask.translator.prompt(request, self._limits, stream=True)
        mark = self._recent.mark()
        await self._answers.check(prompt, ask.asker)
        async for _ in backoff():
            try:
                named, use = await self._cache_use(ask, prompt)
                if use is None and not request.idempotency_key:
                    return None
                attached = await self._attachments.attach(ask, prompt, use, _bypassed(ask))
            except BridgeError as error:
                if error.reason not in NO_STORE_NOW or request.resume_after:
                    raise
                return None
            journal = attached.journal() if attached else None
            if attached is None or journal is None:
                continue
            call = _Call(ask, prompt, attached, use)
            try:
                with journal.reading(after) as reader:
                    summary = await call.read(reader, write)
            except BridgeError as error:
                call.has_failed = True
                if not _may_try_again(error, journal, attached):
                    raise
            else:
                self._remember(call, named, journal, mark)
                return summary
            finally:
                self._note(call, named)
        raise AssertionError("backoff never ends")

    def _hit_again(self, ask: Ask[Any], hit: Hit[Any]) -> pb.ResponseCacheOutcome:
        """Return what the response cache does for a call that asks what was hit a moment ago."""
        self._count(ask, pb.RESPONSE_CACHE_STATUS_HIT, hit.usage)
        return hit.outcome()

    def _remember(self, call: "_Call", named: ResolvedContext, journal: Journal, mark: int) -> None:
        """Remember a hit for a moment, if all that it was made of is known and can be watched."""
        attached, use = call.attached, call.use
        is_hit = attached.status == pb.RESPONSE_CACHE_STATUS_HIT and journal.is_complete
        if not is_hit or use is None or call.ask.request.idempotency_key:
            return
        owners = self._answers.keys(call.prompt)
        if owners is not None:
            keys = (*owners, *named.keys, *attached.keys)
            self._recent.keep(call.ask, use, attached.age, journal.since(0), (mark, keys))

    async def _cache_use(
        self, ask: Ask[Any], prompt: Prompt
    ) -> tuple[ResolvedContext, CacheUse | None]:
        """Return the context of a call, and how the call uses the response cache."""
        if not ask.request.response_cache.enabled:
            return NO_CONTEXT, None
        named = await self._contexts.of(prompt.context_id, ask.asker, native=prompt.is_native)
        if named.is_session:
            return named, None
        return named, await cache_use(ask, named.content, self._upstream)

    def _note(self, call: "_Call", named: ResolvedContext) -> None:
        """Count what the response cache did, and that the context was used."""
        if call.attached.is_resumed or call.has_failed:
            return
        self._count(call.ask, call.outcome().status, call.saved)
        if call.attached.status in SHARED:
            self._tasks.begin(self._contexts.used(named, call.ask.asker))

    def _count(self, ask: Ask[Any], status: Status, saved: pb.Usage | None = None) -> None:
        self._tallies.count(ask.asker.caller.tenant, status, saved or pb.Usage())


class _Call:
    """One call that reads a generation.

    Args:
        ask: The call.
        prompt: What it asks upstream.
        attached: Its generation.
        use: How it uses the response cache; None for not at all.
    """

    def __init__(
        self, ask: Ask[Any], prompt: Prompt, attached: Attachment, use: CacheUse | None
    ) -> None:
        self.ask = ask
        self.attached = attached
        self.saved = pb.Usage()
        """What the call did not pay for."""
        self.has_failed = False
        """The generation failed the call; leaving early is no failure."""
        self.prompt = prompt
        self.use = use

    async def read(self, reader: Reader, write: Write) -> Summary:
        """Write the events that a reader gets, those that differ from reader to reader as told."""
        async for entries in reader:
            for sequence, event, is_last in entries:
                if is_last:
                    return await self._finish(event, write)
                await write(self._begin(event) if sequence == 1 else event)
        # The reader had it all: nothing is left to tell.
        return self._summary(pb.Usage(), pb.ContextOutcome())

    def outcome(self) -> pb.ResponseCacheOutcome:
        """Return what the response cache did, by what is known now."""
        status = self.attached.status
        if status in MADE and not self.attached.is_stored():
            status = pb.RESPONSE_CACHE_STATUS_BYPASSED
        outcome = pb.ResponseCacheOutcome(status=status)
        if self.use is not None and status in (*MADE, *SHARED):
            outcome.key = self.use.key
        if status in SHARED:
            outcome.age.FromTimedelta(self.attached.age)
        return outcome

    def _begin(self, event: bytes) -> Any:
        first = self.ask.translator.parse(event)
        self.ask.translator.tell(first, self._told())
        return first

    async def _finish(self, event: bytes, write: Write) -> Summary:
        translator = self.ask.translator
        last = translator.parse(event)
        usage = pb.Usage()
        usage.CopyFrom(translator.usage(last))
        told = self._told()
        translator.tell(last, told)
        await write(last)
        if told.billed:
            return self._summary(usage, translator.context(last))
        self.saved = usage
        return self._summary(pb.Usage(), translator.context(last))

    def _told(self) -> Told:
        is_billed = self.attached.status not in SHARED
        own = pb.ContextOutcome(id=self.prompt.context_id)
        return Told(
            resumable=bool(self.ask.request.idempotency_key) and self.attached.is_stored(),
            response_cache=self.outcome(),
            billed=is_billed,
            context=None if is_billed else own,
        )

    def _summary(self, usage: pb.Usage, context: pb.ContextOutcome) -> Summary:
        return Summary(usage, context, self.outcome(), self.attached.is_resumed)


def _bypassed(ask: Ask[Any]) -> Status:
    """Return what is told of the response cache where it is not used."""
    return bypassed_cache(ask.request).status


def _may_try_again(error: BridgeError, journal: Journal, attached: Attachment) -> bool:
    """Tell whether a call may try again, or wait for another that does, after a failure.

    Nothing was sent, and another call met the failure: its time was up, upstream was busy.
    """
    if attached.is_mine or journal.error is None or journal.last:
        return False
    if error.reason == pb.ERROR_REASON_GENERATION_ABANDONED:
        # Under a request id, somebody may have had events that were never saved.
        return not attached.is_resumed
    return error.reason not in REFUSALS
