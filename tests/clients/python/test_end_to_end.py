"""Both clients against the real server and its built-in emulator, in a process of their own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contextbridge import ContextBridgeError, text_of
from contextbridge import v1 as pb

PROSE = "You answer from this handbook. " * 200


@pytest.fixture(scope="module")
async def bridge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("contextbridge")),
        *("serve", "--upstream", "emulator", "--listen", "127.0.0.1:0", "--workers", "1"),
        cwd=tmp_path_factory.mktemp("bridge"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            started = b""
            while b"server.started" not in started:
                started = await process.stdout.readline()
                assert started, "the server ended before it served"
        rest = asyncio.create_task(process.stdout.read())  # A full pipe would stop the server.
        yield json.loads(started)["address"]
    finally:
        process.terminate()
        await process.wait()
    await rest


async def test_a_streamed_and_a_whole_chat_agree(connect: Any, bridge: str) -> None:
    client = connect(bridge, timeout=30)
    created = await client.create_context(
        "doubao-1-5-pro-32k", [("system", PROSE)], mode=pb.CONTEXT_MODE_COMMON_PREFIX
    )
    assert created.context.id
    async with client.chat(created.context, "How long?", seed=1) as stream:
        text = "".join([piece async for piece in stream.text()])
        streamed = await stream.answer()
    whole = await client.complete_chat(created.context, "How long?", seed=1)
    assert text == text_of(streamed) == text_of(whole) != ""
    assert streamed.usage.total_tokens > 0


async def test_gemini_streamed_and_whole(connect: Any, bridge: str) -> None:
    client = connect(bridge, timeout=30)
    counted = await client.count_tokens("gemini-2.5-flash", "Hello")
    assert counted.total_tokens > 0
    whole = await client.generate_content("gemini-2.5-flash", "Hello")
    streamed = await client.stream_generate_content("gemini-2.5-flash", "Hello").answer()
    assert text_of(whole) == text_of(streamed) != ""


async def test_a_file_goes_up_and_is_found(connect: Any, bridge: str) -> None:
    client = connect(bridge, timeout=30)
    file = await client.upload_file(bytes(700_000), mime_type="application/pdf")
    assert file.size_bytes == 700_000
    assert file.name in [each.name async for each in client.list_files()]
    await client.delete_file(file.name)


async def test_a_cached_content_is_made_and_deleted(connect: Any, bridge: str) -> None:
    client = connect(bridge, timeout=30)
    kept = await client.create_cached_content("gemini-2.5-flash", PROSE * 5)
    assert (await client.get_cached_content(kept.name)).name == kept.name
    assert kept.name in [each.name async for each in client.list_cached_contents()]
    await client.delete_cached_content(kept.name)


async def test_the_servers_refusal_arrives_whole(connect: Any, bridge: str) -> None:
    client = connect(bridge, timeout=30)
    with pytest.raises(ContextBridgeError) as raised:
        await client.complete_chat("", [], model="")
    assert raised.value.reason == "ERROR_REASON_REQUEST_INVALID"
    assert {v.field for v in raised.value.violations} >= {"context_id", "model", "messages"}
    assert raised.value.request_id
