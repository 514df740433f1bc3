"""Which failures a named call gets over, and how long it waits before it tries again.

A call with an `idempotency_key` names its generation: sent again, it resumes the same one and is
paid once. A call without one is never sent again, because the server keeps nothing of it.
"""

import random
from dataclasses import dataclass
from datetime import timedelta

import grpc

from contextbridge._errors import ContextBridgeError

_OF_THE_WAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
"""What a lost connection, a proxy, or a server that stops ends a call with, giving no reason."""

_OF_THE_MOMENT = frozenset({"ERROR_REASON_STORE_UNAVAILABLE", "ERROR_REASON_OVERLOADED"})
"""Reasons of the server's own that leave the generation as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """How a broken call with an `idempotency_key` is taken up again, within its deadline.

    Raises ValueError for a negative number.
    """

    attempts: int = 5
    """How often in a row without a new event. 0 never resumes."""

    initial_backoff: timedelta = timedelta(seconds=0.1)
    """The longest wait before the first attempt; it doubles with each, and at least half of it is
    waited. Longer where the server asks for that."""

    max_backoff: timedelta = timedelta(seconds=5)
    """Where it stops doubling."""

    def __post_init__(self) -> None:
        if min(self.attempts, self.initial_backoff / _SECOND, self.max_backoff / _SECOND) < 0:
            msg = "attempts and back-offs are 0 or more"
            raise ValueError(msg)


_SECOND = timedelta(seconds=1)
_NEVER = Resume(attempts=0)

Resuming = Resume | bool | None
"""A policy, True for the default one, False for never, or None for the client's."""


def policy(resuming: Resuming, default: Resume = _NEVER) -> Resume:
    """The policy that was chosen."""
    if isinstance(resuming, Resume):
        return resuming
    if resuming is None:
        return default
    return Resume() if resuming else _NEVER


def broke(failure: ContextBridgeError) -> bool:
    """Whether a failure left the generation as it was: the way to the server broke, or it was busy.

    The caller's own deadline is none, nor is what upstream said: that is the answer.
    """
    if failure.reason:
        return failure.reason in _OF_THE_MOMENT
    return failure.code in _OF_THE_WAY


class Attempts:
    """The tries of one call. A call without an `idempotency_key` has one."""

    def __init__(self, resume: Resume, *, named: bool) -> None:
        self._resume = resume if named else _NEVER
        self._used = 0

    def begin_again(self) -> None:
        """Takes note of a new event."""
        self._used = 0

    def pause_after(self, failure: ContextBridgeError, remaining: float | None) -> float | None:
        """Seconds to wait before the next try. None where there is none: the failure stands.

        Args:
            failure: What ended the try before.
            remaining: Seconds until the call's deadline. None without one.
        """
        if not broke(failure) or self._used >= self._resume.attempts:
            return None
        self._used += 1
        pause = self._backoff()
        if failure.retry_delay is not None:
            pause = max(pause, failure.retry_delay.total_seconds())
        return None if remaining is not None and pause >= remaining else pause

    def _backoff(self) -> float:
        # Doubling is done in floats, which an absurd number of attempts does not overflow.
        longest = self._resume.max_backoff.total_seconds()
        grown = self._resume.initial_backoff.total_seconds() * 2.0 ** min(self._used - 1, 64)
        return min(grown, longest) * random.uniform(0.5, 1)  # noqa: S311 - It spreads; no secret.
