"""Contexts: a create request as upstream's body, and its answer as a Context (wire.md A.1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..upstream.interface import Surface, UpstreamRequest
from .chat_messages import PREFIX_ROLES, messages_json
from .families import family_of
from .generation_request import MAX_IDEMPOTENCY_KEY_CHARACTERS
from .json_values import Json, Reader, encode, merge_extra_body, text_of
from .limits import Limits
from .times import datetime_of, timedelta_of
from .usage import usage_of_chat
from .violations import Violations, is_set

MODES = {
    pb.CONTEXT_MODE_UNSPECIFIED: "",
    pb.CONTEXT_MODE_SESSION: "session",
    pb.CONTEXT_MODE_COMMON_PREFIX: "common_prefix",
}
MODES_BY_WORD = {word: mode for mode, word in MODES.items()}
FIELDS = {"model", "messages", "ttl", "mode", "truncation_strategy"}
"""Members of the body that are this module's to set."""
MAX_DISPLAY_NAME_CHARACTERS = 128
MAX_RETENTION = timedelta(days=3_650)
UPDATABLE = ("ttl", "expire_time", "retention", "display_name")


def create_context_request(
    request: pb.CreateContextRequest, limits: Limits, now: datetime
) -> UpstreamRequest:
    """Return the request to upstream that makes a context.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    violations.require("model", request.model)
    body: Json = {
        "model": request.model,
        "messages": messages_json(request.messages, PREFIX_ROLES, limits, violations),
    }
    if (ttl := _ttl(request, now, violations)) is not None:
        body["ttl"] = int(ttl.total_seconds())
    if request.mode in MODES:
        body |= {"mode": MODES[request.mode]} if request.mode else {}
    else:
        violations.add("mode", "Is no known ContextMode.")
    if request.HasField("truncation_strategy"):
        body["truncation_strategy"] = _truncation(request, violations)
    _check_ours(request, violations)
    merge_extra_body("extra_body", body, FIELDS, request.extra_body, violations)
    violations.raise_if_any()
    return UpstreamRequest(Surface.CONTEXT, "POST", "/context/create", encode(body))


def restore_context_request(
    body: Json, turns: Iterable[Json], ttl: timedelta | None
) -> UpstreamRequest:
    """Return the request to upstream that makes a context's binding again.

    Args:
        body: The body by which the context was created.
        turns: The messages that a session has gained since.
        ttl: The binding's life; None for upstream's default.
    """
    whole = {**body, "messages": [*body["messages"], *turns]}
    whole.pop("ttl", None)
    if ttl is not None:
        whole["ttl"] = int(ttl.total_seconds())
    return UpstreamRequest(Surface.CONTEXT, "POST", "/context/create", encode(whole))


@dataclass(frozen=True, slots=True)
class ContextChange:
    """What an update asks for; None leaves a thing as it is.

    Attributes:
        ttl: The binding's new life, from now.
        retention: The context's new retention.
        clears_retention: The retention goes back to the server's setting.
        display_name: The new name; empty for none.
    """

    ttl: timedelta | None = None
    retention: timedelta | None = None
    clears_retention: bool = False
    display_name: str | None = None


def context_change(
    request: pb.UpdateContextRequest, context: pb.Context, now: datetime
) -> ContextChange:
    """Return what an update of a context asks for.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    mask = set(request.update_mask.paths) or {
        name for name in UPDATABLE if name == "display_name" or is_set(request, name)
    }
    if not request.update_mask.paths and not request.display_name:
        mask.discard("display_name")
    if not mask:
        violations.add("update_mask", "There is nothing to change.")
    for name in sorted(mask - set(UPDATABLE)):
        violations.add("update_mask", f"{name} is none of {', '.join(UPDATABLE)}.")
    for name in sorted(mask & {"ttl", "expire_time"}):
        if not is_set(request, name):
            violations.add(name, "Required, because update_mask names it.")
    violations.length("display_name", request.display_name, MAX_DISPLAY_NAME_CHARACTERS)
    _check_retention(request, violations)
    if request.HasField("retention") and context.recovery == pb.RECOVERY_NEVER:
        violations.add("retention", "Not with RECOVERY_NEVER.")
    asked = pb.CreateContextRequest(model=context.model)
    for name in mask & {"ttl", "expire_time"}:
        if is_set(request, name):
            getattr(asked, name).CopyFrom(getattr(request, name))
    ttl = _ttl(asked, now, violations)
    violations.raise_if_any()
    has_retention = "retention" in mask and request.HasField("retention")
    return ContextChange(
        ttl=ttl,
        retention=timedelta_of(request.retention) if has_retention else None,
        clears_retention="retention" in mask and not has_retention,
        display_name=request.display_name if "display_name" in mask else None,
    )


def ttl_asked(request: pb.CreateContextRequest, now: datetime) -> timedelta | None:
    """Return the life that a valid request asks for its binding; None for upstream's default."""
    return _ttl(request, now, Violations())


