"""Answers from stored contexts: a binding that is gone is made again within the call.

A call finds out that a binding is gone before its caller was sent anything: by the clock, by
upstream's refusal, or by an error at the very beginning of a stream. Then the binding is made
again, once for all calls that need it, and the call goes on. Where upstream refuses to cache the
prefix again, the prefix goes inline with the call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from contextbridge import v1 as pb

from ..errors import BridgeError, Violation
from ..request_context import RequestContext
from ..store.backoff import backoff, retry_with_backoff
from ..telemetry import names
from ..translate.chat_messages import turn_message
from ..translate.context_ids import is_ours
from ..translate.prompt import Bound, Inline, Prompt
from ..upstream.interface import Upstream
from ..upstream.json_object import fetch_object
from .answers import Answer, Batches, DirectAnswers, begin_stream, no_batches
from .binding_refresher import Refresher
from .bindings import GONE, Bindings, may_go_inline
from .ownership import Ownership
from .record import ContextRecord
from .records import ContextKey, ContextRecords, Turn, not_found
from .sessions import Sessions, busy
from .upstream_names import named_context

MAX_RENEWALS = 3
"""Bindings that one call restores: one that is gone again at once may go for long."""

BUSY_FOR = timedelta(seconds=30)
"""How long a call retries that upstream finds busy, though it holds the session's turn."""

MODEL_PREFIX = "models/"

log = structlog.get_logger()


@dataclass(slots=True)
class ContextUse:
    """One call's use of a context.

    Attributes:
        key: The context's key.
        record: The context, as it was last read.
        prompt: The prompt.
        ctx: The request context.
        turn_token: The fencing token of a session's turn; None where the context is no session.
        sent: When the prompt was last sent.
        inline: The prefix, where it goes with the call.
        is_restored: The binding was made again.
    """

    key: ContextKey
    record: ContextRecord
    prompt: Prompt
    ctx: RequestContext
    turn_token: int | None
    sent: datetime
    inline: Inline | None = None
    is_restored: bool = False

    def outcome(self) -> pb.ContextOutcome:
        """Return what happened to the context."""
        return pb.ContextOutcome(
            id=self.key.id, restored=self.is_restored, inlined=self.inline is not None
        )


