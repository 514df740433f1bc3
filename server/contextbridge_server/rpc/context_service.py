"""ContextService: contexts, and chats that start from them."""

from contextbridge import v1 as pb

from ..contexts.registry import Contexts
from ..generations.call import GenerationCall
from ..generations.generations import Generations
from ..translate.chat_translator import ChatTranslator
from .current import ServicerContext, current_request
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
        created = await self._contexts.create(request, current_request.get())
        log_usage(created.usage)
        return created

    async def GetContext(
        self, request: pb.GetContextRequest, context: ServicerContext
    ) -> pb.GetContextResponse:
        """Return a context."""
        found = await self._contexts.get(request, current_request.get())
        return pb.GetContextResponse(context=found)

    async def ListContexts(
        self, request: pb.ListContextsRequest, context: ServicerContext
    ) -> pb.ListContextsResponse:
        """List the caller's contexts."""
        return await self._contexts.list(request, current_request.get())

    async def UpdateContext(
        self, request: pb.UpdateContextRequest, context: ServicerContext
    ) -> pb.UpdateContextResponse:
        """Change how long a context lives, or its name."""
        changed = await self._contexts.update(request, current_request.get())
        return pb.UpdateContextResponse(context=changed)

    async def DeleteContext(
        self, request: pb.DeleteContextRequest, context: ServicerContext
    ) -> pb.DeleteContextResponse:
        """Delete a context and what was stored of it."""
        await self._contexts.delete(request, current_request.get())
        return pb.DeleteContextResponse()

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def ChatWithContext(  # type: ignore[override]
        self, request: pb.ChatWithContextRequest, context: ServicerContext
    ) -> None:
        """Stream an answer that continues from a context."""
        log_model(request.model)
        call = GenerationCall(request, CHAT, current_request.get())
        log_summary(await self._generations.stream(call, context.write))

    async def CompleteChatWithContext(
        self, request: pb.ChatWithContextRequest, context: ServicerContext
    ) -> pb.CompleteChatWithContextResponse:
        """Return a whole answer that continues from a context."""
        log_model(request.model)
        call = GenerationCall(request, CHAT, current_request.get())
        answer: pb.CompleteChatWithContextResponse
        answer, summary = await self._generations.complete(call)
        log_summary(summary)
        return answer
