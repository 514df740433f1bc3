"""Upstream over HTTP: what is sent for a request, and what becomes of the answer."""

import asyncio
import ssl
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Self, TypeAlias
from urllib.parse import quote, urlsplit

from contextbridge import v1 as pb
from contextbridge._version import __version__

from ..errors import BridgeError, malformed, too_large
from ..request_context import RequestContext
from .chunks import DONE, ChunkDecoder
from .failures import SUCCESS, failure_of_answer
from .framing import Framing
from .http1 import (
    BrokenCompressionError,
    ConnectError,
    Connection,
    ConnectionLostError,
    Connections,
    Host,
    LateError,
    MalformedAnswerError,
    header_lines,
)
from .interface import Batch, LastBatch, Surface, UpstreamAnswer, UpstreamRequest

Reason: TypeAlias = pb.ErrorReason.ValueType

TRANSPORT_FAILURES: Mapping[type[Exception], tuple[Reason, str]] = {
    ConnectError: (pb.ERROR_REASON_UPSTREAM_CONNECT_FAILED, "No connection to upstream."),
    ConnectionLostError: (
        pb.ERROR_REASON_UPSTREAM_CONNECTION_LOST,
        "The connection to upstream broke before the answer was whole.",
    ),
    MalformedAnswerError: (
        pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
        "Upstream's answer is malformed: it is no HTTP.",
    ),
    BrokenCompressionError: (
        pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
        "Upstream's answer is malformed: its compression is broken.",
    ),
}
"""Reasons by the exception that ended an exchange.

Only a failure to connect may be repeated: after it nothing has been sent.
"""

TRANSPORT_ERRORS: tuple[type[Exception], ...] = (*TRANSPORT_FAILURES, LateError)
MAX_ERROR_BODY_BYTES = 64 * 1024
DRAIN_TIMEOUT = timedelta(milliseconds=100)
SAFE_IN_TARGET = "/:?#[]@!$&'()*+,;=%-._~"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Where upstream is and how long it is waited for.

    Attributes:
        base_url: Scheme, host and optional path, such as `https://gateway.example`.
        context_prefix: Path prefix of the context surface.
        native_prefix: Path prefix of the Gemini-native surface.
        upload_prefix: Path prefix of file uploads.
        api_key: The key that is sent where the caller brings none.
        ca_file: Certificates to trust instead of the system's.
        connect_timeout: Longest wait for a connection, TLS included.
        response_timeout: Longest wait for a whole unary answer.
        first_event_timeout: Longest wait for a stream's first event.
        idle_timeout: Longest silence within a stream.
        max_response_bytes: Largest unary answer taken.
        max_event_bytes: Largest event of a stream taken.
    """

    base_url: str
    context_prefix: str
    native_prefix: str
    upload_prefix: str
    api_key: str | None
    ca_file: str | None
    connect_timeout: timedelta
    response_timeout: timedelta
    first_event_timeout: timedelta
    idle_timeout: timedelta
    max_response_bytes: int
    max_event_bytes: int


class HttpUpstream:
    """The gateway over HTTP. Open it with `async with`; one per process."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._prefixes = {
            Surface.CONTEXT: options.context_prefix,
            Surface.NATIVE: options.native_prefix,
            Surface.UPLOAD: options.upload_prefix,
        }
        base = urlsplit(options.base_url)
        self._path = base.path.rstrip("/")
        self._host_lines = header_lines(
            [
                ("Host", base.netloc),
                ("Accept", "application/json"),
                # A compressor's window would hold tokens back.
                ("Accept-Encoding", "identity"),
                ("User-Agent", f"contextbridge/{__version__}"),
            ]
        )
        tls = base.scheme == "https"
        context = ssl.create_default_context(cafile=options.ca_file) if tls else None
        port = base.port or (443 if tls else 80)
        self._connections = Connections(Host(base.hostname or "", port, context))
        self._target = lru_cache(maxsize=1024)(self._build_target)
        self._own_lines = lru_cache(maxsize=1024)(self._build_own_lines)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.aclose()

    async def send(self, request: UpstreamRequest, ctx: RequestContext) -> UpstreamAnswer:
        """Send a request and return the whole answer; failures are BridgeErrors."""
        reason = pb.ERROR_REASON_UPSTREAM_RESPONSE_TIMEOUT
        answer = await self._begin(request, ctx, self._options.response_timeout, reason)
        try:
            body = await _read(answer, self._options.max_response_bytes, reason)
            return UpstreamAnswer(body, answer.headers)
        finally:
            self._connections.give_back(answer)

    @asynccontextmanager
    async def stream(
        self, request: UpstreamRequest, ctx: RequestContext
    ) -> AsyncIterator[AsyncIterator[Batch]]:
        """Send a request and iterate over its chunks, those of one read together."""
        reason = pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT
        answer = await self._begin(request, ctx, self._options.first_event_timeout, reason)
        try:
            async with aclosing(self._chunks(answer)) as chunks:
                yield chunks
            await _drain(answer)
        finally:
            self._connections.give_back(answer)

    async def _chunks(self, answer: Connection) -> AsyncGenerator[Batch, None]:
        framing = Framing(self._options.max_event_bytes)
        decoder = ChunkDecoder(answer.headers)
        reason: Reason = pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT
        is_open = True
        while is_open:
            piece = await _piece(answer, reason)
            is_open = bool(piece)
            payloads = framing.feed(piece) if is_open else framing.finish()
            batch, ending = decoder.decode(payloads)
            if ending is DONE:
                yield LastBatch(batch)
                return
            if batch:
                reason = pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT
                yield batch
            if isinstance(ending, BridgeError):
                raise ending
            if reason == pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT:
                answer.deadline = _from_now(self._options.idle_timeout)

    async def _begin(
        self, request: UpstreamRequest, ctx: RequestContext, wait: timedelta, late: Reason
    ) -> Connection:
        """Send a request; return the connection whose answer is one of success.

        Args:
            request: What is sent.
            ctx: Whose call it is.
            wait: How long the answer is waited for from now on, beyond the return too.
            late: The reason where that is not enough.
        """
        deadline = _from_now(wait)
        head = self._head(request, ctx)
        connection = self._connections.idle() or await self._connect(deadline, late)
        connection.deadline = deadline
        try:
            await connection.ask(head, request.body)
            await _raise_for_failure(connection, late)
        except TRANSPORT_ERRORS as error:
            self._connections.give_back(connection)
            raise _transport_failure(error, late) from error
        except BaseException:
            self._connections.give_back(connection)
            raise
        return connection

    async def _connect(self, deadline: float, late: Reason) -> Connection:
        by = _from_now(self._options.connect_timeout)
        if by < deadline:
            deadline, late = by, pb.ERROR_REASON_UPSTREAM_CONNECT_TIMEOUT
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connections.connect()
        except ConnectError as error:
            raise _transport_failure(error, late) from error
        except TimeoutError as error:
            raise _timeout(late) from error

    def _head(self, request: UpstreamRequest, ctx: RequestContext) -> bytes:
        return b"".join(
            (
                request.method.encode(),
                self._target(request.surface, request.path, request.query),
                self._host_lines,
                self._own_lines(request.surface, request.headers, ctx.upstream_key),
                header_lines((("X-Client-Request-Id", ctx.request_id),)),
                b"Content-Length: %d\r\n\r\n" % len(request.body),
            )
        )

    def _build_target(self, surface: Surface, path: str, query: str) -> bytes:
        target = self._path + self._prefixes[surface] + path + (f"?{query}" if query else "")
        # It is encoded already; what could end the line is not to get through in any case.
        return f" {quote(target, safe=SAFE_IN_TARGET)} HTTP/1.1\r\n".encode()

    def _build_own_lines(
        self, surface: Surface, given: tuple[tuple[str, str], ...], caller_key: str | None
    ) -> bytes:
        key = caller_key or self._options.api_key
        headers = [*given]
        if surface is not Surface.UPLOAD:
            headers.append(("Content-Type", "application/json"))
        if key and surface is Surface.CONTEXT:
            headers.append(("Authorization", f"Bearer {key}"))
        elif key:
            headers.append(("x-goog-api-key", key))
        return header_lines(headers)


