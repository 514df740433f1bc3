"""One of several workers, run by the supervisor: `python -m contextbridge_server.process.worker`.

Standard input is a socket to the supervisor. From there the worker gets its config, in one line; to
there it tells, in one line, that it serves, or what keeps it from that. When the supervisor closes
its end, which its death does too, the worker drains as if by SIGTERM.
"""

import asyncio
import json
import socket
import sys
from contextlib import suppress
from typing import Any

import structlog
import uvloop

from contextbridge._version import __version__

from ..app import serving
from ..telemetry import logs, names
from .lifecycle import stopped_by_signals
from .memory import keep_one_arena
from .shared import WorkerConfig

CUT = 1
FAILED = 2


def main() -> int:
    """Serve as the supervisor says; return the exit code."""
    keep_one_arena()
    supervisor = socket.socket(fileno=sys.stdin.fileno())
    with supervisor.makefile("rb") as told:
        line = told.readline()
    if not line:
        # The supervisor has gone already.
        return CUT
    config = WorkerConfig.decode(line)
    try:
        with logs.logging_to_stdout(config.settings.log_level, config.settings.log_format):
            _number_lines(config.number)
            uvloop.run(_serve(config, supervisor))
    except asyncio.CancelledError:
        # A second signal ended the draining: calls were cut.
        return CUT
    except (OSError, ValueError, RuntimeError) as error:
        _tell(supervisor, error=str(error))
        return FAILED
    return 0


async def _serve(config: WorkerConfig, supervisor: socket.socket) -> None:
    stop = stopped_by_signals()
    loop = asyncio.get_running_loop()

    def on_end_of_supervisor() -> None:
        loop.remove_reader(supervisor)
        stop.set()

    loop.add_reader(supervisor, on_end_of_supervisor)
    async with serving(config.settings, config.shared, shares_port=True):
        _tell(supervisor, version=__version__)
        await stop.wait()


def _tell(supervisor: socket.socket, **report: str) -> None:
    # Who has gone needs not be told.
    with suppress(OSError):
        supervisor.sendall(json.dumps(report).encode() + b"\n")


def _number_lines(number: int) -> None:
    """Put the worker's number into each of its log lines."""

    def numbered(_: object, __: str, event: Any) -> Any:
        event[names.WORKER] = number
        return event

    structlog.configure(processors=[numbered, *structlog.get_config()["processors"]])


if __name__ == "__main__":
    sys.exit(main())
