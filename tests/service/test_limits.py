"""What the bridge takes from upstream at most, and faults of its own."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import timedelta

import grpc
import pytest

from contextbridge import v1 as pb
from contextbridge_server.rpc.interceptors import CanonicalLog, FaultBarrier
from contextbridge_server.rpc.server import Server, ServerOptions, Services

MODEL = "Doubao-1.5-pro-32k"


async def test_an_answer_past_the_limit_is_refused(emulator, bridge, failure, generate_request):
    async with bridge(emulator.url, max_response_bytes="1KiB") as channel:
        gemini = pb.GeminiServiceStub(channel)
        failed = await failure(gemini.GenerateContent(generate_request(text="count to 1000")))

    assert (failed.code.name, failed.reason) == (
        "RESOURCE_EXHAUSTED",
        "UPSTREAM_RESPONSE_TOO_LARGE",
    )
    assert failed.info.metadata["limitBytes"] == "1024"


async def test_an_event_past_the_limit_is_refused(emulator, bridge, failure, generate_request):
    async with bridge(emulator.url, max_event_bytes="64KiB") as channel:
        gemini = pb.GeminiServiceStub(channel)
        request = generate_request("gemini-2.5-flash+huge-event")
        failed = await failure(gemini.StreamGenerateContent(request))

    assert failed.reason == "UPSTREAM_RESPONSE_TOO_LARGE"


@pytest.fixture(name="raw_upstream")
async def raw_upstream_fixture():
    """Return what serves bytes to each request, and then leaves the connection open."""
    async with AsyncExitStack() as stack:
        writers = []

        async def start(answer: bytes) -> str:
            async def handle(reader, writer):
                writers.append(writer)
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield start
        for writer in writers:
            writer.close()


async def test_a_long_error_page_is_read_in_part_and_still_told(
    raw_upstream, bridge, failure, generate_request
):
    page = b"<html>" + b"x" * 1_000_000
    head = f"HTTP/1.1 502 Bad Gateway\r\nContent-Length: {len(page)}\r\n\r\n".encode()
    async with bridge(await raw_upstream(head + page)) as channel:
        gemini = pb.GeminiServiceStub(channel)
        failed = await failure(gemini.GenerateContent(generate_request()))

    assert (failed.code.name, failed.reason) == ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
    assert len(failed.message) < 200


async def test_a_connection_left_open_after_done_holds_nothing_back(
    raw_upstream, bridge, chat_request
):
    chunk = {"id": "c", "choices": [{"delta": {"content": "Fog."}, "finish_reason": "stop"}]}
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        + f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    )
    async with bridge(await raw_upstream(answer), idle_timeout="1h") as channel:
        contexts = pb.ContextServiceStub(channel)
        request = chat_request(pb.Context(id="ctx-1", model=MODEL))
        async with asyncio.timeout(20):
            events = [event async for event in contexts.ChatWithContext(request)]

    assert events[-1].WhichOneof("event") == "completed"


class FaultyServicer(pb.GeminiServiceServicer):
    """Has a bug in each method, whose exception's text nobody may see."""

    async def GenerateContent(self, request, context):
        raise ValueError("the prompt was: " + request.contents[0].parts[0].text)

    async def StreamGenerateContent(self, request, context):
        await context.write(pb.GenerateContentResponse(sequence=1))
        raise ValueError("the prompt was: " + request.contents[0].parts[0].text)


async def test_a_fault_of_our_own_is_internal_and_its_text_stays_here(
    generate_request, caught, capfd
):
    options = ServerOptions(
        listen="127.0.0.1:0",
        shares_port=False,
        credentials=None,
        reflection=False,
        channelz=False,
        max_concurrent_calls=10,
        max_message_bytes=1024,
        max_metadata_bytes=8192,
        keepalive_interval=timedelta(minutes=1),
        keepalive_min_interval=timedelta(seconds=10),
        max_connection_age=timedelta(0),
        max_connection_age_grace=timedelta(hours=1),
    )
    services = Services(
        contexts=pb.ContextServiceServicer(),
        gemini=FaultyServicer(),
        cached_contents=pb.CachedContentServiceServicer(),
        files=pb.FileServiceServicer(),
        response_cache=pb.ResponseCacheServiceServicer(),
    )
    server = Server(options, services, (CanonicalLog(), FaultBarrier()))
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        gemini = pb.GeminiServiceStub(channel)
        request = generate_request(text="a secret prompt")
        _, whole = await caught(gemini.GenerateContent(request))
        sent, streamed = await caught(gemini.StreamGenerateContent(request))
    await server.drain(timedelta(0), timedelta(0))

    assert len(sent) == 1
    for failed in (whole, streamed):
        assert (failed.code.name, failed.reason) == ("INTERNAL", "INTERNAL")
        assert "secret" not in failed.message
    written = "".join(capfd.readouterr())
    assert "call.fault" in written
    assert "ValueError" in written
    assert "a secret prompt" not in written
