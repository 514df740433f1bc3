"""Logs: structlog, one JSON object a line on standard output."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from .writer import LineWriter

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Logger:
    """What structlog writes to: one line per event."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: str | bytes) -> None:
        """Write a line."""
        self._writer.write(line.encode() if isinstance(line, str) else line)

    debug = info = warning = error = msg


@contextmanager
def logging_to_stdout(level: str, form: Literal["json", "console"]) -> Iterator[None]:
    """Set up logging for the process; write what is waiting on leaving.

    Args:
        level: The least level that is written: debug, info, warning or error.
        form: `json` for machines, `console` for people.
    """
    processors: Sequence[Processor] = (
        (_rendered,)
        if form == "json"
        else (
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()),
        )
    )
    writer = LineWriter(sys.stdout.fileno())
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: Logger(writer),
        cache_logger_on_first_use=True,
    )
    try:
        yield
    finally:
        writer.close()


def _rendered(_logger: object, level: str, event: EventDict) -> bytes:
    """Return an event as a line of JSON, in one step: each call writes one."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC)
    return ENCODER.encode(event)


ENCODER = msgspec.json.Encoder(enc_hook=str)
