"""Every case of tests/golden/MANIFEST.json through the front door.

A server of literal bytes plays the gateway, the real bridge is pointed at it, a real channel calls.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from contextbridge import v1 as pb

GOLDEN = Path(__file__).parents[1] / "golden"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((GOLDEN / "MANIFEST.json").read_text())["cases"]
}
LEFT_OUT = {"keywords_miss_then_hit"}  # The emulator's alone: tests/unit/emulator/test_keywords.py.
KEY = "sk-test-000"
SMALL = 4_000  # Bytes; bodies up to here are also sent one byte a chunk.

BridgeFixture = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]


def ids(surface: str) -> list[str]:
    return [case["id"] for case in CASES.values() if case["surface"] == surface]


OPENAI_STREAMS = ids("sse-openai")
GEMINI_STREAMS = ids("sse-gemini") + ids("gemini-array")
OPENAI_ERRORS = [name for name in ids("error") if not name.startswith("google_")]
GOOGLE_ERRORS = [name for name in ids("error") if name.startswith("google_")]


# ---------------------------------------------------------------------------- the gateway


@dataclass(frozen=True)
class Recorded:
    """A request as the gateway got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """Bytes to answer with; the body goes out in pieces that end at the cuts."""

    status: int
    headers: dict[str, str]
    body: bytes
    cuts: Sequence[int] = ()

    def pieces(self) -> Iterator[bytes]:
        edges = [0, *self.cuts, len(self.body)]
        for start, end in pairwise(edges):
            if start < end:
                yield self.body[start:end]


@dataclass
class LiteralGateway:
    """Answers each request with the next of the given bytes, the last one for ever."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[Recorded] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await self._request(reader):
                self.requests.append(request)
                await self._answer(writer)
        except ConnectionError:
            pass  # The bridge had enough of the answer.
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Recorded | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Recorded(method, target, headers, body)

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        writer.write(
            f"HTTP/1.1 {answer.status} X\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode(
                "latin-1"
            )
        )
        for piece in answer.pieces():
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)  # Lets the bridge read this piece alone, where it is quick.
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@pytest.fixture(name="module_gateway", scope="module")
async def module_gateway_fixture() -> AsyncIterator[LiteralGateway]:
    gateway = LiteralGateway()
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    async with server:
        gateway.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield gateway


@pytest.fixture(name="gateway")
def gateway_fixture(module_gateway: LiteralGateway) -> LiteralGateway:
    module_gateway.answers.clear()
    module_gateway.requests.clear()
    return module_gateway


Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
Channels = Callable[[str], Awaitable[grpc.aio.Channel]]


@pytest.fixture(name="channels", scope="module")
async def channels_fixture(
    module_gateway: LiteralGateway, bridge: BridgeFixture
) -> AsyncIterator[Channels]:
    """Return what gives a channel to the bridge that asks under a prefix; one for each prefix."""
    opened: dict[str, grpc.aio.Channel] = {}
    async with AsyncExitStack() as stack:

        async def channel_for(native_prefix: str) -> grpc.aio.Channel:
            if native_prefix not in opened:
                opened[native_prefix] = await stack.enter_async_context(
                    bridge(
                        module_gateway.url,
                        upstream_api_key=KEY,
                        retry_max_attempts=1,
                        native_prefix=native_prefix,
                    )
                )
            return opened[native_prefix]

        yield channel_for


@pytest.fixture(name="serve")
def serve_fixture(gateway: LiteralGateway, channels: Channels) -> Serve:
    """Return what makes the gateway answer with a case's bytes, and yields a channel."""

    @asynccontextmanager
    async def serve(case: dict[str, Any], cuts: Sequence[int] = ()) -> AsyncIterator[Any]:
        gateway.answers = [answer_of(case, cuts)]
        yield await channels(prefix_of(case))

    return serve


def answer_of(case: dict[str, Any], cuts: Sequence[int] = ()) -> Answer:
    # The one case without a response is about its request.
    body = (GOLDEN / case.get("response", "gemini/basic.res.json")).read_bytes()
    if "response" in case and case["surface"] in ("sse-openai", "sse-gemini", "error"):
        headers = case.get("headers", {})
    else:
        headers = {"Content-Type": "application/json"}
    return Answer(case["status"], headers, body, cuts)


def prefix_of(case: dict[str, Any]) -> str:
    """Return the prefix under which a case's route lies."""
    path = case.get("path", "")
    for collection in ("/models/", "/cachedContents", "/files"):
        prefix, found, _ = path.partition(collection)
        if found:
            return prefix
    return "/v1/v1beta"


# ---------------------------------------------------------------------------- what comes back


@dataclass
class Outcome:
    """What a call gave: its messages, then its status."""

    messages: list[Any]
    code: str = "OK"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_delay: float | None = None


