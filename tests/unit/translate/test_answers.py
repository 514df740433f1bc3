"""Rarer members of upstream's answers, in their places."""

import json
from datetime import UTC, datetime

import pytest

from contextbridge import v1 as pb
from contextbridge_server.translate.chat_answer import chat_answer
from contextbridge_server.translate.chat_stream import ChatStreamDecoder
from contextbridge_server.translate.contexts import context_created

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CALL = {"name": "tide", "arguments": '{"port":"Oban"}'}


def test_the_deprecated_function_call_is_a_tool_call_without_an_id():
    decoder = ChatStreamDecoder(pb.ChatWithContextRequest(), 0)
    chunk = {"id": "c", "choices": [{"delta": {"function_call": CALL}}]}
    answer = {"choices": [{"message": {"function_call": CALL}}]}

    events = list(decoder.decode([chunk]))
    whole = chat_answer(answer, pb.ChatWithContextRequest(), 0, pb.ContextOutcome())

    streamed = events[-1].tool_call
    (called,) = whole.choices[0].message.tool_calls
    assert (streamed.name, streamed.arguments_json) == (called.name, called.arguments_json)
    assert (streamed.id, streamed.call_index) == ("", 0)


def test_details_of_usage_that_we_do_not_know_are_kept():
    usage = {
        "prompt_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
        "completion_tokens_details": {"accepted_prediction_tokens": 4},
        "cost": 0.25,
    }

    answer = chat_answer(
        {"choices": [{"message": {}}], "usage": usage},
        pb.ChatWithContextRequest(),
        0,
        pb.ContextOutcome(),
    )

    assert answer.usage.cached_tokens == 1
    assert json.loads(answer.usage.extra_json) == {
        "prompt_tokens_details": {"audio_tokens": 2},
        "completion_tokens_details": {"accepted_prediction_tokens": 4},
        "cost": 0.25,
    }


def test_what_upstream_does_not_say_of_a_context_is_what_was_asked():
    request = pb.CreateContextRequest(model="m", mode=pb.CONTEXT_MODE_SESSION)
    request.ttl.seconds = 7200
    request.truncation_strategy.type = "rolling_tokens"

    context = context_created({"id": "ctx-1"}, request, NOW).context

    assert context.model == "m"
    assert context.mode == pb.CONTEXT_MODE_SESSION
    assert context.truncation_strategy == request.truncation_strategy
    assert context.expire_time.seconds - context.create_time.seconds == 7200


def test_what_upstream_says_of_a_context_counts():
    answer = {
        "id": "ctx-1",
        "ttl": "3600",
        "mode": "common_prefix",
        "truncation_strategy": {"type": "rolling_tokens", "rolling_tokens": False},
        "object": "context",
    }

    context = context_created(answer, pb.CreateContextRequest(model="m"), NOW).context

    assert context.mode == pb.CONTEXT_MODE_COMMON_PREFIX
    assert context.ttl.seconds == 3600
    assert context.truncation_strategy.HasField("rolling_tokens")
    assert not context.truncation_strategy.rolling_tokens
    assert json.loads(context.extra_json) == {"object": "context"}


@pytest.mark.parametrize("ttl", [10**15, 2**62])
def test_a_ttl_past_the_end_of_time_leaves_the_end_open(ttl):
    created = context_created({"id": "ctx-1", "ttl": ttl}, pb.CreateContextRequest(), NOW)

    assert not created.context.HasField("expire_time")
