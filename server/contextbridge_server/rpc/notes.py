"""What a call's log line says of its generation."""

from contextbridge import v1 as pb

from ..generations.generation import Summary
from ..telemetry import names
from .call import current_call


def note_model(model: str) -> None:
    """Say which model the call asks."""
    current_call.get().note(**{names.MODEL: model})


STATUS_PREFIX = "RESPONSE_CACHE_STATUS_"


def note_summary(summary: Summary) -> None:
    """Say what came of a call that generated."""
    note_context(summary.context)
    note_usage(summary.usage)
    fields: dict[str, object] = {}
    if status := summary.response_cache.status:
        name = pb.ResponseCacheStatus.Name(status)
        fields[names.RESPONSE_CACHE] = name.removeprefix(STATUS_PREFIX).lower()
    if summary.is_resumed:
        fields[names.RESUMED] = True
    current_call.get().note(**fields)


def note_context(outcome: pb.ContextOutcome) -> None:
    """Say which context the call used, and what happened to it."""
    if not outcome.id:
        return
    fields: dict[str, object] = {names.CONTEXT: outcome.id}
    if outcome.restored:
        fields[names.RESTORED] = True
    if outcome.inlined:
        fields[names.INLINED] = True
    current_call.get().note(**fields)


def note_usage(usage: pb.Usage) -> None:
    """Say what the call cost."""
    current_call.get().note(
        **{
            names.INPUT_TOKENS: usage.prompt_tokens,
            names.OUTPUT_TOKENS: usage.completion_tokens,
            names.CACHED_TOKENS: usage.cached_tokens,
        }
    )
