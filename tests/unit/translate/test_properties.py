"""Any JSON from upstream and any request from a caller is translated or refused: no faults."""

import base64
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.translate.cached_contents import (
    create_cached_content_request,
    update_cached_content_request,
)
from contextbridge_server.translate.chat_answer import chat_answer
from contextbridge_server.translate.chat_request import chat_prompt
from contextbridge_server.translate.chat_stream import ChatStreamDecoder
from contextbridge_server.translate.contexts import context_created, create_context_request
from contextbridge_server.translate.files import start_upload_request, upload_location
from contextbridge_server.translate.gemini_answer import GeminiStreamDecoder, gemini_answer
from contextbridge_server.translate.gemini_json import from_json, to_json
from contextbridge_server.translate.gemini_request import count_tokens_prompt, generate_prompt
from contextbridge_server.translate.json_values import Reader
from contextbridge_server.translate.limits import Limits
from contextbridge_server.translate.paths import list_request, resource_request
from contextbridge_server.translate.violations import Violations
from contextbridge_server.upstream.interface import UpstreamRequest

LIMITS = Limits(max_inline_bytes=1_000)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
TIMES = ("google.protobuf.Timestamp", "google.protobuf.Duration")
SOME = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# ---------------------------------------------------------------------------- strategies

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    TEXT,
    st.sampled_from(
        ["", "1", "-1", "2.0", "1e3", "STOP", "stop", "9" * 30, "c2ln", "-__-8A==", "3s"]
    )
    | st.sampled_from(
        ["2026-03-01T09:00:00Z", "2026-03-01T09:00:00+25:00", "0000-00-00T00:00:00Z"]
    ),
)


def keys_of(descriptor: Descriptor, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of members anywhere below a message, in both spellings."""
    if descriptor.full_name in seen:
        return set()
    found: set[str] = set()
    for field in descriptor.fields:
        bare = field.json_name.removesuffix("Json")
        found |= {field.name, field.json_name, bare, field.name.removesuffix("_json")}
        if field.message_type:
            found |= keys_of(field.message_type, seen | {descriptor.full_name})
    return found


def json_like(keys: set[str]) -> st.SearchStrategy[Any]:
    """Return arbitrary JSON objects whose members often have the names of known ones."""
    names = st.sampled_from(sorted(keys)) | TEXT
    values = st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )
    return st.dictionaries(names, values, max_size=6)


def shaped_like(descriptor: Descriptor, depth: int = 4) -> st.SearchStrategy[Any]:
    """Return JSON objects of a message's shape whose leaves may be of any kind."""

    def value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
        kind = field.message_type
        if kind and not kind.full_name.startswith("google.") and depth:
            inner = shaped_like(kind, depth - 1)
            return st.lists(inner, max_size=2) if field.is_repeated else inner
        return st.lists(SCALARS, max_size=2) if field.is_repeated else SCALARS

    members = {field.json_name: value(field) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=members)


INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-1, 40),
}
JSON_TEXTS = st.sampled_from(
    ["{}", '{"a": 1}', "[]", "5", '"x"', "null", "{", "", "NaN", "[" * 5_000]
)


WORDS = ["user", "system", "assistant", "tool", "model", "gemini-2.5-flash", "files/a"]
WORDS += ["text/plain"]


def scalar(field: FieldDescriptor, *, valid: bool) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if kind in INTEGER_RANGES:
        least, most = INTEGER_RANGES[kind]
        if kind == FieldDescriptor.CPPTYPE_ENUM and valid:
            return st.sampled_from([value.number for value in field.enum_type.values])
        return st.integers(least, most) | st.integers(max(least, -3), 9)
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.floats(allow_nan=not valid, allow_infinity=not valid) | st.floats(0, 1)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=10)
    if field.name.endswith(("_json", "_json_schema")):
        return st.just('{"a":1}') if valid else JSON_TEXTS
    words = [
        "user",
        "system",
        "assistant",
        "tool",
        "model",
        "gemini-2.5-flash",
        "files/a",
        "text/plain",
    ]
    return TEXT | st.sampled_from(words)


@st.composite
def messages(
    draw: Any,
    kind: type[Message],
    *,
    depth: int = 5,
    valid: bool = False,
    skip: Callable[[FieldDescriptor], bool] = lambda _: False,
) -> Any:
    """Build any message of a type; a valid one has only values that JSON has a form for."""
    message = kind()
    _fill(draw, message, depth, valid, skip)
    return message


