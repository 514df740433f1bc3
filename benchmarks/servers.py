"""The servers that every benchmark starts: upstream, the floor, the bridge."""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc

from contextbridge import v1 as pb
from processes import Process, raise_file_limit, running

ROOT = Path(__file__).resolve().parent.parent
UPSTREAM = ROOT / ".tools/bin/bench-upstream"
BRIDGE = Path(sys.executable).parent / "contextbridge"

SERVER_CORE = 0
"""The core of what is measured, and of the store that belongs to it."""
OTHER_CORE = 1
"""The core of upstream, the load and this driver."""
BOTH = f"{SERVER_CORE},{OTHER_CORE}"

TUNED = {"GRPC_EXPERIMENTS": "-event_engine_listener", "GRPC_ENABLE_FORK_SUPPORT": "0"}
"""What the bridge sets for gRPC before it loads it."""
RECOMMENDED = {"PYTHONMALLOC": "malloc"}
"""What the image sets, and the guide asks of others who run the bridge."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for logs and data until the end of the block."""
    # A store's socket lies in its folder, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare_driver() -> None:
    """Keep this process off the core of what is measured, and let it end what it has started."""
    os.sched_setaffinity(0, {OTHER_CORE})
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


@contextmanager
def upstream(
    folder: Path, *, cores: str = str(OTHER_CORE), is_guest: bool = False
) -> Iterator[Process]:
    """Run the upstream; its address is a URL."""
    log = folder / "upstream.log"
    with running(
        [str(UPSTREAM)], cores=cores, log=log, ready=_listening, is_guest=is_guest
    ) as process:
        yield process


@contextmanager
def floor(folder: Path, *, is_tuned: bool = False) -> Iterator[Process]:
    """Run the floor, with gRPC's defaults or with what the bridge sets."""
    command = [sys.executable, str(ROOT / "benchmarks/floor.py")]
    log = folder / f"floor-{is_tuned}.log"
    environment = TUNED if is_tuned else {}
    with running(
        command, cores=str(SERVER_CORE), log=log, ready=_listening, environment=environment
    ) as process:
        yield process


@contextmanager
def bridge(
    folder: Path,
    gateway: str,
    *options: str,
    name: str = "bridge",
    workers: int = 1,
    cores: str = str(SERVER_CORE),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run the bridge in front of a gateway, as the image does: with the settings' defaults."""
    command = [str(BRIDGE), "serve", "--listen", "127.0.0.1:0", "--upstream", gateway]
    command += ["--upstream-api-key", "sk-bench", "--workers", str(workers)]
    command += ["--data-dir", str(folder / name), *options]
    with running(
        command,
        cores=cores,
        log=folder / f"{name}.log",
        ready=_started,
        environment={**RECOMMENDED, **(environment or {})},
    ) as process:
        yield process


def _listening(line: str) -> str | None:
    return line.rsplit(" ", 1)[1] if line.startswith("listening on ") else None


def _started(line: str) -> str | None:
    if '"server.started"' not in line:
        return None
    return str(json.loads(line)["address"])


def create_context(address: str, model: str) -> str:
    """Make a context at a bridge, and return its id."""
    message = pb.ChatMessage(role="system", content="You keep the lighthouse at Oban.")
    request = pb.CreateContextRequest(
        model=model, mode=pb.CONTEXT_MODE_COMMON_PREFIX, messages=[message]
    )
    with grpc.insecure_channel(address) as channel:
        made = pb.ContextServiceStub(channel).CreateContext(request)
    return str(made.context.id)
