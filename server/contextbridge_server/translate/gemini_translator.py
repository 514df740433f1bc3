"""Gemini-native generation, as GeminiService has it."""

from collections.abc import Iterable

from contextbridge import v1 as pb
from contextbridge._fold import ContentFold

from .gemini_answer import GeminiStreamDecoder, gemini_answer
from .gemini_request import generate_prompt
from .json_values import Json
from .limits import Limits
from .prompt import Prompt
from .translator import ReaderTerms

Request = pb.GenerateContentRequest
Response = pb.GenerateContentResponse


class GeminiTranslator:
    """Translates StreamGenerateContent and GenerateContent."""

    name = "generate"
    context_field = "cached_content"

    def prompt(self, request: Request, limits: Limits, *, stream: bool) -> Prompt:
        """Return a request's prompt."""
        return generate_prompt(request, limits, stream=stream)

    def decoder(self, request: Request, prompt_bytes: int) -> GeminiStreamDecoder:
        """Return what turns a stream's chunks into messages."""
        return GeminiStreamDecoder(request, prompt_bytes)

    def whole(
        self, value: Json, request: Request, prompt_bytes: int, outcome: pb.ContextOutcome
    ) -> Response:
        """Return a whole answer of upstream's."""
        return gemini_answer(value, request, prompt_bytes, outcome)

    def parse(self, event: bytes) -> Response:
        """Return a message from its bytes."""
        return Response.FromString(event)

    def fold(self, events: Iterable[Response]) -> Response:
        """Return the whole answer that a generation's messages make."""
        fold = ContentFold()
        for event in events:
            fold.add(event)
        return fold.answer()

    def apply(self, terms: ReaderTerms, event: Response) -> None:
        """Set a reader's terms in the last message."""
        if not event.HasField("billed_usage"):
            return
        event.response_cache.CopyFrom(terms.response_cache)
        if not terms.billed:
            event.billed_usage.CopyFrom(pb.Usage())
        if terms.context is not None and terms.context.id:
            event.context.CopyFrom(terms.context)

    def message(self, _whole: Response) -> pb.ChatMessage | None:
        """Return nothing: cached contents keep no turns."""
        return None

    def encoded_outcome(self, outcome: pb.ResponseCacheOutcome) -> bytes:
        """Return a whole answer, serialized, that holds an outcome of the response cache alone."""
        return Response(response_cache=outcome).SerializeToString()

    def context(self, last: Response) -> pb.ContextOutcome:
        """Return what happened to the context, from a reader's last event."""
        return last.context

    def usage(self, last: Response) -> pb.Usage:
        """Return the usage of a generation when it was made, from its last message."""
        return last.billed_usage