async def _raise_for_failure(answer: Connection, late: Reason) -> None:
    if answer.status not in SUCCESS:
        body = await _read(answer, MAX_ERROR_BODY_BYTES, late, cut=True)
        raise failure_of_answer(answer.status, answer.headers, body)
    if answer.headers.get("content-type", "").startswith("text/html"):
        raise malformed("it is HTML")


async def _read(answer: Connection, limit_bytes: int, late: Reason, *, cut: bool = False) -> bytes:
    """Read a body up to a limit; past it, cut it or raise UPSTREAM_RESPONSE_TOO_LARGE."""
    body = b""
    while piece := await _piece(answer, late):
        body = body + piece if body else piece
        if len(body) > limit_bytes:
            if cut:
                break
            raise too_large(limit_bytes)
    return body


async def _piece(answer: Connection, late: Reason) -> bytes:
    try:
        return await answer.read()
    except TRANSPORT_ERRORS as error:
        raise _transport_failure(error, late) from error


async def _drain(answer: Connection) -> None:
    """Read the last bytes of a finished body, so that its connection can be used again."""
    if answer.is_whole:
        return
    answer.deadline = _from_now(DRAIN_TIMEOUT)
    # The answer is whole; where the connection is not, it is closed instead.
    with suppress(*TRANSPORT_ERRORS):
        while await answer.read():
            pass


def _transport_failure(error: Exception, late: Reason) -> BridgeError:
    if isinstance(error, LateError):
        return _timeout(late)
    return BridgeError(*TRANSPORT_FAILURES[type(error)])


def _timeout(reason: Reason) -> BridgeError:
    return BridgeError(reason, TIMEOUTS[reason])


TIMEOUTS: Mapping[Reason, str] = {
    pb.ERROR_REASON_UPSTREAM_CONNECT_TIMEOUT: (
        "No connection to upstream within the connect timeout."
    ),
    pb.ERROR_REASON_UPSTREAM_RESPONSE_TIMEOUT: "Upstream sent no answer in time.",
    pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT: "Upstream began no stream in time.",
    pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT: "Upstream fell silent within its stream.",
}


def _from_now(wait: timedelta) -> float:
    return asyncio.get_running_loop().time() + wait.total_seconds()
