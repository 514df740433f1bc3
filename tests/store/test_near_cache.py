"""What was read of the store is told of when it changes, whoever changes it."""

import asyncio

import pytest

from contextbridge_server.store import near_cache as module
from contextbridge_server.store.interface import Script
from contextbridge_server.store.near_cache import MAX_CHANGES, InvalidationTracker, NearCache

READ = Script("return redis.call('GET', KEYS[1])")


async def remembered(store, key, command=None):
    """Return what remembers a key's value, which was read just now."""
    values = NearCache(store.invalidations, 100)
    mark = values.mark()
    value = await (command() if command else store.tracked.execute("GET", key))
    values.keep(key, value, mark, (key,))
    return values


async def test_what_does_not_change_is_remembered(store):
    await store.execute("SET", "key", "value")

    values = await remembered(store, "key")

    assert values.get("key") == b"value"


@pytest.mark.parametrize(
    "change",
    [
        ("SET", "key", "other"),
        ("DEL", "key"),
        ("UNLINK", "key"),
        ("APPEND", "key", "more"),
        ("PEXPIRE", "key", 1),
        ("FLUSHALL",),
    ],
    ids=lambda change: change[0].lower(),
)
async def test_a_change_is_told_of(change, engine, store, open_store, eventually):
    await store.execute("SET", "key", "value")
    values = await remembered(store, "key")

    async with open_store(engine.url) as other:
        if change[0] == "FLUSHALL":
            await engine.each(*change)
        else:
            await other.execute(*change)
        await eventually(lambda: values.get("key") is None)


async def test_that_a_key_comes_to_be_is_told_of(engine, store, open_store, eventually):
    values = NearCache(store.invalidations, 100)
    mark = values.mark()
    values.keep("key", (await store.tracked.execute("GET", "key"),), mark, ("key",))
    assert values.get("key") == (None,)

    async with open_store(engine.url) as other:
        await other.execute("SET", "key", "value")
        await eventually(lambda: values.get("key") is None)


async def test_what_a_script_has_read_is_tracked_too(engine, store, open_store, eventually):
    await store.execute("SET", "key", "value")
    values = await remembered(store, "key", lambda: store.tracked.run(READ, ["key"]))
    assert values.get("key") == b"value"

    async with open_store(engine.url) as other:
        await other.execute("SET", "key", "other")
        await eventually(lambda: values.get("key") is None)


async def test_a_change_by_the_same_store_is_told_of(store, eventually):
    await store.execute("SET", "key", "value")
    values = await remembered(store, "key")

    await store.execute("SET", "key", "other")

    await eventually(lambda: values.get("key") is None)


async def test_what_changed_while_it_was_read_is_not_remembered(store):
    values = NearCache(store.invalidations, 100)
    await store.tracked.execute("GET", "key")
    mark = values.mark()
    value = await store.tracked.execute("GET", "key")
    await store.execute("SET", "key", "value")
    # The reply to a later read comes after what is told of the change.
    await store.tracked.execute("GET", "key")
    values.keep("key", (value,), mark, ("key",))

    assert values.get("key") is None


async def test_nothing_is_trusted_once_the_connection_is_lost(engine, store, eventually):
    await store.execute("SET", "key", "value")
    values = await remembered(store, "key")

    await engine.each("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    await eventually(lambda: values.get("key") is None)
    assert (await remembered(store, "key")).get("key") == b"value"


async def test_nothing_is_trusted_for_longer_than_a_moment(store, monkeypatch, eventually):
    monkeypatch.setattr(module, "LIFE_SECONDS", 0.2)
    await store.execute("SET", "key", "value")
    values = await remembered(store, "key")

    await eventually(lambda: values.get("key") is None)


async def test_a_hash_reads_alike_by_either_connection(store):
    await store.execute("HSET", "hash", "a", 1, "b", 2)

    assert await store.tracked.execute("HGETALL", "hash") == [b"a", b"1", b"b", b"2"]
    assert await store.tracked.execute("HGETALL", "none") == []
    assert await store.tracked.execute_each([("HGETALL", "hash"), ("GET", "none")]) == [
        [b"a", b"1", b"b", b"2"],
        None,
    ]


async def test_a_valkey_that_tells_of_nothing_is_read_all_the_same(
    running_server, open_store, tmp_path
):
    rules = "user default on nopass ~* +@all -client|tracking\n"
    (tmp_path / "users.acl").write_text(rules)
    async with (
        running_server("--aclfile", str(tmp_path / "users.acl")) as server,
        open_store(f"valkey://127.0.0.1:{server.port}") as store,
    ):
        await store.execute("SET", "key", "value")
        values = await remembered(store, "key")

        assert await store.tracked.execute("GET", "key") == b"value"
        assert values.get("key") is None


async def test_the_oldest_is_forgotten_first():
    values: NearCache[int, int] = NearCache(InvalidationTracker(), 3)
    for number in range(5):
        values.keep(number, number, values.mark(), (str(number),))

    assert [values.get(number) for number in range(5)] == [None, None, 2, 3, 4]


async def test_a_change_ends_what_was_made_of_the_key_and_nothing_else():
    invalidations = InvalidationTracker()
    values: NearCache[str, int] = NearCache(invalidations, 10)
    values.keep("both", 1, values.mark(), ("a", "b"))
    values.keep("other", 2, values.mark(), ("c",))

    invalidations.changed("b")

    assert (values.get("both"), values.get("other")) == (None, 2)


async def test_who_began_before_changes_that_are_forgotten_must_read_again():
    invalidations = InvalidationTracker()
    values: NearCache[str, int] = NearCache(invalidations, 10)
    mark = values.mark()
    for number in range(MAX_CHANGES + 1):
        invalidations.changed(str(number))
    values.keep("key", 1, mark, ("key",))
    assert values.get("key") is None

    values.keep("key", 1, values.mark(), ("key",))
    assert values.get("key") == 1


async def test_tracking_leaves_nothing_behind():
    invalidations = InvalidationTracker()
    values: NearCache[int, int] = NearCache(invalidations, 3)
    for number in range(100):
        values.keep(number, number, values.mark(), (str(number), "all"))
    invalidations.changed("all")
    await asyncio.sleep(0)

    assert invalidations._reads == {}


@pytest.mark.parametrize("engine", ["shared"], indirect=True)
async def test_who_changes_what_it_reads_must_read_it_again(engine, store, open_store, eventually):
    await store.execute("SET", "key", "value")
    values = await remembered(store, "key")
    change = Script("redis.call('SET', KEYS[1], 'mine') return redis.call('EXISTS', KEYS[1])")

    await store.tracked.run(change, ["key"])
    assert values.get("key") == b"value"
    async with open_store(engine.url) as other:
        await other.execute("SET", "key", "theirs")
        await eventually(lambda: values.get("key") is None)
