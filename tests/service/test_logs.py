"""Logs that go nowhere, or nowhere fast, stop no call."""

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from contextbridge import v1 as pb

COMMAND = str(Path(sys.executable).parent / "contextbridge")
CALLS = 400
"""Some 160 KB of lines: more than a pipe holds."""


@pytest.fixture(name="piped")
def piped_fixture(emulator, tmp_path):
    """A bridge whose log is a pipe that nobody reads; its socket is known beforehand."""
    socket = tmp_path / "bridge.sock"
    flags = ("--listen", f"unix:{socket}", "--upstream", emulator.url, "--drain-grace", "0s")
    command = [COMMAND, "serve", *flags, "--upstream-api-key", "sk-test"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield process, f"unix:{socket}"
        process.terminate()
        process.stdout.close()


async def test_a_log_that_nobody_reads_stops_no_call(piped, generate_request):
    _, address = piped

    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        gemini = pb.GeminiServiceStub(channel)
        for _ in range(CALLS):
            answer = await gemini.GenerateContent(generate_request(), timeout=10)

    assert answer.candidates


async def test_a_log_that_is_closed_stops_no_call(piped, generate_request):
    process, address = piped
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        process.stdout.close()
        gemini = pb.GeminiServiceStub(channel)
        for _ in range(10):
            answer = await gemini.GenerateContent(generate_request(), timeout=10)

    assert answer.candidates


async def test_a_probe_writes_no_line(serving_logged, generate_request):
    with serving_logged("--upstream", "emulator") as (address, log):
        check = [COMMAND, "healthcheck", "--target", address]
        subprocess.run(check, check=True, env=os.environ, capture_output=True)
        async with grpc.aio.insecure_channel(address) as channel:
            await pb.GeminiServiceStub(channel).GenerateContent(generate_request())
        written = log(calls=1)

    assert "GenerateContent" in written
    assert "Health" not in written
