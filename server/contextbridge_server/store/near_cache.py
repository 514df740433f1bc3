"""A near cache: recent reads of the store, until Valkey invalidates them.

Valkey tells a connection which of the keys that it has read were changed (client-side caching).
No read is trusted for longer than a second all the same: Valkey reports lapsed keys late, and a
message may be lost.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

LIFE_SECONDS = 1.0
"""How long a read counts as current, at most."""
MAX_CHANGES = 4_096
"""Changes that are remembered; a read that began before the oldest of them is not cached."""


class TrackedRead:
    """A read of some keys, current until one of them changes."""

    __slots__ = ("_has_ended", "_invalidations", "_keys", "_until")

    def __init__(self, invalidations: "InvalidationTracker", keys: Sequence[str]) -> None:
        self._invalidations = invalidations
        self._keys = keys
        self._until = asyncio.get_running_loop().time() + LIFE_SECONDS
        self._has_ended = False

    @property
    def is_current(self) -> bool:
        """Whether no change of the keys is known."""
        return not self._has_ended and asyncio.get_running_loop().time() < self._until

    def end(self) -> None:
        """Stop tracking the keys."""
        if not self._has_ended:
            self._has_ended = True
            self._invalidations.remove(self, self._keys)


class InvalidationTracker:
    """Ends tracked reads when Valkey reports that their keys changed."""

    def __init__(self) -> None:
        self._reads: dict[str, set[TrackedRead]] = {}
        self._changes: deque[tuple[int, str]] = deque(maxlen=MAX_CHANGES)
        self._count = 0
        self._forgotten = 0
        self._is_refused = False

    def mark(self) -> int:
        """Return a mark of now; reads that begin after it can be tracked."""
        return self._count

    def since(self, mark: int, keys: Sequence[str]) -> TrackedRead | None:
        """Track keys that were read after a mark; None where one may have changed since."""
        if self._is_refused or mark < self._forgotten:
            return None
        for count, key in reversed(self._changes):
            if count <= mark:
                break
            if key in keys:
                return None
        read = TrackedRead(self, keys)
        for key in keys:
            self._reads.setdefault(key, set()).add(read)
        return read

    def changed(self, key: str) -> None:
        """End the reads of a key that was changed."""
        self._count += 1
        if len(self._changes) == MAX_CHANGES:
            self._forgotten = self._changes[0][0]
        self._changes.append((self._count, key))
        for read in list(self._reads.get(key, ())):
            read.end()

    def lost(self) -> None:
        """End all reads: a connection was lost, and reports of changes with it."""
        self._count += 1
        self._forgotten = self._count
        self._changes.clear()
        for reads in list(self._reads.values()):
            for read in list(reads):
                read.end()

    def refuse(self) -> None:
        """Track no more reads: Valkey does not report changes."""
        self._is_refused = True

    def remove(self, read: TrackedRead, keys: Sequence[str]) -> None:
        """Stop tracking a read."""
        for key in keys:
            reads = self._reads.get(key)
            if reads is not None:
                reads.discard(read)
                if not reads:
                    del self._reads[key]


class NearCache(Generic[Key, Value]):
    """Values made from reads of the store, until an invalidation or for a second.

    Args:
        invalidations: Tracks the reads.
        max_entries: Most values that are kept; the oldest go first.
    """

    def __init__(self, invalidations: InvalidationTracker, max_entries: int) -> None:
        self._invalidations = invalidations
        self._max_entries = max_entries
        self._entries: dict[Key, tuple[Value, TrackedRead]] = {}

    def mark(self) -> int:
        """Return a mark of now, to be taken before the keys of a value are read."""
        return self._invalidations.mark()

    def get(self, key: Key) -> Value | None:
        """Return a value, or None where the store must be read."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, read = found
        if read.is_current:
            return value
        self._drop(key)
        return None

    def keep(self, key: Key, value: Value, mark: int, keys: Sequence[str]) -> None:
        """Keep a value that was made from some of the store's keys, read after a mark."""
        read = self._invalidations.since(mark, keys)
        if read is None:
            return
        self._drop(key)
        while self._entries:
            oldest, (_, its_read) = next(iter(self._entries.items()))
            if its_read.is_current and len(self._entries) < self._max_entries:
                break
            self._drop(oldest)
        self._entries[key] = (value, read)

    def replace(self, key: Key, value: Value) -> None:
        """Replace a value that is still there by its successor."""
        found = self._entries.get(key)
        if found is not None:
            self._entries[key] = (value, found[1])

    def _drop(self, key: Key) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            found[1].end()
