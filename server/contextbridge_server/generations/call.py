"""A call that generates, and its outcome."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from contextbridge import v1 as pb

from ..request_context import RequestContext
from ..translate.generation_request import GenerationRequest
from ..translate.translator import Translator

Whole = TypeVar("Whole")

Write: TypeAlias = Callable[[Any], Awaitable[None]]
"""Sends an event: a message, or one that is serialized already."""


@dataclass(frozen=True, slots=True)
class GenerationCall(Generic[Whole]):
    """A call that generates.

    Attributes:
        request: The request.
        translator: Translates requests and answers of the method's family.
        ctx: The request context.
    """

    request: GenerationRequest
    translator: Translator[Any, Any, Whole]
    ctx: RequestContext

    @property
    def needs_journal(self) -> bool:
        """The call asks for what a journal gives: resuming, or the response cache."""
        return bool(self.request.idempotency_key) or self.request.response_cache.enabled


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a call, for its log line.

    Attributes:
        usage: The tokens that the call paid for.
        context: What happened to its context.
        response_cache: What the response cache did.
        is_resumed: The call resumed a generation that another call began under its key.
    """

    usage: pb.Usage
    context: pb.ContextOutcome
    response_cache: pb.ResponseCacheOutcome
    is_resumed: bool = False
