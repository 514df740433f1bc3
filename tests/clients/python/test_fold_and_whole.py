"""What is folded from a stream is what the unary call would have returned, field by field.

The server's own translators make the events, and the whole answer beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge._fold import ChatFold, ContentFold
from contextbridge_server.translate.chat_answer import FINISH_REASONS, chat_answer
from contextbridge_server.translate.chat_stream import ChatStreamDecoder
from contextbridge_server.translate.gemini_answer import GeminiStreamDecoder, gemini_answer

Json = dict[str, Any]
Draw = Any

SOME = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
OUTCOME = pb.ContextOutcome(id="ctx-1", restored=True)
PROMPT_BYTES = 40

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
PIECES = st.lists(TEXT, max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.sampled_from([0.5, -1.25]) | TEXT
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXT, SCALARS, max_size=2)
UNKNOWN = st.dictionaries(st.sampled_from(["annotations", "x", "ü"]), VALUES, max_size=3)
LOGPROBS = st.lists(
    st.fixed_dictionaries(
        {"token": TEXT, "logprob": st.floats(-9999, 0), "bytes": st.just([195, 188])},
        optional={"top_logprobs": st.just([{"token": "a", "logprob": -0.5}])},
    ),
    max_size=2,
)


@dataclass
class Streamed:
    """An answer of upstream's, whole and in the batches that its stream arrives in."""

    whole: Json
    batches: list[list[Json]] = field(repr=False)


def interleaved(draw: Draw, sequences: Sequence[Sequence[Json]]) -> list[Json]:
    """Return the members of all sequences, each sequence in its own order."""
    places = [place for place, sequence in enumerate(sequences) for _ in sequence]
    iterators = [iter(sequence) for sequence in sequences]
    return [next(iterators[place]) for place in draw(st.permutations(places))]


def batched(draw: Draw, chunks: Sequence[Json]) -> list[list[Json]]:
    batches: list[list[Json]] = [[]]
    for chunk in chunks:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(chunk)
    return batches


def call_pieces(draw: Draw, place: int) -> tuple[Json, list[Json]]:
    """Return a tool call, and the deltas that bring it."""
    call_id, name, arguments = draw(TEXT), draw(TEXT), draw(PIECES)
    whole = {"id": call_id, "function": {"name": name, "arguments": "".join(arguments)}}
    first = {"index": place, "id": call_id, "type": "function", "function": {"name": name}}
    rest = [{"index": place, "function": {"arguments": piece}} for piece in arguments]
    return whole, [{"tool_calls": [piece]} for piece in (first, *rest)]


@st.composite
def chat_choices(draw: Draw) -> tuple[Json, list[Json]]:
    """A choice, and the pieces of it that a stream brings."""
    message: Json = {"role": "assistant"}
    probabilities: Json = {"content": [], "refusal": []}
    pieces: list[Json] = [{"delta": {"role": "assistant"}}]
    for member in ("reasoning_content", "content", "refusal"):
        texts = draw(PIECES)
        message[member] = "".join(texts) or None
        for text in texts:
            piece: Json = {"delta": {member: text}}
            if member in probabilities:
                piece["logprobs"] = {member: draw(LOGPROBS)}
                probabilities[member] += piece["logprobs"][member]
            pieces.append(piece)
    made = [call_pieces(draw, place) for place in range(draw(st.integers(0, 2)))]
    message["tool_calls"] = [call for call, _ in made]
    calls = interleaved(draw, [deltas for _, deltas in made])
    pieces += [{"delta": delta} for delta in calls]

    of_message = draw(UNKNOWN) | draw(st.sampled_from([{}, {"name": "Ada"}]))
    of_choice = draw(UNKNOWN)
    pieces += [{"delta": {key: value}} for key, value in of_message.items()]
    pieces += [{key: value, "delta": {}} for key, value in of_choice.items()]
    end = {
        "finish_reason": draw(st.sampled_from([*FINISH_REASONS, "novel"])),
        "moderation_hit_type": draw(st.sampled_from([None, "violence"])),
    }
    pieces.append({"delta": {}} | end)
    whole = {"message": message | of_message, "logprobs": probabilities} | end | of_choice
    return whole, pieces


