"""The composition root: settings in, a running server out. Everything is built here, once."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TypeAlias

import grpc

from contextbridge import v1 as pb
from contextbridge._version import __version__

from .background_tasks import BackgroundTasks
from .contexts.answers import Answers, DirectAnswers
from .contexts.authorizing_answers import AuthorizingAnswers
from .contexts.binding_refresher import BindingRefresher, NoRefresher, Refresher
from .contexts.bindings import Bindings
from .contexts.context_answers import ContextAnswers
from .contexts.context_lookup import ContextLookup
from .contexts.owners import OwnerRecords
from .contexts.ownership import NoOwnership, Ownership, TenantOwnership, UnrecordedOwnership
from .contexts.prices import NO_PRICES, read_prices
from .contexts.records import ContextRecords
from .contexts.registry import Contexts, Defaults, NoRegistry, Registry
from .contexts.sessions import Sessions
from .generations.cached_responses import CachedResponses, NoResponses, StoredResponses
from .generations.counters import ResponseCacheCounters
from .generations.direct import DirectGenerations
from .generations.generation_manager import GenerationManager
from .generations.generations import Generations
from .generations.hit_cache import HitCache
from .generations.journaled import JournaledGenerations
from .generations.producer import Terms
from .generations.retention_index import RetentionBounds, RetentionIndex
from .generations.stored_journals import StoredJournals
from .process.memory import giving_back
from .process.shared import RunningServer, Shared, running_shared
from .rpc.cached_content_service import CachedContentServicer
from .rpc.callers import Callers, is_single_tenant, read_callers
from .rpc.context_service import ContextServicer
from .rpc.credentials import TlsFiles
from .rpc.file_service import FileServicer
from .rpc.gemini_service import GeminiServicer
from .rpc.interceptors import (
    Admission,
    Authentication,
    CanonicalLog,
    FaultBarrier,
    Interceptor,
    PassedThroughKeys,
    Redaction,
)
from .rpc.response_cache_service import ResponseCacheServicer
from .rpc.server import Server, ServerOptions, Services
from .rpc.uploads import Uploads
from .settings import EMULATOR, NO_STORE, Settings
from .store.claims import Claims
from .store.interface import Store
from .store.leases import Leases
from .store.valkey import opened_store
from .store.vault import Vault, read_keys
from .translate.limits import Limits
from .upstream.http import HttpOptions, HttpUpstream
from .upstream.interface import Upstream
from .upstream.retry import RetryBudget, RetryingUpstream, RetryPolicy

EMULATOR_KEY = "sk-emulator"
Settle: TypeAlias = Callable[[], Awaitable[None]]
RECOVERIES = {
    "never": pb.RECOVERY_NEVER,
    "restore": pb.RECOVERY_RESTORE,
    "restore_or_inline": pb.RECOVERY_RESTORE_OR_INLINE,
}


@asynccontextmanager
async def started_server(settings: Settings) -> AsyncIterator[RunningServer]:
    """Run a server in this process, for those who only need to know that it serves."""
    async with running_server(settings) as server:
        yield RunningServer(server.address, __version__, workers=1)


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[Server]:
    """Build a server and what it needs beside it, and start it; drain it on leaving.

    Raises:
        OSError: A file of the settings cannot be read.
        ValueError: The callers file, the prices file or the file of encryption keys is wrong.
        RuntimeError: The address cannot be bound, or the store cannot be used.
    """
    async with (
        running_shared(settings, settings.listen) as shared,
        serving(settings, shared, shares_port=False) as server,
    ):
        yield server


@asynccontextmanager
async def serving(
    settings: Settings, shared: Shared, *, shares_port: bool
) -> AsyncIterator[Server]:
    """Build a server on what is there, and start it; drain it on leaving.

    Args:
        settings: What the operator said.
        shared: What is there.
        shares_port: Other processes listen on the same port.

    Raises:
        OSError: A file of the settings cannot be read.
        ValueError: The callers file, the prices file or the file of encryption keys is wrong.
        RuntimeError: The address cannot be bound, or the store cannot be used.
    """
    # The loop would note each asynchronous generator, to close it at its own end; ours are closed
    # where they are used, and a call has many (ADR 28).
    sys.set_asyncgen_hooks(firstiter=None)
    admission = Admission(settings.max_concurrent_calls)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(giving_back(lambda: admission.open))
        key = _server_key(settings)
        http = await stack.enter_async_context(
            HttpUpstream(_http_options(settings, shared.upstream, key))
        )
        upstream = RetryingUpstream(
            http, _retry_policy(settings), RetryBudget(settings.retry_budget)
        )
        callers = read_callers(settings.callers_file) if settings.callers_file else None
        store = await stack.enter_async_context(_store(settings, shared.store))
        services, settle = await _services(settings, upstream, store, callers, stack)
        options = _server_options(settings, shared.listen, shares_port=shares_port)
        server = Server(options, services, _interceptors(settings, callers, key, admission))
        await server.start()
        stack.push_async_callback(server.drain, settings.drain_delay, settings.drain_grace, settle)
        yield server


async def _services(
    settings: Settings,
    upstream: Upstream,
    store: Store | None,
    callers: Callers | None,
    stack: AsyncExitStack,
) -> tuple[Services, Settle | None]:
    """Return the services, and what waits for generations that outlive their calls."""
    settle: Settle | None = None
    limits = Limits(max_inline_bytes=settings.max_inline_bytes, stores_contexts=store is not None)
    ownership = _ownership(settings, store, callers)
    if store is None:
        contexts: Contexts = NoRegistry(upstream, ownership, limits, _now)
        direct = DirectGenerations(AuthorizingAnswers(DirectAnswers(upstream), ownership), limits)
        generations = Generations(direct, direct)
        responses: CachedResponses = NoResponses()
    else:
        tasks = await stack.enter_async_context(BackgroundTasks())
        records = _records(settings, store)
        contexts, stored = _stored(
            settings,
            upstream=upstream,
            store=store,
            records=records,
            ownership=ownership,
            tasks=tasks,
            limits=limits,
        )
        counters = ResponseCacheCounters(store)
        await stack.enter_async_context(counters.adding())
        generations, responses, settle = _journaled(
            settings,
            store=store,
            contexts=ContextLookup(records, OwnerRecords(store), _now),
            answers=AuthorizingAnswers(stored, ownership),
            counters=counters,
            tasks=tasks,
            limits=limits,
        )
    services = Services(
        contexts=ContextServicer(contexts, generations),
        gemini=GeminiServicer(generations, limits),
        cached_contents=CachedContentServicer(upstream, limits, ownership),
        files=FileServicer(upstream, Uploads(upstream, settings.upload_prefix), ownership),
        response_cache=ResponseCacheServicer(responses),
    )
    return services, settle


@asynccontextmanager
async def _store(settings: Settings, url: str) -> AsyncIterator[Store | None]:
    """Open the store at an address; None for none."""
    if url == NO_STORE:
        yield None
        return
    async with opened_store(
        url, timeout=settings.store_timeout, ca_file=settings.store_ca_file
    ) as store:
        yield store


def _records(settings: Settings, store: Store) -> ContextRecords:
    # A context is made from one message; JSON may write its bytes twice as long.
    max_content_bytes = 2 * settings.max_message_bytes + settings.session_max_bytes
    return ContextRecords(store, _vault(settings, max_content_bytes), settings.session_max_bytes)


def _vault(settings: Settings, max_bytes: int) -> Vault:
    key_file = settings.store_encryption_key_file
    return Vault(read_keys(key_file) if key_file else (), max_bytes=max_bytes)


def _stored(
    settings: Settings,
    *,
    upstream: Upstream,
    store: Store,
    records: ContextRecords,
    ownership: Ownership,
    tasks: BackgroundTasks,
    limits: Limits,
) -> tuple[Contexts, Answers]:
    """Return what keeps contexts and answers from them."""
    prices_file = settings.prices_file
    leases = Leases(store)
    bindings = Bindings(
        upstream=upstream,
        records=records,
        leases=leases,
        ownership=ownership,
        tasks=tasks,
        now=_now,
    )
    refresher: Refresher = NoRefresher()
    if settings.keep_warm:
        refresher = BindingRefresher(
            upstream=upstream,
            records=records,
            ownership=ownership,
            tasks=tasks,
            max_token_hours=settings.keep_warm_max_token_hours,
            now=_now,
        )
    registry = Registry(
        upstream=upstream,
        records=records,
        bindings=bindings,
        claims=Claims(store),
        ownership=ownership,
        tasks=tasks,
        prices=read_prices(prices_file) if prices_file else NO_PRICES,
        limits=limits,
        defaults=Defaults(
            RECOVERIES[settings.recovery], settings.retention, settings.idempotency_key_retention
        ),
        now=_now,
    )
    answers = ContextAnswers(
        upstream=upstream,
        records=records,
        bindings=bindings,
        sessions=Sessions(leases, settings.session_wait),
        ownership=ownership,
        refresher=refresher,
        now=_now,
    )
    return registry, answers


def _journaled(
    settings: Settings,
    *,
    store: Store,
    contexts: ContextLookup,
    answers: AuthorizingAnswers,
    counters: ResponseCacheCounters,
    tasks: BackgroundTasks,
    limits: Limits,
) -> tuple[Generations, CachedResponses, Settle]:
    """Return what generates by way of journals, what keeps answers, and what waits for them."""
    # The last event comes on top of what may be kept; so do the lengths of all.
    max_stored_bytes = 2 * settings.journal_max_bytes + settings.max_response_bytes
    stored = StoredJournals(store, _vault(settings, max_stored_bytes), settings.resume_retention)
    bounds = RetentionBounds(settings.tenant_max_journals, settings.tenant_max_journal_bytes)
    retention = RetentionIndex(store, stored, bounds)
    manager = GenerationManager(
        answers=answers,
        stored=stored,
        retention=retention,
        counters=counters,
        tasks=tasks,
        terms=Terms(settings.resume_grace, settings.journal_max_bytes, _server_key(settings)),
        max_running=settings.tenant_max_journals,
    )
    direct = DirectGenerations(answers, limits)
    journaled = JournaledGenerations(
        direct=direct,
        answers=answers,
        manager=manager,
        contexts=contexts,
        counters=counters,
        tasks=tasks,
        limits=limits,
        upstream=settings.upstream,
        hits=HitCache(store.invalidations),
    )
    responses = StoredResponses(stored, retention, counters, contexts)
    return Generations(direct, journaled), responses, manager.settle


def _ownership(settings: Settings, store: Store | None, callers: Callers | None) -> Ownership:
    """Return who decides about upstream's ids."""
    if settings.upstream_key_from == "caller":
        return NoOwnership()
    if store is None:
        return UnrecordedOwnership()
    alone = callers is None or is_single_tenant(callers)
    return TenantOwnership(OwnerRecords(store), single_tenant=alone)


