"""A scripted server, and both clients with one face.

Every test talks to a real grpc.aio server on a free port. The blocking client is driven from worker
threads by a small wrapper, so that most tests run on both clients.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2, message_factory
from google.rpc import status_pb2

from contextbridge import AsyncClient, Client
from contextbridge import v1 as pb
from contextbridge.v1 import (
    cached_content_service_pb2,
    context_service_pb2,
    file_service_pb2,
    gemini_service_pb2,
    response_cache_service_pb2,
)

Handler = Callable[[Any, Any], Awaitable[Any]]

FILES = (
    cached_content_service_pb2,
    context_service_pb2,
    file_service_pb2,
    gemini_service_pb2,
    response_cache_service_pb2,
)


class Script:
    """What the server does: a coroutine for each method by its short name."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.requests: dict[str, list[Any]] = {}
        self.metadata: dict[str, str | bytes] = {}
        self.left = asyncio.Event()

    def on(self, method: str, handler: Handler) -> None:
        self.handlers[method] = handler

    def answer(self, method: str, response: Any) -> None:
        async def handler(request: Any, context: Any) -> Any:
            del request, context
            return response

        self.on(method, handler)

    def stream(self, method: str, *events: Any, hang: bool = False) -> None:
        async def handler(request: Any, context: Any) -> None:
            del request
            for event in events:
                await context.write(event)
            if hang:
                await self.hang(None, None)

        self.on(method, handler)

    def fail(
        self, method: str, code: grpc.StatusCode, text: str, *details: Any, times: int = 1000
    ) -> None:
        """Fails so many calls; the handler before, if any, takes the rest."""
        before = self.handlers.get(method)

        async def handler(request: Any, context: Any) -> Any:
            nonlocal times
            if times == 0 and before is not None:
                return await before(request, context)
            times -= 1
            status = status_pb2.Status(code=code.value[0], message=text)
            for detail in details:
                packed = any_pb2.Any()
                packed.Pack(detail)
                status.details.append(packed)
            trailer = (("grpc-status-details-bin", status.SerializeToString()),)
            return await context.abort(code, text, trailer if details else ())

        self.on(method, handler)

    async def hang(self, request: Any, context: Any) -> None:
        """Waits until the caller has left."""
        del request, context
        await asyncio.Event().wait()

    async def caller_left(self) -> None:
        """Waits until the server has seen a caller leave."""
        await asyncio.wait_for(self.left.wait(), 20)

    def sent(self, method: str) -> Any:
        """The one request that the method had."""
        (request,) = self.requests[method]
        return request

    async def handle(self, method: str, request: Any, context: Any) -> Any:
        self.requests.setdefault(method, []).append(request)
        self.metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}
        try:
            return await self.handlers[method](request, context)
        except asyncio.CancelledError:
            self.left.set()
            raise


def _method_handler(script: Script, method: Any) -> Any:
    async def handle(request: Any, context: Any) -> Any:
        return await script.handle(method.name, request, context)

    kind = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    return kind(
        handle,
        request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
        response_serializer=message_factory.GetMessageClass(method.output_type).SerializeToString,
    )


def _make_server(script: Script) -> grpc.aio.Server:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            handlers = {m.name: _method_handler(script, m) for m in service.methods}
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.full_name, handlers),)
            )
    return server


class ThreadedStream:
    """A blocking stream with the face of an async one."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    @property
    def sequence(self) -> int:
        return int(self.stream.sequence)

    def __aiter__(self) -> "ThreadedStream":
        return self

    async def __anext__(self) -> Any:
        end = object()
        event = await asyncio.to_thread(next, self.stream, end)
        if event is end:
            raise StopAsyncIteration
        return event

    async def text(self, index: int = 0) -> AsyncIterator[str]:
        async for piece in _in_thread(self.stream.text(index)):
            yield piece

    async def answer(self) -> Any:
        return await asyncio.to_thread(self.stream.answer)

    def resume(self, **options: Any) -> "ThreadedStream":
        return ThreadedStream(self.stream.resume(**options))

    def cancel(self) -> None:
        self.stream.cancel()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.stream.close)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.stream.__enter__)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await asyncio.to_thread(self.stream.__exit__, *raised)


async def _in_thread(iterator: Any) -> AsyncIterator[Any]:
    end = object()
    while (element := await asyncio.to_thread(next, iterator, end)) is not end:
        yield element


class ThreadedClient:
    """The blocking client with the face of the async one."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name in {"chat", "stream_generate_content"}:
            return lambda *args, **kwargs: ThreadedStream(method(*args, **kwargs))
        if name.startswith("list_"):
            return lambda **kwargs: _in_thread(method(**kwargs))
        if name in {"metadata", "channel", "stubs"}:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(method, *args, **kwargs)

        return call

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.client.__enter__)
        return self

    async def __aexit__(self, *raised: object) -> None:
        del raised
        await asyncio.to_thread(self.client.__exit__, None, None, None)


@pytest.fixture
async def script() -> Script:
    return Script()


@pytest.fixture
async def serve(script: Script) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Starts a server of the script on an address, and returns the address."""
    servers = []

    async def start(
        address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
    ) -> str:
        server = _make_server(script)
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        await server.start()
        servers.append(server)
        return f"{address.rpartition(':')[0]}:{port}"

    yield start
    for server in servers:
        await server.stop(None)


@pytest.fixture
async def address(serve: Callable[..., Awaitable[str]]) -> str:
    return await serve()


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Makes clients, of either kind, with one face."""
    clients: list[Any] = []

    def make(*args: Any, **kwargs: Any) -> Any:
        if request.param == "async":
            clients.append(AsyncClient(*args, **kwargs))
        else:
            clients.append(ThreadedClient(Client(*args, **kwargs)))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def client(connect: Callable[..., Any], address: str) -> Any:
    return connect(address)


@pytest.fixture
def events() -> Callable[..., list[pb.ChatWithContextResponse]]:
    """Numbers the events of a chat, from 1 or from what is asked for."""

    def number(*events: dict[str, Any], first: int = 1) -> list[pb.ChatWithContextResponse]:
        return [
            pb.ChatWithContextResponse(sequence=sequence, **event)
            for sequence, event in enumerate(events, first)
        ]

    return number
