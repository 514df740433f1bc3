"""Times and durations: protobuf's as Python's, cut to the range that both have."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

MAX_DURATION_SECONDS = 315_576_000_000
"""The range of google.protobuf.Duration: about 10,000 years."""
MAX_TIMESTAMP_SECONDS = 253_402_300_799
"""The end of year 9999."""


def timedelta_of(duration: Duration) -> timedelta:
    """Return a Duration as a timedelta, cut to microseconds and to Duration's range."""
    seconds = max(-MAX_DURATION_SECONDS, min(duration.seconds, MAX_DURATION_SECONDS))
    return timedelta(seconds=seconds, microseconds=duration.nanos // 1000)


def datetime_of(timestamp: Timestamp) -> datetime:
    """Return a Timestamp as a datetime, cut to seconds and to the years 1970 to 9999."""
    return datetime.fromtimestamp(max(0, min(timestamp.seconds, MAX_TIMESTAMP_SECONDS)), UTC)


def timestamp_of_seconds(seconds: int) -> Timestamp | None:
    """Return Unix seconds as a Timestamp; None for 0 and for what is no time."""
    return Timestamp(seconds=seconds) if 0 < seconds <= MAX_TIMESTAMP_SECONDS else None
