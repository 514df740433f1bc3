"""Keys that move between the servers of a cluster, and servers that leave it."""

import pytest
from structlog.testing import capture_logs
from valkey.crc import key_slot
from valkey.exceptions import ResponseError

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.store.cluster import key_of
from contextbridge_server.store.interface import Script
from contextbridge_server.telemetry import names

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture(name="cluster")
async def cluster_fixture(running):
    """A cluster for one test."""
    options = ("--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")
    async with running["cluster"](*options) as engine:
        yield engine


@pytest.fixture(name="store")
async def store_fixture(cluster, open_store):
    async with open_store(cluster.url) as store:
        yield store


def keys_of(cluster, number, count=20):
    """Return keys in slots of one of the servers."""
    size = 16_384 // len(cluster.servers) + 1
    keys = (f"key-{n}" for n in range(10_000))
    found = (key for key in keys if key_slot(key.encode()) // size == number)
    return [next(found) for _ in range(count)]


async def id_of(server):
    return (await server.command("CLUSTER", "MYID")).decode()


async def move(slot, source, target, others):
    """Make a slot another server's."""
    owner = await id_of(target)
    for server in (target, source, *others):
        await server.command("CLUSTER", "SETSLOT", slot, "NODE", owner)


@pytest.mark.parametrize(
    "command, key",
    [
        (("GET", "k"), "k"),
        (("get", "k"), "k"),
        (("SET", "k", "v"), "k"),
        (("EVAL", "return 1", 1, "k", "v"), "k"),
        (("EVALSHA", "abc", 2, "k", "l"), "k"),
        (("XREAD", "COUNT", 5, "STREAMS", "k", "0"), "k"),
        (("OBJECT", "ENCODING", "k"), "k"),
        (("PING",), None),
        (("SCRIPT", "LOAD", "return 1"), None),
    ],
)
def test_the_key_of_a_command_is_found(command, key):
    assert key_of(command) == key


async def test_a_key_is_found_where_it_has_moved(cluster, store):
    first, second, third = cluster.servers
    keys = keys_of(cluster, 0)
    await store.execute_each([("SET", key, key) for key in keys])
    for key in keys[:10]:
        await first.command("DEL", key)
        await move(key_slot(key.encode()), first, second, [third])

    assert await store.run(ADD, [keys[0]], 1) == 1
    assert await store.execute("SET", keys[1], "new") == b"OK"
    replies = await store.execute_each([("GET", key) for key in keys])

    assert replies[:10] == [b"1", b"new", *[None] * 8]
    assert replies[10:] == [key.encode() for key in keys[10:]]


async def test_a_key_is_found_while_it_moves(cluster, store):
    first, second, _ = cluster.servers
    key = keys_of(cluster, 0)[0]
    slot = key_slot(key.encode())
    await store.execute("GET", key)
    await second.command("CLUSTER", "SETSLOT", slot, "IMPORTING", await id_of(first))
    await first.command("CLUSTER", "SETSLOT", slot, "MIGRATING", await id_of(second))

    assert await store.execute("SET", key, "asked") == b"OK"
    assert await store.run(ADD, [f"{{{key}}}:count"], 1) == 1
    assert await store.execute_each([("GET", key), ("GET", key)]) == [b"asked", b"asked"]


async def test_keys_that_are_torn_apart_for_now_are_unavailable(cluster, store):
    first, second, _ = cluster.servers
    key = keys_of(cluster, 0)[0]
    slot = key_slot(key.encode())
    await store.execute("SET", key, "here")
    await second.command("CLUSTER", "SETSLOT", slot, "IMPORTING", await id_of(first))
    await first.command("CLUSTER", "SETSLOT", slot, "MIGRATING", await id_of(second))

    with pytest.raises(BridgeError) as caught:
        await store.execute("MGET", key, f"{{{key}}}:other")

    assert caught.value.reason == pb.ERROR_REASON_STORE_UNAVAILABLE


async def test_one_server_away_takes_only_its_keys(cluster, store):
    lost, kept = keys_of(cluster, 1), keys_of(cluster, 0) + keys_of(cluster, 2)
    await store.execute_each([("SET", key, key) for key in lost + kept])
    await cluster.servers[1].kill()

    with capture_logs() as logs:
        for _ in range(3):
            for key in lost:
                with pytest.raises(BridgeError) as caught:
                    await store.execute("GET", key)
                assert caught.value.reason == pb.ERROR_REASON_STORE_UNAVAILABLE
            assert await store.execute_each([("GET", key) for key in kept]) == [
                key.encode() for key in kept
            ]

    addresses = [e["address"] for e in logs if e["event"] == names.STORE_UNAVAILABLE]
    assert addresses == [f"127.0.0.1:{cluster.servers[1].port}"]


async def test_a_cluster_without_some_slots_is_unavailable_for_them(cluster, store, eventually):
    key = keys_of(cluster, 1)[0]
    await store.execute("GET", key)
    slot = key_slot(key.encode())
    await cluster.each("CLUSTER", "DELSLOTS", slot)

    with pytest.raises(BridgeError) as caught:
        await store.execute("GET", key)

    assert caught.value.reason == pb.ERROR_REASON_STORE_UNAVAILABLE


async def test_a_replica_that_takes_over_is_found(
    cluster, store, running_server, free_port, eventually
):
    first = cluster.servers[0]
    bus = int(first.options[first.options.index("--cluster-port") + 1])
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    async with running_server(*options) as replica:
        await replica.command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        await eventually(lambda: replicates(replica, first))
        await eventually(lambda: is_in_step(replica))
        keys = keys_of(cluster, 0)
        await store.execute_each([("SET", key, key) for key in keys])
        assert await first.command("WAIT", 1, 5_000) == 1
        # Only now, so that none of them is taken for dead before.
        for server in (*cluster.servers, replica):
            await server.command("CONFIG", "SET", "cluster-node-timeout", 1_000)
        await first.kill()

        # All at once: the cluster may refuse commands for a moment again.
        await eventually(lambda: has_all(store, keys))


async def replicates(replica, primary):
    try:
        return await replica.command("CLUSTER", "REPLICATE", await id_of(primary))
    except ResponseError:  # It has not heard of the other yet.
        return False


async def is_in_step(replica):
    return "up" in str((await replica.command("INFO", "replication"))["master_link_status"])


async def has_all(store, keys):
    try:
        replies = await store.execute_each([("GET", key) for key in keys])
    except BridgeError:
        return False
    return replies == [key.encode() for key in keys]


async def test_any_of_several_servers_is_enough_to_begin(cluster, open_store):
    ports = [server.port for server in cluster.servers]
    await cluster.servers[0].kill()
    url = "valkey+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    async with open_store(url) as store:
        key = keys_of(cluster, 2)[0]

        assert await store.execute("SET", key, "value") == b"OK"