def _fill(draw: Any, message: Message, depth: int, valid: bool, skip: Any) -> None:
    name = message.DESCRIPTOR.full_name
    if valid and name in TIMES:
        message.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
        # The nanoseconds of a duration have its seconds' sign; 0 has either.
        message.nanos = draw(st.integers(0, 999_999_999)) if message.seconds >= 0 else 0
        return
    fields = [f for f in message.DESCRIPTOR.fields if not skip(f)]
    if not fields:
        return
    for field in draw(st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda f: f.name)):
        if field.message_type and field.message_type.GetOptions().map_entry:
            _fill_map(draw, getattr(message, field.name), field, depth, valid, skip)
        elif field.message_type:
            if depth <= 0:
                continue
            if field.is_repeated:
                for _ in range(draw(st.integers(0, 2))):
                    _fill(draw, getattr(message, field.name).add(), depth - 1, valid, skip)
            else:
                getattr(message, field.name).SetInParent()
                _fill(draw, getattr(message, field.name), depth - 1, valid, skip)
        elif field.is_repeated:
            values = draw(st.lists(scalar(field, valid=valid), max_size=3))
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, draw(scalar(field, valid=valid)))


def _fill_map(
    draw: Any, target: Any, field: FieldDescriptor, depth: int, valid: Any, skip: Any
) -> None:
    value = field.message_type.fields_by_name["value"]
    for key in draw(st.lists(TEXT, max_size=2)):
        if value.message_type:
            target.get_or_create(key)
            _fill(draw, target[key], depth - 1, valid, skip)
        else:
            target[key] = draw(scalar(value, valid=valid))


# ---------------------------------------------------------------------------- requests

REQUESTS: dict[str, tuple[type[Message], Callable[[Any], UpstreamRequest]]] = {
    "chat": (
        pb.ChatWithContextRequest,
        lambda r: chat_prompt(r, LIMITS, stream=True).direct_request,
    ),
    "complete": (
        pb.ChatWithContextRequest,
        lambda r: chat_prompt(r, LIMITS, stream=False).direct_request,
    ),
    "create": (pb.CreateContextRequest, lambda r: create_context_request(r, LIMITS, NOW)),
    "generate": (
        pb.GenerateContentRequest,
        lambda r: generate_prompt(r, LIMITS, stream=False).direct_request,
    ),
    "stream": (
        pb.GenerateContentRequest,
        lambda r: generate_prompt(r, LIMITS, stream=True).direct_request,
    ),
    "count": (pb.CountTokensRequest, lambda r: count_tokens_prompt(r, LIMITS).direct_request),
    "create cached": (
        pb.CreateCachedContentRequest,
        lambda r: create_cached_content_request(r, LIMITS),
    ),
    "update cached": (pb.UpdateCachedContentRequest, update_cached_content_request),
    "upload": (pb.UploadFileMetadata, start_upload_request),
    "get cached": (
        pb.GetCachedContentRequest,
        lambda r: resource_request("GET", r.name, "cachedContents"),
    ),
    "delete file": (pb.DeleteFileRequest, lambda r: resource_request("DELETE", r.name, "files")),
    "list files": (
        pb.ListFilesRequest,
        lambda r: list_request("files", r.page_size, r.page_token, 100),
    ),
}


def translated(translate: Callable[[Any], UpstreamRequest], request: Message) -> Any:
    """Return the upstream request, or the violations of the refusal."""
    try:
        return translate(request)
    except BridgeError as error:
        return error


def assert_translated(asked: Any) -> None:
    if isinstance(asked, BridgeError):
        assert asked.reason == pb.ERROR_REASON_REQUEST_INVALID
        assert asked.violations
        assert all(v.field and v.description for v in asked.violations)
        return
    assert asked.path.startswith("/")
    assert (asked.path + asked.query).isascii()
    assert (asked.path + asked.query).isprintable()
    assert not {".", ".."} & {*asked.path.split("/")}
    if asked.body:
        assert isinstance(json.loads(asked.body, parse_constant=pytest.fail), dict)


