"""ContextService: contexts, and chats that start from them."""

from contextbridge import v1 as pb

from ..contexts.registry import Contexts
from ..generations.generation import Ask, Generations
from ..translate.chat_translator import ChatTranslator
from .call import ServicerContext, current_call
from .log_fields import log_model, log_summary, log_usage

CHAT = ChatTranslator()


class ContextServicer(pb.ContextServiceServicer):
    """Contexts, and chats that start from them.

    Args:
        contexts: The contexts.
        generations: Runs what is generated.
    """

    def __init__(self, contexts: Contexts, generations: Generations) -> None:
        self._contexts = contexts
        self._generations = generations

    async def CreateContext(
        self, request: pb.CreateContextRequest, context: ServicerContext
    ) -> pb.CreateContextResponse:
        """Make a context from messages."""
        log_model(request.model)
        created = await self._contexts.create(request, current_call.get().asker)
        log_usage(created.usage)
        return created

    async def GetContext(
        self, request: pb.GetContextRequest, context: ServicerContext
    ) -> pb.GetContextResponse:
        """Return a context."""
        found = await self._contexts.get(request, current_call.get().asker)
        return pb.GetContextResponse(context=found)

    async def ListContexts(
        self, request: pb.ListContextsRequest, context: ServicerContext
    ) -> pb.ListContextsResponse:
        """List the caller's contexts."""
        return await self._contexts.list(request, current_call.get().asker)

    async def UpdateContext(
        self, request: pb.UpdateContextRequest, context: ServicerContext
    ) -> pb.UpdateContextResponse:
        """Change how long a context lives, or its name."""
        changed = await self._contexts.update(request, current_call.get().asker)
        return pb.UpdateContextResponse(context=changed)

    async def DeleteContext(
        self, request: pb.DeleteContextRequest, context: ServicerContext
    ) -> pb.DeleteContextResponse:
        """Delete a context and what was stored of it."""
        await self._contexts.delete(request, current_call.get().asker)
        return pb.DeleteContextResponse()

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def ChatWithContext(  # type: ignore[override]
        self, request: pb.ChatWithContextRequest, context: ServicerContext
    ) -> None:
        """Stream an answer that continues from a context."""
        log_model(request.model)
        ask = Ask(request, CHAT, current_call.get().asker)
        log_summary(await self._generations.stream(ask, context.write))

    async def CompleteChatWithContext(
        self, request: pb.ChatWithContextRequest, context: ServicerContext
    ) -> pb.CompleteChatWithContextResponse:
        """Return a whole answer that continues from a context."""
        log_model(request.model)
        ask = Ask(request, CHAT, current_call.get().asker)
        answer: pb.CompleteChatWithContextResponse
        answer, summary = await self._generations.complete(ask)
        log_summary(summary)
        return answer
