"""Targets, TLS, tokens, deadlines, retries, and the wait for a connection."""

import asyncio
import inspect
import json
import re
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from contextbridge import AsyncClient, Client, ContextBridgeError, Tls, __version__
from contextbridge import v1 as pb
from contextbridge._channel import Connection, is_local

READS: dict[str, Callable[[Any], Any]] = {
    "GetContext": lambda c: c.get_context("ctx-1"),
    "ListContexts": lambda c: anext(c.list_contexts(), None),
    "CountTokens": lambda c: c.count_tokens("g", "Hi"),
    "GetCachedContent": lambda c: c.get_cached_content("cachedContents/1"),
    "ListCachedContents": lambda c: anext(c.list_cached_contents(), None),
    "GetFile": lambda c: c.get_file("files/1"),
    "ListFiles": lambda c: anext(c.list_files(), None),
    "GetResponseCacheStatistics": lambda c: c.get_response_cache_statistics(),
}

PAID_OR_CHANGING: dict[str, Callable[[Any], Any]] = {
    "CreateContext": lambda c: c.create_context("m", "Hi"),
    "UpdateContext": lambda c: c.update_context("ctx-1", ttl=timedelta(hours=1)),
    "DeleteContext": lambda c: c.delete_context("ctx-1"),
    "ChatWithContext": lambda c: c.chat("ctx-1", "Hi", model="m").answer(),
    "CompleteChatWithContext": lambda c: c.complete_chat("ctx-1", "Hi", model="m"),
    "GenerateContent": lambda c: c.generate_content("g", "Hi"),
    "StreamGenerateContent": lambda c: c.stream_generate_content("g", "Hi").answer(),
    "CreateCachedContent": lambda c: c.create_cached_content("g", "Hi"),
    "UpdateCachedContent": lambda c: c.update_cached_content(
        "cachedContents/1", ttl=timedelta(hours=1)
    ),
    "DeleteCachedContent": lambda c: c.delete_cached_content("cachedContents/1"),
    "UploadFile": lambda c: c.upload_file(b"123", mime_type="text/plain"),
    "DeleteFile": lambda c: c.delete_file("files/1"),
    "DeleteCachedResponses": lambda c: c.delete_cached_responses(all=True),
}


def connection(target: str = "127.0.0.1:1", **options: Any) -> Connection:
    defaults = {
        "token": None,
        "upstream_api_key": None,
        "tls": False,
        "insecure_token": False,
        "keepalive": timedelta(seconds=330),
        "timeout": None,
        "connect_timeout": 1.0,
        "resume": True,
        "options": (),
    }
    return Connection(target, **(defaults | options))


@pytest.mark.parametrize(
    "target, local",
    [
        ("127.0.0.1:50051", True),
        ("127.8.8.8", True),
        ("localhost:50051", True),
        ("bridge.localhost:50051", True),
        ("[::1]:50051", True),
        ("::1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:2", False),
        ("ipv6:[::1]:1", True),
        ("dns:///localhost:50051", True),
        ("dns:localhost:50051", True),
        ("dns://10.0.0.53/localhost:50051", True),
        ("unix:/run/bridge.sock", True),
        ("unix:///run/bridge.sock", True),
        ("unix-abstract:bridge", True),
        ("bridge.internal:443", False),
        ("127.0.0.1.example.com:443", False),
        ("dns:///bridge.internal:443", False),
        ("10.0.0.1:50051", False),
        ("xds:///bridge", False),
        ("", False),
    ],
)
def test_what_stays_on_this_machine(target: str, local: bool) -> None:
    assert is_local(target) is local


@pytest.mark.parametrize("secret", ["token", "upstream_api_key"])
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_secret_in_plain_text_stays_on_this_machine(kind: Any, secret: str) -> None:
    with pytest.raises(ValueError, match="in the clear"):
        kind("bridge.internal:443", **{secret: "s"})


@pytest.mark.parametrize(
    "options", [{"tls": True}, {"insecure_token": True}, {"tls": Tls(server_name="x")}]
)
def test_a_secret_may_leave_where_the_way_is_said_to_be_safe(options: dict[str, Any]) -> None:
    made = connection("bridge.internal:443", token="t", **options)
    assert made.metadata() == (("authorization", "Bearer t"),)


async def test_every_call_carries_the_token_and_the_key(
    connect: Any, address: str, script: Any
) -> None:
    tokens = iter(["one", "two"])
    client = connect(address, token=lambda: next(tokens), upstream_api_key="k")
    script.answer("GetContext", pb.GetContextResponse())
    script.stream("StreamGenerateContent", pb.GenerateContentResponse(billed_usage=pb.Usage()))

    await client.get_context("ctx-1")
    assert script.metadata["authorization"] == "Bearer one"
    await client.stream_generate_content("g", "Hi").answer()
    assert script.metadata["authorization"] == "Bearer two"
    assert script.metadata["x-upstream-api-key"] == "k"
    assert str(script.metadata["user-agent"]).startswith(f"contextbridge-python/{__version__} ")


