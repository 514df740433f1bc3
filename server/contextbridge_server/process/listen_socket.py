"""One port for several processes: held from before the first listens until after the last.

Linux spreads connections over the sockets that listen on a port with SO_REUSEPORT. A socket that
has the port and does not listen gets none of them; it only says who may join.
"""

import errno
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:]+):(\d+)")
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound


@contextmanager
def held_listen_socket(listen: str) -> Iterator[str]:
    """Hold the port of an address, on which only this user's processes can listen then.

    Args:
        listen: `HOST:PORT`; port 0 picks a free one.

    Yields:
        The address, with the port that was picked.

    Raises:
        RuntimeError: It cannot be had, or is in use.
    """
    with ExitStack() as stack:
        try:
            address = _hold(listen, stack)
        except OSError as error:
            reason = error.strerror or error
            raise RuntimeError(f"Failed to bind to address {listen}: {reason}") from error
        yield address


def _hold(listen: str, stack: ExitStack) -> str:
    found = HOST_AND_PORT.fullmatch(listen)
    if found is None:
        raise OSError(errno.EINVAL, "it is not HOST:PORT")
    host, port = found[1], int(found[2])
    missing: OSError | None = None
    held: socket.socket | None = None
    for family, address in _addresses(host.strip("[]")):
        try:
            held = stack.enter_context(_bound(family, (address[0], port, *address[2:])))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            # As gRPC does, we take those of a host's addresses that there are.
            missing = error
        else:
            port = held.getsockname()[1]
    if held is None:
        raise missing or OSError(errno.EADDRNOTAVAIL, "it has no address")
    return f"{host}:{port}"


def _addresses(host: str) -> list[tuple[int, Any]]:
    """Return the addresses of a host; everywhere is one, by either protocol, as it is to gRPC."""
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((int(family), address) for family, _, _, _, address in found)
    if socket.has_dualstack_ipv6() and any(address[0] in EVERYWHERE for _, address in addresses):
        return [(socket.AF_INET6, ("::", 0))]
    return list(addresses)


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that has an address, to which our workers can join from now on.

    Raises:
        OSError: Somebody else has it.
    """
    try:
        held = _bound_alone(family, address, reuse=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # Connections of a server that has just ended keep the port for a while, but not from us.
        held = _bound_alone(family, address, reuse=True)
    # Only now, so that of two servers that start at once one finds the port taken.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return held


def _bound_alone(family: int, address: tuple[Any, ...], *, reuse: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
