"""What is wrong in a request is told all at once, and before anything is sent upstream."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import pytest

from contextbridge import v1 as pb

INLINE_LIMIT = 64

BridgeFixture = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]


@dataclass
class Witness:
    """An upstream that only counts who comes."""

    url: str = ""
    connections: list[str] = field(default_factory=list)

    async def serve(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(str(writer.get_extra_info("peername")))
        writer.close()


@pytest.fixture(name="module_witness", scope="module")
async def module_witness_fixture() -> AsyncIterator[Witness]:
    witness = Witness()
    server = await asyncio.start_server(witness.serve, "127.0.0.1", 0)
    async with server:
        witness.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield witness


@pytest.fixture(name="witness")
def witness_fixture(module_witness: Witness) -> Witness:
    module_witness.connections.clear()
    return module_witness


@pytest.fixture(name="watched", scope="module")
async def watched_fixture(
    module_witness: Witness, bridge: BridgeFixture
) -> AsyncIterator[grpc.aio.Channel]:
    async with bridge(module_witness.url, max_inline_bytes=INLINE_LIMIT) as channel:
        yield channel


@pytest.fixture(name="refused")
def refused_fixture(witness: Witness, watched: grpc.aio.Channel, failure: Any) -> Any:
    """Return what makes a call that must be refused, and gives its violations."""

    async def refused(stub: Any, method: str, request: Any) -> dict[str, str]:
        found = await failure(getattr(stub(watched), method)(request))
        assert found.code is grpc.StatusCode.INVALID_ARGUMENT
        assert found.reason == "REQUEST_INVALID"
        assert found.retry_delay is None
        assert witness.connections == []
        assert found.violations
        first, *_ = found.violations
        assert found.message.startswith(f"{first}: ")
        return found.violations

    return refused


def struct(**members: Any) -> Any:
    extra = pb.ChatWithContextRequest().extra_body
    extra.update(members)
    return extra


def with_times(message: Any, **times: Any) -> Any:
    """Set durations and timestamps of a message, by their names."""
    for name, value in times.items():
        target = getattr(message, name)
        if isinstance(value, timedelta):
            target.FromTimedelta(value)
        else:
            target.FromJsonString(value)
    return message


HELLO = pb.ChatMessage(role="user", content="Hi")
USER = pb.Content(role="user", parts=[pb.Part(text="Hi")])
AUDIO = pb.ChatPart(input_audio=pb.ChatInputAudio(data=b"x" * (INLINE_LIMIT + 1), format="wav"))
PICTURE = pb.Part(inline_data=pb.Blob(mime_type="image/png", data=b"x" * (INLINE_LIMIT + 1)))

# ---------------------------------------------------------------------------- chat

CHAT = pb.ChatWithContextRequest(context_id="ctx-1", model="m", messages=[HELLO])


def said(*messages: pb.ChatMessage) -> dict[str, Any]:
    return {"messages": messages}


def part(**member: Any) -> dict[str, Any]:
    return said(pb.ChatMessage(role="user", parts=[pb.ChatPart(**member)]))


def tool(**members: Any) -> dict[str, Any]:
    return {"tools": [pb.ChatTool(function=pb.ChatFunction(**members))]}


CHAT_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "no context": ({"context_id": ""}, "context_id"),
    "no model": ({"model": ""}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "no role": (said(pb.ChatMessage(content="Hi")), "messages[0].role"),
    "an unknown role": (said(pb.ChatMessage(role="king", content="Hi")), "messages[0].role"),
    "nothing to answer": (
        said(HELLO, pb.ChatMessage(role="assistant", content="Hi")),
        "messages[1].role",
    ),
    "no content": (said(pb.ChatMessage(role="user")), "messages[0].content"),
    "content and parts": (
        said(pb.ChatMessage(role="user", content="Hi", parts=[pb.ChatPart(text="Hi")])),
        "messages[0].parts",
    ),
    "a part without a member": (part(), "messages[0].parts[0]"),
    "an image without an address": (
        part(image_url=pb.ChatImageUrl()),
        "messages[0].parts[0].image_url.url",
    ),
    "a video without an address": (
        part(video_url=pb.ChatVideoUrl()),
        "messages[0].parts[0].video_url.url",
    ),
    "frames below 0": (
        part(video_url=pb.ChatVideoUrl(url="https://v", fps=-1)),
        "messages[0].parts[0].video_url.fps",
    ),
    "frames that are no number": (
        part(video_url=pb.ChatVideoUrl(url="https://v", fps=math.nan)),
        "messages[0].parts[0].video_url.fps",
    ),
    "no sound": (
        part(input_audio=pb.ChatInputAudio(format="wav")),
        "messages[0].parts[0].input_audio.data",
    ),
    "sound of no format": (
        part(input_audio=pb.ChatInputAudio(data=b"x")),
        "messages[0].parts[0].input_audio.format",
    ),
    "a part of broken JSON": (part(other_json="{"), "messages[0].parts[0].other_json"),
    "a part of JSON that is no object": (part(other_json="5"), "messages[0].parts[0].other_json"),
    "too much sound": (said(pb.ChatMessage(role="user", parts=[AUDIO])), "messages"),
    "too large an image": (
        part(image_url=pb.ChatImageUrl(url="data:image/png;base64," + "A" * INLINE_LIMIT)),
        "messages",
    ),
    "a user with tools": (
        said(pb.ChatMessage(role="user", content="Hi", tool_calls=[pb.ChatToolCall(name="f")])),
        "messages[0].tool_calls",
    ),
    "a tool call without a name": (
        said(pb.ChatMessage(role="assistant", tool_calls=[pb.ChatToolCall(id="c")]), HELLO),
        "messages[0].tool_calls[0].name",
    ),
    "a user who thinks aloud": (
        said(pb.ChatMessage(role="user", content="Hi", reasoning="Hm")),
        "messages[0].reasoning",
    ),
    "a user who answers a tool": (
        said(pb.ChatMessage(role="user", content="Hi", tool_call_id="c")),
        "messages[0].tool_call_id",
    ),
    "a tool that answers nobody": (
        said(pb.ChatMessage(role="tool", content="Hi")),
        "messages[0].tool_call_id",
    ),
    **{
        f"{name} of {value}": ({name: value}, name)
        for name, values in {
            "temperature": (-0.01, 2.01, math.nan, math.inf),
            "top_p": (-0.01, 1.01, math.nan, -math.inf),
            "presence_penalty": (-2.01, 2.01, math.nan),
            "frequency_penalty": (-2.01, 2.01, math.nan),
            "repetition_penalty": (-0.01, math.nan, math.inf),
            "n": (0, -1),
            "max_tokens": (0, -1),
            "top_logprobs": (-1, 21),
        }.items()
        for value in values
    },
    "five stops": ({"stop": list("abcde")}, "stop"),
    "an empty stop": ({"stop": ["a", ""]}, "stop"),
    "a tool without a name": (tool(description="d"), "tools[0].function.name"),
    "a tool of broken JSON": (
        tool(name="f", parameters_json="{"),
        "tools[0].function.parameters_json",
    ),
    "a tool of NaN": (
        tool(name="f", parameters_json='{"a":NaN}'),
        "tools[0].function.parameters_json",
    ),
    "a choice of nothing": ({"tool_choice": pb.ChatToolChoice()}, "tool_choice"),
    "a choice of an unknown mode": (
        {"tool_choice": pb.ChatToolChoice(mode="all")},
        "tool_choice.mode",
    ),
    "a choice of no function": (
        {"tool_choice": pb.ChatToolChoice(function_name="")},
        "tool_choice.function_name",
    ),
    "a function that is required": (
        {"function_call": pb.ChatToolChoice(mode="required")},
        "function_call.mode",
    ),
    "a format of broken JSON": ({"response_format_json": "{"}, "response_format_json"),
    "a format that is no object": ({"response_format_json": "[]"}, "response_format_json"),
    "too large a bias": ({"logit_bias": {"42": 101}}, "logit_bias[42]"),
    "a bias that is no number": ({"logit_bias": {"42": math.nan}}, "logit_bias[42]"),
    "a known field that is set": (
        {"temperature": 1, "extra_body": struct(temperature=2)},
        "extra_body.temperature",
    ),
    "a known field that is not set": (
        {"extra_body": struct(temperature=5)},
        "extra_body.temperature",
    ),
    "a field of the server's": ({"extra_body": struct(stream=True)}, "extra_body.stream"),
    "an extra NaN": ({"extra_body": struct(knob=[{"a": math.nan}])}, "extra_body.knob"),
    "an extra infinity": ({"extra_body": struct(knob=math.inf)}, "extra_body.knob"),
    "an endless customer": (
        {"customer": pb.Customer(identifier="x" * 255)},
        "customer.identifier",
    ),
    "no customer to keep apart": (
        {"response_cache": pb.ResponseCachePolicy(enabled=True, by_customer=True)},
        "customer.identifier",
    ),
    "a cache for no time": (
        {"response_cache": with_times(pb.ResponseCachePolicy(), ttl=timedelta(0))},
        "response_cache.ttl",
    ),
    "a cache for ever": (
        {"response_cache": with_times(pb.ResponseCachePolicy(), ttl=timedelta(days=366))},
        "response_cache.ttl",
    ),
    "an endless request id": ({"idempotency_key": "x" * 129}, "idempotency_key"),
    "a negative resume": ({"idempotency_key": "r", "resume_after": -1}, "resume_after"),
    "a resume of nothing": ({"resume_after": 1}, "idempotency_key"),
}


def changed(working: Any, members: dict[str, Any]) -> Any:
    """Return a request that works with members replaced."""
    request = type(working)()
    request.CopyFrom(working)
    for name in members:
        request.ClearField(name)
    request.MergeFrom(type(working)(**members))
    return request


@pytest.mark.parametrize("method", ["ChatWithContext", "CompleteChatWithContext"])
@pytest.mark.parametrize("members, wrong", CHAT_WRONGS.values(), ids=CHAT_WRONGS)
async def test_a_chat_request_with_one_thing_wrong_says_which(
    members: dict[str, Any], wrong: str, method: str, refused: Any
) -> None:
    # Act
    violations = await refused(pb.ContextServiceStub, method, changed(CHAT, members))

    # Assert
    assert list(violations) == [wrong]


# ---------------------------------------------------------------------------- create

CREATE = pb.CreateContextRequest(model="m", messages=[HELLO])
GEMINI = {"model": "gemini-2.5-flash"}


def lasting(ttl: timedelta, **members: Any) -> dict[str, Any]:
    return {"ttl": with_times(pb.CreateContextRequest(), ttl=ttl).ttl, **members}


def until(expire_time: str, **members: Any) -> dict[str, Any]:
    moment = with_times(pb.CreateContextRequest(), expire_time=expire_time).expire_time
    return {"expire_time": moment, **members}


CREATE_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": ""}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "a tool's message": (
        said(pb.ChatMessage(role="tool", content="Hi", tool_call_id="c")),
        "messages[0].role",
    ),
    "an unknown role": (said(pb.ChatMessage(role="king", content="Hi")), "messages[0].role"),
    "content and parts": (
        said(pb.ChatMessage(role="user", content="Hi", parts=[pb.ChatPart(text="Hi")])),
        "messages[0].parts",
    ),
    "a part without a member": (part(), "messages[0].parts[0]"),
    "too much sound": (said(pb.ChatMessage(role="user", parts=[AUDIO])), "messages"),
    "ttl and expire_time": (
        {**lasting(timedelta(hours=1)), **until("2100-01-01T00:00:00Z")},
        "expire_time",
    ),
    "less than an hour": (lasting(timedelta(seconds=3_599)), "ttl"),
    "more than a week": (lasting(timedelta(seconds=604_801)), "ttl"),
    "no time": (lasting(timedelta(0), **GEMINI), "ttl"),
    "time that has run out": (lasting(timedelta(seconds=-1), **GEMINI), "ttl"),
    "a part of a second": (lasting(timedelta(seconds=3_600.5)), "ttl"),
    "a part of a microsecond": (
        {"ttl": pb.CreateContextRequest(ttl={"seconds": 3_600, "nanos": 1}).ttl},
        "ttl",
    ),
    "the past": (until("2001-01-01T00:00:00Z", **GEMINI), "expire_time"),
    "the far future": (until("2100-01-01T00:00:00Z"), "expire_time"),
    "an unknown mode": ({"mode": 99}, "mode"),
    "an unknown reuse": ({"reuse": 99}, "reuse"),
    "an unknown recovery": ({"recovery": -1}, "recovery"),
    "a truncated prefix": (
        {
            "mode": pb.CONTEXT_MODE_COMMON_PREFIX,
            "truncation_strategy": pb.TruncationStrategy(type="rolling_tokens"),
        },
        "truncation_strategy",
    ),
    "a history of nothing": (
        {"truncation_strategy": pb.TruncationStrategy(last_history_tokens=0)},
        "truncation_strategy.last_history_tokens",
    ),
    "an endless name": ({"display_name": "x" * 129}, "display_name"),
    "an endless request id": ({"idempotency_key": "x" * 129}, "idempotency_key"),
    "a retention of nothing": (
        {"retention": with_times(pb.CreateContextRequest(), retention=timedelta(0)).retention},
        "retention",
    ),
    "a known field that is not set": ({"extra_body": struct(ttl=5)}, "extra_body.ttl"),
    "an extra NaN": ({"extra_body": struct(knob=math.nan)}, "extra_body.knob"),
}


@pytest.mark.parametrize("members, wrong", CREATE_WRONGS.values(), ids=CREATE_WRONGS)
async def test_a_create_request_with_one_thing_wrong_says_which(
    members: dict[str, Any], wrong: str, refused: Any
) -> None:
    # Act
    violations = await refused(pb.ContextServiceStub, "CreateContext", changed(CREATE, members))

    # Assert
    assert list(violations) == [wrong]


# ---------------------------------------------------------------------------- generate

GENERATE = pb.GenerateContentRequest(model="gemini-2.5-flash", contents=[USER])


def content(*parts: pb.Part) -> dict[str, Any]:
    return {"contents": [pb.Content(role="user", parts=parts)]}


def config(**members: Any) -> dict[str, Any]:
    return {"generation_config": pb.GenerationConfig(**members)}


def declared(**members: Any) -> dict[str, Any]:
    return {"tools": [pb.Tool(function_declarations=[pb.FunctionDeclaration(**members)])]}


CONTENT_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown role": (
        {"contents": [pb.Content(role="king", parts=USER.parts)]},
        "contents[0].role",
    ),
    "no parts": (content(), "contents[0].parts"),
    "a part without a member": (content(pb.Part()), "contents[0].parts[0]"),
    "a part that is only a thought": (content(pb.Part(thought=True)), "contents[0].parts[0]"),
    "media of no type": (
        content(pb.Part(inline_data=pb.Blob(data=b"x"))),
        "contents[0].parts[0].inline_data.mime_type",
    ),
    "media of no bytes": (
        content(pb.Part(inline_data=pb.Blob(mime_type="image/png"))),
        "contents[0].parts[0].inline_data.data",
    ),
    "a file without an address": (
        content(pb.Part(file_data=pb.FileData())),
        "contents[0].parts[0].file_data.file_uri",
    ),
    "a call without a name": (
        content(pb.Part(function_call=pb.FunctionCall())),
        "contents[0].parts[0].function_call.name",
    ),
    "an answer without a name": (
        content(pb.Part(function_response=pb.FunctionResponse())),
        "contents[0].parts[0].function_response.name",
    ),
    "arguments of broken JSON": (
        content(pb.Part(function_call=pb.FunctionCall(name="f", args_json="{"))),
        "contents[0].parts[0].function_call.args_json",
    ),
    "extras of broken JSON": (
        content(pb.Part(text="a", extra_json="{")),
        "contents[0].parts[0].extra_json",
    ),
    "extras that are fields": (
        content(pb.Part(text="a", extra_json='{"text":"b"}')),
        "contents[0].parts[0].extra_json.text",
    ),
    "frames that are no number": (
        content(pb.Part(text="a", video_metadata=pb.VideoMetadata(fps=math.nan))),
        "contents[0].parts[0].video_metadata.fps",
    ),
    "an offset out of range": (
        content(pb.Part(text="a", video_metadata={"start_offset": {"seconds": 2**62}})),
        "contents[0].parts[0].video_metadata.start_offset",
    ),
    "too much media": (content(PICTURE), "contents"),
    "an instruction that is no text": (
        {"system_instruction": pb.Content(parts=[pb.Part(file_data={"file_uri": "u"})])},
        "system_instruction.parts[0]",
    ),
    "a schema of NaN": (
        declared(name="f", parameters=pb.Schema(minimum=math.nan)),
        "tools[0].function_declarations[0].parameters.minimum",
    ),
    "a schema of broken JSON": (
        declared(name="f", parameters_json_schema="{"),
        "tools[0].function_declarations[0].parameters_json_schema",
    ),
}
"""What contents, instructions and tools can have wrong, wherever they are."""

GENERATE_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    **CONTENT_WRONGS,
    "no model": ({"model": ""}, "model"),
    "a model outside": ({"model": "models/../files"}, "model"),
    "an endless model": ({"model": "x" * 100_000}, "model"),
    "no contents": ({"contents": []}, "contents"),
    **{
        f"{name} of {value}": (config(**{name: value}), f"generation_config.{name}")
        for name, values in {
            "temperature": (-0.01, 2.01),
            "top_p": (-0.01, 1.01),
            "top_k": (0, -1),
            "candidate_count": (0,),
            "max_output_tokens": (0,),
            "presence_penalty": (-2.01, 2.01),
            "frequency_penalty": (-2.01, 2.01),
            "logprobs": (-1, 21),
        }.items()
        for value in values
    },
    "six stops": (config(stop_sequences=list("abcdef")), "generation_config.stop_sequences"),
    "an empty stop": (config(stop_sequences=[""]), "generation_config.stop_sequences"),
    "two schemas": (
        config(response_schema=pb.Schema(type="STRING"), response_json_schema="{}"),
        "generation_config.response_json_schema",
    ),
    "a schema of broken JSON for the answer": (
        config(response_json_schema="{"),
        "generation_config.response_json_schema",
    ),
    "a cache and an instruction": (
        {"cached_content": "cachedContents/c", "system_instruction": USER},
        "system_instruction",
    ),
    "a cache and tools": (
        {"cached_content": "cachedContents/c", "tools": [pb.Tool(code_execution={})]},
        "tools",
    ),
    "a cache and their use": (
        {"cached_content": "cachedContents/c", "tool_config": pb.ToolConfig(extra_json='{"a":1}')},
        "tool_config",
    ),
    "a known field in camelCase": (
        {"extra_body": struct(generationConfig={"a": 1})},
        "extra_body.generationConfig",
    ),
    "a known field in snake_case": (
        {"extra_body": struct(generation_config={"a": 1})},
        "extra_body.generation_config",
    ),
    "another model": ({"extra_body": struct(model="models/b")}, "extra_body.model"),
    "an extra NaN": ({"extra_body": struct(knob=math.nan)}, "extra_body.knob"),
    "an endless request id": ({"idempotency_key": "x" * 129}, "idempotency_key"),
    "a resume of nothing": ({"resume_after": 1}, "idempotency_key"),
}


@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent"])
@pytest.mark.parametrize("members, wrong", GENERATE_WRONGS.values(), ids=GENERATE_WRONGS)
async def test_a_generate_request_with_one_thing_wrong_says_which(
    members: dict[str, Any], wrong: str, method: str, refused: Any
) -> None:
    # Act
    violations = await refused(pb.GeminiServiceStub, method, changed(GENERATE, members))

    # Assert
    assert list(violations) == [wrong]


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_number_that_json_lacks_is_told_by_its_place(number: float, refused: Any) -> None:
    # Arrange: the range and the writer both note it.
    request = changed(GENERATE, config(temperature=number))

    # Act
    violations = await refused(pb.GeminiServiceStub, "GenerateContent", request)

    # Assert
    assert list(violations) == ["generation_config.temperature"]


# ---------------------------------------------------------------------------- count

COUNT = pb.CountTokensRequest(model="gemini-2.5-flash", contents=[USER])


def whole(members: dict[str, Any]) -> dict[str, Any]:
    request = changed(pb.GenerateContentRequest(contents=[USER]), members)
    return {"contents": [], "generate_content_request": request}


COUNT_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": ""}, "model"),
    "no model for the whole request": ({"model": "", **whole({})}, "model"),
    "no contents": ({"contents": []}, "contents"),
    "no parts": (content(), "contents[0].parts"),
    "too much media": (content(PICTURE), "contents"),
    "contents twice": ({**whole({}), "contents": [USER]}, "contents"),
    "two models": (whole({"model": "gemini-2.5-pro"}), "generate_content_request.model"),
    "no contents in the whole request": (
        whole({"contents": []}),
        "generate_content_request.contents",
    ),
    "a temperature out of range": (
        whole(config(temperature=3)),
        "generate_content_request.generation_config.temperature",
    ),
    "a known field": (
        whole({"extra_body": struct(contents=[])}),
        "generate_content_request.extra_body.contents",
    ),
}


@pytest.mark.parametrize("members, wrong", COUNT_WRONGS.values(), ids=COUNT_WRONGS)
async def test_a_count_request_with_one_thing_wrong_says_which(
    members: dict[str, Any], wrong: str, refused: Any
) -> None:
    # Act
    violations = await refused(pb.GeminiServiceStub, "CountTokens", changed(COUNT, members))

    # Assert
    assert list(violations) == [wrong]


# ---------------------------------------------------------------------------- cached contents

CACHED = pb.CachedContent(model="gemini-2.5-flash", contents=[USER])
EXPIRY_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "ttl and expire_time": (
        {"ttl": {"seconds": 60}, "expire_time": {"seconds": 4_102_444_800}},
        "expire_time",
    ),
    "no time": ({"ttl": {"seconds": 0}}, "ttl"),
    "time that has run out": ({"ttl": {"seconds": -5}}, "ttl"),
    "a time out of range": ({"ttl": {"seconds": 2**62}}, "ttl"),
    "a moment out of range": ({"expire_time": {"seconds": 2**62}}, "expire_time"),
}
CACHED_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    **CONTENT_WRONGS,
    **EXPIRY_WRONGS,
    "no model": ({"model": ""}, "model"),
    "a model outside": ({"model": "models/../files"}, "model"),
    "nothing to cache": ({"contents": []}, "contents"),
    "an endless name": ({"display_name": "x" * 129}, "display_name"),
}


@pytest.mark.parametrize("members, wrong", CACHED_WRONGS.values(), ids=CACHED_WRONGS)
async def test_a_cached_content_with_one_thing_wrong_says_which(
    members: dict[str, Any], wrong: str, refused: Any
) -> None:
    # Arrange
    request = pb.CreateCachedContentRequest(cached_content=changed(CACHED, members))

    # Act
    violations = await refused(pb.CachedContentServiceStub, "CreateCachedContent", request)

    # Assert
    assert list(violations) == [f"cached_content.{wrong}"]


@pytest.mark.parametrize("name", ["ttl", "displayName", "display_name", "model", "contents"])
async def test_a_cached_contents_extra_body_names_no_known_field(name: str, refused: Any) -> None:
    # Arrange
    request = pb.CreateCachedContentRequest(cached_content=CACHED, extra_body=struct(**{name: "x"}))

    # Act
    violations = await refused(pb.CachedContentServiceStub, "CreateCachedContent", request)

    # Assert
    assert list(violations) == [f"extra_body.{name}"]


NAMED = pb.CachedContent(name="cachedContents/c", ttl={"seconds": 60})
UPDATE_WRONGS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    **{
        name: (*wrong[:1], [], f"cached_content.{wrong[1]}")
        for name, wrong in EXPIRY_WRONGS.items()
    },
    "no name": ({"name": ""}, [], "cached_content.name"),
    "a name outside": ({"name": "cachedContents/.."}, [], "cached_content.name"),
    "a file": ({"name": "files/f"}, [], "cached_content.name"),
    "an endless name": ({"name": "x" * 100_000}, [], "cached_content.name"),
    "no change": ({"ttl": None}, [], "cached_content.ttl"),
    "a change that is not there": ({}, ["expire_time"], "cached_content.expire_time"),
    "another field": ({}, ["ttl", "model"], "update_mask"),
    "all fields": ({}, ["*"], "update_mask"),
}


@pytest.mark.parametrize("members, mask, wrong", UPDATE_WRONGS.values(), ids=UPDATE_WRONGS)
async def test_an_update_with_one_thing_wrong_says_which(
    members: dict[str, Any], mask: list[str], wrong: str, refused: Any
) -> None:
    # Arrange
    request = pb.UpdateCachedContentRequest(cached_content=changed(NAMED, members))
    request.update_mask.paths.extend(mask)

    # Act
    violations = await refused(pb.CachedContentServiceStub, "UpdateCachedContent", request)

    # Assert
    assert list(violations) == [wrong]


@pytest.mark.parametrize(
    "stub, method, kind, collection",
    [
        (pb.CachedContentServiceStub, "GetCachedContent", pb.GetCachedContentRequest, "files"),
        (
            pb.CachedContentServiceStub,
            "DeleteCachedContent",
            pb.DeleteCachedContentRequest,
            "files",
        ),
        (pb.FileServiceStub, "GetFile", pb.GetFileRequest, "cachedContents"),
        (pb.FileServiceStub, "DeleteFile", pb.DeleteFileRequest, "cachedContents"),
    ],
)
@pytest.mark.parametrize("name", ["", "..", "a/../b", "/", "{other}/f", "tunedModels/t", "x" * 513])
async def test_a_name_that_is_none_of_the_collection_is_refused(
    stub: Any, method: str, kind: Any, collection: str, name: str, refused: Any
) -> None:
    # Act
    violations = await refused(stub, method, kind(name=name.format(other=collection)))

    # Assert
    assert list(violations) == ["name"]


@pytest.mark.parametrize(
    "stub, method, kind",
    [
        (pb.CachedContentServiceStub, "ListCachedContents", pb.ListCachedContentsRequest),
        (pb.FileServiceStub, "ListFiles", pb.ListFilesRequest),
    ],
)
async def test_a_page_with_everything_wrong_says_so(
    stub: Any, method: str, kind: Any, refused: Any
) -> None:
    # Act
    violations = await refused(stub, method, kind(page_size=-1, page_token="x" * 100_000))

    # Assert
    assert list(violations) == ["page_size", "page_token"]


# ---------------------------------------------------------------------------- files

FILE = pb.UploadFileMetadata(mime_type="text/plain", size_bytes=5)
FILE_WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "no type": ({"mime_type": ""}, "mime_type"),
    "a type of two lines": ({"mime_type": "text/plain\r\nX-Evil: 1"}, "mime_type"),
    "a type in Japanese": ({"mime_type": "灯台"}, "mime_type"),
    "no size": ({"size_bytes": 0}, "size_bytes"),
    "less than nothing": ({"size_bytes": -1}, "size_bytes"),
    "more than 2 GiB": ({"size_bytes": 2 * 1024**3 + 1}, "size_bytes"),
    "an endless display name": ({"display_name": "x" * 513}, "display_name"),
    "another collection": ({"name": "cachedContents/c"}, "name"),
    "capitals": ({"name": "files/A"}, "name"),
    "an outer dash": ({"name": "files/-a"}, "name"),
    "an endless id": ({"name": "files/" + "a" * 41}, "name"),
}


@pytest.mark.parametrize("members, wrong", FILE_WRONGS.values(), ids=FILE_WRONGS)
async def test_an_upload_with_one_thing_wrong_says_which(
    members: dict[str, Any], wrong: str, refused: Any
) -> None:
    # Arrange
    first = pb.UploadFileRequest(metadata=changed(FILE, members))

    # Act
    violations = await refused(pb.FileServiceStub, "UploadFile", iter([first]))

    # Assert
    assert list(violations) == [f"metadata.{wrong}"]


@pytest.mark.parametrize(
    "pieces", [[], [pb.UploadFileRequest(chunk=b"x")], [pb.UploadFileRequest()]]
)
async def test_an_upload_without_metadata_says_so(pieces: list[Any], refused: Any) -> None:
    # Act
    violations = await refused(pb.FileServiceStub, "UploadFile", iter(pieces))

    # Assert
    assert list(violations) == ["metadata"]


# ---------------------------------------------------------------------------- all at once


def all_of(wrongs: dict[str, tuple[dict[str, Any], str]], names: list[str]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name in names:
        members |= wrongs[name][0]
    return members


async def test_everything_wrong_in_a_chat_request_is_told_at_once(refused: Any) -> None:
    # Arrange
    names = ["no context", "no model", "nothing to answer", "temperature of nan", "n of 0"]
    names += ["top_p of 1.01", "presence_penalty of 2.01", "frequency_penalty of -2.01"]
    names += ["five stops", "a tool without a name", "a choice of nothing", "too large a bias"]
    names += ["a format of broken JSON", "a known field that is not set", "a resume of nothing"]
    names += ["no customer to keep apart"]
    request = changed(CHAT, all_of(CHAT_WRONGS, names))

    # Act
    violations = await refused(pb.ContextServiceStub, "ChatWithContext", request)

    # Assert
    assert set(violations) == {CHAT_WRONGS[name][1] for name in names}


async def test_everything_wrong_in_a_create_request_is_told_at_once(refused: Any) -> None:
    # Arrange
    names = ["no model", "an unknown role", "ttl and expire_time", "an unknown mode"]
    names += ["an unknown reuse", "an unknown recovery", "an endless name", "a history of nothing"]
    names += ["a known field that is not set", "a retention of nothing", "an endless request id"]
    request = changed(CREATE, all_of(CREATE_WRONGS, names))

    # Act
    violations = await refused(pb.ContextServiceStub, "CreateContext", request)

    # Assert
    assert set(violations) == {CREATE_WRONGS[name][1] for name in names}


async def test_everything_wrong_in_a_generate_request_is_told_at_once(refused: Any) -> None:
    # Arrange
    names = ["no model", "a part without a member", "an instruction that is no text"]
    names += ["six stops", "a schema of broken JSON", "a resume of nothing", "another model"]
    request = changed(GENERATE, all_of(GENERATE_WRONGS, names))

    # Act
    violations = await refused(pb.GeminiServiceStub, "StreamGenerateContent", request)

    # Assert
    assert set(violations) == {GENERATE_WRONGS[name][1] for name in names}


async def test_everything_wrong_in_an_upload_is_told_at_once(refused: Any) -> None:
    # Arrange
    names = ["no type", "no size", "an endless display name", "capitals"]
    first = pb.UploadFileRequest(metadata=changed(FILE, all_of(FILE_WRONGS, names)))

    # Act
    violations = await refused(pb.FileServiceStub, "UploadFile", iter([first]))

    # Assert
    assert set(violations) == {f"metadata.{FILE_WRONGS[name][1]}" for name in names}


async def test_the_ends_of_every_range_are_allowed(
    watched: grpc.aio.Channel, witness: Witness, failure: Any
) -> None:
    # Arrange
    least = {"temperature": 0, "top_p": 0, "n": 1, "presence_penalty": -2, "frequency_penalty": -2}
    most = {"temperature": 2, "top_p": 1, "n": 9, "presence_penalty": 2, "frequency_penalty": 2}
    ends = [least | {"stop": ["a"], "max_tokens": 1}, most | {"stop": list("abcd")}]
    stub = pb.ContextServiceStub(watched)

    # Act
    reasons = [
        (await failure(stub.CompleteChatWithContext(changed(CHAT, members)))).reason
        for members in ends
    ]

    # Assert: the witness hangs up on whoever comes.
    assert reasons == ["UPSTREAM_CONNECTION_LOST"] * 2
    assert witness.connections