@pytest.mark.parametrize("name", REQUESTS)
@SOME
@given(data=st.data())
def test_any_request_is_translated_or_refused_with_its_violations(name: str, data: Any) -> None:
    # Arrange
    kind, translate = REQUESTS[name]
    request = data.draw(messages(kind))
    before = request.SerializeToString(deterministic=True)

    # Act
    asked = translated(translate, request)

    # Assert
    assert_translated(asked)
    assert request.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", REQUESTS)
@SOME
@given(data=st.data())
def test_a_request_that_works_with_anything_changed_is_translated_or_refused(
    name: str, data: Any
) -> None:
    # Arrange
    kind, translate = REQUESTS[name]
    request = kind()
    request.CopyFrom(WORKING[name])
    assert isinstance(translated(translate, request), UpstreamRequest)
    request.MergeFrom(data.draw(messages(kind, depth=3)))

    # Act
    asked = translated(translate, request)

    # Assert
    assert_translated(asked)


USER = pb.Content(role="user", parts=[pb.Part(text="Hi")])
HELLO = pb.ChatMessage(role="user", content="Hi")
CACHED = pb.CachedContent(model="gemini-2.5-flash", contents=[USER])
OUTCOME = pb.ContextOutcome(id="c")
CHAT = pb.ChatWithContextRequest(context_id="ctx-1", model="m", messages=[HELLO])
GENERATE = pb.GenerateContentRequest(model="gemini-2.5-flash", contents=[USER])
PROLONGED = pb.CachedContent(name="cachedContents/c")
PROLONGED.ttl.seconds = 60
WORKING: dict[str, Message] = {
    "chat": CHAT,
    "complete": CHAT,
    "create": pb.CreateContextRequest(model="m", messages=[HELLO]),
    "generate": GENERATE,
    "stream": GENERATE,
    "count": pb.CountTokensRequest(model="gemini-2.5-flash", contents=[USER]),
    "create cached": pb.CreateCachedContentRequest(cached_content=CACHED),
    "update cached": pb.UpdateCachedContentRequest(cached_content=PROLONGED),
    "upload": pb.UploadFileMetadata(mime_type="text/plain", size_bytes=1),
    "get cached": pb.GetCachedContentRequest(name="cachedContents/c"),
    "delete file": pb.DeleteFileRequest(name="files/f"),
    "list files": pb.ListFilesRequest(),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_empty_request_is_translated_or_refused(name: str) -> None:
    # Arrange
    kind, translate = REQUESTS[name]

    # Act
    asked = translated(translate, kind())

    # Assert
    assert_translated(asked)


# ---------------------------------------------------------------------------- answers

KINDS = [pb.GenerateContentResponse, pb.CountTokensResponse, pb.CachedContent, pb.File]
KINDS += [pb.ListCachedContentsResponse, pb.ListFilesResponse]


def answers_of(kind: type[Message]) -> st.SearchStrategy[Any]:
    return json_like(keys_of(kind.DESCRIPTOR)) | shaped_like(kind.DESCRIPTOR)


def assert_malformed(error: BridgeError) -> None:
    assert error.reason in (
        pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
        pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY,
    )


def failure_of(read: Callable[[], Any]) -> BridgeError | None:
    try:
        read()
    except BridgeError as error:
        return error
    return None


@pytest.mark.parametrize("kind", KINDS)
@SOME
@given(data=st.data())
def test_any_json_becomes_a_message_or_is_malformed(kind: type[Message], data: Any) -> None:
    # Arrange
    value = data.draw(answers_of(kind))

    # Act
    failure = failure_of(lambda: from_json(value, kind).SerializeToString())

    # Assert
    if failure is not None:
        assert_malformed(failure)


def test_json_that_is_nested_without_end_is_malformed() -> None:
    # Arrange
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"items": schema}
    value = {"tools": [{"functionDeclarations": [{"parameters": schema}]}]}

    # Act
    failure = failure_of(lambda: from_json(value, pb.CachedContent))

    # Assert
    assert failure is not None
    assert_malformed(failure)


