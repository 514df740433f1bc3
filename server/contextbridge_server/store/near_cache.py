"""What was read of the store a moment ago, and has not changed since.

Valkey tells a connection which of the keys that it has read were changed (client-side caching).
Nothing is trusted for longer than a second all the same: a key that has lapsed is told of late, and
a message may be lost.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

LIFE_SECONDS = 1.0
"""How long what was read is taken for unchanged, at most."""
MAX_CHANGES = 4_096
"""Changes that are remembered; who began to read before them must read again."""


class TrackedRead:
    """Tells whether some keys are unchanged."""

    __slots__ = ("_has_ended", "_keys", "_until", "_watches")

    def __init__(self, watches: "InvalidationTracker", keys: Sequence[str]) -> None:
        self._watches = watches
        self._keys = keys
        self._until = asyncio.get_running_loop().time() + LIFE_SECONDS
        self._has_ended = False

    @property
    def lasts(self) -> bool:
        """Whether the keys are as they were, by what is known."""
        return not self._has_ended and asyncio.get_running_loop().time() < self._until

    def end(self) -> None:
        """TrackedRead no more."""
        if not self._has_ended:
            self._has_ended = True
            self._watches.remove(self, self._keys)


class InvalidationTracker:
    """Takes what Valkey tells of changes, and tells those who watch."""

    def __init__(self) -> None:
        self._watching: dict[str, set[TrackedRead]] = {}
        self._changes: deque[tuple[int, str]] = deque(maxlen=MAX_CHANGES)
        self._count = 0
        self._forgotten = 0
        self._is_refused = False

    def mark(self) -> int:
        """Return a mark of now: what is read after it can be watched since."""
        return self._count

    def since(self, mark: int, keys: Sequence[str]) -> TrackedRead | None:
        """TrackedRead keys that were read after a mark; None where one of them may have changed since."""
        if self._is_refused or mark < self._forgotten:
            return None
        for count, key in reversed(self._changes):
            if count <= mark:
                break
            if key in keys:
                return None
        watch = TrackedRead(self, keys)
        for key in keys:
            self._watching.setdefault(key, set()).add(watch)
        return watch

    def changed(self, key: str) -> None:
        """Take note that a key was changed."""
        self._count += 1
        if len(self._changes) == MAX_CHANGES:
            self._forgotten = self._changes[0][0]
        self._changes.append((self._count, key))
        for watch in list(self._watching.get(key, ())):
            watch.end()

    def lost(self) -> None:
        """Take note that changes may have gone unnoticed: a connection was lost."""
        self._count += 1
        self._forgotten = self._count
        self._changes.clear()
        for watches in list(self._watching.values()):
            for watch in list(watches):
                watch.end()

    def refuse(self) -> None:
        """TrackedRead nothing any more: Valkey does not tell."""
        self._is_refused = True

    def remove(self, watch: TrackedRead, keys: Sequence[str]) -> None:
        """Tell a watch nothing more."""
        for key in keys:
            watches = self._watching.get(key)
            if watches is not None:
                watches.discard(watch)
                if not watches:
                    del self._watching[key]


class NearCache(Generic[Key, Value]):
    """Values that were made of what was read, for as long as that is unchanged.

    Args:
        watches: Tell what has changed.
        max_entries: Most values that are kept; the oldest go first.
    """

    def __init__(self, watches: InvalidationTracker, max_entries: int) -> None:
        self._watches = watches
        self._max_entries = max_entries
        self._entries: dict[Key, tuple[Value, TrackedRead]] = {}

    def mark(self) -> int:
        """Return a mark of now, to be taken before what a value is made of is read."""
        return self._watches.mark()

    def get(self, key: Key) -> Value | None:
        """Return a value, or None where it must be made anew."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, watch = found
        if watch.lasts:
            return value
        self._drop(key)
        return None

    def keep(self, key: Key, value: Value, mark: int, keys: Sequence[str]) -> None:
        """Keep a value that was made of some keys, read after a mark."""
        watch = self._watches.since(mark, keys)
        if watch is None:
            return
        self._drop(key)
        while self._entries:
            oldest, (_, its_watch) = next(iter(self._entries.items()))
            if its_watch.lasts and len(self._entries) < self._max_entries:
                break
            self._drop(oldest)
        self._entries[key] = (value, watch)

    def replace(self, key: Key, value: Value) -> None:
        """Replace a value, if it is still there, by what has become of it."""
        found = self._entries.get(key)
        if found is not None:
            self._entries[key] = (value, found[1])

    def _drop(self, key: Key) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            found[1].end()
