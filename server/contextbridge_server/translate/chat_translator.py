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
from .translator import Told

Request = pb.ChatWithContextRequest
Event = pb.ChatWithContextResponse
Whole = pb.CompleteChatWithContextResponse


class ChatTranslator:
    """Translates ChatWithContext and CompleteChatWithContext."""

    name = "chat"
    context_field = "context_id"

    def prompt(self, request: Request, limits: Limits, *, stream: bool) -> Prompt:
        """Return what a request asks upstream."""
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

    def tell(self, event: Event, told: Told) -> None:
        """Set, in the first or last event, what differs from reader to reader."""
        if event.HasField("started"):
            event.started.resumable = told.resumable
        if event.HasField("completed"):
            completed = event.completed
            completed.response_cache.CopyFrom(told.response_cache)
            completed.billed_usage.CopyFrom(completed.usage if told.billed else pb.Usage())
            if told.context is not None:
                completed.context.CopyFrom(told.context)

    def outcome_of_whole(self, outcome: pb.ResponseCacheOutcome) -> bytes:
        """Return what the response cache did, as a whole answer that says nothing else."""
        return Whole(response_cache=outcome).SerializeToString()

    def context(self, last: Event) -> pb.ContextOutcome:
        """Return what happened to the context, by the last event as a reader is told it."""
        return last.completed.context

    def usage(self, last: Event) -> pb.Usage:
        """Return what a generation cost when it was made, by its last event."""
        return last.completed.usage
