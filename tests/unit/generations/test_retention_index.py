"""What is kept of a tenant's generations: listed, bounded, and found to be deleted."""

from datetime import timedelta

import pytest

from contextbridge_server.generations.retention_index import RetentionBounds, RetentionIndex
from contextbridge_server.generations.stored_journals import (
    Ending,
    GenerationId,
    JournalState,
    LookupKey,
    StoredJournals,
)
from contextbridge_server.store.interface import Store
from contextbridge_server.store.keys import retention_key
from contextbridge_server.store.vault import Vault

HOUR = timedelta(hours=1)
RETENTION = timedelta(minutes=10)
NO_BOUNDS = RetentionBounds(count=1_000_000, bytes=2**50)


@pytest.fixture(name="store")
def store_fixture(lone_store: Store) -> Store:
    return lone_store


class Keeper:
    """Generations that are made, kept and looked for, a word each."""

    def __init__(self, store, bounds=NO_BOUNDS):
        self.store = store
        self.stored = StoredJournals(store, Vault(), RETENTION)
        self.kept = RetentionIndex(store, self.stored, bounds)

    async def keep(self, name, *tags, life=HOUR, size=100, tenant="acme") -> GenerationId:
        """Make a generation of so many bytes, and keep it for so long; for no life, to resume."""
        ending = Ending([b"x" * size], cached_for=life)
        if life is None:
            id_ = await self.stored.start(LookupKey(tenant, f"request//{name}"), "digest", "")
            assert isinstance(id_, GenerationId)
        else:
            id_ = await self.begin(name, tenant)
        await self.kept.add(id_, ending, tags)
        await self.stored.finish(id_, ending)
        return id_

    async def begin(self, name, tenant="acme") -> GenerationId:
        id_ = await self.stored.find_or_begin(
            lookup_key(name, tenant), max_age=HOUR, refresh=False, named=False
        )
        assert isinstance(id_, GenerationId)
        return id_

    async def is_served(self, name, tenant="acme"):
        """Tell whether a call would be answered from what is kept."""
        id_ = await self.stored.current(lookup_key(name, tenant))
        found = await self.stored.open(id_) if id_ else None
        return found is not None and found.status == "complete"

    async def served(self, *names):
        return [name for name in names if await self.is_served(name)]

    async def size(self, tenant="acme"):
        return await self.kept.size(tenant)


def lookup_key(name, tenant="acme"):
    return LookupKey(tenant, f"cache/{name}")


@pytest.fixture(name="keeper")
def keeper_fixture(store):
    return Keeper(store)


# Listed.


async def test_nothing_is_kept_at_first(keeper):
    assert await keeper.size() == (0, 0)
    assert await keeper.kept.delete("acme", None) == 0
    assert await keeper.kept.delete("acme", "tag") == 0


async def test_what_is_kept_is_counted_by_the_bytes_of_its_events(keeper):
    await keeper.keep("a", size=100)
    await keeper.keep("b", size=23)

    assert await keeper.size() == (2, 123)


async def test_what_is_listed_twice_counts_once(keeper):
    id_ = await keeper.begin("a")
    for size in (100, 100, 70):
        await keeper.kept.add(id_, Ending([b"x" * size], cached_for=HOUR), ["tag"])

    assert await keeper.size() == (1, 70)


async def test_what_is_forgotten_is_not_counted_and_may_be_forgotten_twice(keeper):
    first = await keeper.keep("a")
    await keeper.keep("b", size=20)

    for _ in range(2):
        await keeper.kept.forget(first)

        assert await keeper.size() == (1, 20)


async def test_what_only_an_idempotency_key_names_is_no_entry(keeper):
    await keeper.keep("a", life=None)
    await keeper.keep("b", "tag")

    assert await keeper.size() == (1, 100)
    assert await keeper.kept.delete("acme", None) == 1
    members = await keeper.store.execute("ZRANGE", retention_key("acme", "resumable:order"), 0, -1)
    assert [member.partition(b" ")[2] for member in members] == [b"request//a"]


async def test_what_lapsed_is_not_counted(keeper, eventually):
    await keeper.keep("brief", "tag", life=timedelta(milliseconds=50))
    await keeper.keep("long", "tag", size=20)

    async def is_alone():
        return await keeper.size() == (1, 20)

    await eventually(is_alone)

    assert await keeper.served("brief", "long") == ["long"]
    assert await keeper.kept.delete("acme", "tag") == 1


async def test_a_list_that_is_empty_again_is_as_if_it_had_never_been(keeper, eventually):
    await keeper.keep("a")
    await keeper.kept.delete("acme", None)
    await keeper.keep("b", life=timedelta(milliseconds=20))

    async def is_empty():
        return await keeper.size() == (0, 0)

    await eventually(is_empty)


async def test_thousands_that_lapsed_are_forgotten_bit_by_bit(keeper):
    order, sizes = retention_key("acme", "cached:order"), retention_key("acme", "cached:sizes")
    members = [f"{number:016x} cache/{number}" for number in range(2_500)]
    for member in members:
        await keeper.store.execute("ZADD", order, 1, member)
        await keeper.store.execute("HSET", sizes, member, 10)
    await keeper.store.execute("HSET", sizes, "", 25_000)

    assert [await keeper.size() for _ in range(3)] == [(1_500, 15_000), (500, 5_000), (0, 0)]


# Deleted.