@st.composite
def streamed_chats(draw: Draw) -> Streamed:
    choices = draw(st.lists(chat_choices(), min_size=1, max_size=3))
    head = {"id": "a-1", "created": 1_800_000_000, "model": "m-2026", "system_fingerprint": "fp"}
    chunks = interleaved(
        draw,
        [
            [head | {"choices": [piece | {"index": index}]} for piece in pieces]
            for index, (_, pieces) in enumerate(choices)
        ],
    )
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    end = (
        {"service_tier": "default"} | draw(UNKNOWN) | draw(st.sampled_from([{}, {"usage": usage}]))
    )
    whole = head | end
    whole["choices"] = [choice | {"index": i} for i, (choice, _) in enumerate(choices)]
    return Streamed(whole, batched(draw, [*chunks, head | {"choices": []} | end]))


def chat_events(streamed: Streamed) -> list[pb.ChatWithContextResponse]:
    decoder = ChatStreamDecoder(pb.ChatWithContextRequest(), PROMPT_BYTES)
    events = [event for batch in streamed.batches for event in decoder.decode(batch)]
    return [*events, *decoder.finish(OUTCOME)]


@SOME
@given(streamed_chats())
def test_a_chat_that_is_folded_is_the_whole_one(streamed: Streamed) -> None:
    fold = ChatFold()
    for event in chat_events(streamed):
        fold.add(event)
    whole = chat_answer(streamed.whole, pb.ChatWithContextRequest(), PROMPT_BYTES, OUTCOME)
    assert fold.answer() == whole
    assert fold.complete


GROWING_PARTS = [{"text": "Hm", "thought": True}, {"text": "Hel"}]
OTHER_PARTS = [
    {"text": "", "thoughtSignature": "c2ln"},
    {"text": "Signed", "thought": True, "thoughtSignature": "c2ln"},
    {"functionCall": {"name": "f", "args": {"a": 1}}},
    {"inlineData": {"mimeType": "image/png", "data": "aWk="}},
    {"text": "marked", "novel": 1},
]


def part_pieces(draw: Draw, part: Json) -> list[Json]:
    """Return the pieces that a part arrives in: text that joins may come in several."""
    if part not in GROWING_PARTS:
        return [part]
    cut = draw(st.integers(0, len(part["text"])))
    return [part | {"text": text} for text in (part["text"][:cut], part["text"][cut:])]


@st.composite
def candidates(draw: Draw) -> tuple[Json, list[Json]]:
    """A candidate, and the pieces of it that a stream brings."""
    drawn = draw(st.lists(st.sampled_from([*GROWING_PARTS, *OTHER_PARTS]), max_size=5))
    # Of a whole answer neighbours that join are one part already.
    parts = [
        part
        for place, part in enumerate(drawn)
        if part not in GROWING_PARTS or place == 0 or part != drawn[place - 1]
    ]
    pieces: list[Json] = [{"content": {"role": "model"}}]
    pieces += [
        {"content": {"parts": [piece]}} for part in parts for piece in part_pieces(draw, part)
    ]
    sources = [{"uri": f"https://{name}"} for name in draw(st.lists(TEXT, max_size=2))]
    tokens = [{"token": token} for token in draw(PIECES)]
    pieces += [{"citationMetadata": {"citations": [source]}} for source in sources]
    pieces += [{"logprobsResult": {"chosenCandidates": [token]}} for token in tokens]
    pieces.append({"safetyRatings": [{"category": "A", "probability": "HIGH"}], "tokenCount": 1})
    end = {
        "finishReason": draw(st.sampled_from(["STOP", "NOVEL"])),
        "safetyRatings": [{"category": "B", "probability": "LOW", "novel": 1}],
        "tokenCount": 4,
        "avgLogprobs": 0,
    }
    of_candidate = draw(UNKNOWN)
    pieces += [{key: value} for key, value in of_candidate.items()]
    pieces.append(end)
    whole = {"content": {"role": "model", "parts": parts}} | end | of_candidate
    if sources:
        whole["citationMetadata"] = {"citations": sources}
    if tokens:
        whole["logprobsResult"] = {"chosenCandidates": tokens}
    return whole, pieces


