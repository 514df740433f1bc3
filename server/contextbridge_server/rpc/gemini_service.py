"""GeminiService: Gemini-native generation."""

from contextbridge import v1 as pb

from ..generations.generation import Generations, refuse_to_resume
from ..translate.gemini_answer import GeminiStreamDecoder, gemini_answer
from ..translate.gemini_json import from_json
from ..translate.gemini_request import count_tokens_prompt, generate_prompt
from ..translate.limits import Limits
from .call import Context, current_call
from .notes import note_context, note_model, note_usage


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
        prompt = generate_prompt(request, self._limits, stream=False)
        refuse_to_resume(request.resume_after)
        answer = await self._generations.complete(
            prompt,
            current_call.get().asker,
            lambda value, outcome: gemini_answer(value, request, len(prompt.first.body), outcome),
        )
        note_context(answer.context)
        note_usage(answer.billed_usage)
        return answer

    # The generated types know no coroutine that writes; async generators leak (grpc#42295).
    async def StreamGenerateContent(  # type: ignore[override]
        self, request: pb.GenerateContentRequest, context: Context
    ) -> None:
        """Stream an answer."""
        note_model(request.model)
        prompt = generate_prompt(request, self._limits, stream=True)
        refuse_to_resume(request.resume_after)
        decoder = GeminiStreamDecoder(request, len(prompt.first.body))
        asker = current_call.get().asker
        outcome = await self._generations.stream(prompt, asker, decoder, context.write)
        note_context(outcome)
        note_usage(decoder.usage)

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: Context
    ) -> pb.CountTokensResponse:
        """Count a prompt's tokens."""
        note_model(request.model)
        prompt = count_tokens_prompt(request, self._limits)
        value = await self._generations.ask(prompt, current_call.get().asker)
        return from_json(value, pb.CountTokensResponse)
