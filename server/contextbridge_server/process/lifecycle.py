"""From start to stop: serves until a signal comes, then drains."""

import asyncio
import signal
from contextlib import AbstractAsyncContextManager

import structlog

from ..telemetry import names
from .shared import RunningServer

log = structlog.get_logger()


async def serve(server: AbstractAsyncContextManager[RunningServer]) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the draining.

    Args:
        server: Starts the server; drains it on leaving.
    """
    stop = stopped_by_signals()
    async with server as started:
        log.info(
            names.SERVER_STARTED,
            address=started.address,
            version=started.version,
            workers=started.workers,
        )
        await stop.wait()
        log.info(names.SERVER_DRAINING)
    log.info(names.SERVER_STOPPED)


def stopped_by_signals() -> asyncio.Event:
    """Return what SIGTERM or SIGINT sets; a second signal cancels the task that asked for it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop
