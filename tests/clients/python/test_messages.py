"""What callers may write in place of messages, and what is refused."""

import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from contextbridge import CachedContentOptions, ChatOptions, ContextOptions, GenerateOptions
from contextbridge import v1 as pb
from contextbridge._messages import (
    chat_messages,
    duration,
    gemini_contents,
    struct,
    timestamp,
)

MESSAGE = pb.ChatMessage(role="tool", tool_call_id="t", content="4")
CONTENT = pb.Content(role="user", parts=[pb.Part(text="Hi")])


@pytest.mark.parametrize(
    "written, roles",
    [
        ("Hi", ["user"]),
        (MESSAGE, ["tool"]),
        (["Hi"], ["user"]),
        (("Hi",), ["user"]),
        (["Hi", "you"], ["user", "user"]),
        ([("system", "Be brief."), "Hi", MESSAGE], ["system", "user", "tool"]),
        ((("system", "Be brief."), "Hi"), ["system", "user"]),
        ([], []),
    ],
)
def test_messages(written: Any, roles: list[str]) -> None:
    assert [message.role for message in chat_messages(written)] == roles


@pytest.mark.parametrize("written", ["Hi", CONTENT, ["Hi"], [("user", "Hi")], [CONTENT]])
def test_contents(written: Any) -> None:
    assert gemini_contents(written) == [CONTENT]


@pytest.mark.parametrize("make", [chat_messages, gemini_contents])
@pytest.mark.parametrize("written", [[1], [("a", "b", "c")], [("a", 1)], [None]])
def test_what_is_no_message_is_refused(make: Any, written: Any) -> None:
    with pytest.raises(TypeError, match="pair"):
        make(written)


@pytest.mark.parametrize("make", [chat_messages, gemini_contents])
def test_a_bare_pair_is_refused_because_it_could_be_two_messages(make: Any) -> None:
    with pytest.raises(TypeError, match=r"goes into a list: \[\('system', 'Be brief.'\)\]"):
        make(("system", "Be brief."))


def test_times_keep_their_zone() -> None:
    east = timezone(timedelta(hours=2))
    made = timestamp(datetime(2026, 1, 2, 14, tzinfo=east))
    assert made is not None
    assert made.ToDatetime(UTC) == datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2026, 1, 2))  # noqa: DTZ001 - What is refused.


def test_none_stays_none() -> None:
    assert (duration(None), timestamp(None), struct(None)) == (None, None, None)


@pytest.mark.parametrize(
    "value", [2**53 + 1, {"a": [1, {"b": -(2**60)}]}, float("inf"), [float("nan")]]
)
def test_numbers_that_a_struct_would_change_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        struct({"x": value})


def test_numbers_that_a_struct_keeps_are_taken() -> None:
    made = struct({"x": 2**53, "y": True, "z": [1.5, None]})
    assert made is not None
    assert made["x"] == 2**53


@pytest.mark.parametrize(
    "options, request_type, besides",
    [
        (ContextOptions, pb.CreateContextRequest, {"model", "messages"}),
        (ChatOptions, pb.ChatWithContextRequest, {"context_id", "model", "messages"}),
        (GenerateOptions, pb.GenerateContentRequest, {"model", "contents"}),
    ],
)
def test_the_keywords_are_the_fields_of_the_request(
    options: Any, request_type: Any, besides: set[str]
) -> None:
    keywords = set(typing.get_type_hints(options))
    assert keywords | besides == set(request_type.DESCRIPTOR.fields_by_name)


def test_the_keywords_of_a_cached_content_are_its_input_fields() -> None:
    output = {"name", "create_time", "update_time", "usage_metadata", "extra_json"}
    fields = set(pb.CachedContent.DESCRIPTOR.fields_by_name) - output
    keywords = set(typing.get_type_hints(CachedContentOptions))
    assert keywords | {"model", "contents"} == fields | {"extra_body"}
