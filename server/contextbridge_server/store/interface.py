"""What the rest of the server sees of the store: commands, and scripts that run as one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from .near_cache import InvalidationTracker

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = Sequence[Argument]
"""A command's name and its arguments. None may block: others wait behind it."""

WITHOUT_ROOM = "#!lua flags=allow-oom\n"
"""Begins a script that a full store runs too: it adds next to nothing to what is there."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, which Valkey runs as one step.

    Attributes:
        text: The script.
        sha1: Its name in Valkey, in hexadecimal.
    """

    text: str
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        # Valkey's name of a script; it guards nothing.
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha1", digest)


class Store(Protocol):
    """Valkey, one node or a cluster.

    Every method raises a BridgeError: STORE_UNAVAILABLE where Valkey cannot be reached or does not
    answer in time, STORE_FULL where a write finds no memory. What was sent may have been done then.
    Replies are as Valkey sends them (RESP2): bytes, integers, lists of them, None.
    """

    @property
    def invalidations(self) -> InvalidationTracker:
        """What was read by way of `tracked`, and has not changed since."""
        ...

    @property
    def tracked(self) -> "Store":
        """The same store, for reads that are tracked."""
        ...

    async def execute(self, *command: Argument) -> Any:
        """Run one command, whose keys lie in one slot; return its reply."""
        ...

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands that need nothing of one another, in any slots; return their replies."""
        ...

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """Run a script on keys of one slot, as one step; return its reply."""
        ...
