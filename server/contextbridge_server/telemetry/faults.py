"""Faults of our own, as they are logged: where they happened, and nothing of what they say."""

import traceback

import structlog

from ..telemetry import names

log = structlog.get_logger()


def log_fault(error: Exception, request_id: str, method: str) -> None:
    """Log a fault. An exception's text may hold a prompt; its frames do not."""
    log.error(
        names.CALL_FAULT,
        **{names.REQUEST_ID: request_id, names.METHOD: method},
        exception=type(error).__qualname__,
        frames=[
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ],
    )
