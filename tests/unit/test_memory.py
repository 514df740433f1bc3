"""Memory is given back once a burst of calls is over, and not before."""

import asyncio
import gc

import pytest

from contextbridge_server.process import memory
from contextbridge_server.process.memory import BURST, give_back, giving_back


@pytest.fixture(name="given")
def given_fixture(monkeypatch):
    """Count how often memory was given back, and look often."""
    given = []
    monkeypatch.setattr(memory, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(memory, "KEPT_SECONDS", 0.001)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(1))
    return given


async def test_memory_is_given_back_after_a_burst_and_again_when_connections_are_closed(given):
    count = BURST
    async with giving_back(lambda: count):
        await asyncio.sleep(0.05)
        assert given == []
        count = BURST // 10
        while len(given) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)

    assert len(given) == 2


@pytest.mark.parametrize("left", [BURST // 5, BURST])
async def test_nothing_is_done_while_calls_are_open(left, given):
    count = 2 * BURST
    async with giving_back(lambda: count):
        await asyncio.sleep(0.05)
        count = 2 * left
        await asyncio.sleep(0.05)

    assert given == []


async def test_nothing_is_done_after_a_few_calls(given):
    count = BURST - 1
    async with giving_back(lambda: count):
        await asyncio.sleep(0.05)
        count = 0
        await asyncio.sleep(0.05)

    assert given == []


def test_giving_back_collects_cycles():
    class Node:
        pass

    node = Node()
    node.itself = node
    gc.collect()
    count = sum(isinstance(each, Node) for each in gc.get_objects())
    del node

    give_back()

    assert sum(isinstance(each, Node) for each in gc.get_objects()) == count - 1
