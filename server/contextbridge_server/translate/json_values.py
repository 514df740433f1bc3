"""JSON values: reading them with their kinds checked, and writing text that callers gave."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf.struct_pb2 import Struct, Value

from ..errors import malformed
from .violations import Violations

Json = dict[str, Any]

LARGEST_EXACT_INTEGER = 2**53
"""Beyond it a double, which is what a Struct holds, is no exact whole number."""

encode = msgspec.json.Encoder().encode


def text_of(value: Mapping[str, Any]) -> str:
    """Return a JSON object's text, or nothing for an empty one: the form of `extra_json` fields."""
    return encode(value).decode() if value else ""


def raw_json(field: str, text: str, violations: Violations) -> msgspec.Raw | None:
    """Return JSON text that a caller gave, to be sent as it is; note text that is no JSON."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        violations.add(field, "Must be valid JSON text.")
        return None
    return msgspec.Raw(text.encode())


def object_of_text(field: str, text: str, violations: Violations) -> Json:
    """Return the object that JSON text holds; note text that holds none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        violations.add(field, "Must be the text of a JSON object.")
        return {}
    return value


def merge_extra_body(
    field: str, body: Json, known: Iterable[str], extra: Struct, violations: Violations
) -> None:
    """Add `extra_body` to a body's top level.

    Args:
        field: Where `extra_body` is in the request.
        body: Takes its members.
        known: Members that the request has fields for, set or not.
        extra: The extra body.
        violations: Takes the members that are known, and numbers that JSON has no form for.
    """
    if not extra.fields:
        return
    taken = {_folded(name) for name in (*known, *body)}
    for key, value in extra.fields.items():
        if _folded(key) in taken:
            violations.add(f"{field}.{key}", "The request has a field for it; set that instead.")
        elif not _is_finite(value):
            violations.add(f"{field}.{key}", "Must hold finite numbers only.")
        else:
            body[key] = plain_of_value(value)


def _folded(name: str) -> str:
    """Return a member's name as the laxest reader takes it: some ignore case, some `_`."""
    return name.replace("_", "").lower()


def _is_finite(value: Value) -> bool:
    match value.WhichOneof("kind"):
        case "number_value":
            return math.isfinite(value.number_value)
        case "struct_value":
            return all(_is_finite(v) for v in value.struct_value.fields.values())
        case "list_value":
            return all(_is_finite(v) for v in value.list_value.values)
        case _:
            return True


def plain_of_value(value: Value) -> Any:
    """Return a Value as plain data, its whole numbers as integers."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            whole = number.is_integer() and abs(number) <= LARGEST_EXACT_INTEGER
            return int(number) if whole else number
        case "struct_value":
            return {k: plain_of_value(v) for k, v in value.struct_value.fields.items()}
        case "list_value":
            return [plain_of_value(v) for v in value.list_value.values]
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


class Reader:
    """Takes the members of a JSON object of upstream's one by one; what is left is extra.

    A member that is missing or null reads as the kind's zero; one of another kind is an
    UPSTREAM_RESPONSE_MALFORMED.
    """

    __slots__ = ("_left", "_what")

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise malformed(f"{what} is no JSON object")
        self._left = dict(value)
        self._what = what

    def text(self, key: str) -> str:
        """Take a text."""
        value = self._left.pop(key, None)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise malformed(f"{self._what}.{key} is no text")
        return value

    def integer(self, key: str, *, bits: int = 63) -> int:
        """Take a whole number of so many bits; one in text counts (wire.md A.1: ttl)."""
        value = self._left.pop(key, None)
        if value is None or value == "":
            return 0
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise malformed(f"{self._what}.{key} is no whole number") from error
        exact = not isinstance(value, float) or value.is_integer()
        if isinstance(value, bool) or not exact or number.bit_length() > bits:
            raise malformed(f"{self._what}.{key} is no whole number of {bits} bits")
        return number

    def count(self, key: str) -> int:
        """Take a whole number that an int32 field holds."""
        return self.integer(key, bits=31)

    def number(self, key: str) -> float:
        """Take a number."""
        value = self._left.pop(key, None)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise malformed(f"{self._what}.{key} is no number")
        try:
            return float(value)
        except OverflowError as error:
            raise malformed(f"{self._what}.{key} is no number of 64 bits") from error

    def flag(self, key: str) -> bool:
        """Take a truth value."""
        value = self._left.pop(key, None)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise malformed(f"{self._what}.{key} is no truth value")
        return value

    def members(self, key: str) -> "Reader":
        """Take an object."""
        value = self._left.pop(key, None)
        return Reader({} if value is None else value, f"{self._what}.{key}")

    def items(self, key: str) -> "list[Reader]":
        """Take an array of objects."""
        value = self._left.pop(key, None)
        if value is None:
            return []
        if not isinstance(value, list):
            raise malformed(f"{self._what}.{key} is no array")
        return [Reader(item, f"{self._what}.{key}[]") for item in value]

    def integers(self, key: str) -> list[int]:
        """Take an array of whole numbers."""
        value = self._left.pop(key, None)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            raise malformed(f"{self._what}.{key} is no array of whole numbers")
        return value

    def drop(self, *keys: str) -> None:
        """Take members that say nothing new."""
        for key in keys:
            self._left.pop(key, None)

    def has(self, key: str) -> bool:
        """Tell whether a member is there and not null."""
        return self._left.get(key) is not None

    def rest(self) -> Json:
        """Return what was not taken, nulls left out."""
        return {key: value for key, value in self._left.items() if value is not None}
