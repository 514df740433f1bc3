"""GeminiService: Gemini-native generation."""

from contextbridge import v1 as pb

from ..generations.generation import Generations, refuse_to_resume
from ..translate.gemini_answer import GeminiStreamDecoder, gemini_answer
from ..translate.gemini_json import from_json
from ..translate.gemini_request import count_tokens_request, generate_request
from ..translate.limits import Limits
from .call import Context, current_call
from .notes import note_model, note_usage


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
        self, request: pb.GenerateContentRequest, context: Context
    ) -> pb.GenerateContentResponse:
        """Return a whole answer."""
        note_model(request.model)
        asked = generate_request(request, self._limits, stream=False)
        refuse_to_resume(request.resume_after)
        value = await self._generations.complete(asked, current_call.get().terms)
        answer = gemini_answer(value, request, len(asked.body))
        note_usage(answer.billed_usage)
        return answer

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def StreamGenerateContent(  # type: ignore[override]
        self, request: pb.GenerateContentRequest, context: Context
    ) -> None:
        """Stream an answer."""
        note_model(request.model)
        asked = generate_request(request, self._limits, stream=True)
        refuse_to_resume(request.resume_after)
        decoder = GeminiStreamDecoder(request, len(asked.body))
        await self._generations.stream(asked, current_call.get().terms, decoder, context.write)
        note_usage(decoder.usage)

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: Context
    ) -> pb.CountTokensResponse:
        """Count a prompt's tokens."""
        note_model(request.model)
        asked = count_tokens_request(request, self._limits)
        value = await self._generations.complete(asked, current_call.get().terms)
        return from_json(value, pb.CountTokensResponse)
