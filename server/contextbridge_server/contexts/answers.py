"""Answers: what upstream returns to a prompt, whole or in chunks."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Protocol, TypeAlias

from contextbridge import v1 as pb

from ..request_context import RequestContext
from ..translate.json_values import Json
from ..translate.prompt import Prompt
from ..upstream.interface import Batch, Upstream, UpstreamRequest
from ..upstream.json_object import fetch_object

Batches: TypeAlias = AsyncIterator[Batch]


class Answer:
    """An answer that upstream has begun.

    Attributes:
        outcome: What happened to the context.
        value: The whole answer, where the prompt asked for one.
        batches: The chunks of a stream, those of one read together.
        keeps_turn: The context is a session, which keeps the answer's message.
    """

    def __init__(
        self, outcome: pb.ContextOutcome, value: Json, batches: Batches, *, keeps_turn: bool = False
    ) -> None:
        self.outcome = outcome
        self.value = value
        self.batches = batches
        self.keeps_turn = keeps_turn

    async def conclude(self, usage: pb.Usage, message: pb.ChatMessage | None = None) -> None:
        """Record what the call cost, before the caller learns that the answer is whole.

        Args:
            usage: The tokens of the call.
            message: The answer's first message, where `keeps_turn`.

        Raises:
            BridgeError: A session's turn cannot be stored.
        """


class Answers(Protocol):
    """A source of answers."""

    async def open(self, prompt: Prompt, ctx: RequestContext, stack: AsyncExitStack) -> Answer:
        """Send a prompt upstream and return the answer, open until the stack is left."""
        ...


class DirectAnswers:
    """Answers to prompts whose context ids are upstream's own.

    Args:
        upstream: The upstream that is asked.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def open(self, prompt: Prompt, ctx: RequestContext, stack: AsyncExitStack) -> Answer:
        """Send a prompt upstream and return the answer."""
        request = prompt.direct_request
        outcome = pb.ContextOutcome(id=prompt.context_id)
        if not prompt.stream:
            return Answer(outcome, await fetch_object(self._upstream, request, ctx), no_batches())
        batches = await stack.enter_async_context(self._upstream.stream(request, ctx))
        return Answer(outcome, {}, batches)


async def no_batches() -> Batches:
    """Yield nothing."""
    return
    yield


async def begin_stream(
    upstream: Upstream, request: UpstreamRequest, ctx: RequestContext, stack: AsyncExitStack
) -> Batches:
    """Open a stream on an exit stack; return its batches once the first has arrived.

    So a failure that upstream reports within the stream, before any chunk, is raised here too.
    """
    async with AsyncExitStack() as attempt:
        batches = await attempt.enter_async_context(upstream.stream(request, ctx))
        first = await anext(batches, None)
        await stack.enter_async_context(attempt.pop_all())
    return await stack.enter_async_context(aclosing(_rejoined(first, batches)))


async def _rejoined(first: Batch | None, rest: Batches) -> AsyncGenerator[Batch, None]:
    if first is not None:
        yield first
    async for batch in rest:
        yield batch
