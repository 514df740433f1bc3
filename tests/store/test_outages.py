"""What the store does when Valkey is away, refuses, or is not what its address says."""

import asyncio
import signal
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import trustme
from structlog.testing import capture_logs
from valkey.asyncio import Valkey

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.store.interface import Script
from contextbridge_server.store.valkey import parse
from contextbridge_server.telemetry import names

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
READ = Script("return redis.call('GET', KEYS[1])")
SHORT = timedelta(seconds=1.5)
PASSWORD = "p@ss:word/%"  # What a URL has to quote.
QUOTED = "p%40ss%3Aword%2F%25"


async def failure_of(operation):
    """Return the error that an operation ends with."""
    with pytest.raises(BridgeError) as caught:
        await operation
    return caught.value


def events(logs, name):
    return [entry for entry in logs if entry["event"] == name]


@pytest.fixture(name="breakable", params=["shared", "cluster"])
async def breakable_fixture(request, running):
    """Each kind of Valkey that runs without us, for one test."""
    async with running[request.param]() as engine:
        yield engine


async def test_a_store_that_went_away_is_unavailable_and_is_logged_once(breakable, open_store):
    async with open_store(breakable.url) as store:
        await store.execute("SET", "key", "value")
        with capture_logs() as logs:
            for server in breakable.servers:
                await server.kill()
            failures = [
                await failure_of(operation)
                for _ in range(5)
                for operation in (
                    store.execute("GET", "key"),
                    store.execute_each([("GET", "key")]),
                    store.run(ADD, ["key"], 1),
                )
            ]

    assert {failure.reason for failure in failures} == {pb.ERROR_REASON_STORE_UNAVAILABLE}
    assert {failure.message for failure in failures} == {"The store cannot be reached."}
    begun = events(logs, names.STORE_UNAVAILABLE)
    addresses = [entry["address"] for entry in begun]
    assert len(addresses) == len(set(addresses)) > 0
    assert {entry["log_level"] for entry in begun} == {"warning"}
    assert len(logs) == len(begun)


async def test_the_first_command_after_a_restart_works(running, open_store):
    async with running["shared"]() as engine, open_store(engine.url) as store:
        (server,) = engine.servers
        await asyncio.gather(*(store.run(ADD, ["count"], 1) for _ in range(200)))
        await server.kill()
        with capture_logs() as logs:
            await failure_of(store.execute("GET", "count"))
            await failure_of(store.execute("GET", "count"))
            await server.start()
            replies = [await store.run(ADD, ["count"], 1) for _ in range(100)]

    assert replies == list(range(1, 101))
    (back,) = events(logs, names.STORE_AVAILABLE)
    assert back["log_level"] == "info"
    assert back["failures"] == 2
    assert back["away_ms"] >= 0


async def test_a_restart_that_no_command_saw_is_not_noticed(running, open_store):
    async with running["shared"]() as engine, open_store(engine.url) as store:
        (server,) = engine.servers
        await asyncio.gather(*(store.run(ADD, ["count"], 1) for _ in range(200)))
        with capture_logs() as logs:
            await server.kill()
            await server.start()
            replies = [await store.run(ADD, ["count"], 1) for _ in range(100)]

    assert replies == list(range(1, 101))
    assert logs == []


async def test_a_store_that_is_away_at_the_start_is_used_once_it_is_there(
    running, open_store, eventually
):
    async with running["shared"]() as engine:
        (server,) = engine.servers
        await server.kill()
        with capture_logs() as logs:
            async with open_store(engine.url) as store:
                await failure_of(store.execute("GET", "key"))
                await server.start()

                assert await store.execute("SET", "key", "value") == b"OK"

    assert [entry["event"] for entry in logs] == [names.STORE_UNAVAILABLE, names.STORE_AVAILABLE]


async def test_a_cluster_that_is_away_at_the_start_is_used_once_it_is_there(
    running, open_store, eventually
):
    async with running["cluster"]() as engine:
        for server in engine.servers:
            await server.kill()
        async with open_store(engine.url, SHORT) as store:
            await failure_of(store.execute("GET", "key"))
            for server in engine.servers:
                await server.start()

            await eventually(lambda: works(store, "key"))


async def works(store, key):
    try:
        return await store.execute("SET", key, "value") == b"OK"
    except BridgeError:
        return False


