"""What an emulator can be told when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

MINIMUM_CACHE_TOKENS: Mapping[str, int] = MappingProxyType(
    {"gemini-": 1024, "gemini-2.5-pro": 4096, "gemini-3-pro": 4096}
)
"""Smallest cacheable prefix per model, by longest matching prefix; any other model has none."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one emulator; the defaults behave like the real gateway."""

    api_keys: tuple[str, ...] = ()
    """Keys accepted; none means any key that does not start with `bad-`."""
    delay: timedelta = timedelta()
    """Wait before the first byte of every answer of a model."""
    pace: timedelta = timedelta()
    """Wait before each event of a stream."""
    events_per_write: int = 1
    """Stream events sent with one write; the real gateway flushes each."""
    minimum_cache_tokens: Mapping[str, int] = field(default_factory=lambda: MINIMUM_CACHE_TOKENS)
    """Smallest cacheable prefix per model-name prefix; the longest match decides."""
    context_ttl_range: tuple[timedelta, timedelta] = (timedelta(hours=1), timedelta(days=7))
    """Allowed ttl of a context of the `ctx-` kind."""
    file_processing: timedelta = timedelta(milliseconds=200)
    """How long an uploaded video or audio file stays PROCESSING."""
    max_body_bytes: int = 32 * 1024 * 1024
    """Longest request body."""
    max_file_bytes: int = 256 * 1024 * 1024
    """Longest upload; only text is kept, of other files a hash."""
    max_stored_bytes: int = 256 * 1024 * 1024
    """Text kept of all uploaded files and unfinished uploads together."""
    max_accounts: int = 10_000
    """API keys remembered; the longest unused is forgotten first."""
    max_entries_per_account: int = 10_000
    """Contexts, caches, files and unfinished uploads of one key, counted separately."""
    max_records: int = 1_000
    """Requests remembered for observation."""
    max_record_bytes: int = 64 * 1024 * 1024
    """Request bodies remembered for observation, together."""

    def minimum_tokens(self, model: str) -> int:
        """Return the smallest prefix that can be cached for a model."""
        matches = [prefix for prefix in self.minimum_cache_tokens if model.startswith(prefix)]
        return self.minimum_cache_tokens[max(matches, key=len)] if matches else 0