async def outcome_of(call: Any) -> Outcome:
    messages: list[Any] = []
    try:
        if hasattr(call, "__aiter__"):
            async for message in call:
                messages.append(message)  # noqa: PERF401 - what came before a failure counts
        else:
            messages.append(await call)
    except grpc.aio.AioRpcError as error:
        packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        status = status_pb2.Status.FromString(packed)
        retries = [detail.Unpack(retry) for detail in status.details]
        infos = [detail.Unpack(info) for detail in status.details]
        assert infos.count(True) == 1
        return Outcome(
            messages,
            error.code().name,
            info.reason,
            dict(info.metadata),
            retry.retry_delay.ToTimedelta().total_seconds() if any(retries) else None,
        )
    return Outcome(messages)


def chat_seen(outcome: Outcome) -> dict[str, Any]:
    """Return a chat stream's events in the words of the manifest."""
    seen: dict[str, Any] = {"text": "", "reasoning": "", "refusal": "", "tool_calls": {}}
    for event in outcome.messages:
        match event.WhichOneof("event"):
            case "content":
                seen["text"] += event.content.text
            case "reasoning":
                seen["reasoning"] += event.reasoning.text
            case "tool_call":
                piece = event.tool_call
                call = seen["tool_calls"].setdefault(
                    piece.call_index, {"id": "", "name": "", "arguments": ""}
                )
                call["id"] += piece.id
                call["name"] += piece.name
                call["arguments"] += piece.arguments_json
            case "choice_finished":
                seen["finish"] = event.choice_finished.finish_reason_raw
            case "completed":
                seen["usage_total"] = event.completed.usage.total_tokens
    seen["tool_calls"] = list(seen["tool_calls"].values())
    seen["text_len"] = len(seen["text"])
    return seen


def gemini_seen(outcome: Outcome) -> dict[str, Any]:
    """Return a Gemini stream's messages in the words of the manifest."""
    seen: dict[str, Any] = {"text": "", "thought": "", "inline_len": 0}
    for message in outcome.messages:
        for part in (p for candidate in message.candidates for p in candidate.content.parts):
            seen["thought" if part.thought else "text"] += part.text
            seen["inline_len"] += len(part.inline_data.data)
            if part.HasField("function_call"):
                args = json.loads(part.function_call.args_json)
                seen["function_call"] = {"name": part.function_call.name, "args": args}
        for candidate in message.candidates:
            if candidate.finish_reason_raw:
                seen["finish"] = candidate.finish_reason_raw
        if message.prompt_feedback.block_reason_raw:
            seen["block_reason"] = message.prompt_feedback.block_reason_raw
        if message.HasField("usage_metadata"):
            seen["usage_total"] = message.usage_metadata.total_token_count
            seen["cached"] = message.usage_metadata.cached_content_token_count
    return seen


def assert_as_documented(case: dict[str, Any], seen: dict[str, Any], outcome: Outcome) -> None:
    documented = case["expect"]
    values = {key: value for key, value in documented.items() if key not in ("end", "grpc")}
    assert {key: seen.get(key) for key in values} == values
    assert outcome.code == documented.get("grpc", "OK")
    if documented.get("end") in ("done", "eof-ok"):
        assert outcome.code == "OK"
    if documented.get("end") in ("error", "eof-truncated"):
        assert outcome.code != "OK"


def assert_numbered(outcome: Outcome) -> None:
    numbers = [message.sequence for message in outcome.messages]
    assert numbers == list(range(1, len(numbers) + 1))


def assert_chat_protocol(outcome: Outcome) -> None:
    kinds = [event.WhichOneof("event") for event in outcome.messages]
    assert_numbered(outcome)
    assert kinds[:1] == ["started"][: len(kinds)]
    assert kinds.count("started") == min(1, len(kinds))
    assert kinds.count("completed") == (outcome.code == "OK")
    if outcome.code == "OK":
        assert kinds[-1] == "completed"
        assert outcome.messages[-1].completed.HasField("usage")
        assert outcome.messages[-1].completed.HasField("billed_usage")


def assert_gemini_protocol(outcome: Outcome) -> None:
    assert_numbered(outcome)
    billed = [message.HasField("billed_usage") for message in outcome.messages]
    assert billed.count(True) == (outcome.code == "OK")
    assert not billed or billed[-1] == (outcome.code == "OK")


# ---------------------------------------------------------------------------- requests


def messages_of(*texts: tuple[str, str]) -> list[pb.ChatMessage]:
    return [pb.ChatMessage(role=role, content=text) for role, text in texts]


def user(*parts: pb.Part) -> pb.Content:
    return pb.Content(role="user", parts=parts)