class ContextAnswers:
    """Answers to prompts that start from stored contexts, and from upstream's own ids.

    Args:
        upstream: The upstream that is asked.
        records: The contexts.
        bindings: Makes bindings again.
        sessions: Gives calls on a session their turns.
        ownership: The owners of upstream's resources.
        refresher: Keeps bindings from lapsing while they are used.
        now: Returns the time, with its zone.
    """

    def __init__(
        self,
        *,
        upstream: Upstream,
        records: ContextRecords,
        bindings: Bindings,
        sessions: Sessions,
        ownership: Ownership,
        refresher: Refresher,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._direct = DirectAnswers(upstream)
        self._records = records
        self._bindings = bindings
        self._sessions = sessions
        self._ownership = ownership
        self._refresher = refresher
        self._now = now

    async def open(self, prompt: Prompt, ctx: RequestContext, stack: AsyncExitStack) -> Answer:
        """Send a prompt behind its context's prefix and return the answer.

        Raises:
            BridgeError: What upstream answers; REQUEST_INVALID where the prompt does not fit the
                context; CONTEXT_NOT_FOUND, CONTENT_UNREADABLE, STORE_UNAVAILABLE; CONTEXT_BUSY.
        """
        if not is_ours(prompt.context_id):
            return await self._direct.open(prompt, ctx, stack)
        use = await self._begin_use(prompt, ctx, stack)
        use_model(prompt, use.record)
        if prompt.is_native and not use.record.is_cached_content:
            raise _not_native(prompt.context_field)
        if use.record.is_restorable and use.record.live_binding(use.sent) is None:
            await self._restore(use)
        for _ in range(MAX_RENEWALS):
            try:
                return await self._send(use, stack)
            except BridgeError as error:
                is_gone = error.reason in GONE and use.inline is None
                if not (is_gone and use.record.is_restorable):
                    raise
            await self._restore(use)
        return await self._send(use, stack)

    async def _begin_use(
        self, prompt: Prompt, ctx: RequestContext, stack: AsyncExitStack
    ) -> ContextUse:
        key = ContextKey.of(ctx, prompt.context_id)
        record = await self._loaded(key)
        token = None
        if record.is_session:
            token = await stack.enter_async_context(self._sessions.turn(key))
            # The call before may have restored the binding.
            record = await self._loaded(key)
        return ContextUse(key, record, prompt, ctx, token, sent=self._now())

    async def _loaded(self, key: ContextKey) -> ContextRecord:
        record = await self._records.recent(key)
        if record is None:
            raise not_found(key.id)
        return record

    async def _send(self, use: ContextUse, stack: AsyncExitStack) -> Answer:
        """Send the prompt; retry a session that upstream still finds busy.

        Upstream may take a moment to notice that the session's last call was cancelled.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + BUSY_FOR.total_seconds()
        async for _ in backoff():
            use.sent = self._now()
            try:
                return await self._send_once(use, stack)
            except BridgeError as error:
                is_busy = error.reason == pb.ERROR_REASON_CONTEXT_BUSY
                if not is_busy or use.turn_token is None or loop.time() >= give_up:
                    raise
        raise AssertionError("backoff never ends")

    async def _send_once(self, use: ContextUse, stack: AsyncExitStack) -> Answer:
        request = use.prompt.request(use.inline or _bound(use))
        if use.prompt.stream:
            batches = await begin_stream(self._upstream, request, use.ctx, stack)
            return ContextAnswer(self, use, {}, batches)
        value = await fetch_object(self._upstream, request, use.ctx)
        return ContextAnswer(self, use, value, no_batches())

    async def _restore(self, use: ContextUse) -> None:
        """Make the binding again, or take the prefix inline."""
        if use.record.goes_inline(self._now()) and await self._take_inline(use):
            return
        try:
            use.record = await self._bindings.renewed(use.key, use.record, use.ctx)
            use.is_restored = True
        except BridgeError as error:
            if not may_go_inline(use.record, error) or not await self._take_inline(use):
                raise

    async def _take_inline(self, use: ContextUse) -> bool:
        """Take the prefix inline; False where the prompt's surface cannot express it."""
        inline = await self._bindings.prefix(use.key, use.record)
        if use.prompt.is_native and inline.members:
            return False
        use.inline = inline
        log.info(
            names.CONTEXT_INLINED,
            **{names.CONTEXT: use.key.id, names.TENANT: use.key.tenant},
            request_id=use.ctx.request_id,
        )
        return True

    async def conclude(
        self, use: ContextUse, usage: pb.Usage, message: pb.ChatMessage | None
    ) -> None:
        """Record the use of a context, and store a session's turn.

        Raises:
            BridgeError: The turn cannot be stored: STORE_UNAVAILABLE, or CONTEXT_BUSY where a
                later call has taken the session.
        """
        now = self._now()
        used = replace(use.record.used_at(use.sent), used=now)
        inlined = use.inline is not None
        turn = _turn(use, message)

        async def record() -> bool | None:
            return await self._records.use(use.key, used, usage, now, inlined=inlined, turn=turn)

        if use.turn_token is not None:
            if await retry_with_backoff(record) is False:
                raise busy()
        else:
            await _unless_store_is_away(record())
        await self._renew_ownership(use, now)
        if not inlined:
            self._refresher.after_use(use.key, used, use.ctx)

    async def _renew_ownership(self, use: ContextUse, now: datetime) -> None:
        """Renew, once a day, the ownership of a binding whose life each use begins anew."""
        if upstream_id := use.record.owner_due(now):
            resource = named_context(upstream_id)
            await _unless_store_is_away(self._ownership.renew(use.ctx.caller, resource, None))


class ContextAnswer(Answer):
    """An answer from a stored context.

    Args:
        answers: Concludes the use.
        use: The call's use of the context.
        value: The whole answer, where the prompt asked for one.
        batches: The chunks of a stream.
    """

    def __init__(
        self, answers: ContextAnswers, use: ContextUse, value: dict[str, object], batches: Batches
    ) -> None:
        super().__init__(use.outcome(), value, batches, keeps_turn=use.turn_token is not None)
        self._answers = answers
        self._use = use

    async def conclude(self, usage: pb.Usage, message: pb.ChatMessage | None = None) -> None:
        """Record the use of the context, and store a session's turn."""
        await self._answers.conclude(self._use, usage, message)


def use_model(prompt: Prompt, record: ContextRecord) -> None:
    """Fill in the model that a chat leaves out.

    Raises:
        BridgeError: REQUEST_INVALID: the chat names another model than the context's.
    """
    model = record.context.model
    if prompt.is_native or prompt.model.removeprefix(MODEL_PREFIX) == model.removeprefix(
        MODEL_PREFIX
    ):
        return
    if not prompt.model:
        prompt.fill_model(model)
        return
    description = f"Is {prompt.model}, but the context's model is {model}; it may be left out."
    raise BridgeError(
        pb.ERROR_REASON_REQUEST_INVALID,
        f"model: {description}",
        violations=[Violation("model", description)],
    )


def _turn(use: ContextUse, message: pb.ChatMessage | None) -> Turn | None:
    if use.turn_token is None or message is None or not use.record.is_restorable:
        return None
    return Turn(use.turn_token, [*use.prompt.body["messages"], turn_message(message)])


def _bound(use: ContextUse) -> Bound:
    binding = use.record.binding
    if binding is None:
        # Without stored content no binding can be made for another upstream account.
        raise BridgeError(
            pb.ERROR_REASON_CONTEXT_NOT_FOUND,
            "The context's binding is another account's.",
            metadata={"contextId": use.key.id},
        )
    return Bound(binding.upstream_id)


async def _unless_store_is_away(work: Awaitable[object]) -> None:
    """Await work that a call can do without; the store itself logs that it is away."""
    try:
        await work
    except BridgeError:
        return


def _not_native(field: str) -> BridgeError:
    description = "Is a context of a model that GeminiService does not serve."
    return BridgeError(
        pb.ERROR_REASON_REQUEST_INVALID,
        f"{field}: {description}",
        violations=[Violation(field, description)],
    )
