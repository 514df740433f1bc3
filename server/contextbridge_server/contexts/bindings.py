"""Makes a context's binding again: once for all who found it gone, on whatever replica."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from contextbridge import v1 as pb

from ..background_tasks import BackgroundTasks
from ..errors import BridgeError
from ..request_context import RequestContext
from ..store.backoff import backoff, retry_with_backoff
from ..store.leases import Leases
from ..telemetry import names
from ..translate.cached_contents import COLLECTION
from ..translate.contexts import context_created, restore_context_request
from ..translate.json_values import Json, encode
from ..translate.paths import resource_request
from ..translate.prompt import Inline
from ..translate.times import timedelta_of
from ..upstream.interface import Upstream
from ..upstream.json_object import fetch_object
from .ownership import Ownership
from .record import Binding, ContextRecord, prefix_tokens
from .records import ContextKey, ContextRecords, not_found
from .upstream_names import named_context

GONE = {
    pb.ERROR_REASON_CONTEXT_NOT_FOUND,
    pb.ERROR_REASON_CACHE_NOT_FOUND,
    pb.ERROR_REASON_CACHE_EXPIRED,
}
"""How upstream says that a binding is gone, in any dialect (wire.md A.4, C)."""

WILL_NOT_CACHE = {
    pb.ERROR_REASON_CACHE_TOO_SMALL,
    pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED,
    pb.ERROR_REASON_UPSTREAM_INVALID_ARGUMENT,
    pb.ERROR_REASON_UPSTREAM_FAILED_PRECONDITION,
    pb.ERROR_REASON_UPSTREAM_NOT_FOUND,
    pb.ERROR_REASON_UPSTREAM_UNIMPLEMENTED,
    pb.ERROR_REASON_MODEL_NOT_FOUND,
}
"""Refusals that an early repetition would meet again: too small now, no quota, no such feature. A
model without caching answers as an unknown one does (wire.md C)."""

CANNOT_NOW = {
    pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
    pb.ERROR_REASON_UPSTREAM_OVERLOADED,
    pb.ERROR_REASON_UPSTREAM_UNAVAILABLE,
    pb.ERROR_REASON_UPSTREAM_INTERNAL,
    pb.ERROR_REASON_UPSTREAM_DEADLINE_EXCEEDED,
    pb.ERROR_REASON_UPSTREAM_RESPONSE_TIMEOUT,
    pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY,
    pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
}
"""Failures to cache that may pass soon."""

REFUSED_FOR = timedelta(minutes=5)
FAILED_FOR = timedelta(seconds=5)
BYTES_PER_TOKEN = 4
DEFAULT_HISTORY_TOKENS = 4_096
"""What upstream keeps of a session's history where nothing else was asked (wire.md A.1)."""

log = structlog.get_logger()


