"""What the response cache has done: counted in each process, added up in the store."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.generations.counters import COUNTED, ResponseCacheCounters
from contextbridge_server.store.interface import Store
from contextbridge_server.store.keys import response_cache_key

HIT, MISS = pb.RESPONSE_CACHE_STATUS_HIT, pb.RESPONSE_CACHE_STATUS_MISS
NOTHING = pb.Usage()
SAVED = pb.Usage(
    prompt_tokens=10, completion_tokens=5, total_tokens=15, cached_tokens=7, reasoning_tokens=2
)


@pytest.fixture(name="store")
def store_fixture(lone_store: Store) -> Store:
    return lone_store


class Flaky:
    """A store that may be away."""

    def __init__(self, store):
        self._store = store
        self.is_away = False

    async def execute(self, *command):
        self._check()
        return await self._store.execute(*command)

    async def run(self, script, keys, *arguments):
        self._check()
        return await self._store.run(script, keys, *arguments)

    def _check(self):
        if self.is_away:
            raise BridgeError(pb.ERROR_REASON_STORE_UNAVAILABLE, "Away.")


async def added(store, tenant="acme"):
    """Return what the store holds of a tenant's tallies, the start left out."""
    reply = await store.execute("HGETALL", response_cache_key(tenant))
    fields = {k.decode(): int(v) for k, v in zip(reply[::2], reply[1::2], strict=True)}
    fields.pop("start_ms", None)
    return fields


@pytest.mark.parametrize("status", sorted(COUNTED))
async def test_a_call_is_counted_by_what_happened_to_it(status, store):
    tallies = ResponseCacheCounters(store)

    for _ in range(3):
        tallies.count("acme", status, NOTHING)

    counted = await tallies.of("acme")
    counted.ClearField("start_time")
    assert counted == pb.ResponseCacheStatistics(**{COUNTED[status]: 3})


def test_everything_that_can_happen_to_a_call_that_asks_is_counted():
    statuses = set(pb.ResponseCacheStatus.values())

    assert set(COUNTED) == statuses - {pb.RESPONSE_CACHE_STATUS_UNSPECIFIED}
    assert set(COUNTED.values()) <= set(pb.ResponseCacheStatistics.DESCRIPTOR.fields_by_name)


async def test_a_call_that_did_not_ask_is_not_counted(store):
    tallies = ResponseCacheCounters(store)

    tallies.count("acme", pb.RESPONSE_CACHE_STATUS_UNSPECIFIED, NOTHING)

    assert await tallies.of("acme") == pb.ResponseCacheStatistics()
    assert await added(store) == {}


async def test_what_calls_did_not_pay_for_adds_up(store):
    tallies = ResponseCacheCounters(store)

    for status in (HIT, pb.RESPONSE_CACHE_STATUS_JOINED):
        tallies.count("acme", status, SAVED)
    tallies.count("acme", MISS, NOTHING)

    counted = await tallies.of("acme")
    assert (counted.hit_count, counted.joined_count, counted.miss_count) == (1, 1, 1)
    assert counted.saved_prompt_tokens == 20
    assert counted.saved_completion_tokens == 10


async def test_processes_and_times_add_up_and_counting_began_once(store):
    before = datetime.now(UTC) - timedelta(seconds=1)
    first, second = ResponseCacheCounters(store), ResponseCacheCounters(store)
    first.count("acme", HIT, SAVED)
    start = (await first.of("acme")).start_time
    second.count("acme", HIT, SAVED)
    second.count_corrupt("acme")
    first.count("acme", MISS, NOTHING)

    for tallies in (second, first, second):
        counted = await tallies.of("acme")

    assert (counted.hit_count, counted.miss_count, counted.corrupt_count) == (2, 1, 1)
    assert counted.saved_prompt_tokens == 20
    assert counted.start_time == start
    assert before < start.ToDatetime(UTC) < datetime.now(UTC) + timedelta(seconds=1)


async def test_tenants_are_counted_apart(store):
    tallies = ResponseCacheCounters(store)
    tallies.count("acme", HIT, SAVED)
    tallies.count("bolt", MISS, NOTHING)

    acme, bolt = await tallies.of("acme"), await tallies.of("bolt")

    assert (acme.hit_count, acme.miss_count) == (1, 0)
    assert (bolt.hit_count, bolt.miss_count) == (0, 1)
    assert await tallies.of("nobody") == pb.ResponseCacheStatistics()


async def test_what_is_counted_reaches_the_store_by_itself(store, monkeypatch, eventually):
    monkeypatch.setattr("contextbridge_server.generations.counters.EVERY", timedelta(seconds=0.01))
    tallies = ResponseCacheCounters(store)

    async with tallies.adding():
        tallies.count("acme", HIT, NOTHING)
        await eventually(lambda: is_added(store, {"hit_count": 1}))
        tallies.count("acme", HIT, NOTHING)
        await eventually(lambda: is_added(store, {"hit_count": 2}))


async def is_added(store, expected):
    return await added(store) == expected


async def test_what_is_counted_last_is_added_when_the_server_ends(store):
    tallies = ResponseCacheCounters(store)

    async with tallies.adding():
        tallies.count("acme", HIT, SAVED)
        tallies.count("bolt", MISS, NOTHING)
        assert await added(store) == {}

    assert (await added(store))["hit_count"] == 1
    assert await added(store, "bolt") == {"miss_count": 1}


async def test_what_a_store_that_is_away_does_not_take_is_added_later(store):
    flaky = Flaky(store)
    tallies = ResponseCacheCounters(flaky)
    tallies.count("acme", HIT, SAVED)
    flaky.is_away = True
    for _ in range(2):
        with pytest.raises(BridgeError):
            await tallies.of("acme")
    tallies.count("acme", HIT, SAVED)
    async with tallies.adding():
        pass

    flaky.is_away = False

    counted = await tallies.of("acme")
    assert (counted.hit_count, counted.saved_prompt_tokens) == (2, 20)
    assert (await tallies.of("acme")).hit_count == 2


async def test_a_full_store_counts_on(store):
    tallies = ResponseCacheCounters(store)
    await store.execute("CONFIG", "SET", "maxmemory", 1)

    tallies.count("acme", pb.RESPONSE_CACHE_STATUS_BYPASSED, NOTHING)

    assert (await tallies.of("acme")).bypassed_count == 1


async def test_calls_that_are_counted_while_others_are_added_are_not_lost(store):
    tallies = ResponseCacheCounters(store)

    async def count():
        for _ in range(50):
            tallies.count("acme", HIT, NOTHING)
            await asyncio.sleep(0)

    await asyncio.gather(*(count() for _ in range(4)), *(tallies.of("acme") for _ in range(20)))

    assert (await tallies.of("acme")).hit_count == 200