@st.composite
def streamed_contents(draw: Draw) -> Streamed:
    made = draw(st.lists(candidates(), min_size=1, max_size=2))
    head = {"modelVersion": "g-1", "responseId": "r-1"}
    end: Json = {
        "usageMetadata": {
            "totalTokenCount": 9,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
        }
    } | draw(UNKNOWN)
    chunks = interleaved(
        draw,
        [
            [head | {"candidates": [piece | {"index": index}]} for piece in pieces]
            for index, (_, pieces) in enumerate(made)
        ],
    )
    chunks[0] = chunks[0] | {"usageMetadata": end["usageMetadata"] | {"totalTokenCount": 2}}
    whole: Json = head | end
    whole["candidates"] = [candidate | {"index": i} for i, (candidate, _) in enumerate(made)]
    return Streamed(whole, batched(draw, [*chunks, end]))


def content_events(streamed: Streamed) -> list[pb.GenerateContentResponse]:
    decoder = GeminiStreamDecoder(pb.GenerateContentRequest(), PROMPT_BYTES)
    events = [event for batch in streamed.batches for event in decoder.decode(batch)]
    return [*events, *decoder.finish(OUTCOME)]


@SOME
@given(streamed_contents())
def test_a_gemini_answer_that_is_folded_is_the_whole_one(streamed: Streamed) -> None:
    fold = ContentFold()
    for event in content_events(streamed):
        fold.add(event)
    whole = gemini_answer(streamed.whole, pb.GenerateContentRequest(), PROMPT_BYTES, OUTCOME)
    assert fold.answer() == whole
    assert fold.complete


def test_a_blocked_prompt_that_is_folded_is_the_whole_one() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY", "safetyRatings": [{"category": "A"}]},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }
    fold = ContentFold()
    for event in content_events(Streamed(blocked, [[blocked]])):
        fold.add(event)
    whole = gemini_answer(blocked, pb.GenerateContentRequest(), PROMPT_BYTES, OUTCOME)
    assert fold.answer() == whole


@pytest.mark.parametrize(
    "fold_type, strategy, events_of",
    [
        (ChatFold, streamed_chats(), chat_events),
        (ContentFold, streamed_contents(), content_events),
    ],
)
@SOME
@given(data=st.data())
def test_an_answer_on_its_way_is_that_of_its_events_and_stays_as_it_is(
    fold_type: Any, strategy: Any, events_of: Any, data: Any
) -> None:
    events = events_of(data.draw(strategy))
    cut = data.draw(st.integers(0, len(events)))
    before = [event.SerializeToString(deterministic=True) for event in events]

    fold, beginning, whole = fold_type(), fold_type(), fold_type()
    for event in events[:cut]:
        fold.add(event)
        beginning.add(event)
    on_its_way = fold.answer()
    for event in events[cut:]:
        fold.add(event)
    for event in events:
        whole.add(event)

    assert on_its_way == beginning.answer()
    assert fold.answer() == whole.answer() == fold.answer()
    assert (fold.sequence, fold.complete) == (len(events), True)
    assert [event.SerializeToString(deterministic=True) for event in events] == before


@SOME
@given(streamed_chats())
def test_how_many_events_bring_a_text_does_not_matter(streamed: Streamed) -> None:
    finer = Streamed(streamed.whole, [[chunk] for batch in streamed.batches for chunk in batch])
    coarse, fine = ChatFold(), ChatFold()
    for event in chat_events(streamed):
        coarse.add(event)
    for event in chat_events(finer):
        fine.add(event)
    assert coarse.answer() == fine.answer()
