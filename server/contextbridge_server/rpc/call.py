"""The call that is being answered: who makes it, until when, and what its log line will say."""

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

from ..callers import ANYONE, Caller
from ..contexts.asker import Asker
from ..upstream.interface import CallTerms

OPEN_TO_ALL = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)
"""Services that need no token and no room: a load balancer and a person with grpcurl ask them."""


@dataclass(slots=True)
class Call:
    """One RPC.

    Attributes:
        method: The full method name, such as `/contextbridge.v1.ContextService/CreateContext`.
        is_open_to_all: The method needs no token and no room.
        request_id: The id that ties the call's log line, its errors and upstream's log together.
        peer: The client's address.
        metadata: The client's metadata; of a repeated key the last value.
        deadline: When the client gives up, on the event loop's clock; None for never.
        caller: Who makes the call.
        upstream_key: The caller's own upstream key, where keys are passed through.
        started: When the call began, on time.perf_counter's clock.
        first_message: When the first message was sent, on the same clock.
        messages_sent: Messages sent so far.
        aborted_with: The status code by which the method itself ended the call, if it did.
        fields: What else the call's log line says.
    """

    method: str
    is_open_to_all: bool
    request_id: str
    peer: str
    metadata: Mapping[str, str | bytes]
    deadline: float | None
    caller: Caller = ANYONE
    upstream_key: str | None = None
    started: float = field(default_factory=time.perf_counter)
    first_message: float | None = None
    messages_sent: int = 0
    aborted_with: str = ""
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def terms(self) -> CallTerms:
        """What the call brings to its upstream requests."""
        return CallTerms(self.request_id, self.deadline, self.upstream_key)

    @property
    def asker(self) -> Asker:
        """Who asks, and on what terms."""
        return Asker(self.caller, self.terms)


ServicerContext = grpc.aio.ServicerContext[Any, Any]
"""What gRPC hands a method beside its request."""

current_call: ContextVar[Call] = ContextVar("current_call")
"""The call of this task; set before a servicer runs."""


def deadline_of(context: ServicerContext) -> float | None:
    """Return when the client gives up, on the event loop's clock; None for never.

    gRPC counts on the wall clock, which may step; it is read once (grpc-python.md 1.5).
    """
    remaining: float | None = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining
