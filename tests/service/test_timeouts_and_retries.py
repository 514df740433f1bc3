"""How long the bridge waits for upstream, and what it asks again."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from contextbridge import v1 as pb

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@asynccontextmanager
async def raw_upstream(answer):
    """Serve bytes: `answer(writer)` runs once a request has come in."""

    async def handle(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


@pytest.mark.parametrize(
    "setting, model, method, reason",
    [
        ("response_timeout", "stall", "GenerateContent", "UPSTREAM_RESPONSE_TIMEOUT"),
        ("first_event_timeout", "stall", "StreamGenerateContent", "UPSTREAM_FIRST_EVENT_TIMEOUT"),
        ("idle_timeout", "stall-midstream", "StreamGenerateContent", "UPSTREAM_IDLE_TIMEOUT"),
    ],
)
async def test_a_silent_upstream_is_given_up_with_a_reason_of_its_own(
    setting, model, method, reason, emulator, bridge, failure, generate_request
):
    # Longer than a request takes to get to upstream.
    async with bridge(emulator.url, **{setting: "1500ms"}) as channel:
        call = getattr(pb.GeminiServiceStub(channel), method)
        failed = await failure(call(generate_request(f"gemini-2.5-flash+{model}")))
        await emulator.wait_for_open(0)

    assert (failed.code.name, failed.reason) == ("DEADLINE_EXCEEDED", reason)
    assert len(emulator.requests) == 1
    assert emulator.requests[0].outcome == "closed-by-client"


async def test_comments_keep_a_connection_open_and_are_no_event(bridge, failure, generate_request):
    async def answer(writer):
        writer.write(SSE_HEAD)
        while True:
            writer.write(b": PING\n\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_upstream(answer) as url, bridge(url, first_event_timeout="200ms") as channel:
        gemini = pb.GeminiServiceStub(channel)
        failed = await failure(gemini.StreamGenerateContent(generate_request()))

    assert failed.reason == "UPSTREAM_FIRST_EVENT_TIMEOUT"


async def test_comments_end_a_silence_in_mid_stream(bridge, generate_request):
    async def answer(writer):
        writer.write(SSE_HEAD + b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n\n')
        for _ in range(12):
            await asyncio.sleep(0.2)
            writer.write(b": PING\n\n")
        writer.write(b'data: {"candidates":[{"finishReason":"STOP"}]}\n\n')
        await writer.drain()

    async with raw_upstream(answer) as url, bridge(url, idle_timeout="2s") as channel:
        gemini = pb.GeminiServiceStub(channel)
        messages = [m async for m in gemini.StreamGenerateContent(generate_request())]

    assert messages[-1].candidates[0].finish_reason == pb.Candidate.FINISH_REASON_STOP


async def test_a_port_where_nobody_listens_is_a_failed_connection(
    bridge, failure, generate_request
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with bridge(f"http://127.0.0.1:{port}") as channel:
            gemini = pb.GeminiServiceStub(channel)
            failed = await failure(gemini.GenerateContent(generate_request()))

    assert (failed.code.name, failed.reason) == ("UNAVAILABLE", "UPSTREAM_CONNECT_FAILED")
    assert failed.retry_delay is not None
    assert str(port) not in failed.message


async def test_an_unknown_host_is_a_failed_connection(bridge, failure, generate_request):
    async with bridge("http://nowhere.invalid") as channel:
        gemini = pb.GeminiServiceStub(channel)
        failed = await failure(gemini.GenerateContent(generate_request()))

    assert failed.reason == "UPSTREAM_CONNECT_FAILED"


async def test_a_connection_that_is_never_accepted_times_out(bridge, failure, generate_request):
    # A full backlog drops further SYNs: connecting hangs, as it does behind a black hole.
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with bridge(url, connect_timeout="100ms", retry_max_attempts=1) as channel:
            gemini = pb.GeminiServiceStub(channel)
            failed = await failure(gemini.GenerateContent(generate_request()))

    assert (failed.code.name, failed.reason) == ("UNAVAILABLE", "UPSTREAM_CONNECT_TIMEOUT")


@pytest.mark.parametrize("fault", ["rate-limited-once", "overloaded-once"])
@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent"])
async def test_what_upstream_turned_away_is_asked_again(
    fault, method, channel, generate_request, emulator
):
    call = getattr(pb.GeminiServiceStub(channel), method)(
        generate_request(f"gemini-2.5-flash+{fault}")
    )

    answers = [m async for m in call] if method.startswith("Stream") else [await call]

    assert answers[-1].candidates
    assert len(emulator.requests) == 2


@pytest.mark.parametrize(
    "fault", ["server-error", "bad-gateway", "gateway-timeout", "cut-midstream"]
)
@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent"])
async def test_what_may_have_been_charged_is_never_asked_again(
    fault, method, channel, generate_request, failure, emulator
):
    call = getattr(pb.GeminiServiceStub(channel), method)

    await failure(call(generate_request(f"gemini-2.5-flash+{fault}")))

    assert len(emulator.requests) == 1


async def test_attempts_are_bounded(emulator, bridge, failure, generate_request):
    async with bridge(emulator.url, retry_max_attempts=4) as channel:
        gemini = pb.GeminiServiceStub(channel)
        await failure(gemini.GenerateContent(generate_request("gemini-2.5-flash+overloaded")))

    assert len(emulator.requests) == 4


async def test_a_wait_longer_than_ours_is_handed_to_the_caller(
    emulator, bridge, failure, generate_request
):
    async with bridge(emulator.url, retry_max_delay="10ms") as channel:
        gemini = pb.GeminiServiceStub(channel)
        failed = await failure(
            gemini.GenerateContent(generate_request("gemini-2.5-flash+rate-limited"))
        )

    assert failed.retry_delay == 1.0
    assert len(emulator.requests) == 1


async def test_no_attempt_is_waited_for_past_the_callers_deadline(
    bridge, failure, generate_request
):
    attempts = []

    async def answer(writer):
        attempts.append(writer)
        writer.write(b"HTTP/1.1 429 X\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with raw_upstream(answer) as url, bridge(url, retry_max_delay="1h") as channel:
        gemini = pb.GeminiServiceStub(channel)
        failed = await failure(gemini.GenerateContent(generate_request(), timeout=30))

    assert failed.reason == "UPSTREAM_RATE_LIMITED"
    assert len(attempts) == 1


async def test_a_budget_bounds_what_all_calls_ask_again(
    emulator, bridge, failure, generate_request
):
    async with bridge(emulator.url, retry_budget=0.0, retry_max_attempts=2) as channel:
        gemini = pb.GeminiServiceStub(channel)
        for _ in range(30):
            await failure(gemini.GenerateContent(generate_request("gemini-2.5-flash+overloaded")))

    assert len(emulator.requests) == 30 + 20
