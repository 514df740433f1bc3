"""How a client reaches the server: target, TLS, credentials, channel arguments, deadlines.

The channel repeats no call that upstream may charge for. It cannot tell a call that the server
never saw from one whose connection was lost after the server had begun, and the server's own
UNAVAILABLE looks like both. So it retries UNAVAILABLE on reads alone; calls with an
`idempotency_key`, which are paid once, are repeated above it (`_resume`), and the server does the
rest: it knows what upstream has seen. Calls that gRPC repeats by itself (those that never left this
process, or that the server refused before any handler saw them) cost nothing.
"""

import ipaddress
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from contextbridge._resume import Attempts, Resuming, policy
from contextbridge._version import __version__

Secret = str | Callable[[], str]
"""A secret, or what returns it for each call: then it can be replaced while the client lives."""

Timeout = timedelta | float | None
"""A deadline: a timedelta or seconds. None means the client's; infinity means none."""

Options = Sequence[tuple[str, Any]]
"""gRPC channel arguments."""

DEFAULT_TARGET = "127.0.0.1:50051"

# Servers take one ping in five minutes without data and cut off whoever sends more; the rest is
# room for the network's jitter.
DEFAULT_KEEPALIVE = timedelta(seconds=330)

DEFAULT_CONNECT_TIMEOUT = timedelta(seconds=10)

# Whole answers hold images.
_MAX_RECEIVE_BYTES = 64 * 1024 * 1024

# A status lists every field violation; gRPC's own limit of 8 KiB would drop the whole of it.
_MAX_METADATA_BYTES = 64 * 1024

_READS = {
    "contextbridge.v1.ContextService": ("GetContext", "ListContexts"),
    "contextbridge.v1.GeminiService": ("CountTokens",),
    "contextbridge.v1.CachedContentService": ("GetCachedContent", "ListCachedContents"),
    "contextbridge.v1.FileService": ("GetFile", "ListFiles"),
    "contextbridge.v1.ResponseCacheService": ("GetResponseCacheStatistics",),
    "grpc.health.v1.Health": ("Check",),
}

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": service, "method": method}
                for service, methods in _READS.items()
                for method in methods
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "3s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # Retries stop when half of the calls fail: a server in trouble is not helped by more of them.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Whom a client trusts, and who it is. Everything is PEM; give a file or its content.

    The default trusts gRPC's own roots and shows no certificate. Raises ValueError for a file
    beside its content, and for a certificate without its key.
    """

    ca_file: str | PathLike[str] | None = None
    """Certificates of the authorities to trust, instead of gRPC's own."""

    ca_pem: bytes | None = None
    """The same as bytes."""

    cert_file: str | PathLike[str] | None = None
    """The client's certificate chain, for mutual TLS."""

    cert_pem: bytes | None = None
    """The same as bytes."""

    key_file: str | PathLike[str] | None = None
    """The private key of the client's certificate."""

    key_pem: bytes | None = field(default=None, repr=False)
    """The same as bytes."""

    server_name: str | None = None
    """The name that the server's certificate is checked against, where it is not the target's."""

    def __post_init__(self) -> None:
        for name in ("ca", "cert", "key"):
            if (
                getattr(self, f"{name}_file") is not None
                and getattr(self, f"{name}_pem") is not None
            ):
                msg = f"{name}_file and {name}_pem exclude each other"
                raise ValueError(msg)
        has_cert = self.cert_file is not None or self.cert_pem is not None
        has_key = self.key_file is not None or self.key_pem is not None
        if has_cert != has_key:
            msg = "a client certificate needs its key, and a key its certificate"
            raise ValueError(msg)

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files and returns gRPC's credentials. Raises OSError."""
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca_file, self.ca_pem),
            private_key=_pem(self.key_file, self.key_pem),
            certificate_chain=_pem(self.cert_file, self.cert_pem),
        )


def _pem(file: str | PathLike[str] | None, pem: bytes | None) -> bytes | None:
    return pem if file is None else Path(file).read_bytes()


