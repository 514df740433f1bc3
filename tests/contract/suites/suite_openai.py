"""openai-python against the emulator's context paths."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import openai  # type: ignore[import-not-found]  # Only in the environment of this suite.
import pytest
from openai import AsyncOpenAI, OpenAI

MODEL = "Doubao-1.5-pro-32k"
Create = Callable[..., str]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "tide",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}},
    },
}


def say(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture
def client(base_url: str, api_key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{base_url}/v1/context", api_key=api_key, max_retries=0) as client:
        yield client


@pytest.fixture
def plain(base_url: str, api_key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0) as client:
        yield client


@pytest.fixture
def create(client: OpenAI) -> Create:
    def make(model: str = MODEL, **options: Any) -> str:
        body = {
            "model": model,
            "messages": [{"role": "system", "content": "Answer as a lighthouse keeper."}],
            **options,
        }
        answer: Any = client.post("/create", body=body, cast_to=object)
        return str(answer["id"])

    return make


def test_answers_from_the_context(client: OpenAI, create: Create) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=say("What do you see?"), extra_body={"context_id": create()}
    )
    choice = completion.choices[0]
    assert choice.message.content == (
        'You said: "What do you see?". The context says: "Answer as a lighthouse keeper.". (turn 1)'
    )
    assert choice.finish_reason == "stop"
    usage = completion.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens > (usage.prompt_tokens_details.cached_tokens or 0) > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_streams_what_the_whole_answer_says(client: OpenAI, create: Create) -> None:
    context_id = create(mode="common_prefix")
    ask: Any = {"model": MODEL, "messages": say("Hi"), "extra_body": {"context_id": context_id}}
    whole = client.chat.completions.create(**ask)
    stream = client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == whole.usage
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


async def test_streams_asynchronously(base_url: str, api_key: str, create: Create) -> None:
    context_id = create()
    async with AsyncOpenAI(base_url=f"{base_url}/v1/context", api_key=api_key) as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=say("count to 64"),
            stream=True,
            extra_body={"context_id": context_id},
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == " ".join(map(str, range(1, 65)))


def test_sessions_remember_their_turns(client: OpenAI, create: Create) -> None:
    context_id = create(mode="session")
    texts = [
        client.chat.completions.create(
            model=MODEL, messages=say(text), extra_body={"context_id": context_id}
        )
        .choices[0]
        .message.content
        for text in ("first", "second", "recall turn 1")
    ]
    assert texts[1:] == [
        'You said: "second". The context says: "Answer as a lighthouse keeper.". (turn 2)',
        "first",
    ]


def test_gives_several_choices(client: OpenAI, create: Create) -> None:
    ask: Any = {"model": MODEL, "messages": say("say: so"), "n": 3}
    whole = client.chat.completions.create(**ask, extra_body={"context_id": create()})
    assert [choice.message.content for choice in whole.choices] == ["so"] * 3
    stream = client.chat.completions.create(**ask, stream=True, extra_body={"context_id": create()})
    finished = [
        choice.index for chunk in stream for choice in chunk.choices if choice.finish_reason
    ]
    assert finished == [0, 1, 2]


def test_calls_tools_without_a_context(plain: OpenAI) -> None:
    ask: Any = {
        "model": "echo",
        "messages": say("Oban"),
        "tools": [TOOL],
        "tool_choice": "required",
    }
    message = plain.chat.completions.create(**ask).choices[0]
    assert message.finish_reason == "tool_calls"
    assert message.message.tool_calls is not None
    call: Any = message.message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("tide", '{"port":"Oban"}')
    with plain.chat.completions.stream(
        model="echo", messages=ask["messages"], tools=ask["tools"], tool_choice="required"
    ) as stream:
        final = stream.get_final_completion()
    streamed: Any = (final.choices[0].message.tool_calls or [None])[0]
    assert streamed.function.arguments == '{"port":"Oban"}'
    told = plain.chat.completions.create(
        model="echo",
        messages=[
            *ask["messages"],
            {"role": "assistant", "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": "high"},
        ],
        tools=[TOOL],
    )
    assert told.choices[0].message.content == 'The tool said: "high".'


def test_gives_log_probabilities_reasoning_and_refusals(plain: OpenAI) -> None:
    answer = plain.chat.completions.create(model="echo", messages=say("say: a b"), logprobs=True)
    assert answer.choices[0].logprobs is not None
    assert [each.token for each in answer.choices[0].logprobs.content or []] == ["a", " b"]
    thought: Any = plain.chat.completions.create(model="echo-think", messages=say("say: a"))
    assert thought.choices[0].message.reasoning_content
    assert thought.usage.completion_tokens_details.reasoning_tokens > 0
    refused = plain.chat.completions.create(model="echo+refusal", messages=say("x"))
    assert refused.choices[0].message.refusal == "I cannot help with that."


def test_stops_where_it_is_told(plain: OpenAI) -> None:
    cut = plain.chat.completions.create(model="echo", messages=say("count to 9"), max_tokens=2)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("1 2", "length")
    stopped = plain.chat.completions.create(model="echo", messages=say("count to 9"), stop=[" 4"])
    assert stopped.choices[0].message.content == "1 2 3"


def test_gemini_caches_serve_as_contexts(client: OpenAI, plain: OpenAI, create: Create) -> None:
    model = "gemini-2.5-flash"
    rules = [{"role": "system", "content": "Lamps are trimmed at dusk, daily. " * 300}]
    context_id = create(model, messages=rules, ttl=300)
    assert context_id.startswith("projects/")
    for each in (client, plain):
        answer = each.chat.completions.create(
            model=model, messages=say("Hi"), extra_body={"context_id": context_id}
        )
        assert "Lamps are trimmed at dusk" in (answer.choices[0].message.content or "")


@pytest.mark.parametrize(
    "model,kind,code",
    [
        ("unknown-1", openai.NotFoundError, "InvalidEndpointOrModel.NotFound"),
        ("rate-limited", openai.RateLimitError, "RateLimitExceeded.EndpointRPMExceeded"),
        ("unauthorized", openai.AuthenticationError, ""),
        ("overdue", openai.PermissionDeniedError, "AccountOverdueError"),
        ("server-error", openai.InternalServerError, "InternalServiceError"),
        ("overloaded", openai.InternalServerError, "bad_response_status_code"),
    ],
)
def test_refusals_arrive_as_their_exceptions(
    plain: OpenAI, model: str, kind: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(kind) as refusal:
        plain.chat.completions.create(model=model, messages=say("x"))
    assert refusal.value.code == code
    assert refusal.value.request_id
    with pytest.raises(kind):
        plain.chat.completions.create(model=model, messages=say("x"), stream=True)


def test_unknown_contexts_are_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        client.chat.completions.create(
            model=MODEL, messages=say("x"), extra_body={"context_id": "ctx-gone"}
        )
    assert refusal.value.code == "NotFound.context_id"
    assert refusal.value.param == "context_id"


def test_a_retry_gets_past_a_limit_that_passes(base_url: str, api_key: str) -> None:
    with OpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=2) as client:
        answer = client.chat.completions.create(model="overloaded-once", messages=say("say: in"))
    assert answer.choices[0].message.content == "in"


def test_error_in_mid_stream_raises(plain: OpenAI) -> None:
    stream = plain.chat.completions.create(
        model="error-midstream", messages=say("count to 9"), stream=True
    )
    with pytest.raises(openai.APIError) as failure:
        list(stream)
    assert failure.value.code == "bad_response"


def test_oddities_that_clients_survive(plain: OpenAI) -> None:
    for model in ("comments", "cr-only", "u2028", "utf8-split", "no-done", "gzip", "huge-event"):
        stream = plain.chat.completions.create(
            model=model, messages=say("say: all of it"), stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text.endswith("all of it")


def test_models_are_listed(plain: OpenAI) -> None:
    assert MODEL in {model.id for model in plain.models.list()}


async def test_answers_many_callers_at_once(base_url: str, api_key: str) -> None:
    async with AsyncOpenAI(base_url=f"{base_url}/v1", api_key=api_key) as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model="echo", messages=say(f"say: {number}"))
                for number in range(20)
            )
        )
    texts = [answer.choices[0].message.content for answer in answers]
    assert texts == [str(number) for number in range(20)]