CHAT = pb.ChatWithContextRequest(
    context_id="ctx-20260301091500-a1b2c",
    model="Doubao-1.5-pro-32k",
    messages=messages_of(("user", "What do you see tonight?")),
    temperature=0.7,
    max_tokens=64,
)
CREATE = pb.CreateContextRequest(
    model="gemini-2.5-flash",
    messages=messages_of(
        ("system", "You are the night desk of the Harbour Hotel. <<4400 tokens of house rules>>"),
        ("user", "Hello"),
    ),
)
CREATE.ttl.seconds = 300
CREATE_SESSION = pb.CreateContextRequest(
    model="Doubao-1.5-pro-32k",
    messages=messages_of(("system", "Answer as a lighthouse keeper.")),
    mode=pb.CONTEXT_MODE_SESSION,
    truncation_strategy=pb.TruncationStrategy(type="last_history_tokens", last_history_tokens=4096),
)
CREATE_SESSION.ttl.seconds = 3600
GENERATE = pb.GenerateContentRequest(
    model="gemini-2.5-flash",
    contents=[user(pb.Part(text="Name one sea bird."))],
    generation_config=pb.GenerationConfig(temperature=0.7, max_output_tokens=1024),
)
ON_CACHE = pb.GenerateContentRequest(
    model="models/gemini-2.5-flash",
    contents=[user(pb.Part(text="Summarise rule 12."))],
    cached_content="cachedContents/a1b2c3d4e5f6g7h8i9j0",
)
MEDIA = pb.GenerateContentRequest(
    model="m",
    contents=[
        user(
            pb.Part(
                inline_data=pb.Blob(
                    data=base64.urlsafe_b64decode("-__-8A=="), mime_type="image/png"
                )
            ),
            pb.Part(
                file_data=pb.FileData(
                    file_uri="https://gw.example/v1beta/files/abc", mime_type="video/mp4"
                ),
                video_metadata=pb.VideoMetadata(fps=2.0),
            ),
        )
    ],
    generation_config=pb.GenerationConfig(
        thinking_config=pb.ThinkingConfig(include_thoughts=True, thinking_budget=0),
        speech_config=pb.SpeechConfig(
            voice_config=pb.VoiceConfig(
                prebuilt_voice_config=pb.PrebuiltVoiceConfig(voice_name="Kore")
            )
        ),
    ),
)
MEDIA.contents[0].parts[1].video_metadata.start_offset.FromJsonString("1.5s")
MEDIA.contents[0].parts[1].video_metadata.end_offset.FromJsonString("10s")
COUNT = pb.CountTokensRequest(model="gemini-2.5-flash", contents=[user(pb.Part(text="abc"))])
COUNT_WHOLE = pb.CountTokensRequest(
    model="gemini-2.5-flash",
    generate_content_request=pb.GenerateContentRequest(
        contents=[user(pb.Part(text="abc"))], cached_content="cachedContents/a1b2c3d4e5f6g7h8i9j0"
    ),
)
NAME = "cachedContents/a1b2c3d4e5f6g7h8i9j0"
CACHE = pb.CachedContent(
    model="gemini-2.5-flash",
    system_instruction=user(pb.Part(text="House rules.")),
    contents=[user(pb.Part(text="<<7000 tokens>>"))],
    tools=[pb.Tool(function_declarations=[pb.FunctionDeclaration(name="f", description="d")])],
    tool_config=pb.ToolConfig(function_calling_config=pb.FunctionCallingConfig(mode="ANY")),
)
CACHE_TTL = pb.CachedContent(
    model="gemini-2.5-flash",
    display_name="rules",
    contents=[user(pb.Part(text="<<7000 tokens>>"))],
)
CACHE_TTL.ttl.FromJsonString("300.500s")
PROLONGED = pb.CachedContent(name=NAME)
PROLONGED.ttl.FromJsonString("7200s")
MOVED = pb.CachedContent(name=NAME)
MOVED.expire_time.FromJsonString("2026-03-01T13:00:00+01:00")

