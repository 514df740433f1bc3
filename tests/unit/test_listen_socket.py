"""A port that several processes listen on, held from before the first to after the last."""

import re
import socket

import pytest

from contextbridge_server.process.listen_socket import held_listen_socket


def listening(address, *, shared):
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)), reuse_port=shared)


def connected(address):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_held_port_takes_no_connections_of_its_own():
    with held_listen_socket("127.0.0.1:0") as address:
        with pytest.raises(ConnectionRefusedError):
            connected(address)

        with listening(address, shared=True) as one, connected(address):
            one.settimeout(10)
            one.accept()[0].close()


def test_only_who_shares_can_listen_on_a_held_port():
    with held_listen_socket("127.0.0.1:0") as address:
        with listening(address, shared=True), listening(address, shared=True):
            pass
        with pytest.raises(OSError, match="in use"):
            listening(address, shared=False)


def test_of_two_that_want_to_hold_a_port_the_second_is_told_before_anybody_listens():
    with (
        held_listen_socket("127.0.0.1:0") as address,
        pytest.raises(RuntimeError, match=rf"^Failed .* {re.escape(address)}: .* in use"),
        held_listen_socket(address),
    ):
        pass


def test_a_port_that_is_listened_on_cannot_be_held():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RuntimeError, match="in use"), held_listen_socket(address):
            pass


def test_the_connections_of_a_server_that_has_ended_do_not_keep_its_port():
    with held_listen_socket("127.0.0.1:0") as address, listening(address, shared=True) as server:
        client = connected(address)
        accepted, _ = server.accept()
        accepted.close()  # First, so that it is the server's side that lingers.
        assert client.recv(1) == b""
        client.close()

    with held_listen_socket(address) as again:
        assert again == address
        with pytest.raises(RuntimeError, match="in use"), held_listen_socket(address):
            pass


@pytest.mark.parametrize(
    "listen", ["localhost:0", "[::1]:0", "0.0.0.0:0", "[::]:0", "[::ffff:127.0.0.1]:0"]
)
def test_every_kind_of_address_keeps_its_host_and_gets_its_port(listen):
    with held_listen_socket(listen) as address:
        host, _, port = address.rpartition(":")

    assert host == listen.rpartition(":")[0]
    assert int(port) > 0


def test_a_port_held_everywhere_is_held_on_loopback():
    with held_listen_socket("0.0.0.0:0") as address:
        port = address.rpartition(":")[2]
        with pytest.raises(RuntimeError, match="in use"), held_listen_socket(f"127.0.0.1:{port}"):
            pass


@pytest.mark.parametrize("listen", ["127.0.0.1", ":1", "127.0.0.1:", "a:b:1", "nowhere.invalid:1"])
def test_what_is_no_address_is_told(listen):
    with (
        pytest.raises(RuntimeError, match=r"^Failed to bind to address "),
        held_listen_socket(listen),
    ):
        pass


def test_the_failure_of_who_holds_a_port_is_its_own():
    with pytest.raises(OSError, match="mine"), held_listen_socket("127.0.0.1:0"):
        raise OSError("mine")
