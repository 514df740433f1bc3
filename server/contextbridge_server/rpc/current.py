"""The request context of the call that the current task answers."""

import asyncio
from contextvars import ContextVar
from typing import Any

import grpc

from ..request_context import RequestContext

ServicerContext = grpc.aio.ServicerContext[Any, Any]
"""The gRPC object that a method gets beside its request."""

current_request: ContextVar[RequestContext] = ContextVar("current_request")
"""Set before the interceptors run."""


def deadline_of(context: ServicerContext) -> float | None:
    """Return the end of the client's wait, on the event loop's clock; None for no end.

    gRPC counts on the wall clock, which may step; it is read once (grpc-python.md 1.5).
    """
    remaining: float | None = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining
