"""How events and failures are stored: what is read is what was written, or nothing is."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError, Violation
from contextbridge_server.generations.encoding import (
    decode_events,
    decode_failure,
    encode_events,
    encode_failure,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
EVENTS = st.lists(st.binary(max_size=300), max_size=8)
SEQUENCES = st.integers(1, 2**63)
WAITS = st.one_of(st.none(), st.integers(0, 10**9).map(lambda ms: timedelta(milliseconds=ms)))
FAILURES = st.builds(
    BridgeError,
    st.sampled_from(pb.ErrorReason.values()),
    TEXTS,
    metadata=st.dictionaries(TEXTS, TEXTS, max_size=3),
    retry_after=WAITS,
    violations=st.lists(st.builds(Violation, TEXTS, TEXTS), max_size=3),
    http_status=st.one_of(st.none(), st.integers(100, 599)),
)
SIZES = (0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152)
"""Lengths on both sides of where their number takes another byte."""


def told(error):
    """Return all that a failure tells."""
    return (
        error.reason,
        error.message,
        error.metadata,
        error.retry_after,
        error.violations,
        error.http_status,
    )


def reason_of(decode, stored):
    with pytest.raises(BridgeError) as caught:
        decode(stored)
    return pb.ErrorReason.Name(caught.value.reason)


# Events.


@given(SEQUENCES, EVENTS)
def test_events_are_read_as_they_were_written(first, events):
    assert decode_events(encode_events(first, events)) == (first, events)


@pytest.mark.parametrize("size", SIZES)
def test_an_event_of_any_length_is_read_as_it_was_written(size):
    events = [b"before", b"\xff" * size, b"after"]

    assert decode_events(encode_events(size + 1, events)) == (size + 1, events)


def test_the_stored_form_of_events_never_changes():
    """Replicas of another version read it, and entries live for a year."""
    events = [b"abc", b"", b"x" * 200]

    assert encode_events(300, events) == b"\x01\xac\x02\x03abc\x00\xc8\x01" + b"x" * 200


@given(SEQUENCES, EVENTS, st.data())
def test_events_that_were_cut_off_are_fewer_whole_ones_or_unreadable(first, events, data):
    content = encode_events(first, events)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]

    try:
        read = decode_events(cut)
    except BridgeError as error:
        assert error.reason == pb.ERROR_REASON_CONTENT_UNREADABLE
    else:
        # Whoever reads knows how many there must be.
        assert read[0] == first
        assert len(read[1]) < len(events)
        assert read[1] == events[: len(read[1])]


@given(st.binary(max_size=100))
def test_any_bytes_are_events_or_unreadable(content):
    try:
        first, events = decode_events(content)
    except BridgeError as error:
        assert error.reason == pb.ERROR_REASON_CONTENT_UNREADABLE
    else:
        assert decode_events(encode_events(first, events)) == (first, events)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\x01\x80",
        b"\x00\x01\x01a",
        b"\x02\x01\x01a",
        b"\x01\x01\x02a",
        b"\x01\x01\x01ab",
        b"\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7fa",
        b"\x80" * 100,
    ],
    ids=[
        "nothing",
        "no sequence",
        "half a sequence",
        "version 0",
        "version 2",
        "half an event",
        "a byte too many",
        "an event longer than the world",
        "a number without an end",
    ],
)
def test_what_is_no_events_is_unreadable(content):
    assert reason_of(decode_events, content) == "ERROR_REASON_CONTENT_UNREADABLE"


# Failures.


@given(FAILURES)
def test_a_failure_is_told_again_as_it_was(error):
    assert told(decode_failure(encode_failure(error))) == told(error)


@pytest.mark.parametrize("reason", pb.ErrorReason.keys())
def test_every_reason_is_kept(reason):
    error = BridgeError(pb.ErrorReason.Value(reason), "Said.")

    assert decode_failure(encode_failure(error)).reason == error.reason


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": "ERROR_REASON_OF_TOMORROW"},
        {"v": 2},
        {"v": None},
        {"metadata": {"key": 1}},
        {"violations": [["field"]]},
    ],
    ids=str,
)
def test_a_failure_of_another_form_is_unreadable(changed):
    stored = msgspec.json.decode(encode_failure(BridgeError(pb.ERROR_REASON_INTERNAL, "Said.")))

    content = msgspec.json.encode(stored | changed)

    assert reason_of(decode_failure, content) == "ERROR_REASON_CONTENT_UNREADABLE"


@given(FAILURES, st.data())
def test_a_failure_that_was_cut_off_is_unreadable(error, data):
    content = encode_failure(error)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]

    assert reason_of(decode_failure, cut) == "ERROR_REASON_CONTENT_UNREADABLE"


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\xff"])
def test_what_is_no_failure_is_unreadable(content):
    assert reason_of(decode_failure, content) == "ERROR_REASON_CONTENT_UNREADABLE"
