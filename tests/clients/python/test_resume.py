"""Calls with an `idempotency_key` that break are resumed; their caller sees no break."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from contextbridge import ContextBridgeError, Resume, text_of
from contextbridge import v1 as pb
from contextbridge._resume import Attempts, policy

Events = Callable[..., list[pb.ChatWithContextResponse]]

STARTED = {"started": pb.ChatStarted(id="a-1", resumable=True)}
COMPLETED = {"completed": pb.ChatCompleted(usage=pb.Usage(total_tokens=7))}
AT_ONCE = Resume(initial_backoff=timedelta(0))

OF_THE_WAY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)
OTHERS = [code for code in grpc.StatusCode if code not in {grpc.StatusCode.OK, *OF_THE_WAY}]


def reason(name: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(
        reason=f"ERROR_REASON_{name}", domain="contextbridge.dev", metadata={"requestId": "q-1"}
    )


def content(text: str) -> dict[str, Any]:
    return {"content": pb.TextDelta(text=text)}


def chat(client: Any, **options: Any) -> Any:
    given = {"model": "m", "idempotency_key": "r-1", "resume": AT_ONCE}
    return client.chat("ctx-1", "Hello", **(given | options))


def places(script: Any, method: str = "ChatWithContext") -> list[int]:
    return [request.resume_after for request in script.requests[method]]


def break_each(script: Any, sent: Any, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
    """Gives one event a call, and breaks off after each but the last."""

    async def one_event(request: Any, context: Any) -> None:
        await context.write(sent[request.resume_after])
        if request.resume_after + 1 < len(sent):
            await context.abort(code, "cut off")

    script.on("ChatWithContext", one_event)


@pytest.mark.parametrize("code", OF_THE_WAY)
async def test_a_stream_that_breaks_after_each_event_is_one_sequence(
    client: Any, script: Any, events: Events, code: grpc.StatusCode
) -> None:
    sent = events(STARTED, *(content(letter) for letter in "Hello"), COMPLETED)
    break_each(script, sent, code)

    stream = chat(client)
    seen = [event async for event in stream]

    assert seen == sent
    assert text_of(await stream.answer()) == "Hello"
    assert places(script) == [0, 1, 2, 3, 4, 5, 6]


async def test_what_is_sent_again_is_the_request_as_it_was(
    client: Any, script: Any, events: Events
) -> None:
    break_each(script, events(STARTED, COMPLETED))
    await chat(client, temperature=0.5, customer=pb.Customer(identifier="c-1")).answer()
    first, second = script.requests["ChatWithContext"]
    second.resume_after = 0
    assert first == second


async def test_a_gemini_stream_goes_on_too(client: Any, script: Any) -> None:
    def piece(sequence: int, text: str, **fields: Any) -> pb.GenerateContentResponse:
        part = pb.Content(role="model", parts=[pb.Part(text=text)])
        candidates = [pb.Candidate(content=part)]
        return pb.GenerateContentResponse(sequence=sequence, candidates=candidates, **fields)

    async def handler(request: Any, context: Any) -> None:
        if request.resume_after:
            await context.write(piece(2, "lo", billed_usage=pb.Usage()))
            return
        await context.write(piece(1, "Hel"))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("StreamGenerateContent", handler)
    stream = client.stream_generate_content("g", "Hi", idempotency_key="r-1", resume=AT_ONCE)
    assert text_of(await stream.answer()) == "Hello"
    assert places(script, "StreamGenerateContent") == [0, 1]


@pytest.mark.parametrize("attempts", [0, 1, 5])
async def test_a_stream_gives_up_after_so_many_attempts_without_a_new_event(
    client: Any, script: Any, events: Events, attempts: int
) -> None:
    script.fail("ChatWithContext", grpc.StatusCode.UNAVAILABLE, "away")
    resume = Resume(attempts=attempts, initial_backoff=timedelta(0))
    stream = chat(client, resume=resume)
    with pytest.raises(ContextBridgeError, match="away"):
        await stream.answer()
    assert places(script) == [0] * (attempts + 1)


async def test_the_count_begins_again_with_each_event(
    client: Any, script: Any, events: Events
) -> None:
    break_each(script, events(STARTED, content("a"), content("b"), COMPLETED))
    stream = chat(client, resume=Resume(attempts=1, initial_backoff=timedelta(0)))
    assert text_of(await stream.answer()) == "ab"


async def test_a_call_without_a_name_is_never_sent_again(client: Any, script: Any) -> None:
    script.fail("ChatWithContext", grpc.StatusCode.UNAVAILABLE, "away")
    with pytest.raises(ContextBridgeError, match="away"):
        await chat(client, idempotency_key="").answer()
    assert places(script) == [0]


@pytest.mark.parametrize("of_the_client", [True, False])
async def test_resuming_is_off_when_the_caller_says_so(
    connect: Any, address: str, script: Any, of_the_client: bool
) -> None:
    script.fail("ChatWithContext", grpc.StatusCode.UNAVAILABLE, "away")
    client = connect(address, resume=not of_the_client)
    with pytest.raises(ContextBridgeError, match="away"):
        await chat(client, resume=None if of_the_client else False).answer()
    assert places(script) == [0]


async def test_a_call_may_turn_on_what_the_client_has_off(
    connect: Any, address: str, script: Any, events: Events
) -> None:
    break_each(script, events(STARTED, COMPLETED))
    await chat(connect(address, resume=False)).answer()
    assert places(script) == [0, 1]


async def test_a_stream_that_is_not_resumable_fails_with_the_break(
    client: Any, script: Any, events: Events
) -> None:
    break_each(script, events({"started": pb.ChatStarted(resumable=False)}, COMPLETED))
    with pytest.raises(ContextBridgeError, match="cut off"):
        await chat(client).answer()
    assert places(script) == [0]


@pytest.mark.parametrize("code", OTHERS)
async def test_other_statuses_are_the_answer(
    client: Any, script: Any, code: grpc.StatusCode
) -> None:
    script.fail("ChatWithContext", code, "no")
    with pytest.raises(ContextBridgeError) as raised:
        await chat(client).answer()
    assert raised.value.code is code
    assert places(script) == [0]


@pytest.mark.parametrize("name", pb.ErrorReason.DESCRIPTOR.values_by_name)
def test_reasons_of_the_moment_alone_are_got_over(name: str) -> None:
    failure = ContextBridgeError(grpc.StatusCode.UNAVAILABLE, "no", reason=name)
    pause = Attempts(AT_ONCE, named=True).pause_after(failure, None)
    expected = name in {"ERROR_REASON_STORE_UNAVAILABLE", "ERROR_REASON_OVERLOADED"}
    assert (pause is not None) is expected


async def test_a_store_that_was_away_for_a_moment_is_got_over(
    client: Any, script: Any, events: Events
) -> None:
    break_each(script, events(STARTED, content("Hi"), COMPLETED))
    whole = script.handlers["ChatWithContext"]
    away = iter([False, True, False, False])

    async def handler(request: Any, context: Any) -> None:
        if next(away):
            script.fail(
                "Away", grpc.StatusCode.UNAVAILABLE, "no store", reason("STORE_UNAVAILABLE")
            )
            await script.handlers["Away"](request, context)
        await whole(request, context)

    script.on("ChatWithContext", handler)
    assert text_of(await chat(client).answer()) == "Hi"
    assert places(script) == [0, 1, 1, 2]


async def test_a_generation_that_is_not_kept_fails_with_that(
    client: Any, script: Any, events: Events
) -> None:
    async def handler(request: Any, context: Any) -> None:
        if request.resume_after:
            gone = grpc.StatusCode.OUT_OF_RANGE, "gone", reason("NOT_RESUMABLE")
            script.fail("Gone", *gone)
            await script.handlers["Gone"](request, context)
        await context.write(events(STARTED)[0])
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("ChatWithContext", handler)
    with pytest.raises(ContextBridgeError) as raised:
        await chat(client).answer()
    assert raised.value.reason == "ERROR_REASON_NOT_RESUMABLE"
    assert places(script) == [0, 1]


@pytest.mark.parametrize("idempotency_key", ["r-1", ""])
async def test_a_break_after_the_last_event_has_lost_nothing(
    client: Any, script: Any, events: Events, idempotency_key: str
) -> None:
    async def handler(request: Any, context: Any) -> None:
        for event in events(STARTED, content("Hi"), COMPLETED):
            await context.write(event)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("ChatWithContext", handler)
    assert text_of(await chat(client, idempotency_key=idempotency_key).answer()) == "Hi"
    assert places(script) == [0]


async def test_a_pause_is_not_longer_than_the_deadline(
    client: Any, script: Any, events: Events
) -> None:
    break_each(script, events(STARTED, COMPLETED))
    resume = Resume(initial_backoff=timedelta(hours=1), max_backoff=timedelta(hours=1))
    with pytest.raises(ContextBridgeError, match="cut off"):
        await chat(client, resume=resume, timeout=60).answer()


async def test_the_deadline_is_one_for_the_whole(client: Any, script: Any, events: Events) -> None:
    remaining: list[float] = []
    break_once = iter([True, False])

    async def handler(request: Any, context: Any) -> None:
        remaining.append(context.time_remaining())
        if next(break_once):
            await context.write(events(STARTED)[0])
            await asyncio.sleep(0.3)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")
        await context.write(events(COMPLETED, first=2)[0])

    script.on("ChatWithContext", handler)
    # gRPC rounds timeouts of 10 s and more up to whole seconds.
    await chat(client, timeout=9).answer()
    first, second = remaining
    assert second < first - 0.2


async def test_a_stream_can_be_left_while_it_waits(
    client: Any, script: Any, events: Events
) -> None:
    broken = asyncio.Event()

    async def handler(request: Any, context: Any) -> None:
        await context.write(events(STARTED)[0])
        broken.set()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")

    script.on("ChatWithContext", handler)
    resume = Resume(initial_backoff=timedelta(hours=1), max_backoff=timedelta(hours=1))
    stream = chat(client, resume=resume)
    await anext(stream)
    reading = asyncio.create_task(anext(stream))
    await broken.wait()
    stream.cancel()
    with pytest.raises((asyncio.CancelledError, ContextBridgeError)):
        await asyncio.wait_for(reading, 20)
    assert places(script) == [0]


PAID = {
    "CreateContext": lambda client, **o: client.create_context("m", "Hi", **o),
    "CompleteChatWithContext": lambda client, **o: client.complete_chat("c", "Hi", model="m", **o),
    "GenerateContent": lambda client, **o: client.generate_content("g", "Hi", **o),
}


@pytest.mark.parametrize("method", PAID)
async def test_a_unary_call_with_a_name_is_sent_again(
    client: Any, script: Any, method: str
) -> None:
    response = {
        "CreateContext": pb.CreateContextResponse(),
        "CompleteChatWithContext": pb.CompleteChatWithContextResponse(),
        "GenerateContent": pb.GenerateContentResponse(),
    }[method]
    script.answer(method, response)
    script.fail(method, grpc.StatusCode.UNAVAILABLE, "away", times=2)
    assert await PAID[method](client, idempotency_key="r-1", resume=AT_ONCE) == response
    first, *others = script.requests[method]
    assert others == [first, first]


@pytest.mark.parametrize("method", PAID)
@pytest.mark.parametrize("options", [{}, {"idempotency_key": "r-1", "resume": False}])
async def test_a_unary_call_without_a_name_is_not(
    client: Any, script: Any, method: str, options: dict[str, Any]
) -> None:
    script.fail(method, grpc.StatusCode.UNAVAILABLE, "away")
    with pytest.raises(ContextBridgeError, match="away"):
        await PAID[method](client, **options)
    assert len(script.requests[method]) == 1


def unavailable(delay: float | None = None) -> ContextBridgeError:
    asked = None if delay is None else timedelta(seconds=delay)
    return ContextBridgeError(grpc.StatusCode.UNAVAILABLE, "away", retry_delay=asked)


def test_back_off_doubles_up_to_its_limit_and_is_at_least_half() -> None:
    longest = [0.1, 0.2, 0.4, 0.8, 1, 1, 1]
    for _ in range(50):
        attempts = Attempts(Resume(attempts=7, max_backoff=timedelta(seconds=1)), named=True)
        pauses = [attempts.pause_after(unavailable(), None) for _ in longest]
        assert all(
            pause is not None and most / 2 <= pause <= most
            for pause, most in zip(pauses, longest, strict=True)
        )
        assert attempts.pause_after(unavailable(), None) is None


def test_the_server_may_ask_for_a_longer_pause() -> None:
    assert Attempts(AT_ONCE, named=True).pause_after(unavailable(7), None) == 7


def test_no_pause_goes_past_the_deadline() -> None:
    assert Attempts(AT_ONCE, named=True).pause_after(unavailable(7), 7) is None
    assert Attempts(AT_ONCE, named=True).pause_after(unavailable(7), 7.1) == 7


def test_very_many_attempts_overflow_nothing() -> None:
    attempts = Attempts(Resume(attempts=2_000, max_backoff=timedelta(seconds=1)), named=True)
    pauses = [attempts.pause_after(unavailable(), None) or 0 for _ in range(2_000)]
    assert max(pauses) <= 1


def test_policies() -> None:
    mine = Resume(attempts=9)
    assert policy(True) == Resume()
    assert policy(False, mine).attempts == 0
    assert policy(None, mine) is mine
    assert policy(mine, Resume()) is mine


@pytest.mark.parametrize(
    "negative",
    [
        {"attempts": -1},
        {"initial_backoff": timedelta(seconds=-1)},
        {"max_backoff": timedelta(seconds=-1)},
    ],
)
def test_a_policy_has_no_negative_numbers(negative: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Resume(**negative)