def _ttl(
    request: pb.CreateContextRequest, now: datetime, violations: Violations
) -> timedelta | None:
    if request.HasField("ttl") and request.HasField("expire_time"):
        violations.add("expire_time", "Not together with ttl.")
        return None
    if request.HasField("ttl"):
        field, ttl = "ttl", timedelta_of(request.ttl)
        if request.ttl.nanos:
            violations.add(field, "Must be whole seconds.")
    elif request.HasField("expire_time"):
        field, ttl = "expire_time", datetime_of(request.expire_time) - now
    else:
        return None
    family = family_of(request.model)
    most = family.max_ttl.total_seconds() if family.max_ttl else None
    violations.within(field, ttl.total_seconds(), family.min_ttl.total_seconds(), most)
    return ttl


def _truncation(request: pb.CreateContextRequest, violations: Violations) -> Json:
    strategy = request.truncation_strategy
    if request.mode == pb.CONTEXT_MODE_COMMON_PREFIX:
        violations.add("truncation_strategy", "Not with CONTEXT_MODE_COMMON_PREFIX.")
    result: Json = {}
    if strategy.type:
        result["type"] = strategy.type
    if strategy.HasField("last_history_tokens"):
        path = "truncation_strategy.last_history_tokens"
        violations.within(path, strategy.last_history_tokens, 1)
        result["last_history_tokens"] = strategy.last_history_tokens
    if strategy.HasField("rolling_tokens"):
        result["rolling_tokens"] = strategy.rolling_tokens
    return result


def _check_ours(request: pb.CreateContextRequest, violations: Violations) -> None:
    """Note what is wrong in the fields that do not go upstream."""
    violations.length("display_name", request.display_name, MAX_DISPLAY_NAME_CHARACTERS)
    violations.length("idempotency_key", request.idempotency_key, MAX_IDEMPOTENCY_KEY_CHARACTERS)
    if request.reuse not in pb.Reuse.values():
        violations.add("reuse", "Is no known Reuse.")
    if request.recovery not in pb.Recovery.values():
        violations.add("recovery", "Is no known Recovery.")
    if request.HasField("retention") and request.recovery == pb.RECOVERY_NEVER:
        violations.add("retention", "Not with RECOVERY_NEVER.")
    _check_retention(request, violations)


def _check_retention(
    request: pb.CreateContextRequest | pb.UpdateContextRequest, violations: Violations
) -> None:
    if not request.HasField("retention"):
        return
    if not timedelta(0) < timedelta_of(request.retention) <= MAX_RETENTION:
        days = MAX_RETENTION.days
        violations.add("retention", f"Must be above 0 and at most {days} days.")


def refuse_what_needs_a_store(request: pb.CreateContextRequest) -> None:
    """Refuse what only a server with a store can promise.

    Raises:
        BridgeError: STORE_REQUIRED.
    """
    asked = [
        name
        for name, is_asked in (
            ("idempotency_key", bool(request.idempotency_key)),
            ("reuse", request.reuse == pb.REUSE_IDENTICAL),
            ("recovery", request.recovery > pb.RECOVERY_NEVER),
            ("retention", request.HasField("retention")),
        )
        if is_asked
    ]
    if asked:
        raise BridgeError(
            pb.ERROR_REASON_STORE_REQUIRED,
            f"This server keeps no store, which {', '.join(asked)} would need.",
            metadata={"fields": ",".join(asked)},
        )


def context_created(
    value: Json, request: pb.CreateContextRequest, now: datetime
) -> pb.CreateContextResponse:
    """Return the context that upstream made, from either family's answer.

    Raises:
        BridgeError: The answer is malformed, or has no id.
    """
    reader = Reader(value, "answer")
    upstream_id = reader.text("id")
    if not upstream_id:
        raise BridgeError(
            pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY,
            "Upstream made a context and gave no id for it.",
        )
    context = pb.Context(
        id=upstream_id,
        upstream_id=upstream_id,
        model=reader.text("model") or request.model,
        mode=MODES_BY_WORD.get(reader.text("mode"), request.mode) or request.mode,
        display_name=request.display_name,
        state=pb.CONTEXT_STATE_WARM,
        usage=usage_of_chat(reader.members("usage")),
    )
    context.create_time.FromDatetime(now)
    context.update_time.FromDatetime(now)
    _set_expiry(context, reader.integer("ttl"), request, now)
    _set_truncation(context, reader, request)
    context.extra_json = text_of(reader.rest())
    return pb.CreateContextResponse(context=context, usage=context.usage)


def _set_expiry(
    context: pb.Context, granted_seconds: int, request: pb.CreateContextRequest, now: datetime
) -> None:
    """Set the binding's life: what upstream granted, or else what was asked for."""
    asked = _ttl(request, now, Violations())
    try:
        ttl = timedelta(seconds=granted_seconds) if granted_seconds else asked
        if ttl is not None:
            context.expire_time.FromDatetime(now + ttl)
            context.ttl.FromTimedelta(ttl)
    except (OverflowError, ValueError):
        context.ClearField("expire_time")


def _set_truncation(context: pb.Context, reader: Reader, request: pb.CreateContextRequest) -> None:
    if not reader.has("truncation_strategy"):
        if request.HasField("truncation_strategy"):
            context.truncation_strategy.CopyFrom(request.truncation_strategy)
        return
    given = reader.members("truncation_strategy")
    strategy = context.truncation_strategy
    strategy.type = given.text("type")
    if given.has("last_history_tokens"):
        strategy.last_history_tokens = given.count("last_history_tokens")
    if given.has("rolling_tokens"):
        strategy.rolling_tokens = given.flag("rolling_tokens")