async def test_a_store_that_hangs_is_unavailable_in_time(running_server, open_store):
    async with (
        running_server() as server,
        open_store(f"valkey://127.0.0.1:{server.port}", SHORT) as store,
    ):
        await store.execute("GET", "key")
        server.process.send_signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        began = loop.time()

        failures = await asyncio.gather(
            *(failure_of(store.execute("GET", "key")) for _ in range(200))
        )
        took = loop.time() - began
        server.process.send_signal(signal.SIGCONT)

        assert await store.execute("SET", "key", "value") == b"OK"
    # Less than it would take if they waited for a connection first, 64 at a time.
    assert took < 3 * SHORT.total_seconds()
    assert {failure.reason for failure in failures} == {pb.ERROR_REASON_STORE_UNAVAILABLE}


@pytest.mark.parametrize(
    "settings",
    [
        ["CONFIG SET min-replicas-to-write 1"],
        ["REPLICAOF 127.0.0.1 1"],
        ["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"],
        ["CONFIG SET requirepass secret", "CLIENT KILL TYPE normal"],
        ["ACL SETUSER default -set", "CLIENT KILL TYPE normal"],
        ["CONFIG SET maxclients 1", "CLIENT KILL TYPE normal"],
    ],
    ids=["noreplicas", "readonly", "masterdown", "noauth", "noperm", "maxclients"],
)
async def test_a_valkey_that_refuses_for_now_is_unavailable(running_server, open_store, settings):
    async with (
        running_server() as server,
        Valkey(port=server.port, single_connection_client=True) as operator,
        open_store(f"valkey://127.0.0.1:{server.port}") as store,
    ):
        await store.execute("GET", "key")
        for command in settings:
            await operator.execute_command(*command.split())
        with capture_logs() as logs:
            failures = [await failure_of(store.execute("SET", "key", "value")) for _ in range(3)]

    assert {failure.reason for failure in failures} == {pb.ERROR_REASON_STORE_UNAVAILABLE}
    assert len(events(logs, names.STORE_UNAVAILABLE)) == 1


async def test_a_valkey_that_only_reads_is_logged_once(running_server, open_store):
    async with (
        running_server() as server,
        open_store(f"valkey://127.0.0.1:{server.port}") as store,
    ):
        await store.run(ADD, ["count"], 1)
        await server.command("REPLICAOF", "127.0.0.1", 1)
        with capture_logs() as logs:
            for _ in range(3):
                await failure_of(store.run(ADD, ["count"], 1))
                assert await store.execute("GET", "count") == b"1"
                assert await store.run(READ, ["count"]) == b"1"
            await server.command("REPLICAOF", "NO", "ONE")
            assert await store.execute("GET", "count") == b"1"
            assert await store.run(ADD, ["count"], 1) == 2

    assert [entry["event"] for entry in logs] == [names.STORE_UNAVAILABLE, names.STORE_AVAILABLE]
    assert logs[1]["failures"] == 3


async def test_a_valkey_that_reads_its_data_is_unavailable_until_it_is_done(
    running_server, open_store, eventually
):
    options = ("--loading-process-events-interval-bytes", "1024", "--enable-debug-command", "yes")
    async with (
        running_server("--appendonly", "yes", *options) as server,
        open_store(f"valkey://127.0.0.1:{server.port}") as store,
    ):
        await store.execute_each([("SET", f"key-{n}", n) for n in range(5_000)])
        # It looks at its clients once in a thousand keys, which is every second.
        await server.command("CONFIG", "SET", "key-load-delay", 1_000)
        loading = asyncio.create_task(server.command("DEBUG", "LOADAOF", socket_timeout=30))
        with capture_logs() as logs:
            await eventually(lambda: is_refused(store))
        await server.command("CONFIG", "SET", "key-load-delay", 0)
        await loading

        assert await store.execute("GET", "key-1") == b"1"
    assert "loading" in logs[0]["error"]


async def is_refused(store):
    return not await works(store, "key")


async def test_wrong_credentials_stop_the_start(running_server, open_store):
    async with running_server("--requirepass", PASSWORD) as server:
        host = f"127.0.0.1:{server.port}"
        for url in (
            f"valkey://{host}",
            f"valkey://:wrong-secret@{host}",
            f"valkey://nobody:{QUOTED}@{host}",
        ):
            with pytest.raises(RuntimeError, match="refuses the URL's user or password") as caught:
                async with open_store(url):
                    pass
            assert "wrong-secret" not in str(caught.value)

        async with open_store(f"valkey://:{QUOTED}@{host}/1") as store:
            await store.execute("SET", "key", "value")
        async with open_store(f"valkey://default:{QUOTED}@{host}/1") as store:
            assert await store.execute("GET", "key") == b"value"
        async with open_store(f"valkey://:{QUOTED}@{host}") as store:
            assert await store.execute("GET", "key") is None


