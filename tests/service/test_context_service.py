"""Contexts and chats, end to end: real channel, real bridge, real sockets to the emulator."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from contextbridge import v1 as pb

MODEL = "Doubao-1.5-pro-32k"
TIDE = pb.ChatTool(
    function=pb.ChatFunction(
        name="tide",
        description="Tells the tide.",
        parameters_json='{"type":"object","properties":{"port":{"type":"string"}}}',
    )
)


async def collect(stream):
    return [event async for event in stream]


def text_of(events, kind="content", index=0):
    return "".join(
        getattr(event, kind).text
        for event in events
        if event.WhichOneof("event") == kind and getattr(event, kind).index == index
    )


async def test_a_created_ark_context_says_what_upstream_granted(contexts):
    request = pb.CreateContextRequest(
        model=MODEL,
        messages=[pb.ChatMessage(role="system", content="You keep the lighthouse.")],
        mode=pb.CONTEXT_MODE_SESSION,
        ttl=Duration(seconds=3600),
        truncation_strategy=pb.TruncationStrategy(
            type="last_history_tokens", last_history_tokens=2048
        ),
        display_name="keeper",
    )

    created = await contexts.CreateContext(request)

    context = created.context
    assert context.id.startswith("context-")
    assert context.upstream_id.startswith("ctx-")
    assert context.model == MODEL
    assert context.mode == pb.CONTEXT_MODE_SESSION
    assert context.state == pb.CONTEXT_STATE_WARM
    assert context.display_name == "keeper"
    assert context.truncation_strategy.last_history_tokens == 2048
    assert context.ttl.seconds == 3600
    life = context.expire_time.ToDatetime() - context.create_time.ToDatetime()
    assert life == timedelta(hours=1)
    assert created.usage.prompt_tokens == context.usage.prompt_tokens > 0
    assert not created.reused


async def test_a_created_gemini_context_carries_a_cached_content_name(create):
    context = await create("gemini-2.5-flash", "Trim the lamps. " * 600, ttl=Duration(seconds=300))

    assert context.upstream_id.startswith("projects/")
    assert "/cachedContents/" in context.upstream_id
    assert context.model == "gemini-2.5-flash"
    assert context.usage.cache_creation_tokens == context.usage.prompt_tokens > 0
    assert context.usage.total_tokens == 0
    assert context.ttl.seconds == 300


async def test_an_expire_time_goes_upstream_as_seconds_from_now(create, emulator):
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(hours=2))

    await create(expire_time=moment)

    assert 7190 <= emulator.requests[-1].json["ttl"] <= 7200


async def test_the_key_goes_upstream_as_a_bearer_token_with_the_calls_id(contexts, emulator):
    request = pb.CreateContextRequest(
        model="m", messages=[pb.ChatMessage(role="user", content="a")]
    )

    await contexts.CreateContext(request, metadata=(("x-request-id", "order-7"),))

    headers = emulator.requests[-1].headers
    assert headers["authorization"] == "Bearer sk-test"
    assert headers["x-client-request-id"] == "order-7"
    assert "x-goog-api-key" not in headers


async def test_a_stream_starts_once_finishes_once_and_depends_on_the_context(
    create, contexts, chat_request
):
    context = await create(prefix="You keep the lighthouse at Oban.")

    events = await collect(contexts.ChatWithContext(chat_request(context, "Who are you?")))

    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "completed"
    assert kinds.count("started") == kinds.count("completed") == 1
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert "lighthouse at Oban" in text_of(events)
    completed = events[-1].completed
    assert completed.usage.cached_tokens > 0
    assert completed.billed_usage == completed.usage
    assert completed.context.id == context.id
    assert not completed.usage.estimated
    assert not events[0].started.resumable


async def test_the_unary_twin_gives_the_same_answer(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    request = chat_request(context, "Who are you?")

    events = await collect(contexts.ChatWithContext(request))
    answer = await contexts.CompleteChatWithContext(request)

    assert answer.choices[0].message.content == text_of(events)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_STOP
    assert answer.usage == events[-1].completed.usage
    assert answer.context.id == context.id


async def test_a_session_remembers_its_turns(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_SESSION)

    first = await contexts.CompleteChatWithContext(chat_request(context, "One."))
    second = await contexts.CompleteChatWithContext(chat_request(context, "Two."))

    assert "(turn 1)" in first.choices[0].message.content
    assert "(turn 2)" in second.choices[0].message.content
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


async def test_every_sampling_field_goes_upstream_under_its_own_name(
    create, contexts, chat_request, emulator
):
    context = await create()
    fields = {
        "temperature": 0.7,
        "top_p": 0.9,
        "n": 1,
        "max_tokens": 64,
        "presence_penalty": -1.5,
        "frequency_penalty": 1.5,
        "seed": 7,
        "user": "u-1",
        "service_tier": "auto",
        "logit_bias": {"50256": -100.0},
    }

    await contexts.CompleteChatWithContext(chat_request(context, stop=["\n", "END"], **fields))

    body = emulator.requests[-1].json
    assert {name: body[name] for name in fields} == fields
    assert body["stop"] == ["\n", "END"]
    assert body["context_id"] == context.upstream_id
    assert body["stream"] is False


async def test_a_stream_asks_for_usage(create, contexts, chat_request, emulator):
    context = await create()

    await collect(contexts.ChatWithContext(chat_request(context)))

    body = emulator.requests[-1].json
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


async def test_extra_body_goes_upstream_with_whole_numbers_as_integers(
    create, contexts, chat_request, emulator
):
    context = await create()
    request = chat_request(context)
    request.extra_body.update({"new_knob": 2, "ratio": 0.5, "nested": {"list": [1, "a", None]}})

    await contexts.CompleteChatWithContext(request)

    body = emulator.requests[-1].json
    assert json.dumps(body["new_knob"]) == "2"
    assert body["ratio"] == 0.5
    assert body["nested"] == {"list": [1, "a", None]}


async def test_choices_of_one_stream_are_told_apart(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)

    events = await collect(contexts.ChatWithContext(chat_request(context, n=2)))

    finished = [
        event.choice_finished.index
        for event in events
        if event.WhichOneof("event") == "choice_finished"
    ]
    assert sorted(finished) == [0, 1]
    assert text_of(events, index=0)
    assert text_of(events, index=1)


async def test_tool_calls_arrive_in_pieces_that_join_to_json(create, contexts, chat_request):
    context = await create("gemini-2.5-flash", "Trim the lamps. " * 600)
    request = chat_request(context, tools=[TIDE])
    request.tool_choice.function_name = "tide"

    events = await collect(contexts.ChatWithContext(request))
    answer = await contexts.CompleteChatWithContext(request)

    calls = [event.tool_call for event in events if event.WhichOneof("event") == "tool_call"]
    assert calls[0].name == "tide"
    assert calls[0].id
    joined = "".join(call.arguments_json for call in calls if call.call_index == 0)
    assert json.loads(joined) is not None
    assert answer.choices[0].message.tool_calls[0].arguments_json == joined
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS


async def test_logprobs_come_with_their_tokens(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    request = chat_request(context, "say: Fog.", logprobs=True, top_logprobs=2)

    events = await collect(contexts.ChatWithContext(request))
    answer = await contexts.CompleteChatWithContext(request)

    streamed = [t for event in events for t in event.content.logprobs]
    assert "".join(token.token for token in streamed) == "Fog."
    assert streamed == list(answer.choices[0].logprobs)
    assert all(len(token.top_logprobs) == 2 for token in streamed)


async def test_a_refusal_arrives_as_one(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)

    request = chat_request(context, model=f"{MODEL}+refusal")

    events = await collect(contexts.ChatWithContext(request))
    answer = await contexts.CompleteChatWithContext(request)

    assert text_of(events, "refusal")
    assert answer.choices[0].message.refusal == text_of(events, "refusal")


async def test_usage_is_estimated_where_upstream_counts_nothing(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)

    request = chat_request(context, "say: twelve chars", model=f"{MODEL}+no-usage")

    events = await collect(contexts.ChatWithContext(request))
    answer = await contexts.CompleteChatWithContext(request)

    for usage in (events[-1].completed.usage, answer.usage):
        assert usage.estimated
        assert usage.completion_tokens == 3
        assert usage.prompt_tokens > 0


@pytest.mark.parametrize(
    "fault", ["usage-on-finish", "no-done", "comments", "bom", "cr-only", "gzip", "utf8-split"]
)
async def test_a_harmless_oddity_changes_nothing(fault, create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    request = chat_request(context, model=f"{MODEL}+{fault}")

    events = await collect(contexts.ChatWithContext(request))
    answer = await contexts.CompleteChatWithContext(request)

    assert text_of(events) == answer.choices[0].message.content != ""
    assert events[-1].completed.usage == answer.usage


@pytest.mark.parametrize(
    "fault, text", [("huge-event", "x" * 300_000), ("u2028", "a\u2028b\u2029c\u0085d")]
)
async def test_odd_text_is_whole(fault, text, create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    request = chat_request(context, model=f"{MODEL}+{fault}")

    events = await collect(contexts.ChatWithContext(request))

    assert text_of(events).startswith(text)


async def test_ten_thousand_deltas_are_all_there_in_order(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)

    events = await collect(contexts.ChatWithContext(chat_request(context, "count to 10000")))

    assert text_of(events).split() == [str(number) for number in range(1, 10_001)]


async def test_a_whole_answer_where_a_stream_was_asked_for_is_streamed(
    literal_upstream, bridge, chat_request
):
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1772355300,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Fog.",
                    "tool_calls": [
                        {"id": "a", "function": {"name": "tide", "arguments": "{}"}},
                        {"id": "b", "function": {"name": "wind", "arguments": "{}"}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    request = chat_request(pb.Context(id="ctx-1", model=MODEL))
    async with literal_upstream(json.dumps(body).encode()) as url, bridge(url) as channel:
        events = await collect(pb.ContextServiceStub(channel).ChatWithContext(request))

    assert text_of(events) == "Fog."
    calls = [event.tool_call for event in events if event.HasField("tool_call")]
    assert [(call.call_index, call.id) for call in calls] == [(0, "a"), (1, "b")]
    assert events[-1].completed.usage.total_tokens == 5