class Connection:
    """What both clients connect with, checked once."""

    def __init__(
        self,
        target: str,
        *,
        token: Secret | None,
        upstream_api_key: Secret | None,
        tls: Tls | bool,
        insecure_token: bool,
        keepalive: timedelta | None,
        timeout: Timeout,
        connect_timeout: timedelta | float,
        resume: Resuming,
        options: Options,
    ) -> None:
        local = is_local(target)
        has_secret = token is not None or upstream_api_key is not None
        if has_secret and not (tls or local or insecure_token):
            msg = (
                f"a token or key would go to {target!r} in the clear: pass tls=True or a Tls, "
                "or insecure_token=True where something else encrypts the way"
            )
            raise ValueError(msg)
        given = Tls() if tls is True else tls or None
        self.target = target
        self.credentials = given.credentials() if given else None
        self.options = _channel_options(
            local=local,
            keepalive=keepalive,
            server_name=given.server_name if given else None,
            extra=options,
        )
        self._secrets: Mapping[str, tuple[str, Secret | None]] = {
            "authorization": ("Bearer ", token),
            "x-upstream-api-key": ("", upstream_api_key),
        }
        self._timeout = seconds(timeout)
        self._connect_timeout = seconds(connect_timeout)
        self._resume = policy(resume)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return tuple(
            (key, prefix + (secret if isinstance(secret, str) else secret()))
            for key, (prefix, secret) in self._secrets.items()
            if secret is not None
        )

    def deadline(self, timeout: Timeout) -> "Deadline":
        """The deadline of a call that begins now."""
        chosen = self._timeout if timeout is None else seconds(timeout)
        return Deadline(chosen, self._connect_timeout)

    def attempts(self, resume: Resuming, *, named: bool) -> Attempts:
        """The tries of a call; one with an `idempotency_key` is named."""
        return Attempts(policy(resume, self._resume), named=named)


class Deadline:
    """When a call must be over, and how much of that may go into connecting."""

    def __init__(self, timeout: float | None, connect_timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self._connect_timeout = connect_timeout

    def remaining(self) -> float | None:
        """Seconds left, at least 0. None without a deadline."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def for_connecting(self) -> float | None:
        """Seconds that may go into connecting. None without a limit."""
        limits = [s for s in (self._connect_timeout, self.remaining()) if s is not None]
        return min(limits, default=None)


def seconds(timeout: Timeout) -> float | None:
    """A timeout as seconds. None without one."""
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    return None if timeout is None or math.isinf(timeout) else timeout


def is_local(target: str) -> bool:
    """Whether everything that goes to a target stays on this machine."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return True
    if scheme in {"ipv4", "ipv6", "dns"}:
        # dns://authority/host:port names the host last; ipv4: and ipv6: may list several.
        target = rest.rpartition("/")[2]
    return all(_is_loopback(_host(address)) for address in target.split(","))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _channel_options(
    *, local: bool, keepalive: timedelta | None, server_name: str | None, extra: Options
) -> list[tuple[str, Any]]:
    chosen: dict[str, Any] = {
        "grpc.primary_user_agent": f"contextbridge-python/{__version__}",
        "grpc.max_receive_message_length": _MAX_RECEIVE_BYTES,
        "grpc.max_metadata_size": _MAX_METADATA_BYTES,
        "grpc.service_config": json.dumps(_SERVICE_CONFIG),
        # Whoever owns the DNS zone would otherwise decide which paid calls are repeated.
        "grpc.service_config_disable_resolution": 1,
    }
    if keepalive is not None:
        chosen["grpc.keepalive_time_ms"] = int(keepalive.total_seconds() * 1000)
        chosen["grpc.keepalive_timeout_ms"] = 20_000
        chosen["grpc.keepalive_permit_without_calls"] = 0
    if local:
        # A proxy named in the environment is not on this machine.
        chosen["grpc.enable_http_proxy"] = 0
    if server_name is not None:
        chosen["grpc.ssl_target_name_override"] = server_name
    return list((chosen | dict(extra)).items())
