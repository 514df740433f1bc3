"""The commands: serve, emulate, healthcheck, config."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence

import uvloop
from pydantic import ValidationError

from contextbridge._version import __version__

from . import healthcheck
from .emulator import emulator_command
from .lifecycle import serve
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
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS, help="what to do")
    arguments = parser.parse_args(sys.argv[1:2])
    sys.exit(COMMANDS[arguments.command](sys.argv[2:]))


def run_serve(arguments: Sequence[str]) -> int:
    """Serve until a signal comes."""
    settings = _settings(arguments)
    try:
        with logs.logging_to_stdout(settings.log_level, settings.log_format):
            uvloop.run(serve(settings))
    except asyncio.CancelledError:
        # A second signal ended the draining: calls were cut.
        return 1
    except (OSError, ValueError, RuntimeError) as error:
        # These come from what the operator gave: files, addresses, callers.
        return _usage_error([str(error)])
    return 0


def run_emulate(arguments: Sequence[str]) -> int:
    """Become the emulator of the gateway."""
    command = emulator_command(*arguments)
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, our own module


def run_config(arguments: Sequence[str]) -> int:
    """Print the settings that `serve` would have, secrets masked."""
    for name, value in _settings(arguments).model_dump(mode="json").items():
        if value is not None:
            print(f"{name} = {_toml(value)}")
    return 0


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


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": run_serve,
    "emulate": run_emulate,
    "healthcheck": healthcheck.run,
    "config": run_config,
}

if __name__ == "__main__":
    main()
