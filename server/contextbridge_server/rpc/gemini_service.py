"""GeminiService: Gemini-native generation."""

from contextbridge import v1 as pb

from ..generations.call import GenerationCall
from ..generations.generations import Generations
from ..translate.gemini_json import from_json
from ..translate.gemini_request import count_tokens_prompt
from ..translate.gemini_translator import GeminiTranslator
from ..translate.limits import Limits
from .current import ServicerContext, current_request
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
        call = GenerationCall(request, GENERATE, current_request.get())
        answer: pb.GenerateContentResponse
        answer, summary = await self._generations.complete(call)
        log_summary(summary)
        return answer

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def StreamGenerateContent(  # type: ignore[override]
        self, request: pb.GenerateContentRequest, context: ServicerContext
    ) -> None:
        """Stream an answer."""
        log_model(request.model)
        call = GenerationCall(request, GENERATE, current_request.get())
        log_summary(await self._generations.stream(call, context.write))

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: ServicerContext
    ) -> pb.CountTokensResponse:
        """Count a prompt's tokens."""
        log_model(request.model)
        prompt = count_tokens_prompt(request, self._limits)
        value = await self._generations.fetch(prompt, current_request.get())
        return from_json(value, pb.CountTokensResponse)
