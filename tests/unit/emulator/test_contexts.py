import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

LONG = "Lamps are trimmed at dusk, daily. " * 300


def message(text: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": text}


async def test_a_gemini_model_makes_a_cache(caller: Any) -> None:
    body = {"model": "gemini-2.5-flash", "messages": [message(LONG, "system")], "ttl": 300}
    made = (await caller.post("/v1/context/create", body)).json
    assert re.fullmatch(r"projects/\d+/locations/global/cachedContents/\d{19}", made["id"])
    tokens = made["usage"]["prompt_tokens"]
    assert tokens > 1024
    assert made == {
        "id": made["id"],
        "ttl": 300,
        "usage": {
            "prompt_tokens": tokens,
            "completion_tokens": 0,
            "total_tokens": 0,
            "cache_creation_input_tokens": tokens,
        },
    }


async def test_any_other_model_makes_a_context(caller: Any) -> None:
    body = {
        "model": "Doubao-1.5-pro-32k",
        "messages": [message("Be brief.", "system")],
        "ttl": 3600,
    }
    made = (await caller.post("/v1/context/create", body)).json
    assert re.fullmatch(r"ctx-\d{14}-[a-z0-9]{5}", made.pop("id"))
    assert made == {
        "model": "Doubao-1.5-pro-32k",
        "mode": "session",
        "ttl": 3600,
        "truncation_strategy": {"type": "last_history_tokens", "last_history_tokens": 4096},
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 0,
            "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


async def test_a_common_prefix_has_no_truncation(caller: Any) -> None:
    body = {"model": "echo", "mode": "common_prefix", "messages": [message("x")]}
    assert "truncation_strategy" not in (await caller.post("/v1/context/create", body)).json


@pytest.mark.parametrize(
    "change,code,param",
    [
        ({"model": None}, "MissingParameter.model", "model"),
        ({"model": 5}, "InvalidParameter.model", "model"),
        ({"messages": None}, "MissingParameter.messages", "messages"),
        ({"messages": []}, "InvalidParameter.messages", "messages"),
        ({"messages": ["x"]}, "InvalidParameter.messages", "messages"),
        ({"messages": [{"content": "x"}]}, "InvalidArgumentError.UnknownRole", "messages"),
        ({"messages": [message("x", "pirate")]}, "InvalidArgumentError.UnknownRole", "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "InvalidParameter.messages", "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
            "InvalidParameter.messages",
            "messages",
        ),
        ({"ttl": 3599}, "InvalidParameter.ttl", "ttl"),
        ({"ttl": 604801}, "InvalidParameter.ttl", "ttl"),
        ({"ttl": "3600"}, "InvalidParameter.ttl", "ttl"),
        ({"mode": "forever"}, "InvalidParameter.mode", "mode"),
        (
            {"mode": "common_prefix", "truncation_strategy": {"type": "rolling_tokens"}},
            "InvalidParameter.truncation_strategy",
            "truncation_strategy",
        ),
        (
            {"truncation_strategy": {"type": "x"}},
            "InvalidParameter.truncation_strategy",
            "truncation_strategy",
        ),
        ({"truncation_strategy": 5}, "InvalidParameter.truncation_strategy", "truncation_strategy"),
        (
            {"truncation_strategy": {"last_history_tokens": "x"}},
            "InvalidParameter.truncation_strategy",
            "truncation_strategy",
        ),
        (
            {"truncation_strategy": {"type": "rolling_tokens", "rolling_tokens": 1}},
            "InvalidParameter.truncation_strategy",
            "truncation_strategy",
        ),
    ],
)
async def test_faulty_contexts_are_refused(caller: Any, change: Any, code: str, param: str) -> None:
    body = {"model": "echo", "messages": [message("x")], **change}
    refusal = await caller.post("/v1/context/create", body)
    assert refusal.status == 400
    error = refusal.json["error"]
    assert (error["type"], error["code"], error["param"]) == ("BadRequest", code, param)
    assert error["message"].endswith(f" Request id: {refusal.headers['x-request-id']}")


async def test_an_unknown_model_is_not_found(caller: Any) -> None:
    body = {"model": "unknown-1", "messages": [message("x")]}
    refusal = await caller.post("/v1/context/create", body)
    assert refusal.status == 404
    assert refusal.code == "InvalidEndpointOrModel.NotFound"
    assert refusal.message.startswith(
        "The model or endpoint unknown-1 does not exist or you do not have access to it. Request "
    )


async def test_a_small_gemini_prefix_is_refused_as_the_gateway_relays_it(caller: Any) -> None:
    body = {"model": "gemini-2.5-flash", "messages": [message("small")]}
    refusal = await caller.post("/v1/context/create", body)
    assert refusal.status == 400
    assert refusal.message.startswith(
        "The cached content is of 1 tokens. The minimum token count to start explicit caching is "
        "1024. (request id: "
    )
    assert refusal.json["error"]["type"] == "upstream_error"


async def test_minimums_can_be_overridden(start: Callable[..., Any]) -> None:
    async with start(minimum_cache_tokens={"gemini-": 1024, "gemini-2.5": 1}) as caller:
        assert (await caller.create("gemini-2.5-flash")).startswith("projects/")
        body = {"model": "gemini-2.0-flash", "messages": [message("small")]}
        assert (await caller.post("/v1/context/create", body)).status == 400


async def test_a_session_grows_with_every_turn(caller: Any) -> None:
    context_id = await caller.create()
    first = (await caller.chat("first", context_id=context_id)).json
    assert first["choices"][0]["message"]["content"] == (
        'You said: "first". The context says: "Rules.". (turn 1)'
    )
    second = (await caller.chat("recall turn 1", context_id=context_id)).json
    assert second["choices"][0]["message"]["content"] == "first"
    cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached == first["usage"]["total_tokens"]


async def test_a_common_prefix_stays_as_it_was(caller: Any) -> None:
    context_id = await caller.create(mode="common_prefix")
    answers = [(await caller.chat("x", context_id=context_id)).json for _ in range(2)]
    assert answers[0]["choices"] == answers[1]["choices"]
    assert answers[0]["usage"] == answers[1]["usage"]


async def test_a_session_forgets_its_oldest_turns(caller: Any) -> None:
    context_id = await caller.create(
        truncation_strategy={"type": "last_history_tokens", "last_history_tokens": 4}
    )
    for text in ("say: one two", "say: three four"):
        await caller.chat(text, context_id=context_id)
    reply = (await caller.chat("recall turn 1", context_id=context_id)).json
    assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] <= 2 + 4


@pytest.mark.parametrize("rolling,outcome", [(True, 200), (False, 200)])
async def test_a_full_window_rolls_or_ends_for_length(
    caller: Any, rolling: bool, outcome: int
) -> None:
    context_id = await caller.create(
        truncation_strategy={"type": "rolling_tokens", "rolling_tokens": rolling}
    )
    big = "word " * 70_000
    await caller.chat(big, context_id=context_id, max_tokens=1)
    reply = await caller.chat(big, context_id=context_id, max_tokens=1)
    assert reply.status == outcome
    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert (reply.json["choices"][0]["message"]["content"] == "") is not rolling


async def test_a_prompt_beyond_the_window_is_refused(caller: Any) -> None:
    refusal = await caller.chat("word " * 140_000)
    assert (refusal.status, refusal.code) == (400, "OutofContextError")


async def test_a_session_serves_one_call_at_a_time(caller: Any) -> None:
    context_id = await caller.create()
    url = f"{caller.emulator.url}/v1/context/chat/completions"
    body = {
        "model": "echo+stall-midstream",
        "context_id": context_id,
        "messages": [message("count to 9")],
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {caller.key}"}
    async with caller.session.post(url, json=body, headers=headers) as running:
        assert (await running.content.readline()).startswith(b"data: ")
        refusal = await caller.chat("x", context_id=context_id)
        assert (refusal.status, refusal.code) == (403, "OperationDenied.InvalidState")
        assert "is in invalid state: InProgress." in refusal.message
        running.close()
    await caller.emulator.wait_for_open(0)
    answer = (await caller.chat("recall turn 1", context_id=context_id)).json
    # What was never finished never joined the context.
    assert answer["choices"][0]["message"]["content"] == "recall turn 1"


async def test_a_common_prefix_serves_many_calls_at_once(caller: Any) -> None:
    context_id = await caller.create(mode="common_prefix")
    url = f"{caller.emulator.url}/v1/context/chat/completions"
    body = {"model": "echo+stall", "context_id": context_id, "messages": [message("x")]}
    import asyncio  # noqa: PLC0415 - only here.

    headers = {"Authorization": f"Bearer {caller.key}"}
    waiting = [
        asyncio.create_task(caller.session.post(url, json=body, headers=headers)) for _ in range(2)
    ]
    await caller.emulator.wait_for_open(2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_each_use_starts_a_contexts_life_anew(start: Callable[..., Any]) -> None:
    async with start(context_ttl_range=(timedelta(0), timedelta(days=7))) as caller:
        account = caller.emulator._state.account(caller.key)
        context_id = await caller.create(ttl=3600)
        context = account.contexts[context_id]
        context.expires_ns -= 10**9
        before = context.expires_ns
        await caller.chat(context_id=context_id)
        assert context.expires_ns > before
        gone = await caller.create(ttl=0)
        refusal = await caller.chat(context_id=gone)
        assert (refusal.status, refusal.code) == (404, "NotFound.context_id")


async def test_contexts_belong_to_one_key(caller: Any, another: Callable[[], Any]) -> None:
    context_id = await caller.create()
    refusal = await another().chat(context_id=context_id)
    assert refusal.status == 404
    assert refusal.message.startswith(
        f"The specified context {context_id} is not found. Request id"
    )


@pytest.mark.parametrize(
    "change,code",
    [
        ({"context_id": ""}, "MissingParameter.context_id"),
        ({"context_id": 5}, "InvalidParameter.context_id"),
        ({"model": "other"}, "InvalidParameter.model"),
        ({"messages": [message("x", "assistant")]}, "InvalidParameter.messages"),
        ({"temperature": 2.5}, "InvalidParameter.temperature"),
        ({"temperature": "hot"}, "InvalidParameter.temperature"),
        ({"top_p": -1}, "InvalidParameter.top_p"),
        ({"presence_penalty": 3}, "InvalidParameter.presence_penalty"),
        ({"frequency_penalty": -3}, "InvalidParameter.frequency_penalty"),
        ({"n": 0}, "InvalidParameter.n"),
        ({"n": 1.5}, "InvalidParameter.n"),
        ({"max_tokens": -1}, "InvalidParameter.max_tokens"),
        ({"top_logprobs": 21}, "InvalidParameter.top_logprobs"),
        ({"stream": "yes"}, "InvalidParameter.stream"),
        ({"stream_options": {"include_usage": True}}, "InvalidParameter.stream_options"),
        ({"stop": ["1", "2", "3", "4", "5"]}, "InvalidParameter.stop"),
        ({"stop": 5}, "InvalidParameter.stop"),
        ({"tools": []}, "InvalidParameter.UnsupportedParameter"),
        ({"thinking": {"type": "enabled"}}, "InvalidParameter.UnsupportedParameter"),
        ({"response_format": {"type": "text"}}, "InvalidParameter.UnsupportedParameter"),
    ],
)
async def test_faulty_chats_are_refused(caller: Any, change: Any, code: str) -> None:
    context_id = await caller.create()
    body = {"model": "echo", "context_id": context_id, "messages": [message("x")], **change}
    refusal = await caller.post("/v1/context/chat/completions", body)
    assert (refusal.status, refusal.code) == (400, code)


async def test_an_older_cache_name_serves_as_a_context(caller: Any) -> None:
    name = (await caller.cache(systemInstruction={"parts": [{"text": "Old rules."}]}))["name"]
    answer = await caller.chat("Hi", model="gemini-2.0-flash", context_id=name)
    assert "Old rules." in answer.json["choices"][0]["message"]["content"]
    wrong = await caller.chat("Hi", model="gemini-2.5-flash", context_id=name)
    assert wrong.status == 400
    assert "has to be the same" in wrong.message


@pytest.mark.parametrize(
    "dialect,status,code,text",
    [
        (None, 400, 400, "Cache content {short} is expired."),
        ("vertex-expired", 400, 400, "Cache content {short} is expired."),
        ("vertex-reaped", 404, 404, "Not found: cached content metadata for {short}."),
        ("gemini-api", 403, 403, "CachedContent not found (or permission denied)"),
        ("ark", 404, "NotFound.context_id", "The specified context {name} is not found."),
    ],
)
async def test_a_lapsed_cache_answers_in_its_dialect(
    caller: Any, dialect: Any, status: int, code: Any, text: str
) -> None:
    name = await caller.create("gemini-2.5-flash", messages=[message(LONG)])
    assert caller.emulator.expire(name, key=caller.key, dialect=dialect) == 1
    refusal = await caller.chat(model="gemini-2.5-flash", context_id=name)
    assert (refusal.status, refusal.code) == (status, code)
    assert text.format(short=name.rsplit("/", 1)[-1], name=name) in refusal.message


async def test_a_stream_comes_in_the_order_that_clients_rely_on(caller: Any) -> None:
    reply = await caller.chat(
        "count to 3", model="echo-think", stream=True, stream_options={"include_usage": True}
    )
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    *chunks, usage, done = reply.events
    assert done == "[DONE]"
    assert reply.raw.endswith(b"data: [DONE]\n\n")
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] > 3
    assert all(chunk["usage"] is None for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    kinds = [next(iter(delta), None) for delta in deltas[1:]]
    assert kinds == ["reasoning_content"] * (len(kinds) - 4) + ["content"] * 3 + [None]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


async def test_without_include_usage_no_chunk_speaks_of_usage(caller: Any) -> None:
    reply = await caller.chat("count to 3", stream=True)
    assert all("usage" not in chunk for chunk in reply.events[:-1])


async def test_several_choices_interleave(caller: Any) -> None:
    reply = await caller.chat("count to 2", n=2, stream=True)
    seen = [chunk["choices"][0]["index"] for chunk in reply.events[:-1]]
    assert seen == [0, 1, 0, 1, 0, 1, 0, 1]


async def test_tool_calls_stream_in_fragments(caller: Any) -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {"type": "object", "properties": {"port": {}}},
            },
        }
        for name in ("tide", "wind")
    ]
    reply = await caller.chat("Oban", model="echo-tools", tools=tools, stream=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in reply.events[:-1]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    heads = [call for call in calls if "id" in call]
    assert [head["function"]["name"] for head in heads] == ["tide", "wind"]
    for index in (0, 1):
        text = "".join(call["function"]["arguments"] for call in calls if call["index"] == index)
        assert text == '{"port":"Oban"}'
    assert reply.events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    chosen = {"type": "function", "function": {"name": "wind"}}
    forced = await caller.chat("Oban", tools=tools, tool_choice=chosen)
    assert [
        call["function"]["name"] for call in forced.json["choices"][0]["message"]["tool_calls"]
    ] == ["wind"]
    assert forced.json["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"tools": 5},
        {"tools": [5]},
        {"tools": [{"function": {"name": "a"}}], "tool_choice": {"function": {"name": "b"}}},
    ],
)
async def test_faulty_tools_are_refused(caller: Any, change: Any) -> None:
    assert (await caller.chat(**change)).status == 400