async def test_a_user_who_may_not_look_at_the_server_is_no_outage(running_server, open_store):
    async with running_server() as server:
        await server.command(
            "ACL", "SETUSER", "bridge", "on", ">pw", "~*", "+@all", "-info", "-hello"
        )

        with capture_logs() as logs:
            async with open_store(f"valkey://bridge:pw@127.0.0.1:{server.port}") as store:
                await store.execute("SET", "key", "value")

    assert logs == []


async def test_credentials_that_no_longer_hold_are_no_secret_in_the_log(running_server, open_store):
    async with running_server("--requirepass", PASSWORD) as server:
        url = f"valkey://:{QUOTED}@127.0.0.1:{server.port}"
        async with open_store(url) as store:
            await server.command("CONFIG", "SET", "requirepass", "other", password=PASSWORD)
            await server.command("CLIENT", "KILL", "TYPE", "normal", password="other")
            with capture_logs() as logs:
                failure = await failure_of(store.execute("GET", "key"))

    assert len(logs) == 1
    assert PASSWORD not in f"{logs}{failure}"
    assert QUOTED not in f"{logs}{failure}"


@pytest.mark.parametrize(
    "scheme, kind, says",
    [
        ("valkey+cluster", "shared", "begins with valkey://"),
        ("valkey", "cluster", r"begins with valkey\+cluster://"),
    ],
)
async def test_a_url_of_the_other_kind_stops_the_start(
    shared_valkey, valkey_cluster, open_store, scheme, kind, says
):
    engine = {"shared": shared_valkey, "cluster": valkey_cluster}[kind]
    url = f"{scheme}://127.0.0.1:{engine.servers[0].port}"

    with pytest.raises(RuntimeError, match=says):
        async with open_store(url):
            pass


async def test_a_valkey_that_drops_data_when_it_is_full_is_warned_of(running_server, open_store):
    async with running_server("--maxmemory-policy", "allkeys-lru") as server:
        with capture_logs() as logs:
            async with open_store(f"valkey://127.0.0.1:{server.port}"):
                pass

    assert [(entry["event"], entry["policy"]) for entry in logs] == [
        (names.STORE_EVICTS, "allkeys-lru")
    ]


@pytest.mark.parametrize(
    "url, addresses",
    [
        ("valkey://host", ["host:6379"]),
        ("valkey://host:1/2", ["host:1"]),
        ("valkeys://user:secret@host", ["host:6379"]),
        ("valkey://[::1]:7000", ["::1:7000"]),
        ("valkey+cluster://one:1,two,three:3", ["one:1", "two:6379", "three:3"]),
        ("unix:///data/valkey.sock", ["unix:/data/valkey.sock"]),
    ],
)
def test_the_addresses_of_a_url_are_found(url, addresses):
    found, options = parse(url)

    assert [str(address) for address in found] == addresses
    assert (options.tls is not None) == url.startswith("valkeys")
    assert "secret" not in repr(options)


@pytest.mark.parametrize("url", ["valkey://:1", "valkey://host:port"])
def test_a_url_without_an_address_is_refused(url):
    with pytest.raises(ValueError, match=r"names no host|[Pp]ort"):
        parse(url)


@asynccontextmanager
async def tls_in_front_of(port, identity):
    """Take TLS connections and pass on what is in them; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.configure_cert(context)
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()

    async def copy(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(name="authority", scope="module")
def authority_fixture():
    return trustme.CA()


@pytest.fixture(name="ca_file")
def ca_file_fixture(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_a_store_is_used_over_tls(shared_valkey, open_store, authority, ca_file):
    identity = authority.issue_cert("127.0.0.1")
    async with (
        tls_in_front_of(shared_valkey.servers[0].port, identity) as port,
        open_store(f"valkeys://127.0.0.1:{port}", ca_file=ca_file) as store,
    ):
        await asyncio.gather(*(store.run(ADD, ["tls"], 1) for _ in range(100)))

        assert await store.execute("GET", "tls") == b"100"


@pytest.mark.parametrize("name, trusted", [("127.0.0.1", False), ("elsewhere.example", True)])
async def test_a_certificate_that_proves_nothing_is_refused(
    shared_valkey, open_store, authority, ca_file, name, trusted
):
    identity = authority.issue_cert(name)
    async with tls_in_front_of(shared_valkey.servers[0].port, identity) as port:
        with capture_logs() as logs:
            async with open_store(
                f"valkeys://127.0.0.1:{port}", ca_file=ca_file if trusted else None
            ) as store:
                failure = await failure_of(store.execute("GET", "key"))

    assert failure.reason == pb.ERROR_REASON_STORE_UNAVAILABLE
    assert "certificate verify failed" in logs[0]["error"]
