"""Requests made from what callers write. Keywords have the names of the fields they fill."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from contextbridge import v1 as pb
from contextbridge._messages import (
    Contents,
    Messages,
    cache_policy,
    chat_messages,
    duration,
    gemini_contents,
    instruction,
    struct,
    timestamp,
    tool_choice,
)


class ContextOptions(TypedDict, total=False):
    """What `create_context` takes beside the model and the messages. Everything is optional."""

    ttl: timedelta
    """How long upstream holds the binding, in whole seconds. Not with `expire_time`."""
    expire_time: datetime
    """When the binding lapses, with its time zone."""
    mode: pb.ContextMode.ValueType
    """How the context grows."""
    truncation_strategy: pb.TruncationStrategy
    """What happens to the history of a session that grows too long."""
    display_name: str
    """A name for people, at most 128 characters."""
    idempotency_key: str
    """Makes the call idempotent, 1 to 128 characters."""
    reuse: pb.Reuse.ValueType
    """Whether a live context of the same content may be returned."""
    recovery: pb.Recovery.ValueType
    """What happens when the binding is found gone."""
    retention: timedelta
    """How long after its last use the context can still be brought back."""
    extra_body: Mapping[str, Any]
    """Fields for upstream that this version does not know."""


class ChatOptions(TypedDict, total=False):
    """What `chat` and `complete_chat` take beside the messages. Everything is optional."""

    temperature: float
    """How random the answer is, 0 to 2."""
    top_p: float
    """Only the likeliest tokens up to this total probability, 0 to 1."""
    n: int
    """How many choices, at least 1."""
    stop: str | Sequence[str]
    """Texts that end the answer, at most 4."""
    max_tokens: int
    """At most this many tokens of answer, at least 1."""
    presence_penalty: float
    """Favours new topics, -2 to 2."""
    frequency_penalty: float
    """Disfavours repetition, -2 to 2."""
    repetition_penalty: float
    """Disfavours repeated tokens, above 0; 1 is neutral. Not on every model."""
    seed: int
    """Makes sampling repeatable where the model can."""
    tools: Sequence[pb.ChatTool]
    """The functions that the model may ask for."""
    tool_choice: str | pb.ChatToolChoice
    """Which tool the model uses; text is `none`, `auto` or `required`."""
    parallel_tool_calls: bool
    """Let the model ask for several tools at once."""
    function_call: str | pb.ChatToolChoice
    """The deprecated form of `tool_choice`; text is `none` or `auto`."""
    response_format_json: str
    """The answer's form, as the text of OpenAI's `response_format` object."""
    logprobs: bool
    """Return each token's probability."""
    top_logprobs: int
    """How many likely tokens to return at each place, 0 to 20."""
    logit_bias: Mapping[str, float]
    """Token ids and what is added to their likelihood, -100 to 100."""
    user: str
    """The end user's id, for upstream's abuse detection."""
    service_tier: str
    """`auto`, `default` or what else upstream offers."""
    extra_body: Mapping[str, Any]
    """Fields for upstream that this version does not know."""
    response_cache: bool | pb.ResponseCachePolicy
    """What is asked of the response cache; True asks with the defaults."""
    customer: pb.Customer
    """The end customer; not sent upstream."""
    idempotency_key: str
    """Names the generation, so that a repeated call resumes it instead of paying again."""
    resume_after: int
    """The `sequence` of the last event that the caller has; needs `idempotency_key`."""


class GenerateOptions(TypedDict, total=False):
    """What the Gemini calls take beside the model and the contents. Everything is optional."""

    system_instruction: str | pb.Content
    """What the model is told about its task. Not with `cached_content`."""
    tools: Sequence[pb.Tool]
    """What the model may use. Not with `cached_content`."""
    tool_config: pb.ToolConfig
    """How it uses them. Not with `cached_content`."""
    safety_settings: Sequence[pb.SafetySetting]
    """What is blocked."""
    generation_config: pb.GenerationConfig
    """How the answer is made."""
    cached_content: str
    """The name of a cached content, or a context's id, to start from."""
    labels: Mapping[str, str]
    """Labels for billing, on upstreams that have them."""
    extra_body: Mapping[str, Any]
    """Fields for upstream that this version does not know."""
    response_cache: bool | pb.ResponseCachePolicy
    """What is asked of the response cache; True asks with the defaults."""
    customer: pb.Customer
    """The end customer; not sent upstream."""
    idempotency_key: str
    """Names the generation, so that a repeated call resumes it instead of paying again."""
    resume_after: int
    """The `sequence` of the last message that the caller has; needs `idempotency_key`."""
    service_tier: str
    """The service tier, on upstreams that have tiers."""
    store: bool
    """Let upstream keep the call, where it can."""
    continuation_token: str
    """`Candidate.continuation_token` of the answer to go on with."""


