"""What all workers of a server share: opened once, and told to each of them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Self

from ..settings import EMBEDDED, EMULATOR, Settings, from_plain, to_plain
from ..store.embedded import EmbeddedOptions, running_valkey
from .emulator import running_emulator


@dataclass(frozen=True, slots=True)
class Shared:
    """What is there already when a worker begins.

    Attributes:
        listen: Where all listen, with the port that was picked.
        upstream: Upstream's address; the emulator's, where the settings ask for that.
        store: The store's URL; the embedded one's, where the settings ask for that.
    """

    listen: str
    upstream: str
    store: str


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker process is told at its start.

    Attributes:
        number: Which of the workers it is, from 1.
        settings: What the operator said.
        shared: What is there already.
    """

    number: int
    settings: Settings
    shared: Shared

    def encode(self) -> bytes:
        """Return it as one line, secrets included."""
        plain = {
            "number": self.number,
            "settings": to_plain(self.settings),
            "shared": asdict(self.shared),
        }
        return json.dumps(plain).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Return what `encode` was called on."""
        plain = json.loads(line)
        return cls(plain["number"], from_plain(plain["settings"]), Shared(**plain["shared"]))


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves.

    Attributes:
        address: Where.
        version: Its version.
        workers: How many processes serve.
    """

    address: str
    version: str
    workers: int


@asynccontextmanager
async def running_shared(settings: Settings, listen: str) -> AsyncIterator[Shared]:
    """Run what the settings ask for beside the server; stop it on leaving.

    Args:
        settings: Name upstream and the store.
        listen: Where the workers listen.

    Raises:
        OSError: The data directory cannot be used.
        RuntimeError: The emulator or the embedded store does not start.
    """
    async with AsyncExitStack() as stack:
        upstream, store = settings.upstream, settings.store
        if upstream == EMULATOR:
            upstream = await stack.enter_async_context(running_emulator())
        if store == EMBEDDED:
            options = EmbeddedOptions(
                settings.data_dir, settings.store_max_memory, settings.store_fsync
            )
            store = await stack.enter_async_context(running_valkey(options))
        yield Shared(listen, upstream, store)
