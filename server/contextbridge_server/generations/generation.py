"""Runs a generation: upstream's chunks in, the caller's events out, at the caller's pace."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..upstream.objects import ask_for_object
from ..upstream.port import CallTerms, Chunk, Upstream, UpstreamRequest

Event_co = TypeVar("Event_co", covariant=True)
Event = TypeVar("Event")


class StreamDecoder(Protocol[Event_co]):
    """Turns an answer's chunks into its events."""

    def decode(self, batch: Sequence[Chunk]) -> Iterator[Event_co]:
        """Yield the events of the chunks that arrived together."""
        ...

    def finish(self) -> Iterator[Event_co]:
        """Yield the last event; raise where the answer is not whole."""
        ...

    def abandon(self) -> Iterator[Event_co]:
        """Yield what was held back, where the stream failed."""
        ...


class Generations:
    """The answers of one process, straight from upstream: nothing is kept, joined or resumed.

    Args:
        upstream: The upstream that is asked.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def stream(
        self,
        request: UpstreamRequest,
        terms: CallTerms,
        decoder: StreamDecoder[Event],
        write: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Write a streamed answer's events; upstream is read no faster than they are taken."""
        async with self._upstream.stream(request, terms) as batches:
            try:
                async for batch in batches:
                    for event in decoder.decode(batch):
                        await write(event)
            except BridgeError:
                for event in decoder.abandon():
                    await write(event)
                raise
            for event in decoder.finish():
                await write(event)

    async def complete(self, request: UpstreamRequest, terms: CallTerms) -> Chunk:
        """Return a whole answer's JSON."""
        return await ask_for_object(self._upstream, request, terms)


def refuse_to_resume(resume_after: int) -> None:
    """Refuse to go on with a generation, since none is kept.

    Raises:
        BridgeError: NOT_RESUMABLE, unless the caller starts from the beginning.
    """
    if resume_after > 0:
        raise BridgeError(
            pb.ERROR_REASON_NOT_RESUMABLE, "The generation is not kept: this server has no store."
        )
