"""What a call's log line says of its generation."""

from contextbridge import v1 as pb

from ..generations.call import Summary
from ..telemetry import names
from .current import current_request


def log_model(model: str) -> None:
    """Say which model the call asks."""
    current_request.get().log_fields[names.MODEL] = model


STATUSES = {
    number: name.removeprefix("RESPONSE_CACHE_STATUS_").lower()
    for name, number in pb.ResponseCacheStatus.items()
}
"""Words for what the response cache did."""


def log_summary(summary: Summary) -> None:
    """Say what came of a call that generated."""
    fields = current_request.get().log_fields
    fields |= _fields_of_context(summary.context)
    fields |= _fields_of_usage(summary.usage)
    if status := summary.response_cache.status:
        fields[names.RESPONSE_CACHE] = STATUSES[status]
    if summary.is_resumed:
        fields[names.RESUMED] = True


def log_usage(usage: pb.Usage) -> None:
    """Say what the call cost."""
    current_request.get().log_fields.update(_fields_of_usage(usage))


def _fields_of_context(outcome: pb.ContextOutcome) -> dict[str, object]:
    """Return which context the call used, and what happened to it."""
    if not outcome.id:
        return {}
    fields: dict[str, object] = {names.CONTEXT: outcome.id}
    if outcome.restored:
        fields[names.RESTORED] = True
    if outcome.inlined:
        fields[names.INLINED] = True
    return fields


def _fields_of_usage(usage: pb.Usage) -> dict[str, object]:
    return {
        names.INPUT_TOKENS: usage.prompt_tokens,
        names.OUTPUT_TOKENS: usage.completion_tokens,
        names.CACHED_TOKENS: usage.cached_tokens,
    }
