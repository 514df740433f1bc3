"""However many callers find a binding gone, on however many servers, upstream sees one create."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, ExitStack

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
CALLERS = 200
FIXED = {"mode": pb.CONTEXT_MODE_COMMON_PREFIX}


@pytest.fixture(name="servers")
async def servers_fixture(engine, gateway, serving_process, client_of):
    """Run two servers as processes, with one store; return a caller of each."""
    flags = ("--upstream", gateway.url, "--upstream-api-key", "sk-test", "--store", engine.url)
    with ExitStack() as processes:
        started = await asyncio.gather(
            *(asyncio.to_thread(processes.enter_context, serving_process(*flags)) for _ in range(2))
        )
        async with AsyncExitStack() as channels:
            yield [
                client_of(await channels.enter_async_context(grpc.aio.insecure_channel(address)))
                for _, address in started
            ]


async def call_at_once(servers, context, ways):
    """Have callers of both servers use a context at once, each way as many of them."""
    return await asyncio.gather(
        *(
            servers[number % 2].ask(ways[number // 2 % len(ways)], context)
            for number in range(CALLERS)
        )
    )


async def test_two_hundred_callers_of_two_servers_cause_one_create(
    servers, gateway, asked, eventually
):
    lapsing = await servers[0].made(GEMINI, ttl=1)
    for model, ways in (
        (ARK, ("chat", "stream")),
        (GEMINI, ("chat", "stream", "generate", "stream_generate")),
    ):
        context = await servers[0].made(model, **(FIXED if model == ARK else {}))
        expected = {(await servers[1].ask(way, context)).text for way in ways}
        gateway.expire()
        asked()

        answers = await call_at_once(servers, context, ways)

        requests = Counter(word.split()[0] for word in asked())
        assert requests["create"] == 1
        assert {answer.text for answer in answers} == expected
        assert any(answer.context.restored for answer in answers)
        # Each call has asked once, and again where the binding was gone.
        assert CALLERS <= requests.total() - 1 <= 2 * CALLERS
        counted = (await servers[0].get(context)).statistics
        assert counted.restore_count == 1
        assert counted.call_count == CALLERS + len(ways)

    async def is_cold():
        return (await servers[0].get(lapsing)).state == pb.CONTEXT_STATE_COLD

    await eventually(is_cold)
    # The next binding must not lapse before the last of the calls is done.
    await servers[0].update(lapsing, ttl=Duration(seconds=600))
    asked()

    answers = await call_at_once(servers, lapsing, ("chat", "stream"))

    assert Counter(asked()) == {"create": 1, "chat": CALLERS}
    assert any(answer.context.restored for answer in answers)
    assert len({answer.text for answer in answers}) == 1
