"""Chats that start from a context, as ContextService has them."""

from collections.abc import Iterable

from contextbridge import v1 as pb
from contextbridge._fold import ChatFold

from .chat_answer import chat_answer
from .chat_request import chat_prompt
from .chat_stream import ChatStreamDecoder
from .json_values import Json
from .limits import Limits
from .prompt import Prompt
from .translator import ReaderTerms

Request = pb.ChatWithContextRequest
Event = pb.ChatWithContextResponse
Whole = pb.CompleteChatWithContextResponse


class ChatTranslator:
    """Translates ChatWithContext and CompleteChatWithContext."""

    name = "chat"
    context_field = "context_id"

    def prompt(self, request: Request, limits: Limits, *, stream: bool) -> Prompt:
        """Return a request's prompt."""
        return chat_prompt(request, limits, stream=stream)

    def decoder(self, request: Request, prompt_bytes: int) -> ChatStreamDecoder:
        """Return what turns a stream's chunks into events."""
        return ChatStreamDecoder(request, prompt_bytes)

    def whole(
        self, value: Json, request: Request, prompt_bytes: int, outcome: pb.ContextOutcome
    ) -> Whole:
        """Return a whole answer of upstream's."""
        return chat_answer(value, request, prompt_bytes, outcome)

    def parse(self, event: bytes) -> Event:
        """Return an event from its bytes."""
        return Event.FromString(event)

    def fold(self, events: Iterable[Event]) -> Whole:
        """Return the whole answer that a generation's events make."""
        fold = ChatFold()
        for event in events:
            fold.add(event)
        return fold.answer()

    def apply(self, terms: ReaderTerms, event: Event) -> None:
        """Set a reader's terms in the first or last event."""
        if event.HasField("started"):
            event.started.resumable = terms.resumable
        if event.HasField("completed"):
            completed = event.completed
            completed.response_cache.CopyFrom(terms.response_cache)
            completed.billed_usage.CopyFrom(completed.usage if terms.billed else pb.Usage())
            if terms.context is not None:
                completed.context.CopyFrom(terms.context)

    def message(self, whole: Whole) -> pb.ChatMessage | None:
        """Return the message of the first choice."""
        return next((choice.message for choice in whole.choices if choice.index == 0), None)

    def encoded_outcome(self, outcome: pb.ResponseCacheOutcome) -> bytes:
        """Return a whole answer, serialized, that holds an outcome of the response cache alone."""
        return Whole(response_cache=outcome).SerializeToString()

    def context(self, last: Event) -> pb.ContextOutcome:
        """Return what happened to the context, from a reader's last event."""
        return last.completed.context

    def usage(self, last: Event) -> pb.Usage:
        """Return the usage of a generation when it was made, from its last event."""
        return last.completed.usage
