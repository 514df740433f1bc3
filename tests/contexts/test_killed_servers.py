"""What is there after a crash: of a server, of the embedded store, of both.

Every kill is SIGKILL, and every process a real one.
"""

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
KILLS = 8
TURNS = 100


@pytest.fixture(name="directory")
def directory_fixture() -> Iterator[Path]:
    """Return a data directory of the test's own."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture(name="server")
def server_fixture(serving_process, client_of, gateway, directory):
    """Return what runs a server on the directory, as a process; yields its id and a caller."""

    @asynccontextmanager
    async def server(*flags) -> AsyncIterator[tuple]:
        upstream = ("--upstream", gateway.url, "--upstream-api-key", "sk-test")
        with serving_process(*upstream, "--data-dir", str(directory), *flags) as (pid, address):
            async with grpc.aio.insecure_channel(address) as channel:
                yield pid, client_of(channel)

    return server


@pytest.fixture(name="valkeys")
def valkeys_fixture(directory):
    """Return what finds the processes that run the directory's store."""

    def valkeys() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                serves = (entry / "cwd").resolve() == directory.resolve()
                is_valkey = b"valkey-server" in (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if serves and is_valkey:
                found.append(int(entry.name))
        return found

    return valkeys


def creates(gateway):
    return [r for r in gateway.requests if r.path == "/v1/context/create" and r.status == 200]


async def until_served(call):
    """Repeat a call while the store is away, and return what it returns; nothing else may fail."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if "The store cannot be reached." not in (error.details() or ""):
                    raise
                await asyncio.sleep(0.02)


async def test_a_killed_server_finds_contexts_turns_and_idempotency_keys_again(server, gateway):
    async with server() as (pid, client):
        created = await client.create(ARK, idempotency_key="once")
        for text in ("Trim the lamps.", "Mind the fog.", "Ring the bell."):
            await client.chat(created.context, text)
            gateway.expire()
        before = await client.get(created.context)
        os.kill(pid, signal.SIGKILL)

    async with server() as (_, client):
        after = await client.get(created.context)
        again = await client.create(ARK, idempotency_key="once")
        recalled = [await client.chat(after, f"recall turn {n}") for n in (1, 2, 3)]

    assert (after.id, after.create_time) == (before.id, before.create_time)
    for context in (after, before):
        context.statistics.ClearField("token_hours")
    assert after.statistics == before.statistics
    assert (after.statistics.call_count, after.statistics.restore_count) == (3, 2)
    assert again == created
    assert [answer.text for answer in recalled] == [
        "Trim the lamps.",
        "Mind the fog.",
        "Ring the bell.",
    ]
    assert len(creates(gateway)) == 4  # The first, and those that healed.


async def test_a_server_killed_in_calls_blocks_others_no_longer_than_a_lease(server, gateway):
    slow = f"{ARK}+delay=3"
    async with server() as (pid, client):
        session = await client.made(ARK)
        await client.chat(session, "Trim the lamps.")
        cut = [
            asyncio.create_task(client.chat(session, "Mind the fog.", model=slow)),
            asyncio.create_task(client.create(slow, idempotency_key="once")),
        ]
        await gateway.wait_for_open(len(cut))
        os.kill(pid, signal.SIGKILL)
        ends = await asyncio.gather(*cut, return_exceptions=True)

    async with server() as (_, client):
        async with asyncio.timeout(20):
            answer, made, again = await asyncio.gather(
                client.chat(session, "recall turn 1"),
                *(client.create(slow, idempotency_key="once") for _ in range(2)),
            )
        listed = await client.list()

    assert [end.code() for end in ends] == [grpc.StatusCode.UNAVAILABLE] * 2
    assert answer.text == "Trim the lamps."
    assert again == made
    assert [context.id for context in listed.contexts] == [made.context.id, session.id]


async def test_a_killed_server_leaves_no_store_behind(server, valkeys, eventually):
    async with server() as (pid, client):
        await client.made()
        assert len(valkeys()) == 1
        os.kill(pid, signal.SIGKILL)

        await eventually(lambda: not valkeys())


async def test_a_stopped_server_leaves_nothing_running_and_a_directory_that_opens(server, valkeys):
    async with server() as (_, client):
        context = await client.made()

    assert not valkeys()
    async with server() as (_, client):
        assert (await client.get(context)).id == context.id


async def test_the_next_server_takes_the_store_over_from_a_killed_one(server, valkeys, eventually):
    async with server() as (first, client), server() as (_, other):
        context = await client.made()
        assert len(valkeys()) == 1
        os.kill(first, signal.SIGKILL)

        answer = await until_served(lambda: other.chat(context, "Who keeps the light?"))
        await eventually(lambda: len(valkeys()) == 1)

    assert "lighthouse" in answer.text


async def test_a_stream_that_needs_no_store_outlives_it(server, gateway, valkeys, eventually):
    async with server() as (_, client):
        fixed = await client.made(GEMINI, "Trim the lamps. " * 600)
        expected = await client.stream(fixed, "count to 60")
        call = asyncio.create_task(client.stream(fixed, "count to 60", model=f"{GEMINI}+pace=0.01"))
        await gateway.wait_for_open(1)
        (killed,) = valkeys()
        os.kill(killed, signal.SIGKILL)

        answer = await call
        again = await until_served(lambda: client.get(fixed))
        await eventually(lambda: valkeys() not in ([], [killed]))

    assert answer.text == expected.text
    assert again.id == fixed.id


# Not `everysec`: while a flush is slow, it keeps what was acknowledged in memory for a moment.
@pytest.mark.parametrize("fsync", ["always", "no"])
async def test_nothing_acknowledged_is_lost_when_the_store_is_killed(
    fsync, server, valkeys, gateway
):
    kept: dict[str, pb.Context] = {}
    random_ = random.Random(7)

    async def work(client):
        session = await client.made(ARK, idempotency_key="session")
        for number in range(TURNS):
            made = await until_served(
                lambda number=number: client.made(ARK, idempotency_key=f"n-{number}")
            )
            kept[made.id] = made
            await until_served(lambda number=number: client.chat(session, f"turn {number}"))
        return session

    async def kill():
        for _ in range(KILLS):
            await asyncio.sleep(random_.uniform(0.05, 0.3))
            for pid in valkeys():
                os.kill(pid, signal.SIGKILL)

    async with server("--store-fsync", fsync) as (_, client):
        session, _ = await asyncio.gather(work(client), kill())
        found = [await until_served(lambda made=made: client.get(made)) for made in kept.values()]
        await until_served(lambda: client.get(session))
        gateway.expire()
        await until_served(lambda: client.chat(session, "And now?"))

    assert [context.id for context in found] == list(kept)
    assert len(creates(gateway)) == TURNS + 2  # The session's two among them.
    told = [m["content"] for m in creates(gateway)[-1].json["messages"] if m["role"] == "user"]
    # A call that was told that the store was away has left no turn, so that none is there twice.
    assert told == [f"turn {number}" for number in range(TURNS)]
