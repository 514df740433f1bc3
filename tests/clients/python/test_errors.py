"""What is read from a status, and what is raised."""

import asyncio
import copy
import pickle
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from contextbridge import ContextBridgeError, Violation

BUSY = error_details_pb2.ErrorInfo(
    reason="ERROR_REASON_CONTEXT_BUSY",
    domain="contextbridge.dev",
    metadata={"requestId": "q-1", "httpStatus": "400"},
)


async def test_an_error_carries_every_detail(client: Any, script: Any) -> None:
    script.fail(
        "GetContext",
        grpc.StatusCode.FAILED_PRECONDITION,
        "The session is busy.",
        BUSY,
        error_details_pb2.RetryInfo(
            retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)
        ),
        error_details_pb2.RequestInfo(request_id="q-2"),
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field="id", description="is empty"),
                error_details_pb2.BadRequest.FieldViolation(field="n", description="is 0"),
            ]
        ),
        error_details_pb2.Help(),
    )

    with pytest.raises(ContextBridgeError) as raised:
        await client.get_context("ctx-1")

    error = raised.value
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.message == "The session is busy."
    assert error.reason == "ERROR_REASON_CONTEXT_BUSY"
    assert error.retry_delay == timedelta(seconds=1.5)
    assert error.request_id == "q-2"
    assert error.metadata == {"requestId": "q-1", "httpStatus": "400"}
    assert error.violations == (Violation("id", "is empty"), Violation("n", "is 0"))
    assert isinstance(error.__cause__, grpc.RpcError)
    assert str(error) == (
        "ERROR_REASON_CONTEXT_BUSY: The session is busy.; id: is empty; n: is 0 (request id q-2)"
    )


async def test_an_error_without_details_has_its_code_and_message(client: Any, script: Any) -> None:
    script.fail("GetContext", grpc.StatusCode.NOT_FOUND, "gone")
    with pytest.raises(ContextBridgeError) as raised:
        await client.get_context("ctx-1")
    error = raised.value
    assert (error.code, error.message) == (grpc.StatusCode.NOT_FOUND, "gone")
    assert (error.reason, error.metadata, error.violations) == ("", {}, ())
    assert (error.retry_delay, error.request_id) == (None, "")
    assert str(error) == "NOT_FOUND: gone"


async def test_the_request_id_is_found_in_the_metadata_too(client: Any, script: Any) -> None:
    script.fail("GetContext", grpc.StatusCode.NOT_FOUND, "gone", BUSY)
    with pytest.raises(ContextBridgeError) as raised:
        await client.get_context("ctx-1")
    assert raised.value.request_id == "q-1"


def garbled(name: str, value: bytes) -> bytes:
    detail = any_pb2.Any(type_url=f"type.googleapis.com/google.rpc.{name}", value=value)
    return bytes(status_pb2.Status(details=[detail]).SerializeToString())


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff garbled",
        b"",
        garbled("ErrorInfo", b"\xff\xff"),
        garbled("Unheard", b"\xff\xff"),
        # A delay of more years than a timedelta holds.
        garbled(
            "RetryInfo",
            error_details_pb2.RetryInfo(
                retry_delay=duration_pb2.Duration(seconds=2**62)
            ).SerializeToString(),
        ),
    ],
)
async def test_garbled_details_leave_code_and_message(
    client: Any, script: Any, value: bytes
) -> None:
    async def handler(request: Any, context: Any) -> None:
        del request
        trailer = (("grpc-status-details-bin", value),)
        await context.abort(grpc.StatusCode.INTERNAL, "oh", trailer)

    script.on("GetContext", handler)
    with pytest.raises(ContextBridgeError) as raised:
        await client.get_context("ctx-1")
    error = raised.value
    assert (error.code, error.message, error.reason) == (grpc.StatusCode.INTERNAL, "oh", "")
    assert error.retry_delay is None


async def test_many_violations_arrive_whole(client: Any, script: Any) -> None:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=f"f[{i}]", description="is wrong " * 10)
        for i in range(200)
    ]
    bad = error_details_pb2.BadRequest(field_violations=violations)
    script.fail("GetContext", grpc.StatusCode.INVALID_ARGUMENT, "wrong", bad)
    with pytest.raises(ContextBridgeError) as raised:
        await client.get_context("ctx-1")
    assert len(raised.value.violations) == 200


async def test_a_bare_rpc_error_is_unknown() -> None:
    error = ContextBridgeError.from_rpc_error(grpc.RpcError())
    assert (error.code, error.message, error.reason) == (grpc.StatusCode.UNKNOWN, "", "")


async def test_errors_of_raw_stubs_can_be_read(script: Any, connect: Any, address: str) -> None:
    script.fail("GetContext", grpc.StatusCode.NOT_FOUND, "gone", BUSY)
    client = connect(address, token="t")
    with pytest.raises(ContextBridgeError) as raised:
        await client.get_context("ctx-1")
    cause = raised.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    assert ContextBridgeError.from_rpc_error(cause).reason == "ERROR_REASON_CONTEXT_BUSY"


@pytest.mark.parametrize("remake", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_copying_and_pickling(remake: Any) -> None:
    error = ContextBridgeError(
        grpc.StatusCode.NOT_FOUND,
        "gone",
        reason="ERROR_REASON_CONTEXT_NOT_FOUND",
        violations=(Violation("id", "is unknown"),),
        retry_delay=timedelta(seconds=1),
    )
    again = remake(error)
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)


async def test_a_deadline_that_passes_is_an_error(client: Any, script: Any) -> None:
    script.on("CompleteChatWithContext", script.hang)
    # By then, the call has arrived, however slow the machine is.
    with pytest.raises(ContextBridgeError) as raised:
        await client.complete_chat("ctx-1", "Hello", model="m", timeout=timedelta(seconds=2))
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await script.caller_left()


# A blocking call has no task to cancel; it ends with its deadline.
@pytest.mark.parametrize("connect", ["async"], indirect=True)
async def test_a_cancelled_task_sees_cancelled_error_and_the_server_sees_it_leave(
    script: Any, connect: Any, address: str
) -> None:
    begun = asyncio.Event()

    async def handler(request: Any, context: Any) -> None:
        begun.set()
        await script.hang(request, context)

    script.on("CompleteChatWithContext", handler)
    task = asyncio.create_task(connect(address).complete_chat("ctx-1", "Hello", model="m"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await script.caller_left()
