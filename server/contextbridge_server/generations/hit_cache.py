"""Answers that the response cache gave a moment ago, given again without asking the store.

A popular answer is asked for many times a second, by the same bytes. What it was made of, the
context, its owner and the entry itself, is tracked (store/near_cache.py): once any of it changes,
or a second later at most, the store is asked again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from contextbridge import v1 as pb

from ..request_context import Caller
from ..store.near_cache import InvalidationTracker, NearCache
from ..translate.translator import ReaderTerms, Translator
from .call import GenerationCall, Summary
from .response_cache import CacheUse

Whole = TypeVar("Whole")

MAX_ENTRIES = 1_000
MAX_ENTRY_BYTES = 64 * 1024

Key = tuple[Caller, str, str, bytes]


@dataclass(frozen=True, slots=True)
class Hit(Generic[Whole]):
    """An answer that was found complete.

    Attributes:
        translator: Translates answers of its family.
        use: How the call used the response cache.
        events: The answer's events, serialized; the last without what the response cache did.
        whole: The same answer to a unary call.
        usage: What the answer cost when it was made.
        context: What the call is told of its context.
        made: When it was made, on the event loop's clock.
        ttl: How old it may be for this call, in seconds.
    """

    translator: Translator[Any, Any, Whole]
    use: CacheUse
    events: Sequence[bytes]
    whole: bytes
    usage: pb.Usage
    context: pb.ContextOutcome
    made: float
    ttl: float

    @property
    def age(self) -> float:
        """How old it is, in seconds."""
        return asyncio.get_running_loop().time() - self.made

    def outcome(self) -> pb.ResponseCacheOutcome:
        """Return what the response cache did."""
        outcome = pb.ResponseCacheOutcome(status=pb.RESPONSE_CACHE_STATUS_HIT, key=self.use.key)
        outcome.age.FromNanoseconds(int(self.age * 1e9))
        return outcome

    def summary(self, outcome: pb.ResponseCacheOutcome) -> Summary:
        """Return what the call's log line says: it cost nothing."""
        return Summary(pb.Usage(), self.context, outcome)

    def whole_with(self, outcome: pb.ResponseCacheOutcome) -> bytes:
        """Return the unary answer, serialized.

        Protobuf's messages are joined by joining their bytes.
        """
        return self.whole + self.translator.encoded_outcome(outcome)

    def events_with(self, outcome: pb.ResponseCacheOutcome) -> Iterator[Any]:
        """Yield the events of the answer to a stream."""
        yield from self.events[:-1]
        last = self.translator.parse(self.events[-1])
        self.translator.apply(_terms(outcome, self.context), last)
        yield last


class HitCache:
    """The hits of a moment ago.

    Args:
        invalidations: Tracks what hits depend on.
    """

    def __init__(self, invalidations: InvalidationTracker) -> None:
        self._hits: NearCache[Key, Hit[Any]] = NearCache(invalidations, MAX_ENTRIES)

    def mark(self) -> int:
        """Return a mark of now, to be taken before anything of a hit is read."""
        return self._hits.mark()

    def find(self, call: GenerationCall[Whole]) -> Hit[Whole] | None:
        """Return the hit of a call that asks the same; None where the store must be asked."""
        request = call.request
        policy = request.response_cache
        if not policy.enabled or policy.refresh or request.idempotency_key or request.resume_after:
            return None
        hit = self._hits.get(_key(call))
        return hit if hit is not None and hit.age < hit.ttl else None

    def keep(
        self,
        call: GenerationCall[Whole],
        use: CacheUse,
        age: timedelta,
        events: Sequence[bytes],
        read: tuple[int, Sequence[str]],
    ) -> None:
        """Keep a hit.

        Args:
            call: The call, which has no request id.
            use: How it used the response cache.
            age: How old the answer is.
            events: All its events.
            read: A mark from before anything of it was read, and where in the store it was read.
        """
        if sum(map(len, events)) > MAX_ENTRY_BYTES:
            return
        translator = call.translator
        last = translator.parse(events[-1])
        usage = pb.Usage()
        usage.CopyFrom(translator.usage(last))
        context = pb.ContextOutcome(id=getattr(call.request, translator.context_field))
        terms = _terms(pb.ResponseCacheOutcome(), context)
        parsed = [*map(translator.parse, events)]
        for event in parsed[:1], parsed[-1:]:
            translator.apply(terms, event[0])
        whole: Any = translator.fold(parsed)
        whole.ClearField("response_cache")
        hit = Hit(
            translator=translator,
            use=use,
            events=[event.SerializeToString() for event in parsed],
            whole=whole.SerializeToString(),
            usage=usage,
            context=context,
            made=asyncio.get_running_loop().time() - age.total_seconds(),
            ttl=use.ttl.total_seconds(),
        )
        self._hits.keep(_key(call), hit, *read)


def _terms(outcome: pb.ResponseCacheOutcome, context: pb.ContextOutcome) -> ReaderTerms:
    return ReaderTerms(resumable=False, response_cache=outcome, billed=False, context=context)


def _key(call: GenerationCall[Any]) -> Key:
    request: Any = call.request
    return call.ctx.caller, call.ctx.account, call.translator.name, request.SerializeToString()
