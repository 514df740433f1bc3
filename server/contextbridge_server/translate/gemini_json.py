"""Gemini's JSON and our messages of the same shape: both directions from the descriptors.

The messages of content.proto, cached_content.proto and file.proto are named and shaped as Gemini's
JSON is, so no field is spelled out here. The conventions (proto comments of content.proto):

* a string field `x_json` or `x_json_schema` holds the JSON text of member `x` or `xJsonSchema`;
* an enum field `x` has a sibling `x_raw` with upstream's word;
* `extra_json` holds the members that the message has no field for. A message without one leaves
  them to the message around it.

Unlike `json_format` it is fast, keeps words and numbers that it does not know, and recurses no
deeper than the message types allow (wire.md B.5; CVE-2026-0994).
"""

import base64
import binascii
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from contextbridge import v1 as pb

from ..errors import malformed
from .json_values import Json, encode, object_of_text, raw_json, text_of
from .violations import Violations

AnyMessage = TypeVar("AnyMessage", bound=Message)

EXTRA = "extra_json"
NOT_GEMINI: Mapping[str, frozenset[str]] = {
    pb.GenerateContentRequest.DESCRIPTOR.full_name: frozenset(
        ("model", "extra_body", "response_cache", "customer", "idempotency_key", "resume_after")
    ),
    pb.GenerateContentResponse.DESCRIPTOR.full_name: frozenset(
        ("sequence", "response_cache", "billed_usage", "context")
    ),
}
"""Fields by message that are ours alone: never written, never read."""
TIMES = {Duration.DESCRIPTOR.full_name, Timestamp.DESCRIPTOR.full_name}
FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
LARGE_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT64,
}
INTEGERS = LARGE_INTEGERS | {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32}
FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


# ---------------------------------------------------------------------------- to JSON


def to_json(message: Message, violations: Violations, path: str = "") -> Json:
    """Return a message as Gemini's JSON.

    Args:
        message: Any message of the Gemini family.
        violations: Takes text that is no JSON, and numbers that JSON has no form for.
        path: Where the message is in the request, for violations; empty or ending in a dot.
    """
    plans = _write_plans(message.DESCRIPTOR)
    result: Json = {}
    for field, value in message.ListFields():
        if plan := plans.get(field.name):
            result[plan.key] = plan.write(value, f"{path}{field.name}", violations)
    extra = getattr(message, EXTRA, "")
    if extra:
        for key, member in object_of_text(f"{path}{EXTRA}", extra, violations).items():
            if key in result:
                violations.add(f"{path}{EXTRA}.{key}", "The message has a field for it.")
            result[key] = member
    return result


@dataclass(frozen=True, slots=True)
class _WritePlan:
    """Under which key a field is written, and how."""

    key: str
    write: Callable[[Any, str, Violations], Any]


@cache
def _write_plans(descriptor: Descriptor) -> Mapping[str, _WritePlan]:
    return {field.name: _write_plan(field) for field in _gemini_fields(descriptor)}


def _write_plan(field: FieldDescriptor) -> _WritePlan:
    key = _json_text_key(field)
    if key:
        return _WritePlan(key, lambda value, path, violations: raw_json(path, value, violations))
    if _is_map(field):
        one = _writer(_message_of(field).fields_by_name["value"])
        return _WritePlan(field.json_name, partial(_write_map, one))
    if field.is_repeated:
        return _WritePlan(field.json_name, partial(_write_list, _writer(field)))
    return _WritePlan(field.json_name, _writer(field))


