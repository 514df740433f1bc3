"""The servers that the suite's cases call, by the names that it uses."""

import base64
import hashlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import trustme
from aiohttp import web
from google.protobuf import json_format, message_factory

import contextbridge_emulator
from contextbridge import v1 as pb
from contextbridge.v1 import (
    cached_content_service_pb2,
    context_service_pb2,
    file_service_pb2,
    gemini_service_pb2,
    response_cache_service_pb2,
)
from contextbridge_server.rpc.interceptors import CanonicalLog, FaultBarrier
from contextbridge_server.rpc.server import Server, ServerOptions, Services
from valkey_engines import free_port, running_shared

TOKEN = "t0ken-of-the-suite"
SERVICES = (
    cached_content_service_pb2,
    context_service_pb2,
    file_service_pb2,
    gemini_service_pb2,
    response_cache_service_pb2,
)

METHODS = {
    method.name: method
    for file in SERVICES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""The descriptor of every RPC by its name."""


@dataclass
class Servers:
    """The servers that are running, started when a case first calls them."""

    emulator: Any
    store: Any
    folder: Path
    bridge: Callable[..., Any]
    serving: Callable[..., Any]
    serving_process: Callable[..., Any]
    stack: AsyncExitStack
    scripted_answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    authority: trustme.CA = field(default_factory=trustme.CA)

    async def address(self, name: str) -> str:
        """Return the address of a server."""
        if name not in self.addresses:
            self.addresses[name] = await STARTS[name](self)
        return self.addresses[name]

    def ca_file(self, trusts: str) -> str:
        """Return the file of the authority that a caller trusts: `secure`'s, or another one."""
        authority = self.authority if trusts == "secure" else trustme.CA()
        path = self.folder / f"{trusts}.pem"
        authority.cert_pem.write_to_path(str(path))
        return str(path)

    async def call(self, server: str, method: str, request: Any) -> Any:
        """Make a unary call for a case, before its client's."""
        async with self.channel(server) as channel:
            return await stub_of(channel, method)(message_of(method, request))

    def channel(self, server: str) -> Any:
        """Return a channel to a server that is running."""
        return grpc.aio.insecure_channel(self.addresses[server])

    def upstream_of(self, mark: str) -> dict[str, Any]:
        """Return what upstream saw of the requests that hold a mark."""
        seen = [record for record in self.emulator.requests if _mark_of(record.json) == mark]
        return {"requests": len(seen), "outcomes": sorted({record.outcome for record in seen})}

    async def settled(self, mark: str) -> None:
        """Wait until upstream has closed what the callers of requests with a mark have left."""
        await self.emulator.wait_until(
            lambda: "open" not in self.upstream_of(mark)["outcomes"], timeout_seconds=20
        )

    async def held(self, context_id: str) -> None:
        """Wait until upstream has a context's request, which it leaves without an answer.

        How many requests are open does not tell: other runners' come and go meanwhile.
        """
        await self.emulator.wait_until(
            lambda: any(
                record.outcome == "open" and _context_of(record.json) == context_id
                for record in self.emulator.requests
            ),
            timeout_seconds=20,
        )

    async def upload(self, server: str, metadata: dict[str, Any], data: bytes) -> str:
        """Upload a file; return its name."""
        head = pb.UploadFileMetadata(size_bytes=len(data), **metadata)
        pieces = [pb.UploadFileRequest(metadata=head), pb.UploadFileRequest(chunk=data)]
        async with self.channel(server) as channel:
            response = await stub_of(channel, "UploadFile")(iter(pieces))
            return str(response.file.name)

    async def abandon(self, request: dict[str, Any]) -> None:
        """Begin a chat on a replica of `main`, and kill that once some of it was saved."""
        flags = ("--upstream", self.emulator.url, "--upstream-api-key", "sk-test")
        more = ("--store", self.store.url)
        with self.serving_process(*flags, *more) as (pid, address):
            async with grpc.aio.insecure_channel(address) as channel:
                call = stub_of(channel, "ChatWithContext")(message_of("ChatWithContext", request))
                for _ in range(5):
                    await call.read()
                os.kill(pid, signal.SIGKILL)
                call.cancel()

    async def bridged(self, upstream: str, **settings: Any) -> str:
        """Start a bridge in this process."""
        given = {"store": self.store.url, "retry_max_attempts": 1, **settings}
        channel = await self.stack.enter_async_context(self.bridge(upstream, **given))
        return str(channel.address)


def _mark_of(body: Any) -> Any:
    """Return the mark of a request upstream: in a chat's `user`, after faults, or in a label."""
    match body:
        case {"user": str() as user}:
            return user.rpartition("+")[2]
        case {"labels": {"run": mark}}:
            return mark
        case _:
            return None


def _context_of(body: Any) -> Any:
    """Return the context that a chat's body names."""
    match body:
        case {"context_id": context_id}:
            return context_id
        case _:
            return None


def message_of(method: str, request: Any, *, output: bool = False) -> Any:
    """Return a message of a method's request, or of its response, from ProtoJSON."""
    descriptor = METHODS[method]
    kind = descriptor.output_type if output else descriptor.input_type
    return json_format.ParseDict(request, message_factory.GetMessageClass(kind)())


def stub_of(channel: Any, method: str) -> Any:
    """Return what calls a method of any service."""
    stub = getattr(pb, f"{METHODS[method].containing_service.name}Stub")(channel)
    return getattr(stub, method)


@asynccontextmanager
async def running(
    folder: Path,
    bridge: Callable[..., Any],
    serving: Callable[..., Any],
    serving_process: Callable[..., Any],
) -> AsyncIterator[Servers]:
    """Run the emulator and the store, and whatever servers are asked for."""
    async with AsyncExitStack() as stack:
        config = contextbridge_emulator.Config(max_records=100_000, max_record_bytes=2**30)
        emulator = await stack.enter_async_context(contextbridge_emulator.serve(config=config))
        store = await stack.enter_async_context(running_shared())
        yield Servers(emulator, store, folder, bridge, serving, serving_process, stack)


async def _main(servers: Servers) -> str:
    flags = ("--upstream", servers.emulator.url, "--upstream-api-key", "sk-test")
    more = ("--store", servers.store.url, "--retry-max-attempts", "1")
    return str(servers.stack.enter_context(servers.serving(*flags, *more)))


async def _secure(servers: Servers) -> str:
    certificate = servers.authority.issue_cert("localhost", "127.0.0.1")
    chain, key = servers.folder / "tls.crt", servers.folder / "tls.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    callers = servers.folder / "callers.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    callers.write_text(f'[[callers]]\nname = "c"\ntenant = "t"\ntoken_sha256 = "{digest}"\n')
    tls = {"tls_certificate_file": chain, "tls_key_file": key}
    return await servers.bridged(servers.emulator.url, callers_file=callers, **tls)


async def _scripted(servers: Servers) -> str:
    """Start a bridge to an upstream that answers as the case says whose model is asked for."""

    async def answer(request: web.Request) -> web.Response:
        asked = await request.text()
        for model, scripted in servers.scripted_answers.items():
            if model in asked or model in request.path:
                status, body = scripted["status"], scripted.get("body", {})
                headers = scripted.get("headers")
                if isinstance(body, str):
                    return web.Response(text=body, status=status, headers=headers)
                return web.json_response(body, status=status, headers=headers)
        raise AssertionError(f"no case asks for {request.path}: {asked}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    servers.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return await servers.bridged(f"http://{host}:{port}")


async def _black_hole(servers: Servers) -> str:
    """Start a bridge to an upstream that cannot be connected to: its backlog is full."""
    listener, *fillers = (servers.stack.enter_context(socket.socket()) for _ in range(3))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return await servers.bridged(url, connect_timeout="200ms")


async def _busy(servers: Servers) -> str:
    """Start a bridge that serves one call at a time, and has one."""
    address = await servers.bridged(servers.emulator.url, max_concurrent_calls=1)
    channel = await servers.stack.enter_async_context(grpc.aio.insecure_channel(address))
    request = {"model": "gemini-2.5-flash+stall", "contents": [{"parts": [{"text": "Hi"}]}]}
    call = stub_of(channel, "GenerateContent")(message_of("GenerateContent", request))
    servers.stack.callback(call.cancel)
    await servers.emulator.wait_until(
        lambda: any(
            "gemini-2.5-flash+stall:" in record.path for record in servers.emulator.requests
        ),
        timeout_seconds=20,
    )
    return address


async def _full(servers: Servers) -> str:
    """Start a bridge to a store that takes nothing more."""
    store = await servers.stack.enter_async_context(running_shared())
    address = await servers.bridged(servers.emulator.url, store=store.url)
    await store.each("CONFIG", "SET", "maxmemory", 1)
    return address


def _with_key(number: int) -> Callable[[Servers], Awaitable[str]]:
    async def start(servers: Servers) -> str:
        path = servers.folder / f"store-key-{number}"
        path.write_text(base64.b64encode(bytes([number] * 32)).decode())
        return await servers.bridged(servers.emulator.url, store_encryption_key_file=path)

    return start


async def _faulty(servers: Servers) -> str:
    """Start a server whose own code fails."""

    class Faulty(pb.ContextServiceServicer):
        async def GetContext(self, request: Any, context: Any) -> Any:
            raise ValueError(request.id)

    options = ServerOptions(
        listen="127.0.0.1:0",
        shares_port=False,
        credentials=None,
        reflection=False,
        channelz=False,
        max_concurrent_calls=10,
        max_message_bytes=1024,
        max_metadata_bytes=8192,
        keepalive_interval=timedelta(minutes=1),
        keepalive_min_interval=timedelta(seconds=10),
        max_connection_age=timedelta(0),
        max_connection_age_grace=timedelta(hours=1),
    )
    services = Services(
        contexts=Faulty(),
        gemini=pb.GeminiServiceServicer(),
        cached_contents=pb.CachedContentServiceServicer(),
        files=pb.FileServiceServicer(),
        response_cache=pb.ResponseCacheServiceServicer(),
    )
    server = Server(options, services, (CanonicalLog(), FaultBarrier()))
    await server.start()
    servers.stack.push_async_callback(server.drain, timedelta(0), timedelta(0))
    return server.address


async def _mangled(servers: Servers) -> str:
    """Start what stands before `main` and spoils calls: another method, or bytes of no message."""
    main = await servers.stack.enter_async_context(
        grpc.aio.insecure_channel(await servers.address("main"))
    )

    def forward(method: str, spoil: Callable[[bytes], bytes]) -> Any:
        async def handle(request: bytes, context: Any) -> bytes:
            call = main.unary_unary(f"/contextbridge.v1.ContextService/{method}")(spoil(request))
            with suppress(grpc.aio.AioRpcError):
                return await call
            trailers = tuple((key, value) for key, value in await call.trailing_metadata())
            return await context.abort(await call.code(), await call.details(), trailers)

        return grpc.unary_unary_rpc_method_handler(handle)

    handlers = {
        "GetContext": forward("NoSuchMethod", lambda request: request),
        "DeleteContext": forward("GetContext", lambda _: b"\xff"),
    }
    server = grpc.aio.server()
    name = "contextbridge.v1.ContextService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    servers.stack.push_async_callback(server.stop, None)
    return f"127.0.0.1:{port}"


def _bridged(**settings: Any) -> Callable[[Servers], Awaitable[str]]:
    return lambda servers: servers.bridged(servers.emulator.url, **settings)


STARTS: dict[str, Callable[[Servers], Awaitable[str]]] = {
    "main": _main,
    "secure": _secure,
    "scripted": _scripted,
    "storeless": _bridged(store="none"),
    "store-away": lambda servers: servers.bridged(
        servers.emulator.url, store=f"valkey://127.0.0.1:{free_port()}", store_timeout="500ms"
    ),
    "store-full": _full,
    "key-1": _with_key(1),
    "key-2": _with_key(2),
    "hurried": _bridged(
        response_timeout="1500ms", first_event_timeout="1500ms", idle_timeout="1500ms"
    ),
    "small": _bridged(max_event_bytes=100_000),
    "callers-key": _bridged(upstream_key_from="caller", upstream_api_key=None),
    "upstream-away": lambda servers: servers.bridged(f"http://127.0.0.1:{free_port()}"),
    "black-hole": _black_hole,
    "busy": _busy,
    "faulty": _faulty,
    "mangled": _mangled,
}
"""How each server is started; the suite's README says what they are."""