METHODS: dict[str, tuple[Any, str, Any]] = {
    "context_create_gemini": (pb.ContextServiceStub, "CreateContext", CREATE),
    "context_create_session": (pb.ContextServiceStub, "CreateContext", CREATE_SESSION),
    "context_chat_unary": (pb.ContextServiceStub, "CompleteChatWithContext", CHAT),
    "gemini_basic": (pb.GeminiServiceStub, "GenerateContent", GENERATE),
    "gemini_max_tokens": (pb.GeminiServiceStub, "GenerateContent", GENERATE),
    "gemini_cached": (pb.GeminiServiceStub, "GenerateContent", ON_CACHE),
    "gemini_python_sdk_mixed_case": (pb.GeminiServiceStub, "GenerateContent", MEDIA),
    "gemini_prompt_blocked": (pb.GeminiServiceStub, "GenerateContent", GENERATE),
    "gemini_safety_no_content": (pb.GeminiServiceStub, "GenerateContent", GENERATE),
    "gemini_count_tokens": (pb.GeminiServiceStub, "CountTokens", COUNT),
    "gemini_count_tokens_full": (pb.GeminiServiceStub, "CountTokens", COUNT_WHOLE),
    "cache_create_default_ttl": (
        pb.CachedContentServiceStub,
        "CreateCachedContent",
        pb.CreateCachedContentRequest(cached_content=CACHE),
    ),
    "cache_create_ttl": (
        pb.CachedContentServiceStub,
        "CreateCachedContent",
        pb.CreateCachedContentRequest(cached_content=CACHE_TTL),
    ),
    "cache_get": (
        pb.CachedContentServiceStub,
        "GetCachedContent",
        pb.GetCachedContentRequest(name=NAME),
    ),
    "cache_patch_no_mask": (
        pb.CachedContentServiceStub,
        "UpdateCachedContent",
        pb.UpdateCachedContentRequest(cached_content=PROLONGED),
    ),
    "cache_patch_expire_offset": (
        pb.CachedContentServiceStub,
        "UpdateCachedContent",
        pb.UpdateCachedContentRequest(cached_content=MOVED),
    ),
    "cache_list": (
        pb.CachedContentServiceStub,
        "ListCachedContents",
        pb.ListCachedContentsRequest(page_size=1),
    ),
    "cache_list_empty": (
        pb.CachedContentServiceStub,
        "ListCachedContents",
        pb.ListCachedContentsRequest(page_size=10, page_token="Ch1jYWNoZWQ"),
    ),
    "cache_delete": (
        pb.CachedContentServiceStub,
        "DeleteCachedContent",
        pb.DeleteCachedContentRequest(name=NAME),
    ),
    "files_get_processing": (pb.FileServiceStub, "GetFile", pb.GetFileRequest(name="files/v1")),
}
"""Stub, method and request by the id of a unary case."""


def test_every_case_of_the_manifest_is_walked_and_only_the_response_cache_is_left_out() -> None:
    # Arrange
    streams = {*OPENAI_STREAMS, *GEMINI_STREAMS}
    errors = {*OPENAI_ERRORS, *GOOGLE_ERRORS}

    # Act
    left_out = set(CASES) - streams - errors - set(METHODS) - {"files_upload"}

    # Assert
    assert left_out == LEFT_OUT


# ---------------------------------------------------------------------------- unary


def plain(value: Any, key: str = "") -> Any:
    """Bring JSON to one spelling: camelCase names, bytes, durations and times as they are meant."""
    match value:
        case dict():
            return {camel(k): plain(v, camel(k)) for k, v in value.items()}
        case list():
            return [plain(item) for item in value]
        case str() if key == "data":
            return base64.b64decode(value, altchars=b"-_" if {*value} & {*"-_"} else None)
        case str() if key in ("ttl", "startOffset", "endOffset"):
            return float(value.removesuffix("s"))
        case str() if key == "expireTime":
            return time_of(value)
        case _:
            return value


def time_of(text: str) -> Timestamp:
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


@pytest.mark.parametrize("name", [name for name in METHODS if "request" in CASES[name]])
async def test_the_bridge_sends_the_documented_body(
    name: str, gateway: LiteralGateway, serve: Serve
) -> None:
    # Arrange
    stub, method, request = METHODS[name]
    documented = json.loads((GOLDEN / CASES[name]["request"]).read_bytes())

    # Act
    async with serve(CASES[name]) as channel:
        outcome = await outcome_of(getattr(stub(channel), method)(request))

    # Assert
    (sent,) = gateway.requests
    body = sent.json
    if method == "CompleteChatWithContext":
        assert body.pop("stream") is False  # Said in full, though false is upstream's default.
    if CASES[name]["surface"] == "context":
        assert body == documented
    else:
        assert plain(body) == plain(documented)
    assert outcome.code == "OK"


@pytest.mark.parametrize("name", [name for name in METHODS if "path" in CASES[name]])
async def test_the_bridge_asks_the_documented_route_with_the_documented_headers(
    name: str, gateway: LiteralGateway, serve: Serve
) -> None:
    # Arrange
    case = CASES[name]
    stub, method, request = METHODS[name]

    # Act
    async with serve(case) as channel:
        await outcome_of(getattr(stub(channel), method)(request))

    # Assert
    (sent,) = gateway.requests
    assert sent.method == case["method"]
    # The SDKs leave the mask to the body, the public API wants it in the query (wire.md C).
    target = sent.path if case["method"] == "PATCH" else sent.target
    assert target == case["path"]
    wanted = {key.lower(): value for key, value in case.get("headers", {}).items()}
    assert {key: sent.headers.get(key) for key in wanted} == wanted
    credentials = {"authorization", "x-goog-api-key"} & set(sent.headers)
    assert len(credentials) == 1


