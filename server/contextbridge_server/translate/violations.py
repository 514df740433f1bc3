"""Collects every violation of a request, so that a caller learns them all at once."""

import math
from collections.abc import Iterable

from google.protobuf.message import Message

from contextbridge import v1 as pb

from ..errors import BridgeError, Violation


def is_set(message: Message, name: str) -> bool:
    """Tell whether a field with presence is set; the name may be any of the message's."""
    return message.HasField(name)


class Violations:
    """The violations of one request, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field is wrong, and how."""
        self._found.append(Violation(field, description))

    def require(self, field: str, value: object) -> None:
        """Note a field that is missing."""
        if not value:
            self.add(field, "Required.")

    def within(
        self, field: str, value: float, least: float | None, most: float | None = None
    ) -> None:
        """Note a number that lies outside a range, both ends included, or is no number."""
        above = least is None or value >= least
        below = most is None or value <= most
        if not (above and below) or not math.isfinite(value):
            self.add(field, f"Must be {_range(least, most)}.")

    def one_of(self, field: str, value: str, allowed: Iterable[str]) -> None:
        """Note a text that is none of those allowed."""
        choices = tuple(allowed)
        if value not in choices:
            self.add(field, f"Must be one of {', '.join(choices)}.")

    def length(self, field: str, value: str, most: int) -> None:
        """Note a text that is too long, in characters."""
        if len(value) > most:
            self.add(field, f"Must be at most {most} characters.")

    def raise_if_any(self) -> None:
        """Raise REQUEST_INVALID with all that was found.

        Raises:
            BridgeError: At least one violation was noted.
        """
        if not self._found:
            return
        first = self._found[0]
        more = f" ({len(self._found) - 1} more)" if len(self._found) > 1 else ""
        raise BridgeError(
            pb.ERROR_REASON_REQUEST_INVALID,
            f"{first.field}: {first.description}{more}",
            violations=self._found,
        )


def _range(least: float | None, most: float | None) -> str:
    if most is None:
        return f"at least {least:g}" if least is not None else "a finite number"
    return f"at most {most:g}" if least is None else f"from {least:g} to {most:g}"
