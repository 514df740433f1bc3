import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest


async def post(caller: Any, model: str, *, stream: bool, text: str = "count to 9") -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    url = f"{caller.emulator.url}/v1/chat/completions"
    return await caller.session.post(
        url, json=body, headers={"Authorization": f"Bearer {caller.key}"}
    )


async def test_a_request_is_recorded_as_it_arrived(caller: Any) -> None:
    await caller.post(
        "/v1/models/gemini-2.0-flash%3AgenerateContent?key=k",
        {"contents": []},
        headers={"X-A": "b"},
    )
    record = caller.emulator.requests[-1]
    assert (record.method, record.path) == ("POST", "/v1/models/gemini-2.0-flash:generateContent")
    assert record.query == {"key": "k"}
    assert record.headers["x-a"] == "b"
    assert record.json == {"contents": []}
    assert record.body_bytes == len('{"contents": []}')
    assert (record.status, record.outcome) == (400, "answered")
    assert caller.emulator.open_requests == 0


async def test_a_client_that_leaves_a_slow_answer_is_noticed(caller: Any) -> None:
    waiting = asyncio.create_task(post(caller, "stall", stream=False))
    await caller.emulator.wait_for_open(1)
    assert caller.emulator.requests[-1].outcome == "open"
    waiting.cancel()
    await caller.emulator.wait_for_open(0)
    assert caller.emulator.requests[-1].outcome == "closed-by-client"


async def test_a_client_that_leaves_a_stream_is_noticed(caller: Any) -> None:
    reply = await post(caller, "echo", stream=True, text="count to 1000000")
    await reply.content.readline()
    reply.close()
    await caller.emulator.wait_for_open(0)
    assert caller.emulator.requests[-1].outcome == "closed-by-client"


async def test_a_stream_waits_for_its_reader(caller: Any) -> None:
    reply = await post(caller, "echo", stream=True, text="count to 200000")
    await reply.content.readline()
    # Nobody reads now: what the kernel and the client hold is far less than the answer.
    with pytest.raises(TimeoutError):
        await caller.emulator.wait_for_open(0, 0.5)
    assert caller.emulator.open_requests == 1
    reply.close()
    await caller.emulator.wait_for_open(0)


async def test_long_answers_have_one_delta_for_each_number(caller: Any) -> None:
    reply = await caller.chat("count to 20000", stream=True)
    assert reply.raw.count(b'"delta":{"content":"') == 20_000
    unary = await caller.chat("count to 20000")
    assert unary.json["choices"][0]["message"]["content"].endswith(" 19999 20000")


async def test_several_events_can_share_a_write(start: Any) -> None:
    async with start(events_per_write=16) as caller:
        reply = await caller.chat("count to 100", stream=True)
        assert reply.raw.count(b"data: ") == 100 + 3


async def test_a_body_that_comes_late_is_told_to_who_waits_for_it(caller: Any) -> None:
    async def late() -> AsyncIterator[bytes]:
        yield b'{"model": "stall", '
        await caller.emulator.wait_for_open(1)
        yield b'"messages": [{"role": "user", "content": "Hi"}]}'

    url = f"{caller.emulator.url}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {caller.key}", "Content-Type": "application/json"}
    waiting = asyncio.create_task(caller.session.post(url, data=late(), headers=headers))
    await caller.emulator.wait_until(
        lambda: any(record.json is not None for record in caller.emulator.requests)
    )
    assert caller.emulator.requests[-1].json["model"] == "stall"
    waiting.cancel()
    await caller.emulator.wait_for_open(0)


async def test_waiting_gives_up_in_time(caller: Any) -> None:
    with pytest.raises(TimeoutError):
        await caller.emulator.wait_for_open(1, 0.01)


async def test_the_surface_can_be_read_from_outside(caller: Any, another: Any) -> None:
    await caller.create()
    await another().create()
    seen = (await caller.get(f"/_emulator/requests?key={caller.key}")).json["requests"]
    assert [record["path"] for record in seen] == ["/v1/context/create"]
    assert seen[0]["outcome"] == "answered"
    assert seen[0]["json"]["model"] == "echo"
    everything = (await caller.get("/_emulator/requests")).json["requests"]
    assert len(everything) == 2
    state = (await caller.get("/_emulator/state")).json
    assert state == {
        "open_requests": 0,
        "records": 2,
        "accounts": 2,
        "contexts": 2,
        "caches": 0,
        "files": 0,
        "uploads": 0,
        "stored_bytes": 0,
    }
    assert caller.emulator.state() == {"contexts": 2, "caches": 0, "files": 0}


async def test_everything_can_be_forgotten(caller: Any) -> None:
    for reset in (lambda: caller.post("/_emulator/reset"), None):
        context_id = await caller.create()
        if reset is None:
            caller.emulator.reset()
        else:
            assert (await reset()).status == 200
        assert not caller.emulator.requests
        assert (await caller.chat(context_id=context_id)).status == 404


async def test_everything_can_lapse_at_once(caller: Any) -> None:
    ids = [await caller.create() for _ in range(3)]
    assert (await caller.post("/_emulator/expire")).json == {"expired": 3}
    assert [(await caller.chat(context_id=each)).status for each in ids] == [404] * 3


@pytest.mark.parametrize("data", [b'{"dialect":"french"}', b"[]", b"{"])
async def test_faulty_wishes_are_refused(caller: Any, data: bytes) -> None:
    assert (await caller.send("POST", "/_emulator/expire", data=data)).status == 400


async def test_the_faults_there_are_can_be_listed(caller: Any) -> None:
    listed = (await caller.get("/_emulator/faults")).json
    assert listed["faults"]["slow"] == "waits 2 s before the first byte"
    assert "x-emulator-fault" in listed["headers"]


async def test_only_so_much_is_remembered(start: Any) -> None:
    async with start(max_records=3, max_record_bytes=400, max_accounts=1) as caller:
        for _ in range(5):
            await caller.create()
        assert len(caller.emulator.requests) <= 3
        assert sum(record.body_bytes for record in caller.emulator.requests) <= 400
        await caller.chat("x" * 500)
        assert caller.emulator.requests[-1].json is None
        await caller.get("/v1/models", key="another")
        assert (await caller.get("/_emulator/state")).json["accounts"] == 1
