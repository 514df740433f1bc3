"""Fixtures of the service tests: requests that work, and a reader of errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from aiohttp import web
from google.rpc import error_details_pb2, status_pb2

from contextbridge import v1 as pb
from families import with_faults_of_user

MODEL = "Doubao-1.5-pro-32k"


@dataclass(frozen=True)
class Failure:
    """A failed call, its details unpacked."""

    code: grpc.StatusCode
    message: str
    info: error_details_pb2.ErrorInfo
    violations: dict[str, str]
    retry_delay: float | None
    request_id: str

    @property
    def reason(self) -> str:
        """The reason without its prefix."""
        return self.info.reason.removeprefix("ERROR_REASON_")


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Unpack the details of an error."""
    packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    found: dict[str, Any] = {}
    for kind in ("ErrorInfo", "BadRequest", "RetryInfo", "RequestInfo"):
        for detail in status.details:
            message = getattr(error_details_pb2, kind)()
            if detail.Unpack(message):
                assert kind not in found, f"more than one {kind}"
                found[kind] = message
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    return Failure(
        code=error.code(),
        message=error.details(),
        info=found["ErrorInfo"],
        violations={
            v.field: v.description
            for v in found.get("BadRequest", error_details_pb2.BadRequest()).field_violations
        },
        retry_delay=(
            found["RetryInfo"].retry_delay.ToTimedelta().total_seconds()
            if "RetryInfo" in found
            else None
        ),
        request_id=found["RequestInfo"].request_id,
    )


@pytest.fixture(name="failure")
def failure_fixture() -> Callable[[Awaitable[Any]], Awaitable[Failure]]:
    """Return what awaits a call that must fail, and gives its failure."""

    async def failure(call: Any) -> Failure:
        return (await drained(call))[1]

    return failure


@pytest.fixture(name="caught")
def caught_fixture() -> Callable[[Any], Awaitable[tuple[list[Any], Failure]]]:
    """Return what reads a stream that must fail, and gives its messages and its failure."""
    return drained


async def drained(call: Any) -> tuple[list[Any], Failure]:
    """Read a call that must fail; return what came, and how it failed."""
    messages: list[Any] = []
    try:
        if hasattr(call, "__aiter__"):
            async for message in call:
                messages.append(message)  # noqa: PERF401 - what came must survive the failure
        else:
            messages.append(await call)
    except grpc.aio.AioRpcError as error:
        return messages, failure_of(error)
    raise AssertionError("the call did not fail")


@pytest.fixture(name="contexts")
def contexts_fixture(channel: grpc.aio.Channel) -> pb.ContextServiceStub:
    """Return a stub of ContextService."""
    return pb.ContextServiceStub(channel)


@pytest.fixture(name="gemini")
def gemini_fixture(channel: grpc.aio.Channel) -> pb.GeminiServiceStub:
    """Return a stub of GeminiService."""
    return pb.GeminiServiceStub(channel)


@pytest.fixture(name="create")
def create_fixture(contexts: Any) -> Callable[..., Awaitable[pb.Context]]:
    """Return what makes a context."""

    async def create(model: str = MODEL, prefix: str = "You keep the lighthouse.", **fields: Any):
        messages = [pb.ChatMessage(role="system", content=prefix)]
        request = pb.CreateContextRequest(model=model, messages=messages, **fields)
        return (await contexts.CreateContext(request)).context

    return create


@pytest.fixture(name="chat_request")
def chat_request_fixture() -> Callable[..., pb.ChatWithContextRequest]:
    """Return what makes a chat request on a context."""

    def chat_request(context: pb.Context, text: str = "Hello", **fields: Any):
        messages = [pb.ChatMessage(role="user", content=text)]
        given = {"context_id": context.id, "model": context.model, "messages": messages}
        return pb.ChatWithContextRequest(**with_faults_of_user(given | fields))

    return chat_request


@pytest.fixture(name="generate_request")
def generate_request_fixture() -> Callable[..., pb.GenerateContentRequest]:
    """Return what makes a generate request."""

    def generate_request(model: str = "gemini-2.5-flash", text: str = "Hello", **fields: Any):
        contents = [pb.Content(role="user", parts=[pb.Part(text=text)])]
        return pb.GenerateContentRequest(model=model, contents=contents, **fields)

    return generate_request


@pytest.fixture(name="literal_upstream")
def literal_upstream_fixture() -> Callable[[bytes], AbstractAsyncContextManager[str]]:
    """Return what serves one JSON body under HTTP 200 to every request, and yields its address."""
    return literal_upstream


@asynccontextmanager
async def literal_upstream(body: bytes) -> AsyncIterator[str]:
    """Serve one JSON body under HTTP 200 to every request."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
