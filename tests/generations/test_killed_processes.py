"""What readers of a generation learn when its process dies, or the store does.

Every kill is SIGKILL, and every process that is killed a real one.
"""

import asyncio
import os
import signal
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from contextbridge_server.store.backoff import retry_with_backoff
from families import read, some, text_of

GEMINI = "gemini-2.5-flash"
SLOW = f"{GEMINI}+pace=0.03"
ENDLESS = "count to 100000"
COUNT = "count to 60"
NUMBERS = " ".join(map(str, range(1, 61)))
SOON = 10
"""Within how many seconds readers learn that the process is gone."""
ONE_KIND = pytest.mark.parametrize("engine", ["shared"], indirect=True)
"""For what does not depend on the kind of store."""
METHODS = {
    "chat": ("ChatWithContext", "CompleteChatWithContext", "chatting"),
    "gemini": ("StreamGenerateContent", "GenerateContent", "generating"),
}
FAMILIES = pytest.mark.parametrize("family", METHODS)


async def both(one, other, method, request):
    """Begin a generation on one replica and read it on the other too; return calls and events."""
    call = one.call(method, request)
    events = await some(call, 5)
    elsewhere = other.call(method, request)
    return call, events, elsewhere, await some(elsewhere, 5)


async def broken(call, into) -> None:
    """Read a stream whose server goes away, whichever way gRPC says so."""
    with pytest.raises(grpc.aio.AioRpcError):
        await read(call, into)


