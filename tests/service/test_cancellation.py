"""A caller who leaves ends upstream's work; a caller who reads slowly slows upstream."""

import asyncio
import time
from pathlib import Path

import grpc
import pytest

from contextbridge import v1 as pb

PROMPTLY = 1.0
TRIES = 3
PATIENCE = 30.0
CANCELS = 1_000
AT_ONCE = 50


METHODS = ("StreamGenerateContent", "GenerateContent")


@pytest.fixture(name="closes_promptly")
def closes_promptly_fixture(emulator):
    """Return what tells whether upstream's request is closed promptly after its caller left.

    One that is closed late tells of the machine, only several in a row tell of the bridge.
    """

    async def closes_promptly(leave):
        for _ in range(TRIES):
            await leave()
            began = time.monotonic()
            await emulator.wait_for_open(0, PATIENCE)
            if time.monotonic() - began < PROMPTLY:
                return True
        return False

    return closes_promptly


@pytest.mark.parametrize("method", METHODS)
async def test_cancelling_closes_the_upstream_request(
    method, gemini, generate_request, emulator, closes_promptly
):
    async def leave():
        call = getattr(gemini, method)(generate_request("gemini-2.5-flash+stall"))
        await emulator.wait_for_open(1)
        call.cancel()

    assert await closes_promptly(leave)
    assert emulator.requests[-1].outcome == "closed-by-client"


async def test_cancelling_in_mid_stream_closes_the_upstream_request(
    gemini, generate_request, emulator, closes_promptly
):
    async def leave():
        call = gemini.StreamGenerateContent(
            generate_request("gemini-2.5-flash+pace=0.01", "count to 100000")
        )
        await anext(aiter(call))
        call.cancel()

    assert await closes_promptly(leave)
    assert emulator.requests[-1].outcome == "closed-by-client"


@pytest.mark.parametrize("method", METHODS)
async def test_a_deadline_closes_the_upstream_request(
    method, gemini, generate_request, emulator, closes_promptly
):
    async def leave():
        call = getattr(gemini, method)(generate_request("gemini-2.5-flash+stall"), timeout=1.5)
        await emulator.wait_for_open(1)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    assert await closes_promptly(leave)
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


async def test_closing_an_upload_closes_the_upstream_request(channel, emulator, closes_promptly):
    files = pb.FileServiceStub(channel)
    metadata = pb.UploadFileMetadata(mime_type="text/plain", size_bytes=10)

    async def leave():
        before = len(emulator.requests)
        call = files.UploadFile()
        await call.write(pb.UploadFileRequest(metadata=metadata))
        await emulator.wait_until(lambda: len(emulator.requests) > before)
        call.cancel()

    assert await closes_promptly(leave)


def resident_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


async def settled_kib(pid):
    """Return a process's memory once it has not grown by 100 KiB in two seconds."""
    async with asyncio.timeout(PATIENCE):
        last, now = 0, resident_kib(pid)
        while now > last + 100:
            await asyncio.sleep(2)
            last, now = now, resident_kib(pid)
    return now


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
    bridge_process, generate_request, emulator, eventually
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
        await emulator.wait_for_open(0, PATIENCE)

    # Pools, caches and the allocator settle during the first rounds.
    for _ in range(CANCELS // AT_ONCE):
        await cancel_some()
    memory, files = resident_kib(pid), descriptors(pid)
    for _ in range(CANCELS // AT_ONCE):
        await cancel_some()

    await eventually(lambda: descriptors(pid) <= files)
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
            await emulator.wait_for_open(0, PATIENCE)

        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0)


async def test_a_stalled_reader_stops_upstream_and_holds_memory_flat(
    bridge_process, generate_request
):
    pid, channel = bridge_process
    gemini = pb.GeminiServiceStub(channel)
    async for _ in gemini.StreamGenerateContent(generate_request(text="count to 1000")):
        pass  # What a stream needs at all is there now.
    before = resident_kib(pid)
    stream = gemini.StreamGenerateContent(generate_request(text="count to 300000"))
    await anext(aiter(stream))

    # Some 60 MB are waiting upstream; a bridge that buffered would take them in now. Buffers on
    # the way fill, and what is full stays as it is.
    assert await settled_kib(pid) - before < 8 * 1024
    stream.cancel()


async def test_a_slow_reader_loses_nothing(gemini, generate_request):
    stream = gemini.StreamGenerateContent(generate_request(text="count to 3000"))
    text = ""
    async for message in stream:
        text += message.candidates[0].content.parts[0].text
        if len(text) % 50 == 0:
            await asyncio.sleep(0.01)

    assert text.split() == [str(number) for number in range(1, 3001)]
