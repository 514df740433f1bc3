"""Calls that ask neither to be resumed nor for the response cache: nothing is done for them."""

from collections import Counter

import pytest

from contextbridge import v1 as pb
from contextbridge_server.generations.journal import Journal
from contextbridge_server.store.valkey import SingleServer

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
FIXED = {"mode": pb.CONTEXT_MODE_COMMON_PREFIX}
WAYS = ("chat", "stream", "generate", "stream_generate")

pytestmark = pytest.mark.parametrize("engine", ["embedded"], indirect=True)


@pytest.fixture(name="commands")
def commands_fixture(monkeypatch):
    """Return what counts the exchanges with the store, by the method that makes them."""
    commands = Counter()

    def counted(name):
        original = getattr(SingleServer, name)

        async def method(self, *arguments, **keywords):
            commands[name] += 1
            return await original(self, *arguments, **keywords)

        return method

    for name in ("send", "send_each"):
        monkeypatch.setattr(SingleServer, name, counted(name))
    return commands


@pytest.fixture(autouse=True)
def _no_journals(monkeypatch):
    def refuse(self, max_bytes):
        pytest.fail("a plain call made a journal")

    monkeypatch.setattr(Journal, "__init__", refuse)


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_on_a_context_notes_its_use_and_loads_it_now_and_then(way, client, commands):
    context = await client.made(GEMINI)
    # Makes the script known to the store.
    await client.ask(way, context)
    commands.clear()

    for _ in range(10):
        await client.ask(way, context)

    # What was loaded is remembered for a second.
    assert 10 <= commands["send"] < 20
    assert commands["send_each"] == 0


@pytest.mark.parametrize("way", ["chat", "stream"])
async def test_a_call_on_an_upstream_id_looks_its_owner_up_now_and_then(way, client, commands):
    context = await client.made(ARK, **FIXED)
    commands.clear()

    for _ in range(10):
        await client.ask(way, context.upstream_id, model=ARK)

    assert 1 <= commands["send_each"] < 10
    assert commands["send"] == 0


@pytest.mark.parametrize("way", ["generate", "stream_generate"])
async def test_a_call_without_a_context_does_not_touch_the_store(way, client, commands):
    for _ in range(3):
        await client.ask(way, "", model=GEMINI)

    assert not commands


@pytest.mark.parametrize("way", ["generate", "stream_generate"])
async def test_a_policy_that_is_not_enabled_asks_for_nothing(way, client, commands):
    policy = pb.ResponseCachePolicy(refresh=True)

    await client.ask(way, "", model=GEMINI, response_cache=policy)

    assert not commands