async def ask(serve: Serve, name: str) -> Any:
    stub, method, request = METHODS[name]
    async with serve(CASES[name]) as channel:
        return await getattr(stub(channel), method)(request)


async def test_a_context_of_the_gemini_family_is_read(serve: Serve) -> None:
    # Act
    created = await ask(serve, "context_create_gemini")

    # Assert
    context = created.context
    name = "projects/41200000001/locations/global/cachedContents/7300000000000000001"
    assert context.upstream_id == name
    assert context.model == "gemini-2.5-flash"
    assert context.state == pb.CONTEXT_STATE_WARM
    assert context.ttl.seconds == 300
    assert context.expire_time.seconds - context.create_time.seconds == 300
    assert created.usage == pb.Usage(prompt_tokens=4412, total_tokens=0, cache_creation_tokens=4412)
    assert created.usage == context.usage


async def test_a_context_of_the_ark_family_is_read(serve: Serve) -> None:
    # Act
    created = await ask(serve, "context_create_session")

    # Assert
    context = created.context
    assert context.upstream_id == "ctx-20260301091500-a1b2c"
    assert context.mode == pb.CONTEXT_MODE_SESSION
    assert context.ttl.seconds == 3600
    assert context.truncation_strategy == CREATE_SESSION.truncation_strategy
    assert (context.usage.prompt_tokens, context.usage.total_tokens) == (9, 9)
    assert context.extra_json == ""


async def test_a_whole_chat_answer_is_read(serve: Serve) -> None:
    # Act
    answer = await ask(serve, "context_chat_unary")

    # Assert
    (choice,) = answer.choices
    assert answer.id == "chatcmpl-77aa01"
    assert answer.create_time.seconds == 1772355300
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert choice.message.content == "Fog, and one green lamp far out."
    assert choice.finish_reason == pb.FINISH_REASON_STOP
    assert answer.usage == pb.Usage(
        prompt_tokens=61, completion_tokens=9, total_tokens=70, cached_tokens=48
    )
    assert answer.billed_usage == answer.usage
    assert answer.extra_json == ""


async def test_a_whole_gemini_answer_is_read(serve: Serve) -> None:
    # Act
    answer = await ask(serve, "gemini_basic")

    # Assert
    (candidate,) = answer.candidates
    usage = answer.usage_metadata
    assert candidate.content.parts[0].text == "The fulmar."
    assert candidate.finish_reason == pb.Candidate.FINISH_REASON_STOP
    assert candidate.avg_logprobs == -0.125
    assert usage.traffic_type == "ON_DEMAND"
    assert (usage.prompt_token_count, usage.thoughts_token_count) == (6, 31)
    assert usage.total_token_count == 41
    assert answer.billed_usage.completion_tokens == 35
    assert answer.create_time.nanos == 402_576_000
    assert answer.response_id == "kXGjaZ6hB-2Axs0P4t2R8Qk"
    assert answer.extra_json == ""


async def test_an_answer_without_an_index_is_candidate_0(serve: Serve) -> None:
    # Act
    answer = await ask(serve, "gemini_max_tokens")

    # Assert
    (candidate,) = answer.candidates
    assert candidate.index == 0
    assert candidate.finish_reason == pb.Candidate.FINISH_REASON_MAX_TOKENS
    assert answer.usage_metadata.thoughts_token_count == 869


async def test_an_answer_from_a_cached_content_says_so(serve: Serve) -> None:
    # Act
    answer = await ask(serve, "gemini_cached")

    # Assert
    assert answer.usage_metadata.cached_content_token_count == 7021
    assert answer.usage_metadata.prompt_token_count == 7036
    assert answer.billed_usage.cached_tokens == 7021
    assert answer.context.id == NAME


async def test_a_blocked_prompt_is_an_answer_without_candidates(serve: Serve) -> None:
    # Act
    answer = await ask(serve, "gemini_prompt_blocked")

    # Assert
    assert not answer.candidates
    assert answer.prompt_feedback.block_reason == pb.PromptFeedback.BLOCK_REASON_PROHIBITED_CONTENT
    assert answer.usage_metadata.candidates_token_count == 0


async def test_a_candidate_without_content_is_an_answer(serve: Serve) -> None:
    # Act
    answer = await ask(serve, "gemini_safety_no_content")

    # Assert
    (candidate,) = answer.candidates
    assert not candidate.HasField("content")
    assert candidate.finish_reason == pb.Candidate.FINISH_REASON_SAFETY
    assert candidate.safety_ratings[0].blocked


