"""Events of a stream folded into the answer that the unary call would have given."""

import json
from collections import defaultdict
from typing import Any, Protocol, TypeVar

from contextbridge import v1 as pb

EventT = TypeVar("EventT", contravariant=True)
AnswerT = TypeVar("AnswerT", covariant=True)


class Fold(Protocol[EventT, AnswerT]):
    """Takes a stream's events in order and gives the answer."""

    last_event: str
    """What a whole stream ends with, for people."""

    sequence: int
    """The place of the newest event in its generation, from 1. 0 before the first."""

    complete: bool
    """The last event was seen."""

    whole: bool
    """The first event was asked for."""

    def add(self, event: EventT, /) -> None:
        """Takes the next event."""

    def text(self, event: EventT, index: int, /) -> str:
        """The text that an event brings to one choice; empty for none."""

    def answer(self) -> AnswerT:
        """The answer so far."""


class _Choice:
    """One choice of a chat, while it grows. Text is joined once, at the end."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.logprobs: list[pb.TokenLogprob] = []
        self.refusal_logprobs: list[pb.TokenLogprob] = []
        self.calls: dict[int, list[pb.ToolCallDelta]] = {}
        self.finished = pb.ChoiceFinished()
        self.extra_json = ""
        self.message_extra_json = ""

    def build(self, index: int, role: str) -> pb.ChatChoice:
        return pb.ChatChoice(
            index=index,
            message=pb.ChatMessage(
                role=role or "assistant",
                content="".join(self.content),
                reasoning="".join(self.reasoning),
                refusal="".join(self.refusal),
                tool_calls=[_tool_call(deltas) for _, deltas in sorted(self.calls.items())],
                extra_json=self.message_extra_json,
            ),
            finish_reason=self.finished.finish_reason,
            finish_reason_raw=self.finished.finish_reason_raw,
            moderation_hit_type=self.finished.moderation_hit_type,
            logprobs=self.logprobs,
            refusal_logprobs=self.refusal_logprobs,
            extra_json=self.extra_json,
        )


def _tool_call(deltas: list[pb.ToolCallDelta]) -> pb.ChatToolCall:
    return pb.ChatToolCall(
        id=next((delta.id for delta in deltas if delta.id), ""),
        name=next((delta.name for delta in deltas if delta.name), ""),
        arguments_json="".join(delta.arguments_json for delta in deltas),
    )


class ChatFold:
    """Folds the events of ChatWithContext."""

    last_event = "`completed`"

    def __init__(self) -> None:
        self.sequence = 0
        self.complete = False
        self.whole = True
        self._started = pb.Started()
        self._completed = pb.Completed()
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)

    def add(self, event: pb.ChatWithContextResponse) -> None:
        """Takes the next event. One of a kind that this version does not know changes nothing."""
        self.sequence = event.sequence
        match event.WhichOneof("event"):
            case "started":
                self._started = event.started
            case "content":
                choice = self._choices[event.content.index]
                choice.content.append(event.content.text)
                choice.logprobs.extend(event.content.logprobs)
            case "reasoning":
                self._choices[event.reasoning.index].reasoning.append(event.reasoning.text)
            case "refusal":
                choice = self._choices[event.refusal.index]
                choice.refusal.append(event.refusal.text)
                choice.refusal_logprobs.extend(event.refusal.logprobs)
            case "tool_call":
                delta = event.tool_call
                self._choices[delta.index].calls.setdefault(delta.call_index, []).append(delta)
            case "choice_finished":
                self._choices[event.choice_finished.index].finished = event.choice_finished
            case "extra":
                choice = self._choices[event.extra.index]
                of_choice, of_message = _split_delta(event.extra.extra_json)
                choice.extra_json = merge_json(choice.extra_json, of_choice)
                choice.message_extra_json = merge_json(choice.message_extra_json, of_message)
            case "completed":
                self._completed = event.completed
                self.complete = True

    def text(self, event: pb.ChatWithContextResponse, index: int) -> str:
        """The text that an event brings to one choice."""
        delta = event.content
        return delta.text if delta.index == index else ""

    def answer(self) -> pb.CompleteChatWithContextResponse:
        """The answer so far."""
        answer = pb.CompleteChatWithContextResponse(
            id=self._started.id,
            model=self._started.model,
            system_fingerprint=self._started.system_fingerprint,
            choices=[
                choice.build(index, self._started.role)
                for index, choice in sorted(self._choices.items())
            ],
            service_tier=self._completed.service_tier,
            extra_json=self._completed.extra_json,
        )
        _copy_set(self._started, answer, "create_time")
        _copy_set(self._completed, answer, "usage", "response_cache", "billed_usage", "context")
        return answer


class ContentFold:
    """Folds the messages of StreamGenerateContent."""

    last_event = "`billed_usage`"

    def __init__(self) -> None:
        self.sequence = 0
        self.complete = False
        self.whole = True
        self._answer = pb.GenerateContentResponse()
        self._candidates: dict[int, pb.Candidate] = {}

    def add(self, event: pb.GenerateContentResponse) -> None:
        """Takes the next message."""
        self.sequence = event.sequence
        self.complete = self.complete or event.HasField("billed_usage")
        for piece in event.candidates:
            known = self._candidates.setdefault(piece.index, pb.Candidate())
            _merge_candidate(known, piece)
        extra_json = merge_json(self._answer.extra_json, event.extra_json)
        _replace_set(event, self._answer, but={"candidates", "sequence", "extra_json"})
        self._answer.extra_json = extra_json

    def text(self, event: pb.GenerateContentResponse, index: int) -> str:
        """The text that a message brings to one candidate, thoughts left out."""
        return "".join(
            part.text
            for candidate in event.candidates
            if candidate.index == index
            for part in candidate.content.parts
            if not part.thought
        )

    def answer(self) -> pb.GenerateContentResponse:
        """The answer so far."""
        answer = pb.GenerateContentResponse()
        answer.CopyFrom(self._answer)
        answer.candidates.extend(candidate for _, candidate in sorted(self._candidates.items()))
        return answer


def _merge_candidate(known: pb.Candidate, piece: pb.Candidate) -> None:
    # Lists of what each piece adds grow; whatever describes the whole so far is replaced. The
    # indices in grounding metadata point into its own lists, so it stays as one piece gave it.
    extra_json = merge_json(known.extra_json, piece.extra_json)
    if piece.HasField("content"):
        known.content.role = piece.content.role or known.content.role
        for part in piece.content.parts:
            _merge_part(known.content, part)
    for growing in ("citation_metadata", "logprobs_result"):
        if piece.HasField(growing):
            getattr(known, growing).MergeFrom(getattr(piece, growing))
    _replace_set(
        piece, known, but={"content", "citation_metadata", "logprobs_result", "extra_json"}
    )
    known.extra_json = extra_json


def _merge_part(content: pb.Content, part: pb.Part) -> None:
    if content.parts and _is_plain_text(part) and _is_plain_text(content.parts[-1]):
        last = content.parts[-1]
        if last.thought == part.thought:
            last.text += part.text
            return
    content.parts.append(part)


def _is_plain_text(part: pb.Part) -> bool:
    # A signature belongs to the part that it came with.
    return {field.name for field, _ in part.ListFields()} <= {"text", "thought"} and (
        part.WhichOneof("data") == "text"
    )


def _copy_set(source: Any, target: Any, *names: str) -> None:
    for name in names:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))


def _replace_set(source: Any, target: Any, *, but: set[str]) -> None:
    """Replaces each field of `target` that `source` has, but for some."""
    for field, _ in source.ListFields():
        if field.name not in but:
            target.ClearField(field.name)
    rest = type(source)()
    rest.CopyFrom(source)
    for name in but:
        rest.ClearField(name)
    target.MergeFrom(rest)


def merge_json(known: str, more: str) -> str:
    """The texts of two JSON objects as one; of a member in both the later counts.

    A lone text stays as it is, letter by letter.
    """
    if not known or not more:
        return known or more
    return _dump(json.loads(known) | json.loads(more))


def _split_delta(extra_json: str) -> tuple[str, str]:
    """Takes apart what upstream said of a choice and, in its `delta`, of the message."""
    members = json.loads(extra_json or "{}")
    if not isinstance(members.get("delta"), dict):
        return extra_json, ""
    delta = members.pop("delta")
    return _dump(members) if members else "", _dump(delta) if delta else ""


def _dump(members: dict[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def text_of(
    answer: pb.CompleteChatWithContextResponse | pb.GenerateContentResponse, index: int = 0
) -> str:
    """The text of one choice of a whole answer, thoughts left out. Empty where there is none.

    Args:
        answer: What `complete_chat`, `generate_content` or a stream's `answer` gave.
        index: The choice or candidate, from 0.
    """
    if isinstance(answer, pb.GenerateContentResponse):
        return ContentFold().text(answer, index)
    return "".join(choice.message.content for choice in answer.choices if choice.index == index)
