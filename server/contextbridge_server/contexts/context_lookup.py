"""Contexts as the response cache sees them: by what they hold, not by what they are called."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import BridgeError
from ..request_context import RequestContext
from ..store.keys import owner_key
from ..translate.context_ids import is_ours
from .owners import OwnerRecords
from .record import ContextRecord
from .records import ContextKey, ContextRecords, not_found
from .upstream_names import named_cached_content, named_context

NOTED_EVERY = timedelta(minutes=1)
"""How often a use that never reaches upstream is written down, at most."""


@dataclass(frozen=True, slots=True)
class ResolvedContext:
    """The context that a prompt starts from, as the response cache sees it.

    Attributes:
        content: What tells contents apart: `content:<hash>` of a context of ours, `context:<id>`
            of one stored without its hash, `upstream:<id>` of an id that is upstream's own; empty
            for no context.
        is_session: Its answers are part of its state.
        record: The context of ours that was named by its own id, as it was read.
        keys: Where in the store all this was read.
    """

    content: str
    is_session: bool
    record: ContextRecord | None = None
    keys: tuple[str, ...] = ()


NO_CONTEXT = ResolvedContext("", is_session=False)


class ContextLookup:
    """Finds what prompts name, and notes uses that never reach upstream.

    Args:
        records: The contexts.
        owners: Tell which of them an upstream id is a binding of.
        now: Tells the time, with its zone.
    """

    def __init__(
        self, records: ContextRecords, owners: OwnerRecords, now: Callable[[], datetime]
    ) -> None:
        self._records = records
        self._owners = owners
        self._now = now

    async def of(self, context_id: str, ctx: RequestContext, *, native: bool) -> ResolvedContext:
        """Return the context of an id.

        Args:
            context_id: A context of ours or an upstream id; empty for none.
            ctx: Who asks.
            native: It was named on the Gemini-native surface.

        Raises:
            BridgeError: CONTEXT_NOT_FOUND, of an id of ours; STORE_UNAVAILABLE.
        """
        if not context_id:
            return NO_CONTEXT
        if not is_ours(context_id):
            return await self._of_upstream(context_id, ctx, native=native)
        key = ContextKey.of(ctx, context_id)
        record = await self._records.recent(key)
        if record is None:
            raise not_found(context_id)
        return ResolvedContext(
            _content_of(record), record.is_session, record, (key.part("record"),)
        )

    async def _of_upstream(
        self, name: str, ctx: RequestContext, *, native: bool
    ) -> ResolvedContext:
        resource = named_cached_content(name) if native else named_context(name)
        context_id = await self._owners.context_of(resource, ctx.caller.tenant)
        key = ContextKey.of(ctx, context_id)
        record = await self._records.recent(key) if context_id else None
        keys = (owner_key(resource.key), key.part("record"))
        if record is None:
            # Letter by letter: two spellings of one name may as well count as two.
            return ResolvedContext(f"upstream:{name}", is_session=False, keys=keys)
        # Without the record: a call by upstream's id does not prolong the context's retention.
        return ResolvedContext(_content_of(record), record.is_session, keys=keys)

    async def used(self, named: ResolvedContext, ctx: RequestContext) -> None:
        """Note that a call on a context was answered from the response cache.

        The context's retention begins anew, as with each use; nothing is counted. Where the store
        is away, nothing is noted.
        """
        record, now = named.record, self._now()
        if record is None or record.retention is None:
            return
        if now - record.used < min(NOTED_EVERY, record.retention / 2):
            return
        with suppress(BridgeError):
            # Else the next use, which goes by the day of this one, would leave it out.
            if upstream_id := record.owner_due(now):
                await self._owners.extend(named_context(upstream_id), None)
            await self._records.touch(ContextKey.of(ctx, record.id), record, now)


def _content_of(record: ContextRecord) -> str:
    if record.content_identity:
        return f"content:{record.content_identity}"
    return f"context:{record.id}"