def _writer(field: FieldDescriptor) -> Callable[[Any, str, Violations], Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        if _message_of(field).full_name in TIMES:
            return _write_time
        return lambda value, path, violations: to_json(value, violations, f"{path}.")
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        words = {number: word for word, number in _words_of(field).items()}
        return lambda value, _path, _violations: words.get(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value, _path, _violations: base64.b64encode(value).decode()
    if field.cpp_type in LARGE_INTEGERS:
        # Proto3 JSON writes 64-bit numbers as text; clients are strict about it (wire.md B.4).
        return lambda value, _path, _violations: str(value)
    if field.cpp_type in FLOATS:
        return _write_float
    return lambda value, _path, _violations: value


def _write_float(value: float, path: str, violations: Violations) -> float:
    if not math.isfinite(value):
        violations.add(path, "Must be a finite number.")
    return value


def _write_time(value: Duration | Timestamp, path: str, violations: Violations) -> str:
    try:
        return value.ToJsonString()
    except ValueError:
        violations.add(path, "Is out of range.")
        return ""


def _write_list(
    one: Callable[[Any, str, Violations], Any], values: Any, path: str, violations: Violations
) -> Any:
    return [one(value, f"{path}[{place}]", violations) for place, value in enumerate(values)]


def _write_map(
    one: Callable[[Any, str, Violations], Any], values: Any, path: str, violations: Violations
) -> Any:
    return {key: one(value, f"{path}[{key}]", violations) for key, value in values.items()}


# ---------------------------------------------------------------------------- from JSON


def from_json(value: Json, kind: type[AnyMessage]) -> AnyMessage:
    """Return Gemini's JSON as a message.

    Raises:
        BridgeError: UPSTREAM_RESPONSE_MALFORMED, where a member is of another kind than its field.
    """
    message = kind()
    try:
        _read_into(value, message)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise malformed(f"a member of {kind.DESCRIPTOR.name} is of the wrong kind") from error
    except RecursionError as error:
        raise malformed(f"{kind.DESCRIPTOR.name} is nested too deep") from error
    return message


def member_names(kind: type[Message]) -> Collection[str]:
    """Return the names of the members of Gemini's JSON that a message has fields for."""
    return _read_plans(kind.DESCRIPTOR).keys()


def _read_into(value: Json, message: Message) -> Json:
    """Fill a message; return the members that neither it nor those within have a place for."""
    plans = _read_plans(message.DESCRIPTOR)
    unknown: Json = {}
    for key, member in value.items():
        if member is None:
            continue
        plan = plans.get(key)
        left = member if plan is None else plan(message, member)
        if left or plan is None:
            unknown[key] = left
    if unknown and EXTRA in message.DESCRIPTOR.fields_by_name:
        setattr(message, EXTRA, text_of(unknown))
        return {}
    return unknown


ReadPlan = Callable[[Message, Any], Any]
"""Puts a member's value into a message; returns what it had no place for."""


@cache
def _read_plans(descriptor: Descriptor) -> Mapping[str, ReadPlan]:
    """Return how each member is read, under its camelCase and its snake_case key."""
    plans: dict[str, ReadPlan] = {}
    for field in _gemini_fields(descriptor):
        text_key = _json_text_key(field)
        keys = (text_key, _snake(field)) if text_key else (field.json_name, field.name)
        plans.update(dict.fromkeys(keys, _read_plan(field)))
    return plans


def _read_plan(field: FieldDescriptor) -> ReadPlan:
    if _json_text_key(field):
        return partial(_read_json_text, field.name)
    if _is_map(field):
        return partial(_read_map, field.name, _message_of(field).fields_by_name["value"])
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        if _message_of(field).full_name in TIMES:
            return partial(_read_time, field.name)
        return partial(_read_messages if field.is_repeated else _read_message, field.name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return partial(_read_word, field.name, _words_of(field))
    convert = _converter(field)
    if field.is_repeated:
        return partial(_read_scalars, field.name, convert)
    return partial(_read_scalar, field.name, convert)


def _read_json_text(name: str, message: Message, value: Any) -> None:
    setattr(message, name, encode(value).decode())


def _read_map(name: str, field: FieldDescriptor, message: Message, value: Any) -> Json:
    target = getattr(message, name)
    unknown: Json = {}
    for key, member in value.items():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            if left := _read_into(member, target[key]):
                unknown[key] = left
        else:
            target[key] = member
    return unknown


def _read_time(name: str, message: Message, value: Any) -> None:
    getattr(message, name).FromJsonString(value)


def _read_message(name: str, message: Message, value: Any) -> Json:
    part = getattr(message, name)
    # An empty object is a value too: `content` without parts, `codeExecution`.
    part.SetInParent()
    return _read_into(value, part)


def _read_messages(name: str, message: Message, value: Any) -> list[Json]:
    target = getattr(message, name)
    unknown = [_read_into(member, target.add()) for member in value]
    return unknown if any(unknown) else []


def _read_word(name: str, numbers: Mapping[str, int], message: Message, value: Any) -> None:
    word = _checked(str, value)
    setattr(message, name, numbers.get(word, 0))
    setattr(message, f"{name}_raw", word)


def _read_scalar(name: str, convert: Callable[[Any], Any], message: Message, value: Any) -> None:
    setattr(message, name, convert(value))


def _read_scalars(name: str, convert: Callable[[Any], Any], message: Message, value: Any) -> None:
    getattr(message, name).extend(convert(member) for member in _checked(list, value))


def _converter(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes_of_base64
    if field.cpp_type in INTEGERS:
        return _integer
    if field.cpp_type in FLOATS:
        return _float
    kind = bool if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else str
    return partial(_checked, kind)


def _checked(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(kind)
    return value


def _integer(value: Any) -> int:
    """Read a whole number; text, `2.0` and `2e3` count as one (wire.md B.5)."""
    number = float(value) if isinstance(value, str) and {*value} & {*".eE"} else value
    if isinstance(number, bool) or (isinstance(number, float) and not number.is_integer()):
        raise TypeError(int)
    return int(number)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(float)
    return float(value)


def bytes_of_base64(text: str) -> bytes:
    """Decode base64 of either alphabet, padded or not (wire.md section 0).

    Raises:
        ValueError: It is no base64.
    """
    body = text.encode().translate(FROM_URL_SAFE).rstrip(b"=")
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(text[:20]) from error


# ---------------------------------------------------------------------------- conventions


def _json_text_key(field: FieldDescriptor) -> str:
    """Return the member whose JSON text a field holds, or nothing if it holds none."""
    if field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
        return ""
    if field.name.endswith("_json_schema"):
        return field.json_name
    return field.json_name.removesuffix("Json") if field.name.endswith("_json") else ""


def _snake(field: FieldDescriptor) -> str:
    return field.name if field.name.endswith("_json_schema") else field.name.removesuffix("_json")


def _gemini_fields(descriptor: Descriptor) -> list[FieldDescriptor]:
    """Return the fields that are members of Gemini's JSON."""
    ours = NOT_GEMINI.get(descriptor.full_name, frozenset())
    return [
        field
        for field in descriptor.fields
        if field.name not in ours and field.name != EXTRA and not field.name.endswith("_raw")
    ]


def _message_of(field: FieldDescriptor) -> Descriptor:
    """Return the message type of a message field."""
    if field.message_type is None:
        raise AssertionError(field.full_name)
    return field.message_type


def _words_of(field: FieldDescriptor) -> Mapping[str, int]:
    """Return the numbers of an enum field by upstream's words, which have no prefix (`STOP`)."""
    enum = field.enum_type
    if enum is None:
        raise AssertionError(field.full_name)
    prefix = f"{_screaming(enum.name)}_"
    return {value.name.removeprefix(prefix): value.number for value in enum.values}


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _screaming(name: str) -> str:
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).upper()
