"""A whole answer of the context surface as CompleteChatWithContextResponse (wire.md A.2)."""

from collections.abc import Mapping

from contextbridge import v1 as pb

from ..errors import BridgeError
from .chat_messages import logprobs_of, read_message
from .generation_request import bypassed_cache
from .json_values import Json, Reader, text_of
from .times import timestamp_of_seconds
from .usage import estimated_usage, usage_of_chat

FINISH_REASONS: Mapping[str, pb.FinishReason.ValueType] = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
    "function_call": pb.FINISH_REASON_FUNCTION_CALL,
}

KEPT_FINISH_REASONS = frozenset(("stop", "tool_calls", "function_call"))
"""Reasons of answers that ended by themselves: they may be served again."""


def chat_answer(
    value: Json,
    request: pb.ChatWithContextRequest,
    prompt_bytes: int,
    outcome: pb.ContextOutcome,
) -> pb.CompleteChatWithContextResponse:
    """Return upstream's answer.

    Args:
        value: The answer's JSON.
        request: What was asked.
        prompt_bytes: The length of the body sent, for an estimate where upstream counts nothing.
        outcome: What happened to the context.

    Raises:
        BridgeError: The answer is malformed, or has no choices.
    """
    reader = Reader(value, "answer")
    reader.drop("object")
    answer = pb.CompleteChatWithContextResponse(
        id=reader.text("id"),
        model=reader.text("model"),
        service_tier=reader.text("service_tier"),
        system_fingerprint=reader.text("system_fingerprint"),
        response_cache=bypassed_cache(request),
        context=outcome,
        create_time=timestamp_of_seconds(reader.integer("created")),
    )
    for choice in reader.items("choices"):
        _read_choice(choice, answer.choices.add())
    if not answer.choices:
        raise BridgeError(
            pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY, "Upstream answered with success and no choice."
        )
    if reader.has("usage"):
        answer.usage.CopyFrom(usage_of_chat(reader.members("usage")))
    else:
        text = sum(_text_bytes(choice.message) for choice in answer.choices)
        answer.usage.CopyFrom(estimated_usage(prompt_bytes, text))
    answer.billed_usage.CopyFrom(answer.usage)
    answer.extra_json = text_of(reader.rest())
    return answer


def _read_choice(reader: Reader, choice: pb.ChatChoice) -> None:
    """Read a choice into its message; a message that is put into another is copied."""
    choice.index = reader.count("index")
    read_message(reader.members("message"), choice.message)
    reason = reader.text("finish_reason")
    choice.finish_reason = FINISH_REASONS.get(reason, pb.FINISH_REASON_UNSPECIFIED)
    choice.finish_reason_raw = reason
    logprobs = reader.members("logprobs")
    choice.logprobs.extend(logprobs_of(logprobs, "content"))
    choice.refusal_logprobs.extend(logprobs_of(logprobs, "refusal"))
    choice.moderation_hit_type = reader.text("moderation_hit_type")
    choice.extra_json = text_of(reader.rest())


def _text_bytes(message: pb.ChatMessage) -> int:
    arguments = (call.arguments_json for call in message.tool_calls)
    texts = (message.content, message.reasoning, message.refusal, *arguments)
    return sum(len(text.encode()) for text in texts)
