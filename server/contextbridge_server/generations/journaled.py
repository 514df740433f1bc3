"""Generations with a journal: resumed, coalesced while they run, and served again once complete.

One mechanism does all three. A call's idempotency key, or the key of its answer in the response
cache, finds a generation or begins one; then the call reads the generation's journal.
"""

from typing import Any, TypeAlias

from contextbridge import v1 as pb

from ..background_tasks import BackgroundTasks
from ..contexts.authorizing_answers import AuthorizingAnswers
from ..contexts.context_answers import use_model
from ..contexts.context_lookup import NO_CONTEXT, ContextLookup, ResolvedContext
from ..errors import BridgeError
from ..store.backoff import backoff
from ..translate.generation_request import bypassed_cache
from ..translate.limits import Limits
from ..translate.prompt import Prompt
from ..translate.translator import ReaderTerms
from .call import GenerationCall, Summary, Write
from .counters import ResponseCacheCounters
from .direct import DirectGenerations
from .generation_manager import Attachment, GenerationManager
from .hit_cache import Hit, HitCache
from .journal import Journal, Reader
from .response_cache import CacheUse, cache_use

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
    """Answers that are read from a generation's journal: resumed, coalesced, or served again.

    Args:
        direct: Answers calls while the store is away, and calls that need no journal after all.
        answers: Authorizes calls.
        manager: Finds generations and begins them.
        contexts: Resolves the contexts that calls name.
        counters: Counts what the response cache does.
        tasks: Runs what is recorded after a call's end.
        limits: The server's bounds of a request.
        upstream: The upstream's name: the store may hold answers of others.
        hits: The response cache's recent hits.
    """

    def __init__(
        self,
        *,
        direct: DirectGenerations,
        answers: AuthorizingAnswers,
        manager: GenerationManager,
        contexts: ContextLookup,
        counters: ResponseCacheCounters,
        tasks: BackgroundTasks,
        limits: Limits,
        upstream: str,
        hits: HitCache,
    ) -> None:
        self._direct = direct
        self._answers = answers
        self._manager = manager
        self._contexts = contexts
        self._counters = counters
        self._tasks = tasks
        self._limits = limits
        self._upstream = upstream
        self._hits = hits

    async def stream(self, call: GenerationCall[Any], write: Write) -> Summary:
        """Write an answer's events, no faster than they are taken."""
        hit = self._hits.find(call)
        if hit is not None:
            outcome = self._hit_again(call, hit)
            for event in hit.events_with(outcome):
                await write(event)
            return hit.summary(outcome)
        summary = await self._read(call, call.request.resume_after, write)
        if summary is None:
            summary = await self._direct.stream(call, write)
            self._count(call, summary.response_cache.status)
        return summary

    async def complete(self, call: GenerationCall[Any]) -> tuple[Any, Summary]:
        """Return a whole answer and the outcome."""
        hit = self._hits.find(call)
        if hit is not None:
            outcome = self._hit_again(call, hit)
            return hit.whole_with(outcome), hit.summary(outcome)
        events: list[Any] = []

        async def collect(event: Any) -> None:
            events.append(call.translator.parse(event) if isinstance(event, bytes) else event)

        # A whole answer is read from its beginning, whatever an earlier stream had of it.
        summary = await self._read(call, 0, collect)
        if summary is not None:
            return call.translator.fold(events), summary
        whole, summary = await self._direct.complete(call)
        self._count(call, summary.response_cache.status)
        return whole, summary

    async def _read(self, call: GenerationCall[Any], after: int, write: Write) -> Summary | None:
        """Write the events of a call's generation; None where the call needs no journal."""
        request = call.request
        prompt = call.translator.prompt(request, self._limits, stream=True)
        mark = self._hits.mark()
        await self._answers.check(prompt, call.ctx)
        async for _ in backoff():
            try:
                context, use = await self._cache_use(call, prompt)
                if use is None and not request.idempotency_key:
                    return None
                attached = await self._manager.attach(call, prompt, use, _bypassed(call))
            except BridgeError as error:
                if error.reason not in NO_STORE_NOW or request.resume_after:
                    raise
                return None
            journal = attached.journal() if attached else None
            if attached is None or journal is None:
                continue
            reading = _JournalCall(call, prompt, attached, use)
            try:
                with journal.reading(after) as reader:
                    summary = await reading.read(reader, write)
            except BridgeError as error:
                reading.has_failed = True
                if not _may_try_again(error, journal, attached):
                    raise
            else:
                self._remember(reading, context, journal, mark)
                return summary
            finally:
                self._record(reading, context)
        raise AssertionError("backoff never ends")

    def _hit_again(self, call: GenerationCall[Any], hit: Hit[Any]) -> pb.ResponseCacheOutcome:
        """Count a recent hit and return what the response cache did."""
        self._count(call, pb.RESPONSE_CACHE_STATUS_HIT, hit.usage)
        return hit.outcome()

    def _remember(
        self, reading: "_JournalCall", context: ResolvedContext, journal: Journal, mark: int
    ) -> None:
        """Keep a hit in the near cache, if everything that it depends on can be tracked."""
        attached, use, call = reading.attached, reading.use, reading.call
        is_hit = attached.status == pb.RESPONSE_CACHE_STATUS_HIT and journal.is_complete
        if not is_hit or use is None or call.request.idempotency_key:
            return
        owners = self._answers.keys(reading.prompt)
        if owners is not None:
            keys = (*owners, *context.keys, *attached.keys)
            self._hits.keep(call, use, attached.age, journal.since(0), (mark, keys))

    async def _cache_use(
        self, call: GenerationCall[Any], prompt: Prompt
    ) -> tuple[ResolvedContext, CacheUse | None]:
        """Return the context of a call, and how the call uses the response cache."""
        if not call.request.response_cache.enabled:
            return NO_CONTEXT, None
        context = await self._contexts.of(prompt.context_id, call.ctx, native=prompt.is_native)
        if context.is_session:
            return context, None
        if context.record is not None:
            use_model(prompt, context.record)
        return context, await cache_use(call, prompt.model, context.content, self._upstream)

    def _record(self, reading: "_JournalCall", context: ResolvedContext) -> None:
        """Count what the response cache did, and record that the context was used."""
        if reading.attached.is_resumed or reading.has_failed:
            return
        self._count(reading.call, reading.outcome().status, reading.saved)
        if reading.attached.status in SHARED:
            self._tasks.begin(self._contexts.used(context, reading.call.ctx))

    def _count(
        self, call: GenerationCall[Any], status: Status, saved: pb.Usage | None = None
    ) -> None:
        self._counters.count(call.ctx.caller.tenant, status, saved or pb.Usage())


