"""Other gateways in front of the same upstream: each on the bridge's core, in the same rounds.

None of them asks for keys, keeps anything or has a plugin on; each is otherwise as it comes, and
one process, as the bridge is. Their callers speak HTTP to them, the bridge's speak gRPC to it.
"""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from figures import Json
from measure import Options, Target, gather, load, measure
from processes import Process, Ready, running
from servers import ROOT, SERVER_CORE
from workloads import WORKLOADS, Case, Scale

FOLDER = ROOT / "benchmarks/peers"
MODULES = FOLDER / "node_modules"
LITELLM = ROOT / ".venvs/litellm/bin/litellm"
BIFROST_VERSION = "v1.6.4"

CHAT_STEPS = (1, 4, 16, 64)
STREAM_STEPS = (1, 8, 32)


@dataclass(frozen=True)
class Peer:
    """Another gateway: how it is started, and what its callers are told."""

    name: str
    version: Callable[[], str]
    command: Callable[[int, Path], list[str]]
    ready: str
    """What it says once it listens."""
    environment: Callable[[str], dict[str, str]] = lambda _gateway: {}
    options: Callable[[str], Options] = lambda _gateway: {}
    why_not: str = "it did not start"
    """What it means when it does not start."""
    prepare: Callable[[Path, str], None] = lambda _folder, _gateway: None


def _module_version(name: str) -> str:
    read: Json = json.loads((MODULES / name / "package.json").read_text())
    return str(read["version"])


def _litellm_version() -> str:
    python = [str(LITELLM.with_name("python")), "-c"]
    script = "import importlib.metadata as m; print(m.version('litellm'))"
    return subprocess.run(
        [*python, script], capture_output=True, text=True, check=True
    ).stdout.strip()


def _litellm(port: int, _folder: Path) -> list[str]:
    command = [str(LITELLM), "--config", str(FOLDER / "litellm.yaml"), "--host", "127.0.0.1"]
    return [*command, "--port", str(port), "--num_workers", "1"]


def _portkey(port: int, _folder: Path) -> list[str]:
    script = str(MODULES / "@portkey-ai/gateway/build/start-server.js")
    return ["node", script, "--headless", f"--port={port}"]


def _bifrost(port: int, folder: Path) -> list[str]:
    options = ["-host", "127.0.0.1", "-port", str(port), "-app-dir", str(folder / "bifrost")]
    options += ["-log-level", "error"]
    own = os.environ.get("BIFROST")
    if own:
        return [own, *options]
    # It fetches the binary, where that can be reached.
    script = str(MODULES / "@maximhq/bifrost/bin.js")
    return ["node", script, "--transport-version", BIFROST_VERSION, *options]


def _configure_bifrost(folder: Path, gateway: str) -> None:
    provider = {
        "keys": [{"name": "bench", "value": "sk-bench", "models": ["*"], "weight": 1}],
        "network_config": {"base_url": gateway, "default_request_timeout_in_seconds": 60},
        "concurrency_and_buffer_size": {"concurrency": 256, "buffer_size": 1024},
    }
    config = {
        "client": {"enable_logging": False, "drop_excess_requests": False},
        "providers": {"openai": provider},
    }
    (folder / "bifrost").mkdir()
    (folder / "bifrost/config.json").write_text(json.dumps(config))


PEERS = (
    Peer(
        "LiteLLM",
        _litellm_version,
        _litellm,
        "Uvicorn running on",
        environment=lambda gateway: {
            "BENCH_UPSTREAM": f"{gateway}/v1",
            # Prices come with it; it need not fetch others.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            # Nobody asks for keys here, and it listens on this machine only.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    ),
    Peer(
        "Portkey",
        lambda: _module_version("@portkey-ai/gateway"),
        _portkey,
        "Ready for connections",
        options=lambda gateway: {
            "header": ("x-portkey-provider: openai", f"x-portkey-custom-host: {gateway}/v1")
        },
    ),
    Peer(
        "Bifrost",
        lambda: BIFROST_VERSION,
        _bifrost,
        "successfully started bifrost",
        options=lambda _gateway: {"model": "openai/bench-64"},
        prepare=_configure_bifrost,
        why_not="its npm package only fetches the program from its makers' own host, which could "
        "not be reached, and the Go module proxy refused its module; BIFROST can name a program",
    ),
)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _ready(text: str, port: int) -> Ready:
    def ready(line: str) -> str | None:
        return f"http://127.0.0.1:{port}" if text in line else None

    return ready


@contextmanager
def peer(folder: Path, gateway: Process, which: Peer) -> Iterator[Target]:
    """Run another gateway; its first call, which may load half of it, is behind it."""
    port = _free_port()
    which.prepare(folder, gateway.address)
    with running(
        which.command(port, folder),
        cores=str(SERVER_CORE),
        log=folder / f"{which.name}.log",
        ready=_ready(which.ready, port),
        environment=which.environment(gateway.address),
    ) as process:
        target = Target(which.name, process.address, process, which.options(gateway.address))
        for workload in ("openai", "openai-stream"):
            warm: Options = {**WORKLOADS[workload].options, **target.options, "count": 5}
            saw = load(target.url, warm)
            if saw["failed"]:
                raise RuntimeError(f"{which.name} fails: {saw['failure']}")
        yield target


def _cases(servers: list[str]) -> Iterator[Case]:
    for server in servers:
        own = server == "bridge"
        for concurrency in CHAT_STEPS:
            yield Case(server, "chat" if own else "openai", concurrency)
        for concurrency in STREAM_STEPS:
            yield Case(server, "stream" if own else "openai-stream", concurrency, 2.0)


def measure_peers(
    folder: Path, gateway: Process, ours: Target, scale: Scale, say: Callable[[str], None]
) -> Json:
    """Return the figures of the bridge and of every peer that starts, and why others do not."""
    found: Json = {"versions": {}, "missing": {}}
    with ExitStack() as stack:
        targets = {
            "bridge": ours,
            "direct": Target("direct", gateway.address, gateway),
        }
        for which in PEERS:
            try:
                targets[which.name] = stack.enter_context(peer(folder, gateway, which))
            except (RuntimeError, OSError) as error:
                found["missing"][which.name] = which.why_not
                say(f"{which.name} does not start: {error}")
            else:
                found["versions"][which.name] = which.version()
                say(f"{which.name} {found['versions'][which.name]}")
        chosen = list(_cases(list(targets)))
        seen: dict[str, list[Json]] = {case.key: [] for case in chosen}
        for number in range(scale.peer_rounds):
            start = number * len(chosen) // scale.peer_rounds
            for case in chosen[start:] + chosen[:start]:
                target = targets[case.server]
                seen[case.key].append(measure(target, case.options(scale.seconds)))
            say(f"peers, round {number + 1} of {scale.peer_rounds}")
        found["memory_kib"] = {
            name: sum(target.process.memory_kib().values()) for name, target in targets.items()
        }
    found["cases"] = {name: gather(rounds) for name, rounds in seen.items()}
    return found