@pytest.mark.parametrize(
    "name, total, cached", [("gemini_count_tokens", 3, 0), ("gemini_count_tokens_full", 7024, 7021)]
)
async def test_counted_tokens_are_read(name: str, total: int, cached: int, serve: Serve) -> None:
    # Act
    counted = await ask(serve, name)

    # Assert
    assert counted.total_tokens == total
    assert counted.cached_content_token_count == cached
    assert counted.prompt_tokens_details[0] == pb.ModalityTokenCount(
        modality="TEXT", token_count=total
    )


@pytest.mark.parametrize(
    "name",
    [
        "cache_create_default_ttl",
        "cache_create_ttl",
        "cache_get",
        "cache_patch_no_mask",
        "cache_patch_expire_offset",
    ],
)
async def test_a_cached_content_is_read_whole(name: str, serve: Serve) -> None:
    # Arrange
    documented = json.loads((GOLDEN / CASES[name]["response"]).read_bytes())

    # Act
    cached = (await ask(serve, name)).cached_content

    # Assert
    assert cached == cached_of(documented)


def cached_of(documented: dict[str, Any]) -> pb.CachedContent:
    cached = pb.CachedContent(
        name=documented["name"],
        model=documented["model"],
        display_name=documented["displayName"],
        usage_metadata=pb.CachedContentUsageMetadata(
            total_token_count=documented["usageMetadata"]["totalTokenCount"]
        ),
    )
    for ours, theirs in (
        (cached.create_time, "createTime"),
        (cached.update_time, "updateTime"),
        (cached.expire_time, "expireTime"),
    ):
        ours.CopyFrom(time_of(documented[theirs]))
    return cached


async def test_a_page_of_cached_contents_is_read(serve: Serve) -> None:
    # Act
    page = await ask(serve, "cache_list")

    # Assert
    assert [cached.name for cached in page.cached_contents] == [NAME]
    assert page.next_page_token == "Ch1jYWNoZWQ"


async def test_an_empty_page_is_an_empty_list(serve: Serve) -> None:
    # Act
    page = await ask(serve, "cache_list_empty")

    # Assert
    assert page == pb.ListCachedContentsResponse()


async def test_a_deletion_answers_with_nothing(serve: Serve) -> None:
    # Act
    deleted = await ask(serve, "cache_delete")

    # Assert
    assert deleted == pb.DeleteCachedContentResponse()


async def test_a_file_in_processing_is_read(serve: Serve) -> None:
    # Act
    file = (await ask(serve, "files_get_processing")).file

    # Assert
    assert file.state == pb.File.STATE_PROCESSING
    assert file.size_bytes == 1_048_576
    assert file.source == "UPLOADED"
    assert file.uri == "http://HOST/v1beta/files/v1"


# ---------------------------------------------------------------------------- files


async def test_an_upload_follows_the_transcript(
    gateway: LiteralGateway, bridge: BridgeFixture
) -> None:
    # Arrange
    steps = json.loads((GOLDEN / CASES["files_upload"]["transcript"]).read_bytes())
    start, finalize = (step["request"] for step in steps)
    host = gateway.url.removeprefix("http://")
    for response in (step["response"] for step in steps):
        body = json.dumps(response["body"]) if response["body"] else ""
        headers = {name: value.replace("HOST", host) for name, value in response["headers"].items()}
        gateway.answers.append(Answer(response["status"], headers, body.encode()))
    metadata = pb.UploadFileMetadata(mime_type="text/plain", size_bytes=11, display_name="dn")
    pieces = [
        pb.UploadFileRequest(metadata=metadata),
        pb.UploadFileRequest(chunk=b"hello "),
        pb.UploadFileRequest(chunk=b"world"),
    ]

    # Act
    async with bridge(gateway.url, upstream_api_key="k") as channel:
        uploaded = await pb.FileServiceStub(channel).UploadFile(iter(pieces))

    # Assert
    began, ended = gateway.requests
    # The file's name on the caller's disk is not asked for, so it does not go upstream.
    del start["headers"]["X-Goog-Upload-File-Name"]
    assert (began.method, began.target) == (start["method"], start["path"])
    assert {name: began.headers.get(name.lower()) for name in start["headers"]} == start["headers"]
    assert began.json == start["body_js"]
    assert (ended.method, ended.target) == (finalize["method"], finalize["path"])
    assert {name: ended.headers.get(name.lower()) for name in finalize["headers"]} == (
        finalize["headers"]
    )
    assert ended.body.decode() == finalize["body"]
    documented = steps[1]["response"]["body"]["file"]
    file = uploaded.file
    assert (file.name, file.display_name) == (documented["name"], "dn")
    assert file.size_bytes == 11
    assert file.state == pb.File.STATE_ACTIVE
    assert file.sha256_hash == base64.b64decode(documented["sha256Hash"])
    assert file.create_time.nanos == 280_031_000
    assert file.expiration_time.nanos == 208_200_000


