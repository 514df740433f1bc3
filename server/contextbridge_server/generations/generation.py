"""Generations: what a call asks, what it is told, and answers straight from upstream."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from contextbridge import v1 as pb

from ..contexts.answers import Answer, Answers
from ..contexts.asker import Asker
from ..errors import BridgeError
from ..translate.generation_request import GenerationRequest, bypassed_cache
from ..translate.limits import Limits
from ..translate.prompt import Prompt
from ..translate.translator import Translator
from ..upstream.interface import Chunk
from .journal import not_resumable

Whole = TypeVar("Whole")

Write = Callable[[Any], Awaitable[None]]
"""Takes an event: a message, or the bytes of one."""


@dataclass(frozen=True, slots=True)
class Ask(Generic[Whole]):
    """A call that generates.

    Attributes:
        request: What is asked.
        translator: Translates requests and answers of the method's family.
        asker: Who asks.
    """

    request: GenerationRequest
    translator: Translator[Any, Any, Whole]
    asker: Asker


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a call, for its log line.

    Attributes:
        usage: What the call cost.
        context: What happened to its context.
        response_cache: What the response cache did.
        is_resumed: The call took up a generation that another call had begun under its id.
    """

    usage: pb.Usage
    context: pb.ContextOutcome
    response_cache: pb.ResponseCacheOutcome
    is_resumed: bool = False


class Generations(Protocol):
    """Answers to calls that generate."""

    async def stream(self, ask: Ask[Any], write: Write) -> Summary:
        """Write an answer's events, no faster than they are taken."""
        ...

    async def complete(self, ask: Ask[Any]) -> tuple[Any, Summary]:
        """Return a whole answer: a message, or the bytes of one."""
        ...

    async def ask(self, prompt: Prompt, asker: Asker) -> Chunk:
        """Return the JSON that answers what is no generation."""
        ...


class DirectGenerations:
    """Answers straight from where they come: nothing is kept, joined or resumed.

    Args:
        answers: Where answers come from.
        limits: The server's bounds of a request.
    """

    def __init__(self, answers: Answers, limits: Limits) -> None:
        self._answers = answers
        self._limits = limits

    async def stream(self, ask: Ask[Any], write: Write) -> Summary:
        """Write an answer's events; upstream is read no faster than they are taken."""
        prompt = self._prompt(ask, stream=True)
        decoder = ask.translator.decoder(ask.request, len(prompt.first.body))
        async with self._answers.stream(prompt, ask.asker) as answer:
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
            return Summary(decoder.usage, answer.outcome, bypassed_cache(ask.request))

    async def complete(self, ask: Ask[Any]) -> tuple[Any, Summary]:
        """Return a whole answer."""
        prompt = self._prompt(ask, stream=False)
        body_bytes = len(prompt.first.body)

        async def tell(answer: Answer[Chunk]) -> tuple[Any, Summary]:
            whole = ask.translator.whole(answer.value, ask.request, body_bytes, answer.outcome)
            await answer.conclude(whole.billed_usage)
            return whole, Summary(whole.billed_usage, answer.outcome, whole.response_cache)

        return await self._answers.whole(prompt, ask.asker, tell)

    async def ask(self, prompt: Prompt, asker: Asker) -> Chunk:
        """Return the JSON that answers what is no generation."""
        return await self._answers.whole(prompt, asker, _value_of)

    def _prompt(self, ask: Ask[Any], *, stream: bool) -> Prompt:
        """Return what a call asks upstream.

        Raises:
            BridgeError: REQUEST_INVALID; NOT_RESUMABLE, since nothing is kept.
        """
        prompt = ask.translator.prompt(ask.request, self._limits, stream=stream)
        if ask.request.resume_after > 0:
            raise not_resumable("The generation is not kept.")
        return prompt


async def _value_of(answer: Answer[Chunk]) -> Chunk:
    return answer.value