CHAT_KEYS = {"id", "object", "created", "model", "choices", "usage", "index", "delta", "message"}
CHAT_KEYS |= {"role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls"}
CHAT_KEYS |= {
    "function",
    "function_call",
    "name",
    "arguments",
    "finish_reason",
    "logprobs",
    "token",
}
CHAT_KEYS |= {"logprob", "bytes", "top_logprobs", "prompt_tokens", "total_tokens", "ttl", "mode"}
CHAT_KEYS |= {"prompt_tokens_details", "truncation_strategy", "service_tier", "error", "type"}
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.none() | TEXT,
        "reasoning_content": TEXT,
        "refusal": st.none() | TEXT,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 2)},
                optional={
                    "id": TEXT,
                    "function": st.fixed_dictionaries(
                        {}, optional={"name": TEXT, "arguments": TEXT}
                    ),
                },
            ),
            max_size=2,
        ),
        "unknown": SCALARS,
    },
)
CHOICE = st.fixed_dictionaries(
    {"delta": DELTA},
    optional={
        "index": st.integers(0, 2),
        "finish_reason": st.none() | st.sampled_from(["stop", "length", "new_word"]),
        "logprobs": st.none()
        | st.just({"content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]}),
    },
)
CHUNK = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2)},
    optional={
        "id": TEXT,
        "created": st.integers(0, 2**40),
        "usage": st.none() | st.just({"total_tokens": 3}),
        "service_tier": TEXT,
    },
)
CHAT_JSON = json_like(CHAT_KEYS)


@SOME
@given(CHAT_JSON | CHUNK)
@example({"id": "x", "ttl": 2**62})
@example({"id": "x", "ttl": -(2**62)})
def test_any_json_becomes_a_context_or_is_malformed(value: Any) -> None:
    # Arrange
    request = pb.CreateContextRequest(model="m")

    # Act
    failure = failure_of(lambda: context_created(value, request, NOW).SerializeToString())

    # Assert
    if failure is not None:
        assert_malformed(failure)


@SOME
@given(CHAT_JSON | CHUNK)
@example({"choices": [{"logprobs": {"content": [{"logprob": 10**400}]}}]})
def test_any_json_becomes_a_chat_answer_or_is_malformed(value: Any) -> None:
    # Act
    failure = failure_of(lambda: chat_answer(value, CHAT, 5, OUTCOME).SerializeToString())

    # Assert
    if failure is not None:
        assert_malformed(failure)


@SOME
@given(answers_of(pb.GenerateContentResponse))
def test_any_json_becomes_a_gemini_answer_or_is_malformed(value: Any) -> None:
    # Act
    failure = failure_of(lambda: gemini_answer(value, GENERATE, 5, OUTCOME).SerializeToString())

    # Assert
    if failure is not None:
        assert_malformed(failure)


@SOME
@given(st.text(max_size=80) | st.sampled_from(["http://[", "/upload/v1beta/x", "http://h/upload"]))
def test_any_upload_address_is_taken_below_the_prefix_or_is_malformed(address: str) -> None:
    # Act
    failure = failure_of(lambda: upload_location({"x-goog-upload-url": address}, "/upload/v1beta"))

    # Assert
    if failure is not None:
        assert_malformed(failure)


# ---------------------------------------------------------------------------- streams

TRUNCATED = (
    pb.ERROR_REASON_UPSTREAM_STREAM_TRUNCATED,
    pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY,
    pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED,
)


def decoded(decoder: Any, batches: list[list[Any]]) -> tuple[list[Any], BridgeError | None]:
    events: list[Any] = []

    def read() -> Iterator[Any]:
        for batch in batches:
            yield from decoder.decode(batch)
        yield from decoder.finish(OUTCOME)

    def collect() -> None:
        for event in read():
            events.append(event)  # noqa: PERF402 - what came before a failure counts

    return events, failure_of(collect)


@SOME
@given(st.lists(st.lists(CHUNK | CHUNK | CHUNK | CHAT_JSON, max_size=4), max_size=5))
def test_any_chunks_keep_the_promises_of_a_chat_stream(batches: list[list[Any]]) -> None:
    # Act
    events, failure = decoded(ChatStreamDecoder(CHAT, 5), batches)

    # Assert
    kinds = [event.WhichOneof("event") for event in events]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert all(kinds)
    assert kinds.count("started") == min(1, len(kinds))
    assert kinds[:1] in ([], ["started"])
    assert kinds.count("completed") == (failure is None)
    assert failure is not None or kinds[-1] == "completed"
    assert failure is None or failure.reason in TRUNCATED
    finished = [e.choice_finished.index for e in events if e.HasField("choice_finished")]
    assert len(finished) == len(set(finished))


