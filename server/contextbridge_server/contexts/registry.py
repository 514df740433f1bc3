"""The registry: contexts that are created once, and are there until their retention ends."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import msgspec

from contextbridge import v1 as pb

from ..background_tasks import BackgroundTasks
from ..errors import BridgeError
from ..request_context import RequestContext
from ..store.backoff import retry_with_backoff
from ..store.claims import Claims
from ..store.keys import create_key, identity_key
from ..store.vault import LARGE_BYTES
from ..translate.context_ids import is_ours, new_id
from ..translate.contexts import (
    context_change,
    context_created,
    create_context_request,
    refuse_what_needs_a_store,
    ttl_asked,
)
from ..translate.json_values import Json
from ..translate.limits import Limits
from ..translate.times import timedelta_of
from ..upstream.interface import Upstream, UpstreamRequest
from ..upstream.json_object import fetch_object
from .binding_refresher import extend
from .bindings import GONE, Bindings, binding_of
from .identity import content_identity_of, identity_of
from .ownership import Ownership
from .pages import LOOKS, page_of
from .prices import PriceTable
from .record import ContextRecord, as_stored
from .records import ContextKey, ContextRecords, not_found
from .statistics import Counters
from .upstream_names import named_context

TOLERATED_SHARE = 0.1
"""Of a life that is asked for: a reused binding may have so much less of it left."""


class Contexts(Protocol):
    """What ContextService does beside answering."""

    async def create(
        self, request: pb.CreateContextRequest, ctx: RequestContext
    ) -> pb.CreateContextResponse:
        """Make a context, or return one that is there."""
        ...

    async def get(self, request: pb.GetContextRequest, ctx: RequestContext) -> pb.Context:
        """Return a context."""
        ...

    async def list(
        self, request: pb.ListContextsRequest, ctx: RequestContext
    ) -> pb.ListContextsResponse:
        """Return a page of contexts."""
        ...

    async def update(self, request: pb.UpdateContextRequest, ctx: RequestContext) -> pb.Context:
        """Change a context and return it."""
        ...

    async def delete(self, request: pb.DeleteContextRequest, ctx: RequestContext) -> None:
        """Delete a context."""
        ...


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for contexts whose creation did not say.

    Attributes:
        recovery: What happens when a binding is found gone.
        retention: How long after its last use a context can be brought back.
        idempotency_key_retention: How long a create is answered as it was the first time.
    """

    recovery: pb.Recovery.ValueType
    retention: timedelta
    idempotency_key_retention: timedelta


