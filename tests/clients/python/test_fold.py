"""Events folded into the answer that the unary call would have given."""

from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from contextbridge import text_of
from contextbridge import v1 as pb
from contextbridge._fold import ChatFold, ContentFold, merge_json

NOW = timestamp_pb2.Timestamp(seconds=1_800_000_000)


def fold_chat(*events: dict[str, Any]) -> pb.CompleteChatWithContextResponse:
    fold = ChatFold()
    for sequence, event in enumerate(events, 1):
        fold.add(pb.ChatWithContextResponse(sequence=sequence, **event))
    assert fold.sequence == len(events)
    return fold.answer()


def logprob(token: str) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        token=token, logprob=-0.5, top_logprobs=[pb.TopLogprob(token=token, logprob=-0.5)]
    )


def test_a_chat_is_folded_exactly() -> None:
    answer = fold_chat(
        {
            "started": pb.ChatStarted(
                id="a-1",
                model="m-2026",
                create_time=NOW,
                resumable=True,
                role="assistant",
                system_fingerprint="fp",
            )
        },
        {"reasoning": pb.TextDelta(text="Let me ")},
        {"reasoning": pb.TextDelta(text="think.")},
        {"content": pb.TextDelta(text="Hel", logprobs=[logprob("Hel")])},
        {"refusal": pb.TextDelta(index=2, text="No", logprobs=[logprob("No")])},
        {"content": pb.TextDelta(text="lo", logprobs=[logprob("l"), logprob("o")])},
        {"refusal": pb.TextDelta(index=2, text=".", logprobs=[logprob(".")])},
        {"tool_call": pb.ToolCallDelta(index=1, call_index=1, id="t-2", name="g")},
        {"tool_call": pb.ToolCallDelta(index=1, id="t-1", name="f", arguments_json='{"a"')},
        {"tool_call": pb.ToolCallDelta(index=1, arguments_json=": 1}")},
        {"tool_call": pb.ToolCallDelta(index=1, call_index=1, arguments_json="{}")},
        {"extra": pb.ExtraDelta(index=1, extra_json='{"x": 1.0}')},
        {
            "choice_finished": pb.ChoiceFinished(
                index=1, finish_reason=pb.FINISH_REASON_TOOL_CALLS, finish_reason_raw="tool_calls"
            )
        },
        {
            "choice_finished": pb.ChoiceFinished(
                finish_reason_raw="novel", moderation_hit_type="violence"
            )
        },
        {
            "completed": pb.ChatCompleted(
                usage=pb.Usage(total_tokens=9),
                billed_usage=pb.Usage(total_tokens=1),
                response_cache=pb.ResponseCacheOutcome(status=pb.RESPONSE_CACHE_STATUS_HIT),
                context=pb.ContextOutcome(id="ctx-1", restored=True),
                service_tier="default",
                extra_json='{"y": 2}',
            )
        },
    )
    assert answer == pb.CompleteChatWithContextResponse(
        id="a-1",
        model="m-2026",
        create_time=NOW,
        system_fingerprint="fp",
        choices=[
            pb.ChatChoice(
                index=0,
                message=pb.ChatMessage(
                    role="assistant", content="Hello", reasoning="Let me think."
                ),
                finish_reason_raw="novel",
                moderation_hit_type="violence",
                logprobs=[logprob("Hel"), logprob("l"), logprob("o")],
            ),
            pb.ChatChoice(
                index=1,
                message=pb.ChatMessage(
                    role="assistant",
                    tool_calls=[
                        pb.ChatToolCall(id="t-1", name="f", arguments_json='{"a": 1}'),
                        pb.ChatToolCall(id="t-2", name="g", arguments_json="{}"),
                    ],
                ),
                finish_reason=pb.FINISH_REASON_TOOL_CALLS,
                finish_reason_raw="tool_calls",
                extra_json='{"x":1.0}',
            ),
            pb.ChatChoice(
                index=2,
                message=pb.ChatMessage(role="assistant", refusal="No."),
                refusal_logprobs=[logprob("No"), logprob(".")],
            ),
        ],
        usage=pb.Usage(total_tokens=9),
        billed_usage=pb.Usage(total_tokens=1),
        response_cache=pb.ResponseCacheOutcome(status=pb.RESPONSE_CACHE_STATUS_HIT),
        context=pb.ContextOutcome(id="ctx-1", restored=True),
        service_tier="default",
        extra_json='{"y": 2}',
    )


