"""Who may call, over what, and what is kept from whom."""

import hashlib
import os
import ssl
from pathlib import Path

import grpc
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contextbridge import v1 as pb

TOKEN = "tok-5ecret-of-the-shop"
KEY = "sk-5ecret-of-upstream"
PROMPT = "the-pr0mpt-of-a-customer"


@pytest.fixture(name="callers_file")
def callers_file_fixture(tmp_path):
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    path = tmp_path / "callers.toml"
    path.write_text(f'[[callers]]\nname = "shop"\ntenant = "retail"\ntoken_sha256 = "{digest}"\n')
    return path


@pytest.fixture(name="authority")
def authority_fixture():
    return trustme.CA()


@pytest.fixture(name="tls_files")
def tls_files_fixture(authority, tmp_path):
    return written(authority.issue_cert("localhost"), tmp_path)


def written(certificate, folder: Path):
    """Write a certificate and its key; return the settings that name them."""
    chain, key = folder / "tls.crt", folder / "tls.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    return {"tls_certificate_file": chain, "tls_key_file": key}


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


async def test_a_known_token_is_let_in(emulator, bridge, callers_file, generate_request):
    async with bridge(emulator.url, callers_file=callers_file) as channel:
        gemini = pb.GeminiServiceStub(channel)
        answer = await gemini.GenerateContent(generate_request(), metadata=bearer(TOKEN))

    assert answer.candidates
    assert "authorization" not in emulator.requests[-1].headers


@pytest.mark.parametrize(
    "metadata, reason",
    [
        ((), "TOKEN_MISSING"),
        ((("authorization", TOKEN),), "TOKEN_MISSING"),
        ((("authorization", "Basic c2hvcA=="),), "TOKEN_MISSING"),
        (bearer("guess"), "TOKEN_INVALID"),
        (bearer(TOKEN[:-1]), "TOKEN_INVALID"),
    ],
)
@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent"])
async def test_everyone_else_is_kept_out_before_upstream_hears_of_it(
    metadata, reason, method, emulator, bridge, callers_file, generate_request, failure
):
    async with bridge(emulator.url, callers_file=callers_file) as channel:
        call = getattr(pb.GeminiServiceStub(channel), method)
        failed = await failure(call(generate_request(), metadata=metadata))

    assert (failed.code.name, failed.reason) == ("UNAUTHENTICATED", reason)
    assert "guess" not in failed.message
    assert not emulator.requests


async def test_health_needs_no_token(emulator, bridge, callers_file):
    async with bridge(emulator.url, callers_file=callers_file) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_callers_own_key_goes_upstream_where_keys_are_passed_through(
    emulator, bridge, generate_request, failure
):
    settings = {"upstream_key_from": "caller", "upstream_api_key": KEY}
    async with bridge(emulator.url, **settings) as channel:
        gemini = pb.GeminiServiceStub(channel)
        metadata = (("x-upstream-api-key", "sk-mine"),)
        await gemini.GenerateContent(generate_request(), metadata=metadata)
        failed = await failure(gemini.GenerateContent(generate_request()))

    assert [request.headers["x-goog-api-key"] for request in emulator.requests] == ["sk-mine"]
    assert (failed.code.name, failed.reason) == ("UNAUTHENTICATED", "UPSTREAM_KEY_MISSING")


async def test_the_upstream_key_may_come_from_a_file(emulator, bridge, generate_request, tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    settings = {"upstream_api_key": None, "upstream_api_key_file": path}

    async with bridge(emulator.url, **settings) as channel:
        await pb.GeminiServiceStub(channel).GenerateContent(generate_request())

    assert emulator.requests[-1].headers["x-goog-api-key"] == KEY


@pytest.mark.parametrize("key_from", ["server", "caller"])
async def test_a_key_that_upstream_echoes_reaches_neither_caller_nor_log(
    key_from, bridge, generate_request, failure, capfd
):
    async def refuse(request):
        message = f"Incorrect API key provided: {request.headers['x-goog-api-key']}."
        return web.json_response({"error": {"message": message}}, status=401)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    async with TestServer(application) as upstream:
        settings = {"upstream_api_key": KEY, "upstream_key_from": key_from}
        async with bridge(str(upstream.make_url("")), **settings) as channel:
            gemini = pb.GeminiServiceStub(channel)
            metadata = (("x-upstream-api-key", KEY),)
            failed = await failure(gemini.GenerateContent(generate_request(), metadata=metadata))

    assert failed.reason == "UPSTREAM_KEY_INVALID"
    assert "Incorrect API key provided: [redacted]." in failed.message
    assert KEY not in str(failed.info)
    assert KEY not in "".join(capfd.readouterr())


def secure_channel(address, authority, *, certificate=None):
    pair = {}
    if certificate is not None:
        pair = {
            "private_key": certificate.private_key_pem.bytes(),
            "certificate_chain": certificate.cert_chain_pems[0].bytes(),
        }
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), **pair)
    options = [("grpc.ssl_target_name_override", "localhost")]
    return grpc.aio.secure_channel(address, credentials, options=options)


