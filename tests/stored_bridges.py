"""Fixtures of tests that run on every kind of store: bridges, callers of them, the gateway."""

import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from yarl import URL

import contextbridge_emulator
from contextbridge import v1 as pb
from families import with_faults_of_user


@pytest.fixture(name="stored")
def stored_fixture(engine: Any, bridge: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs a bridge on each kind of store: `async with stored(upstream_url)`."""
    return lambda upstream, **settings: bridge(upstream, **{"store": engine.url, **settings})


ARK = "Doubao-1.5-pro-32k"
PREFIX = "You keep the lighthouse at Oban."
WAYS = ("chat", "stream", "generate", "stream_generate", "count")
"""How a call uses a context; all but the first two only where the model is of the Gemini kind."""


@dataclass(frozen=True)
class Failure:
    """How a call failed."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    violations: dict[str, str]
    details: bytes
    """All that the caller is told, as it came; what names the request and the context left out."""


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Unpack the details of an error."""
    packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    metadata = {key: value for key, value in info.metadata.items() if key != "requestId"}
    same = status_pb2.Status(code=status.code, message=status.message)
    for detail in status.details:
        if detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR):
            continue
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            for name in ("contextId", "requestId"):
                info.metadata.pop(name, None)
            detail.Pack(info, deterministic=True)
        same.details.append(detail)
    return Failure(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason.removeprefix("ERROR_REASON_"),
        metadata=metadata,
        violations={found.field: found.description for found in bad.field_violations},
        details=same.SerializeToString(deterministic=True),
    )


@dataclass(frozen=True)
class Answer:
    """What a call was answered, whichever way it asked."""

    text: str
    usage: pb.Usage
    context: pb.ContextOutcome


class Client:
    """A caller of a bridge, whose requests take few words."""

    def __init__(self, channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> None:
        self._metadata = metadata
        self._stubs = (
            pb.ContextServiceStub(channel),
            pb.GeminiServiceStub(channel),
            pb.CachedContentServiceStub(channel),
        )

    def call(self, method: str, request: Any, **options: Any) -> Any:
        """Begin a call of a method of any service."""
        stub = next(stub for stub in self._stubs if hasattr(stub, method))
        return getattr(stub, method)(request, metadata=self._metadata, **options)

    async def create(
        self, model: str = ARK, prefix: str = PREFIX, **fields: Any
    ) -> pb.CreateContextResponse:
        """Create a context."""
        return await self.call("CreateContext", creating(model, prefix, **fields))

    async def made(self, model: str = ARK, prefix: str = PREFIX, **fields: Any) -> pb.Context:
        """Create a context, and return it alone."""
        return (await self.create(model, prefix, **fields)).context

    async def get(self, context: pb.Context | str) -> pb.Context:
        """Return a context as it is now."""
        request = pb.GetContextRequest(id=_id_of(context))
        return (await self.call("GetContext", request)).context

    async def list(self, **fields: Any) -> pb.ListContextsResponse:
        """Return a page of contexts."""
        return await self.call("ListContexts", pb.ListContextsRequest(**fields))

    async def update(self, context: pb.Context | str, *mask: str, **fields: Any) -> pb.Context:
        """Change a context."""
        request = pb.UpdateContextRequest(id=_id_of(context), **fields)
        request.update_mask.paths.extend(mask)
        return (await self.call("UpdateContext", request)).context

    async def delete(self, context: pb.Context | str) -> None:
        """Delete a context."""
        await self.call("DeleteContext", pb.DeleteContextRequest(id=_id_of(context)))

    async def ask(self, way: str, context: Any, text: str = "Hello", **fields: Any) -> Answer:
        """Use a context in one of WAYS."""
        return await getattr(self, way)(context, text, **fields)

    async def chat(self, context: Any, text: str = "Hello", **fields: Any) -> Answer:
        """Chat, and wait for the whole answer."""
        answer = await self.call("CompleteChatWithContext", chatting(context, text, **fields))
        return Answer(answer.choices[0].message.content, answer.billed_usage, answer.context)

    async def stream(self, context: Any, text: str = "Hello", **fields: Any) -> Answer:
        """Chat, and read the answer's events."""
        events = [e async for e in self.call("ChatWithContext", chatting(context, text, **fields))]
        kinds = [event.WhichOneof("event") for event in events]
        assert (kinds[0], kinds[-1]) == ("started", "completed")
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        done = events[-1].completed
        text = "".join(event.content.text for event in events)
        return Answer(text, done.billed_usage, done.context)

    async def generate(self, context: Any, text: str = "Hello", **fields: Any) -> Answer:
        """Generate, and wait for the whole answer."""
        answer = await self.call("GenerateContent", generating(context, text, **fields))
        return Answer(_text_of(answer), answer.billed_usage, answer.context)

    async def stream_generate(self, context: Any, text: str = "Hello", **fields: Any) -> Answer:
        """Generate, and read the answer's messages."""
        call = self.call("StreamGenerateContent", generating(context, text, **fields))
        answers = [answer async for answer in call]
        last = answers[-1]
        return Answer("".join(map(_text_of, answers)), last.billed_usage, last.context)

    async def count(self, context: Any, text: str = "Hello", **fields: Any) -> Answer:
        """Count a prompt's tokens; the text says how many."""
        inner = generating(context, text, **fields)
        request = pb.CountTokensRequest(model=inner.model, generate_content_request=inner)
        counted = await self.call("CountTokens", request)
        return Answer(str(counted.total_tokens), pb.Usage(), pb.ContextOutcome())


def creating(model: str = ARK, prefix: str = PREFIX, **fields: Any) -> pb.CreateContextRequest:
    """Return a request that creates a context; a life may be given in seconds."""
    for name in ("ttl", "retention"):
        if isinstance(fields.get(name), int | float):
            fields[name] = seconds(fields[name])
    given = {"messages": [pb.ChatMessage(role="system", content=prefix)], "model": model}
    return pb.CreateContextRequest(**(given | fields))


def chatting(context: Any, text: str = "Hello", **fields: Any) -> pb.ChatWithContextRequest:
    """Return a request that chats on a context, or on a raw id with a model."""
    messages = [pb.ChatMessage(role="user", content=text)]
    given = {"context_id": _id_of(context), "messages": messages} | _model_of(context)
    return pb.ChatWithContextRequest(**with_faults_of_user(given | fields))


def generating(context: Any, text: str = "Hello", **fields: Any) -> pb.GenerateContentRequest:
    """Return a request that generates from a context, or from a raw name with a model."""
    contents = [pb.Content(role="user", parts=[pb.Part(text=text)])]
    given = {"cached_content": _id_of(context), "contents": contents} | _model_of(context)
    return pb.GenerateContentRequest(**(given | fields))


def seconds(number: float) -> Duration:
    """Return so many seconds."""
    result = Duration()
    result.FromTimedelta(timedelta(seconds=number))
    return result


def _id_of(context: pb.Context | str) -> str:
    return context if isinstance(context, str) else context.id


def _model_of(context: pb.Context | str) -> dict[str, str]:
    return {} if isinstance(context, str) else {"model": context.model}


def _text_of(answer: pb.GenerateContentResponse) -> str:
    parts = answer.candidates[0].content.parts if answer.candidates else ()
    return "".join(part.text for part in parts)


@pytest.fixture(name="requests", scope="session")
def requests_fixture() -> Any:
    """Return what builds requests: `requests.creating(…)`, `.chatting` and `.generating`."""
    return SimpleNamespace(creating=creating, chatting=chatting, generating=generating)


@pytest.fixture(name="failure", scope="session")
def failure_fixture() -> Callable[[Any], Any]:
    """Return what awaits a call that must fail, and gives its failure."""

    async def failure(call: Any) -> Failure:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return failure_of(caught.value)

    return failure


@pytest.fixture(name="minimums")
def minimums_fixture() -> dict[str, int]:
    """Return the gateway's smallest cacheable prefixes, which a test may change while it runs."""
    return {}


@pytest.fixture(name="gateway")
async def gateway_fixture(
    minimums: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """Run the emulator, which caches prefixes of any size for any time from a second on."""
    # It speaks no TLS, and reading the system's authorities is most of what a bridge's start takes.
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    config = contextbridge_emulator.Config(
        minimum_cache_tokens=minimums,
        context_ttl_range=(timedelta(seconds=1), timedelta(days=7)),
        max_records=10_000,
    )
    async with contextbridge_emulator.serve(config=config) as gateway:
        yield gateway


@pytest.fixture(name="brief_lives")
def brief_lives_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the gateway grant a second to each context whose creation names no ttl.

    A bridge lets callers ask for no ttl so short, unless the model is of the Gemini kind.
    """
    for name in ("_DEFAULT_TTL", "_DEFAULT_GEMINI_TTL"):
        monkeypatch.setattr(f"contextbridge_emulator.contexts.{name}", timedelta(seconds=1))


class Clock:
    """What bridges take for the time: it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the bridges that are run from now on; the gateway has its own."""
    clock = Clock()
    monkeypatch.setattr("contextbridge_server.app._now", lambda: clock.now)
    return clock


@pytest.fixture(name="clients")
def clients_fixture(stored: Callable[..., Any], gateway: Any) -> Callable[..., Any]:
    """Return what runs a bridge: `async with clients(**settings) as client`."""

    @asynccontextmanager
    async def clients(**settings: Any) -> AsyncIterator[Client]:
        async with stored(settings.pop("upstream", gateway.url), **settings) as channel:
            yield Client(channel)

    return clients


@pytest.fixture(name="client")
async def client_fixture(clients: Callable[..., Any]) -> AsyncIterator[Client]:
    """Run a bridge on each kind of store in turn, and return a caller of it."""
    async with clients() as client:
        yield client


@pytest.fixture(name="client_of", scope="session")
def client_of_fixture() -> type[Client]:
    """Return what makes a caller of a channel."""
    return Client


@pytest.fixture(name="tenants")
def tenants_fixture(stored: Callable[..., Any], gateway: Any, tmp_path: Path) -> Any:
    """Return what runs a bridge with callers of two tenants: `async with tenants() as (a, b)`."""
    path = tmp_path / "callers.toml"
    for name in ("acme", "bolt"):
        digest = hashlib.sha256(f"tok-{name}".encode()).hexdigest()
        with path.open("a") as file:
            file.write(f'[[callers]]\nname = "{name}"\ntenant = "{name}"\n')
            file.write(f'token_sha256 = "{digest}"\n')

    @asynccontextmanager
    async def tenants(**settings: Any) -> AsyncIterator[list[Client]]:
        async with stored(gateway.url, callers_file=path, **settings) as channel:
            yield [
                Client(channel, ("authorization", f"Bearer tok-{name}"))
                for name in ("acme", "bolt")
            ]

    return tenants


WORDS = (
    ("POST", re.compile(r"/v1/context/create"), "create"),
    ("POST", re.compile(r"/v1/context/chat/completions"), "chat"),
    ("POST", re.compile(r"/v1/chat/completions"), "inline"),
    ("POST", re.compile(r".*:generateContent"), "generate"),
    ("POST", re.compile(r".*:streamGenerateContent"), "stream_generate"),
    ("POST", re.compile(r".*:countTokens"), "count"),
    ("PATCH", re.compile(r".*/cachedContents/\d+"), "move"),
    ("DELETE", re.compile(r".*/cachedContents/\d+"), "delete"),
)


def word_for(record: Any) -> str:
    """Return a request to the gateway in a word, with its status if that is none of success."""
    found = (
        word
        for method, path, word in WORDS
        if record.method == method and path.fullmatch(record.path)
    )
    word = next(found, f"{record.method} {record.path}")
    if record.outcome == "closed-by-client":
        return f"{word} closed"
    return word if record.status in (None, 200) else f"{word} {record.status}"


@pytest.fixture(name="asked")
def asked_fixture(gateway: Any) -> Callable[[], list[str]]:
    """Return what tells the requests to the gateway since it told the last time, a word each."""
    seen = 0

    def asked() -> list[str]:
        nonlocal seen
        new = list(gateway.requests)[seen:]
        seen += len(new)
        return [word_for(record) for record in new]

    return asked


class Between:
    """Stands between a bridge and the gateway: its rule may answer, or wait, instead."""

    def __init__(self, gateway_url: str) -> None:
        self.url = ""
        self.rule: Callable[[str, bytes], Any] = _pass_on
        """Takes path and body; returns what is answered instead, or None to ask the gateway."""
        self._gateway_url = gateway_url

    def refuse(self, part: str, status: int) -> None:
        """Answer each request for a path with some part with a status and an odd body."""

        async def rule(path: str, _: bytes) -> web.Response | None:
            return web.Response(status=status, text="refused") if part in path else None

        self.rule = rule

    def give_way(self) -> None:
        """Leave each request to the gateway."""
        self.rule = _pass_on

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer by the rule, or as the gateway does."""
        body = await request.read()
        ruled = await self.rule(request.path, body)
        if ruled is not None:
            return ruled
        url = URL(self._gateway_url + request.raw_path, encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, headers=headers, data=body) as answer,
        ):
            kind = {"Content-Type": answer.headers.get("Content-Type", "")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kind)


HOP_BY_HOP = ("host", "content-length", "transfer-encoding", "accept-encoding")


async def _pass_on(_path: str, _body: bytes) -> None:
    return None


@pytest.fixture(name="between")
async def between_fixture(gateway: Any) -> AsyncIterator[Between]:
    """Run what stands between a bridge and the gateway."""
    between = Between(gateway.url)
    application = web.Application(client_max_size=32 * 1024**2)
    application.router.add_route("*", "/{path:.*}", between.serve)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        between.url = f"http://{host}:{port}"
        yield between
    finally:
        await runner.cleanup()
