"""The identity of a context: golden vectors, and what may and may not change it."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge_server.contexts.identity import (
    canonical_json,
    content_identity_of,
    identity_of,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "identity"
VECTORS = msgspec.json.decode((GOLDEN / "vectors.json").read_bytes())
CONTENT_VECTORS = msgspec.json.decode((GOLDEN / "content_vectors.json").read_bytes())
TAG = "contextbridge.context.v1\n"
CONTENT_TAG = "contextbridge.content.v1\n"
DEPTH = 100_000

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
BODIES = st.dictionaries(TEXTS.filter(lambda key: key not in {"ttl", "model"}), JSON, max_size=5)


def turned(value: Any) -> Any:
    """Return JSON with the members of each object in the opposite order."""
    match value:
        case dict():
            return {key: turned(value[key]) for key in reversed(value)}
        case list():
            return [turned(item) for item in value]
        case _:
            return value


def places(value: Any) -> list[tuple[Any, ...]]:
    """Return the paths to all leaves of JSON; what is empty is a leaf."""
    if not isinstance(value, (dict, list)) or not value:
        return [()]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [(key, *rest) for key, item in items for rest in places(item)]


def value_at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the leaf at a path."""
    return value_at(value[path[0]], path[1:]) if path else value


def with_leaf(value: Any, path: tuple[Any, ...], leaf: Any) -> Any:
    """Return JSON with another leaf at a path."""
    if not path:
        return leaf
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_leaf(value[path[0]], path[1:], leaf)
    return copy


def same_leaf(one: Any, other: Any) -> bool:
    """Tell whether two leaves are one JSON value: true is no 1, but 1.0 is."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_a_golden_vector_keeps_its_hash(vector):
    expected = hashlib.sha256((TAG + vector["canonical"]).encode()).hexdigest()

    assert vector["sha256"] == expected
    assert identity_of(vector["body"]) == expected


@pytest.mark.parametrize("vector", CONTENT_VECTORS, ids=lambda vector: vector["what"])
def test_a_golden_vector_of_content_keeps_its_hash(vector):
    expected = hashlib.sha256((CONTENT_TAG + vector["canonical"]).encode()).hexdigest()

    assert vector["sha256"] == expected
    assert content_identity_of(vector["body"]) == expected


@pytest.mark.parametrize("vector", [*VECTORS, *CONTENT_VECTORS], ids=lambda vector: vector["what"])
def test_a_golden_vector_is_its_own_canonical_text(vector):
    canonical = vector["canonical"].encode()

    assert canonical_json(msgspec.json.decode(canonical)) == canonical


@given(BODIES)
def test_the_order_of_members_never_matters(body):
    assert identity_of(turned(body)) == identity_of(body)


@given(BODIES, JSON)
def test_ttl_never_matters(body, ttl):
    assert identity_of({**body, "ttl": ttl}) == identity_of(body)


@given(BODIES, JSON, JSON)
def test_neither_model_nor_ttl_matters_for_content(body, model, ttl):
    assert content_identity_of({**body, "model": model, "ttl": ttl}) == content_identity_of(body)


@pytest.mark.parametrize("hash_of", [identity_of, content_identity_of])
@given(body=BODIES.filter(bool), leaf=LEAVES, data=st.data())
def test_another_leaf_is_another_identity(hash_of, body, leaf, data):
    path = data.draw(st.sampled_from(places(body)))
    same = same_leaf(value_at(body, path), leaf)

    assert (hash_of(with_leaf(body, path, leaf)) == hash_of(body)) == same


@given(BODIES)
def test_no_hash_of_content_is_one_of_a_whole(body):
    assert content_identity_of(body) != identity_of(body)


@given(BODIES, TEXTS, JSON)
def test_one_member_more_is_another_identity(body, key, value):
    extended = {"model": "m", **body, f"+{key}": value}

    assert (identity_of(extended) == identity_of({"model": "m", **body})) == (extended == body)


@given(BODIES)
def test_the_canonical_text_is_the_same_json(body):
    # Not msgspec, which wrote it; its own numbers are compared as numbers.
    assert json.loads(canonical_json(body)) == body


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_to_the_last_bit(number):
    written = canonical_json({"n": number})

    assert float(json.loads(written)["n"]) == number
    assert math.copysign(1, json.loads(written)["n"]) == (math.copysign(1, number) if number else 1)


def test_models_before_a_name_is_taken_off_once_and_only_in_the_model():
    assert identity_of({"model": "models/m"}) == identity_of({"model": "m"})
    assert identity_of({"model": "models/models/m"}) != identity_of({"model": "m"})
    assert identity_of({"model": "tunedModels/m"}) != identity_of({"model": "m"})
    assert identity_of({"x": "models/m"}) != identity_of({"x": "m"})


def test_an_absent_mode_is_not_the_default_mode():
    assert identity_of({"model": "m"}) != identity_of({"model": "m", "mode": "session"})


@pytest.mark.parametrize("hash_of", [identity_of, content_identity_of])
def test_the_body_is_left_as_it_was(hash_of):
    body = {"model": "models/m", "ttl": 1, "messages": [{"b": 1, "a": 2}]}

    hash_of(body)

    assert list(body) == ["model", "ttl", "messages"]
    assert body["model"] == "models/m"


def test_json_may_be_nested_deeper_than_the_stack():
    deep: Any = []
    for _ in range(DEPTH):
        deep = [deep]

    assert canonical_json({"x": deep}) == b'{"x":' + b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1) + b"}"
