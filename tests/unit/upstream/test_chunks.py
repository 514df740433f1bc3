"""Chunks that are recognized as repetitions are what they would be if they were decoded."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.upstream.chunks import DONE, PLACEHOLDER, ChunkDecoder
from contextbridge_server.upstream.interface import Repeated, each_chunk

TEXTS = st.one_of(
    st.sampled_from(
        ["a", " word", "é", "", 'quo"te', "back\\slash", "line\n", PLACEHOLDER, "\x7f"]
    ),
    st.text(max_size=5),
)


def chat(text, **members):
    return {"id": "a", "choices": [{"index": 0, "delta": {"content": text}}], **members}


def gemini(text, **members):
    return {"candidates": [{"content": {"parts": [{"text": text}]}}], "m": "v", **members}


CHUNKS = st.one_of(
    st.builds(chat, TEXTS),
    st.builds(chat, TEXTS, created=st.sampled_from([1, 12, 2, None, "1", True])),
    st.builds(chat, TEXTS, x=TEXTS),
    st.builds(gemini, TEXTS),
    st.builds(gemini, TEXTS, n=st.integers(8, 12)),
    st.builds(lambda key: {key: "a", "b": "a"}, st.sampled_from(["a", "c", "d"])),
    st.builds(lambda text: {"a": text}, TEXTS),
)
ENCODERS = st.sampled_from(
    [
        lambda chunk: json.dumps(chunk).encode(),
        lambda chunk: json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode(
            errors="replace"
        ),
    ]
)
# Neighbours that differ in their text alone are what this is about.
RUNS = st.one_of(
    CHUNKS.map(lambda chunk: [chunk]),
    st.lists(TEXTS, min_size=3, max_size=8).map(lambda texts: [chat(text) for text in texts]),
    st.lists(TEXTS, min_size=3, max_size=8).map(lambda texts: [gemini(text) for text in texts]),
)
STREAMS = st.lists(RUNS, max_size=4).map(lambda runs: [chunk for run in runs for chunk in run])


def payloads_of(chunks, encode=lambda chunk: json.dumps(chunk).encode()):
    return [encode(chunk) for chunk in chunks]


def decoded(*batches):
    decoder = ChunkDecoder({})
    return [decoder.decode(batch) for batch in batches]


@given(STREAMS, ENCODERS, st.integers(0, 20))
@example([chat(PLACEHOLDER)] * 4, json.dumps, 2)
def test_a_stream_is_what_its_events_are_one_by_one(chunks, encode, cut):
    payloads = [each if isinstance(each, bytes) else each.encode() for each in map(encode, chunks)]
    results = decoded(payloads[:cut], payloads[cut:])

    assert [ending for _, ending in results] == [None, None]
    found = [chunk for batch, _ in results for chunk in each_chunk(batch)]
    assert found == [json.loads(payload) for payload in payloads]


def test_words_of_a_stream_are_recognized_from_the_third_on():
    texts = ["a", "b", "c", "é", '"', "\n", "\\", "d"]
    ((batch, _),) = decoded(payloads_of([chat(text) for text in texts]))

    assert batch[:2] == [chat("a"), chat("b")]
    (repeated,) = batch[2:]
    assert isinstance(repeated, Repeated)
    assert repeated.path == ("choices", 0, "delta", "content")
    assert repeated.texts == texts[2:]


@pytest.mark.parametrize("word", ["d", "\n"])
def test_an_event_that_says_more_ends_a_run(word):
    run = [chat("a"), chat("b"), chat("c"), chat(word)]
    other = chat("x", created=1)
    ((batch, _),) = decoded(payloads_of([*run, other, *run]))

    assert [len(each.texts) for each in batch if isinstance(each, Repeated)] == [2, 2]
    assert list(each_chunk(batch)) == [*run, other, *run]


def test_what_was_recognized_goes_on_in_the_next_read():
    first, second = decoded(payloads_of([chat("a"), chat("b")]), payloads_of([chat("c")]))

    assert first[0] == [chat("a"), chat("b")]
    assert second[0][0].texts == ["c"]


def test_runs_of_any_length_are_recognized():
    run = [chat(str(number)) for number in range(1000)]
    ((batch, _),) = decoded(payloads_of(run))

    assert len(batch) < 10
    assert list(each_chunk(batch)) == run


def test_a_line_end_between_members_is_no_part_of_a_text():
    one, other = b'{"a":\n"x"}', b'{"a":\n"y"}'
    ((batch, ending),) = decoded([one, other, one, b'{"a":\n"y\nz"}'])

    assert isinstance(ending, BridgeError)
    assert list(each_chunk(batch)) == [{"a": "x"}, {"a": "y"}, {"a": "x"}]


@pytest.mark.parametrize(
    "one, other",
    [
        (b'{"a":"x","n":1}', b'{"a":"x","n":2}'),
        (b'{"a":"x"}', b'{"b":"x"}'),
        (b'{"a":"x","b":"x"}', b'{"a":"y","b":"y"}'),
        (b'{"a":"x"}', b'{"a":["x"]}'),
        (b'{"a":"x"}', b'{"a" :"y"}'),
    ],
)
def test_events_that_differ_in_anything_else_are_decoded(one, other):
    ((batch, ending),) = decoded([one, other, one, other])

    assert ending is None
    assert batch == [json.loads(each) for each in (one, other, one, other)]


@pytest.mark.parametrize(
    "bad", [b'{"a":"\x01"}', b'{"a":"\xff"}', b'{"a":"x"', b"[]", b'{"error":{"message":"no"}}']
)
def test_a_broken_event_is_a_failure_however_much_it_resembles_the_others(bad):
    good = [b'{"a":"x"}', b'{"a":"y"}', b'{"a":"z"}']
    ((batch, ending),) = decoded([*good, bad])

    assert isinstance(ending, BridgeError)
    assert list(each_chunk(batch)) == [json.loads(each) for each in good]


def test_the_mark_of_the_end_ends_a_run():
    ((batch, ending),) = decoded([*payloads_of([chat("a"), chat("b"), chat("c")]), DONE, b"x"])

    assert ending == DONE
    assert list(each_chunk(batch)) == [chat("a"), chat("b"), chat("c")]


def test_an_error_in_the_text_is_no_error():
    texts = ["a", "b", "error", '{"error": 1}']
    ((batch, ending),) = decoded(payloads_of([chat(text) for text in texts]))

    assert ending is None
    assert list(each_chunk(batch)) == [chat(text) for text in texts]


def test_a_nested_event_is_no_fault():
    deep = b'{"a":' * 700 + b'"%s"' + b"}" * 700
    ((batch, ending),) = decoded([deep % b"x", deep % b"y", deep % b"z"])

    assert ending is None
    assert len(list(each_chunk(batch))) == 3


def test_a_failure_has_the_answers_request_id():
    decoder = ChunkDecoder({"x-request-id": "req-1"})
    _, ending = decoder.decode([b'{"error":{"message":"no","type":"x"}}'])

    assert isinstance(ending, BridgeError)
    assert ending.metadata["upstreamRequestId"] == "req-1"
    assert ending.reason != pb.ERROR_REASON_INTERNAL
