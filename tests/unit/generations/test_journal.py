"""A generation's events in one process: whoever reads when and how slowly, gets them all, once."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.generations.journal import Journal

BOUND = 30
LOST = BridgeError(pb.ERROR_REASON_UPSTREAM_CONNECTION_LOST, "It was lost.", metadata={"a": "b"})
TURNS = 12
"""Turns of the loop in which everything that can go on has gone on."""

EVENTS = st.lists(st.binary(max_size=20), max_size=4)
STEPS = st.one_of(
    st.tuples(st.just("append"), EVENTS),
    st.tuples(st.just("join"), st.integers(-3, 3)),
    st.tuples(st.just("read"), st.integers(0, 5)),
    st.tuples(st.just("leave"), st.integers(0, 5)),
)


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@dataclass
class Reading:
    """One reader, and what it has been given."""

    after: int
    context: Any
    reader: Any
    entries: list[Any] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    async def take(self) -> None:
        """Take the next events, and be done with them when it is asked again."""
        try:
            self.entries += await anext(self.reader)
        except StopAsyncIteration:
            self.ends.append(None)
        except BridgeError as error:
            self.ends.append(error)

    def read(self) -> None:
        """Go on reading, unless it waits already or has ended."""
        if not self.ends and (self.task is None or self.task.done()):
            self.task = asyncio.create_task(self.take())

    async def leave(self) -> None:
        """Stop reading."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        self.context.__exit__(None, None, None)


class Run:
    """A journal that is written as a production writes it, and its readers."""

    def __init__(self, bound: int) -> None:
        self.journal = Journal(bound)
        self.events: list[bytes] = []
        self.bound = bound
        self.readings: list[Reading] = []
        self.gone: list[Reading] = []
        self._room: asyncio.Task[None] | None = None

    async def append(self, events: list[bytes]) -> None:
        if self._room is not None and not self._room.done():
            return  # It waits for its readers.
        self.journal.append(events)
        self.events += events
        assert self.held() <= self.bound + sum(map(len, events))
        self._room = asyncio.create_task(self.journal.room())
        await settle()

    async def join(self, distance: int) -> None:
        after = max(len(self.events) + distance, 0)
        context = self.journal.reading(after)
        try:
            reader = context.__enter__()
        except BridgeError as error:
            assert error.reason == pb.ERROR_REASON_NOT_RESUMABLE
            assert self.journal.has_outgrown
            return
        self.readings.append(Reading(after, context, reader))

    async def read(self, place: int) -> None:
        if self.readings:
            self.readings[place % len(self.readings)].read()
            await settle()

    async def leave(self, place: int) -> None:
        if self.readings:
            reading = self.readings.pop(place % len(self.readings))
            await reading.leave()
            self.gone.append(reading)
            await settle()

    async def end(self, *, fails: bool) -> list[bytes]:
        """End it once there is room for that, and have all readers read to the end."""
        while self._room is not None and not self._room.done():
            for reading in self.readings:
                reading.read()
            await settle()
        last = [] if fails else [b"last"]
        if fails:
            self.journal.fail(LOST)
        else:
            self.journal.complete(last)
        self.events += last
        async with asyncio.timeout(5):
            while any(not reading.ends for reading in self.readings):
                for reading in self.readings:
                    reading.read()
                await settle()
        return self.events

    def held(self) -> int:
        """Return the bytes that the journal holds."""
        return sum(map(len, self.journal.since(0)))


def check(reading: Reading, events: list[bytes], *, fails: bool) -> None:
    """Check what one reader was given, of all events."""
    count = len(reading.entries)
    assert [entry.sequence for entry in reading.entries] == list(
        range(reading.after + 1, reading.after + 1 + count)
    )
    assert [entry.event for entry in reading.entries] == events[reading.after :][:count]
    flags = [entry.is_last for entry in reading.entries]
    assert not any(flags[:-1])
    if flags and flags[-1]:
        assert not fails
        assert reading.after + count == len(events)
    assert len(reading.ends) <= 1