@SOME
@given(st.lists(CHUNK, max_size=8), st.lists(st.integers(0, 8), max_size=4))
def test_a_chat_streams_text_does_not_depend_on_its_batches(
    chunks: list[Any], cuts: list[int]
) -> None:
    # Arrange
    edges = sorted({0, len(chunks), *(min(c, len(chunks)) for c in cuts)})
    batches = [chunks[a:b] for a, b in pairwise(edges)]

    # Act
    together = texts_of(decoded(ChatStreamDecoder(CHAT, 5), [chunks])[0])
    apart = texts_of(decoded(ChatStreamDecoder(CHAT, 5), batches)[0])

    # Assert
    assert together == apart
    assert together == texts_in(chunks)


def texts_of(events: list[Any]) -> dict[Any, str]:
    texts: dict[Any, str] = {}
    for event in events:
        kind = event.WhichOneof("event")
        if kind in ("content", "reasoning", "refusal"):
            delta = getattr(event, kind)
            texts[delta.index, kind] = texts.get((delta.index, kind), "") + delta.text
    return {key: text for key, text in texts.items() if text}


def texts_in(chunks: list[Any]) -> dict[Any, str]:
    texts: dict[Any, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        for member, kind in (
            ("content", "content"),
            ("reasoning_content", "reasoning"),
            ("refusal", "refusal"),
        ):
            key = (choice.get("index", 0), kind)
            texts[key] = texts.get(key, "") + (choice["delta"].get(member) or "")
    return {key: text for key, text in texts.items() if text}


GEMINI_CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(
            st.fixed_dictionaries(
                {"content": st.just({"parts": [{"text": "a"}]})},
                optional={
                    "index": st.integers(0, 2),
                    "finishReason": st.sampled_from(["STOP", "NEW", "FINISH_REASON_UNSPECIFIED"]),
                },
            ),
            max_size=2,
        ),
        "usageMetadata": st.just({"totalTokenCount": 3}),
        "promptFeedback": st.just({"blockReason": "SAFETY"}) | st.just({}),
    },
)


@SOME
@given(
    st.lists(
        st.lists(
            GEMINI_CHUNK | GEMINI_CHUNK | GEMINI_CHUNK | answers_of(pb.GenerateContentResponse),
            max_size=4,
        ),
        max_size=5,
    )
)
def test_any_chunks_keep_the_promises_of_a_gemini_stream(batches: list[list[Any]]) -> None:
    # Act
    events, failure = decoded(GeminiStreamDecoder(GENERATE, 5), batches)

    # Assert
    billed = [event.HasField("billed_usage") for event in events]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert billed.count(True) == (failure is None)
    assert failure is not None or billed[-1]
    assert failure is None or failure.reason in TRUNCATED
    chunks = sum(map(len, batches))
    assert failure is None or len(events) <= chunks
    assert failure is not None or len(events) == chunks


def test_a_chunk_after_the_finish_reason_does_not_open_its_candidate_again() -> None:
    # Arrange
    ended = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    late = {"candidates": [{"index": 0}], "usageMetadata": {"totalTokenCount": 3}}

    # Act
    events, failure = decoded(GeminiStreamDecoder(GENERATE, 5), [[ended], [late]])

    # Assert
    assert failure is None
    assert [event.sequence for event in events] == [1, 2]
    assert events[-1].billed_usage.total_tokens == 3


def test_a_malformed_chunk_takes_nothing_with_it() -> None:
    # Arrange
    ended = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}

    # Act
    events, failure = decoded(GeminiStreamDecoder(GENERATE, 5), [[ended], [{"candidates": 5}]])

    # Assert
    assert failure is not None
    assert [event.candidates[0].content.parts[0].text for event in events] == ["a"]


# ---------------------------------------------------------------------------- Gemini's JSON


def is_our_own(field: FieldDescriptor) -> bool:
    """Tell fields that json_format treats otherwise: JSON text, words of enums, ours alone."""
    return (
        field.name.endswith(("_json", "_json_schema", "_raw"))
        or field.cpp_type == FieldDescriptor.CPPTYPE_ENUM
        or field.containing_type.full_name == "google.protobuf.Struct"
        or (
            field.containing_type.name in ("GenerateContentRequest", "GenerateContentResponse")
            and field.name in OURS
        )
    )


OURS = {"model", "extra_body", "response_cache", "customer", "idempotency_key", "resume_after"}
OURS |= {"sequence", "billed_usage", "context"}
GEMINI_KINDS = [pb.GenerateContentRequest, pb.GenerateContentResponse, pb.CachedContent, pb.File]
GEMINI_KINDS += [pb.CountTokensRequest, pb.CountTokensResponse]


