"""What makes two contexts the same: a hash of all that decides what the model is given.

The JSON is canonical in the manner of RFC 8785 (JCS): members sorted by the UTF-16 code units of
their names, no white space, the shortest form of each number, no escapes but JSON's own. It differs
in one thing: whole numbers have all their digits. JCS takes every number for a double, and so
cannot tell 9007199254740992 from 9007199254740993, which a tool's schema may hold both.

msgspec writes texts as they have to be, but sorts by code points, and writes 1.0 and 0.000001 in
its own way; hence order and numbers are ours. A library for JCS would be no base: by its rule it
rounds or refuses whole numbers past 2^53.
"""

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from ..translate.json_values import encode

VERSION = b"contextbridge.context.v1\n"
"""Goes into each hash, so that another rule can never give the hash of an old one."""
CONTENT_VERSION = b"contextbridge.content.v1\n"
"""The same for hashes of the content alone."""
MODEL_PREFIX = "models/"
LEAST_WITHOUT_EXPONENT = 1e-6


def canonical_json(body: Mapping[str, Any]) -> bytes:
    """Return a JSON object's canonical text.

    It uses no recursion: JSON may be nested deeper than Python's stack.

    Args:
        body: Decoded JSON, which has no infinite numbers.
    """
    written: list[bytes] = []
    waiting: list[Any] = [body]
    while waiting:
        value = waiting.pop()
        match value:
            case bytes():  # JSON has none: it is text that is ready.
                written.append(value)
            case Mapping():
                waiting += reversed([*_of_object(value)])
            case list():
                waiting += reversed([*_of_array(value)])
            case float():
                written.append(_of_float(value))
            case _:
                written.append(encode(value))
    return b"".join(written)


def _of_object(value: Mapping[str, Any]) -> Iterator[Any]:
    """Return an object's texts and values, in order."""
    yield b"{"
    for place, key in enumerate(sorted(value, key=_utf16)):
        yield (b"," if place else b"") + encode(key) + b":"
        yield value[key]
    yield b"}"


def _of_array(value: list[Any]) -> Iterator[Any]:
    yield b"["
    for place, item in enumerate(value):
        if place:
            yield b","
        yield item
    yield b"]"


def _of_float(value: float) -> bytes:
    """Return the shortest text of a double, as ECMAScript has it; all digits of a whole number."""
    if value.is_integer():
        return encode(int(value))
    if abs(value) < LEAST_WITHOUT_EXPONENT:
        return repr(value).replace("e-0", "e-").encode()
    return format(Decimal(repr(value)), "f").encode()


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def identity_of(body: Mapping[str, Any]) -> str:
    """Return the hash of what a create request gives the model: 64 hexadecimal digits.

    Everything counts but `ttl`, which decides how long upstream holds it. `models/x` is `x`. What
    upstream may take for the same, such as an absent `mode` and its default, stays distinct.

    Args:
        body: The body that goes upstream, as decoded JSON.
    """
    deciding = _without(body, "ttl")
    if isinstance(model := body.get("model"), str):
        deciding["model"] = model.removeprefix(MODEL_PREFIX)
    return hashlib.sha256(VERSION + canonical_json(deciding)).hexdigest()


def content_identity_of(body: Mapping[str, Any]) -> str:
    """Return the hash of a create request's content, whatever the model: 64 hexadecimal digits.

    Everything counts but `model`, which a call on the context has too, and `ttl`.

    Args:
        body: The body that goes upstream, as decoded JSON.
    """
    content = _without(body, "model", "ttl")
    return hashlib.sha256(CONTENT_VERSION + canonical_json(content)).hexdigest()


def _without(body: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in left_out}
