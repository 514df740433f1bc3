"""Runs the gateway's emulator beside the server, as a process of its own.

The server never imports the emulator: it speaks HTTP to it, as to the real gateway. The emulator is
a distribution of its own, so it may not be installed.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import structlog

from ..telemetry import names

MODULE = "contextbridge_emulator"
INSTALL = 'pip install "contextbridge-server[emulator]"'
READY = "listening on "
START_SECONDS = 30.0
STOP_SECONDS = 5.0

log = structlog.get_logger()


def emulator_command(*arguments: str) -> list[str]:
    """Return the command line that runs the emulator.

    Raises:
        RuntimeError: It is not installed.
    """
    if find_spec(MODULE) is None:
        raise RuntimeError(f"the emulator is not installed; install it with: {INSTALL}")
    return [sys.executable, "-m", MODULE, *arguments]


@asynccontextmanager
async def running_emulator() -> AsyncIterator[str]:
    """Start the emulator on a free port; yield its address; stop it on leaving.

    Raises:
        RuntimeError: It is not installed, or did not start.
    """
    command = emulator_command("--listen", "127.0.0.1:0", "--exit-with-parent")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        url = await _address(process)
        log.info(names.EMULATOR_STARTED, url=url)
        yield url
    finally:
        await _stop(process)


async def _address(process: Process) -> str:
    if process.stdout is None:
        raise RuntimeError("the emulator has no output")
    async with asyncio.timeout(START_SECONDS):
        line = (await process.stdout.readline()).decode().strip()
    if not line.startswith(READY):
        raise RuntimeError("the emulator did not start")
    return line.removeprefix(READY)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
