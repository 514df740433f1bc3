"""Journals in the store: who may write what, who reads, and what is found of the dead."""

from datetime import timedelta

import pytest

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.generations.stored_journals import (
    ALIVE,
    BATCHES_AT_ONCE,
    Ending,
    GenerationId,
    LookupKey,
    Pointer,
    StoredJournals,
)
from contextbridge_server.store.vault import Vault

RETENTION = timedelta(minutes=10)
REQUEST = LookupKey("acme", "request//once")
CACHE = LookupKey("acme", "cache/abc")
KEY = bytes(32)
MODULE = "contextbridge_server.generations.stored_journals"
LOST = BridgeError(
    pb.ERROR_REASON_UPSTREAM_CONNECTION_LOST,
    "It was lost.",
    metadata={"model": "x"},
    retry_after=timedelta(seconds=1.5),
    http_status=502,
)


@pytest.fixture(name="journals")
def journals_fixture(store):
    """Return what makes the journals of one more process on the store."""
    return lambda **options: StoredJournals(
        store, Vault([KEY]), **({"retention": RETENTION} | options)
    )


@pytest.fixture(name="mine")
def mine_fixture(journals):
    """Return the journals of the process that makes generations."""
    return journals()


@pytest.fixture(name="theirs")
def theirs_fixture(journals):
    """Return the journals of another process."""
    return journals()


@pytest.fixture(name="begun")
async def begun_fixture(mine):
    """Return a generation of a request id, which has just begun."""
    begun = await mine.start(REQUEST, "digest", "outcome")
    assert isinstance(begun, GenerationId)
    return begun


@pytest.fixture(name="lapse")
def lapse_fixture(store):
    """Return what has the sign of life of a generation's process lapse, as time would."""
    return lambda id_: store.execute("DEL", f"{id_.lookup_key.prefix}{id_.id}:alive")


def told(error):
    """Return all that a failure tells."""
    return (error.reason, error.message, error.metadata, error.retry_after, error.http_status)


async def all_of(journals, id_, after=0) -> list[bytes]:
    """Poll until nothing more comes; return the events."""
    events: list[bytes] = []
    while True:
        polled = await journals.poll(id_, journals.process, after + len(events))
        assert polled is not None
        if not polled[1]:
            return events
        events += polled[1]


async def keys(engine) -> set[bytes]:
    found = set()
    for part in await engine.each("KEYS", "*"):
        found |= set(part)
    return found


# Beginning, and names.


async def test_an_idempotency_key_names_the_generation_that_was_begun_first(mine, theirs, begun):
    again = [await journals.start(REQUEST, "another", "x") for journals in (mine, theirs)]

    assert again == [Pointer("digest", begun, "outcome")] * 2
    assert await theirs.pointer(REQUEST) == Pointer("digest", begun, "outcome")
    found = await theirs.open(begun)
    assert found is not None
    assert (found.status, found.owner, found.saved) == ("running", mine.process, 0)


async def test_a_name_is_forgotten_only_where_it_still_names_the_same(mine, begun):
    await mine.forget(REQUEST, GenerationId(REQUEST, "another"))
    assert await mine.pointer(REQUEST) is not None

    await mine.forget(REQUEST, begun)

    assert await mine.pointer(REQUEST) is None
    fresh = await mine.start(REQUEST, "digest", "outcome")
    assert isinstance(fresh, GenerationId)
    assert fresh != begun


async def test_homes_of_other_tenants_and_names_are_apart(mine, begun):
    for lookup_key in (LookupKey("bolt", REQUEST.name), LookupKey("acme", "request//other"), CACHE):
        assert await mine.pointer(lookup_key) is None
        assert await mine.open(GenerationId(lookup_key, begun.id)) is None


async def test_an_idempotency_key_may_name_a_generation_of_the_cache(mine, theirs):
    begun = await mine.find_or_begin(CACHE, max_age=RETENTION, refresh=False, named=False)
    assert isinstance(begun, GenerationId)
    assert await mine.tend(begun) == (0, False)

    assert await theirs.point(REQUEST, "digest", begun, "JOINED") is None
    found = await theirs.open(begun)

    assert found is not None
    assert await theirs.pointer(REQUEST) == Pointer("digest", begun, "JOINED")
    assert await mine.tend(begun) == (0, True)
    assert not await mine.end_unread(begun, even_named=False)
    assert await mine.end_unread(begun, even_named=True)


