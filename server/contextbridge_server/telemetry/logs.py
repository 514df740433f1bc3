"""Logs: structlog, one JSON object a line on standard output."""

import logging
import sys
from typing import Literal

import msgspec
import structlog
from structlog.typing import Processor

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Set up logging for the process.

    Args:
        level: The least level that is written: debug, info, warning or error.
        form: `json` for machines, `console` for people.
    """
    common: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Tracebacks without local variables, which may hold secrets and prompts.
        structlog.processors.format_exc_info,
    ]
    factory: structlog.BytesLoggerFactory | structlog.PrintLoggerFactory
    if form == "json":
        common.append(structlog.processors.JSONRenderer(serializer=_serialize))
        factory = structlog.BytesLoggerFactory(sys.stdout.buffer)
    else:
        common.append(structlog.dev.ConsoleRenderer())
        factory = structlog.PrintLoggerFactory(sys.stdout)
    structlog.configure(
        processors=common,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )


def _serialize(event: object, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
