"""What is recognized as more of the same text means what it would mean if it were read anew."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge._fold import ChatFold, ContentFold
from contextbridge_server.errors import BridgeError
from contextbridge_server.translate import chat_stream, gemini_answer
from contextbridge_server.translate.chat_stream import ChatStreamDecoder
from contextbridge_server.translate.gemini_answer import GeminiStreamDecoder
from contextbridge_server.translate.text_runs import chat_run, joined
from contextbridge_server.upstream.chunks import ChunkDecoder

HEADS = st.fixed_dictionaries(
    {"id": st.just("a"), "model": st.just("m")},
    optional={
        "created": st.sampled_from([0, 1, 1.0, None]),
        "usage": st.sampled_from([None, {"prompt_tokens": 1}, {"prompt_tokens": 2}]),
        "system_fingerprint": st.sampled_from([None, "f", "g"]),
        "service_tier": st.sampled_from(["", "default"]),
        "x": st.sampled_from([1, 2, None]),
    },
)
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": st.sampled_from(["a", "é", "", None, 1])}),
    st.fixed_dictionaries({"reasoning_content": st.sampled_from(["t", ""])}),
    st.sampled_from(
        [
            {},
            {"role": "assistant", "content": "b"},
            {"content": "a", "reasoning_content": "t"},
            {"refusal": "no"},
            {"x": 1},
            {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
            None,
        ]
    ),
)
CHOICES = st.fixed_dictionaries(
    {"delta": DELTAS},
    optional={
        "index": st.sampled_from([0, 1, None]),
        "finish_reason": st.sampled_from([None, "", "stop"]),
        "logprobs": st.sampled_from([None, {"content": [{"token": "a"}]}]),
        "moderation_hit_type": st.sampled_from([None, "violation"]),
        "usage": st.sampled_from([None, {"prompt_tokens": 3}]),
        "x": st.sampled_from([1, None]),
    },
)
CHUNKS = st.builds(
    lambda head, choices: {**head, "choices": choices}, HEADS, st.lists(CHOICES, max_size=2)
)
# Neighbours are alike more often than chance would have it.
STREAMS = st.lists(
    st.one_of(CHUNKS.map(lambda chunk: [chunk] * 3), CHUNKS.map(lambda chunk: [chunk])), max_size=6
).map(lambda runs: [chunk for run in runs for chunk in run])

CANDIDATES = st.fixed_dictionaries(
    {},
    optional={
        "content": st.fixed_dictionaries(
            {
                "parts": st.lists(
                    st.fixed_dictionaries(
                        {"text": st.sampled_from(["a", "é", ""])},
                        optional={
                            "thought": st.sampled_from([True, False]),
                            "thoughtSignature": st.just("AA=="),
                        },
                    ),
                    max_size=2,
                )
            },
            optional={"role": st.just("model")},
        ),
        "index": st.sampled_from([0, 1]),
        "finishReason": st.sampled_from(["STOP"]),
        "x": st.just(1),
    },
)
GEMINI_CHUNKS = st.fixed_dictionaries(
    {"candidates": st.lists(CANDIDATES, max_size=2)},
    optional={
        "usageMetadata": st.sampled_from([{"totalTokenCount": 1}, {"totalTokenCount": 2}]),
        "modelVersion": st.sampled_from(["m", "n"]),
        "promptFeedback": st.just({"blockReason": "SAFETY"}),
        "x": st.just(1),
    },
)


def outcome_of(decoder: Any, fold: Any, batches: list[list[Any]]) -> tuple[Any, ...]:
    """Return what a stream's events make, and its failure."""
    reason = ""
    try:
        for batch in batches:
            for event in decoder.decode(batch):
                fold.add(event)
        for event in decoder.finish(pb.ContextOutcome()):
            fold.add(event)
    except BridgeError as error:
        reason = pb.ErrorReason.Name(error.reason)
    return fold.answer().SerializeToString(deterministic=True), reason, decoder.is_worth_keeping