# ---------------------------------------------------------------------------- streams


async def chat_stream(channel: Any) -> Outcome:
    return await outcome_of(pb.ContextServiceStub(channel).ChatWithContext(CHAT))


async def gemini_stream(channel: Any) -> Outcome:
    return await outcome_of(pb.GeminiServiceStub(channel).StreamGenerateContent(GENERATE))


@pytest.mark.parametrize("name", OPENAI_STREAMS)
async def test_a_chat_stream_gives_the_documented_events(
    name: str, gateway: LiteralGateway, serve: Serve
) -> None:
    # Act
    async with serve(CASES[name]) as channel:
        outcome = await chat_stream(channel)

    # Assert
    assert_as_documented(CASES[name], chat_seen(outcome), outcome)
    assert_chat_protocol(outcome)
    (sent,) = gateway.requests
    assert sent.target == "/v1/context/chat/completions"
    assert sent.json["stream"] is True
    assert sent.json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("name", GEMINI_STREAMS)
async def test_a_gemini_stream_gives_the_documented_messages(
    name: str, gateway: LiteralGateway, serve: Serve
) -> None:
    # Act
    async with serve(CASES[name]) as channel:
        outcome = await gemini_stream(channel)

    # Assert
    assert_as_documented(CASES[name], gemini_seen(outcome), outcome)
    assert_gemini_protocol(outcome)
    (sent,) = gateway.requests
    path = "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert sent.target == CASES[name].get("path", "/v1/v1beta").removesuffix(path[:-8]) + path


@pytest.mark.parametrize(
    "name", [name for name in (*OPENAI_STREAMS, *GEMINI_STREAMS) if "chunk_cuts" in CASES[name]]
)
async def test_a_stream_cut_within_characters_gives_the_same_text(name: str, serve: Serve) -> None:
    # Act
    async with serve(CASES[name], CASES[name]["chunk_cuts"]) as channel:
        outcome = await chat_stream(channel)

    # Assert
    assert_as_documented(CASES[name], chat_seen(outcome), outcome)
    assert_chat_protocol(outcome)


def is_small(name: str) -> bool:
    return (GOLDEN / CASES[name]["response"]).stat().st_size <= SMALL


@pytest.mark.parametrize("name", [name for name in OPENAI_STREAMS if is_small(name)])
async def test_a_chat_stream_of_single_bytes_gives_the_same_events(name: str, serve: Serve) -> None:
    # Act
    async with serve(CASES[name], range(1, SMALL)) as channel:
        outcome = await chat_stream(channel)

    # Assert
    assert_as_documented(CASES[name], chat_seen(outcome), outcome)
    assert_chat_protocol(outcome)


@pytest.mark.parametrize("name", [name for name in GEMINI_STREAMS if is_small(name)])
async def test_a_gemini_stream_of_single_bytes_gives_the_same_messages(
    name: str, serve: Serve
) -> None:
    # Act
    async with serve(CASES[name], range(1, SMALL)) as channel:
        outcome = await gemini_stream(channel)

    # Assert
    assert_as_documented(CASES[name], gemini_seen(outcome), outcome)
    assert_gemini_protocol(outcome)


async def test_a_failure_after_the_finish_reason_takes_no_text_with_it(
    gateway: LiteralGateway, serve: Serve
) -> None:
    # Arrange
    whole = answer_of(CASES["sse_g01_basic_crlf"])
    late = b'data: {"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}\r\n\r\n'

    # Act
    async with serve(CASES["sse_g01_basic_crlf"]) as channel:
        gateway.answers = [Answer(200, whole.headers, whole.body + late, [len(whole.body)])]
        outcome = await gemini_stream(channel)

    # Assert
    assert outcome.code == "UNAVAILABLE"
    assert gemini_seen(outcome)["text"] == "The fulmar."
    assert_gemini_protocol(outcome)


# ---------------------------------------------------------------------------- errors

Call = Callable[[Any], Awaitable[Any]]

OPENAI_CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda channel: pb.ContextServiceStub(channel).ChatWithContext(CHAT),
    "complete": lambda channel: pb.ContextServiceStub(channel).CompleteChatWithContext(CHAT),
    "create": lambda channel: pb.ContextServiceStub(channel).CreateContext(CREATE),
}
GOOGLE_CALLS: dict[str, Callable[[Any], Any]] = {
    "stream": lambda channel: pb.GeminiServiceStub(channel).StreamGenerateContent(GENERATE),
    **{
        name: lambda channel, name=name: getattr(METHODS[name][0](channel), METHODS[name][1])(
            METHODS[name][2]
        )
        for name in (
            "gemini_basic",
            "gemini_count_tokens",
            "cache_create_ttl",
            "cache_get",
            "cache_list",
            "cache_patch_no_mask",
            "cache_delete",
        )
    },
}