async def test_raw_stubs_take_the_metadata(connect: Any, address: str, script: Any) -> None:
    client = connect(address, token="t")
    script.answer("GetFile", pb.GetFileResponse(file=pb.File(name="files/1")))
    request = pb.GetFileRequest(name="files/1")
    call = client.stubs.files.GetFile
    if isinstance(client, AsyncClient):
        response = await call(request, metadata=client.metadata())
    else:
        response = await asyncio.to_thread(call, request, metadata=client.metadata())
    assert response.file.name == "files/1"
    assert script.metadata["authorization"] == "Bearer t"
    assert client.channel is client.channel


async def test_a_unix_socket_is_a_target(
    connect: Any, serve: Any, script: Any, tmp_path: Path
) -> None:
    await serve(f"unix:{tmp_path}/s")
    script.answer("GetContext", pb.GetContextResponse(context=pb.Context(id="ctx-1")))
    client = connect(f"unix:{tmp_path}/s", token="t")
    assert (await client.get_context("ctx-1")).id == "ctx-1"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_credentials(authority: trustme.CA, *names: str, mutual: bool) -> Any:
    leaf = authority.issue_cert(*names)
    return grpc.ssl_server_credentials(
        [(leaf.private_key_pem.bytes(), b"".join(p.bytes() for p in leaf.cert_chain_pems))],
        authority.cert_pem.bytes() if mutual else None,
        require_client_auth=mutual,
    )


async def test_tls_from_bytes_with_a_token(
    connect: Any, serve: Any, script: Any, authority: trustme.CA
) -> None:
    address = await serve("127.0.0.1:0", server_credentials(authority, "bridge.test", mutual=False))
    script.answer("GetContext", pb.GetContextResponse(context=pb.Context(id="ctx-1")))
    tls = Tls(ca_pem=authority.cert_pem.bytes(), server_name="bridge.test")
    client = connect(address, token="t", tls=tls)
    assert (await client.get_context("ctx-1")).id == "ctx-1"
    assert script.metadata["authorization"] == "Bearer t"


