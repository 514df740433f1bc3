"""What a call's log line says of its generation."""

from contextbridge import v1 as pb

from ..telemetry import names
from .call import current_call


def note_model(model: str) -> None:
    """Say which model the call asks."""
    current_call.get().note(**{names.MODEL: model})


def note_usage(usage: pb.Usage) -> None:
    """Say what the call cost."""
    current_call.get().note(
        **{
            names.INPUT_TOKENS: usage.prompt_tokens,
            names.OUTPUT_TOKENS: usage.completion_tokens,
            names.CACHED_TOKENS: usage.cached_tokens,
        }
    )