# Saving.


async def test_what_is_saved_is_read_elsewhere_from_any_place(mine, theirs, begun):
    events = [b"%d" % number for number in range(1, 8)]
    for first, last in ((0, 3), (3, 4), (4, 7)):
        assert await mine.save(begun, first + 1, events[first:last])

    for after in range(9):
        polled = await theirs.poll(begun, theirs.process, after)
        assert polled is not None
        found, got = polled
        assert got == events[after:]
        assert (found.is_running, found.saved) == (True, 7)


async def test_however_much_is_saved_all_of_it_is_read(mine, theirs, begun):
    count = BATCHES_AT_ONCE + 20
    for number in range(count):
        await mine.save(begun, number + 1, [b"%d" % number])

    assert await all_of(theirs, begun) == [b"%d" % number for number in range(count)]


async def test_a_batch_that_is_saved_twice_is_there_once(mine, theirs, begun):
    for _ in range(3):
        assert await mine.save(begun, 1, [b"1", b"2"])
    assert await mine.save(begun, 3, [b"3"])
    assert await mine.save(begun, 1, [b"1", b"2"])

    for after in range(4):
        assert await all_of(theirs, begun, after) == [b"1", b"2", b"3"][after:]


async def test_batches_that_overlap_are_read_once(mine, theirs, begun):
    await mine.save(begun, 1, [b"1", b"2"])
    await mine.save(begun, 1, [b"1", b"2", b"3"])

    for after in range(4):
        assert await all_of(theirs, begun, after) == [b"1", b"2", b"3"][after:]


async def test_what_the_store_has_lost_in_between_is_never_read_over(mine, theirs, begun, store):
    # A replica that became the primary had not yet got the second batch.
    prefix = f"{begun.lookup_key.prefix}{begun.id}"
    await mine.save(begun, 1, [b"1", b"2"])
    await mine.save(begun, 3, [b"3", b"4"])
    await store.execute("XDEL", f"{prefix}:events", "4-0")
    await store.execute("HSET", f"{prefix}:state", "saved", 2)

    saved = await mine.save(begun, 5, [b"5"])
    try:
        read = await all_of(theirs, begun)
    except BridgeError as error:
        assert error.reason == pb.ERROR_REASON_CONTENT_UNREADABLE
        read = []

    assert read in ([], [b"1", b"2"])
    assert not saved


async def test_a_damaged_batch_cannot_be_read(mine, theirs, begun, store):
    await mine.save(begun, 1, [b"1"])
    key = f"{begun.lookup_key.prefix}{begun.id}:events"
    await store.execute("XADD", key, "2-0", "batch", b"\x01\x01damaged")

    with pytest.raises(BridgeError) as caught:
        await theirs.poll(begun, theirs.process, 0)

    assert caught.value.reason == pb.ERROR_REASON_CONTENT_UNREADABLE


# Ending.


@pytest.mark.parametrize("saved", [0, 2])
async def test_a_complete_generation_is_there_as_a_whole(saved, mine, theirs, begun):
    events = [b"1", b"2", b"3"]
    if saved:
        await mine.save(begun, 1, events[:saved])
    assert await mine.finish(begun, Ending(events)) == (True, "")

    for journals in (mine, theirs):
        found = await journals.open(begun)
        assert found is not None
        assert (found.status, found.saved, found.is_running) == ("complete", 3, False)
        assert found.begun_ms <= found.ended_ms <= found.now_ms
        assert await journals.events(found) == events
        assert await journals.failure(found) is None
        polled = await journals.poll(begun, journals.process, 1)
        assert polled is not None
        assert polled[1] == []


@pytest.mark.parametrize("events", [[], [b"1", b"2"]], ids=["nothing", "something"])
async def test_a_failed_generation_keeps_its_events_and_what_to_tell(events, mine, theirs, begun):
    await mine.finish(begun, Ending(events, LOST))

    found = await theirs.open(begun)

    assert found is not None
    assert (found.status, found.saved) == ("failed", len(events))
    assert await theirs.events(found) == events
    failure = await theirs.failure(found)
    assert failure is not None
    assert told(failure) == told(LOST)


