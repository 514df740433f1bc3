"""The composition root: settings in, a running server out. Everything is built here, once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import grpc

from .callers import read_callers
from .emulator import running_emulator
from .generations.generation import Generations
from .rpc.cached_content_service import CachedContentServicer
from .rpc.context_service import ContextServicer
from .rpc.credentials import TlsFiles
from .rpc.file_service import FileServicer
from .rpc.gemini_service import GeminiServicer
from .rpc.layers import (
    Admission,
    Authentication,
    CanonicalLog,
    FaultBarrier,
    Layer,
    NoAuthentication,
    OwnKey,
    PassedThroughKeys,
    Redaction,
)
from .rpc.server import Server, ServerOptions, Services
from .settings import EMULATOR, Settings
from .translate.limits import Limits
from .uploads import Uploads
from .upstream.http import HttpOptions, HttpUpstream
from .upstream.port import Upstream
from .upstream.retry import RetryBudget, RetryingUpstream, RetryPolicy

EMULATOR_KEY = "sk-emulator"


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[Server]:
    """Build a server and start it; drain it on leaving.

    Raises:
        OSError: A file of the settings cannot be read.
        ValueError: The callers file is wrong.
        RuntimeError: The address cannot be bound.
    """
    async with AsyncExitStack() as stack:
        base_url, key = settings.upstream, _server_key(settings)
        if base_url == EMULATOR:
            base_url = await stack.enter_async_context(running_emulator())
        http = await stack.enter_async_context(HttpUpstream(_http_options(settings, base_url, key)))
        upstream = RetryingUpstream(
            http, _retry_policy(settings), RetryBudget(settings.retry_budget)
        )
        server = Server(
            _server_options(settings), _services(settings, upstream), _layers(settings, key)
        )
        await server.start()
        stack.push_async_callback(server.drain, settings.drain_delay, settings.drain_grace)
        yield server


def _services(settings: Settings, upstream: Upstream) -> Services:
    limits = Limits(max_inline_bytes=settings.max_inline_bytes)
    generations = Generations(upstream)
    return Services(
        contexts=ContextServicer(generations, limits, now=lambda: datetime.now(UTC)),
        gemini=GeminiServicer(generations, limits),
        cached_contents=CachedContentServicer(upstream, limits),
        files=FileServicer(upstream, Uploads(upstream, settings.upload_prefix)),
    )


def _layers(settings: Settings, server_key: str | None) -> Sequence[Layer]:
    callers = settings.callers_file
    return (
        CanonicalLog(),  # Outermost: every call has its line, refused ones included.
        Redaction(server_key),  # Inside the log, which says what the caller is told.
        FaultBarrier(),  # Inside the log, so that a fault has its reason in the line.
        Authentication(read_callers(callers)) if callers else NoAuthentication(),
        # After authentication: strangers take no room.
        Admission(settings.max_concurrent_calls),
        PassedThroughKeys() if settings.upstream_key_from == "caller" else OwnKey(),
    )


def _server_options(settings: Settings) -> ServerOptions:
    return ServerOptions(
        listen=settings.listen,
        credentials=_credentials(settings),
        reflection=settings.reflection,
        channelz=settings.channelz,
        max_concurrent_calls=settings.max_concurrent_calls,
        max_message_bytes=settings.max_message_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        keepalive_interval=settings.keepalive_interval,
        keepalive_min_interval=settings.keepalive_min_interval,
    )


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    files = TlsFiles(
        settings.tls_certificate_file, settings.tls_key_file, settings.tls_client_ca_file
    )
    return files.credentials()


def _server_key(settings: Settings) -> str | None:
    """Return the key that goes upstream where the caller's own does not."""
    if settings.upstream_key_from == "caller":
        return None
    return settings.upstream_key() or (EMULATOR_KEY if settings.upstream == EMULATOR else None)


def _http_options(settings: Settings, base_url: str, server_key: str | None) -> HttpOptions:
    return HttpOptions(
        base_url=base_url,
        context_prefix=settings.context_prefix,
        native_prefix=settings.native_prefix,
        upload_prefix=settings.upload_prefix,
        api_key=server_key,
        ca_file=str(settings.upstream_ca_file) if settings.upstream_ca_file else None,
        connect_timeout=settings.connect_timeout,
        response_timeout=settings.response_timeout,
        first_event_timeout=settings.first_event_timeout,
        idle_timeout=settings.idle_timeout,
        max_response_bytes=settings.max_response_bytes,
        max_event_bytes=settings.max_event_bytes,
    )


def _retry_policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=settings.retry_max_attempts,
        base_delay=settings.retry_base_delay,
        max_delay=settings.retry_max_delay,
    )
