"""grpc.health.v1, whose watchers leave when the server does."""

from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from .current import ServicerContext

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthServicer(aio.HealthServicer):
    """The library's servicer, except that a Watch ends once it has said NOT_SERVING for good.

    The library's own never ends, and a stop would wait its whole grace for it (grpc-python.md 1.6).
    """

    is_draining = False
    """Whether the last status has been set."""

    async def enter_graceful_shutdown(self) -> None:
        """Set NOT_SERVING for good."""
        self.is_draining = True
        await super().enter_graceful_shutdown()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: ServicerContext) -> None:
        """Send a service's status, and again whenever it changes, until the server drains."""
        leaving: Any = _LeavingContext(context, self)
        try:
            await super().Watch(request, leaving)
        except _LeftError:
            return


class _LeftError(Exception):
    """A watcher has heard the last status."""


class _LeavingContext:
    """A context whose write ends the watch once the server drains."""

    def __init__(self, context: ServicerContext, servicer: HealthServicer) -> None:
        self._context = context
        self._servicer = servicer

    async def write(self, message: health_pb2.HealthCheckResponse) -> None:
        """Send a status; leave if it was the last."""
        await self._context.write(message)
        # What was SERVING when its writing began is not the last status, even if it is by now.
        if self._servicer.is_draining and message.status != SERVING:
            raise _LeftError