def _now() -> datetime:
    return datetime.now(UTC)


def _interceptors(
    settings: Settings, callers: Callers | None, server_key: str | None, admission: Admission
) -> Sequence[Interceptor]:
    # A layer that is off is not there: each call pays for each.
    return (
        CanonicalLog(),  # Outermost: every call has its line, refused ones included.
        Redaction(server_key),  # Inside the log, which says what the caller is told.
        FaultBarrier(),  # Inside the log, so that a fault has its reason in the line.
        *([Authentication(callers)] if callers else []),
        # After authentication: strangers take no room.
        admission,
        *([PassedThroughKeys()] if settings.upstream_key_from == "caller" else []),
    )


def _server_options(settings: Settings, listen: str, *, shares_port: bool) -> ServerOptions:
    return ServerOptions(
        listen=listen,
        shares_port=shares_port,
        credentials=_credentials(settings),
        reflection=settings.reflection,
        channelz=settings.channelz,
        max_concurrent_calls=settings.max_concurrent_calls,
        max_message_bytes=settings.max_message_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        keepalive_interval=settings.keepalive_interval,
        keepalive_min_interval=settings.keepalive_min_interval,
        max_connection_age=settings.max_connection_age,
        max_connection_age_grace=settings.max_connection_age_grace,
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