class CachedContentOptions(TypedDict, total=False):
    """What `create_cached_content` takes beside model and contents. Everything is optional."""

    system_instruction: str | pb.Content
    """What the model is told about its task."""
    tools: Sequence[pb.Tool]
    """What the model may use."""
    tool_config: pb.ToolConfig
    """How it uses them."""
    display_name: str
    """A name for people, at most 128 characters."""
    ttl: timedelta
    """How long it lives, above 0; an hour without it. Not with `expire_time`."""
    expire_time: datetime
    """When it ends, with its time zone."""
    extra_body: Mapping[str, Any]
    """Fields for upstream that this version does not know."""


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "ttl": duration,
    "retention": duration,
    "expire_time": timestamp,
    "extra_body": struct,
    "system_instruction": instruction,
    "tool_choice": tool_choice,
    "function_call": tool_choice,
    "response_cache": cache_policy,
    "stop": lambda stop: [stop] if isinstance(stop, str) else stop,
}


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: convert(value) if (convert := _CONVERSIONS.get(name)) else value
        for name, value in options.items()
    }


def create_context(
    model: str, messages: Messages, options: ContextOptions
) -> pb.CreateContextRequest:
    """What CreateContext takes."""
    return pb.CreateContextRequest(
        model=model, messages=chat_messages(messages), **_fields({**options})
    )


def update_context(
    context: str | pb.Context,
    *,
    ttl: timedelta | None,
    expire_time: datetime | None,
    retention: timedelta | None,
    display_name: str | None,
) -> pb.UpdateContextRequest:
    """What UpdateContext takes: the fields that are not None, an empty name included."""
    given = {
        "ttl": duration(ttl),
        "expire_time": timestamp(expire_time),
        "retention": duration(retention),
        "display_name": display_name,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return pb.UpdateContextRequest(
        id=context_id(context), update_mask=FieldMask(paths=list(changes)), **changes
    )


def context_id(context: str | pb.Context) -> str:
    """The id of a context."""
    return context if isinstance(context, str) else context.id


def chat(
    context: str | pb.Context, messages: Messages, model: str | None, options: ChatOptions
) -> pb.ChatWithContextRequest:
    """The request of a chat. A Context brings its model; the server knows its own contexts'."""
    if model is None:
        model = "" if isinstance(context, str) else context.model
    return pb.ChatWithContextRequest(
        context_id=context_id(context),
        model=model,
        messages=chat_messages(messages),
        **_fields({**options}),
    )


def delete_cached_responses(
    key: str | None,
    customer_identifier: str | None,
    context: str | pb.Context | None,
    *,
    all_: bool,
) -> pb.DeleteCachedResponsesRequest:
    """The request that deletes a target. Raises TypeError unless exactly one is given."""
    targets = {
        "key": key,
        "customer_identifier": customer_identifier,
        "context_id": None if context is None else context_id(context),
        "all": all_ or None,
    }
    given: dict[str, Any] = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        msg = "exactly one of key, customer_identifier, context and all must be given"
        raise TypeError(msg)
    return pb.DeleteCachedResponsesRequest(**given)


def generate(model: str, contents: Contents, options: GenerateOptions) -> pb.GenerateContentRequest:
    """What GenerateContent and StreamGenerateContent take."""
    return pb.GenerateContentRequest(
        model=model, contents=gemini_contents(contents), **_fields({**options})
    )


def count_tokens(model: str, contents: Contents, options: GenerateOptions) -> pb.CountTokensRequest:
    """What CountTokens takes: the contents, or the whole request where there is more."""
    if options:
        whole = generate(model, contents, options)
        return pb.CountTokensRequest(model=model, generate_content_request=whole)
    return pb.CountTokensRequest(model=model, contents=gemini_contents(contents))


def create_cached_content(
    model: str, contents: Contents, options: CachedContentOptions
) -> pb.CreateCachedContentRequest:
    """What CreateCachedContent takes."""
    fields = _fields({**options})
    extra_body = fields.pop("extra_body", None)
    return pb.CreateCachedContentRequest(
        cached_content=pb.CachedContent(model=model, contents=gemini_contents(contents), **fields),
        extra_body=extra_body,
    )


def update_cached_content(
    name: str, *, ttl: timedelta | None, expire_time: datetime | None
) -> pb.UpdateCachedContentRequest:
    """What UpdateCachedContent takes."""
    given = {"ttl": duration(ttl), "expire_time": timestamp(expire_time)}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return pb.UpdateCachedContentRequest(
        cached_content=pb.CachedContent(name=name, **changes),
        update_mask=FieldMask(paths=list(changes)),
    )
