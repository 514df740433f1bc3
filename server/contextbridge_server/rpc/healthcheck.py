"""Asks a server for its health, for containers and people: exit code 0 for SERVING, 1 otherwise."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEFAULT_LISTEN = "127.0.0.1:50051"
SERVING = health_pb2.HealthCheckResponse.SERVING


def run(arguments: Sequence[str]) -> int:
    """GenerationCall, print the status, return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        channel = _channel(options)
    except OSError as error:
        parser.error(str(error))
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=options.service)
        try:
            status = stub.Check(  # type: ignore[attr-defined] # made at run time
                request, timeout=options.timeout
            ).status
        except grpc.RpcError as error:
            said = f": {error.details()}" if error.details() else ""
            print(f"{options.target}: {error.code().name}{said}")
            return 1
    print(f"{options.target}: {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}")
    return 0 if status == SERVING else 1


def _own_address() -> str:
    """Return where a server with the same environment listens, as it is reached from here."""
    listen = os.environ.get("CONTEXTBRIDGE_LISTEN", DEFAULT_LISTEN)
    return listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="contextbridge healthcheck", description=__doc__)
    parser.add_argument("--target", default=_own_address(), help="the server's address")
    parser.add_argument("--service", default="", help="a service's full name; empty for the server")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds to wait")
    parser.add_argument("--tls", action="store_true", help="use TLS")
    parser.add_argument("--ca-file", type=Path, help="certificates to trust (PEM); implies --tls")
    parser.add_argument("--certificate-file", type=Path, help="the client's certificate (PEM)")
    parser.add_argument("--key-file", type=Path, help="the certificate's key (PEM)")
    parser.add_argument("--server-name", help="the name that the certificate is for")
    return parser


def _channel(options: argparse.Namespace) -> grpc.Channel:
    if not (options.tls or options.ca_file):
        return grpc.insecure_channel(options.target)
    names = [("grpc.ssl_target_name_override", options.server_name)] if options.server_name else []
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_bytes(options.ca_file),
        private_key=_bytes(options.key_file),
        certificate_chain=_bytes(options.certificate_file),
    )
    return grpc.secure_channel(options.target, credentials, options=names)


def _bytes(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
