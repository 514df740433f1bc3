"""Any bytes from a caller, and any bytes from upstream, give a status and never a fault."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contextbridge import v1 as pb

SERVICES = (
    "contextbridge.v1.ContextService",
    "contextbridge.v1.GeminiService",
    "contextbridge.v1.CachedContentService",
    "contextbridge.v1.FileService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service}/{method.name}": method
    for service in SERVICES
    for method in Default().FindServiceByName(service).methods
}
MAX_MESSAGE_BYTES = 100_000
PYTHON = re.compile(r'Traceback|Exception|[A-Z]\w*Error:|File "|object at 0x|<class')
SOME = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BridgeFixture = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]

# ---------------------------------------------------------------------------- upstream


@dataclass
class ReadyMadeUpstream:
    """Answers every request with the same bytes, whatever they are."""

    url: str = ""
    answer: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(found[1]) if found else 0)
            writer.write(self.answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The bridge went away.
        finally:
            writer.close()


def http(status: int, kind: str, body: bytes, more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode("latin-1") + more + b"Connection: close\r\n\r\n" + body


NOTHING = http(200, "application/json", b"{}")


@pytest.fixture(name="module_upstream", scope="module")
async def module_upstream_fixture() -> AsyncIterator[ReadyMadeUpstream]:
    upstream = ReadyMadeUpstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    async with server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield upstream


@pytest.fixture(name="upstream")
def upstream_fixture(module_upstream: ReadyMadeUpstream) -> ReadyMadeUpstream:
    module_upstream.answer = NOTHING
    return module_upstream


@pytest.fixture(name="bridged", scope="module")
async def bridged_fixture(
    module_upstream: ReadyMadeUpstream, bridge: BridgeFixture
) -> AsyncIterator[grpc.aio.Channel]:
    settings = {"max_message_bytes": MAX_MESSAGE_BYTES, "retry_max_attempts": 1}
    async with bridge(module_upstream.url, idle_timeout="2s", **settings) as channel:
        yield channel


# ---------------------------------------------------------------------------- calls


@dataclass(frozen=True)
class Outcome:
    """How a call ended."""

    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    violations: tuple[str, ...] = ()


async def send(
    channel: grpc.aio.Channel, path: str, requests: Sequence[bytes], metadata: Any = ()
) -> Outcome:
    """Send raw bytes to a method; read no more than a few answers."""
    kind = METHODS.get(path)
    streams_in = kind is not None and kind.client_streaming
    streams_out = kind is not None and kind.server_streaming
    make = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[streams_in, streams_out]
    given: Any = iter(requests) if streams_in else b"".join(requests)
    call: Any = make(path)(given, timeout=20, metadata=tuple(metadata))
    try:
        if streams_out:
            # Health's Watch has no end of its own.
            limit = 1 if path.endswith("/Watch") else 100
            async for _ in call:
                limit -= 1
                if not limit:
                    call.cancel()
                    break
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return outcome_of(error)
    return Outcome(grpc.StatusCode.OK)


def outcome_of(error: grpc.aio.AioRpcError) -> Outcome:
    trailing = dict(error.trailing_metadata() or ())
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(bad)
    violations = tuple(violation.field for violation in bad.field_violations)
    reason = info.reason.removeprefix("ERROR_REASON_")
    return Outcome(error.code(), error.details() or "", reason, violations)


def assert_is_no_fault(outcome: Outcome) -> None:
    assert outcome.code is not grpc.StatusCode.UNKNOWN or outcome.reason == "UPSTREAM_UNKNOWN"
    assert outcome.reason != "INTERNAL"
    assert not PYTHON.search(outcome.message)


async def assert_serves_on(channel: grpc.aio.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service=SERVICES[0]).SerializeToString()
    assert (await send(channel, "/grpc.health.v1.Health/Check", [request])).code is (
        grpc.StatusCode.OK
    )


# ---------------------------------------------------------------------------- callers' bytes

HELLO = pb.ChatMessage(role="user", content="Hi")
USER = pb.Content(role="user", parts=[pb.Part(text="Hi")])
CHAT = pb.ChatWithContextRequest(
    context_id="ctx-1",
    model="m",
    messages=[HELLO],
    temperature=1,
    stop=["a"],
    tools=[pb.ChatTool(function=pb.ChatFunction(name="f", parameters_json="{}"))],
    logit_bias={"42": 1},
)
CHAT.extra_body.update({"knob": [1, {"a": None}]})
GENERATE = pb.GenerateContentRequest(
    model="gemini-2.5-flash",
    contents=[USER],
    tools=[pb.Tool(function_declarations=[pb.FunctionDeclaration(name="f")])],
    generation_config=pb.GenerationConfig(response_schema=pb.Schema(type="STRING")),
)
CACHED = pb.CachedContent(model="gemini-2.5-flash", contents=[USER], ttl={"seconds": 60})
NAMED = pb.CachedContent(name="cachedContents/c", ttl={"seconds": 60})
WORKING: dict[str, list[Any]] = {
    "CreateContext": [pb.CreateContextRequest(model="m", messages=[HELLO], ttl={"seconds": 3600})],
    "GetContext": [pb.GetContextRequest(id="c")],
    "ListContexts": [pb.ListContextsRequest(page_size=5)],
    "UpdateContext": [pb.UpdateContextRequest(id="c", ttl={"seconds": 3600})],
    "DeleteContext": [pb.DeleteContextRequest(id="c")],
    "ChatWithContext": [CHAT],
    "CompleteChatWithContext": [CHAT],
    "GenerateContent": [GENERATE],
    "StreamGenerateContent": [GENERATE],
    "CountTokens": [pb.CountTokensRequest(model="m", generate_content_request=GENERATE)],
    "CreateCachedContent": [pb.CreateCachedContentRequest(cached_content=CACHED)],
    "GetCachedContent": [pb.GetCachedContentRequest(name="cachedContents/c")],
    "ListCachedContents": [pb.ListCachedContentsRequest(page_size=5, page_token="t")],
    "UpdateCachedContent": [
        pb.UpdateCachedContentRequest(cached_content=NAMED, update_mask={"paths": ["ttl"]})
    ],
    "DeleteCachedContent": [pb.DeleteCachedContentRequest(name="cachedContents/c")],
    "UploadFile": [
        pb.UploadFileRequest(metadata={"mime_type": "text/plain", "size_bytes": 2}),
        pb.UploadFileRequest(chunk=b"ab"),
    ],
    "GetFile": [pb.GetFileRequest(name="files/f")],
    "ListFiles": [pb.ListFilesRequest(page_size=5)],
    "DeleteFile": [pb.DeleteFileRequest(name="files/f")],
    "Check": [health_pb2.HealthCheckRequest(service=SERVICES[0])],
    "Watch": [health_pb2.HealthCheckRequest(service=SERVICES[0])],
    "ServerReflectionInfo": [reflection_pb2.ServerReflectionRequest(list_services="x")],
}


@st.composite
def mutations(draw: Any, messages: Sequence[Any]) -> list[bytes]:
    """Change the bytes of valid messages a little: flip, cut, put in, double."""
    changed = [bytearray(message.SerializeToString()) for message in messages]
    for _ in range(draw(st.integers(1, 4))):
        message = draw(st.sampled_from(changed))
        place = draw(st.integers(0, len(message)))
        match draw(st.integers(0, 4)):
            case 0 if place < len(message):
                message[place] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del message[place:]
            case 2:
                message[place:place] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                message += message[place:]
            case _:
                del message[place : place + draw(st.integers(1, 4))]
    return [bytes(message) for message in changed]


def test_every_method_has_a_message_that_works() -> None:
    # Assert
    assert {method.name for method in METHODS.values()} == set(WORKING)


@pytest.mark.parametrize("path", METHODS)
@SOME
@given(requests=st.lists(st.binary(max_size=60), min_size=1, max_size=3))
@example(requests=[b""])
@example(requests=[b"\xff" * 60])
@example(requests=[b"\x0a\x04\xff\xfe\xfd\xfc"])
async def test_random_bytes_are_answered(
    path: str, requests: list[bytes], bridged: grpc.aio.Channel, upstream: ReadyMadeUpstream
) -> None:
    # Arrange
    assert upstream.answer == NOTHING

    # Act
    outcome = await send(bridged, path, requests)

    # Assert
    assert_is_no_fault(outcome)


@pytest.mark.parametrize("path", METHODS)
@SOME
@given(data=st.data())
async def test_valid_messages_with_changed_bytes_are_answered(
    path: str, data: Any, bridged: grpc.aio.Channel, upstream: ReadyMadeUpstream
) -> None:
    # Arrange
    assert upstream.answer == NOTHING
    requests = data.draw(mutations(WORKING[METHODS[path].name]))

    # Act
    outcome = await send(bridged, path, requests)

    # Assert
    assert_is_no_fault(outcome)


OURS = [path for path in METHODS if path.startswith("/contextbridge")]


@pytest.mark.parametrize("path", OURS)
async def test_bytes_that_are_no_message_are_malformed(
    path: str, bridged: grpc.aio.Channel
) -> None:
    # Act
    outcome = await send(bridged, path, [b"\xff\xff\xff"])

    # Assert
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.reason == "MESSAGE_MALFORMED"


@pytest.mark.parametrize("path", OURS)
async def test_a_message_that_is_too_long_is_refused_and_the_next_is_served(
    path: str, bridged: grpc.aio.Channel
) -> None:
    # Act
    outcome = await send(bridged, path, [b"\x0a" + b"x" * MAX_MESSAGE_BYTES])

    # Assert
    assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not PYTHON.search(outcome.message)
    await assert_serves_on(bridged)


@pytest.mark.parametrize("size", [20_000, 33_000, 200_000])
async def test_metadata_that_is_too_long_is_refused_and_the_next_call_is_served(
    size: int, bridged: grpc.aio.Channel
) -> None:
    # Act
    outcomes = [await send(bridged, path, [b""], [("x-long", "x" * size)]) for path in OURS[:3]]

    # Assert: between the two bounds gRPC refuses some calls and takes others.
    for outcome in outcomes:
        assert_is_no_fault(outcome)
        if size > 2 * 16 * 1024:
            assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await assert_serves_on(bridged)


@pytest.mark.parametrize(
    "metadata",
    [
        ("x-request-id", "~!()"),
        ("x-request-id", ""),
        ("x-request-id", "x" * 129),
        ("x-request-id", "Traceback (most recent call last)"),
        ("x-request-id-bin", b"\x00\xff"),
        ("x-upstream-api-key", " k k "),
        ("authorization", "Bearer"),
    ],
)
async def test_odd_metadata_is_no_fault(metadata: Any, bridged: grpc.aio.Channel) -> None:
    # Act
    outcome = await send(bridged, OURS[0], [b""], [metadata])

    # Assert
    assert outcome.reason == "REQUEST_INVALID"
    assert_is_no_fault(outcome)


@pytest.mark.parametrize(
    "path",
    [
        "/contextbridge.v1.ContextService/Nope",
        "/contextbridge.v1.NopeService/CreateContext",
        "/contextbridge.v2.ContextService/CreateContext",
        "/Nope/Nope",
        "/x",
        "/",
    ],
)
@pytest.mark.parametrize("body", [b"", b"\xff\xff"])
async def test_an_unknown_method_is_unimplemented(
    path: str, body: bytes, bridged: grpc.aio.Channel
) -> None:
    # Act
    outcome = await send(bridged, path, [body])

    # Assert
    assert outcome.code is grpc.StatusCode.UNIMPLEMENTED
    assert outcome.reason == "METHOD_UNKNOWN"
    await assert_serves_on(bridged)


@pytest.mark.parametrize("number", [-1, 4, 99, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("name", ["mode", "reuse", "recovery"])
async def test_an_unknown_enum_number_is_a_violation(
    name: str, number: int, bridged: grpc.aio.Channel
) -> None:
    # Arrange
    request = pb.CreateContextRequest(model="m", messages=[HELLO])
    setattr(request, name, number)

    # Act
    outcome = await send(
        bridged, "/contextbridge.v1.ContextService/CreateContext", [request.SerializeToString()]
    )

    # Assert
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.violations == (name,)


async def test_unknown_fields_of_a_newer_client_are_passed_over(bridged: grpc.aio.Channel) -> None:
    # Arrange: field 1000, a text.
    request = WORKING["GetFile"][0].SerializeToString() + b"\xc2\x3e\x01x"

    # Act
    outcome = await send(bridged, "/contextbridge.v1.FileService/GetFile", [request])

    # Assert
    assert outcome.code is grpc.StatusCode.OK


# ---------------------------------------------------------------------------- upstream's bytes

JSON_BODIES = st.sampled_from(
    [
        b"{}",
        b"[]",
        b"[{}]",
        b'{"error":5}',
        b'{"error":{}}',
        b'{"error":{"details":{"a":1}}}',
        b'{"id":"x","ttl":9223372036854775807}',
        b'{"choices":[{"message":{"content":5}}]}',
        b'{"candidates":[{"content":{"parts":[{"text":1}]}}]}',
        b'{"file":5}',
        b"[" * 10000,
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
        b"data: [DONE]\n\n",
        b"data: 5\n\n",
        b'[{"candidates":[{"finishReason":"STOP"}]}',
        b'{"message":"\\ud83d"}',
        b"\xef\xbb\xbf",
        b'{"cachedContents":{"a":1}}',
        b'{"name":5}',
        b'{"state":"FAILED","error":{"code":1}}',
    ]
)
HEADERS = st.lists(
    st.sampled_from(
        [
            b"Retry-After: x\r\n",
            b"Retry-After: 99999999999999999999\r\n",
            b"Retry-After: \xff\r\n",
            b"X-Request-Id: \xff\xfe\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Content-Type: \xff\r\n",
            b"X-Goog-Upload-URL: http://[\r\n",
            b"X-Goog-Upload-URL: /upload/v1beta/f\r\n",
            b"X-Goog-Upload-URL: /upload/v1beta/\xff?\xff\r\n",
            b"X-Goog-Upload-Status: final\r\n",
            b"X-Goog-Upload-URL: /upload/v1beta/" + b"x" * 3000 + b" y\r\n",
            b"Location: /\r\n",
        ]
    ),
    max_size=3,
).map(b"".join)
ANSWERS = st.one_of(
    st.binary(max_size=100),
    st.builds(
        http,
        st.sampled_from([200, 200, 200, 201, 204, 301, 304, 400, 404, 429, 500, 503, 599]),
        st.sampled_from(["application/json", "text/event-stream", "text/html", "", "x/\u00ff"]),
        st.binary(max_size=60) | JSON_BODIES,
        HEADERS,
    ),
)


@pytest.mark.parametrize(
    "path", [path for path in OURS if not re.search("(Get|List|Update|Delete)Contexts?$", path)]
)
@SOME
@given(answer=ANSWERS)
async def test_any_answer_of_upstreams_is_no_fault(
    path: str, answer: bytes, bridged: grpc.aio.Channel, upstream: ReadyMadeUpstream
) -> None:
    # Arrange
    upstream.answer = answer
    requests = [message.SerializeToString() for message in WORKING[METHODS[path].name]]

    # Act
    outcome = await send(bridged, path, requests)

    # Assert
    assert_is_no_fault(outcome)


async def test_the_server_serves_on_after_all_this(bridged: grpc.aio.Channel) -> None:
    # Assert
    await assert_serves_on(bridged)
