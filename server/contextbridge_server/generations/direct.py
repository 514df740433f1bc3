"""Answers directly from upstream: nothing is kept, shared or resumed."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from contextbridge import v1 as pb

from ..contexts.answers import Answers
from ..errors import BridgeError
from ..request_context import RequestContext
from ..translate.generation_request import bypassed_cache
from ..translate.json_values import Json
from ..translate.limits import Limits
from ..translate.prompt import Prompt
from ..translate.translator import StreamDecoder
from .call import GenerationCall, Summary, Write
from .journal import not_resumable


class Produced(NamedTuple):
    """The end of a stream whose answer is whole.

    Attributes:
        last: The last events, which say that it is whole.
        decoder: Has decoded the stream.
        outcome: What happened to the context.
    """

    last: list[Any]
    decoder: StreamDecoder[Any]
    outcome: pb.ContextOutcome


async def produce(
    call: GenerationCall[Any],
    prompt: Prompt,
    answers: Answers,
    stack: AsyncExitStack,
    emit: Callable[[Iterator[Any]], Awaitable[None]],
) -> Produced:
    """Ask upstream for a stream and emit its events as they arrive, all but the last.

    Returns:
        The last events, once the use of the context is recorded.

    Raises:
        BridgeError: What upstream answers, after the events that came before it.
    """
    translator = call.translator
    decoder = translator.decoder(call.request, len(prompt.encoded))
    answer = await answers.open(prompt, call.ctx, stack)
    turn: list[Any] = []
    try:
        async for batch in answer.batches:
            events = decoder.decode(batch)
            if answer.keeps_turn:
                events = _copied(events, turn)
            await emit(events)
    except BridgeError:
        await emit(decoder.abandon())
        raise
    last = list(decoder.finish(answer.outcome))
    message = translator.message(translator.fold([*turn, *last])) if answer.keeps_turn else None
    await answer.conclude(decoder.usage, message)
    return Produced(last, decoder, answer.outcome)


def _copied(events: Iterator[Any], turn: list[Any]) -> Iterator[Any]:
    for event in events:
        turn.append(event)
        yield event


class DirectGenerations:
    """Answers directly from upstream.

    Args:
        answers: The answers.
        limits: The server's bounds of a request.
    """

    def __init__(self, answers: Answers, limits: Limits) -> None:
        self._answers = answers
        self._limits = limits

    async def stream(self, call: GenerationCall[Any], write: Write) -> Summary:
        """Write an answer's events; upstream is read no faster than they are taken."""

        async def emit(events: Iterator[Any]) -> None:
            for event in events:
                await write(event)

        prompt = self._prompt(call, stream=True)
        async with AsyncExitStack() as stack:
            produced = await produce(call, prompt, self._answers, stack, emit)
            await emit(iter(produced.last))
        cache = bypassed_cache(call.request)
        return Summary(produced.decoder.usage, produced.outcome, cache)

    async def complete(self, call: GenerationCall[Any]) -> tuple[Any, Summary]:
        """Return a whole answer and the outcome."""
        prompt = self._prompt(call, stream=False)
        translator = call.translator
        async with AsyncExitStack() as stack:
            answer = await self._answers.open(prompt, call.ctx, stack)
            body_bytes = len(prompt.encoded)
            whole = translator.whole(answer.value, call.request, body_bytes, answer.outcome)
            message = translator.message(whole) if answer.keeps_turn else None
            await answer.conclude(whole.billed_usage, message)
        return whole, Summary(whole.billed_usage, answer.outcome, whole.response_cache)

    async def fetch(self, prompt: Prompt, ctx: RequestContext) -> Json:
        """Return upstream's JSON answer to a prompt that generates nothing."""
        async with AsyncExitStack() as stack:
            answer = await self._answers.open(prompt, ctx, stack)
            return answer.value

    def _prompt(self, call: GenerationCall[Any], *, stream: bool) -> Prompt:
        """Return the prompt of a call.

        Raises:
            BridgeError: REQUEST_INVALID; NOT_RESUMABLE, since nothing is kept.
        """
        prompt = call.translator.prompt(call.request, self._limits, stream=stream)
        if call.request.resume_after > 0:
            raise not_resumable("The generation is not kept.")
        return prompt
