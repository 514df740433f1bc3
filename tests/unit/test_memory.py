"""Memory is given back once a burst of calls is over, and not before."""

import asyncio
import gc
import sys

import pytest

from contextbridge_server import memory
from contextbridge_server.process.allocator import give_back
from contextbridge_server.process.memory import BURST, giving_back


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


def test_giving_back_lets_go_of_names_that_attributes_were_asked_for_by():
    class Node:
        color = "red"

    # As C code makes it, for one question.
    name = "colors"[:-1]
    references = sys.getrefcount(name)
    assert getattr(Node, name) == "red"

    give_back()

    assert sys.getrefcount(name) == references


async def test_giving_back_leaves_a_small_table_of_tasks_that_still_knows_them():
    def size() -> int:
        return sys.getsizeof(asyncio.tasks._all_tasks.data)

    give_back()
    before, tasks = size(), asyncio.all_tasks()
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(20_000)))
    stays = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)  # The loop holds what has woken this task until it goes on.
    assert size() > 10 * before

    give_back()

    assert size() <= 2 * before
    assert stays in asyncio.all_tasks()
    stays.cancel()
    await asyncio.wait([stays])
    del stays
    gc.collect()
    assert asyncio.all_tasks() == tasks