def assert_failed_as_documented(case: dict[str, Any], outcome: Outcome) -> None:
    assert outcome.messages == []
    assert outcome.code == case["expect"]["grpc"]
    assert (outcome.retry_delay is not None) == case["expect"]["retryable"]
    assert outcome.metadata["httpStatus"] == str(case["status"])


@pytest.mark.parametrize("call", OPENAI_CALLS.values(), ids=OPENAI_CALLS)
@pytest.mark.parametrize("name", OPENAI_ERRORS)
async def test_an_error_of_the_context_surface_becomes_the_documented_status(
    name: str, call: Call, serve: Serve
) -> None:
    # Act
    async with serve(CASES[name]) as channel:
        outcome = await outcome_of(call(channel))

    # Assert
    assert_failed_as_documented(CASES[name], outcome)


@pytest.mark.parametrize("call", GOOGLE_CALLS.values(), ids=GOOGLE_CALLS)
@pytest.mark.parametrize("name", GOOGLE_ERRORS)
async def test_an_error_of_the_native_surface_becomes_the_documented_status(
    name: str, call: Call, serve: Serve
) -> None:
    # Act
    async with serve(CASES[name]) as channel:
        outcome = await outcome_of(call(channel))

    # Assert
    assert_failed_as_documented(CASES[name], outcome)


@pytest.mark.parametrize("name", GOOGLE_ERRORS)
async def test_an_error_in_an_array_is_the_same_error(
    name: str, gateway: LiteralGateway, serve: Serve
) -> None:
    # Arrange: what a stream without alt=sse is refused with (wire.md B.1).
    case = CASES[name]
    whole = answer_of(case)

    # Act
    async with serve(case) as channel:
        gateway.answers = [Answer(whole.status, whole.headers, b"[" + whole.body + b"]\n")]
        outcome = await gemini_stream(channel)

    # Assert
    assert_failed_as_documented(case, outcome)


async def test_upstream_says_how_long_to_wait_in_a_header_or_in_its_details(serve: Serve) -> None:
    # Act
    async with serve(CASES["openai_error_429_rpm"]) as channel:
        by_header = await chat_stream(channel)
    async with serve(CASES["google_error_429_quota"]) as channel:
        by_detail = await gemini_stream(channel)

    # Assert
    assert (by_header.retry_delay, by_detail.retry_delay) == (2.0, 13.0)


async def test_upstreams_request_id_is_taken_from_its_header_or_its_message(serve: Serve) -> None:
    # Act
    async with serve(CASES["openai_error_401_newapi"]) as channel:
        by_header = await chat_stream(channel)
    async with serve(CASES["openai_error_404_context"]) as channel:
        by_message = await chat_stream(channel)

    # Assert
    assert by_header.metadata["upstreamRequestId"] == "20260301091500123456789abcdefgh"
    assert by_header.metadata["upstreamMessage"] == "Invalid token"
    assert by_message.metadata["upstreamRequestId"] == "0219"
    assert by_message.metadata["upstreamMessage"] == "The specified context ctx-gone is not found."


@pytest.mark.parametrize(
    "name, reason",
    [
        ("openai_error_404_context", "CONTEXT_NOT_FOUND"),
        ("openai_error_404_model", "MODEL_NOT_FOUND"),
        ("openai_error_403_overdue", "UPSTREAM_ACCOUNT_OVERDUE"),
        ("openai_error_402_quota", "UPSTREAM_QUOTA_EXHAUSTED"),
        ("openai_error_429_rpm", "UPSTREAM_RATE_LIMITED"),
        ("openai_error_429_overloaded", "UPSTREAM_OVERLOADED"),
        ("google_error_400_key", "UPSTREAM_KEY_INVALID"),
        ("google_error_400_cache_small", "CACHE_TOO_SMALL"),
        ("google_error_400_cache_conflict", "CACHE_CONFLICT"),
        ("google_error_400_cache_conflict_vertex", "CACHE_CONFLICT"),
        ("google_error_400_cache_model", "CACHE_CONFLICT"),
        ("google_error_403_cache_gone", "CACHE_NOT_FOUND"),
        ("google_error_404_cache_gone_vertex", "CACHE_NOT_FOUND"),
        ("google_error_404_model", "MODEL_NOT_FOUND"),
        ("google_error_404_no_details_vertex_key", "UPSTREAM_KEY_INVALID"),
    ],
)
async def test_an_error_that_callers_branch_on_has_its_own_reason(
    name: str, reason: str, serve: Serve
) -> None:
    # Act
    async with serve(CASES[name]) as channel:
        outcome = await gemini_stream(channel)

    # Assert
    assert outcome.reason == f"ERROR_REASON_{reason}"
