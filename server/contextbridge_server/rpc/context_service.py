"""ContextService: contexts, and chats that start from them."""

from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..generations.generation import Generations, refuse_to_resume
from ..translate.chat_answer import chat_answer
from ..translate.chat_request import chat_request
from ..translate.chat_stream import ChatStreamDecoder
from ..translate.contexts import (
    context_created,
    create_context_request,
    refuse_what_needs_a_store,
)
from ..translate.limits import Limits
from .call import Context, current_call
from .notes import note_model, note_usage


class ContextServicer(pb.ContextServiceServicer):
    """Contexts, and chats that start from them.

    Args:
        generations: Runs what is generated.
        limits: The server's bounds of a request.
        now: Tells the time, with its zone.
    """

    def __init__(
        self, generations: Generations, limits: Limits, now: Callable[[], datetime]
    ) -> None:
        self._generations = generations
        self._limits = limits
        self._now = now

    async def CreateContext(
        self, request: pb.CreateContextRequest, context: Context
    ) -> pb.CreateContextResponse:
        """Make a context from messages."""
        now = self._now()
        note_model(request.model)
        asked = create_context_request(request, self._limits, now)
        refuse_what_needs_a_store(request)
        answer = await self._generations.complete(asked, current_call.get().terms)
        created = context_created(answer, request, now)
        note_usage(created.usage)
        return created

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def ChatWithContext(  # type: ignore[override]
        self, request: pb.ChatWithContextRequest, context: Context
    ) -> None:
        """Stream an answer that continues from a context."""
        note_model(request.model)
        asked = chat_request(request, self._limits, stream=True)
        refuse_to_resume(request.resume_after)
        decoder = ChatStreamDecoder(request, len(asked.body))
        await self._generations.stream(asked, current_call.get().terms, decoder, context.write)
        note_usage(decoder.usage)

    async def CompleteChatWithContext(
        self, request: pb.ChatWithContextRequest, context: Context
    ) -> pb.CompleteChatWithContextResponse:
        """Return a whole answer that continues from a context."""
        note_model(request.model)
        asked = chat_request(request, self._limits, stream=False)
        refuse_to_resume(request.resume_after)
        value = await self._generations.complete(asked, current_call.get().terms)
        answer = chat_answer(value, request, len(asked.body))
        note_usage(answer.billed_usage)
        return answer

    async def GetContext(self, request: pb.GetContextRequest, context: Context) -> NoReturn:
        """Refuse: without a store there is nothing to return."""
        raise _store_required()

    async def ListContexts(self, request: pb.ListContextsRequest, context: Context) -> NoReturn:
        """Refuse: without a store there is nothing to list."""
        raise _store_required()

    async def UpdateContext(self, request: pb.UpdateContextRequest, context: Context) -> NoReturn:
        """Refuse: without a store there is nothing to change."""
        raise _store_required()

    async def DeleteContext(self, request: pb.DeleteContextRequest, context: Context) -> NoReturn:
        """Refuse: without a store there is nothing to delete."""
        raise _store_required()


def _store_required() -> BridgeError:
    return BridgeError(
        pb.ERROR_REASON_STORE_REQUIRED,
        "This server keeps no store, so it remembers no contexts.",
    )
