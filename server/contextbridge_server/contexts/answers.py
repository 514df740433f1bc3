"""Answers that upstream begins to a prompt, straight or from a context."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from contextbridge import v1 as pb

from ..translate.prompt import Prompt
from ..upstream.interface import Batch, CallTerms, Chunk, Upstream, UpstreamRequest
from ..upstream.json_object import fetch_object
from .asker import Asker

Told = TypeVar("Told")
Value = TypeVar("Value")
Batches: TypeAlias = AsyncIterator[Batch]


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """An answer that upstream has begun.

    Attributes:
        value: The whole answer, or its chunks, those of one read together.
        outcome: What happened to the context.
        conclude: Notes what the call cost, before the caller is told that the answer is whole;
            raises a BridgeError where a session's turn cannot be kept.
    """

    value: Value
    outcome: pb.ContextOutcome
    conclude: Callable[[pb.Usage], Awaitable[None]]


Tell: TypeAlias = Callable[[Answer[Chunk]], Awaitable[Told]]
"""Tells a whole answer to whoever asked for it."""


class Answers(Protocol):
    """Where answers come from."""

    async def whole(self, prompt: Prompt, asker: Asker, tell: Tell[Told]) -> Told:
        """Ask for a whole answer; return what `tell` makes of it, while its session is held."""
        ...

    def stream(self, prompt: Prompt, asker: Asker) -> AbstractAsyncContextManager[Answer[Batches]]:
        """Ask for an answer in chunks; leaving the context closes the request."""
        ...


class DirectAnswers:
    """Answers of a server that keeps nothing: a context's id is upstream's own.

    Args:
        upstream: The upstream that is asked.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def whole(self, prompt: Prompt, asker: Asker, tell: Tell[Told]) -> Told:
        """Ask for a whole answer; return what `tell` makes of it."""
        value = await fetch_object(self._upstream, prompt.first, asker.terms)
        return await tell(Answer(value, pb.ContextOutcome(id=prompt.context_id), _nothing))

    @asynccontextmanager
    async def stream(self, prompt: Prompt, asker: Asker) -> AsyncIterator[Answer[Batches]]:
        """Ask for an answer in chunks."""
        async with self._upstream.stream(prompt.first, asker.terms) as batches:
            yield Answer(batches, pb.ContextOutcome(id=prompt.context_id), _nothing)


async def _nothing(_: pb.Usage) -> None:
    return


async def begin_stream(
    upstream: Upstream, request: UpstreamRequest, terms: CallTerms, stack: AsyncExitStack
) -> Batches:
    """Begin a stream on an exit stack; return its chunks once the first have come.

    A failure that upstream tells within the stream, before any chunk, is raised here too.
    """
    async with AsyncExitStack() as attempt:
        batches = await attempt.enter_async_context(upstream.stream(request, terms))
        first = await anext(batches, None)
        await stack.enter_async_context(attempt.pop_all())
    return await stack.enter_async_context(aclosing(_rejoined(first, batches)))


async def _rejoined(first: Batch | None, rest: Batches) -> AsyncGenerator[Batch, None]:
    if first is not None:
        yield first
    async for batch in rest:
        yield batch
