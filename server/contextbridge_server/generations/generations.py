"""Generations: the one place where a call's way to its answer is chosen."""

from typing import Any

from ..request_context import RequestContext
from ..translate.json_values import Json
from ..translate.prompt import Prompt
from .call import GenerationCall, Summary, Write
from .direct import DirectGenerations
from .journaled import JournaledGenerations


class Generations:
    """Answers to calls that generate.

    A plain call goes to upstream directly. A call that can be resumed or shared goes by way of a
    journal; without a store there is none, and every call is a plain one.

    Args:
        direct: Answers plain calls.
        journaled: Answers the others.
    """

    def __init__(
        self, direct: DirectGenerations, journaled: DirectGenerations | JournaledGenerations
    ) -> None:
        self._direct = direct
        self._journaled = journaled

    async def stream(self, call: GenerationCall[Any], write: Write) -> Summary:
        """Write an answer's events, no faster than they are taken."""
        if call.needs_journal:
            return await self._journaled.stream(call, write)
        return await self._direct.stream(call, write)

    async def complete(self, call: GenerationCall[Any]) -> tuple[Any, Summary]:
        """Return a whole answer, a message or one that is serialized already, and the outcome."""
        if call.needs_journal:
            return await self._journaled.complete(call)
        return await self._direct.complete(call)

    async def fetch(self, prompt: Prompt, ctx: RequestContext) -> Json:
        """Return upstream's JSON answer to a prompt that generates nothing."""
        return await self._direct.fetch(prompt, ctx)
