"""The store's commands, on every kind of Valkey."""

import asyncio
import random
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from valkey.exceptions import DataError, ResponseError

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.store.interface import Script

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
SHORT = timedelta(seconds=1.5)


@pytest.fixture(name="seeded")
def seeded_fixture():
    """A source of chance that is the same every time."""
    return random.Random(3)


async def test_replies_come_as_valkey_sends_them(store):
    assert await store.execute("SET", "{a}k", "é") == b"OK"
    assert await store.execute("GET", "{a}k") == "é".encode()
    assert await store.execute("GET", "{a}none") is None
    assert await store.execute("HSET", "{a}h", "f", b"\x00\xff", "n", 1, "x", 0.5) == 3
    assert await store.execute("HGETALL", "{a}h") == [b"f", b"\x00\xff", b"n", b"1", b"x", b"0.5"]


async def test_bytes_of_any_size_come_back_as_they_were(store, seeded):
    for size in (0, 1, 6_000, 70_000, 5_000_000):
        value = b"\r\n$-1\r\n"[:size] + seeded.randbytes(max(size - 7, 0))
        await store.execute("SET", f"bytes-{size}", value)

        assert await store.execute("GET", f"bytes-{size}") == value


async def test_commands_in_many_slots_are_answered_in_their_order(store):
    await store.execute_each([("SET", f"key-{number}", number) for number in range(500)])

    replies = await store.execute_each([("GET", f"key-{number}") for number in range(500)])

    assert replies == [str(number).encode() for number in range(500)]


async def test_no_commands_have_no_replies(store):
    assert await store.execute_each([]) == []


async def test_a_script_runs_as_one_step(store):
    await asyncio.gather(*(store.run(ADD, ["count"], 2) for _ in range(200)))

    assert await store.execute("GET", "count") == b"400"


async def test_a_script_that_valkey_has_forgotten_is_sent_again(engine, store):
    keys = [f"count-{number}" for number in range(20)]
    for key in keys:
        await store.run(ADD, [key], 1)
    await engine.each("SCRIPT", "FLUSH")

    assert [await store.run(ADD, [key], 1) for key in keys] == [2] * len(keys)


@pytest.mark.parametrize(
    "words", [("INCR", "{a}word"), ("LPUSH", "{a}word", 1), ("NONSENSE", "{a}word")]
)
async def test_a_wrong_command_is_a_fault_of_ours(store, words):
    await store.execute("SET", "{a}word", "abc")

    with pytest.raises(ResponseError):
        await store.execute(*words)
    with pytest.raises(ResponseError):
        await store.execute_each([("GET", "{a}word"), words])
    with pytest.raises(ResponseError):
        await store.run(Script("return redis.call('INCR', KEYS[1])"), ["{a}word"])

    assert await store.execute("GET", "{a}word") == b"abc"


@pytest.mark.parametrize("argument", [True, None, "\ud800"])
async def test_an_argument_that_cannot_be_sent_is_a_fault_of_ours(store, argument):
    with capture_logs() as logs, pytest.raises((DataError, UnicodeEncodeError)):
        await store.execute("SET", "key", argument)

    assert logs == []
    assert await store.execute("GET", "key") is None


async def test_a_cancelled_command_leaves_no_reply_to_the_next(store):
    await store.execute("SET", "{a}mine", "mine")
    blocked = asyncio.create_task(store.execute("BLPOP", "{a}list", 10))
    await asyncio.sleep(0.1)

    blocked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await blocked
    await store.execute("RPUSH", "{a}list", "yours")

    assert [await store.execute("GET", "{a}mine") for _ in range(5)] == [b"mine"] * 5


