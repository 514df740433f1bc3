"""Every client does what the suite says; clients/conformance/README.md explains it.

CONTEXTBRIDGE_CLIENTS names the languages, and is Python alone where it is not set: the others are
built by `make test-clients`.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conformance import runners, suite
from conformance.cut_connections import CuttingProxy
from conformance.judge import assert_like, judge
from conformance.servers import METHODS, TOKEN, Servers, message_of, running, stub_of
from contextbridge import v1 as pb

LANGUAGES = os.environ.get("CONTEXTBRIDGE_CLIENTS", "python").split()
RELEASED = os.environ.get("CONTEXTBRIDGE_RELEASED_TREE")
TREES = [runners.ROOT, *([Path(RELEASED)] if RELEASED else [])]
SUITES = {root: suite.load(root) for root in TREES}
CASES = SUITES[runners.ROOT]
RUNNERS = [runners.Runner(language, root) for root in TREES for language in LANGUAGES]
AT_ONCE = 3
"""Runners that run at the same time: they wait more than they work."""

pytestmark = pytest.mark.timeout(runners.TIMEOUT_SECONDS * len(RUNNERS))


@dataclass
class Prepared:
    """A case made ready for one runner."""

    case: dict[str, Any]
    """The case with its words filled in."""

    unique: str
    """What marks its requests, to find them upstream."""

    plan: dict[str, Any] = field(default_factory=dict)
    proxy: CuttingProxy | None = None


Once = dict[str, dict[str, str]]
Run = dict[str, tuple[Prepared, dict[str, Any]]]


class Preparation:
    """Makes cases ready, and holds what they need until the runner has ended."""

    def __init__(self, servers: Servers, stack: AsyncExitStack, once: Once) -> None:
        self._servers = servers
        self._stack = stack
        self._once = once

    async def prepare(self, case: dict[str, Any]) -> Prepared:
        """Do what is given, and put the words of the case in their places."""
        unique = secrets.token_hex(8)
        words = {"unique": unique, "token": TOKEN}
        server = case.get("server", "main")
        if "upstream" in case:
            words["model"] = f"scripted-{unique}"
            self._servers.scripted_answers[words["model"]] = case["upstream"]
        address = await self._servers.address(server)
        for step in case.get("given", []):
            words |= await self._take_once(suite.filled(step, words), server)
        prepared = Prepared(suite.filled(case, words), unique)
        if "cuts" in case:
            prepared.proxy = CuttingProxy(address, case["cuts"])
            await self._stack.enter_async_context(prepared.proxy)
            address = prepared.proxy.address
        of_runner = {n: v for n, v in prepared.case.items() if n in suite.FOR_THE_RUNNER}
        prepared.plan = of_runner | {"connect": self._connect(prepared.case, address)}
        return prepared

    def _connect(self, case: dict[str, Any], address: str) -> dict[str, Any]:
        connect = {"target": address} | case.get("connect", {})
        if trusts := connect.pop("trusts", None):
            connect["ca_file"] = self._servers.ca_file(trusts)
        return connect

    async def _take_once(self, step: dict[str, Any], server: str) -> dict[str, str]:
        """Take a step; one with `once` is taken for the first runner, and known to all."""
        name = step.get("once")
        if name is None:
            return await self._take(step, server)
        if name not in self._once:
            self._once[name] = await self._take(step, server)
        return self._once[name]

    async def _take(self, step: dict[str, Any], server: str) -> dict[str, str]:
        """Take a step of what is given; return the words that it makes known."""
        server = step.get("server", server)
        await self._servers.address(server)
        match step:
            case {"call": method, "request": request}:
                response = await self._servers.call(server, method, request)
                kept = step.get("keep", {})
                return {word: _member(response, path) for word, path in kept.items()}
            case {"hold": method, "request": request}:
                await self._hold(server, method, request)
            case {"expire": entry, "dialect": dialect}:
                assert self._servers.emulator.expire(entry, dialect=dialect) == 1
            case {"upload": metadata, "data": data, "keep": {"file": "file.name"}}:
                return {"file": await self._servers.upload(server, metadata, data.encode())}
            case {"abandon": request}:
                idempotency_key = secrets.token_hex(8)
                await self._servers.abandon(request | {"idempotency_key": idempotency_key})
                return {"abandoned": idempotency_key}
            case _:
                raise AssertionError(f"an unknown step: {step}")
        return {}

    async def _hold(self, server: str, method: str, request: Any) -> None:
        """Begin a chat that upstream leaves without an answer, and leave it open."""
        channel = await self._stack.enter_async_context(self._servers.channel(server))
        call = stub_of(channel, method)(message_of(method, request))
        self._stack.callback(call.cancel)
        await self._servers.held(request["context_id"])


def _member(response: Any, path: str) -> str:
    for name in path.split("."):
        response = getattr(response, name)
    return str(response)


@pytest.fixture(name="servers", scope="module")
async def servers_fixture(
    bridge: Callable[..., Any],
    serving: Callable[..., Any],
    serving_process: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Servers]:
    """Run the servers of the suite."""
    folder = tmp_path_factory.mktemp("servers")
    async with running(folder, bridge, serving, serving_process) as servers:
        yield servers


@pytest.fixture(name="runs", scope="module")
async def runs_fixture(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> dict[runners.Runner, Run]:
    """Run the whole suite on every runner; return what each case came to."""
    once: dict[Path, Once] = {root: {} for root in TREES}
    room = asyncio.Semaphore(AT_ONCE)
    folder = tmp_path_factory.mktemp("plans")

    async def run(runner: runners.Runner) -> Run:
        cases = SUITES[runner.root].values()
        async with room, AsyncExitStack() as stack:
            preparation = Preparation(servers, stack, once[runner.root])
            async with preparing:  # What is given once is given by one of them.
                prepared = [await preparation.prepare(case) for case in cases]
            reports = await runner.run([one.plan for one in prepared], folder)
        return {one.case["name"]: (one, reports.get(one.case["name"], {})) for one in prepared}

    preparing = asyncio.Lock()
    runs = await asyncio.gather(*map(run, RUNNERS))
    return dict(zip(RUNNERS, runs, strict=True))


@pytest.mark.parametrize(
    "runner, name",
    [(runner, name) for runner in RUNNERS for name in SUITES[runner.root]],
    ids=str,
)
async def test_a_client_conforms(
    runner: runners.Runner, name: str, runs: dict[runners.Runner, Run], servers: Servers
) -> None:
    prepared, report = runs[runner][name]
    assert report, "the runner reported nothing"
    assert "died" not in report, f"the runner died before it came to this: {report['died']}"
    judge(prepared.case, report)
    if prepared.proxy is not None:
        assert prepared.proxy.cuts_left == [], "the connection was not cut as often as it should be"
    if upstream := prepared.case["expect"].get("upstream"):
        if "outcomes" in upstream:
            await servers.settled(prepared.unique)
        assert_like(upstream, servers.upstream_of(prepared.unique), "upstream")


def test_every_reason_has_a_case() -> None:
    told = {case["expect"].get("error", {}).get("reason") for case in CASES.values()}
    assert set(pb.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"} <= told


def test_every_method_has_a_case() -> None:
    succeeded = {case["call"] for case in CASES.values() if "error" not in case["expect"]}
    assert succeeded == set(METHODS)


def test_every_language_has_its_runner() -> None:
    clients = runners.ROOT / "clients"
    folders = {path.name for path in clients.iterdir() if (path / "README.md").exists()}
    known = {name.partition("-")[0] for name in runners.commands(runners.ROOT)}
    assert known == folders - {"conformance"}