def test_every_field_of_a_whole_chat_has_an_event_that_fills_it() -> None:
    filled = {
        *pb.ChatStarted.DESCRIPTOR.fields_by_name,
        *pb.ChatCompleted.DESCRIPTOR.fields_by_name,
        "choices",
    } - {"resumable", "role"}
    assert filled == set(pb.CompleteChatWithContextResponse.DESCRIPTOR.fields_by_name)


def test_an_event_that_this_version_does_not_know_changes_nothing() -> None:
    assert fold_chat({}) == pb.CompleteChatWithContextResponse()


def test_what_is_not_there_stays_unset() -> None:
    answer = fold_chat({"content": pb.TextDelta(text="Hi")})
    assert not answer.HasField("usage")
    assert not answer.HasField("create_time")
    assert not answer.HasField("context")


@pytest.mark.parametrize(
    "extras, of_choice, of_message",
    [
        (['{"a": 1.0}'], '{"a":1.0}', ""),
        (['{"a":[1e20,1]}', '{"a":[2]}'], '{"a":[2]}', ""),
        (['{"delta": {"b": 2}}'], "", '{"b":2}'),
        (['{"a":1,"delta":{"b":2}}', '{"delta":{"b":3,"c":4}}'], '{"a":1}', '{"b":3,"c":4}'),
        (['{"delta": {}}', '{"delta": "text"}'], '{"delta":"text"}', ""),
        ([""], "", ""),
    ],
)
def test_what_is_unknown_goes_to_the_choice_or_in_delta_to_its_message(
    extras: list[str], of_choice: str, of_message: str
) -> None:
    answer = fold_chat(*({"extra": pb.ExtraDelta(extra_json=extra)} for extra in extras))
    (choice,) = answer.choices
    assert (choice.extra_json, choice.message.extra_json) == (of_choice, of_message)


@pytest.mark.parametrize(
    "delta, name, of_message",
    [
        ('{"name":"Ada","b":1}', "Ada", '{"b":1}'),
        ('{"name":"Ada"}', "Ada", ""),
        ('{"name":{"first":"Ada"}}', "", '{"name":{"first":"Ada"}}'),
    ],
)
def test_the_speakers_name_comes_with_what_is_unknown(
    delta: str, name: str, of_message: str
) -> None:
    answer = fold_chat({"extra": pb.ExtraDelta(extra_json=f'{{"delta":{delta}}}')})
    (choice,) = answer.choices
    assert (choice.message.name, choice.message.extra_json) == (name, of_message)


def candidate(*parts: pb.Part, **members: Any) -> dict[str, Any]:
    content = pb.Content(role="model", parts=parts) if parts else None
    return {"candidates": [pb.Candidate(content=content, **members)]}


def fold_content(*messages: dict[str, Any]) -> pb.GenerateContentResponse:
    fold = ContentFold()
    for sequence, message in enumerate(messages, 1):
        fold.add(pb.GenerateContentResponse(sequence=sequence, **message))
    return fold.answer()


def test_parts_join_where_they_are_plain_text_of_one_kind() -> None:
    answer = fold_content(
        candidate(pb.Part(text="Hm", thought=True)),
        candidate(pb.Part(text="m.", thought=True)),
        candidate(pb.Part(text="Hel")),
        candidate(pb.Part(text="lo"), pb.Part(text=" you")),
        candidate(pb.Part(text="", thought_signature=b"s")),
        candidate(pb.Part(text="Bye")),
        candidate(pb.Part(function_call=pb.FunctionCall(name="f", args_json="{}"))),
        candidate(pb.Part(text="!")),
    )
    assert list(answer.candidates[0].content.parts) == [
        pb.Part(text="Hmm.", thought=True),
        pb.Part(text="Hello you"),
        pb.Part(text="", thought_signature=b"s"),
        pb.Part(text="Bye"),
        pb.Part(function_call=pb.FunctionCall(name="f", args_json="{}")),
        pb.Part(text="!"),
    ]
    assert answer.candidates[0].content.role == "model"


