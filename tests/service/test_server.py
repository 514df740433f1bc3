"""The server as operators and load balancers see it."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from contextbridge import v1 as pb

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
OURS = {
    "contextbridge.v1.ContextService",
    "contextbridge.v1.GeminiService",
    "contextbridge.v1.CachedContentService",
    "contextbridge.v1.FileService",
}


async def test_health_is_told_for_the_server_and_for_each_service(channel):
    stub = health_pb2_grpc.HealthStub(channel)

    for name in ("", *OURS):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == SERVING


async def test_health_of_an_unknown_service_is_not_found_and_no_fault(serving_logged):
    with serving_logged("--upstream", "emulator") as (address, log):
        async with grpc.aio.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            call = stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
            code = await call.code()
        written = log(calls=1)

    assert code is grpc.StatusCode.NOT_FOUND
    assert '"rpc.response.status_code":"NOT_FOUND"' in written
    assert "call.fault" not in written


async def listed_by(channel, package):
    method = channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(
            file_containing_symbol=f"{package}.ServerReflection"
        ),
    ]
    listing, described = [answer async for answer in method(iter(requests))]
    files = described.file_descriptor_response.file_descriptor_proto
    packages = {FileDescriptorProto.FromString(file).package for file in files}
    return {s.name for s in listing.list_services_response.service}, packages


@pytest.mark.parametrize("package", ["grpc.reflection.v1", "grpc.reflection.v1alpha"])
async def test_both_versions_of_reflection_list_and_describe(package, channel):
    names, packages = await listed_by(channel, package)

    assert names >= OURS | {f"{package}.ServerReflection", "grpc.health.v1.Health"}
    assert packages == {package}


@pytest.mark.parametrize(
    "symbol, file",
    [
        ("contextbridge.v1.GeminiService.GenerateContent", "gemini_service.proto"),
        ("contextbridge.v1.Context.id", "context.proto"),
        ("google.rpc.ErrorInfo", "error_details.proto"),
        ("contextbridge.v1.GeminiService.Nothing", None),
        ("nothing", None),
    ],
)
async def test_reflection_finds_what_declares_a_symbol(symbol, file, channel):
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = [answer async for answer in reflection.ServerReflectionInfo(iter([request]))]

    files = answer.file_descriptor_response.file_descriptor_proto
    names = [FileDescriptorProto.FromString(found).name.rpartition("/")[2] for found in files]
    assert (file in names) if file else (answer.error_response.error_code == 5 and not names)


async def test_reflection_can_be_switched_off(emulator, bridge, failure):
    async with bridge(emulator.url, reflection=False) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        failed = await failure(
            stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()]))
        )

    assert (failed.code.name, failed.reason) == ("UNIMPLEMENTED", "METHOD_UNKNOWN")


async def test_channelz_is_off_unless_asked_for(emulator, bridge, failure):
    request = channelz_pb2.GetServersRequest()
    async with bridge(emulator.url) as channel:
        failed = await failure(channelz_pb2_grpc.ChannelzStub(channel).GetServers(request))
    async with bridge(emulator.url, channelz=True) as channel:
        servers = await channelz_pb2_grpc.ChannelzStub(channel).GetServers(request)

    assert failed.reason == "METHOD_UNKNOWN"
    assert len(servers.server) == 1


async def test_a_callers_request_id_comes_back_and_a_missing_one_is_made(channel, failure):
    contexts = pb.ContextServiceStub(channel)
    request = pb.GetContextRequest(id="a")

    given = await failure(contexts.GetContext(request, metadata=(("x-request-id", "order-7"),)))
    made = await failure(contexts.GetContext(request))
    odd = await failure(contexts.GetContext(request, metadata=(("x-request-id", 'a"b c'),)))

    assert given.request_id == "order-7"
    assert made.request_id
    assert odd.request_id not in ("", 'a"b c')


async def test_a_success_tells_its_request_id_too(channel, generate_request):
    call = pb.GeminiServiceStub(channel).GenerateContent(
        generate_request(), metadata=(("x-request-id", "order-7"),)
    )

    assert dict(await call.trailing_metadata())["x-request-id"] == "order-7"


async def test_calls_past_the_limit_are_refused_at_once_and_room_comes_back(
    emulator, bridge, failure, generate_request, eventually
):
    # The transport's own limit is the same; a second connection gets past it to ours.
    own_connection = [("grpc.use_local_subchannel_pool", 1)]
    async with bridge(emulator.url, max_concurrent_calls=2) as channel:
        address = channel.address
        async with grpc.aio.insecure_channel(address, options=own_connection) as second:
            stalled = generate_request("gemini-2.5-flash+stall")
            first = pb.GeminiServiceStub(channel)
            calls = [first.GenerateContent(stalled) for _ in range(2)]
            await emulator.wait_for_open(2)

            gemini = pb.GeminiServiceStub(second)
            failed = await failure(gemini.GenerateContent(generate_request()))
            health = await health_pb2_grpc.HealthStub(second).Check(health_pb2.HealthCheckRequest())
            calls[0].cancel()
            await emulator.wait_until(lambda: emulator.open_requests == 1)
            # Upstream may know that a call has ended before the bridge is done with it.
            answer = await eventually(lambda: taken(gemini.GenerateContent(generate_request())))
            calls[1].cancel()

    assert (failed.code.name, failed.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert failed.retry_delay is not None
    assert health.status == SERVING
    assert answer.candidates


async def taken(call):
    """Return the answer of a call; None where there was no room for it."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return None


