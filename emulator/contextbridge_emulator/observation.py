"""Record requests, for tests and for the control API."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["open", "answered", "closed-by-client"]


@dataclass(slots=True)
class Record:
    """A recorded request and its outcome."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    json: Any = None
    body_bytes: int = 0
    time: float = field(default_factory=time.time)
    status: int | None = None
    outcome: Outcome = "open"
    forgotten: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the record as a dictionary."""
        return {name: value for name, value in asdict(self).items() if name != "forgotten"}


class Observations:
    """A bounded list of recorded requests, and the number of open ones."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.records: deque[Record] = deque()
        self.open_requests = 0
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._bytes = 0
        self._changed: set[asyncio.Event] = set()

    @contextmanager
    def serving(self, record: Record) -> Iterator[None]:
        """Count a request as open within the block; record its outcome."""
        self.records.append(record)
        self.open_requests += 1
        self._trim()
        self._notify()
        try:
            yield
        except (asyncio.CancelledError, ConnectionError):
            self.close(record, "closed-by-client")
            raise
        finally:
            self.close(record, "answered")
            self.open_requests -= 1
            self._notify()

    def close(self, record: Record, outcome: Outcome) -> None:
        """Record the outcome of a request, unless it has one."""
        if record.outcome == "open":
            record.outcome = outcome
            self._notify()

    def keep_body(self, record: Record, body: Any, size: int) -> None:
        """Record a request's JSON, within the limit on recorded bodies."""
        record.body_bytes = size
        if size <= self._max_bytes and not record.forgotten:
            record.json = body
            self._bytes += size
            self._trim()
            self._notify()

    def clear(self) -> None:
        """Delete the recorded requests."""
        for record in self.records:
            record.forgotten = True
        self.records.clear()
        self._bytes = 0

    async def wait_until(self, true: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until a condition holds; raise TimeoutError after a timeout."""
        async with asyncio.timeout(timeout_seconds):
            changed = asyncio.Event()
            self._changed.add(changed)
            try:
                while not true():
                    await changed.wait()
                    changed.clear()
            finally:
                self._changed.discard(changed)

    def _notify(self) -> None:
        for changed in self._changed:
            changed.set()

    def _trim(self) -> None:
        while len(self.records) > self._max_records or (
            self._bytes > self._max_bytes and len(self.records) > 1
        ):
            oldest = self.records.popleft()
            oldest.forgotten = True
            if oldest.json is not None:
                self._bytes -= oldest.body_bytes
