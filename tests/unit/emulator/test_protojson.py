import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge_emulator.errors import GoogleError
from contextbridge_emulator.protojson import (
    decode_bytes,
    format_timestamp,
    normalise,
    parse_duration,
    parse_timestamp,
)


@pytest.mark.parametrize(
    "given,clean",
    [
        ({"cached_content": "x"}, {"cachedContent": "x"}),
        (
            {"contents": [{"parts": [{"inline_data": {"mime_type": "a/b", "data": "-__-8A"}}]}]},
            {
                "contents": [
                    {"parts": [{"inlineData": {"mimeType": "a/b", "data": b"\xfb\xff\xfe\xf0"}}]}
                ]
            },
        ),
        (
            {"generationConfig": {"thinking_config": {"thinkingBudget": "12"}}},
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 12}}},
        ),
        (
            {"generationConfig": {"seed": 12.0, "topP": "0.5"}},
            {"generationConfig": {"seed": 12, "topP": 0.5}},
        ),
        ({"contents": None}, {}),
        ({"contents": {"parts": {"text": "x"}}}, {"contents": [{"parts": [{"text": "x"}]}]}),
        ({"labels": {"a": "b"}}, {"labels": {"a": "b"}}),
    ],
)
def test_both_spellings_are_read_at_every_depth(given: object, clean: object) -> None:
    assert isinstance(given, dict)
    assert normalise("GenerateContentRequest", given) == clean


@pytest.mark.parametrize(
    "given,field,text",
    [
        ({"colour": 1}, None, 'Unknown name "colour": Cannot find field.'),
        (
            {"generationConfig": {"colour": 1}},
            "generation_config",
            "Unknown name \"colour\" at 'generation_config': Cannot find field.",
        ),
        (
            {"contents": [{"parts": [{"x": 1}]}]},
            "contents[0].parts[0]",
            "at 'contents[0].parts[0]'",
        ),
        ({"generationConfig": {"seed": 1.5}}, "generation_config.seed", "(TYPE_INT32), 1.5"),
        ({"generationConfig": {"seed": 2**31}}, "generation_config.seed", "(TYPE_INT32)"),
        ({"generationConfig": {"seed": True}}, "generation_config.seed", "(TYPE_INT32)"),
        ({"generationConfig": {"topP": "much"}}, "generation_config.top_p", '(TYPE_FLOAT), "much"'),
        ({"generationConfig": 5}, "generation_config", "GenerationConfig), 5"),
        ({"store": "yes"}, "store", "(TYPE_BOOL)"),
        ({"cachedContent": 5}, "cached_content", "(TYPE_STRING), 5"),
        ({"labels": []}, "labels", "(map)"),
        (
            {"safetySettings": [{"category": "RUDE"}]},
            "safety_settings[0].category",
            'HarmCategory), "RUDE"',
        ),
        (
            {"contents": [{"parts": [{"text": "x", "inlineData": {}}]}]},
            "contents[0].parts[0]",
            "(oneof), oneof field 'data' is already set. Cannot set 'inlineData'",
        ),
        (
            {"contents": [{"parts": [{"inlineData": {"data": "*"}}]}]},
            "contents[0].parts[0].inline_data.data",
            "Base64 decoding failed",
        ),
        (
            {"contents": [{"parts": [{"functionCall": {"args": 1}}]}]},
            "contents[0].parts[0].function_call.args",
            "Struct), 1",
        ),
    ],
)
def test_defects_are_named_with_their_place(given: object, field: str | None, text: str) -> None:
    assert isinstance(given, dict)
    with pytest.raises(GoogleError) as refusal:
        normalise("GenerateContentRequest", given)
    violation = refusal.value.details[0]["fieldViolations"][0]
    assert violation.get("field") == field
    assert text in violation["description"]
    assert refusal.value.message == violation["description"]


def test_all_defects_are_reported_at_once() -> None:
    with pytest.raises(GoogleError) as refusal:
        normalise("GenerateContentRequest", {"a": 1, "b": 2})
    assert len(refusal.value.details[0]["fieldViolations"]) == 2


def test_endless_nesting_is_refused() -> None:
    schema: dict[str, object] = {}
    for _ in range(200):
        schema = {"items": schema}
    with pytest.raises(GoogleError, match="Max recursion depth reached"):
        normalise("Schema", schema)


@pytest.mark.parametrize("expiration", [{"ttl": "1s", "expireTime": "2030-01-01T00:00:00Z"}])
def test_two_ends_are_one_too_many(expiration: dict[str, object]) -> None:
    with pytest.raises(GoogleError) as refusal:
        normalise("CachedContent", expiration, "cached_content")
    assert refusal.value.message == (
        "Invalid value at 'cached_content' (oneof), oneof field 'expiration' is already set. "
        "Cannot set 'expireTime'"
    )


@pytest.mark.parametrize("ttl", [300, "300", "5m", "", None, "1.0000000001s"])
def test_durations_must_end_in_s(ttl: object) -> None:
    if ttl is None:
        assert normalise("CachedContent", {"ttl": ttl}) == {}
        return
    with pytest.raises(GoogleError, match="duration must end with 's'"):
        normalise("CachedContent", {"ttl": ttl}, "cached_content")


@pytest.mark.parametrize(
    "time", ["2030-01-01T01:02:03.456789", "tomorrow", 5, "2030-99-01T00:00:00Z"]
)
def test_times_need_a_zone(time: object) -> None:
    with pytest.raises(GoogleError, match="Illegal timestamp format"):
        normalise("CachedContent", {"expireTime": time}, "cached_content")


@pytest.mark.parametrize(
    "text,nanos",
    [
        ("300s", 300_000_000_000),
        ("3.5s", 3_500_000_000),
        ("-1s", -1_000_000_000),
        ("0.000000001s", 1),
    ],
)
def test_durations_are_exact(text: str, nanos: int) -> None:
    assert parse_duration(text) == nanos


@pytest.mark.parametrize(
    "text,printed",
    [
        ("2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500Z"),
        ("2026-03-01T12:00:00.000001Z", "2026-03-01T12:00:00.000001Z"),
        ("2026-03-01T12:00:00.023637828Z", "2026-03-01T12:00:00.023637828Z"),
    ],
)
def test_times_print_in_utc_with_groups_of_three_digits(text: str, printed: str) -> None:
    assert format_timestamp(parse_timestamp(text)) == printed


@given(st.binary())
def test_bytes_are_read_in_either_alphabet(data: bytes) -> None:
    import base64  # noqa: PLC0415 - only here.

    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        assert decode_bytes(text) == decode_bytes(text.rstrip("=")) == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["contents", "tools", "generationConfig", "labels", "x"]), JSON)
)
def test_any_json_is_read_or_refused(body: dict[str, object]) -> None:
    try:
        json.dumps(normalise("GenerateContentRequest", body), default=repr)
    except GoogleError as refusal:
        assert refusal.http == 400