class Bindings:
    """The bindings of stored contexts.

    Args:
        upstream: Makes them.
        records: The contexts.
        leases: Decide who makes one, among replicas.
        ownership: Notes whose they are.
        tasks: Own what goes on when the call that began it leaves: upstream may charge for a
            binding as soon as it was asked.
        now: Tells the time, with its zone.
    """

    def __init__(
        self,
        *,
        upstream: Upstream,
        records: ContextRecords,
        leases: Leases,
        ownership: Ownership,
        tasks: BackgroundTasks,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._records = records
        self._leases = leases
        self._ownership = ownership
        self._tasks = tasks
        self._now = now
        self._renewing: dict[ContextKey, asyncio.Task[ContextRecord]] = {}

    async def renewed(
        self, key: ContextKey, known: ContextRecord, ctx: RequestContext
    ) -> ContextRecord:
        """Return a context with a live binding, which is not the one known to be gone.

        Raises:
            BridgeError: What upstream answered to the making; CONTEXT_NOT_FOUND where the context
                is gone; STORE_UNAVAILABLE.
        """
        task = self._renewing.get(key)
        if task is None:
            task = self._tasks.begin(self._renew(key, known, ctx))
            self._renewing[key] = task
            task.add_done_callback(lambda _: self._renewing.pop(key))
        return await asyncio.shield(task)

    async def _renew(
        self, key: ContextKey, known: ContextRecord, ctx: RequestContext
    ) -> ContextRecord:
        async for _ in backoff():
            current = await self._records.load(key)
            if current is None:
                raise not_found(key.id)
            if _is_other(current, known) and current.live_binding(self._now()):
                return current
            token = await self._leases.acquire(key.restore_lease)
            if token is None:
                raise not_found(key.id)
            if token:
                async with self._leases.kept(key.restore_lease, token):
                    return await self._renew_as_holder(key, known, token, ctx)
        raise AssertionError("backoff never ends")

    async def _renew_as_holder(
        self, key: ContextKey, known: ContextRecord, token: int, ctx: RequestContext
    ) -> ContextRecord:
        # The holder before may have made it between the look and the lease.
        current = await self._records.load(key)
        if current is None:
            raise not_found(key.id)
        if _is_other(current, known) and current.live_binding(self._now()):
            return current
        if current.goes_inline(self._now()):
            # The holder before was refused; those who waited need not ask again.
            raise BridgeError(
                pb.ERROR_REASON_UPSTREAM_UNAVAILABLE,
                "Upstream has just refused to cache the context again.",
            )
        started = time.perf_counter()
        try:
            binding = await self._made(key, current, ctx)
        except BridgeError as error:
            await self._note_refusal(key, token, error)
            raise
        renewed = await self._bound(key, current, token, binding, ctx)
        log.info(
            names.CONTEXT_RESTORED,
            **{names.CONTEXT: key.id, names.TENANT: key.tenant},
            duration_ms=round((time.perf_counter() - started) * 1000),
            request_id=ctx.request_id,
        )
        return renewed

    async def _made(self, key: ContextKey, record: ContextRecord, ctx: RequestContext) -> Binding:
        body, turns = await self._made_from(key, record)
        now = self._now()
        value = await self._asked_for(body, turns, record.ttl, ctx)
        like = pb.CreateContextRequest(model=record.context.model)
        if record.ttl is not None:
            like.ttl.FromTimedelta(record.ttl)
        return binding_of(context_created(value, like, now).context)

    async def _asked_for(
        self, body: Json, turns: Sequence[Json], ttl: timedelta | None, ctx: RequestContext
    ) -> Json:
        """Ask upstream for a binding; where a history is too long, for one of its newer half."""
        while True:
            asked = restore_context_request(body, turns, ttl)
            try:
                # It serves all who wait, so it does not end with the deadline of the first.
                return await fetch_object(self._upstream, asked, ctx.without_deadline())
            except BridgeError as error:
                if error.reason != pb.ERROR_REASON_UPSTREAM_PROMPT_TOO_LONG or not turns:
                    raise
            turns = newer_half(turns)

    async def prefix(self, key: ContextKey, record: ContextRecord) -> Inline:
        """Return what a context was made from, and has gained since, to be sent with a call.

        Raises:
            BridgeError: CONTEXT_NOT_FOUND, CONTENT_UNREADABLE, STORE_UNAVAILABLE.
        """
        body, turns = await self._made_from(key, record)
        own = ("model", "messages", "mode", "ttl", "truncation_strategy")
        members = {name: value for name, value in body.items() if name not in own}
        return Inline([*body["messages"], *turns], members)

    async def _made_from(self, key: ContextKey, record: ContextRecord) -> tuple[Json, list[Json]]:
        body = await self._records.content(key)
        if body is None:
            raise not_found(key.id)
        if not record.is_session:
            return body, []
        turns = await self._records.turns(key)
        return body, kept_history(turns, record.context.truncation_strategy)

    async def _bound(
        self,
        key: ContextKey,
        record: ContextRecord,
        token: int,
        binding: Binding,
        ctx: RequestContext,
    ) -> ContextRecord:
        held_before = record.binding.held_token_ms(self._now()) if record.binding else 0
        try:
            bound = await retry_with_backoff(
                lambda: self._records.bind(key, token, binding, held_before)
            )
        except BridgeError:
            await self.discard(binding, ctx)
            raise
        if bound:
            made = named_context(binding.upstream_id)
            claim = partial(
                self._ownership.claim, ctx.caller, made, binding.expires, context_id=key.id
            )
            await retry_with_backoff(claim)
        else:
            # The context was deleted meanwhile, or another holder has made its own.
            await self.discard(binding, ctx)
        current = await self._records.load(key)
        if current is None:
            raise not_found(key.id)
        return current

    async def discard(self, binding: Binding, ctx: RequestContext) -> None:
        """Delete a binding upstream where upstream can; what cannot be deleted lapses."""
        if not binding.is_cached_content:
            return
        asked = resource_request("DELETE", binding.upstream_id, COLLECTION)
        try:
            await self._upstream.send(asked, ctx.without_deadline())
            await self._ownership.forget(ctx.caller, named_context(binding.upstream_id))
        except BridgeError as error:
            if error.reason not in GONE:
                log.warning(
                    names.BINDING_LEFT,
                    **{names.REASON: pb.ErrorReason.Name(error.reason)},
                    request_id=ctx.request_id,
                )

    async def _note_refusal(self, key: ContextKey, token: int, error: BridgeError) -> None:
        now = self._now()
        if error.reason in WILL_NOT_CACHE:
            await self._records.refuse(key, token, now + REFUSED_FOR, now)
        elif error.reason in CANNOT_NOW:
            await self._records.refuse(key, token, now + FAILED_FOR, now)


def may_go_inline(record: ContextRecord, error: BridgeError) -> bool:
    """Tell whether a context's prefix goes inline after a failure to make its binding again."""
    wants = record.context.recovery == pb.RECOVERY_RESTORE_OR_INLINE
    return wants and error.reason in WILL_NOT_CACHE | CANNOT_NOW


def binding_of(context: pb.Context) -> Binding:
    """Return the binding of a context that upstream has just made."""
    expires = None
    if context.HasField("expire_time"):
        expires = context.expire_time.ToDatetime(UTC)
    return Binding(
        upstream_id=context.upstream_id,
        made=context.create_time.ToDatetime(UTC),
        expires=expires,
        token_count=prefix_tokens(context.usage),
        ttl=timedelta_of(context.ttl) if context.HasField("ttl") else None,
    )


def kept_history(turns: Sequence[Sequence[Json]], truncation: pb.TruncationStrategy) -> list[Json]:
    """Return the messages of a session's turns that upstream would have kept, the oldest first.

    Upstream drops the oldest past a number of tokens; tokens are estimated from bytes.
    """
    history = [message for turn in turns for message in turn]
    if truncation.type != "last_history_tokens":
        return history
    most = truncation.last_history_tokens or DEFAULT_HISTORY_TOKENS
    room = most * BYTES_PER_TOKEN
    for kept, message in enumerate(reversed(history)):
        room -= len(encode(message.get("content")))
        if room < 0:
            return from_question(history[len(history) - kept :])
    return history


def newer_half(history: Sequence[Json]) -> Sequence[Json]:
    """Return the newer half of a history, or less."""
    return from_question(history[(len(history) + 1) // 2 :])


def from_question(history: Sequence[Json]) -> list[Json]:
    """Return a history from its first question on: an answer to nothing makes no sense."""
    asked = (number for number, message in enumerate(history) if message.get("role") == "user")
    return list(history[next(asked, len(history)) :])


def _is_other(current: ContextRecord, known: ContextRecord) -> bool:
    """Tell whether a context has another binding than it was known to have."""
    ids = [record.binding and record.binding.upstream_id for record in (current, known)]
    return ids[0] != ids[1]
