"""ContextService: contexts, and chats that start from them."""

from contextbridge import v1 as pb

from ..contexts.registry import Contexts
from ..generations.generation import Generations, refuse_to_resume
from ..translate.chat_answer import chat_answer
from ..translate.chat_request import chat_prompt
from ..translate.chat_stream import ChatStreamDecoder
from ..translate.limits import Limits
from .call import Context, current_call
from .notes import note_context, note_model, note_usage


class ContextServicer(pb.ContextServiceServicer):
    """Contexts, and chats that start from them.

    Args:
        contexts: The contexts.
        generations: Runs what is generated.
        limits: The server's bounds of a request.
    """

    def __init__(self, contexts: Contexts, generations: Generations, limits: Limits) -> None:
        self._contexts = contexts
        self._generations = generations
        self._limits = limits

    async def CreateContext(
        self, request: pb.CreateContextRequest, context: Context
    ) -> pb.CreateContextResponse:
        """Make a context from messages."""
        note_model(request.model)
        created = await self._contexts.create(request, current_call.get().asker)
        note_usage(created.usage)
        return created

    async def GetContext(
        self, request: pb.GetContextRequest, context: Context
    ) -> pb.GetContextResponse:
        """Return a context."""
        found = await self._contexts.get(request, current_call.get().asker)
        return pb.GetContextResponse(context=found)

    async def ListContexts(
        self, request: pb.ListContextsRequest, context: Context
    ) -> pb.ListContextsResponse:
        """List the caller's contexts."""
        return await self._contexts.list(request, current_call.get().asker)

    async def UpdateContext(
        self, request: pb.UpdateContextRequest, context: Context
    ) -> pb.UpdateContextResponse:
        """Change how long a context lives, or its name."""
        changed = await self._contexts.update(request, current_call.get().asker)
        return pb.UpdateContextResponse(context=changed)

    async def DeleteContext(
        self, request: pb.DeleteContextRequest, context: Context
    ) -> pb.DeleteContextResponse:
        """Delete a context and what was stored of it."""
        await self._contexts.delete(request, current_call.get().asker)
        return pb.DeleteContextResponse()

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def ChatWithContext(  # type: ignore[override]
        self, request: pb.ChatWithContextRequest, context: Context
    ) -> None:
        """Stream an answer that continues from a context."""
        note_model(request.model)
        prompt = chat_prompt(request, self._limits, stream=True)
        refuse_to_resume(request.resume_after)
        decoder = ChatStreamDecoder(request, len(prompt.first.body))
        asker = current_call.get().asker
        outcome = await self._generations.stream(prompt, asker, decoder, context.write)
        note_context(outcome)
        note_usage(decoder.usage)

    async def CompleteChatWithContext(
        self, request: pb.ChatWithContextRequest, context: Context
    ) -> pb.CompleteChatWithContextResponse:
        """Return a whole answer that continues from a context."""
        note_model(request.model)
        prompt = chat_prompt(request, self._limits, stream=False)
        refuse_to_resume(request.resume_after)
        answer = await self._generations.complete(
            prompt,
            current_call.get().asker,
            lambda value, outcome: chat_answer(value, request, len(prompt.first.body), outcome),
        )
        note_context(answer.context)
        note_usage(answer.billed_usage)
        return answer