async def test_what_has_ended_is_neither_saved_nor_ended_again(mine, begun):
    assert await mine.finish(begun, Ending([b"1"])) == (True, "")

    assert not await mine.save(begun, 2, [b"2"])
    assert await mine.finish(begun, Ending([b"other"])) == (False, "")
    assert await mine.tend(begun) == (-1, False)
    await mine.give_up(begun)

    found = await mine.open(begun)
    assert found is not None
    assert found.status == "complete"
    assert await mine.events(found) == [b"1"]


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
async def test_a_whole_that_is_damaged_cannot_be_read(damage, mine, theirs, begun, store):
    await mine.finish(begun, Ending([b"1", b"2"]))
    key = f"{begun.lookup_key.prefix}{begun.id}:whole"
    whole = await store.execute("GET", key)
    other = Vault([KEY]).seal(b"\x01\x01\x011", f"{begun.events_label}/whole")
    damaged = {"cut": whole[:-1], "other": other}.get(damage)
    await (store.execute("SET", key, damaged) if damaged else store.execute("DEL", key))

    found = await theirs.open(begun)
    assert found is not None
    with pytest.raises(BridgeError) as caught:
        await theirs.events(found)

    assert caught.value.reason == pb.ERROR_REASON_CONTENT_UNREADABLE


async def test_what_is_given_up_keeps_what_was_saved_and_is_abandoned(mine, theirs, begun):
    await mine.save(begun, 1, [b"1", b"2"])
    await mine.give_up(begun)

    polled = await theirs.poll(begun, theirs.process, 0)
    assert polled is not None
    assert (polled[0].status, polled[0].saved, polled[1]) == ("abandoned", 2, [b"1", b"2"])
    assert not await mine.save(begun, 3, [b"3"])
    assert await mine.finish(begun, Ending([b"1"])) == (False, "")
    assert await theirs.pointer(REQUEST) is not None


# Only whose it is may write.


async def test_another_process_changes_nothing(mine, theirs, begun):
    await mine.save(begun, 1, [b"1"])

    assert not await theirs.save(begun, 2, [b"forged"])
    assert await theirs.finish(begun, Ending([b"forged"])) == (False, "")
    assert await theirs.tend(begun) == (-1, False)
    await theirs.give_up(begun)
    await theirs.end_unread(begun, even_named=True)
    assert not await theirs.drop(begun)

    assert await mine.save(begun, 2, [b"2"])
    polled = await mine.poll(begun, mine.process, 0)
    assert polled is not None
    assert (polled[0].status, polled[1]) == ("running", [b"1", b"2"])


async def test_a_process_that_was_found_dead_writes_no_more(mine, theirs, begun, lapse):
    await mine.save(begun, 1, [b"1"])
    await lapse(begun)

    polled = await theirs.poll(begun, theirs.process, 0)
    assert polled is not None
    assert (polled[0].status, polled[1]) == ("abandoned", [b"1"])
    assert not await mine.save(begun, 2, [b"2"])
    assert await mine.finish(begun, Ending([b"1", b"2"])) == (False, "")
    assert await mine.tend(begun) == (-1, False)
    found = await mine.open(begun)
    assert found is not None
    assert (found.status, found.saved) == ("abandoned", 1)


async def test_a_process_that_nobody_missed_goes_on(mine, theirs, begun, lapse):
    await lapse(begun)
    assert await mine.tend(begun) == (0, True)

    found = await theirs.open(begun)

    assert found is not None
    assert found.is_running
    assert await mine.finish(begun, Ending([b"1"])) == (True, "")


async def test_a_sign_of_life_lapses_by_itself(mine, theirs, begun, store, monkeypatch, eventually):
    key = f"{begun.lookup_key.prefix}{begun.id}:alive"
    assert 0 < await store.execute("PTTL", key) <= ALIVE.total_seconds() * 1000
    monkeypatch.setattr(f"{MODULE}.ALIVE", timedelta(milliseconds=50))
    await mine.tend(begun)

    async def is_abandoned():
        found = await theirs.open(begun)
        return found is not None and found.status == "abandoned"

    await eventually(is_abandoned)


# Readers elsewhere.


async def test_what_is_read_elsewhere_is_not_ended_until_its_reader_leaves(
    mine, theirs, begun, engine
):
    await theirs.poll(begun, theirs.process, 0)
    assert await mine.tend(begun) == (1, True)
    assert not await mine.end_unread(begun, even_named=True)
    await theirs.leave(begun, theirs.process)
    assert await mine.tend(begun) == (0, True)
    await theirs.poll(begun, theirs.process, 0)
    assert not await mine.end_unread(begun, even_named=True)
    await theirs.leave(begun, theirs.process)

    assert await mine.end_unread(begun, even_named=True)

    assert await theirs.open(begun) is None
    assert await theirs.poll(begun, theirs.process, 0) is None
    assert not await mine.save(begun, 1, [b"1"])
    assert await keys(engine) == {f"{REQUEST.prefix}pointer".encode()}


