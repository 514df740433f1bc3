"""The blocking client on a scripted channel: what it sends, reads, resumes, cancels and raises.

grpc_testing's channel hands each call to the test, which answers it step by step (ADR 32). The
other modules of this folder run both clients against real servers.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from contextbridge import Client, ContextBridgeError, Resume
from contextbridge import v1 as pb
from contextbridge.v1 import context_service_pb2, gemini_service_pb2

PROBE = "/grpc.health.v1.Health/Check"
CONTEXTS = context_service_pb2.DESCRIPTOR.services_by_name["ContextService"]
GEMINI = gemini_service_pb2.DESCRIPTOR.services_by_name["GeminiService"]
AT_ONCE = Resume(attempts=3, initial_backoff=timedelta(0))
OK = grpc.StatusCode.OK


class ScriptedChannel:
    """A channel whose calls a test answers; the probe for a connection succeeds by itself."""

    def __init__(self) -> None:
        self.script = grpc_testing.channel((CONTEXTS, GEMINI), grpc_testing.strict_real_time())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.script, name)

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return what calls a method."""
        if method == PROBE:
            return lambda *_, **__: b""
        return self.script.unary_unary(method, *arguments, **options)


@pytest.fixture(name="channel")
def channel_fixture(monkeypatch: pytest.MonkeyPatch) -> ScriptedChannel:
    channel = ScriptedChannel()
    monkeypatch.setattr(grpc, "insecure_channel", lambda *_: channel)
    return channel


@pytest.fixture(name="client")
def client_fixture(channel: ScriptedChannel) -> Iterator[Client]:
    with Client("127.0.0.1:1", token="t0ken", resume=AT_ONCE) as client:
        yield client


