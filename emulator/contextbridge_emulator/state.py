"""Hold the emulator's state in memory, per API key and bounded."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

SECOND = 1_000_000_000
_EXPIRED_FOR = 60 * SECOND
"""Time for which Vertex answers `expired` before it answers `not found`."""

Dialect = Literal["gemini-api", "vertex"]
GoneDialect = Literal["gemini-api", "vertex-expired", "vertex-reaped", "ark"]
GONE_DIALECTS: tuple[GoneDialect, ...] = ("gemini-api", "vertex-expired", "vertex-reaped", "ark")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts by modality."""

    by_modality: tuple[tuple[str, int], ...] = ()

    @property
    def total(self) -> int:
        """Return the sum over all modalities."""
        return sum(count for _, count in self.by_modality)

    def __add__(self, other: "Counts") -> "Counts":
        totals = dict(self.by_modality)
        for modality, count in other.by_modality:
            totals[modality] = totals.get(modality, 0) + count
        return Counts(tuple((name, totals[name]) for name in sorted(totals, key=_MODALITY.index)))

    def details(self) -> list[dict[str, Any]]:
        """Return the counts in Google's format, without counts of zero."""
        return [
            {"modality": name, "tokenCount": count} for name, count in self.by_modality if count
        ]


_MODALITY = ("TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")


@dataclass(frozen=True, slots=True)
class Turn:
    """The parts of a message that answers and token counts need."""

    role: str
    text: str
    counts: Counts


@dataclass(slots=True)
class Cache:
    """A Gemini cached content; it has a fixed expiry."""

    name: str
    model: str
    dialect: Dialect
    turns: Sequence[Turn]
    counts: Counts
    created_ns: int
    updated_ns: int
    expires_ns: int
    display_name: str = ""
    tools: Sequence[Any] = ()


@dataclass(slots=True)
class Context:
    """An Ark context; each use restarts its TTL."""

    id: str
    model: str
    mode: str
    ttl_ns: int
    expires_ns: int
    initial: Sequence[Turn]
    truncation: dict[str, Any] | None
    history: list[Turn] = field(default_factory=list)
    run: object | None = None
    """The running call on a session, which takes one call at a time."""


@dataclass(slots=True)
class StoredFile:
    """An uploaded file; its bytes are stored only if they are text."""

    name: str
    mime_type: str
    size_bytes: int
    sha256_hex: str
    created_ns: int
    active_ns: int
    expires_ns: int
    uri: str
    display_name: str | None
    text: str | None


@dataclass(slots=True)
class Upload:
    """An unfinished resumable upload."""

    account: "Account"
    name: str | None
    display_name: str | None
    mime_type: str
    expected_bytes: int | None
    base_url: str
    version: str
    created_ns: int
    digest: Any
    received_bytes: int = 0
    kept: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Gone:
    """An expired id: when it expired, and the dialect of its error if one is set."""

    at_ns: int
    dialect: GoneDialect | None = None

    def vertex_says_expired(self, now_ns: int) -> bool:
        """Return whether Vertex still answers `expired` for the id."""
        if self.dialect is not None:
            return self.dialect == "vertex-expired"
        return now_ns - self.at_ns < _EXPIRED_FOR


class BoundedDict(OrderedDict[str, T], Generic[T]):
    """A dictionary of bounded size, which drops its oldest entry."""

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self._max_entries = max_entries

    def __setitem__(self, key: str, value: T) -> None:
        super().__setitem__(key, value)
        while len(self) > self._max_entries:
            self.popitem(last=False)


class Account:
    """The state of one API key."""

    def __init__(self, key: str, max_entries: int) -> None:
        self.key = key
        self.max_entries = max_entries
        self.contexts: dict[str, Context] = {}
        self.caches: dict[str, Cache] = {}
        self.files: dict[str, StoredFile] = {}
        self.gone: BoundedDict[Gone] = BoundedDict(max_entries)
        self.seen: BoundedDict[bool] = BoundedDict(max_entries)
        self.responses: BoundedDict[Any] = BoundedDict(max_entries)

    def purge(self, now_ns: int) -> None:
        """Delete all expired entries."""
        for entries in (self.contexts, self.caches, self.files):
            lapsed = [key for key, entry in entries.items() if entry.expires_ns <= now_ns]
            for key in lapsed:
                self.gone[key] = Gone(entries.pop(key).expires_ns)

    def context(self, context_id: str, now_ns: int) -> Context | None:
        """Return an unexpired context, or None."""
        self.purge_one(self.contexts, context_id, now_ns)
        return self.contexts.get(context_id)

    def cache(self, name: str, now_ns: int) -> Cache | None:
        """Return an unexpired cache, or None."""
        self.purge_one(self.caches, name, now_ns)
        return self.caches.get(name)

    def file(self, name: str, now_ns: int) -> StoredFile | None:
        """Return an unexpired file, or None."""
        self.purge_one(self.files, name, now_ns)
        return self.files.get(name)

    def purge_one(self, entries: dict[str, Any], key: str, now_ns: int) -> None:
        """Delete one entry if it is expired."""
        entry = entries.get(key)
        if entry is not None and entry.expires_ns <= now_ns:
            del entries[key]
            self.gone[key] = Gone(entry.expires_ns)

    def has_room(self, entries: dict[str, Any], now_ns: int) -> bool:
        """Return whether one more entry fits, after deleting expired ones."""
        if len(entries) >= self.max_entries:
            self.purge(now_ns)
        return len(entries) < self.max_entries

    def expire(self, entry_id: str | None, now_ns: int, dialect: GoneDialect | None) -> int:
        """Expire one context or cache now, or all; return the number of expired entries."""
        ended = 0
        for entries in (self.contexts, self.caches):
            for key in [key for key in entries if entry_id in (None, key)]:
                del entries[key]
                self.gone[key] = Gone(now_ns, dialect)
                ended += 1
        return ended

    def first_time(self, what: str) -> bool:
        """Return whether a name is new, and record it."""
        first = what not in self.seen
        self.seen[what] = True
        return first


class State:
    """The state of an emulator: accounts and unfinished uploads."""

    def __init__(self, max_accounts: int, max_entries: int) -> None:
        self.accounts: OrderedDict[str, Account] = OrderedDict()
        self.uploads: BoundedDict[Upload] = BoundedDict(max_entries)
        self._max_accounts = max_accounts
        self._max_entries = max_entries

    def account(self, key: str) -> Account:
        """Return the account of a key; create it on first use."""
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(key, self._max_entries)
            while len(self.accounts) > self._max_accounts:
                self.accounts.popitem(last=False)
        self.accounts.move_to_end(key)
        return account

    def stored_bytes(self) -> int:
        """Return the size of the stored text of files."""
        files = sum(
            len(file.text or "")
            for account in self.accounts.values()
            for file in account.files.values()
        )
        return files + sum(len(upload.kept) for upload in self.uploads.values())

    def clear(self) -> None:
        """Delete all state."""
        self.accounts.clear()
        self.uploads.clear()

    def expire(self, entry_id: str | None, key: str | None, dialect: GoneDialect | None) -> int:
        """Expire one context or cache now, or all; return the number of expired entries."""
        now_ns = time.time_ns()
        return sum(
            account.expire(entry_id, now_ns, dialect)
            for account in self.accounts.values()
            if key in (None, account.key)
        )
