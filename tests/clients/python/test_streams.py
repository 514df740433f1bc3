"""Streams: their events, their text, their whole answer, and how they end."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from contextbridge import ContextBridgeError, text_of
from contextbridge import v1 as pb

Events = Callable[..., list[pb.ChatWithContextResponse]]

STARTED = {"started": pb.ChatStarted(id="a-1", model="m-2026", resumable=True)}
COMPLETED = {"completed": pb.ChatCompleted(usage=pb.Usage(total_tokens=7))}
LAST: dict[str, Any] = {
    "usage_metadata": pb.UsageMetadata(total_token_count=3),
    "billed_usage": pb.Usage(),
}


def content(text: str, index: int = 0) -> dict[str, Any]:
    return {"content": pb.TextDelta(index=index, text=text)}


def chat(client: Any, **options: Any) -> Any:
    return client.chat("ctx-1", "Hello", model="m", **options)


async def drain(iterator: Any) -> None:
    async for _ in iterator:
        pass


async def raise_at_the_first(stream: Any) -> None:
    async with stream:
        async for _ in stream:
            raise LookupError


def piece(sequence: int, text: str, *, thought: bool = False) -> pb.GenerateContentResponse:
    part = pb.Part(text=text, thought=thought)
    return pb.GenerateContentResponse(
        sequence=sequence, candidates=[pb.Candidate(content=pb.Content(role="model", parts=[part]))]
    )


async def test_a_stream_gives_the_events_as_they_came(
    client: Any, script: Any, events: Events
) -> None:
    sent = events(STARTED, content("Hel"), content("lo"), COMPLETED)
    script.stream("ChatWithContext", *sent)
    stream = chat(client, temperature=0.5)
    assert stream.sequence == 0
    assert [event async for event in stream] == sent
    assert stream.sequence == 4
    assert script.sent("ChatWithContext").temperature == 0.5


async def test_text_gives_one_choice_and_answer_gives_everything(
    client: Any, script: Any, events: Events
) -> None:
    thought = {"reasoning": pb.TextDelta(text="Hm")}
    script.stream(
        "ChatWithContext",
        *events(STARTED, thought, content("Hel"), content("Tja", 1), content("lo"), COMPLETED),
    )
    async with chat(client, n=2) as stream:
        assert [text async for text in stream.text()] == ["Hel", "lo"]
        answer = await stream.answer()
    assert [c.message.content for c in answer.choices] == ["Hello", "Tja"]
    assert answer.choices[0].message.reasoning == "Hm"
    assert (answer.id, answer.usage.total_tokens) == ("a-1", 7)


async def test_text_of_another_choice(client: Any, script: Any, events: Events) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("a"), content("b", 1), COMPLETED))
    assert [text async for text in chat(client).text(1)] == ["b"]


async def test_answer_counts_events_that_were_read_before(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hel"), content("lo"), COMPLETED))
    stream = chat(client)
    await anext(stream)
    await anext(stream)
    assert (await stream.answer()).choices[0].message.content == "Hello"
    assert (await stream.answer()).choices[0].message.content == "Hello"


async def test_a_gemini_stream_gives_text_without_thoughts_and_folds(
    client: Any, script: Any
) -> None:
    last = pb.GenerateContentResponse(sequence=4, billed_usage=pb.Usage(total_tokens=3))
    script.stream(
        "StreamGenerateContent", piece(1, "Hm", thought=True), piece(2, "Hel"), piece(3, "lo"), last
    )
    async with client.stream_generate_content("g", "Hi", system_instruction="Be brief.") as stream:
        assert [text async for text in stream.text()] == ["Hel", "lo"]
        answer = await stream.answer()
    assert [p.text for p in answer.candidates[0].content.parts] == ["Hm", "Hello"]
    assert answer.billed_usage.total_tokens == 3
    assert script.sent("StreamGenerateContent").system_instruction.parts[0].text == "Be brief."


async def test_a_stream_that_is_never_read_is_no_call(client: Any, script: Any) -> None:
    chat(client)
    assert script.requests == {}


async def test_a_stream_begins_on_entering(client: Any, script: Any) -> None:
    arrived = asyncio.Event()

    async def handler(request: Any, context: Any) -> None:
        arrived.set()
        await script.hang(request, context)

    script.on("ChatWithContext", handler)
    async with chat(client):
        await asyncio.wait_for(arrived.wait(), 20)
    await script.caller_left()


@pytest.mark.parametrize("read", ["answer", "text", "events"])
async def test_a_failure_in_mid_stream_is_raised_and_stays(
    client: Any, script: Any, events: Events, read: str
) -> None:
    async def handler(request: Any, context: Any) -> None:
        del request
        for event in events(STARTED, content("Hel")):
            await context.write(event)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("ChatWithContext", handler)
    stream = chat(client)
    readers: dict[str, Callable[[], Any]] = {
        "answer": stream.answer,
        "text": lambda: drain(stream.text()),
        "events": lambda: drain(stream),
    }
    with pytest.raises(ContextBridgeError, match="cut off"):
        await readers[read]()
    with pytest.raises(ContextBridgeError, match="cut off"):
        await stream.answer()
    assert len(script.requests["ChatWithContext"]) == 1


async def test_a_chat_that_ends_well_without_completed_is_an_error(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hel")))
    stream = chat(client)
    with pytest.raises(ContextBridgeError, match="without `completed`") as raised:
        await stream.answer()
    assert raised.value.code is grpc.StatusCode.DATA_LOSS
    with pytest.raises(ContextBridgeError):
        await stream.answer()


async def test_a_gemini_stream_that_ends_well_without_billed_usage_is_an_error(
    client: Any, script: Any
) -> None:
    script.stream("StreamGenerateContent", piece(1, "Hel"))
    with pytest.raises(ContextBridgeError, match="without `billed_usage`"):
        await client.stream_generate_content("g", "Hi").answer()


async def test_leaving_early_cancels_the_call(client: Any, script: Any, events: Events) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hel")), hang=True)
    async with chat(client) as stream:
        async for _ in stream.text():
            break
    await script.caller_left()


async def test_closing_cancels_the_call(client: Any, script: Any, events: Events) -> None:
    script.stream("ChatWithContext", *events(STARTED), hang=True)
    stream = chat(client)
    await anext(stream)
    await stream.aclose()
    await script.caller_left()
    await stream.aclose()


async def test_an_error_in_the_body_cancels_the_call(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED), hang=True)
    with pytest.raises(LookupError):
        await raise_at_the_first(chat(client))
    await script.caller_left()


async def test_dropping_cancels_the_call_and_warns(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hel")), hang=True)
    stream = chat(client)
    await anext(stream)
    with pytest.warns(ResourceWarning, match="unclosed stream"):  # noqa: PT031 - It must go inside.
        del stream
        gc.collect()
    await script.caller_left()


async def test_dropping_the_text_alone_cancels_the_call_too(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hel")), hang=True)
    with pytest.warns(ResourceWarning, match="unclosed stream"):  # noqa: PT031 - It must go inside.
        async for _ in chat(client).text():
            break
        gc.collect()
        # A wrapped generator is closed by the loop, in its own time.
        await script.caller_left()


async def test_dropping_after_the_last_event_is_no_matter(
    client: Any, script: Any, events: Events, recwarn: pytest.WarningsRecorder
) -> None:
    script.stream("ChatWithContext", *events(STARTED, COMPLETED), hang=True)
    stream = chat(client)
    await anext(stream)
    await anext(stream)
    del stream
    gc.collect()
    await script.caller_left()
    assert not recwarn.list


async def test_a_stream_that_was_cancelled_cannot_be_read(
    client: Any, script: Any, events: Events, request: pytest.FixtureRequest
) -> None:
    script.stream("ChatWithContext", *events(STARTED), hang=True)
    kind = request.node.callspec.params["connect"]
    cancelled = asyncio.CancelledError if kind == "async" else ContextBridgeError
    stream = chat(client)
    await anext(stream)
    stream.cancel()
    with pytest.raises(cancelled):
        await anext(stream)
    with pytest.raises(cancelled):
        await stream.answer()
    await script.caller_left()


async def test_cancelling_from_elsewhere_ends_a_read(
    client: Any, script: Any, request: pytest.FixtureRequest
) -> None:
    begun = asyncio.Event()

    async def handler(request: Any, context: Any) -> None:
        begun.set()
        await script.hang(request, context)

    script.on("ChatWithContext", handler)
    stream = chat(client)
    reading = asyncio.create_task(anext(stream))
    await asyncio.wait_for(begun.wait(), 20)
    stream.cancel()
    if request.node.callspec.params["connect"] == "async":
        with pytest.raises(asyncio.CancelledError):
            await reading
    else:
        with pytest.raises(ContextBridgeError) as raised:
            await reading
        assert raised.value.code is grpc.StatusCode.CANCELLED
    await script.caller_left()


async def test_cancelling_while_it_connects_ends_the_call(
    script: Any, connect: Any, serve: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script.on("ChatWithContext", script.hang)
    address = f"unix:{tmp_path}/s"
    stream = chat(connect(address, options=[("grpc.initial_reconnect_backoff_ms", 100)]))
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.1)
    stream.cancel()
    await serve(address)
    kind = request.node.callspec.params["connect"]
    with pytest.raises(asyncio.CancelledError if kind == "async" else ContextBridgeError):
        await asyncio.wait_for(reading, 10)


async def test_a_server_that_says_cancelled_is_an_error(client: Any, script: Any) -> None:
    script.fail("ChatWithContext", grpc.StatusCode.CANCELLED, "upstream cancelled")
    with pytest.raises(ContextBridgeError, match="upstream cancelled"):
        await chat(client).answer()


# A thread that reads cannot be cancelled.
@pytest.mark.parametrize("connect", ["async"], indirect=True)
async def test_cancelling_the_reading_task_cancels_the_call(
    script: Any, connect: Any, address: str, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED), hang=True)
    stream = chat(connect(address))
    await anext(stream)
    task = asyncio.create_task(stream.answer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await script.caller_left()
    with pytest.raises(asyncio.CancelledError):
        await stream.answer()


async def test_the_deadline_covers_the_whole_stream(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED), hang=True)
    with pytest.raises(ContextBridgeError) as raised:
        await chat(client, timeout=0.2).answer()
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_resume_by_hand_goes_on_after_the_newest_event_and_folds_both(
    client: Any, script: Any, events: Events
) -> None:
    async def handler(request: Any, context: Any) -> None:
        if request.resume_after:
            for event in events(content("lo"), COMPLETED, first=request.resume_after + 1):
                await context.write(event)
            return
        for event in events(STARTED, content("Hel")):
            await context.write(event)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("ChatWithContext", handler)
    stream = chat(client, idempotency_key="r-1", resume=False)
    with pytest.raises(ContextBridgeError, match="cut off"):
        await stream.answer()

    answer = await stream.resume(timeout=5).answer()

    assert answer.choices[0].message.content == "Hello"
    assert answer.id == "a-1"
    first, second = script.requests["ChatWithContext"]
    assert (first.idempotency_key, first.resume_after) == ("r-1", 0)
    assert (second.idempotency_key, second.resume_after) == ("r-1", 2)
    second.resume_after = 0
    assert first == second


async def test_resume_ends_the_stream_before(client: Any, script: Any, events: Events) -> None:
    script.stream("ChatWithContext", *events(STARTED), hang=True)
    stream = chat(client, idempotency_key="r-1")
    await anext(stream)
    resumed = stream.resume()
    await script.caller_left()
    await resumed.aclose()


async def test_resume_before_any_event_starts_again(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hi"), COMPLETED))
    script.fail("ChatWithContext", grpc.StatusCode.UNAVAILABLE, "cut off", times=1)
    stream = chat(client, idempotency_key="r-1", resume=False)
    with pytest.raises(ContextBridgeError):
        await stream.answer()
    assert (await stream.resume().answer()).choices[0].message.content == "Hi"


async def test_resume_needs_an_idempotency_key(client: Any) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        chat(client).resume()


async def test_a_stream_begun_in_the_middle_has_no_whole_answer(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(content("lo"), COMPLETED, first=3))
    stream = chat(client, idempotency_key="r-1", resume_after=2)
    assert [text async for text in stream.text()] == ["lo"]
    with pytest.raises(ValueError, match="resume_after"):
        await stream.answer()
    with pytest.raises(ValueError, match="resume_after"):
        await stream.resume().answer()


async def test_a_stream_that_has_its_last_event_is_resumed_without_a_call(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hi"), COMPLETED))
    stream = chat(client, idempotency_key="r-1")
    await drain(stream)
    script.fail("ChatWithContext", grpc.StatusCode.OUT_OF_RANGE, "not kept any more")

    async with stream.resume() as resumed:
        assert [event async for event in resumed] == []
        assert text_of(await resumed.answer()) == "Hi"

    assert len(script.requests["ChatWithContext"]) == 1


async def test_a_stream_begun_after_the_last_event_is_empty(client: Any, script: Any) -> None:
    script.stream("ChatWithContext")
    script.stream("StreamGenerateContent")
    after_all = {"idempotency_key": "r-1", "resume_after": 3}
    for stream in (
        chat(client, **after_all),
        client.stream_generate_content("g", "Hi", **after_all),
    ):
        async with stream:
            assert [event async for event in stream] == []
        with pytest.raises(ValueError, match="resume_after"):
            await stream.answer()


async def test_a_resumed_stream_that_brings_nothing_and_was_not_over_is_an_error(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(STARTED, content("Hel")), hang=True)
    stream = chat(client, idempotency_key="r-1")
    await anext(stream)
    script.stream("ChatWithContext")
    with pytest.raises(ContextBridgeError, match="without `completed`"):
        await stream.resume().answer()


async def test_a_stream_begun_in_the_middle_is_cut_where_its_last_event_is_missing(
    client: Any, script: Any, events: Events
) -> None:
    script.stream("ChatWithContext", *events(content("lo"), first=3))
    with pytest.raises(ContextBridgeError, match="without `completed`"):
        await drain(chat(client, idempotency_key="r-1", resume_after=2))


async def test_a_stream_is_resumed_by_hand_as_often_as_it_breaks(
    client: Any, script: Any, events: Events
) -> None:
    sent = events(STARTED, *(content(letter) for letter in "Hello"), COMPLETED)

    async def one_event(request: Any, context: Any) -> None:
        await context.write(sent[request.resume_after])
        if request.resume_after + 1 < len(sent):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("ChatWithContext", one_event)
    stream = chat(client, idempotency_key="r-1", resume=False)
    for _ in sent[:-1]:
        with pytest.raises(ContextBridgeError, match="cut off"):
            await drain(stream)
        stream = stream.resume()

    assert text_of(await stream.answer()) == "Hello"
    places = [request.resume_after for request in script.requests["ChatWithContext"]]
    assert places == [0, 1, 2, 3, 4, 5, 6]


async def test_a_gemini_stream_is_resumed_after_its_newest_message(
    client: Any, script: Any
) -> None:
    thought, beginning, rest = piece(1, "Hm", thought=True), piece(2, "Hel"), piece(3, "lo")
    rest.MergeFrom(pb.GenerateContentResponse(**LAST))

    async def handler(request: Any, context: Any) -> None:
        if request.resume_after:
            await context.write(rest)
            return
        await context.write(thought)
        await context.write(beginning)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("StreamGenerateContent", handler)
    stream = client.stream_generate_content(
        "g", "Hi", idempotency_key="r-1", labels={"team": "a"}, resume=False
    )
    with pytest.raises(ContextBridgeError, match="cut off"):
        await stream.answer()

    answer = await stream.resume().answer()

    assert [part.text for part in answer.candidates[0].content.parts] == ["Hm", "Hello"]
    assert answer.usage_metadata.total_token_count == 3
    first, second = script.requests["StreamGenerateContent"]
    assert (first.resume_after, second.resume_after) == (0, 2)
    second.resume_after = 0
    assert first == second


@pytest.mark.parametrize(
    "status",
    [
        pb.RESPONSE_CACHE_STATUS_HIT,
        pb.RESPONSE_CACHE_STATUS_JOINED,
        pb.RESPONSE_CACHE_STATUS_MISS,
        pb.RESPONSE_CACHE_STATUS_REFRESHED,
        pb.RESPONSE_CACHE_STATUS_BYPASSED,
    ],
)
async def test_an_answer_says_what_the_response_cache_did(
    client: Any, script: Any, events: Events, status: pb.ResponseCacheStatus.ValueType
) -> None:
    outcome = pb.ResponseCacheOutcome(status=status, key="k-1")
    outcome.age.seconds = 5
    completed = {"completed": pb.ChatCompleted(response_cache=outcome, billed_usage=pb.Usage())}
    script.stream("ChatWithContext", *events(STARTED, content("Hi"), completed))
    last = pb.GenerateContentResponse(sequence=2, response_cache=outcome, **LAST)
    script.stream("StreamGenerateContent", piece(1, "Hi"), last)

    answer = await chat(client, response_cache=True).answer()
    generated = await client.stream_generate_content("g", "Hi", response_cache=True).answer()

    assert answer.response_cache == generated.response_cache == outcome
    assert answer.HasField("billed_usage")
    assert script.sent("ChatWithContext").response_cache.enabled
    assert script.sent("StreamGenerateContent").response_cache.enabled


async def test_a_generation_that_was_abandoned_keeps_what_had_arrived(
    client: Any, script: Any, events: Events
) -> None:
    info = error_details_pb2.ErrorInfo(
        reason="ERROR_REASON_GENERATION_ABANDONED",
        domain="contextbridge.dev",
        metadata={"savedEvents": "2"},
    )
    script.stream("ChatWithContext", *events(STARTED, content("Hel")), hang=True)
    stream = chat(client, idempotency_key="r-1")
    texts = [await anext(stream) for _ in range(2)]
    script.fail("ChatWithContext", grpc.StatusCode.ABORTED, "the server died", info)

    with pytest.raises(ContextBridgeError) as raised:
        await stream.resume().answer()

    assert raised.value.reason == "ERROR_REASON_GENERATION_ABANDONED"
    assert raised.value.metadata == {"savedEvents": "2"}
    assert texts == events(STARTED, content("Hel"))