async def test_json_answers_follow_their_schema(caller: Any) -> None:
    shape = {
        "type": "json_schema",
        "json_schema": {"schema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }
    reply = await caller.chat("x", response_format=shape)
    assert reply.json["choices"][0]["message"]["content"] == '{"n":7}'


async def test_parts_of_content_are_counted(caller: Any) -> None:
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    body = {
        "model": "echo",
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "a"}], "content": None},
            {"role": "user", "content": parts},
        ],
    }
    reply = await caller.post("/v1/chat/completions", body)
    assert reply.json["usage"]["prompt_tokens"] > 258


async def test_a_bound_on_contexts_is_kept(start: Callable[..., Any]) -> None:
    async with start(max_entries_per_account=1) as caller:
        await caller.create()
        body = {"model": "echo", "messages": [message("x")]}
        refusal = await caller.post("/v1/context/create", body)
        assert (refusal.status, refusal.code) == (429, "SetLimitExceeded")


async def test_log_probabilities_come_whole_and_in_pieces(caller: Any) -> None:
    whole = (await caller.chat("say: a b", logprobs=True)).json["choices"][0]["logprobs"]
    assert [each["token"] for each in whole["content"]] == ["a", " b"]
    events = (await caller.chat("say: a b", logprobs=True, stream=True)).events
    pieces = [event["choices"][0].get("logprobs") for event in events[:-1]]
    assert [piece["content"][0] for piece in pieces if piece] == whole["content"]


async def test_reasoning_comes_before_the_answer_and_counts(caller: Any) -> None:
    reply = (await caller.chat("say: a", model="echo-r1")).json
    message = reply["choices"][0]["message"]
    assert message["content"] == "a"
    assert message["reasoning_content"]
    reasoning = reply["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert reply["usage"]["completion_tokens"] == reasoning + 1


async def test_an_answer_has_the_members_of_the_documents_sample(caller: Any) -> None:
    reply = await caller.chat("say: so be it", context_id=await caller.create(), max_tokens=2)
    assert reply.json == {
        "id": reply.json["id"],
        "object": "chat.completion",
        "created": reply.json["created"],
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "so be"},
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 2 + 5,
            "completion_tokens": 2,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