async def test_mutual_tls_from_files(
    connect: Any, serve: Any, script: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    address = await serve("127.0.0.1:0", server_credentials(authority, "127.0.0.1", mutual=True))
    script.answer("GetContext", pb.GetContextResponse(context=pb.Context(id="ctx-1")))
    leaf = authority.issue_cert("caller")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    tls = Tls(
        ca_file=tmp_path / "ca.pem",
        cert_file=str(tmp_path / "cert.pem"),
        key_file=tmp_path / "key.pem",
    )
    assert (await connect(address, tls=tls).get_context("ctx-1")).id == "ctx-1"


async def test_a_server_of_another_authority_is_not_trusted(
    connect: Any, serve: Any, authority: trustme.CA
) -> None:
    address = await serve("127.0.0.1:0", server_credentials(authority, "127.0.0.1", mutual=False))
    client = connect(address, tls=Tls(ca_pem=trustme.CA().cert_pem.bytes()), connect_timeout=0.2)
    with pytest.raises(ContextBridgeError) as raised:
        await client.delete_file("files/1")
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "members, message",
    [
        ({"ca_file": "a", "ca_pem": b"a"}, "exclude"),
        ({"cert_pem": b"a"}, "needs its key"),
        ({"key_file": "a"}, "its certificate"),
    ],
)
def test_tls_that_cannot_be_meant_is_refused(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tls(**members)


def test_a_certificate_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AsyncClient("bridge.internal:443", tls=Tls(ca_file=tmp_path / "ca.pem"))


def test_a_private_key_is_not_printed() -> None:
    assert "secret" not in repr(Tls(cert_pem=b"c", key_pem=b"secret"))


def test_channel_arguments() -> None:
    options = dict(connection("bridge.internal:443").options)
    assert options["grpc.keepalive_time_ms"] >= 300_000
    assert options["grpc.keepalive_permit_without_calls"] == 0
    assert options["grpc.max_receive_message_length"] == 64 * 2**20
    assert options["grpc.service_config_disable_resolution"] == 1
    assert "grpc.enable_http_proxy" not in options
    assert json.loads(options["grpc.service_config"])["loadBalancingConfig"] == [
        {"round_robin": {}}
    ]


def test_channel_arguments_can_be_replaced() -> None:
    made = connection(keepalive=None, options=[("grpc.max_receive_message_length", 1)])
    options = dict(made.options)
    assert options["grpc.max_receive_message_length"] == 1
    assert "grpc.keepalive_time_ms" not in options
    assert options["grpc.enable_http_proxy"] == 0


def test_reads_and_the_rest_are_all_methods() -> None:
    methods = {
        method.name
        for service in (
            pb.CreateContextRequest,
            pb.CreateCachedContentRequest,
            pb.GenerateContentRequest,
            pb.UploadFileRequest,
            pb.DeleteCachedResponsesRequest,
        )
        for found in service.DESCRIPTOR.file.services_by_name.values()
        for method in found.methods
    }
    assert {*READS, *PAID_OR_CHANGING} == methods


@pytest.mark.parametrize("method", READS)
async def test_reads_are_retried_on_unavailable(client: Any, script: Any, method: str) -> None:
    name = f"{method}Response"
    script.answer(method, getattr(pb, name)())
    script.fail(method, grpc.StatusCode.UNAVAILABLE, "away", times=1)
    await READS[method](client)
    assert len(script.requests[method]) == 2


async def test_reads_are_retried_so_often_and_no_more(client: Any, script: Any) -> None:
    script.fail("GetContext", grpc.StatusCode.UNAVAILABLE, "away")
    with pytest.raises(ContextBridgeError, match="away"):
        await client.get_context("ctx-1")
    assert len(script.requests["GetContext"]) == 4


async def test_reads_are_retried_on_unavailable_alone(client: Any, script: Any) -> None:
    script.fail("GetContext", grpc.StatusCode.INTERNAL, "broken")
    with pytest.raises(ContextBridgeError, match="broken"):
        await client.get_context("ctx-1")
    assert len(script.requests["GetContext"]) == 1


@pytest.mark.parametrize("method", PAID_OR_CHANGING)
async def test_what_is_paid_or_changes_something_is_sent_once(
    client: Any, script: Any, method: str
) -> None:
    script.fail(method, grpc.StatusCode.UNAVAILABLE, "away")
    with pytest.raises(ContextBridgeError, match="away"):
        await PAID_OR_CHANGING[method](client)
    assert len(script.requests[method]) == 1


@pytest.mark.parametrize("seconds", [0.2, timedelta(seconds=0.2)])
async def test_the_clients_timeout_is_every_calls(
    connect: Any, address: str, script: Any, seconds: Any
) -> None:
    script.on("GetContext", script.hang)
    with pytest.raises(ContextBridgeError) as raised:
        await connect(address, timeout=seconds).get_context("ctx-1")
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_may_have_no_deadline_where_the_client_has_one(
    connect: Any, address: str, script: Any
) -> None:
    left: list[float | None] = []

    async def handler(request: Any, context: Any) -> Any:
        del request
        left.append(context.time_remaining())
        return pb.GetContextResponse()

    script.on("GetContext", handler)
    client = connect(address, timeout=60)
    await client.get_context("ctx-1")
    await client.get_context("ctx-1", timeout=float("inf"))
    assert left[0] is not None
    assert 50 < left[0] <= 61
    assert left[1] is None


@pytest.fixture
def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("patience", [{"connect_timeout": 0}, {"connect_timeout": 0.2}])
async def test_without_a_server_the_error_says_so(
    connect: Any, free_address: str, patience: Any
) -> None:
    with pytest.raises(ContextBridgeError, match=re.compile("connect", re.IGNORECASE)) as raised:
        await connect(free_address, **patience).delete_file("files/1")
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


async def test_the_wait_for_a_connection_is_within_the_deadline(
    connect: Any, free_address: str
) -> None:
    client = connect(free_address, connect_timeout=60)
    async with asyncio.timeout(20):
        with pytest.raises(ContextBridgeError):
            await client.delete_file("files/1", timeout=0.2)


async def test_a_call_waits_for_a_server_that_is_starting(
    connect: Any, serve: Any, script: Any, free_address: str
) -> None:
    script.answer("DeleteFile", pb.DeleteFileResponse())
    client = connect(free_address, options=[("grpc.initial_reconnect_backoff_ms", 100)])
    call = asyncio.create_task(client.delete_file("files/1"))
    await asyncio.sleep(0.1)  # Lets the first attempt meet a closed port; nothing depends on it.
    assert not call.done()
    await serve(free_address)
    await asyncio.wait_for(call, 10)


async def test_a_client_waits_again_after_it_lost_the_server(
    connect: Any, address: str, script: Any
) -> None:
    script.answer("DeleteFile", pb.DeleteFileResponse())
    client = connect(address)
    await client.delete_file("files/1")
    script.fail("DeleteFile", grpc.StatusCode.UNAVAILABLE, "away", times=1)
    with pytest.raises(ContextBridgeError, match="away"):
        await client.delete_file("files/1")
    await client.delete_file("files/1")
    assert len(script.requests["DeleteFile"]) == 3


async def test_a_client_is_a_context_manager(connect: Any, address: str, script: Any) -> None:
    script.answer("DeleteFile", pb.DeleteFileResponse())
    async with connect(address) as client:
        await client.delete_file("files/1")


async def test_an_async_client_can_be_made_and_closed_without_a_call() -> None:
    await AsyncClient().close()


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def shape(kind: type) -> dict[str, Any]:
        return {
            name: [
                (p.name, p.kind, p.default, p.annotation)
                for p in inspect.signature(member).parameters.values()
            ]
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert shape(AsyncClient) == shape(Client)
