"""Runs a generation: upstream's chunks in, the caller's events out, at the caller's pace."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from contextbridge import v1 as pb

from ..contexts.answers import Answers
from ..contexts.asker import Asker
from ..errors import BridgeError
from ..translate.prompt import Prompt
from ..upstream.port import Chunk

Event_co = TypeVar("Event_co", covariant=True)
Event = TypeVar("Event")
Whole = TypeVar("Whole", pb.CompleteChatWithContextResponse, pb.GenerateContentResponse)


class StreamDecoder(Protocol[Event_co]):
    """Turns an answer's chunks into its events."""

    def decode(self, batch: Sequence[Chunk]) -> Iterator[Event_co]:
        """Yield the events of the chunks that arrived together."""
        ...

    @property
    def usage(self) -> pb.Usage:
        """What the answer cost, once it is whole."""
        ...

    def finish(self, outcome: pb.ContextOutcome) -> Iterator[Event_co]:
        """Yield the last event; raise where the answer is not whole."""
        ...

    def abandon(self) -> Iterator[Event_co]:
        """Yield what was held back, where the stream failed."""
        ...


class Generations:
    """The answers of one process, straight from where they come: nothing is joined or resumed.

    Args:
        answers: Where answers come from.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def stream(
        self,
        prompt: Prompt,
        asker: Asker,
        decoder: StreamDecoder[Event],
        write: Callable[[Event], Awaitable[None]],
    ) -> pb.ContextOutcome:
        """Write a streamed answer's events; upstream is read no faster than they are taken.

        Returns:
            What happened to the context.
        """
        async with self._answers.stream(prompt, asker) as answer:
            try:
                async for batch in answer.value:
                    for event in decoder.decode(batch):
                        await write(event)
            except BridgeError:
                for event in decoder.abandon():
                    await write(event)
                raise
            last = list(decoder.finish(answer.outcome))
            await answer.conclude(decoder.usage)
            for event in last:
                await write(event)
            return answer.outcome

    async def complete(
        self,
        prompt: Prompt,
        asker: Asker,
        decode: Callable[[Chunk, pb.ContextOutcome], Whole],
    ) -> Whole:
        """Return a whole answer."""
        async with self._answers.whole(prompt, asker) as answer:
            whole = decode(answer.value, answer.outcome)
            await answer.conclude(whole.billed_usage)
            return whole

    async def ask(self, prompt: Prompt, asker: Asker) -> Chunk:
        """Return the JSON that answers what is no generation."""
        async with self._answers.whole(prompt, asker) as answer:
            return answer.value


def refuse_to_resume(resume_after: int) -> None:
    """Refuse to go on with a generation, since none is kept.

    Raises:
        BridgeError: NOT_RESUMABLE, unless the caller starts from the beginning.
    """
    if resume_after > 0:
        raise BridgeError(pb.ERROR_REASON_NOT_RESUMABLE, "The generation is not kept.")
