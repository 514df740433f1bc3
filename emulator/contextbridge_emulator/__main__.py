"""The command line: `python -m contextbridge_emulator`."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta

import uvloop

from .config import MINIMUM_CACHE_TOKENS, Config
from .faults import FAULTS, HEADERS
from .serving import is_loopback, serve

_DESCRIPTION = "Emulates the AI gateway's HTTP API, for development and tests."
_STDIN = 0
_READ_BYTES = 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT arrives."""
    options = _parser().parse_args(arguments)
    host, port = options.listen
    if not options.insecure and not is_loopback(host):
        _parser().error(f"{host} is no loopback address; serving others needs --insecure")
    try:
        uvloop.run(_run(host, port, options))
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port}: {error.strerror or error}")


async def _run(host: str, port: int, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_parent:
        _watch_stdin(loop, stop)
    async with serve(host, port, config=_config(options), insecure=options.insecure) as emulator:
        sys.stdout.write(f"listening on {emulator.url}\n")
        sys.stdout.flush()
        await stop.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input is closed, as it is when the parent process ends."""

    def watch() -> None:
        while os.read(_STDIN, _READ_BYTES):
            pass
        loop.call_soon_threadsafe(stop.set)

    # A daemon thread: nothing can interrupt its blocking read at exit.
    threading.Thread(target=watch, name="stdin", daemon=True).start()


def _config(options: argparse.Namespace) -> Config:
    return Config(
        api_keys=tuple(options.api_key),
        delay=options.delay,
        pace=options.pace,
        events_per_write=options.events_per_write,
        minimum_cache_tokens={**MINIMUM_CACHE_TOKENS, **dict(options.min_cache_tokens)},
        context_ttl_range=options.context_ttl_range,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="contextbridge_emulator",
        description=_DESCRIPTION,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        type=_address,
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="where to serve; port 0 picks a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="allow addresses that other machines can reach"
    )
    parser.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="accept this key only; may be repeated (default: any that does not start with bad-)",
    )
    parser.add_argument(
        "--delay",
        type=_seconds,
        default=timedelta(),
        metavar="SECONDS",
        help="wait before the first byte of every answer",
    )
    parser.add_argument(
        "--pace",
        type=_seconds,
        default=timedelta(),
        metavar="SECONDS",
        help="wait before each event of a stream",
    )
    parser.add_argument(
        "--events-per-write",
        type=_positive,
        default=1,
        metavar="N",
        help="stream events sent with one write (default: %(default)s)",
    )
    parser.add_argument(
        "--min-cache-tokens",
        type=_minimum,
        action="append",
        default=[],
        metavar="MODEL_PREFIX=N",
        help="smallest prefix that models of this name can cache; may be repeated",
    )
    parser.add_argument(
        "--context-ttl-range",
        type=_ttl_range,
        default=Config().context_ttl_range,
        metavar="MIN:MAX",
        help="seconds allowed as ttl of ctx- contexts (default: 3600:604800)",
    )
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop when standard input is closed"
    )
    return parser


def _epilog() -> str:
    width = max(map(len, (*FAULTS, *HEADERS)))
    lines = [
        "faults, by model name (gemini-2.5-flash+slow, or just slow) or by header;",
        "NAME@create and NAME@answer limit one, +delay=S and +pace=S set waits:",
        *(f"  {name:<{width}}  {fault.summary}" for name, fault in FAULTS.items()),
        "",
        "headers:",
        *(f"  {name:<{width}}  {summary}" for name, summary in HEADERS.items()),
        "",
        "observation: GET /_emulator/requests, /_emulator/state, /_emulator/faults;",
        "POST /_emulator/expire, /_emulator/reset",
    ]
    return "\n".join(lines)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        message = "HOST:PORT is expected"
        raise argparse.ArgumentTypeError(message)
    return host.strip("[]"), int(port)


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=float(text))


def _positive(text: str) -> int:
    return max(1, int(text))


def _minimum(text: str) -> tuple[str, int]:
    prefix, _, least = text.rpartition("=")
    return prefix, int(least)


def _ttl_range(text: str) -> tuple[timedelta, timedelta]:
    least, _, most = text.partition(":")
    return timedelta(seconds=float(least)), timedelta(seconds=float(most))


if __name__ == "__main__":
    main()