async def test_a_stop_says_not_serving_lets_streams_end_and_watchers_go(
    emulator, serving_process, generate_request
):
    key = ("--upstream-api-key", "sk-test")
    flags = ("--upstream", emulator.url, *key, "--drain-grace", "20s", "--drain-delay", "100ms")
    with serving_process(*flags) as (pid, address):
        async with grpc.aio.insecure_channel(address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            statuses = aiter(watch)
            assert (await anext(statuses)).status == SERVING
            gemini = pb.GeminiServiceStub(channel)
            stream = aiter(
                gemini.StreamGenerateContent(
                    generate_request("gemini-2.5-flash+pace=0.01", "count to 50")
                )
            )
            first = await anext(stream)

            os.kill(pid, signal.SIGTERM)

            assert [answer.status async for answer in statuses] == [NOT_SERVING]
            rest = [message async for message in stream]

    assert rest[-1].sequence == 50 == len([first, *rest])
    assert rest[-1].HasField("billed_usage")


async def test_a_second_signal_ends_the_draining(emulator, serving_process, generate_request):
    key = ("--upstream-api-key", "sk-test")
    flags = ("--upstream", emulator.url, *key, "--drain-grace", "1h")
    with serving_process(*flags) as (pid, address):
        async with grpc.aio.insecure_channel(address) as channel:
            gemini = pb.GeminiServiceStub(channel)
            call = gemini.GenerateContent(generate_request("gemini-2.5-flash+stall"))
            await emulator.wait_for_open(1)
            watch = aiter(
                health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            )
            await anext(watch)
            os.kill(pid, signal.SIGTERM)
            assert (await anext(watch)).status == NOT_SERVING

            os.kill(pid, signal.SIGTERM)

            async with asyncio.timeout(10):
                assert await call.code() is not grpc.StatusCode.OK


async def test_the_built_in_emulator_ends_with_the_server(serving_process):
    with serving_process("--upstream", "emulator") as (pid, _):
        children = subprocess.check_output(["ps", "--ppid", str(pid), "-o", "pid="], text=True)
        os.kill(pid, signal.SIGKILL)
        (emulator,) = children.split()

        async with asyncio.timeout(10):
            while is_running(emulator):
                await asyncio.sleep(0.02)


def is_running(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().split()
    except FileNotFoundError:
        return False
    return fields[2] != "Z"


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has it")
def test_grpcs_threads_give_way_to_the_event_loop(serving_process):
    with serving_process("--upstream", "emulator", "--workers", "1") as (pid, _):
        threads = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
        policies = {thread: os.sched_getscheduler(thread) for thread in threads}

    assert policies[pid] == os.SCHED_OTHER
    assert os.SCHED_BATCH in policies.values()


async def test_a_unix_socket_can_be_listened_on(emulator, bridge, tmp_path, generate_request):
    async with bridge(emulator.url, listen=f"unix:{tmp_path}/bridge.sock") as channel:
        answer = await pb.GeminiServiceStub(channel).GenerateContent(generate_request())

    assert answer.candidates


async def test_a_taken_port_is_a_clear_failure(emulator, bridge):
    async with bridge(emulator.url) as channel:
        with pytest.raises(RuntimeError, match="Failed to bind"):
            async with bridge(emulator.url, listen=channel.address):
                pass
