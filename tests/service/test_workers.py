"""Several workers behind one address: real processes, real sockets, real signals."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contextbridge import v1 as pb
from contextbridge_server.process.listen_socket import held_listen_socket
from families import read, some, text_of

COMMAND = str(Path(sys.executable).parent / "contextbridge")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SLOW = "gemini-2.5-flash+pace=0.03"
COUNT = "count to 60"
NUMBERS = " ".join(map(str, range(1, 61)))
ENDLESS = "count to 100000"
TWO = ("--workers", "2")


@dataclass
class Running:
    """A server with its workers."""

    process: subprocess.Popen
    address: str
    log: Path
    emulator: object
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def lines(self, event):
        """Return the log lines of an event, but not one that is just being written."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [line for line in map(json.loads, whole.splitlines()) if line["event"] == event]

    def workers(self):
        """Return the ids of the workers' processes, by number; those of the latest."""
        return {line["worker"]: line["pid"] for line in self.lines("worker.started")}

    async def channel(self):
        """Return a channel whose connections are its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(self.address, options=options)
        return await self.stack.enter_async_context(channel)

    async def connect(self):
        """Return a channel that is connected, and the number of its worker."""
        channel = await self.channel()
        return channel, await self.worker_of(channel)

    async def worker_of(self, channel):
        """Make a call, and return the number of the worker that answered it."""
        mark = uuid.uuid4().hex
        contents = [pb.Content(role="user", parts=[pb.Part(text="Hello")])]
        request = pb.GenerateContentRequest(model="gemini-2.5-flash", contents=contents)
        gemini = pb.GeminiServiceStub(channel)
        await gemini.GenerateContent(request, metadata=(("x-request-id", mark),), timeout=20)
        async with asyncio.timeout(20):
            while True:
                for line in self.lines("call"):
                    if line["request_id"] == mark:
                        return line.get("worker")
                await asyncio.sleep(0.01)

    async def one_on_each(self):
        """Return channels to worker 1 and to worker 2."""
        found = {}
        async with asyncio.timeout(60):
            while len(found) < 2:
                channel, number = await self.connect()
                found.setdefault(number, channel)
        return found[1], found[2]


@pytest.fixture(name="running")
def running_fixture(started, emulator):
    """Return what runs a server with two workers: `async with running(*flags) as server`."""

    @asynccontextmanager
    async def running(*flags):
        given = ("--upstream", emulator.url, "--upstream-api-key", "sk-test", *TWO, *flags)
        with started(*given) as (process, address, log):
            server = Running(process, address, log, emulator)
            async with server.stack:
                yield server

    return running


def slow(generate_request, text=COUNT, **fields):
    return generate_request(SLOW, text, **fields)


def stream(channel, request, **options):
    return pb.GeminiServiceStub(channel).StreamGenerateContent(request, **options)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def has_loaded_grpc(pid):
    return "cygrpc" in Path(f"/proc/{pid}/maps").read_text()


def told_openly(pid):
    """Return what anybody on the machine sees of a process: its command line; and its variables."""
    folder = Path(f"/proc/{pid}")
    return "".join((folder / name).read_text() for name in ("cmdline", "environ"))


async def ended(process):
    """Return the exit code of a process once it has ended."""
    async with asyncio.timeout(30):
        while process.poll() is None:
            await asyncio.sleep(0.02)
    return process.returncode


async def test_connections_to_one_address_are_spread_over_the_workers(running):
    async with running() as server:
        await server.one_on_each()

        (begun,) = server.lines("server.started")
        assert (begun["address"], begun["workers"]) == (server.address, 2)
        assert server.workers().keys() == {1, 2}


async def test_the_supervisor_has_not_loaded_grpc_and_its_workers_have_sessions_of_their_own(
    running,
):
    async with running() as server:
        await server.connect()
        supervisor, workers = server.process.pid, server.workers().values()
        loaded = [has_loaded_grpc(pid) for pid in (supervisor, *workers)]
        sessions = {os.getsid(pid) for pid in (supervisor, *workers)}
        told = [told_openly(pid) for pid in (supervisor, *workers)]

    assert loaded == [False, True, True]
    assert len(sessions) == 3
    assert ["sk-test" in text for text in told] == [True, False, False]


async def test_one_worker_is_the_process_itself(running):
    async with running("--workers", "1") as server:
        _, number = await server.connect()

        assert number is None
        assert server.workers() == {}
        assert has_loaded_grpc(server.process.pid)


async def test_a_worker_that_is_killed_is_replaced_and_its_peers_streams_go_on_whole(
    running, generate_request, eventually
):
    async with running() as server:
        first, second = await server.one_on_each()
        before = server.workers()
        call = stream(second, slow(generate_request))
        events = await some(call, 3)
        broken = stream(first, slow(generate_request))
        await some(broken, 3)

        os.kill(before[1], signal.SIGKILL)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await read(broken)
        await read(call, events)
        await eventually(lambda: server.workers()[1] != before[1])
        # The connection of the one who died is made anew, to whichever worker.
        again = await server.worker_of(first)
        await server.one_on_each()

        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert text_of(events) == NUMBERS
        assert again in (1, 2)
        assert server.workers()[2] == before[2]
        (died,) = server.lines("worker.died")
        assert (died["worker"], died["pid"], died["exit_status"]) == (1, before[1], -9)
        assert died["restart_ms"] == 0


async def test_a_worker_that_dies_again_and_again_is_replaced_later_each_time(running, eventually):
    async with running() as server:
        for deaths in range(1, 4):
            before = server.workers()[1]
            os.kill(before, signal.SIGKILL)
            await eventually(lambda before=before: server.workers()[1] != before)
            assert len(server.lines("worker.died")) == deaths

        assert [line["restart_ms"] for line in server.lines("worker.died")] == [0, 100, 200]


async def test_a_stop_lets_streams_on_all_workers_end_and_tells_all_watchers(
    running, generate_request
):
    async with running("--drain-grace", "20s", "--drain-delay", "100ms") as server:
        channels = await server.one_on_each()
        watches = [
            aiter(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))
            for channel in channels
        ]
        assert [(await anext(watch)).status for watch in watches] == [SERVING] * 2
        calls = [stream(channel, slow(generate_request)) for channel in channels]
        answers = [await some(call, 3) for call in calls]

        os.kill(server.process.pid, signal.SIGTERM)
        told = [[answer.status async for answer in watch] for watch in watches]
        wholes = [await read(call, had) for call, had in zip(calls, answers, strict=True)]
        code = await ended(server.process)

        assert told == [[NOT_SERVING]] * 2
        assert [text_of(events) for events in wholes] == [NUMBERS] * 2
        assert code == 0
        stopped = server.lines("worker.stopped")
        assert sorted((line["worker"], line["exit_status"]) for line in stopped) == [(1, 0), (2, 0)]
        assert len(server.lines("server.draining")) == len(server.lines("server.stopped")) == 1


async def test_a_worker_that_dies_while_all_drain_is_not_replaced(running, generate_request):
    async with running("--drain-grace", "20s") as server:
        first, second = await server.one_on_each()
        call = stream(second, slow(generate_request))
        events = await some(call, 3)
        lost = stream(first, slow(generate_request, ENDLESS))
        await some(lost, 3)
        watch = aiter(health_pb2_grpc.HealthStub(first).Watch(health_pb2.HealthCheckRequest()))
        await anext(watch)
        os.kill(server.process.pid, signal.SIGTERM)
        assert (await anext(watch)).status == NOT_SERVING

        os.kill(server.workers()[1], signal.SIGKILL)
        await read(call, events)
        code = await ended(server.process)

        assert text_of(events) == NUMBERS
        assert code == 0
        assert len(server.lines("worker.started")) == 2
        assert server.lines("worker.died") == []
        with pytest.raises(grpc.aio.AioRpcError):
            await read(lost)


async def test_a_second_signal_ends_the_draining_of_all(running, generate_request):
    async with running("--drain-grace", "1h") as server:
        channels = await server.one_on_each()
        calls = [stream(channel, slow(generate_request, ENDLESS)) for channel in channels]
        for call in calls:
            await some(call, 3)
        watches = [
            aiter(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))
            for channel in channels
        ]
        for watch in watches:
            await anext(watch)
        os.kill(server.process.pid, signal.SIGTERM)
        assert [(await anext(watch)).status for watch in watches] == [NOT_SERVING] * 2

        os.kill(server.process.pid, signal.SIGTERM)

        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError):
                await read(call)
        assert await ended(server.process) == 1
        assert not any(map(is_running, server.workers().values()))


async def test_workers_end_with_a_supervisor_that_is_killed_and_the_port_is_free(
    running, generate_request, eventually
):
    async with running("--drain-grace", "20s") as server:
        first, _ = await server.one_on_each()
        call = stream(first, slow(generate_request))
        events = await some(call, 3)
        workers = server.workers().values()

        os.kill(server.process.pid, signal.SIGKILL)
        await read(call, events)
        await eventually(lambda: not any(map(is_running, workers)))
        with held_listen_socket(server.address) as address:
            assert address == server.address

        assert text_of(events) == NUMBERS


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_server_on_the_port_fails_clearly(workers, running):
    async with running() as server:
        done = failed_start("--listen", server.address, "--workers", workers)
        await server.one_on_each()

    assert done.returncode == 2
    assert f"contextbridge: Failed to bind to address {server.address}" in done.stderr


async def test_workers_on_the_port_of_a_server_with_one_fail_clearly(running):
    async with running("--workers", "1") as server:
        done = failed_start("--listen", server.address, *TWO)

    assert done.returncode == 2
    assert f"contextbridge: Failed to bind to address {server.address}: Address" in done.stderr


def failed_start(*flags):
    """Run a server that cannot start."""
    return subprocess.run(
        [COMMAND, "serve", "--upstream", "http://127.0.0.1:9", *flags],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(done):
    """Return the lines that tell why a server does not start; gRPC has some of its own."""
    return [line for line in done.stderr.splitlines() if line.startswith("contextbridge:")]


async def test_what_keeps_a_worker_from_starting_is_told_as_one_process_tells_it(tmp_path):
    callers = tmp_path / "callers.toml"
    callers.write_text("[[callers]]\nname = 'shop'\n")
    wrong = {
        ("--callers-file", str(callers)): "entry 1: name and tenant",
        ("--tls-certificate-file", "/none/a", "--tls-key-file", "/none/b"): "/none/",
        ("--listen", "nowhere.invalid:0", "--insecure"): "Failed to bind to address nowhere",
    }
    for flags, complaint in wrong.items():
        flags = ("--listen", "127.0.0.1:0", *flags)  # noqa: PLW2901 - the last of a flag counts
        one, two = (failed_start(*flags, "--workers", number) for number in ("1", "2"))

        assert (one.returncode, two.returncode) == (2, 2)
        assert complaint in two.stderr
        assert len(refusal(two)) == 1
        assert refusal(two)[0][:40] == refusal(one)[0][:40]
        assert "Traceback" not in two.stderr


@pytest.mark.parametrize("host", ["localhost", "[::1]", "0.0.0.0", "[::]"])
async def test_workers_share_every_kind_of_address(host, running):
    async with running("--listen", f"{host}:0", "--insecure") as server:
        port = server.address.rpartition(":")[2]
        reached = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        server.address = f"{reached}:{port}"
        await server.one_on_each()

    assert int(port) > 0


async def test_a_generation_of_one_worker_is_joined_and_resumed_on_another(
    running, generate_request
):
    request = slow(generate_request, idempotency_key=uuid.uuid4().hex)
    async with running() as server:
        first, second = await server.one_on_each()
        asked = len(server.emulator.requests)
        call = stream(first, request)
        events = await some(call, 5)
        joined = stream(second, request)
        there = await some(joined, 5)
        call.cancel()
        rest = await read(stream(second, resumed(request, 5)))
        await read(joined, there)
        later = await read(stream(first, resumed(request, 0)))

        assert text_of(there) == NUMBERS
        assert [*events, *rest] == there == later
        assert len(server.emulator.requests) == asked + 1


async def test_readers_on_its_peers_learn_that_a_generations_worker_was_killed(
    running, generate_request, failure, eventually
):
    request = slow(generate_request, ENDLESS, idempotency_key=uuid.uuid4().hex)
    async with running() as server:
        first, second = await server.one_on_each()
        call = stream(first, request)
        await some(call, 5)
        joined = stream(second, request)
        had = await some(joined, 5)
        before = server.workers()[1]

        os.kill(before, signal.SIGKILL)
        failed = await failure(read(joined, had))
        await eventually(lambda: server.workers()[1] != before)
        late = [await failure(read(stream(channel, request))) for channel in (first, second)]

    assert [event.sequence for event in had] == list(range(1, len(had) + 1))
    for told in (failed, *late):
        assert (told.code.name, told.reason) == ("ABORTED", "GENERATION_ABANDONED")
        assert told.info.metadata["savedEvents"] == str(len(had))


def resumed(request, after):
    again = pb.GenerateContentRequest()
    again.CopyFrom(request)
    again.resume_after = after
    return again


async def test_the_emulator_and_the_embedded_store_are_started_once_for_all(
    started, tmp_path, generate_request
):
    flags = ("--upstream", "emulator", "--data-dir", str(tmp_path), *TWO)
    cached = generate_request(response_cache=pb.ResponseCachePolicy(enabled=True))
    with started(*flags) as (process, address, log):
        server = Running(process, address, log, None)
        async with server.stack:
            answers = [
                await pb.GeminiServiceStub(channel).GenerateContent(cached)
                for channel in await server.one_on_each()
            ]
            children = subprocess.check_output(
                ["ps", "--ppid", str(process.pid), "-o", "args="], text=True
            )
        begun = [len(server.lines(f"{name}.started")) for name in ("emulator", "store")]

    statuses = [pb.ResponseCacheStatus.Name(answer.response_cache.status) for answer in answers]
    assert statuses == ["RESPONSE_CACHE_STATUS_MISS", "RESPONSE_CACHE_STATUS_HIT"]
    assert len(re.findall("contextbridge_emulator", children)) == 1
    assert len(re.findall("valkey-server", children)) == 1
    assert begun == [1, 1]


# Connections that get too old.


async def test_calls_one_after_another_never_fail_when_connections_get_too_old(running, eventually):
    async with running("--max-connection-age", "200ms") as server:
        channel = await server.channel()

        async def has_met_both():
            await server.worker_of(channel)
            calls = server.lines("call")
            return len(peers(calls)) > 5 and {line["worker"] for line in calls} == {1, 2}

        await eventually(has_met_both, seconds=60)
        codes = {line["rpc.response.status_code"] for line in server.lines("call")}

    assert codes == {"OK"}


def peers(calls):
    """Return the other ends of the connections that calls came by."""
    return {line["network.peer.address"] for line in calls}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_open_stream_outlives_the_age_of_its_connection(
    workers, running, generate_request
):
    async with running("--max-connection-age", "200ms", "--workers", workers) as server:
        channel = await server.channel()
        call = stream(channel, slow(generate_request))
        events = await some(call, 3)
        while len(peers(server.lines("call"))) < 3:
            await server.worker_of(channel)
        assert not call.done()
        await read(call, events)

    assert text_of(events) == NUMBERS


async def test_a_stream_that_outlasts_the_grace_is_cut(running, generate_request):
    age = ("--max-connection-age", "200ms", "--max-connection-age-grace", "200ms")
    async with running(*age) as server, asyncio.timeout(60):
        call = stream(await server.channel(), slow(generate_request, ENDLESS))
        with pytest.raises(grpc.aio.AioRpcError):
            await read(call)


async def test_without_an_age_a_connection_stays(running):
    async with running("--max-connection-age", "0s", "--workers", "1") as server:
        channel = await server.channel()
        for _ in range(50):
            await server.worker_of(channel)

        assert len(peers(server.lines("call"))) == 1
