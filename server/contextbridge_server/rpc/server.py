"""The gRPC server: its services, its options, and its end."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2_grpc
from grpc_health.v1 import health_pb2_grpc

from contextbridge import v1 as pb

from .health import SERVING, HealthServicer
from .interceptors import Interceptor
from .methods import InterceptedMethods
from .reflection import add_reflection

SERVICE_NAMES = (
    "contextbridge.v1.ContextService",
    "contextbridge.v1.GeminiService",
    "contextbridge.v1.CachedContentService",
    "contextbridge.v1.FileService",
    "contextbridge.v1.ResponseCacheService",
)
HEALTH = "grpc.health.v1.Health"


@dataclass(frozen=True, slots=True)
class Services:
    """The servicers of this project's own services."""

    contexts: pb.ContextServiceServicer
    gemini: pb.GeminiServiceServicer
    cached_contents: pb.CachedContentServiceServicer
    files: pb.FileServiceServicer
    response_cache: pb.ResponseCacheServiceServicer


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server listens.

    Attributes:
        listen: `HOST:PORT` or `unix:PATH`.
        shares_port: Other processes listen on the same port; the system spreads connections.
        credentials: TLS; None for plain text.
        reflection: Serve reflection.
        channelz: Serve channelz.
        max_concurrent_calls: Streams on one connection at once.
        max_message_bytes: Largest message taken.
        max_metadata_bytes: Largest metadata taken.
        keepalive_interval: How often a silent connection is pinged.
        keepalive_min_interval: How often clients may ping.
        max_connection_age: When a connection is asked to go; zero for never.
        max_connection_age_grace: How long its calls may go on after that.
    """

    listen: str
    shares_port: bool
    credentials: grpc.ServerCredentials | None
    reflection: bool
    channelz: bool
    max_concurrent_calls: int
    max_message_bytes: int
    max_metadata_bytes: int
    keepalive_interval: timedelta
    keepalive_min_interval: timedelta
    max_connection_age: timedelta
    max_connection_age_grace: timedelta


class Server:
    """A gRPC server that is being built, serves, and is drained.

    Args:
        options: How it listens.
        services: What it serves.
        interceptors: The interceptors around every call, the outermost first.
    """

    def __init__(
        self, options: ServerOptions, services: Services, interceptors: Sequence[Interceptor]
    ) -> None:
        self._health = HealthServicer()
        with _threads_give_way():
            self._server = grpc.aio.server(options=_channel_arguments(options))
        methods: Any = InterceptedMethods(interceptors)
        self._server.add_generic_rpc_handlers((methods,))
        pb.add_ContextServiceServicer_to_server(services.contexts, methods)
        pb.add_GeminiServiceServicer_to_server(services.gemini, methods)
        pb.add_CachedContentServiceServicer_to_server(services.cached_contents, methods)
        pb.add_FileServiceServicer_to_server(services.files, methods)
        pb.add_ResponseCacheServiceServicer_to_server(services.response_cache, methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        if options.reflection:
            add_reflection(methods, (*SERVICE_NAMES, HEALTH))
        if options.channelz:
            # The library's own way looks at the server's class to find out that it is asyncio's.
            servicer: Any = channelz.aio.ChannelzServicer()
            channelz_pb2_grpc.add_ChannelzServicer_to_server(servicer, methods)
        self.address = self._bind(options)

    def _bind(self, options: ServerOptions) -> str:
        """Bind the address; return it with the port that was picked."""
        if options.credentials is None:
            port = self._server.add_insecure_port(options.listen)
        else:
            port = self._server.add_secure_port(options.listen, options.credentials)
        host, _, given_port = options.listen.rpartition(":")
        return f"{host}:{port}" if given_port == "0" else options.listen

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()
        for name in SERVICE_NAMES:
            await self._health.set(name, SERVING)

    async def drain(
        self,
        delay: timedelta,
        grace: timedelta,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Say NOT_SERVING, wait for load balancers to notice, then let what is open end.

        Args:
            delay: How long new calls are still taken.
            grace: How long open calls, and what outlives them, may go on after that.
            settle: Waits for what outlives its call.
        """
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(delay.total_seconds())
        async with asyncio.TaskGroup() as ending:
            ending.create_task(self._server.stop(grace.total_seconds()))
            if settle is not None:
                ending.create_task(_at_most(grace, settle))


@contextmanager
def _threads_give_way() -> Iterator[None]:
    """Let threads that begin meanwhile wait for a core, instead of taking one that is in use.

    gRPC's thread wakes for each operation that has completed. By default it takes the core of the
    event loop, which has just asked for that operation, and gives it back at once: seven times in
    a unary call. Afterwards it finds all that have completed while the loop was busy (ADR 28).
    """
    # Whoever runs us otherwise knows why, and where it is not to be had nothing is lost.
    gives_way = False
    with suppress(AttributeError, OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            gives_way = True
    try:
        yield
    finally:
        if gives_way:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def _at_most(wait: timedelta, work: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait.total_seconds()):
            await work()


def _channel_arguments(options: ServerOptions) -> list[tuple[str, Any]]:
    return [
        # Overload protection counts streams against this bound, and is off without one.
        ("grpc.max_concurrent_streams", options.max_concurrent_calls),
        # Calls that come faster than they are begun; past this gRPC cancels them without a word,
        # where admission would say that the server is overloaded.
        ("grpc.server.max_pending_requests", options.max_concurrent_calls),
        ("grpc.server.max_pending_requests_hard_limit", options.max_concurrent_calls),
        # How long they wait is their callers' to say.
        ("grpc.server_max_unrequested_time_in_server", 3600),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", options.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", options.max_metadata_bytes * 2),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", _ms(options.keepalive_interval)),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(options.keepalive_min_interval)),
        ("grpc.keepalive_permit_without_calls", 1),
        # Unless they are workers of one server, a second process on the port must fail, not share.
        ("grpc.so_reuseport", int(options.shares_port)),
        ("grpc.enable_channelz", int(options.channelz)),
        *_connection_age(options),
    ]


def _connection_age(options: ServerOptions) -> list[tuple[str, Any]]:
    if not options.max_connection_age:
        return []
    return [
        ("grpc.max_connection_age_ms", _ms(options.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _ms(options.max_connection_age_grace)),
    ]


def _ms(duration: timedelta) -> int:
    # gRPC takes a number of 32 bits; its largest means for ever, or near enough.
    return min(int(duration.total_seconds() * 1000), 2**31 - 1)
