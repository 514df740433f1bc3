"""What callers notice of a store that goes away, and comes back."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
COUNT = "count to 20"
ONE_STORE = pytest.mark.parametrize("breakable", ["shared"], indirect=True)
"""For what does not depend on the kind of store: a cluster takes seconds to come back."""


class Breakable:
    """A Valkey that a test takes away and brings back."""

    def __init__(self, engine, eventually):
        self.url = engine.url
        self._servers = engine.servers
        self._eventually = eventually

    async def take_away(self):
        for server in self._servers:
            await server.kill()

    async def bring_back(self):
        for server in self._servers:
            await server.start()
        for server in self._servers:
            await self._eventually(lambda server=server: self._serves(server))

    async def _serves(self, server):
        if len(self._servers) == 1:
            return True
        return b"cluster_state:ok" in await server.command("CLUSTER", "INFO")


@pytest.fixture(name="breakable", scope="module", params=["shared", "cluster"])
async def breakable_fixture(request, running, eventually):
    """Run each kind of Valkey that runs without us, for the tests of this module."""
    # With every write on the disk, what comes back is what went away.
    options = ("--appendonly", "yes", "--appendfsync", "always")
    async with running[request.param](*options) as engine:
        yield Breakable(engine, eventually)


@pytest.fixture(name="clients")
def clients_fixture(breakable, bridge, gateway, client_of):
    """Return what runs a bridge on it, and yields a caller."""

    @asynccontextmanager
    async def clients(upstream):
        async with bridge(upstream, store=breakable.url) as channel:
            yield client_of(channel)

    return clients


@pytest.fixture(name="client")
async def client_fixture(clients, gateway):
    """Run a bridge on it, and return a caller."""
    async with clients(gateway.url) as client:
        yield client


@pytest.fixture(name="held")
async def held_fixture(clients, between):
    """Run a bridge on it whose creates are held; return a caller, and what tells and frees them."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def rule(path, _):
        if path.endswith("/create"):
            arrived.set()
            await go_on.wait()

    async with clients(between.url) as client:
        between.rule = rule
        yield client, arrived, go_on


async def test_calls_that_need_the_store_fail_while_it_is_away_and_no_others_do(
    client, gateway, breakable, failure, asked
):
    fixed, session = await client.made(GEMINI), await client.made(ARK)
    raw = pb.Context(id=fixed.upstream_id, model=GEMINI)
    expected = await client.chat(fixed, COUNT)
    # They go on until the store is away for sure.
    paced, delayed = f"{GEMINI}+pace=0.1", f"{GEMINI}+delay=2"
    in_flight = [
        asyncio.create_task(client.ask(way, fixed, COUNT, model=model))
        for way, model in (("stream", paced), ("stream_generate", paced), ("chat", delayed))
    ]
    await gateway.wait_for_open(len(in_flight))

    await breakable.take_away()

    answers = await asyncio.gather(*in_flight)
    assert {answer.text for answer in answers} == {expected.text}
    asked()
    for call in (
        client.chat(fixed),
        client.stream(fixed),
        client.generate(fixed),
        client.chat(session),
        client.get(fixed),
        client.list(),
        client.update(fixed, display_name="x"),
        client.delete(fixed),
        client.made(GEMINI),
        client.made(GEMINI, idempotency_key="once"),
        client.made(GEMINI, reuse=pb.REUSE_IDENTICAL),
    ):
        failed = await failure(call)

        assert failed.code == grpc.StatusCode.UNAVAILABLE
        assert failed.reason == "STORE_UNAVAILABLE"
    assert asked() == []
    for way in ("chat", "stream", "generate", "stream_generate"):
        assert (await client.ask(way, raw)).text

    await breakable.bring_back()

    assert not (await client.chat(fixed)).context.restored
    assert (await client.chat(session)).text
    assert (await client.made(GEMINI, idempotency_key="once")).id
    # Calls that ended while it was away are not counted.
    assert (await client.get(fixed)).statistics.call_count == 2


@ONE_STORE
async def test_a_sessions_turn_is_kept_once_the_store_is_back(client, gateway, breakable):
    session = await client.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
    call = asyncio.create_task(client.chat(session, "Mind the fog.", model=f"{ARK}+delay=1.5"))
    await gateway.wait_for_open(1)
    await breakable.take_away()
    await gateway.wait_for_open(0)
    await breakable.bring_back()

    await call
    gateway.expire()
    answer = await client.chat(session, "recall turn 1")

    assert answer.text == "Mind the fog."
    assert answer.context.restored


@ONE_STORE
async def test_a_binding_that_was_made_while_the_store_was_away_is_used(
    client, held, gateway, breakable, asked
):
    fixed = await client.made(GEMINI)
    held_client, arrived, go_on = held
    gateway.expire()
    asked()
    call = asyncio.create_task(held_client.chat(fixed))
    await arrived.wait()
    await breakable.take_away()
    go_on.set()
    await gateway.wait_until(lambda: gateway.state()["caches"] == 1)
    await breakable.bring_back()

    answer = await call

    assert answer.context.restored
    assert asked()[1:] == ["create", "chat"]
    assert not (await client.chat(fixed)).context.restored


@ONE_STORE
async def test_a_create_that_upstream_made_while_the_store_was_away_is_kept(
    held, gateway, breakable, asked
):
    client, arrived, go_on = held
    call = asyncio.create_task(client.made(GEMINI, idempotency_key="once more"))
    await arrived.wait()
    await breakable.take_away()
    go_on.set()
    await gateway.wait_until(lambda: gateway.state()["caches"] == 1)
    await breakable.bring_back()

    context = await call

    assert (await client.get(context)).id == context.id
    assert (await client.made(GEMINI, idempotency_key="once more")).id == context.id
    assert asked() == ["create"]