async def test_what_has_a_tag_is_deleted_by_it_and_nothing_else(keeper):
    await keeper.keep("a", "red", "round")
    await keeper.keep("b", "red")
    await keeper.keep("c", "round", size=20)
    await keeper.keep("d", size=3)

    assert await keeper.kept.delete("acme", "red") == 2
    assert await keeper.served("a", "b", "c", "d") == ["c", "d"]
    assert await keeper.size() == (2, 23)
    assert await keeper.kept.delete("acme", "red") == 0
    assert await keeper.kept.delete("acme", "round") == 1
    assert await keeper.served("a", "b", "c", "d") == ["d"]


async def test_all_of_a_tenant_is_deleted_and_nothing_of_another(keeper):
    await keeper.keep("a", "tag")
    await keeper.keep("b")
    await keeper.keep("a", "tag", tenant="bolt")

    assert await keeper.kept.delete("acme", None) == 2

    assert await keeper.size() == (0, 0)
    assert await keeper.size("bolt") == (1, 100)
    assert await keeper.is_served("a", "bolt")
    assert await keeper.kept.delete("acme", "tag") == 0
    assert await keeper.kept.delete("bolt", "tag") == 1


async def test_what_was_dropped_otherwise_is_not_counted_as_deleted(keeper):
    id_ = await keeper.keep("a", "tag")
    await keeper.stored.drop(id_)

    assert await keeper.kept.delete("acme", "tag") == 0
    assert await keeper.size() == (0, 0)


@pytest.mark.parametrize("tag", ["tag", None])
async def test_what_lapsed_is_not_counted_as_deleted(tag, keeper, eventually):
    id_ = await keeper.keep("brief", "tag", life=timedelta(milliseconds=50))
    await keeper.keep("long", "tag")

    async def has_lapsed():
        return await keeper.stored.current(id_.lookup_key) is None

    await eventually(has_lapsed)

    assert await keeper.kept.delete("acme", tag) == 1


async def test_a_tag_lives_as_long_as_the_longest_that_has_it(keeper):
    for life in (timedelta(minutes=1), HOUR, timedelta(minutes=2)):
        await keeper.keep(f"for {life}", "tag", life=life)

    left = await keeper.store.execute("PTTL", retention_key("acme", "tag:tag"))
    assert timedelta(minutes=50) < timedelta(milliseconds=left) <= HOUR
    assert await keeper.kept.delete("acme", "tag") == 3


async def test_nothing_of_what_was_deleted_stays_in_the_store(keeper):
    id_ = await keeper.keep("a", "tag")

    await keeper.kept.delete("acme", None)

    keys = await keeper.store.execute("KEYS", f"{id_.lookup_key.prefix}*")
    assert keys == []


# Bounded.


async def test_what_would_have_lapsed_first_goes_when_there_are_too_many(store):
    keeper = Keeper(store, RetentionBounds(count=3, bytes=2**30))
    for minutes in (30, 10, 20, 40):
        await keeper.keep(str(minutes), life=timedelta(minutes=minutes), size=minutes)

    assert await keeper.served("10", "20", "30", "40") == ["20", "30", "40"]
    assert await keeper.size() == (3, 90)


async def test_what_would_have_lapsed_first_goes_when_they_are_too_large(store):
    keeper = Keeper(store, RetentionBounds(count=100, bytes=100))
    for minutes, size in ((30, 40), (10, 20), (20, 20), (40, 70)):
        await keeper.keep(str(minutes), life=timedelta(minutes=minutes), size=size)

    assert await keeper.served("10", "20", "30", "40") == ["40"]
    assert await keeper.size() == (1, 70)


async def test_lists_are_bounded_each_by_itself(store):
    keeper = Keeper(store, RetentionBounds(count=2, bytes=2**30))
    for name in ("a", "b"):
        await keeper.keep(name)
        await keeper.keep(name, life=None)
        await keeper.keep(name, tenant="bolt")

    assert await keeper.served("a", "b") == ["a", "b"]
    assert await keeper.size("bolt") == (2, 200)
    assert await keeper.store.execute("ZCARD", retention_key("acme", "resumable:order")) == 2


async def test_a_bound_that_was_lowered_is_kept_again_by_and_by(store):
    before = Keeper(store)
    for number in range(250):
        await before.keep(f"old {number}", life=timedelta(minutes=1, seconds=number))
    after = Keeper(store, RetentionBounds(count=10, bytes=2**30))

    sizes = []
    for number in range(3):
        await after.keep(f"new {number}", life=2 * HOUR)
        sizes.append((await after.size())[0])

    # So many at once, that no step takes long.
    assert sizes == [151, 52, 10]
    assert await after.served("new 0", "new 1", "new 2") == ["new 0", "new 1", "new 2"]


# Replaced.


async def test_what_is_replaced_can_be_told_from_what_replaces_it(keeper):
    first = await keeper.keep("a", "tag")
    second = await keeper.stored.find_or_begin(
        lookup_key("a"), max_age=HOUR, refresh=True, named=False
    )
    ending = Ending([b"y" * 30], cached_for=HOUR, replaces=True)
    await keeper.kept.add(second, ending, ["tag"])

    done, replaced = await keeper.stored.finish(second, ending)

    assert (done, replaced) == (True, first.id)
    await keeper.kept.forget(first)
    assert await keeper.size() == (1, 30)
    found = await keeper.stored.open(second)
    assert isinstance(found, JournalState)
    assert await keeper.stored.events(found) == [b"y" * 30]
    assert await keeper.kept.delete("acme", "tag") == 1


# Full.


async def test_a_full_store_still_forgets_and_deletes(keeper):
    first = await keeper.keep("a", "tag")
    await keeper.keep("b", "tag")
    await keeper.store.execute("CONFIG", "SET", "maxmemory", 1)

    await keeper.kept.forget(first)

    assert await keeper.size() == (1, 100)
    assert await keeper.kept.delete("acme", None) == 1