async def test_commands_cancelled_anywhere_mix_up_nothing(engine, store, seeded, eventually):
    keys = [f"key-{number}" for number in range(50)]
    await store.execute_each([("SET", key, key) for key in keys])

    async def get(key):
        if seeded.random() < 0.5:
            return [await store.execute("GET", key)]
        return await store.execute_each([("GET", key), ("GET", key)])

    for _ in range(30):
        tasks = {key: asyncio.create_task(get(key)) for key in keys}
        for task in tasks.values():
            asyncio.get_running_loop().call_later(seeded.random() * 0.01, task.cancel)
        await asyncio.wait(tasks.values())
        for key, task in tasks.items():
            assert task.cancelled() or set(task.result()) == {key.encode()}

    assert await store.execute_each([("GET", key) for key in keys]) == [k.encode() for k in keys]
    await eventually(lambda: at_most(engine, 1))


async def at_most(engine, count):
    """Tell whether the bridge has no more connections to a server than it may."""
    return await engine.connections() <= count * max(len(engine.servers), 1)


async def test_cancelled_commands_leak_no_connections(engine, store, eventually):
    await store.execute("SET", "key", "value")
    before = await engine.connections()
    for _ in range(100):
        blocked = asyncio.create_task(store.execute("BLPOP", "list", 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        blocked.cancel()
        await asyncio.wait([blocked])
    assert await store.execute("GET", "key") == b"value"

    await eventually(lambda: no_more_than(engine, before + 1))


async def no_more_than(engine, count):
    return await engine.connections() <= count


async def test_many_commands_at_once_share_a_connection(engine, store):
    await asyncio.gather(*(store.execute("INCR", "count") for _ in range(2_000)))

    assert await store.execute("GET", "count") == b"2000"
    assert await at_most(engine, 1)


async def test_a_closed_store_has_no_connections(engine, open_store, eventually):
    async with open_store(engine.url) as store:
        await asyncio.gather(*(store.execute("INCR", "count") for _ in range(100)))

    await eventually(lambda: no_more_than(engine, 0))


async def test_an_answer_that_does_not_come_is_not_waited_for(engine, open_store):
    async with open_store(engine.url, SHORT) as store:
        began = asyncio.get_running_loop().time()
        with pytest.raises(BridgeError) as caught:
            await store.execute("BLPOP", "list", 30)

        assert asyncio.get_running_loop().time() - began < 10
        assert caught.value.reason == pb.ERROR_REASON_STORE_UNAVAILABLE
        assert await store.execute("SET", "list", "free") == b"OK"


async def test_a_wait_behind_a_command_that_blocks_is_bounded_too(engine, open_store):
    async with open_store(engine.url, SHORT) as store:
        blocked = (store.execute("BLPOP", "list", 30) for _ in range(70))

        failures = await asyncio.gather(*blocked, return_exceptions=True)

        assert {failure.reason for failure in failures} == {pb.ERROR_REASON_STORE_UNAVAILABLE}
        assert await store.execute("SET", "list", "free") == b"OK"


async def test_connections_that_valkey_closed_are_replaced_unnoticed(engine, store):
    await asyncio.gather(*(store.execute("INCR", f"count-{n}") for n in range(200)))
    await engine.each("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    for number in range(200):
        assert await store.execute("INCR", f"count-{number}") == 2


async def test_a_write_without_room_is_store_full_and_reads_go_on(engine, store):
    await store.execute("SET", "key", "value")
    await engine.each("CONFIG", "SET", "maxmemory", 1)
    try:
        for write in (
            lambda: store.execute("SET", "other", "value"),
            lambda: store.execute_each([("GET", "key"), ("SET", "other", "value")]),
            lambda: store.run(ADD, ["count"], 1),
        ):
            with pytest.raises(BridgeError) as caught:
                await write()
            assert caught.value.reason == pb.ERROR_REASON_STORE_FULL
        assert await store.execute("GET", "key") == b"value"
    finally:
        await engine.each("CONFIG", "SET", "maxmemory", 0)

    assert await store.execute("SET", "other", "value") == b"OK"


async def test_what_happens_to_a_healthy_store_is_not_logged(store):
    with capture_logs() as logs:
        await store.execute("GET", "key")
        await store.run(ADD, ["other"], 1)

    assert logs == []