async def check(channel):
    return await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=5
    )


async def test_tls_comes_from_files(emulator, bridge, authority, tls_files):
    async with (
        bridge(emulator.url, **tls_files) as plain,
        secure_channel(plain.address, authority) as channel,
    ):
        answer = await check(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await check(plain)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_mutual_tls_lets_in_only_those_with_a_certificate(
    emulator, bridge, authority, tls_files, tmp_path
):
    client_authority = trustme.CA()
    ca_file = tmp_path / "clients.pem"
    ca_file.write_bytes(client_authority.cert_pem.bytes())
    known = client_authority.issue_cert("shop")
    stranger = trustme.CA().issue_cert("shop")

    settings = {**tls_files, "tls_client_ca_file": ca_file}
    async with bridge(emulator.url, **settings) as plain:
        async with secure_channel(plain.address, authority, certificate=known) as channel:
            await check(channel)
        for certificate in (None, stranger):
            async with secure_channel(plain.address, authority, certificate=certificate) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await check(channel)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_shown_without_a_restart(
    emulator, bridge, authority, tls_files
):
    async with bridge(emulator.url, **tls_files) as plain:
        async with secure_channel(plain.address, authority) as channel:
            await check(channel)
        other = trustme.CA()
        written(other.issue_cert("localhost"), tls_files["tls_key_file"].parent)
        os.utime(tls_files["tls_certificate_file"], (0, 0))

        async with secure_channel(plain.address, other) as channel:
            await check(channel)


async def test_a_broken_renewal_keeps_the_certificate_that_works(
    emulator, bridge, authority, tls_files
):
    async with bridge(emulator.url, **tls_files) as plain:
        tls_files["tls_certificate_file"].unlink()

        async with secure_channel(plain.address, authority) as channel:
            await check(channel)


async def test_no_secret_and_no_prompt_reaches_a_log(
    emulator, serving_logged, callers_file, generate_request
):
    flags = ("--upstream", emulator.url, "--callers-file", str(callers_file))
    with serving_logged(*flags, CONTEXTBRIDGE_UPSTREAM_API_KEY=KEY) as (address, log):
        async with grpc.aio.insecure_channel(address) as channel:
            gemini = pb.GeminiServiceStub(channel)
            for fault in ("echo", "server-error", "cut-midstream", "unauthorized", "stall"):
                request = generate_request(f"gemini-2.5-flash+{fault}", PROMPT)
                for call in (gemini.GenerateContent, gemini.StreamGenerateContent):
                    await call(request, metadata=bearer(TOKEN), timeout=1.5).code()
            await gemini.GenerateContent(request, metadata=bearer("guess")).code()
        written_log = log(calls=11)

    assert written_log.count('"event":"call"') == 11
    assert '"caller":"shop"' in written_log
    assert '"tenant":"retail"' in written_log
    for secret in (TOKEN, KEY, PROMPT, "guess"):
        assert secret not in written_log


async def test_upstream_is_trusted_by_the_authorities_that_the_settings_name(
    authority, bridge, generate_request, failure, tmp_path
):
    async def answer(_):
        candidate = {"content": {"parts": [{"text": "Fog."}]}, "finishReason": "STOP"}
        return web.json_response({"candidates": [candidate]})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = tmp_path / "upstream.pem"
    ca_file.write_bytes(authority.cert_pem.bytes())
    upstream = TestServer(application, host="localhost", scheme="https")
    await upstream.start_server(ssl=context)
    try:
        url = str(upstream.make_url(""))
        async with bridge(url, upstream_ca_file=ca_file) as channel:
            trusted = await pb.GeminiServiceStub(channel).GenerateContent(generate_request())
        async with bridge(url) as channel:
            failed = await failure(
                pb.GeminiServiceStub(channel).GenerateContent(generate_request())
            )
    finally:
        await upstream.close()

    assert trusted.candidates[0].content.parts[0].text == "Fog."
    assert (failed.code.name, failed.reason) == ("UNAVAILABLE", "UPSTREAM_CONNECT_FAILED")
