"""Settings of an emulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

MINIMUM_CACHE_TOKENS: Mapping[str, int] = MappingProxyType(
    {"gemini-": 1024, "gemini-2.5-pro": 4096, "gemini-3-pro": 4096}
)
"""Smallest cacheable prefix, in tokens, per model-name prefix; other models have no minimum."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one emulator; the defaults match the gateway."""

    api_keys: tuple[str, ...] = ()
    """Accepted keys; if empty, every key that does not start with `bad-`."""
    delay: timedelta = timedelta()
    """Delay before the first byte of every model answer."""
    pace: timedelta = timedelta()
    """Delay before each event of a stream."""
    events_per_write: int = 1
    """Stream events per write; the gateway flushes each."""
    minimum_cache_tokens: Mapping[str, int] = field(default_factory=lambda: MINIMUM_CACHE_TOKENS)
    """Smallest cacheable prefix, in tokens, per model-name prefix; the longest match applies."""
    context_ttl_range: tuple[timedelta, timedelta] = (timedelta(hours=1), timedelta(days=7))
    """Allowed ttl of a context of the `ctx-` kind."""
    file_processing: timedelta = timedelta(milliseconds=200)
    """Time that an uploaded video or audio file stays PROCESSING."""
    max_body_bytes: int = 32 * 1024 * 1024
    """Longest request body."""
    max_file_bytes: int = 256 * 1024 * 1024
    """Longest upload; the emulator stores text files whole and of other files a hash."""
    max_stored_bytes: int = 256 * 1024 * 1024
    """Limit on the stored text of all files and unfinished uploads together."""
    max_accounts: int = 10_000
    """Accounts held; the least recently used is dropped first."""
    max_entries_per_account: int = 10_000
    """Limit on the contexts, caches, files and unfinished uploads of one key, each."""
    max_records: int = 1_000
    """Recorded requests held."""
    max_record_bytes: int = 64 * 1024 * 1024
    """Limit on the recorded request bodies together."""

    def minimum_tokens(self, model: str) -> int:
        """Return the smallest prefix that can be cached for a model."""
        matches = [prefix for prefix in self.minimum_cache_tokens if model.startswith(prefix)]
        return self.minimum_cache_tokens[max(matches, key=len)] if matches else 0