class Registry:
    """The contexts of a server that keeps them.

    Args:
        upstream: Makes the bindings.
        records: Keep the contexts.
        bindings: Makes bindings again.
        claims: Make what is asked for twice once.
        ownership: Tells whose upstream's ids are.
        tasks: Own what goes on when the call that began it leaves.
        prices: Tell what contexts cost.
        limits: The server's bounds of a request.
        defaults: What holds where a creation did not say.
        now: Tells the time, with its zone.
    """

    def __init__(
        self,
        *,
        upstream: Upstream,
        records: ContextRecords,
        bindings: Bindings,
        claims: Claims,
        ownership: Ownership,
        tasks: BackgroundTasks,
        prices: PriceTable,
        limits: Limits,
        defaults: Defaults,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._records = records
        self._bindings = bindings
        self._claims = claims
        self._ownership = ownership
        self._tasks = tasks
        self._prices = prices
        self._limits = limits
        self._defaults = defaults
        # What callers are told at once is what they read later, in milliseconds.
        self._now: Callable[[], datetime] = lambda: as_stored(now())

    async def create(
        self, request: pb.CreateContextRequest, ctx: RequestContext
    ) -> pb.CreateContextResponse:
        """Make a context, or return one that is there.

        Raises:
            BridgeError: REQUEST_INVALID; IDEMPOTENCY_KEY_REUSED; what upstream answers;
                STORE_UNAVAILABLE, STORE_FULL.
        """
        if not request.idempotency_key:
            return await self._checked(request, ctx)
        claim_key = create_key(ctx.caller.tenant, request.idempotency_key)
        life = self._defaults.idempotency_key_retention

        async def make() -> bytes:
            made = await self._checked(request, ctx)
            return made.SerializeToString()

        # Who asked first may leave and ask again: what upstream is paid for is kept for then.
        claimed = await self._tasks.finish(
            self._claims.once(claim_key, digest_of(request), life, make)
        )
        return pb.CreateContextResponse.FromString(claimed.answer)

    async def _checked(
        self, request: pb.CreateContextRequest, ctx: RequestContext
    ) -> pb.CreateContextResponse:
        # Not before its request_id: by the time it is repeated, its expire_time has come nearer.
        asked = create_context_request(request, self._limits, self._now())
        async with self._ownership.authorize(ctx.caller, body=asked.body):
            return await self._reused_or_made(request, asked, ctx)

    async def _reused_or_made(
        self, request: pb.CreateContextRequest, asked: UpstreamRequest, ctx: RequestContext
    ) -> pb.CreateContextResponse:
        if request.reuse != pb.REUSE_IDENTICAL:
            return await self._made(request, asked, ctx)
        identity = await _hash_of(asked.body, identity_of)
        keeps = "" if self._recovery(request) == pb.RECOVERY_NEVER else "stored"
        claim_key = identity_key(ctx.caller.tenant, f"{identity}/{keeps}/{ctx.account}")
        made: pb.CreateContextResponse | None = None

        async def make() -> bytes:
            nonlocal made
            made = await self._made(request, asked, ctx)
            return made.context.id.encode()

        while True:
            once = self._claims.once(claim_key, identity, self._defaults.retention, make)
            claimed = await self._tasks.finish(once)
            if made is not None:
                return made
            key = ContextKey.of(ctx, claimed.answer.decode())
            record = await self._records.load(key)
            if record is not None and _is_reusable(record, self._now()):
                await self._claims.prolong(claim_key, self._defaults.retention)
                return await self._reused(key, record, request, ctx)
            await self._claims.forget(claim_key, claimed.answer)

    async def _reused(
        self,
        key: ContextKey,
        record: ContextRecord,
        request: pb.CreateContextRequest,
        ctx: RequestContext,
    ) -> pb.CreateContextResponse:
        now = self._now()
        asked = ttl_asked(request, now)
        binding = record.binding
        if asked is not None and binding is not None and _raises(record, asked, now):
            changed = replace(record, ttl=max(asked, record.ttl or asked), updated=now)
            record = await self._with_life(key, record, changed, asked, ctx)
        context = record.described(now, self._prices)
        return pb.CreateContextResponse(context=context, usage=pb.Usage(), reused=True)

    async def _made(
        self, request: pb.CreateContextRequest, asked: UpstreamRequest, ctx: RequestContext
    ) -> pb.CreateContextResponse:
        # Before upstream is paid: nobody could find the context where the store is away or full.
        await self._records.make_room(ctx.caller.tenant)
        await self._ownership.require(ctx.caller)
        content_identity = await _hash_of(asked.body, content_identity_of)
        now = self._now()
        value = await fetch_object(self._upstream, asked, ctx)
        created = context_created(value, request, now)
        # A caller who leaves now has been charged for, so the context is kept all the same.
        return await self._tasks.finish(
            self._kept(created, request, asked, ctx, now, content_identity=content_identity)
        )

    async def _kept(
        self,
        created: pb.CreateContextResponse,
        request: pb.CreateContextRequest,
        asked: UpstreamRequest,
        ctx: RequestContext,
        now: datetime,
        *,
        content_identity: str,
    ) -> pb.CreateContextResponse:
        context = created.context
        context.id = new_id(now)
        context.recovery = self._recovery(request)
        key = ContextKey.of(ctx, context.id)
        record = self._record(
            ctx.caller.tenant, context, request, now, content_identity=content_identity
        )
        content = asked.body if record.is_restorable else None
        binding = binding_of(context)
        made = named_context(binding.upstream_id)
        claim = partial(self._ownership.claim, ctx.caller, made, binding.expires, context_id=key.id)
        try:
            await retry_with_backoff(claim)
            await retry_with_backoff(lambda: self._records.add(key, record, content, now))
        except BridgeError:
            await self._bindings.discard(binding, ctx)
            raise
        described = record.described(now, self._prices)
        return pb.CreateContextResponse(context=described, usage=created.usage)

    def _record(
        self,
        tenant: str,
        context: pb.Context,
        request: pb.CreateContextRequest,
        now: datetime,
        *,
        content_identity: str,
    ) -> ContextRecord:
        binding = binding_of(context)
        ttl = timedelta_of(context.ttl) if context.HasField("ttl") else None
        return ContextRecord(
            tenant=tenant,
            context=context,
            display_name=request.display_name,
            ttl=ttl,
            retention=self._retention(context, request, ttl),
            updated=now,
            used=now,
            binding=binding,
            counters=Counters(creation_tokens=binding.token_count),
            content_identity=content_identity,
        )

    def _recovery(self, request: pb.CreateContextRequest) -> pb.Recovery.ValueType:
        return request.recovery or self._defaults.recovery

    def _retention(
        self,
        context: pb.Context,
        request: pb.CreateContextRequest | pb.UpdateContextRequest,
        ttl: timedelta | None,
    ) -> timedelta | None:
        if context.recovery == pb.RECOVERY_NEVER:
            return None
        if request.HasField("retention"):
            return timedelta_of(request.retention)
        return max(self._defaults.retention, ttl or timedelta(0))

    async def get(self, request: pb.GetContextRequest, ctx: RequestContext) -> pb.Context:
        """Return a context.

        Raises:
            BridgeError: CONTEXT_NOT_FOUND, STORE_UNAVAILABLE.
        """
        record = await self._loaded(ContextKey.of(ctx, request.id))
        return record.described(self._now(), self._prices)

    async def list(
        self, request: pb.ListContextsRequest, ctx: RequestContext
    ) -> pb.ListContextsResponse:
        """Return a page of contexts, the newest first.

        Raises:
            BridgeError: REQUEST_INVALID, STORE_UNAVAILABLE.
        """
        page = page_of(request)
        now = self._now()
        response = pb.ListContextsResponse()
        before = page.before
        for _ in range(LOOKS):
            records, last = await self._records.page(
                ctx.caller.tenant, ctx.account, before, page.size
            )
            for record in records:
                context = record.described(now, self._prices)
                if not page.wants(context):
                    continue
                response.contexts.append(context)
                if len(response.contexts) == page.size:
                    response.next_page_token = page.token(record.id)
                    return response
            before = last
            if not last:
                break
        response.next_page_token = page.token(before)
        return response

    async def update(self, request: pb.UpdateContextRequest, ctx: RequestContext) -> pb.Context:
        """Change a context and return it.

        Raises:
            BridgeError: REQUEST_INVALID; CONTEXT_NOT_FOUND; STORE_UNAVAILABLE; what upstream
                answers where its expiry is moved.
        """
        key = ContextKey.of(ctx, request.id)
        record = await self._loaded(key)
        now = self._now()
        change = context_change(request, record.context, now)
        changed = replace(record, updated=now)
        if change.display_name is not None:
            changed = replace(changed, display_name=change.display_name)
        if change.retention is not None:
            changed = replace(changed, retention=change.retention)
        if change.ttl is not None:
            changed = replace(changed, ttl=change.ttl)
        if change.clears_retention:
            retention = self._retention(record.context, pb.UpdateContextRequest(), changed.ttl)
            changed = replace(changed, retention=retention)
        changed = await self._with_life(key, record, changed, change.ttl, ctx)
        return changed.described(now, self._prices)

    async def _with_life(
        self,
        key: ContextKey,
        known: ContextRecord,
        changed: ContextRecord,
        ttl: timedelta | None,
        ctx: RequestContext,
    ) -> ContextRecord:
        """Keep a changed context; move its binding's end upstream where a new life is given."""
        now = changed.updated
        binding = changed.live_binding(now)
        if ttl is not None and binding is not None and binding.is_cached_content:
            try:
                await extend(self._upstream, binding, ttl, ctx)
                changed = replace(changed, binding=replace(binding, expires=now + ttl))
                moved = named_context(binding.upstream_id)
                await self._ownership.renew(ctx.caller, moved, now + ttl)
            except BridgeError as error:
                if error.reason not in GONE:
                    raise
                # The binding is gone; the next one gets the new life.
                changed = replace(changed, binding=replace(binding, expires=now))
        if not await self._records.change(key, known, changed, now):
            raise not_found(key.id)
        return changed

    async def delete(self, request: pb.DeleteContextRequest, ctx: RequestContext) -> None:
        """Delete a context, what was stored of it, and its binding where upstream can.

        Raises:
            BridgeError: CONTEXT_NOT_FOUND, STORE_UNAVAILABLE.
        """
        key = ContextKey.of(ctx, request.id)
        deleted = await self._records.delete(key) if is_ours(key.id) else None
        if deleted is None:
            raise not_found(key.id)
        if deleted.binding is not None:
            await self._bindings.discard(deleted.binding, ctx)

    async def _loaded(self, key: ContextKey) -> ContextRecord:
        record = await self._records.load(key) if is_ours(key.id) else None
        if record is None:
            raise not_found(key.id)
        return record


class NoRegistry:
    """The contexts of a server that keeps none: their ids are upstream's own.

    Args:
        upstream: Makes the bindings.
        ownership: Decides who may name what.
        limits: The server's bounds of a request.
        now: Tells the time, with its zone.
    """

    def __init__(
        self,
        upstream: Upstream,
        ownership: Ownership,
        limits: Limits,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._ownership = ownership
        self._limits = limits
        self._now = now

    async def create(
        self, request: pb.CreateContextRequest, ctx: RequestContext
    ) -> pb.CreateContextResponse:
        """Make a context."""
        now = self._now()
        asked = create_context_request(request, self._limits, now)
        refuse_what_needs_a_store(request)
        async with self._ownership.authorize(ctx.caller, body=asked.body):
            await self._ownership.require(ctx.caller)
            value = await fetch_object(self._upstream, asked, ctx)
        return context_created(value, request, now)

    async def get(self, request: pb.GetContextRequest, ctx: RequestContext) -> pb.Context:
        """Refuse: without a store there is nothing to return."""
        raise _store_required()

    async def list(
        self, request: pb.ListContextsRequest, ctx: RequestContext
    ) -> pb.ListContextsResponse:
        """Refuse: without a store there is nothing to list."""
        raise _store_required()

    async def update(self, request: pb.UpdateContextRequest, ctx: RequestContext) -> pb.Context:
        """Refuse: without a store there is nothing to change."""
        raise _store_required()

    async def delete(self, request: pb.DeleteContextRequest, ctx: RequestContext) -> None:
        """Refuse: without a store there is nothing to delete."""
        raise _store_required()


def digest_of(request: pb.CreateContextRequest) -> str:
    """Return what tells one create from another under the same `idempotency_key`."""
    asked = pb.CreateContextRequest()
    asked.CopyFrom(request)
    asked.idempotency_key = ""
    return hashlib.sha256(asked.SerializeToString(deterministic=True)).hexdigest()


async def _hash_of(body: bytes, hash_of: Callable[[Json], str]) -> str:
    """Return a hash of an encoded body, of a large one without keeping other calls waiting."""
    if len(body) < LARGE_BYTES:
        return hash_of(msgspec.json.decode(body))
    return await asyncio.to_thread(lambda: hash_of(msgspec.json.decode(body)))


def _is_reusable(record: ContextRecord, now: datetime) -> bool:
    """Tell whether a context is live, and still what it was made from."""
    has_turns = record.is_session and record.turns_begun > 0
    return record.live_binding(now) is not None and not has_turns


def _raises(record: ContextRecord, asked: timedelta, now: datetime) -> bool:
    """Tell whether a request asks for a longer life than a context's binding has.

    A fixed end that is a little early will do: else each of many equal requests would move it.
    """
    binding = record.binding
    if binding is not None and binding.is_cached_content and binding.expires is not None:
        return now + asked - binding.expires > asked * TOLERATED_SHARE
    return record.ttl is not None and asked > record.ttl


def _store_required() -> BridgeError:
    return BridgeError(
        pb.ERROR_REASON_STORE_REQUIRED,
        "This server keeps no store, so it remembers no contexts.",
    )
