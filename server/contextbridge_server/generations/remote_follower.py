"""A generation that another process makes, read from the store for all readers of this one."""

import asyncio
import secrets
from contextlib import suppress
from datetime import timedelta

from ..errors import BridgeError
from ..store.backoff import BRIEFLY, retry_with_backoff
from .journal import Journal, not_resumable
from .producer import abandoned
from .stored_journals import GenerationId, JournalState, StoredJournals

FIRST_PAUSE = timedelta(milliseconds=5)
LONGEST_PAUSE = timedelta(milliseconds=50)
"""Between two looks; the first one doubles while nothing comes."""


class RemoteFollower:
    """One generation of another process, while it is read here.

    Args:
        id_: The generation.
        stored: The journals in the store.
        max_bytes: Most bytes of events that are held.
    """

    def __init__(self, id_: GenerationId, stored: StoredJournals, max_bytes: int) -> None:
        self.journal = Journal(max_bytes)
        self._id = id_
        self._stored = stored
        # One that ends may leave while the next reads already.
        self._reader = secrets.token_hex(8)

    async def run(self) -> None:
        """Read the generation until it ends, or nobody reads it here.

        It ends in the same step in which it finds no reader; whoever comes after needs another.
        """
        pause = FIRST_PAUSE
        try:
            while not self.journal.has_ended:
                before = self.journal.last
                await self._look()
                pause = FIRST_PAUSE if self.journal.last > before else min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause.total_seconds())
                if not self.journal.is_read:
                    break
        except BridgeError as error:
            self.journal.fail(error)
        finally:
            if not self.journal.has_ended:
                self.journal.fail(abandoned(self.journal.last))

    async def leave(self) -> None:
        """Tell that this process reads the generation no more."""
        with suppress(BridgeError):
            await retry_with_backoff(lambda: self._stored.leave(self._id, self._reader), BRIEFLY)

    async def _look(self) -> None:
        """Take what has come since the last look."""
        after = self.journal.last
        polled = await retry_with_backoff(lambda: self._stored.poll(self._id, self._reader, after))
        if polled is None:
            # Deleted, or its process ended it before it heard of this reader.
            is_new = after == 0
            self.journal.fail(not_resumable("It is gone.") if is_new else abandoned(after))
            return
        found, events = polled
        if found.status in ("complete", "failed"):
            await end(self.journal, found, self._stored)
        elif events:
            self.journal.append(events)
        elif not found.is_running:
            self.journal.fail(abandoned(after))


async def end(journal: Journal, found: JournalState, stored: StoredJournals) -> None:
    """Add what a journal lacks of a generation that has ended, and how it ended.

    Raises:
        BridgeError: CONTENT_UNREADABLE.
    """
    events = await stored.events(found)
    failure = await stored.failure(found)
    rest = events[journal.last :]
    if failure is None:
        journal.complete(rest)
        return
    journal.append(rest)
    journal.fail(failure)
