"""Parse JSON as Google's front end does: both spellings, known fields only, its errors."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from .errors import violations
from .schema import ENUMS, MESSAGES, ONEOFS
from .state import SECOND

_PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta."
_PROTOBUF = "type.googleapis.com/google.protobuf."
_CAPITAL = re.compile(r"[A-Z]")
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_BITS = {"int32": 31, "int64": 63}
_MAX_DEPTH = 100
LATEST_NS = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * SECOND + SECOND - 1
"""Latest time that a timestamp can represent."""


def snake(name: str) -> str:
    """Convert a camelCase name to snake_case."""
    return _CAPITAL.sub(lambda capital: "_" + capital.group().lower(), name)


_NAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        message: {spelling: name for name in fields for spelling in (name, snake(name))}
        for message, fields in MESSAGES.items()
    }
)


def normalise(message: str, value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a message with camelCase names; raise one error with all violations."""
    reader = _Reader()
    clean = reader.message(message, value, path)
    if reader.defects:
        raise violations(reader.defects)
    return clean


def parse_duration(text: str) -> int:
    """Return the nanoseconds of a valid duration."""
    whole, _, fraction = text.removesuffix("s").partition(".")
    nanos = abs(int(whole)) * SECOND + int(fraction.ljust(9, "0") or 0)
    return -nanos if whole.startswith("-") else nanos


def parse_timestamp(text: str) -> int:
    """Return the nanoseconds since 1970 of a valid timestamp."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(text)
    moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    nanos = int(moment.timestamp()) * SECOND + int((match[2] or "").ljust(9, "0"))
    if nanos > LATEST_NS:
        raise ValueError(text)
    return nanos


def format_timestamp(nanos: int) -> str:
    """Format a time as proto3 JSON does: in UTC, with 0, 3, 6 or 9 fraction digits."""
    seconds, fraction = divmod(nanos, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def decode_bytes(text: str) -> bytes:
    """Decode base64 of either alphabet, padded or not."""
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


class _Reader:
    """Walks a message and collects its violations."""

    def __init__(self) -> None:
        self.defects: list[tuple[str, str]] = []
        self._depth = 0

    def message(self, message: str, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._invalid(path, f"({_PACKAGE}{message})", value)
            return {}
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self.defects.append((path, "Message too deep. Max recursion depth reached"))
            return {}
        fields, names = MESSAGES[message], _NAMES[message]
        clean: dict[str, Any] = {}
        for spelling, member in value.items():
            name = names.get(spelling)
            if name is None:
                self._unknown(spelling, path)
            elif member is not None:
                self._check_oneof(message, name, clean, path)
                clean[name] = self.field(fields[name], member, _join(path, snake(name)))
        self._depth -= 1
        return clean

    def field(self, kind: str, value: Any, path: str) -> Any:
        if kind.endswith("[]"):
            # A single value in place of a list counts as a list of one.
            values = value if isinstance(value, list) else [value]
            inner = kind.removesuffix("[]")
            return [self.field(inner, each, f"{path}[{at}]") for at, each in enumerate(values)]
        if kind.startswith("map:"):
            return self._map(kind.removeprefix("map:"), value, path)
        if kind.startswith("enum:"):
            return self._enum(kind.removeprefix("enum:"), value, path)
        if kind in MESSAGES:
            return self.message(kind, value, path)
        return _SCALARS[kind](self, value, path)

    def string(self, value: Any, path: str) -> Any:
        if not isinstance(value, str):
            self._invalid(path, "(TYPE_STRING)", value)
            return ""
        return value

    def boolean(self, value: Any, path: str) -> Any:
        if not isinstance(value, bool):
            self._invalid(path, "(TYPE_BOOL)", value)
        return value

    def integer(self, bits: str, value: Any, path: str) -> Any:
        number = value
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            number = int(value)
        if isinstance(value, float) and value.is_integer():
            number = int(value)
        limit = 1 << _BITS[bits]
        if isinstance(number, bool) or not isinstance(number, int) or not -limit <= number < limit:
            self._invalid(path, f"(TYPE_{bits.upper()})", value)
            return 0
        return number

    def decimal(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                pass
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._invalid(path, "(TYPE_FLOAT)", value)
            return 0.0
        return value

    def data(self, value: Any, path: str) -> Any:
        try:
            return decode_bytes(value)
        except (AttributeError, binascii.Error, ValueError):
            self._reject(
                path,
                f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{value}\"",
            )
            return b""

    def duration(self, value: Any, path: str) -> Any:
        if isinstance(value, str) and _DURATION.fullmatch(value):
            return value
        name = path.rsplit(".", 1)[-1]
        self._reject(
            path,
            f"Invalid value at '{path}' ({_PROTOBUF}Duration), Field '{_camel(name)}', Illegal "
            "duration format; duration must end with 's'",
        )
        return "0s"

    def timestamp(self, value: Any, path: str) -> Any:
        try:
            parse_timestamp(value)
        except (TypeError, ValueError, OverflowError):
            name = path.rsplit(".", 1)[-1]
            self._reject(
                path,
                f"Invalid value at '{path}' ({_PROTOBUF}Timestamp), Field '{_camel(name)}', "
                "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone "
                "offset.",
            )
            return "1970-01-01T00:00:00Z"
        return value

    def struct(self, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            self._invalid(path, f"({_PROTOBUF}Struct)", value)
            return {}
        return value

    def anything(self, value: Any, path: str) -> Any:  # noqa: ARG002 - one signature for all kinds.
        return value

    def _map(self, kind: str, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            self._invalid(path, "(map)", value)
            return {}
        return {
            key: self.field(kind, each, f"{path}[{at}].value")
            for at, (key, each) in enumerate(value.items())
        }

    def _enum(self, enum: str, value: Any, path: str) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str) or value not in ENUMS[enum]:
            self._invalid(path, f"({_PACKAGE}{enum})", value)
        return value

    def _check_oneof(self, message: str, name: str, clean: Mapping[str, Any], path: str) -> None:
        for oneof, members in ONEOFS.get(message, {}).items():
            if name in members and any(each in clean for each in members - {name}):
                self._reject(
                    path,
                    f"Invalid value at '{path}' (oneof), oneof field '{oneof}' is already set. "
                    f"Cannot set '{name}'",
                )

    def _unknown(self, name: str, path: str) -> None:
        at = f" at '{path}'" if path else ""
        self._reject(
            path,
            f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.',
        )

    def _invalid(self, path: str, kind: str, value: Any) -> None:
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        self._reject(path, f"Invalid value at '{path}' {kind}, {shown[:200]}")

    def _reject(self, path: str, description: str) -> None:
        self.defects.append((path, description))


_SCALARS: Mapping[str, Callable[[_Reader, Any, str], Any]] = MappingProxyType(
    {
        "string": _Reader.string,
        "bool": _Reader.boolean,
        "int32": lambda reader, value, path: reader.integer("int32", value, path),
        "int64": lambda reader, value, path: reader.integer("int64", value, path),
        "float": _Reader.decimal,
        "double": _Reader.decimal,
        "bytes": _Reader.data,
        "duration": _Reader.duration,
        "timestamp": _Reader.timestamp,
        "struct": _Reader.struct,
        "value": _Reader.anything,
    }
)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
