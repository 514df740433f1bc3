"""The interface of the two families of generating methods: chats and Gemini-native generation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from contextbridge import v1 as pb

from ..upstream.interface import Batch
from .generation_request import GenerationRequest
from .json_values import Json
from .limits import Limits
from .prompt import Prompt

Event = TypeVar("Event")
Event_co = TypeVar("Event_co", covariant=True)
Request = TypeVar("Request", bound=GenerationRequest, contravariant=True)
Whole = TypeVar("Whole")


class StreamDecoder(Protocol[Event_co]):
    """Decodes an answer's chunks into events."""

    def decode(self, batch: Batch) -> Iterator[Event_co]:
        """Yield the events of the chunks that arrived together."""
        ...

    @property
    def usage(self) -> pb.Usage:
        """What the answer cost, once it is whole."""
        ...

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the answer is whole and ended by itself, so that it may be served again."""
        ...

    def finish(self, outcome: pb.ContextOutcome) -> Iterator[Event_co]:
        """Yield the last event; raise where the answer is not whole."""
        ...

    def abandon(self) -> Iterator[Event_co]:
        """Yield what was held back, where the stream failed."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderTerms:
    """One reader's terms of a generation, which differ from reader to reader.

    Attributes:
        resumable: The reader can come back for the rest.
        response_cache: What the response cache did.
        billed: The answer was made for this reader, who pays for it.
        context: What happened to the reader's context; None where it is what happened to the
            generation's.
    """

    resumable: bool
    response_cache: pb.ResponseCacheOutcome
    billed: bool
    context: pb.ContextOutcome | None = None


class Translator(Protocol[Request, Event, Whole]):
    """A family of methods: a streaming one and its unary twin, which share their request."""

    name: str
    """Tells the families apart, in keys of the response cache: it must never change."""

    context_field: str
    """The request's field that names the context."""

    def prompt(self, request: Request, limits: Limits, *, stream: bool) -> Prompt:
        """Return a request's prompt; raise REQUEST_INVALID with every violation."""
        ...

    def decoder(self, request: Request, prompt_bytes: int) -> StreamDecoder[Event]:
        """Return what turns a stream's chunks into events."""
        ...

    def whole(
        self, value: Json, request: Request, prompt_bytes: int, outcome: pb.ContextOutcome
    ) -> Whole:
        """Return a whole answer of upstream's."""
        ...

    def parse(self, event: bytes) -> Event:
        """Return an event from its bytes."""
        ...

    def fold(self, events: Iterable[Event]) -> Whole:
        """Return the whole answer that a generation's events make."""
        ...

    def apply(self, terms: ReaderTerms, event: Event) -> None:
        """Set a reader's terms in a generation's first or last event."""
        ...

    def message(self, whole: Whole, /) -> pb.ChatMessage | None:
        """Return the message that a session keeps of a whole answer; None where there is none."""
        ...

    def encoded_outcome(self, outcome: pb.ResponseCacheOutcome) -> bytes:
        """Return a whole answer, serialized, that holds an outcome of the response cache alone."""
        ...

    def context(self, last: Event) -> pb.ContextOutcome:
        """Return what happened to the context, from a reader's last event."""
        ...

    def usage(self, last: Event) -> pb.Usage:
        """Return the usage of a generation when it was made, from its last event."""
        ...