def written(message: Message) -> Any:
    violations = Violations()
    body = to_json(message, violations)
    violations.raise_if_any()
    return json.loads(msgspec.json.encode(body))


@pytest.mark.parametrize("kind", GEMINI_KINDS)
@SOME
@given(data=st.data())
def test_a_message_is_written_as_json_format_writes_it(kind: type[Message], data: Any) -> None:
    # Arrange
    message = data.draw(messages(kind, valid=True, skip=is_our_own))

    # Act
    ours = written(message)

    # Assert
    assert ours == json.loads(json_format.MessageToJson(message))


@pytest.mark.parametrize("kind", GEMINI_KINDS)
@SOME
@given(data=st.data())
def test_what_json_format_writes_is_read_back(kind: type[Message], data: Any) -> None:
    # Arrange
    message = data.draw(messages(kind, valid=True, skip=is_our_own))
    camel = json.loads(json_format.MessageToJson(message))
    snake = json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))

    # Act
    read = [from_json(camel, kind), from_json(snake, kind)]

    # Assert
    assert read == [message, message]


@pytest.mark.parametrize("kind", GEMINI_KINDS)
@SOME
@given(data=st.data())
def test_what_is_written_is_read_back(kind: type[Message], data: Any) -> None:
    # Arrange: JSON text comes back in one spelling, so it is given in that one.
    def is_not_written(field: FieldDescriptor) -> bool:
        return (
            is_our_own(field) and not field.name.endswith(("_json", "_json_schema"))
        ) or field.name == "extra_json"

    message = data.draw(messages(kind, valid=True, skip=is_not_written))

    # Act
    read = from_json(written(message), kind)

    # Assert
    assert read == message


MEMBERS = [
    (kind, field)
    for kind in (pb.File, pb.SafetyRating, pb.GroundingSupport, pb.UsageMetadata, pb.VideoMetadata)
    for field in kind.DESCRIPTOR.fields
    if not is_our_own(field)
    and (field.message_type is None or field.message_type.full_name in TIMES)
]


@settings(SOME, max_examples=500)
@given(st.sampled_from(MEMBERS), SCALARS | st.lists(SCALARS, max_size=2))
def test_a_member_that_json_format_takes_is_read_as_it_reads_it(
    member: tuple[type[Message], FieldDescriptor], value: Any
) -> None:
    # Arrange: json_format takes truth values as numbers and skips what is no base64; we refuse.
    kind, field = member
    values = value if isinstance(value, list) else [value]
    is_refused = any(isinstance(v, bool) for v in values) and (
        field.type != FieldDescriptor.TYPE_BOOL
    )
    if is_refused or field.type == FieldDescriptor.TYPE_BYTES:
        return
    try:
        theirs = json_format.ParseDict({field.json_name: value}, kind())
    except (json_format.ParseError, OverflowError):
        return

    # Act
    ours = from_json({field.json_name: value}, kind)

    # Assert
    assert ours == theirs


@pytest.mark.parametrize(
    "written, number", [(7, 7), ("7", 7), (7.0, 7), ("7.0", 7), ("7e2", 700), (-0.0, 0)]
)
def test_a_whole_number_is_read_in_every_spelling(written: Any, number: int) -> None:
    # Act
    read = from_json({"sizeBytes": written}, pb.File)

    # Assert
    assert read.size_bytes == number


@pytest.mark.parametrize("wrong", [True, 7.5, "7.5", "seven", [], {}, 2**63, "inf", 1e300])
def test_what_is_no_whole_number_is_malformed(wrong: Any) -> None:
    # Act
    failure = failure_of(lambda: from_json({"sizeBytes": wrong}, pb.File))

    # Assert
    assert failure is not None
    assert_malformed(failure)


@SOME
@given(st.binary(max_size=20), st.booleans(), st.booleans())
def test_base64_is_read_in_either_alphabet_padded_or_not(
    data: bytes, url_safe: bool, padded: bool
) -> None:
    # Arrange
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(data).decode()

    # Act
    read = from_json({"sha256Hash": text if padded else text.rstrip("=")}, pb.File)

    # Assert
    assert read.sha256_hash == data


UNKNOWN = st.dictionaries(st.sampled_from(["new", "newWord", "x"]), st.integers(0, 5), min_size=1)


