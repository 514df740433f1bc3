"""A call's use of a context: the binding that is gone is made again within the call.

A call finds out that a binding is gone before its caller was sent anything: by the clock, by
upstream's refusal, or by an error at the very beginning of a stream. Then the binding is made
again, once for all who need it, and the call goes on; or, where upstream will not, the prefix goes
inline with the call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from contextbridge import v1 as pb

from ..errors import BridgeError, Violation
from ..store.backoff import backoff, retry_with_backoff
from ..telemetry import names
from ..translate.prompt import Bound, Inline, Prompt
from ..translate.turns import AnswerReader, messages_asked
from ..upstream.interface import Batch, UpstreamRequest, each_chunk
from .asker import Asker
from .binding_refresher import Refresher
from .bindings import GONE, Bindings, may_go_inline
from .ownership import Ownership
from .record import Binding, ContextRecord
from .records import ContextKey, ContextRecords, Turn
from .sessions import busy
from .upstream_names import named_context

Result = TypeVar("Result")

MAX_RENEWALS = 3
"""Bindings that one call has made for it: one that is gone again at once may go for long."""

BUSY_FOR = timedelta(seconds=30)
"""How long upstream is asked again that says a session is busy, though we hold its turn."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Healer:
    """What heals contexts.

    Attributes:
        records: The contexts.
        bindings: Makes bindings again.
        ownership: Notes whose they are.
        warmth: Keeps bindings from lapsing while they are used.
        now: Tells the time, with its zone.
    """

    records: ContextRecords
    bindings: Bindings
    ownership: Ownership
    warmth: Refresher
    now: Callable[[], datetime]


class ContextUse:
    """One call's use of one context.

    Args:
        healer: What heals it.
        place: Where the context is.
        record: What it is.
        prompt: What the call asks.
        asker: Who asks.
        turn_token: The fencing token of a session's turn; None where the context is no session.
    """

    def __init__(
        self,
        healer: Healer,
        *,
        place: ContextKey,
        record: ContextRecord,
        prompt: Prompt,
        asker: Asker,
        turn_token: int | None,
    ) -> None:
        self._healer = healer
        self._place = place
        self._record = record
        self._prompt = prompt
        self._asker = asker
        self._turn_token = turn_token
        self._answer = AnswerReader()
        self._sent = healer.now()
        self._inline: Inline | None = None
        self._is_restored = False

    async def send(self, send: Callable[[UpstreamRequest], Awaitable[Result]]) -> Result:
        """Send the prompt behind the context's prefix, made again where it is gone.

        Raises:
            BridgeError: What upstream answers; REQUEST_INVALID where the prompt does not fit the
                context; CONTEXT_NOT_FOUND, CONTENT_UNREADABLE, STORE_UNAVAILABLE.
        """
        if self._prompt.is_native and not self._record.is_cached_content:
            raise _not_native(self._prompt.context_field)
        if self._record.is_restorable and self._record.live_binding(self._sent) is None:
            await self._renew()
        for _ in range(MAX_RENEWALS):
            try:
                return await self._send_behind_prefix(send)
            except BridgeError as error:
                is_gone = error.reason in GONE and self._inline is None
                if not (is_gone and self._record.is_restorable):
                    raise
            await self._renew()
        return await self._send_behind_prefix(send)

    def read(self, batch: Batch) -> None:
        """Take what upstream answers, for a session's turn."""
        if self._turn_token is not None:
            self._answer.read(each_chunk(batch))

    @property
    def outcome(self) -> pb.ContextOutcome:
        """What happened to the context."""
        return pb.ContextOutcome(
            id=self._place.id, restored=self._is_restored, inlined=self._inline is not None
        )

    async def conclude(self, usage: pb.Usage) -> None:
        """Note what the call cost, and keep a session's turn.

        Raises:
            BridgeError: The turn could not be kept: STORE_UNAVAILABLE, or CONTEXT_BUSY where a
                later call took the session.
        """
        now = self._healer.now()
        used = replace(self._record.used_at(self._sent), used=now)
        note = partial(
            self._healer.records.use,
            self._place,
            used,
            usage,
            now,
            inlined=self._inline is not None,
            turn=self._turn(),
        )
        if self._turn_token is not None:
            if await retry_with_backoff(note) is False:
                raise busy()
        else:
            await _if_store_is_there(note)
        await self._renew_ownership(now)
        if self._inline is None:
            self._healer.warmth.after_use(self._place, used, self._asker)

    async def _renew_ownership(self, now: datetime) -> None:
        """Note once a day whose a binding is whose life begins anew with each use."""
        upstream_id = self._record.owner_due(now)
        if not upstream_id:
            return
        named = named_context(upstream_id)
        renew = self._healer.ownership.renew
        await _if_store_is_there(lambda: renew(self._asker.caller, named, None))

    def _turn(self) -> Turn | None:
        message = self._answer.message()
        if self._turn_token is None or message is None or not self._record.is_restorable:
            return None
        return Turn(self._turn_token, [*messages_asked(self._prompt.first), message])

    async def _send_behind_prefix(
        self, send: Callable[[UpstreamRequest], Awaitable[Result]]
    ) -> Result:
        request = self._prompt.behind(self._inline or Bound(self._binding().upstream_id))
        loop = asyncio.get_running_loop()
        give_up = loop.time() + BUSY_FOR.total_seconds()
        async for _ in backoff():
            self._sent = self._healer.now()
            try:
                return await send(request)
            except BridgeError as error:
                # Upstream may take a moment to notice that the call before was cancelled.
                is_busy = error.reason == pb.ERROR_REASON_CONTEXT_BUSY
                if not is_busy or self._turn_token is None or loop.time() >= give_up:
                    raise
        raise AssertionError("backoff never ends")

    def _binding(self) -> Binding:
        binding = self._record.binding
        if binding is None:
            # Without content there is nothing to make one from for another upstream account.
            raise BridgeError(
                pb.ERROR_REASON_CONTEXT_NOT_FOUND,
                "The context's binding is another account's.",
                metadata={"contextId": self._place.id},
            )
        return binding

    async def _renew(self) -> None:
        """Have the binding made again, or take the prefix inline."""
        if self._record.goes_inline(self._healer.now()) and await self._takes_inline():
            return
        try:
            self._record = await self._healer.bindings.renewed(
                self._place, self._record, self._asker
            )
            self._is_restored = True
        except BridgeError as error:
            if not may_go_inline(self._record, error) or not await self._takes_inline():
                raise

    async def _takes_inline(self) -> bool:
        """Take the prefix inline; tell whether the prompt's surface can express it."""
        inline = await self._healer.bindings.prefix(self._place, self._record)
        if self._prompt.is_native and inline.members:
            return False
        self._inline = inline
        log.info(
            names.CONTEXT_INLINED,
            **{names.CONTEXT: self._place.id, names.TENANT: self._place.tenant},
            request_id=self._asker.terms.request_id,
        )
        return True


async def _if_store_is_there(note: Callable[[], Awaitable[object]]) -> None:
    """Note something that a call can do without; the store itself tells that it is away."""
    try:
        await note()
    except BridgeError:
        return


def _not_native(field: str) -> BridgeError:
    description = "Is a context of a model that GeminiService does not serve."
    return BridgeError(
        pb.ERROR_REASON_REQUEST_INVALID,
        f"{field}: {description}",
        violations=[Violation(field, description)],
    )
