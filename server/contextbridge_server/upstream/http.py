"""Upstream over HTTP: httpx2's transport interface over one aiohttp session per process.

The transport is called directly, with prebuilt URLs and headers: the client layer above it
(redirects, cookies, auth) does nothing for us and costs a quarter of a call's time.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Self, TypeAlias

import aiohttp
import httpx2
from httpx_aiohttp.httpx2 import AiohttpTransport

from contextbridge import v1 as pb
from contextbridge._version import __version__

from ..errors import BridgeError, malformed, too_large
from .failures import SUCCESS, decode_object, failure_of_answer
from .framing import Framing
from .port import CallTerms, Chunk, LastBatch, Surface, UpstreamAnswer, UpstreamRequest

Reason: TypeAlias = pb.ErrorReason.ValueType

TRANSPORT_FAILURES: tuple[tuple[type[Exception], Reason, str], ...] = (
    (
        aiohttp.ConnectionTimeoutError,
        pb.ERROR_REASON_UPSTREAM_CONNECT_TIMEOUT,
        "No connection to upstream within the connect timeout.",
    ),
    (
        aiohttp.ClientConnectorError,
        pb.ERROR_REASON_UPSTREAM_CONNECT_FAILED,
        "No connection to upstream.",
    ),
    (
        aiohttp.ClientResponseError,
        pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
        "Upstream's answer is malformed: it is no HTTP.",
    ),
    (
        httpx2.DecodingError,
        pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
        "Upstream's answer is malformed: its compression is broken.",
    ),
    (
        Exception,
        pb.ERROR_REASON_UPSTREAM_CONNECTION_LOST,
        "The connection to upstream broke before the answer was whole.",
    ),
)
"""Reasons by the exception that ended an exchange; the first class that fits counts.

