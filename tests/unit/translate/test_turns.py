"""A session's turn, as it is stored from an answer's message."""

import json

from contextbridge import v1 as pb
from contextbridge_server.translate.chat_messages import CHAT_ROLES, messages_json, turn_message
from contextbridge_server.translate.chat_translator import ChatTranslator
from contextbridge_server.translate.limits import Limits
from contextbridge_server.translate.violations import Violations

CHAT = ChatTranslator()
SIGNATURE = {"extra_content": {"google": {"thought_signature": "c2ln"}}}


def turn_of(*events):
    """Return the turn that a session keeps of an answer's events."""
    numbered = [
        pb.ChatWithContextResponse(sequence=sequence, **event)
        for sequence, event in enumerate(events, 1)
    ]
    message = CHAT.message(CHAT.fold(numbered))
    return None if message is None else turn_message(message)


def content(text, index=0):
    return {"content": pb.TextDelta(index=index, text=text)}


def tool_call(**members):
    return {"tool_call": pb.ToolCallDelta(**members)}


def test_the_pieces_of_an_answer_are_joined():
    turn = turn_of(content("Fog, "), content("and a lamp."))

    assert turn == {"role": "assistant", "content": "Fog, and a lamp."}


def test_reasoning_does_not_join_the_history():
    turn = turn_of({"reasoning": pb.TextDelta(text="hm")}, content("Fog."))

    assert turn == {"role": "assistant", "content": "Fog."}


def test_only_the_first_choice_joins_the_history():
    assert turn_of(content("two", 1), content("one"))["content"] == "one"
    assert turn_of(content("two", 1)) is None


def test_the_pieces_of_tool_calls_are_joined_by_their_index():
    turn = turn_of(
        tool_call(call_index=1, id="b", name="sun"),
        tool_call(call_index=0, id="a", name="tide", arguments_json='{"'),
        tool_call(call_index=0, arguments_json='port":1}'),
    )

    assert turn["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "tide", "arguments": '{"port":1}'}},
        {"id": "b", "type": "function", "function": {"name": "sun", "arguments": ""}},
    ]


def test_members_without_a_field_join_the_history():
    turn = turn_of(
        tool_call(id="a", name="tide", extra_json=json.dumps(SIGNATURE)),
        {"extra": pb.ExtraDelta(extra_json='{"delta": {"annotations": [1]}}')},
    )

    assert turn["tool_calls"][0] | SIGNATURE == turn["tool_calls"][0]
    assert turn["annotations"] == [1]


def test_a_turn_is_what_its_message_sends_when_the_caller_returns_it():
    message = pb.ChatMessage(
        role="assistant",
        content="Wait.",
        tool_calls=[
            pb.ChatToolCall(
                id="a", name="tide", arguments_json="{}", extra_json=json.dumps(SIGNATURE)
            )
        ],
        extra_json='{"annotations": [1]}',
    )
    violations = Violations()

    [sent] = messages_json([message], CHAT_ROLES, Limits(max_inline_bytes=0), violations)

    violations.raise_if_any()
    assert sent == turn_message(message)
