"""A running emulator, and a caller that speaks to it over a real socket."""

import io
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from yarl import URL

from contextbridge_emulator import Config, Emulator, serve


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])

    @property
    def code(self) -> Any:
        return self.json["error"]["code"]

    @property
    def events(self) -> list[Any]:
        """The data of a stream of server-sent events, whatever its line ends."""
        text = self.raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        blocks = [block for block in text.split(b"\n\n") if block.startswith(b"data: ")]
        data = [block.removeprefix(b"data: ") for block in blocks]
        return [each.decode() if each == b"[DONE]" else json.loads(each) for each in data]


class Caller:
    """One API key's client."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator, key: str) -> None:
        self.session = session
        self.emulator = emulator
        self.key = key

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply:
        sent = {"x-goog-api-key": self.key if key is None else key, **(headers or {})}
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        url = URL(f"{self.emulator.url}{path}", encoded=True)
        stream = None if data is None else io.BytesIO(data)
        async with self.session.request(method, url, data=stream, headers=sent) as response:
            received = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, received, await response.read())

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.send("POST", path, {} if body is None else body, **options)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.send("GET", path, **options)

    async def create(self, model: str = "echo", **options: Any) -> str:
        body = {"model": model, "messages": [{"role": "system", "content": "Rules."}], **options}
        reply = await self.post("/v1/context/create", body)
        assert reply.status == 200, reply.raw
        return str(reply.json["id"])

    async def chat(
        self,
        text: str = "Hi",
        *,
        model: str = "echo",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **options}
        path = "/v1/context/chat/completions" if "context_id" in body else "/v1/chat/completions"
        return await self.post(path, body, headers=headers)

    async def generate(
        self,
        text: str = "Hi",
        *,
        model: str = "gemini-2.0-flash",
        verb: str = "generateContent",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Reply:
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}], **options}
        return await self.post(f"/v1beta/models/{model}:{verb}", body, headers=headers)

    async def cache(self, path: str = "/v1beta/cachedContents", **options: Any) -> Any:
        body = {
            "model": "models/gemini-2.0-flash",
            "contents": [{"role": "user", "parts": [{"text": "word " * 2000}]}],
            **options,
        }
        reply = await self.post(path, body)
        assert reply.status == 200, reply.raw
        return reply.json


@pytest.fixture
def key() -> str:
    return f"sk-{uuid.uuid4().hex}"


@pytest.fixture
def start(key: str) -> Callable[..., AbstractAsyncContextManager[Caller]]:
    """Start an emulator with settings of its own."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Caller]:
        async with (
            serve(config=Config(**settings)) as emulator,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        ):
            yield Caller(session, emulator, key)

    return run


@pytest.fixture
async def caller(
    start: Callable[..., AbstractAsyncContextManager[Caller]],
) -> AsyncIterator[Caller]:
    async with start() as caller:
        yield caller


@pytest.fixture
def another(caller: Caller) -> Callable[[], Caller]:
    """Return callers with other keys."""
    return lambda: Caller(caller.session, caller.emulator, f"sk-{uuid.uuid4().hex}")
