"""The commands: serve, emulate, healthcheck, config.

What knows gRPC is imported by the commands that need it: a supervisor of workers must not load it.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import uvloop
from pydantic import ValidationError

from .process.emulator import emulator_command
from .process.lifecycle import serve
from .process.memory import keep_one_arena
from .process.shared import RunningServer
from .process.supervisor import running_workers
from .settings import Settings, load, problems
from .telemetry import logs

USAGE_ERROR = 2


def main() -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(
        prog="contextbridge",
        description="A gRPC service in front of an HTTP AI gateway.",
        epilog="`contextbridge COMMAND --help` lists a command's options.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    parser.add_argument("command", choices=COMMANDS, help="what to do")
    arguments = parser.parse_args(sys.argv[1:2])
    sys.exit(COMMANDS[arguments.command](sys.argv[2:]))


def run_serve(arguments: Sequence[str]) -> int:
    """Serve until a signal comes."""
    settings = _settings(arguments)
    keep_one_arena()
    try:
        with logs.logging_to_stdout(settings.log_level, settings.log_format):
            uvloop.run(serve(_server(settings)))
    except asyncio.CancelledError:
        # A second signal ended the draining: calls were cut.
        return 1
    except (OSError, ValueError, RuntimeError) as error:
        # These come from what the operator gave: files, addresses, callers.
        return _usage_error([str(error)])
    return 0


def _server(settings: Settings) -> AbstractAsyncContextManager[RunningServer]:
    """Return what starts the server: here, or as processes of its own."""
    if settings.workers > 1:
        return running_workers(settings)
    from .app import started_server  # noqa: PLC0415 - see above

    return started_server(settings)


def run_emulate(arguments: Sequence[str]) -> int:
    """Become the emulator of the gateway."""
    try:
        command = emulator_command(*arguments)
    except RuntimeError as error:
        sys.exit(_usage_error([str(error)]))
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, our own module


def run_config(arguments: Sequence[str]) -> int:
    """Print the settings that `serve` would have, secrets masked."""
    for name, value in _settings(arguments).model_dump(mode="json").items():
        if value is not None:
            print(f"{name} = {_toml(value)}")
    return 0


def run_healthcheck(arguments: Sequence[str]) -> int:
    """Ask a server for its health."""
    from .rpc import healthcheck  # noqa: PLC0415 - see above

    return healthcheck.run(arguments)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case _:
            return str(value)


def _settings(arguments: Sequence[str]) -> Settings:
    try:
        return load(arguments)
    except ValidationError as error:
        sys.exit(_usage_error(problems(error)))
    except (OSError, ValueError) as error:
        sys.exit(_usage_error([str(error)]))


def _usage_error(lines: Sequence[str]) -> int:
    for line in lines:
        print(f"contextbridge: {line}", file=sys.stderr)
    return USAGE_ERROR


class _Version(argparse.Action):
    """Shows the version, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from contextbridge._version import __version__  # noqa: PLC0415 - see above

        print(__version__)
        parser.exit()


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": run_serve,
    "emulate": run_emulate,
    "healthcheck": run_healthcheck,
    "config": run_config,
}

if __name__ == "__main__":
    main()
