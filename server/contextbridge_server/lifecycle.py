"""From start to stop: serves until a signal comes, then drains."""

import asyncio
import signal

import structlog

from contextbridge._version import __version__

from .app import running_server
from .settings import Settings
from .telemetry import names

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the draining."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with running_server(settings) as server:
        log.info(names.SERVER_STARTED, address=server.address, version=__version__)
        await stop.wait()
        log.info(names.SERVER_DRAINING)
    log.info(names.SERVER_STOPPED)