httpx-aiohttp calls a lost connection a ConnectTimeout, as if nothing had been sent; aiohttp's own
exception behind it tells the two apart.
"""

LARGE_BODY_BYTES = 1024**2
SLICE_BYTES = 256 * 1024
MAX_ERROR_BODY_BYTES = 64 * 1024
DRAIN_TIMEOUT = timedelta(milliseconds=100)
DONE = b"[DONE]"


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
        connect_seconds = options.connect_timeout.total_seconds()
        self._extensions = {"timeout": {"connect": connect_seconds, "pool": connect_seconds}}
        self._url = lru_cache(maxsize=1024)(self._build_url)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=self._options.ca_file)
        # The number of connections follows the number of calls, which the server bounds.
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        )
        self._transport = AiohttpTransport(client=session, verify=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, request: UpstreamRequest, terms: CallTerms) -> UpstreamAnswer:
        """Send a request and return the whole answer; failures are BridgeErrors."""
        deadline = _from_now(self._options.response_timeout)
        async with (
            _until(deadline, pb.ERROR_REASON_UPSTREAM_RESPONSE_TIMEOUT),
            self._exchange(request, terms) as response,
        ):
            body = await _read(response, self._options.max_response_bytes)
            return UpstreamAnswer(body, response.headers)

    @asynccontextmanager
    async def stream(
        self, request: UpstreamRequest, terms: CallTerms
    ) -> AsyncIterator[AsyncIterator[Sequence[Chunk]]]:
        """Send a request and iterate over its chunks, those of one read together."""
        first_by = _from_now(self._options.first_event_timeout)
        async with AsyncExitStack() as stack:
            async with _until(first_by, pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT):
                response = await stack.enter_async_context(self._exchange(request, terms))
            pieces = await stack.enter_async_context(aclosing(_pieces(response)))
            chunks = self._chunks(pieces, response.headers, first_by)
            yield await stack.enter_async_context(aclosing(chunks))
            await _drain(pieces)

    async def _chunks(
        self, pieces: AsyncIterator[bytes], headers: Mapping[str, str], first_by: float
    ) -> AsyncGenerator[Sequence[Chunk], None]:
        framing = Framing(self._options.max_event_bytes)
        deadline, reason = first_by, pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT
        piece: bytes | None = b""
        while piece is not None:
            async with _until(deadline, reason):
                piece = await anext(pieces, None)
            payloads = framing.finish() if piece is None else framing.feed(piece)
            batch, ending = _decode(payloads, headers)
            if ending is DONE:
                yield LastBatch(batch)
                return
            if batch:
                reason = pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT
                yield batch
            if isinstance(ending, BridgeError):
                raise ending
            if reason == pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT:
                deadline = _from_now(self._options.idle_timeout)

    @asynccontextmanager
    async def _exchange(
        self, request: UpstreamRequest, terms: CallTerms
    ) -> AsyncIterator[httpx2.Response]:
        """Send a request; yield the response if it is one of success; close it."""
        outgoing = httpx2.Request(
            request.method,
            self._url(request.surface, request.path, request.query),
            headers=self._headers(request, terms),
            content=request.body
            if len(request.body) <= LARGE_BODY_BYTES
            else _slices(request.body),
            extensions=self._extensions,
        )
        with _transport_failures():
            response = await self._transport.handle_async_request(outgoing)
        try:
            await _raise_for_failure(response)
            yield response
        finally:
            await response.aclose()

    def _build_url(self, surface: Surface, path: str, query: str) -> httpx2.URL:
        url = self._options.base_url.rstrip("/") + self._prefixes[surface] + path
        return httpx2.URL(f"{url}?{query}" if query else url)

    def _headers(self, request: UpstreamRequest, terms: CallTerms) -> list[tuple[str, str]]:
        key = terms.upstream_key or self._options.api_key
        headers = [
            ("Accept", "application/json"),
            # A compressor's window would hold tokens back.
            ("Accept-Encoding", "identity"),
            ("User-Agent", f"contextbridge/{__version__}"),
            ("X-Client-Request-Id", terms.request_id),
            ("Content-Length", str(len(request.body))),
            *request.headers,
        ]
        if request.surface is not Surface.UPLOAD:
            headers.append(("Content-Type", "application/json"))
        if key and request.surface is Surface.CONTEXT:
            headers.append(("Authorization", f"Bearer {key}"))
        elif key:
            headers.append(("x-goog-api-key", key))
        return headers


def _decode(
    payloads: Iterable[bytes], headers: Mapping[str, str]
) -> tuple[list[Chunk], BridgeError | bytes | None]:
    """Decode the events of one read; return the chunks and what ended them, if anything did."""
    chunks: list[Chunk] = []
    try:
        for payload in payloads:
            if payload.strip() == DONE:
                return chunks, DONE
            if payload:
                chunks.append(decode_object(payload, headers))
    except BridgeError as error:
        return chunks, error
    return chunks, None


async def _raise_for_failure(response: httpx2.Response) -> None:
    if response.status_code not in SUCCESS:
        body = await _read(response, MAX_ERROR_BODY_BYTES, cut=True)
        raise failure_of_answer(response.status_code, response.headers, body)
    if response.headers.get("content-type", "").startswith("text/html"):
        raise malformed("it is HTML")


async def _read(response: httpx2.Response, limit_bytes: int, *, cut: bool = False) -> bytes:
    """Read a body up to a limit; past it, cut it or raise UPSTREAM_RESPONSE_TOO_LARGE."""
    body = bytearray()
    async with aclosing(_pieces(response)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > limit_bytes:
                if cut:
                    break
                raise too_large(limit_bytes)
    return bytes(body)


async def _pieces(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Yield a body as it arrives, decompressed where upstream compresses unasked."""
    compressed = "content-encoding" in response.headers
    source: Any = response.aiter_bytes() if compressed else response.aiter_raw()
    with _transport_failures():
        async with aclosing(source):
            async for piece in source:
                yield piece


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    """Yield a large body piece by piece, so that other calls get their turns in between."""
    for start in range(0, len(body), SLICE_BYTES):
        yield body[start : start + SLICE_BYTES]


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read the last bytes of a finished body, so that its connection can be used again."""
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT.total_seconds()):
            async for _ in pieces:
                pass
    except (TimeoutError, BridgeError):
        # The answer is whole; the connection is closed instead.
        return


@contextmanager
def _transport_failures() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, httpx2.HTTPError, OSError) as error:
        cause = error.__cause__ if isinstance(error, httpx2.TransportError) else error
        _, reason, message = next(row for row in TRANSPORT_FAILURES if isinstance(cause, row[0]))
        raise BridgeError(reason, message) from error


@asynccontextmanager
async def _until(deadline: float, reason: Reason) -> AsyncIterator[None]:
    """Give up at a moment of the loop's clock, with a reason."""
    try:
        async with asyncio.timeout_at(deadline) as timeout:
            yield
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise BridgeError(reason, TIMEOUTS[reason]) from error


TIMEOUTS: Mapping[Reason, str] = {
    pb.ERROR_REASON_UPSTREAM_RESPONSE_TIMEOUT: "Upstream sent no answer in time.",
    pb.ERROR_REASON_UPSTREAM_FIRST_EVENT_TIMEOUT: "Upstream began no stream in time.",
    pb.ERROR_REASON_UPSTREAM_IDLE_TIMEOUT: "Upstream fell silent within its stream.",
}


def _from_now(wait: timedelta) -> float:
    return asyncio.get_running_loop().time() + wait.total_seconds()
