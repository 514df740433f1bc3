"""A thousand identical calls at once, on two servers that are processes: upstream sees one."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import grpc
import pytest
from aiohttp import web

from contextbridge import v1 as pb

CALLERS = 1_000
WORDS = [f"Wörter-{number} " for number in range(60)]
WAITED_FOR = 20
HIT, MISS, JOINED = (
    pb.RESPONSE_CACHE_STATUS_HIT,
    pb.RESPONSE_CACHE_STATUS_MISS,
    pb.RESPONSE_CACHE_STATUS_JOINED,
)


class Crowd:
    """Callers of one answer, and upstream, which says a word once all of them have the one before.

    The last of the words it says without waiting.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._having: Counter[int] = Counter()
        self._all_have = [asyncio.Event() for _ in range(WAITED_FOR)]

    async def answer(self, _path: str, _body: bytes) -> web.Response:
        """Answer as upstream."""
        self.asked += 1
        return web.Response(body=self._stream(), headers={"Content-Type": "text/event-stream"})

    async def call(self, client: Any, request: Any) -> list[pb.ChatWithContextResponse]:
        """Read an answer as one of the callers."""
        events, words = [], 0
        async for event in client.call("ChatWithContext", request):
            events.append(event)
            if event.content.text and words < WAITED_FOR:
                self._having[words] += 1
                if self._having[words] == CALLERS:
                    self._all_have[words].set()
                words += 1
        return events

    async def _stream(self) -> AsyncIterator[bytes]:
        yield chunk(delta={"role": "assistant", "content": ""})
        for number, word in enumerate(WORDS):
            yield chunk(delta={"content": word})
            if number < WAITED_FOR:
                await self._all_have[number].wait()
        yield chunk(delta={}, finish_reason="stop")
        yield b"data: [DONE]\n\n"


def chunk(**choice: Any) -> bytes:
    counts = {"prompt_tokens": 5, "completion_tokens": 60, "total_tokens": 65}
    body = {
        "id": "answer-1",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": None} | choice],
        "usage": counts if "finish_reason" in choice else None,
    }
    return b"data: %b\n\n" % json.dumps(body).encode()


@pytest.fixture(name="servers")
async def servers_fixture(engine, between, serving_process, client_of):
    """Run two servers as processes, with one store; return a caller of each."""
    flags = ("--upstream", between.url, "--upstream-api-key", "sk-test", "--store", engine.url)
    with ExitStack() as processes:
        started = await asyncio.gather(
            *(asyncio.to_thread(processes.enter_context, serving_process(*flags)) for _ in range(2))
        )
        async with AsyncExitStack() as channels:
            yield [
                client_of(await channels.enter_async_context(grpc.aio.insecure_channel(address)))
                for _, address in started
            ]


def told(events: list[pb.ChatWithContextResponse]) -> tuple[bytes, ...]:
    """Return what a caller was told, without what the last event says of the caller's own call."""
    *first, last = events
    same = pb.ChatWithContextResponse()
    same.CopyFrom(last)
    for field in ("response_cache", "billed_usage", "context"):
        same.completed.ClearField(field)
    return tuple(event.SerializeToString(deterministic=True) for event in (*first, same))


@pytest.mark.parametrize("engine", ["cluster"], indirect=True)
async def test_a_thousand_calls_on_two_servers_are_one_to_upstream(servers, between, requests):
    # Arrange
    crowd = Crowd()
    between.rule = crowd.answer
    cached = pb.ResponseCachePolicy(enabled=True)
    request = requests.chatting("ctx-raw", model="m", response_cache=cached)

    # Act
    async with asyncio.timeout(100):
        answers = await asyncio.gather(
            *(crowd.call(servers[number % 2], request) for number in range(CALLERS))
        )
        late = [await crowd.call(server, request) for server in servers]

    # Assert
    assert crowd.asked == 1
    for events in (*answers, *late):
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        kinds = [event.WhichOneof("event") for event in events]
        assert (kinds[0], kinds[-2:]) == ("started", ["choice_finished", "completed"])
        assert set(kinds[1:-2]) == {"content"}
    assert len({told(events) for events in (*answers, *late)}) == 1
    assert "".join(event.content.text for event in answers[0]) == "".join(WORDS)
    assert len(answers[0]) > WAITED_FOR

    ends = [events[-1].completed for events in answers]
    assert Counter(end.response_cache.status for end in ends) == {MISS: 1, JOINED: CALLERS - 1}
    assert {events[-1].completed.response_cache.status for events in late} == {HIT}
    paid = [end for end in ends if end.billed_usage != pb.Usage()]
    assert [end.response_cache.status for end in paid] == [MISS]
    assert paid[0].billed_usage == paid[0].usage
    assert {end.usage.total_tokens for end in ends} == {65}