@pytest.fixture(name="begin")
def begin_fixture() -> Iterator[Callable[..., Future[Any]]]:
    """Return what runs a blocking call in a thread of its own."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def taken_chat(channel: ScriptedChannel) -> tuple[dict[str, str], Any, Any]:
    """Take the next streaming chat: its metadata, its request, and what answers it."""
    metadata, request, rpc = channel.take_unary_stream(CONTEXTS.methods_by_name["ChatWithContext"])
    rpc.send_initial_metadata(())
    return dict(metadata), request, rpc


def wait_until_read(stream: Any, sequence: int) -> None:
    """Wait until a stream has an event: a failure overtakes what the channel still holds."""
    give_up = time.monotonic() + 10
    while stream.sequence < sequence:
        assert time.monotonic() < give_up, stream.sequence
        time.sleep(0.001)


def event(sequence: int, **member: Any) -> pb.ChatWithContextResponse:
    return pb.ChatWithContextResponse(sequence=sequence, **member)


STARTED = event(1, started=pb.ChatStarted(id="a-1", resumable=True))
COMPLETED = event(4, completed=pb.ChatCompleted(usage=pb.Usage(total_tokens=7)))


def content(sequence: int, text: str) -> pb.ChatWithContextResponse:
    return event(sequence, content=pb.TextDelta(text=text))


def details(reason: str, *more: Any) -> tuple[tuple[str, bytes], ...]:
    """Return trailers with a reason and more details."""
    status = status_pb2.Status(code=3, message="It said no.")
    info = error_details_pb2.ErrorInfo(reason=reason, domain="contextbridge.dev")
    for detail in (info, *more):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def test_a_unary_call_sends_the_token_and_returns_the_response(client, channel, begin):
    call = begin(client.complete_chat, "context-1", "Hello")

    method = CONTEXTS.methods_by_name["CompleteChatWithContext"]
    metadata, request, rpc = channel.take_unary_unary(method)
    rpc.send_initial_metadata(())
    rpc.terminate(pb.CompleteChatWithContextResponse(id="a-1"), (), OK, "")

    assert call.result(10).id == "a-1"
    assert dict(metadata)["authorization"] == "Bearer t0ken"
    assert (request.context_id, request.model) == ("context-1", "")
    assert request.messages[0].content == "Hello"


def test_a_stream_gives_its_events_and_its_text(client, channel, begin):
    call = begin(lambda: list(client.chat("context-1", "Hello").text()))

    _, _, rpc = taken_chat(channel)
    for each in (STARTED, content(2, "At "), content(3, "Oban."), COMPLETED):
        rpc.send_response(each)
    rpc.terminate((), OK, "")

    assert call.result(10) == ["At ", "Oban."]


def test_a_stream_that_breaks_goes_on_after_its_newest_event(client, channel, begin):
    stream = client.chat("context-1", "Hello", idempotency_key="turn-1")
    call = begin(stream.answer)

    _, first, rpc = taken_chat(channel)
    rpc.send_response(STARTED)
    rpc.send_response(content(2, "At "))
    wait_until_read(stream, 2)
    rpc.terminate((), grpc.StatusCode.UNAVAILABLE, "connection lost")
    _, second, rpc = taken_chat(channel)
    rpc.send_response(content(3, "Oban."))
    rpc.send_response(COMPLETED)
    rpc.terminate((), OK, "")

    answer = call.result(10)
    assert answer.choices[0].message.content == "At Oban."
    assert answer.usage.total_tokens == 7
    assert (first.idempotency_key, first.resume_after) == ("turn-1", 0)
    assert (second.idempotency_key, second.resume_after) == ("turn-1", 2)


def test_a_stream_without_a_key_fails_where_it_breaks(client, channel, begin):
    call = begin(lambda: client.chat("context-1", "Hello").answer())

    _, _, rpc = taken_chat(channel)
    rpc.send_response(STARTED)
    rpc.terminate((), grpc.StatusCode.UNAVAILABLE, "connection lost")

    with pytest.raises(ContextBridgeError) as raised:
        call.result(10)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_unary_call_with_a_key_is_sent_again_after_a_break(client, channel, begin):
    options = {"model": "m", "contents": "Hello", "idempotency_key": "k-1"}
    call = begin(lambda: client.generate_content(**options))
    method = GEMINI.methods_by_name["GenerateContent"]

    _, first, rpc = channel.take_unary_unary(method)
    rpc.terminate(None, (), grpc.StatusCode.UNAVAILABLE, "connection lost")
    _, second, rpc = channel.take_unary_unary(method)
    rpc.send_initial_metadata(())
    rpc.terminate(pb.GenerateContentResponse(response_id="r-1"), (), OK, "")

    assert call.result(10).response_id == "r-1"
    assert first == second


def test_leaving_a_stream_cancels_its_call(client, channel, begin):
    def first_event() -> pb.ChatWithContextResponse:
        with client.chat("context-1", "Hello") as stream:
            return next(stream)

    call = begin(first_event)
    _, _, rpc = taken_chat(channel)
    rpc.send_response(STARTED)

    assert call.result(10) == STARTED
    rpc.cancelled()


def test_a_stream_that_another_thread_cancels_ends_as_cancelled(client, channel, begin):
    stream = client.chat("context-1", "Hello")
    call = begin(list, stream)
    _, _, rpc = taken_chat(channel)
    rpc.send_response(STARTED)

    stream.cancel()
    rpc.cancelled()

    with pytest.raises(ContextBridgeError) as raised:
        call.result(10)
    assert raised.value.code is grpc.StatusCode.CANCELLED


def test_a_deadline_that_has_passed_is_not_got_over(client, channel, begin):
    call = begin(lambda: client.chat("context-1", "Hello", idempotency_key="turn-1").answer())

    _, _, rpc = taken_chat(channel)
    rpc.send_response(STARTED)
    rpc.terminate((), grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    with pytest.raises(ContextBridgeError) as raised:
        call.result(10)
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_error_has_its_reason_violations_and_retry_delay(client, channel, begin):
    call = begin(client.complete_chat, "context-1", "Hello")
    violation = error_details_pb2.BadRequest.FieldViolation(field="model", description="Required.")
    trailers = details(
        "ERROR_REASON_REQUEST_INVALID",
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2)),
        error_details_pb2.RequestInfo(request_id="r-1"),
    )

    method = CONTEXTS.methods_by_name["CompleteChatWithContext"]
    _, _, rpc = channel.take_unary_unary(method)
    rpc.terminate(None, trailers, grpc.StatusCode.INVALID_ARGUMENT, "It said no.")

    with pytest.raises(ContextBridgeError) as raised:
        call.result(10)
    error = raised.value
    assert error.reason == "ERROR_REASON_REQUEST_INVALID"
    assert [(v.field, v.description) for v in error.violations] == [("model", "Required.")]
    assert error.retry_delay.total_seconds() == 2
    assert error.request_id == "r-1"
