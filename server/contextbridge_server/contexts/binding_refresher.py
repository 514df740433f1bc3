"""Keeping warm: a binding with a fixed end is extended while calls use it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

import structlog

from contextbridge import v1 as pb

from ..background_tasks import BackgroundTasks
from ..errors import BridgeError
from ..request_context import RequestContext
from ..telemetry import names
from ..translate.cached_contents import update_cached_content_request
from ..upstream.interface import Upstream
from .ownership import Ownership
from .record import Binding, ContextRecord
from .records import ContextKey, ContextRecords
from .upstream_names import named_context

LATE = 4
"""A binding is extended in the last quarter of its life."""
MS_PER_HOUR = 3_600_000

log = structlog.get_logger()


class NoRefresher:
    """Bindings lapse when upstream's clock says so."""

    def after_use(self, key: ContextKey, record: ContextRecord, ctx: RequestContext) -> None:
        """Do nothing."""


class BindingRefresher:
    """Extends bindings ahead of their end, within a day's budget for each context.

    Args:
        upstream: Extends them.
        records: The contexts.
        ownership: Notes how long they are whose.
        tasks: Own the extensions, which no call waits for.
        max_token_hours: The most that extensions of a context hold upstream in a day.
        now: Tells the time, with its zone.
    """

    def __init__(
        self,
        *,
        upstream: Upstream,
        records: ContextRecords,
        ownership: Ownership,
        tasks: BackgroundTasks,
        max_token_hours: float,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._records = records
        self._ownership = ownership
        self._tasks = tasks
        self._max_token_ms = round(max_token_hours * MS_PER_HOUR)
        self._now = now
        self._extending: set[str] = set()

    def after_use(self, key: ContextKey, record: ContextRecord, ctx: RequestContext) -> None:
        """Begin to extend the binding if it is late in its life."""
        binding, ttl = record.binding, record.ttl
        if binding is None or ttl is None or not is_late(binding, ttl, self._now()):
            return
        if binding.upstream_id not in self._extending:
            self._extending.add(binding.upstream_id)
            self._tasks.begin(self._extend(key, record, binding, ttl, ctx))

    async def _extend(
        self,
        key: ContextKey,
        record: ContextRecord,
        binding: Binding,
        ttl: timedelta,
        ctx: RequestContext,
    ) -> None:
        try:
            await self._extend_within_budget(key, record, binding, ttl, ctx)
        except BridgeError as error:
            # The binding lapses then, and the next call makes it again.
            log.info(
                names.CONTEXT_KEPT_WARM,
                **{names.CONTEXT: key.id, names.REASON: pb.ErrorReason.Name(error.reason)},
                request_id=ctx.request_id,
            )
        finally:
            self._extending.discard(binding.upstream_id)

    async def _extend_within_budget(
        self,
        key: ContextKey,
        record: ContextRecord,
        binding: Binding,
        ttl: timedelta,
        ctx: RequestContext,
    ) -> None:
        now = self._now()
        cost = binding.token_count * round(_gained(binding, ttl, now).total_seconds() * 1000)
        if not await self._records.spend(key, f"{now:%Y-%m-%d}", cost, self._max_token_ms):
            return
        await extend(self._upstream, binding, ttl, ctx.without_deadline())
        extended = replace(record, binding=replace(binding, expires=now + ttl))
        await self._records.change(key, record, extended, now)
        moved = named_context(binding.upstream_id)
        await self._ownership.renew(ctx.caller, moved, now + ttl)
        log.info(
            names.CONTEXT_KEPT_WARM,
            **{names.CONTEXT: key.id},
            request_id=ctx.request_id,
        )


Refresher: TypeAlias = NoRefresher | BindingRefresher
"""Extends bindings, or lets them lapse."""


async def extend(upstream: Upstream, binding: Binding, ttl: timedelta, ctx: RequestContext) -> None:
    """Move the end of a binding with a fixed end: `ttl` from now.

    Raises:
        BridgeError: What upstream answers.
    """
    change = pb.CachedContent(name=binding.upstream_id)
    change.ttl.FromTimedelta(ttl)
    asked = update_cached_content_request(pb.UpdateCachedContentRequest(cached_content=change))
    await upstream.send(asked, ctx)


def is_late(binding: Binding, ttl: timedelta, now: datetime) -> bool:
    """Tell whether a binding with a fixed end is in the last part of its life, and still lives."""
    if not binding.is_cached_content or binding.expires is None:
        return False
    return timedelta(0) < binding.expires - now < ttl / LATE


def _gained(binding: Binding, ttl: timedelta, now: datetime) -> timedelta:
    return ttl if binding.expires is None else now + ttl - binding.expires
