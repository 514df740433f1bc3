"""Events of a stream folded into the answer that the unary call would have given."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
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

    resumable: bool
    """The server can give the rest again, as far as it has said."""

    def add(self, event: EventT, /) -> None:
        """Takes the next event, which is not changed any more: it is kept, not copied."""

    def text(self, event: EventT, index: int, /) -> str:
        """The text that an event brings to one choice; empty for none."""

    def answer(self) -> AnswerT:
        """The answer so far."""


class _Choice:
    """One choice of a chat, while it grows. Texts are joined when an answer is asked for."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.logprobs: list[pb.TokenLogprob] = []
        self.refusal_logprobs: list[pb.TokenLogprob] = []
        self.calls: dict[int, list[pb.ToolCallDelta]] = {}
        self.finished = pb.ChoiceFinished()
        self.extras: list[str] = []

    def build(self, index: int, role: str) -> pb.ChatChoice:
        of_choice, of_message = _split_extras(self.extras)
        # A whole message has a field for the speaker's name, and no event has.
        name = of_message.pop("name") if isinstance(of_message.get("name"), str) else ""
        return pb.ChatChoice(
            index=index,
            message=pb.ChatMessage(
                role=role or "assistant",
                content="".join(self.content),
                name=name,
                reasoning="".join(self.reasoning),
                refusal="".join(self.refusal),
                tool_calls=[_tool_call(deltas) for _, deltas in sorted(self.calls.items())],
                extra_json=_json_text(of_message),
            ),
            finish_reason=self.finished.finish_reason,
            finish_reason_raw=self.finished.finish_reason_raw,
            moderation_hit_type=self.finished.moderation_hit_type,
            logprobs=self.logprobs,
            refusal_logprobs=self.refusal_logprobs,
            extra_json=_json_text(of_choice),
        )


def _split_extras(texts: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What upstream said besides of a choice and, under `delta`, of its message."""
    of_choice: dict[str, Any] = {}
    of_message: dict[str, Any] = {}
    for text in texts:
        members = json.loads(text or "{}")
        if isinstance(members.get("delta"), dict):
            of_message |= members.pop("delta")
        of_choice |= members
    return of_choice, of_message


def _tool_call(deltas: list[pb.ToolCallDelta]) -> pb.ChatToolCall:
    return pb.ChatToolCall(
        id=next((delta.id for delta in deltas if delta.id), ""),
        name=next((delta.name for delta in deltas if delta.name), ""),
        arguments_json="".join(delta.arguments_json for delta in deltas),
        extra_json=merge_json([delta.extra_json for delta in deltas if delta.extra_json]),
    )


class ChatFold:
    """Folds the events of ChatWithContext."""

    last_event = "`completed`"

    def __init__(self) -> None:
        self.sequence = 0
        self.complete = False
        self.whole = True
        self.resumable = True
        self._started = pb.ChatStarted()
        self._completed = pb.ChatCompleted()
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)

    def add(self, event: pb.ChatWithContextResponse) -> None:
        """Takes the next event. One of a kind that this version does not know changes nothing."""
        self.sequence = event.sequence
        match event.WhichOneof("event"):
            case "started":
                self._started = event.started
                self.resumable = event.started.resumable
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
                self._choices[event.extra.index].extras.append(event.extra.extra_json)
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


@dataclass(frozen=True, slots=True)
class _Run:
    """A part of a content, and the texts of all that join it."""

    part: pb.Part
    fields: list[str]
    texts: list[str]

    def build(self) -> pb.Part:
        if len(self.texts) == 1:
            return self.part
        return pb.Part(text="".join(self.texts), thought=self.part.thought)


# The fields of parts that join. A signature belongs to the part that it came with.
_PLAIN_TEXT = (["text"], ["text", "thought"])


class _Candidate:
    """One candidate of a Gemini answer, while it grows."""

    def __init__(self) -> None:
        self.has_content = False
        self.role = ""
        self.runs: list[_Run] = []
        self.grown = pb.Candidate()
        self.latest: dict[str, Any] = {}
        self.extras: list[str] = []

    def add(self, piece: pb.Candidate) -> None:
        # Lists of what each piece adds grow; whatever describes the whole so far is replaced. The
        # indices in grounding metadata point into its own lists, so it stays as one piece gave it.
        for field, value in piece.ListFields():
            match field.name:
                case "content":
                    self.has_content = True
                    self.role = value.role or self.role
                    for part in value.parts:
                        self._add_part(part)
                case "citation_metadata" | "logprobs_result" as name:
                    getattr(self.grown, name).MergeFrom(value)
                case "extra_json":
                    self.extras.append(value)
                case name:
                    self.latest[name] = value

    def _add_part(self, part: pb.Part) -> None:
        fields = [field.name for field, _ in part.ListFields()]
        if self.runs and fields in _PLAIN_TEXT and fields == self.runs[-1].fields:
            self.runs[-1].texts.append(part.text)
        else:
            self.runs.append(_Run(part, fields, [part.text]))

    def build(self) -> pb.Candidate:
        candidate = pb.Candidate(extra_json=merge_json(self.extras), **self.latest)
        if self.has_content:
            candidate.content.role = self.role
            candidate.content.parts.extend(run.build() for run in self.runs)
        candidate.MergeFrom(self.grown)
        return candidate


class ContentFold:
    """Folds the messages of StreamGenerateContent."""

    last_event = "`billed_usage`"

    def __init__(self) -> None:
        self.sequence = 0
        self.complete = False
        self.whole = True
        self.resumable = True
        self._candidates: defaultdict[int, _Candidate] = defaultdict(_Candidate)
        self._latest: dict[str, Any] = {}
        self._extras: list[str] = []

    def add(self, event: pb.GenerateContentResponse) -> None:
        """Takes the next message."""
        self.sequence = event.sequence
        self.complete = self.complete or event.HasField("billed_usage")
        for field, value in event.ListFields():
            match field.name:
                case "candidates":
                    for piece in value:
                        self._candidates[piece.index].add(piece)
                case "extra_json":
                    self._extras.append(value)
                case "sequence":
                    pass
                case name:
                    self._latest[name] = value

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
        return pb.GenerateContentResponse(
            candidates=[candidate.build() for _, candidate in sorted(self._candidates.items())],
            extra_json=merge_json(self._extras),
            **self._latest,
        )


def _copy_set(source: Any, target: Any, *names: str) -> None:
    for name in names:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))


def merge_json(texts: list[str]) -> str:
    """The texts of JSON objects as one; of a member in several the later counts.

    A lone text stays as it is, letter by letter.
    """
    if len(texts) <= 1:
        return "".join(texts)
    members: dict[str, Any] = {}
    for text in texts:
        members |= json.loads(text)
    return _json_text(members)


def _json_text(members: dict[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")) if members else ""


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
