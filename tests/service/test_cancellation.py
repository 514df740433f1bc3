"""A caller who leaves ends upstream's work; a caller who reads slowly slows upstream."""

import asyncio
from pathlib import Path

import grpc
import pytest

from contextbridge import v1 as pb

PROMPTLY = 1.0
CANCELS = 1_000
AT_ONCE = 50


METHODS = ("StreamGenerateContent", "GenerateContent")


async def none_open(emulator):
    await emulator.wait_until(lambda: emulator.open_requests == 0, PROMPTLY)


@pytest.mark.parametrize("method", METHODS)
async def test_cancelling_closes_the_upstream_request(method, gemini, generate_request, emulator):
    call = getattr(gemini, method)(generate_request("gemini-2.5-flash+stall"))
    await emulator.wait_for_open(1)

    call.cancel()

    await none_open(emulator)
    assert emulator.requests[-1].outcome == "closed-by-client"


async def test_cancelling_in_mid_stream_closes_the_upstream_request(
    gemini, generate_request, emulator
):
    call = gemini.StreamGenerateContent(
        generate_request("gemini-2.5-flash+pace=0.01", "count to 100000")
    )
    await anext(aiter(call))

    call.cancel()

    await none_open(emulator)
    assert emulator.requests[-1].outcome == "closed-by-client"


@pytest.mark.parametrize("method", METHODS)
async def test_a_deadline_closes_the_upstream_request(method, gemini, generate_request, emulator):
    call = getattr(gemini, method)(generate_request("gemini-2.5-flash+stall"), timeout=0.2)

    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await none_open(emulator)
    assert emulator.requests[-1].outcome == "closed-by-client"


async def test_cancelling_between_attempts_makes_no_further_one(emulator, bridge, generate_request):
    async with bridge(emulator.url, retry_max_delay="1h") as channel:
        gemini = pb.GeminiServiceStub(channel)
        call = gemini.GenerateContent(generate_request("gemini-2.5-flash+rate-limited"))
        await emulator.wait_until(lambda: len(emulator.requests) == 1)
        await emulator.wait_for_open(0)

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gemini.GenerateContent(generate_request("gemini-2.5-flash"))

    assert len(emulator.requests) == 2


async def test_closing_an_upload_closes_the_upstream_request(channel, emulator):
    files = pb.FileServiceStub(channel)
    call = files.UploadFile()
    metadata = pb.UploadFileMetadata(mime_type="text/plain", size_bytes=10)
    await call.write(pb.UploadFileRequest(metadata=metadata))
    await emulator.wait_until(lambda: len(emulator.requests) == 1)

    call.cancel()

    await none_open(emulator)


def resident_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture(name="bridge_process")
async def bridge_process_fixture(emulator, serving_process):
    """Run the bridge as a process of its own; yield its pid and a channel to it."""
    flags = ("--upstream", emulator.url, "--upstream-api-key", "sk-test")
    with serving_process(*flags) as (pid, address):
        async with grpc.aio.insecure_channel(address) as channel:
            yield pid, channel


async def test_a_thousand_cancels_leave_no_connection_and_no_growth(
    bridge_process, generate_request, emulator
):
    pid, channel = bridge_process
    gemini = pb.GeminiServiceStub(channel)
    stalled = generate_request("gemini-2.5-flash+stall")
    silent = generate_request("gemini-2.5-flash+stall-midstream")

    async def cancel_some():
        unary = [gemini.GenerateContent(stalled) for _ in range(AT_ONCE // 2)]
        streams = [gemini.StreamGenerateContent(silent) for _ in range(AT_ONCE // 2)]
        for stream in streams:
            await anext(aiter(stream))
        await emulator.wait_for_open(AT_ONCE)
        for call in (*unary, *streams):
            call.cancel()
        await emulator.wait_until(lambda: emulator.open_requests == 0, 5 * PROMPTLY)

    # Pools, caches and the allocator settle during the first rounds.
    for _ in range(CANCELS // AT_ONCE):
        await cancel_some()
    memory, files = resident_kib(pid), descriptors(pid)
    for _ in range(CANCELS // AT_ONCE):
        await cancel_some()

    assert descriptors(pid) <= files
    assert resident_kib(pid) - memory < 4 * 1024


async def test_cancelled_calls_leave_no_task(emulator, bridge, generate_request):
    async with bridge(emulator.url) as channel:
        gemini = pb.GeminiServiceStub(channel)
        await gemini.GenerateContent(generate_request())
        await emulator.wait_for_open(0)
        before = len(asyncio.all_tasks())

        for _ in range(100):
            call = gemini.StreamGenerateContent(generate_request("gemini-2.5-flash+stall"))
            await emulator.wait_for_open(1)
            call.cancel()
            await none_open(emulator)

        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0)


async def test_a_stalled_reader_stops_upstream_and_holds_memory_flat(
    bridge_process, generate_request
):
    pid, channel = bridge_process
    gemini = pb.GeminiServiceStub(channel)
    last = 300_000
    stream = gemini.StreamGenerateContent(generate_request(text=f"count to {last}"))
    messages = aiter(stream)
    await anext(messages)
    await asyncio.sleep(1)  # Buffers on the way fill up.
    memory = resident_kib(pid)

    # Some 60 MB are waiting upstream; a bridge that buffered would take them in now.
    await asyncio.sleep(3)

    assert resident_kib(pid) - memory < 2 * 1024
    stream.cancel()


async def test_a_slow_reader_loses_nothing(gemini, generate_request):
    stream = gemini.StreamGenerateContent(generate_request(text="count to 3000"))
    text = ""
    async for message in stream:
        text += message.candidates[0].content.parts[0].text
        if len(text) % 50 == 0:
            await asyncio.sleep(0.01)

    assert text.split() == [str(number) for number in range(1, 3001)]
