"""Gemini-native answers as GenerateContentResponse, whole and streamed (wire.md B.4)."""

from collections.abc import Iterator

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..upstream.interface import Batch
from .gemini_json import from_json
from .generation_request import bypassed_cache
from .json_values import Json
from .text_runs import joined
from .usage import estimated_usage, usage_of_gemini

NOT_FINISHED = ("", "FINISH_REASON_UNSPECIFIED")
KEPT_FINISH_REASON = "STOP"
"""Why answers end by themselves, tool calls among them: these may be served again."""


def gemini_answer(
    value: Json,
    request: pb.GenerateContentRequest,
    prompt_bytes: int,
    outcome: pb.ContextOutcome,
) -> pb.GenerateContentResponse:
    """Return upstream's whole answer.

    Args:
        value: The answer's JSON.
        request: What was asked.
        prompt_bytes: The length of the body sent, for an estimate where upstream counts nothing.
        outcome: What happened to the context.

    Raises:
        BridgeError: The answer is malformed, or has neither candidates nor feedback.
    """
    answer = from_json(value, pb.GenerateContentResponse)
    if not answer.candidates and not answer.HasField("prompt_feedback"):
        raise BridgeError(
            pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY,
            "Upstream answered with success and no candidate.",
        )
    usage = answer.usage_metadata if answer.HasField("usage_metadata") else None
    estimate = estimated_usage(prompt_bytes, _text_bytes(answer))
    _conclude(answer, request, usage, estimate, outcome)
    return answer


class GeminiStreamDecoder:
    """Turns one answer's chunks into its messages, numbered from 1.

    A message that ends the last open candidate is held until the next one or the stream's end, so
    that the last can say what the call cost.

    Args:
        request: What was asked.
        prompt_bytes: The length of the body sent, for an estimate where upstream counts nothing.
    """

    def __init__(self, request: pb.GenerateContentRequest, prompt_bytes: int) -> None:
        self._request = request
        self._prompt_bytes = prompt_bytes
        self._text_bytes = 0
        self._sequence = 0
        self._held: pb.GenerateContentResponse | None = None
        self._usage: pb.UsageMetadata | None = None
        self.usage = pb.Usage()
        """What the answer cost, once it is whole."""
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._is_cut_short = False
        self._blocked = False

    def decode(self, batch: Batch) -> Iterator[pb.GenerateContentResponse]:
        """Yield the messages of the chunks that arrived together.

        Raises:
            BridgeError: A chunk is malformed; the messages before it were yielded.
        """
        for chunk in joined(batch):
            yield from self.abandon()
            message = from_json(chunk, pb.GenerateContentResponse)
            self._sequence += 1
            message.sequence = self._sequence
            self._text_bytes += _text_bytes(message)
            if message.HasField("usage_metadata"):
                self._usage = message.usage_metadata
            if self._ends(message):
                self._held = message
            else:
                yield message

    @property
    def is_worth_keeping(self) -> bool:
        """Whether all candidates ended by themselves; upstream has no other mark of the end."""
        asked = self._request.generation_config.candidate_count or 1
        is_whole = not self._open and len(self._finished) >= asked
        return is_whole and not self._is_cut_short and not self._blocked

    def finish(self, outcome: pb.ContextOutcome) -> Iterator[pb.GenerateContentResponse]:
        """Yield the last message, at the stream's end.

        Args:
            outcome: What happened to the context.

        Raises:
            BridgeError: The stream was cut: nothing came, or a candidate has no finish reason.
        """
        if not self._sequence:
            raise BridgeError(
                pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY, "Upstream's stream held no answer."
            )
        last = self._held
        if last is None:
            raise BridgeError(
                pb.ERROR_REASON_UPSTREAM_STREAM_TRUNCATED,
                "Upstream's stream ended without a finish reason.",
            )
        estimate = estimated_usage(self._prompt_bytes, self._text_bytes)
        _conclude(last, self._request, self._usage, estimate, outcome)
        self.usage = last.billed_usage
        yield last

    def abandon(self) -> Iterator[pb.GenerateContentResponse]:
        """Yield the message that is held, which turned out not to be the last."""
        held, self._held = self._held, None
        if held is not None:
            yield held

    def _ends(self, message: pb.GenerateContentResponse) -> bool:
        """Keep book of open candidates; tell whether a message may be the last."""
        for candidate in message.candidates:
            if candidate.finish_reason_raw not in NOT_FINISHED:
                self._finished.add(candidate.index)
                if candidate.finish_reason_raw != KEPT_FINISH_REASON:
                    self._is_cut_short = True
            self._open.add(candidate.index)
        # What comes after a candidate's finish reason does not open it again.
        self._open -= self._finished
        self._blocked = self._blocked or bool(message.prompt_feedback.block_reason_raw)
        return not self._open and (bool(self._finished) or self._blocked)


def _conclude(
    answer: pb.GenerateContentResponse,
    request: pb.GenerateContentRequest,
    usage: pb.UsageMetadata | None,
    estimate: pb.Usage,
    outcome: pb.ContextOutcome,
) -> None:
    """Set what an answer says at its end."""
    if usage is None:
        answer.billed_usage.CopyFrom(estimate)
    else:
        answer.billed_usage.CopyFrom(usage_of_gemini(usage))
    answer.response_cache.CopyFrom(bypassed_cache(request))
    if outcome.id:
        answer.context.CopyFrom(outcome)


def _text_bytes(answer: pb.GenerateContentResponse) -> int:
    return sum(
        len(part.text.encode()) + len(part.function_call.args_json.encode())
        for candidate in answer.candidates
        for part in candidate.content.parts
    )