async def test_each_process_counts_as_one_reader(mine, journals, begun):
    readers = [journals() for _ in range(3)]
    for process in (*readers, *readers):
        await process.poll(begun, process.process, 0)

    assert await mine.tend(begun) == (3, True)


async def test_a_reader_that_is_not_heard_of_counts_no_longer(
    mine, theirs, begun, monkeypatch, eventually
):
    monkeypatch.setattr(f"{MODULE}.PRESENCE", timedelta(milliseconds=50))
    await theirs.poll(begun, theirs.process, 0)

    await eventually(lambda: mine.end_unread(begun, even_named=True))


async def test_only_what_no_idempotency_key_keeps_is_ended_unnamed(mine, begun):
    assert not await mine.end_unread(begun, even_named=False)
    other = await mine.find_or_begin(CACHE, max_age=RETENTION, refresh=False, named=False)
    assert isinstance(other, GenerationId)

    assert await mine.end_unread(other, even_named=False)


# How long it is kept.


async def test_what_an_idempotency_key_names_is_kept_for_the_retention(mine, begun, store):
    await mine.save(begun, 1, [b"1"])
    prefix = f"{begun.lookup_key.prefix}{begun.id}"
    running = [await store.execute("PTTL", f"{prefix}:{part}") for part in ("state", "events")]
    await mine.finish(begun, Ending([b"1", b"2"]))
    retention_ms = RETENTION.total_seconds() * 1000

    assert all(life > retention_ms for life in running)
    for part in ("state", "whole"):
        life = await store.execute("PTTL", f"{prefix}:{part}")
        assert retention_ms - 30_000 < life <= retention_ms
    assert await store.execute("PTTL", f"{REQUEST.prefix}pointer") > retention_ms
    for part in ("events", "alive", "readers"):
        assert not await store.execute("EXISTS", f"{prefix}:{part}")


async def test_each_idempotency_key_that_names_an_answer_of_the_cache_keeps_it_as_long(
    mine, theirs, store
):
    cached = await mine.find_or_begin(CACHE, max_age=RETENTION, refresh=False, named=True)
    assert isinstance(cached, GenerationId)
    await mine.finish(cached, Ending([b"1"], cached_for=timedelta(hours=1)))
    parts = [f"{CACHE.prefix}{cached.id}:{part}" for part in ("state", "whole")]
    for key in parts:
        await store.execute("PEXPIRE", key, 5_000)  # As if nearly an hour had passed.

    found = await theirs.find(CACHE, max_age=timedelta(hours=1), named=True)

    assert found is not None
    for key in parts:
        assert await store.execute("PTTL", key) > RETENTION.total_seconds() * 1000 - 30_000


async def test_nothing_is_kept_for_ever(mine, theirs, begun, engine, store, lapse):
    abandoned = await mine.start(LookupKey("acme", "request//abandoned"), "d", "o")
    assert isinstance(abandoned, GenerationId)
    await mine.save(abandoned, 1, [b"1"])
    await lapse(abandoned)
    await theirs.poll(abandoned, theirs.process, 0)
    await mine.save(begun, 1, [b"1"])
    await theirs.poll(begun, theirs.process, 0)
    cached = await mine.find_or_begin(CACHE, max_age=RETENTION, refresh=False, named=False)
    assert isinstance(cached, GenerationId)
    await mine.finish(cached, Ending([b"1"], cached_for=timedelta(hours=1)))

    for key in await keys(engine):
        assert await store.execute("PTTL", key) > 0, key


async def test_what_runs_is_not_dropped_and_what_has_ended_is(mine, theirs, begun, engine):
    await mine.save(begun, 1, [b"1"])
    assert not await theirs.drop(begun)
    await mine.finish(begun, Ending([b"1"]))

    assert await theirs.drop(begun)

    assert not await theirs.drop(begun)
    assert await mine.open(begun) is None
    assert await keys(engine) == {f"{REQUEST.prefix}pointer".encode()}
