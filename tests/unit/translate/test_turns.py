"""A session's turn, put together from what upstream sends."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contextbridge_server.translate.turns import AnswerReader


def delta(text="", finish=None, index=0, **members):
    return {
        "choices": [
            {"index": index, "delta": {"content": text, **members}, "finish_reason": finish}
        ]
    }


def message_of(*chunks):
    reader = AnswerReader()
    reader.read(chunks)
    return reader.message()


def test_the_pieces_of_an_answer_are_joined():
    message = message_of(delta("Fog, "), delta("and a lamp."), delta(finish="stop"))

    assert message == {"role": "assistant", "content": "Fog, and a lamp."}


def test_an_answer_that_did_not_end_is_no_turn():
    assert message_of(delta("Fog, ")) is None


def test_a_whole_answer_is_a_turn_even_without_a_reason():
    message = message_of({"choices": [{"message": {"role": "assistant", "content": "Fog."}}]})

    assert message == {"role": "assistant", "content": "Fog."}


def test_reasoning_does_not_join_the_history():
    message = message_of(delta(reasoning_content="hm"), delta("Fog."), delta(finish="stop"))

    assert message == {"role": "assistant", "content": "Fog."}


def test_only_the_first_choice_joins_the_history():
    first, second = delta("one", "stop"), delta("two", "stop", index=1)

    assert message_of(second, first) == {"role": "assistant", "content": "one"}


def test_the_pieces_of_tool_calls_are_joined_by_their_index():
    chunks = [
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "sun"}}]),
        delta(
            tool_calls=[{"index": 0, "id": "a", "function": {"name": "tide", "arguments": '{"'}}]
        ),
        delta(tool_calls=[{"index": 0, "function": {"arguments": 'port":1}'}}]),
        delta(finish="tool_calls"),
    ]

    assert message_of(*chunks)["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "tide", "arguments": '{"port":1}'}},
        {"id": "b", "type": "function", "function": {"name": "sun", "arguments": ""}},
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "index",
                    "delta",
                    "message",
                    "content",
                    "tool_calls",
                    "function",
                    "id",
                    "name",
                    "arguments",
                    "finish_reason",
                ]
            ),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.just("choices"), json_values), max_size=4))
def test_what_is_malformed_is_left_out_and_never_fails(chunks):
    message_of(*chunks)


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_a_text_is_the_same_however_it_is_cut(text, cuts):
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]

    message = message_of(*map(delta, pieces), delta(finish="stop"))

    assert message["content"] == text
