"""How events and failures are stored: messages one after another, each behind its length.

That is protobuf's own form for many messages in one text of bytes.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from contextbridge import v1 as pb

from ..errors import BridgeError, Violation

MORE = 0x80
"""Set in each byte of a varint but the last."""


class _Failure(msgspec.Struct):
    """A failure as it is stored."""

    v: int
    reason: str
    message: str
    metadata: dict[str, str]
    retry_after_ms: float | None
    violations: list[tuple[str, str]]
    http_status: int | None


VERSION = 1


def encode_events(first: int, events: Sequence[bytes]) -> bytes:
    """Return events as one text of bytes.

    Args:
        first: The sequence of the first of them.
        events: The events, serialized.
    """
    parts = [_varint(VERSION), _varint(first)]
    for event in events:
        parts += _varint(len(event)), event
    return b"".join(parts)


def decode_events(content: bytes) -> tuple[int, list[bytes]]:
    """Return the first sequence and the events.

    Raises:
        BridgeError: CONTENT_UNREADABLE.
    """
    try:
        version, place = _read_varint(content, 0)
        first, place = _read_varint(content, place)
        events: list[bytes] = []
        while place < len(content):
            length, place = _read_varint(content, place)
            events.append(content[place : place + length])
            place += length
    except IndexError as error:
        raise unreadable() from error
    if version != VERSION or place != len(content):
        raise unreadable()
    return first, events


def encode_failure(error: BridgeError) -> bytes:
    """Return a failure as it is stored."""
    wait = error.retry_after
    return msgspec.json.encode(
        _Failure(
            v=VERSION,
            reason=pb.ErrorReason.Name(error.reason),
            message=error.message,
            metadata=error.metadata,
            retry_after_ms=None if wait is None else wait.total_seconds() * 1000,
            violations=[(violation.field, violation.description) for violation in error.violations],
            http_status=error.http_status,
        )
    )


def decode_failure(stored: bytes) -> BridgeError:
    """Return a failure that was stored.

    Raises:
        BridgeError: CONTENT_UNREADABLE.
    """
    try:
        failure = msgspec.json.decode(stored, type=_Failure)
        reason = pb.ErrorReason.Value(failure.reason)
    except (msgspec.DecodeError, ValueError) as error:
        raise unreadable() from error
    if failure.v != VERSION:
        raise unreadable()
    wait = failure.retry_after_ms
    return BridgeError(
        reason,
        failure.message,
        metadata=failure.metadata,
        retry_after=None if wait is None else timedelta(milliseconds=wait),
        violations=[Violation(*violation) for violation in failure.violations],
        http_status=failure.http_status,
    )


def unreadable() -> BridgeError:
    """Return the error for a journal that is damaged, or of another version."""
    return BridgeError(
        pb.ERROR_REASON_CONTENT_UNREADABLE, "What was stored of the answer cannot be read."
    )


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number >= MORE:
        digits.append(number & (MORE - 1) | MORE)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    """Return a number and the place after it."""
    number = shift = 0
    while True:
        digit = content[place]
        place += 1
        number |= (digit & (MORE - 1)) << shift
        if digit < MORE:
            return number, place
        shift += 7