def test_a_content_and_lists_that_are_empty_are_there_all_the_same() -> None:
    piece = pb.Candidate(content=pb.Content(), citation_metadata=pb.CitationMetadata())
    answer = fold_content({"candidates": [piece]})
    assert list(answer.candidates) == [piece]


def test_a_gemini_answer_is_folded_field_by_field() -> None:
    answer = fold_content(
        {
            "candidates": [
                pb.Candidate(
                    index=1,
                    content=pb.Content(role="model", parts=[pb.Part(text="B")]),
                    safety_ratings=[pb.SafetyRating(category="A"), pb.SafetyRating(category="B")],
                    citation_metadata=pb.CitationMetadata(citations=[pb.CitationSource(uri="u1")]),
                    extra_json='{"p": 1, "q": 1}',
                ),
                pb.Candidate(content=pb.Content(parts=[pb.Part(text="A")])),
            ],
            "usage_metadata": pb.UsageMetadata(
                total_token_count=1,
                prompt_tokens_details=[pb.ModalityTokenCount(modality="TEXT", token_count=1)],
            ),
            "model_version": "g-1",
            "response_id": "r",
            "create_time": NOW,
            "extra_json": '{"k": 1}',
        },
        {
            "candidates": [
                pb.Candidate(
                    index=1,
                    finish_reason=pb.Candidate.FINISH_REASON_STOP,
                    finish_reason_raw="STOP",
                    token_count=2,
                    avg_logprobs=0.0,
                    safety_ratings=[pb.SafetyRating(category="C")],
                    citation_metadata=pb.CitationMetadata(citations=[pb.CitationSource(uri="u2")]),
                    extra_json='{"q": 2}',
                )
            ],
            "usage_metadata": pb.UsageMetadata(
                total_token_count=4,
                prompt_tokens_details=[pb.ModalityTokenCount(modality="TEXT", token_count=1)],
            ),
            "billed_usage": pb.Usage(total_tokens=4),
        },
    )
    assert answer == pb.GenerateContentResponse(
        candidates=[
            pb.Candidate(content=pb.Content(parts=[pb.Part(text="A")])),
            pb.Candidate(
                index=1,
                content=pb.Content(role="model", parts=[pb.Part(text="B")]),
                finish_reason=pb.Candidate.FINISH_REASON_STOP,
                finish_reason_raw="STOP",
                token_count=2,
                avg_logprobs=0.0,
                safety_ratings=[pb.SafetyRating(category="C")],
                citation_metadata=pb.CitationMetadata(
                    citations=[pb.CitationSource(uri="u1"), pb.CitationSource(uri="u2")]
                ),
                extra_json='{"p":1,"q":2}',
            ),
        ],
        usage_metadata=pb.UsageMetadata(
            total_token_count=4,
            prompt_tokens_details=[pb.ModalityTokenCount(modality="TEXT", token_count=1)],
        ),
        model_version="g-1",
        response_id="r",
        create_time=NOW,
        extra_json='{"k": 1}',
        billed_usage=pb.Usage(total_tokens=4),
    )


@pytest.mark.parametrize(
    "texts, merged",
    [
        ([], ""),
        (['{"a": 1e2}'], '{"a": 1e2}'),
        (['{"a": 1}', '{"b":2}'], '{"a":1,"b":2}'),
        (['{"a":1,"b":1}', '{"b":2,"ü":3}', '{"a":4}'], '{"a":4,"b":2,"ü":3}'),
    ],
)
def test_json_texts_are_merged(texts: list[str], merged: str) -> None:
    assert merge_json(texts) == merged


def test_text_of_an_answer() -> None:
    chat = pb.CompleteChatWithContextResponse(
        choices=[pb.ChatChoice(index=1, message=pb.ChatMessage(content="Hi", reasoning="Hm"))]
    )
    gemini = fold_content(candidate(pb.Part(text="Hm", thought=True), pb.Part(text="Hi")))
    assert (text_of(chat), text_of(chat, 1)) == ("", "Hi")
    assert (text_of(gemini), text_of(gemini, 1)) == ("Hi", "")