def chat_outcome(batches: list[list[Any]]) -> tuple[Any, ...]:
    decoder = ChatStreamDecoder(pb.ChatWithContextRequest(context_id="c"), 8)
    return outcome_of(decoder, ChatFold(), batches)


def gemini_outcome(batches: list[list[Any]]) -> tuple[Any, ...]:
    decoder = GeminiStreamDecoder(pb.GenerateContentRequest(), 8)
    return outcome_of(decoder, ContentFold(), batches)


@given(STREAMS, st.booleans())
def test_a_chat_means_the_same_where_every_chunk_is_read_anew(stream, together):
    batches = [stream] if together else [[chunk] for chunk in stream]
    quick = chat_outcome(batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_stream, "chat_run", lambda _chunk: None)
        assert chat_outcome(batches) == quick


def batches_of(stream: list[Any], cut: int) -> list[Any]:
    """Return a stream's chunks as they come from their bytes, in two reads."""
    decoder = ChunkDecoder({})
    payloads = [json.dumps(chunk, ensure_ascii=False).encode() for chunk in stream]
    return [decoder.decode(some)[0] for some in (payloads[:cut], payloads[cut:])]


WORDS = st.lists(st.sampled_from(["a", " b", "é", '"', "\n", ""]), min_size=3, max_size=9)


@given(
    st.one_of(
        STREAMS,
        st.builds(
            lambda words, kind, last: (
                [{"id": "a", "choices": [{"index": 0, "delta": {kind: word}}]} for word in words]
                + last
            ),
            WORDS,
            st.sampled_from(["content", "reasoning_content", "refusal"]),
            STREAMS,
        ),
    ),
    st.integers(0, 9),
)
def test_a_chat_means_the_same_where_repetitions_are_not_decoded(stream, cut):
    assert chat_outcome(batches_of(stream, cut)) == chat_outcome([stream[:cut], stream[cut:]])


@given(
    st.one_of(
        st.lists(GEMINI_CHUNKS, max_size=8),
        st.builds(
            lambda words, chunk: [
                {"candidates": [{"content": {"parts": [{"text": word, **chunk}]}}]}
                for word in words
            ],
            WORDS,
            st.sampled_from([{}, {"thought": True}, {"thoughtSignature": "AA=="}]),
        ),
    ),
    st.integers(0, 9),
)
def test_gemini_means_the_same_where_repetitions_are_not_decoded(stream, cut):
    assert gemini_outcome(batches_of(stream, cut)) == gemini_outcome([stream[:cut], stream[cut:]])


@given(st.lists(GEMINI_CHUNKS, max_size=8))
def test_joined_chunks_of_gemini_mean_what_they_mean_apart(stream):
    quick = gemini_outcome([stream])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gemini_answer, "joined", lambda batch: batch)
        assert gemini_outcome([stream]) == quick


def chat_chunk(text: str, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "a", "choices": [choice], "usage": None, **members}


def test_chunks_that_differ_in_text_alone_are_one_run():
    run = chat_run(chat_chunk("a"))

    assert run is not None
    assert run.text_of(chat_chunk("b")) == ("content", "b")
    assert run.text_of(chat_chunk("b", id="other")) is None
    assert run.text_of(chat_chunk("b", more=1)) is None


def test_neighbours_of_gemini_become_one_chunk_with_the_later_counts():
    def chunk(text: str, tokens: int) -> dict[str, Any]:
        content = {"parts": [{"text": text}], "role": "model"}
        usage = {"totalTokenCount": tokens}
        return {"candidates": [{"content": content, "index": 0}], "usageMetadata": usage}

    given_ = [chunk("a", 1), chunk("b", 2), chunk("c", 3)]

    assert joined(given_) == [chunk("abc", 3)]
    assert given_ == [chunk("a", 1), chunk("b", 2), chunk("c", 3)]