def assert_prefix(events, whole) -> None:
    """Check that events are the first of others, from 1, without gap or repeat."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    shorter = min(len(events), len(whole))
    assert events[:shorter] == whole[:shorter]


def assert_abandoned(failed, saved) -> None:
    """Check what a reader is told of a generation whose rest will not be there."""
    assert failed.code is grpc.StatusCode.ABORTED
    assert failed.reason == "GENERATION_ABANDONED"
    assert failed.metadata["savedEvents"] == str(saved)


def answers_made(asked) -> list[str]:
    """Return the requests for answers since the last time."""
    return [word for word in asked() if not word.startswith("create")]


@pytest.fixture(name="process")
def process_fixture(engine, serving_process, client_of, gateway):
    """Return what runs a server on the store, as a process; yields its id and a caller."""

    @asynccontextmanager
    async def process(*flags):
        upstream = ("--upstream", gateway.url, "--upstream-api-key", "sk-test")
        with serving_process(*upstream, "--store", engine.url, *flags) as (pid, address):
            async with grpc.aio.insecure_channel(address) as channel:
                yield pid, client_of(channel)

    return process


async def dies(ending, process, clients, requests, failure, family, asked):
    """Read a generation here and there while its process is ended; return how long it took."""
    stream, unary, asking = METHODS[family]
    ask = getattr(requests, asking)
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with clients() as beside, clients() as late:
        async with process() as (pid, owner):
            context = await owner.made(GEMINI)
            request = ask(context, ENDLESS, **fields)
            own: list = []
            here = owner.call(stream, request)
            own += await some(here, 5)
            rest_of_own = asyncio.create_task(broken(here, own))
            from_start: list = []
            there = beside.call(stream, request)
            from_start += await some(there, 5)
            resume = ask(context, ENDLESS, resume_after=3, **fields)
            resumed: list = []
            waiting = [
                asyncio.create_task(failure(read(there, from_start))),
                asyncio.create_task(failure(read(beside.call(stream, resume), resumed))),
                asyncio.create_task(failure(beside.call(unary, request))),
            ]
            while len(from_start) < 12 or len(resumed) < 6:
                await asyncio.sleep(0.01)
            ended = time.monotonic()
            os.kill(pid, ending)
            async with asyncio.timeout(60):
                failures = await asyncio.gather(*waiting)
            took = time.monotonic() - ended
            await rest_of_own

        assert_prefix(from_start, own)
        assert from_start[3:] == resumed
        for failed in failures:
            assert_abandoned(failed, len(from_start))

        # Whoever comes later is told the same.
        for client in (late, beside):
            for after in (0, 4, len(from_start), len(from_start) + 1):
                events: list = []
                resume = ask(context, ENDLESS, resume_after=after, **fields)
                async with asyncio.timeout(SOON):
                    assert_abandoned(
                        await failure(read(client.call(stream, resume), events)), len(from_start)
                    )
                assert events == from_start[after:]
            assert_abandoned(await failure(client.call(unary, request)), len(from_start))
        assert len(answers_made(asked)) == 1
        return took


@pytest.mark.parametrize(
    "engine, family", [("embedded", "chat"), ("cluster", "gemini")], indirect=["engine"]
)
async def test_readers_elsewhere_learn_that_a_generations_process_was_killed(
    family, process, clients, requests, failure, asked
):
    took = await dies(signal.SIGKILL, process, clients, requests, failure, family, asked)

    assert took < SOON


@ONE_KIND
async def test_readers_elsewhere_learn_that_a_generations_process_was_stopped(
    process, clients, requests, failure, asked
):
    took = await dies(signal.SIGTERM, process, clients, requests, failure, "chat", asked)

    assert took < SOON


@ONE_KIND
async def test_a_process_that_was_taken_for_dead_spoils_nothing_when_it_wakes(
    process, clients, requests, failure, gateway
):
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with clients() as beside, process() as (pid, owner):
        context = await owner.made(GEMINI)
        request = requests.chatting(context, COUNT, **fields)
        here = owner.call("ChatWithContext", request)
        own = await some(here, 3)
        there = beside.call("ChatWithContext", request)
        had = await some(there, 3)
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(30):
                failed = await failure(read(there, had))
        finally:
            os.kill(pid, signal.SIGCONT)
        # Its own caller has noticed nothing.
        await read(here, own)
        later: list = []
        again = await failure(read(beside.call("ChatWithContext", request), later))

    assert text_of(own) == NUMBERS
    assert_prefix(had, own)
    assert_abandoned(failed, len(had))
    assert later == had
    assert_abandoned(again, len(had))


# The store.


@pytest.fixture(name="durable")
async def durable_fixture(running_server):
    """Run a Valkey with every write on the disk: what comes back is what went away."""
    async with running_server("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(name="replicas")
def replicas_fixture(bridge, client_of, gateway):
    """Return what runs two bridges on a Valkey: `async with replicas(server) as (one, other)`."""

    @asynccontextmanager
    async def replicas(server, **settings):
        given = {"store": f"valkey://127.0.0.1:{server.port}", "store_timeout": "500ms"}
        async with AsyncExitStack() as stack:
            yield [
                client_of(
                    await stack.enter_async_context(bridge(gateway.url, **(given | settings)))
                )
                for _ in range(2)
            ]

    return replicas


@FAMILIES
async def test_a_store_that_comes_back_in_time_has_the_whole_generation(
    family, durable, replicas, requests, asked
):
    stream, unary, asking = METHODS[family]
    ask = getattr(requests, asking)
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with replicas(durable) as (one, other):
        context = await one.made(GEMINI)
        request = ask(context, COUNT, **fields)
        call, events, elsewhere, there = await both(one, other, stream, request)
        await durable.kill()
        had = len(events)
        events += await some(call, 10)
        assert len(events) > had
        await durable.start()

        whole, from_other = await asyncio.gather(read(call, events), read(elsewhere, there))
        resume = ask(context, COUNT, resume_after=7, **fields)
        rests = [await read(client.call(stream, resume)) for client in (other, one)]
        await other.call(unary, request)

    assert text_of(whole) == NUMBERS
    assert from_other == whole
    assert rests == [whole[7:], whole[7:]]
    assert len(answers_made(asked)) == 1


async def test_an_embedded_store_that_is_killed_has_the_whole_generation(
    bridge, client_of, gateway, requests, eventually, asked
):
    fields = {"model": SLOW, "idempotency_key": "once"}
    with tempfile.TemporaryDirectory() as directory:

        def valkeys() -> list[int]:
            return [
                int(entry.name)
                for entry in Path("/proc").iterdir()
                if entry.name.isdecimal() and serves(entry, Path(directory))
            ]

        async with (
            bridge(gateway.url, store="embedded", data_dir=directory) as first,
            bridge(gateway.url, store="embedded", data_dir=directory) as second,
        ):
            one, other = client_of(first), client_of(second)
            context = await one.made(GEMINI)
            request = requests.chatting(context, COUNT, **fields)
            call, events, elsewhere, there = await both(one, other, "ChatWithContext", request)
            (killed,) = valkeys()
            os.kill(killed, signal.SIGKILL)

            whole, from_other = await asyncio.gather(read(call, events), read(elsewhere, there))
            await eventually(lambda: valkeys() not in ([], [killed]))
            again = await read(other.call("ChatWithContext", request))

    assert text_of(whole) == NUMBERS
    assert whole == from_other == again
    assert len(answers_made(asked)) == 1


def serves(entry: Path, directory: Path) -> bool:
    """Tell whether a process, by its folder in /proc, runs the store of a directory."""
    try:
        is_there = (entry / "cwd").resolve() == directory.resolve()
        return is_there and b"valkey-server" in (entry / "cmdline").read_bytes()
    except OSError:
        return False


async def test_a_store_that_stays_away_costs_the_caller_nothing_and_leaves_nobody_waiting(
    durable, replicas, requests, failure, monkeypatch, asked
):
    monkeypatch.setattr(retry_with_backoff, "__defaults__", (timedelta(milliseconds=300),))
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with replicas(durable, resume_grace="20s") as (one, other):
        context = await one.made(GEMINI)
        request = requests.chatting(context, COUNT, **fields)
        call, events, elsewhere, there = await both(one, other, "ChatWithContext", request)
        await durable.kill()

        async with asyncio.timeout(30):
            whole, failed = await asyncio.gather(
                read(call, events), failure(read(elsewhere, there))
            )
        await durable.start()
        late: list = []
        async with asyncio.timeout(30):
            told = await failure(read(other.call("ChatWithContext", request), late))

    assert text_of(whole) == NUMBERS
    assert_prefix(there, whole)
    assert failed.reason in {"STORE_UNAVAILABLE", "GENERATION_ABANDONED"}
    assert_prefix(late, whole)
    assert_abandoned(told, len(late))
    assert len(answers_made(asked)) == 1


async def test_once_it_is_given_up_readers_elsewhere_do_not_wait_for_the_rest(
    durable, replicas, requests, failure, monkeypatch, eventually
):
    monkeypatch.setattr(retry_with_backoff, "__defaults__", (timedelta(milliseconds=300),))
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with replicas(durable) as (one, other):
        context = await one.made(GEMINI)
        request = requests.chatting(context, ENDLESS, **fields)
        call = one.call("ChatWithContext", request)
        events = await some(call, 5)
        await durable.kill()
        # Long enough that saving has been given up, and that the store was not told so either.
        reading = asyncio.create_task(read(call, events))
        had = len(events)
        await eventually(lambda: len(events) > had + 100)
        await durable.start()
        # Long enough that its process has been heard of again.
        had = len(events)
        await eventually(lambda: len(events) > had + 60)

        late: list = []
        async with asyncio.timeout(15):
            told = await failure(read(other.call("ChatWithContext", request), late))
        call.cancel()
        await asyncio.wait([reading])

    assert_prefix(late, events)
    assert_abandoned(told, len(late))


async def test_a_store_that_has_lost_everything_ends_no_answer_and_resumes_none(
    running_server, replicas, requests, failure, asked
):
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with running_server() as server, replicas(server) as (one, other):
        raw = (await one.made(GEMINI)).upstream_id
        request = requests.generating(raw, COUNT, **fields)
        call, events, elsewhere, there = await both(one, other, "StreamGenerateContent", request)
        await server.kill()
        await server.start()

        async with asyncio.timeout(30):
            whole, failed = await asyncio.gather(
                read(call, events), failure(read(elsewhere, there))
            )
        resume = requests.generating(raw, COUNT, resume_after=5, **fields)
        refused = [
            await failure(read(client.call("StreamGenerateContent", resume)))
            for client in (one, other)
        ]
        fresh = await read(other.call("StreamGenerateContent", request))

    assert text_of(whole) == text_of(fresh) == NUMBERS
    assert_prefix(there, whole)
    assert_abandoned(failed, len(there))
    assert {r.reason for r in refused} == {"NOT_RESUMABLE"}
    assert len(answers_made(asked)) == 2


async def test_a_store_that_is_full_costs_the_caller_nothing(
    running_server, replicas, requests, failure, eventually
):
    fields = {"model": SLOW, "idempotency_key": "once"}
    async with running_server() as server, replicas(server) as (one, other):
        raw = (await one.made(GEMINI)).upstream_id
        request = requests.generating(raw, COUNT, **fields)
        call = one.call("StreamGenerateContent", request)
        events = await some(call, 5)
        elsewhere = other.call("StreamGenerateContent", request)
        there = await some(elsewhere, 5)
        await server.command("CONFIG", "SET", "maxmemory", "1")

        async with asyncio.timeout(30):
            whole, failed = await asyncio.gather(
                read(call, events), failure(read(elsewhere, there))
            )
            other_id = requests.generating(raw, COUNT, model=GEMINI, idempotency_key="another")
            without = await read(one.call("StreamGenerateContent", other_id))

    assert text_of(whole) == text_of(without) == NUMBERS
    assert_prefix(there, whole)
    assert_abandoned(failed, len(there))
