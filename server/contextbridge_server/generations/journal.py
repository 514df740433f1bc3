"""A generation's events in this process: written once, read by any number of readers."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from contextbridge import v1 as pb

from ..errors import BridgeError


class Entry(NamedTuple):
    """One event of a journal.

    Attributes:
        sequence: Its place, from 1.
        event: The event, serialized.
        is_last: It is the last of a complete generation.
    """

    sequence: int
    event: bytes
    is_last: bool


class Journal:
    """The events of one generation, numbered from 1.

    It holds them all, so that readers may come at any time and read at their own pace, up to a
    bound. A generation that outgrows the bound is read no faster than its slowest reader reads,
    and what all have read is dropped.

    Args:
        max_bytes: Most bytes of events that are held for readers who may come.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._events: list[bytes] = []
        self._bytes = 0
        self._dropped = 0
        self._readers: set[Reader] = set()
        self._news = asyncio.Event()
        self._progress = asyncio.Event()
        self.left = asyncio.Event()
        """Set whenever a reader leaves, and when the making ends."""
        self.has_outgrown = False
        """It has outgrown its bound: nobody can come for all of it any more."""
        self.is_complete = False
        self.error: BridgeError | None = None
        """What ended the generation, where it did not complete."""

    @property
    def last(self) -> int:
        """The place of the newest event; 0 before the first."""
        return self._dropped + len(self._events)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self.is_complete or self.error is not None

    @property
    def is_read(self) -> bool:
        """Whether anybody reads it."""
        return bool(self._readers)

    def since(self, sequence: int) -> Sequence[bytes]:
        """Return the events after a place."""
        return self._events[max(sequence - self._dropped, 0) :]

    def append(self, events: Sequence[bytes]) -> None:
        """Add events, and wake the readers."""
        self._events += events
        self._bytes += sum(map(len, events))
        self.has_outgrown = self.has_outgrown or self._bytes > self._max_bytes
        self._tell_readers()

    def complete(self, last: Sequence[bytes]) -> None:
        """Add the last events: the generation is complete."""
        self.is_complete = True
        self.append(last)

    def fail(self, error: BridgeError) -> None:
        """End the generation with what its readers are told once they have had the events."""
        self.error = error
        self._tell_readers()

    async def room(self) -> None:
        """Wait until the readers have made room, where the journal has outgrown its bound."""
        while self.has_outgrown:
            self._drop_what_all_have_read()
            if self._bytes <= self._max_bytes:
                return
            self._progress.clear()
            await self._progress.wait()

    @contextmanager
    def reading(self, after: int) -> Iterator["Reader"]:
        """Read on after a place. The journal is read until the context is left.

        Raises:
            BridgeError: NOT_RESUMABLE: events after that place are not here any more.
        """
        if after < self._dropped:
            raise not_resumable("The answer outgrew what is kept of one.")
        reader = Reader(self, after)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self.left.set()
            self._progress.set()

    async def entries(self, after: int) -> Sequence[Entry]:
        """Return the events after a place, waiting for the next; none where there are no more.

        Raises:
            BridgeError: What ended the generation; NOT_RESUMABLE where it completed before that
                place.
        """
        while after >= self.last:
            if self.error is not None:
                raise self.error.again()
            if self.is_complete:
                if after > self.last:
                    raise not_resumable("The answer ended before that event.")
                return ()
            await self._news.wait()
        last = self.last if self.is_complete else 0
        return [
            Entry(sequence, event, sequence == last)
            for sequence, event in enumerate(self.since(after), after + 1)
        ]

    def progressed(self) -> None:
        """Take note that a reader is done with what it took."""
        self._progress.set()

    def _tell_readers(self) -> None:
        # A new one for what comes next: those who wait for this one are all woken.
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _drop_what_all_have_read(self) -> None:
        # A reader may be ahead: it has had from elsewhere what has not come here yet.
        read = min((self.last, *(reader.read for reader in self._readers)))
        count = max(read - self._dropped, 0)
        self._bytes -= sum(map(len, self._events[:count]))
        del self._events[:count]
        self._dropped += count


class Reader:
    """One reader of a journal.

    Args:
        journal: What is read.
        after: The last event that the reader has.
    """

    def __init__(self, journal: Journal, after: int) -> None:
        self._journal = journal
        self._taken = after
        self.read = after
        """The last event that the reader is done with."""

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> Sequence[Entry]:
        """Return the next events, those that are there together.

        Raises:
            BridgeError: What ended the generation.
        """
        self.read = self._taken
        self._journal.progressed()
        entries = await self._journal.entries(self._taken)
        if not entries:
            raise StopAsyncIteration
        self._taken = entries[-1].sequence
        return entries


def not_resumable(message: str) -> BridgeError:
    """Return the error for a generation that cannot be gone on with."""
    return BridgeError(pb.ERROR_REASON_NOT_RESUMABLE, message)