class _JournalCall:
    """A call that reads a generation's journal.

    Args:
        call: The call.
        prompt: Its prompt.
        attached: Its generation.
        use: How it uses the response cache; None for not at all.
    """

    def __init__(
        self, call: GenerationCall[Any], prompt: Prompt, attached: Attachment, use: CacheUse | None
    ) -> None:
        self.call = call
        self.prompt = prompt
        self.attached = attached
        self.use = use
        self.saved = pb.Usage()
        """The tokens that the call did not pay for."""
        self.has_failed = False
        """The generation failed the call; leaving early is no failure."""

    async def read(self, reader: Reader, write: Write) -> Summary:
        """Write the events that a reader gets, the first and the last on the call's own terms."""
        async for entries in reader:
            for sequence, event, is_last in entries:
                if is_last:
                    return await self._finish(event, write)
                await write(self._begin(event) if sequence == 1 else event)
        # The caller has all events already.
        return self._summary(pb.Usage(), pb.ContextOutcome())

    def outcome(self) -> pb.ResponseCacheOutcome:
        """Return what the response cache did, as far as is known now."""
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
        first = self.call.translator.parse(event)
        self.call.translator.apply(self._terms(), first)
        return first

    async def _finish(self, event: bytes, write: Write) -> Summary:
        translator = self.call.translator
        last = translator.parse(event)
        usage = pb.Usage()
        usage.CopyFrom(translator.usage(last))
        terms = self._terms()
        translator.apply(terms, last)
        await write(last)
        if terms.billed:
            return self._summary(usage, translator.context(last))
        self.saved = usage
        return self._summary(pb.Usage(), translator.context(last))

    def _terms(self) -> ReaderTerms:
        is_billed = self.attached.status not in SHARED
        own = pb.ContextOutcome(id=self.prompt.context_id)
        return ReaderTerms(
            resumable=bool(self.call.request.idempotency_key) and self.attached.is_stored(),
            response_cache=self.outcome(),
            billed=is_billed,
            context=None if is_billed else own,
        )

    def _summary(self, usage: pb.Usage, context: pb.ContextOutcome) -> Summary:
        return Summary(usage, context, self.outcome(), self.attached.is_resumed)


def _bypassed(call: GenerationCall[Any]) -> Status:
    """Return the status of the response cache where it is not used."""
    return bypassed_cache(call.request).status


def _may_try_again(error: BridgeError, journal: Journal, attached: Attachment) -> bool:
    """Tell whether a call may try again, or wait for another that does, after a failure.

    Nothing was sent, and another call met the failure: its time was up, upstream was busy.
    """
    if attached.is_mine or journal.error is None or journal.last:
        return False
    if error.reason == pb.ERROR_REASON_GENERATION_ABANDONED:
        # Under an idempotency key, a caller may have had events that were never saved.
        return not attached.is_resumed
    return error.reason not in REFUSALS