@given(st.lists(STEPS, max_size=40), st.booleans(), st.sampled_from([BOUND, 10_000]))
@settings(max_examples=300, deadline=None)
async def test_each_reader_is_given_one_sequence_without_gap_or_repeat_and_one_end(
    steps, fails, bound
):
    run = Run(bound)
    for name, argument in steps:
        await getattr(run, name)(argument)
        assert run.journal.last == len(run.events)
        assert run.journal.is_read is bool(run.readings)
        assert not run.journal.has_ended
    events = await run.end(fails=fails)

    assert run.journal.has_ended
    for reading in run.readings:
        check(reading, events, fails=fails)
        (end,) = reading.ends
        if fails:
            assert reading.after > len(events) or reading.after + len(reading.entries) == len(
                events
            )
            assert (end.reason, end.message, end.metadata) == (
                LOST.reason,
                LOST.message,
                LOST.metadata,
            )
        elif reading.after > len(events):
            assert end.reason == pb.ERROR_REASON_NOT_RESUMABLE
            assert not reading.entries
        else:
            assert end is None
            assert reading.after + len(reading.entries) == len(events)
            assert not reading.entries or reading.entries[-1].is_last
        await reading.leave()
    for reading in run.gone:
        check(reading, events, fails=fails)
    assert not run.journal.is_read


async def test_a_reader_who_waits_is_woken_by_the_next_event():
    journal = Journal(BOUND)
    with journal.reading(0) as reader:
        waiting = asyncio.create_task(anext(reader))
        await settle()
        assert not waiting.done()

        journal.append([b"1", b"2"])

        assert [tuple(entry) for entry in await waiting] == [(1, b"1", False), (2, b"2", False)]


async def test_a_journal_within_its_bound_keeps_all_for_who_comes_late():
    journal = Journal(BOUND)
    journal.append([b"x"] * BOUND)
    await journal.room()
    journal.complete([b"last"])

    with journal.reading(0) as reader:
        entries = await anext(reader)

    assert [entry.sequence for entry in entries] == list(range(1, BOUND + 2))
    assert journal.has_outgrown  # By its last event; it is all there nevertheless.


async def test_a_journal_that_nobody_reads_drops_what_is_too_much_and_goes_on():
    journal = Journal(BOUND)
    for _ in range(10):
        journal.append([b"x" * 20])
        async with asyncio.timeout(1):
            await journal.room()

    assert journal.last == 10
    assert sum(map(len, journal.since(0))) <= BOUND
    with pytest.raises(BridgeError) as caught, journal.reading(0):
        pass
    assert caught.value.reason == pb.ERROR_REASON_NOT_RESUMABLE


async def test_a_slow_reader_holds_up_what_has_outgrown_its_bound_until_it_leaves():
    journal = Journal(BOUND)
    with journal.reading(0):
        journal.append([b"x" * 40])
        room = asyncio.create_task(journal.room())
        await settle()
        assert not room.done()

    async with asyncio.timeout(1):
        await room
    assert journal.left.is_set()


async def test_a_reader_ahead_of_an_outgrown_journal_moves_nothing():
    journal = Journal(BOUND)
    with journal.reading(7) as reader:
        journal.append([b"x" * 40])
        await journal.room()
        assert journal.last == 1
        journal.append([b"y"] * 7)
        journal.complete([b"last"])

        entries = await anext(reader)

    assert [(entry.sequence, entry.event) for entry in entries] == [(8, b"y"), (9, b"last")]


async def test_each_reader_is_told_of_a_failure_by_an_error_of_its_own():
    journal = Journal(BOUND)
    journal.append([b"1"])
    journal.fail(LOST)
    told = []
    for _ in range(2):
        with journal.reading(0) as reader:
            await anext(reader)
            with pytest.raises(BridgeError) as caught:
                await anext(reader)
            told.append(caught.value)

    assert told[0] is not told[1]
    assert told[0] is not LOST
