"""GeminiService: Gemini-native generation."""

from contextbridge import v1 as pb

from ..generations.generation import Ask, Generations
from ..translate.gemini_json import from_json
from ..translate.gemini_request import count_tokens_prompt
from ..translate.gemini_translator import GeminiTranslator
from ..translate.limits import Limits
from .call import ServicerContext, current_call
from .log_fields import log_model, log_summary

GENERATE = GeminiTranslator()


class GeminiServicer(pb.GeminiServiceServicer):
    """Gemini-native generation.

    Args:
        generations: Runs what is generated.
        limits: The server's bounds of a request.
    """

    def __init__(self, generations: Generations, limits: Limits) -> None:
        self._generations = generations
        self._limits = limits

    async def GenerateContent(
        self, request: pb.GenerateContentRequest, context: ServicerContext
    ) -> pb.GenerateContentResponse:
        """Return a whole answer."""
        log_model(request.model)
        ask = Ask(request, GENERATE, current_call.get().asker)
        answer: pb.GenerateContentResponse
        answer, summary = await self._generations.complete(ask)
        log_summary(summary)
        return answer

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def StreamGenerateContent(  # type: ignore[override]
        self, request: pb.GenerateContentRequest, context: ServicerContext
    ) -> None:
        """Stream an answer."""
        log_model(request.model)
        ask = Ask(request, GENERATE, current_call.get().asker)
        log_summary(await self._generations.stream(ask, context.write))

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: ServicerContext
    ) -> pb.CountTokensResponse:
        """Count a prompt's tokens."""
        log_model(request.model)
        prompt = count_tokens_prompt(request, self._limits)
        value = await self._generations.ask(prompt, current_call.get().asker)
        return from_json(value, pb.CountTokensResponse)