@SOME
@given(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
def test_unknown_members_are_kept_with_their_path(
    top: Any, in_candidate: Any, in_content: Any, in_part: Any
) -> None:
    # Arrange
    part = {"text": "a", **in_part}
    content = {"role": "model", "parts": [{"text": "b"}, part], **in_content}
    value = {"candidates": [{"content": content, **in_candidate}], **top}

    # Act
    read = from_json(value, pb.GenerateContentResponse)

    # Assert
    (candidate,) = read.candidates
    plain_part, odd_part = candidate.content.parts
    assert json.loads(read.extra_json) == top
    # Content has no field for them, so they are told by its candidate, with their path.
    assert json.loads(candidate.extra_json) == {"content": in_content, **in_candidate}
    assert json.loads(odd_part.extra_json) == in_part
    assert plain_part.extra_json == ""


def test_unknown_members_of_lists_keep_their_places() -> None:
    # Arrange
    details = [{"modality": "TEXT"}, {"modality": "IMAGE", "new": 1}]

    # Act
    read = from_json({"promptTokensDetails": details}, pb.UsageMetadata)

    # Assert
    assert json.loads(read.extra_json) == {"promptTokensDetails": [{}, {"new": 1}]}


def test_json_text_keeps_whole_numbers_and_the_order_of_keys() -> None:
    # Arrange
    args = {"z": 1, "a": 2.0, "n": 2**60, "m": [None, {"y": 1, "b": 2}]}
    value = {"functionCall": {"name": "f", "args": args}}

    # Act
    read = from_json(value, pb.Part)

    # Assert
    assert (
        read.function_call.args_json
        == '{"z":1,"a":2.0,"n":1152921504606846976,"m":[null,{"y":1,"b":2}]}'
    )
    assert msgspec.json.encode(to_json(read, Violations())) == (
        b'{"functionCall":{"name":"f","args":' + read.function_call.args_json.encode() + b"}}"
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_is_a_violation_with_its_path(number: float) -> None:
    # Arrange
    request = pb.GenerateContentRequest()
    schema = request.generation_config.response_schema
    schema.properties["a"].items.minimum = number
    violations = Violations()

    # Act
    to_json(request, violations)

    # Assert
    failure = failure_of(violations.raise_if_any)
    assert failure is not None
    (violation,) = failure.violations
    assert violation.field == "generation_config.response_schema.properties[a].items.minimum"


# ---------------------------------------------------------------------------- Reader

READS: dict[str, Callable[[Reader], Any]] = {
    "text": lambda r: r.text("k"),
    "integer": lambda r: r.integer("k"),
    "count": lambda r: r.count("k"),
    "number": lambda r: r.number("k"),
    "flag": lambda r: r.flag("k"),
    "members": lambda r: r.members("k").rest(),
    "items": lambda r: [item.rest() for item in r.items("k")],
    "integers": lambda r: r.integers("k"),
}
ZEROS = {"text": "", "integer": 0, "count": 0, "number": 0.0, "flag": False}
ZEROS |= {"members": {}, "items": [], "integers": []}


@pytest.mark.parametrize("name", READS)
@SOME
@given(value=SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXT, SCALARS))
@example(value=10**400)
@example(value=-(10**400))
@example(value=math.nan)
def test_a_reader_takes_a_member_of_the_right_kind_or_says_it_is_malformed(
    name: str, value: Any
) -> None:
    # Arrange
    reader = Reader({"k": value, "other": 1}, "answer")

    # Act
    failure = failure_of(lambda: READS[name](reader))

    # Assert
    if failure is not None:
        assert_malformed(failure)
        assert "answer.k" in failure.message
    assert reader.rest() == {"other": 1}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("value", [{}, {"k": None}])
def test_a_member_that_is_missing_or_null_reads_as_zero(name: str, value: Any) -> None:
    # Arrange
    reader = Reader(value, "answer")

    # Act
    read = READS[name](reader)

    # Assert
    assert read == ZEROS[name]
    assert not reader.has("k")
    assert reader.rest() == {}


@pytest.mark.parametrize("value", [3600, "3600", 3600.0])
def test_a_whole_number_may_be_text(value: Any) -> None:
    # Act
    read = Reader({"ttl": value}, "answer").integer("ttl")

    # Assert
    assert read == 3600
