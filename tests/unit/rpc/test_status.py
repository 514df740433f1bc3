"""The table from reasons to statuses: every row, agreement with the protos, and the trailers."""

import base64
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError, Violation
from contextbridge_server.rpc.status import DOMAIN, STATUSES, trailers

PROTO = Path(__file__).parents[3] / "protos" / "contextbridge" / "v1" / "error_reason.proto"
ROW = re.compile(
    r"// Status (?P<code>[A-Z_]+); a retry (?P<helps>can help|does not help)\.\n"
    r"\s+(?P<name>ERROR_REASON_[A-Z_]+) = \d+;"
)
DOCUMENTED = {
    found["name"]: (found["code"], found["helps"] == "can help")
    for found in ROW.finditer(PROTO.read_text())
}
REASONS = [name for name, number in pb.ErrorReason.items() if number]
MAX_TRAILER_BYTES = 8_192
REQUEST_ID = "r" * 128
GRPC_OVERHEAD_BYTES = 32
"""What HTTP/2 counts for each header beside its name and value."""


def details_of(pairs: Any) -> dict[str, Any]:
    status = status_pb2.Status.FromString(dict(pairs)["grpc-status-details-bin"])
    found: dict[str, Any] = {"Status": status}
    for detail in status.details:
        kind = detail.type_url.rpartition(".")[2]
        assert kind not in found
        found[kind] = getattr(error_details_pb2, kind)()
        assert detail.Unpack(found[kind])
    return found


def wire_size(message: str, pairs: Any) -> int:
    """Return the size of trailers as HTTP/2 sends and counts them."""
    headers = {"grpc-status": "13", "grpc-message": quote(message, safe=" ")}
    for key, value in pairs:
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        headers[key] = text
    return sum(len(k) + len(v) + GRPC_OVERHEAD_BYTES for k, v in headers.items())


def test_every_reason_of_the_proto_says_its_status_and_has_its_row() -> None:
    # Assert
    assert set(DOCUMENTED) == set(REASONS)
    assert {pb.ErrorReason.Name(reason) for reason in STATUSES} == set(REASONS)


@pytest.mark.parametrize("name", REASONS)
def test_a_row_agrees_with_the_proto(name: str) -> None:
    # Arrange
    code, can_help = DOCUMENTED[name]

    # Act
    row = STATUSES[pb.ErrorReason.Value(name)]

    # Assert
    assert row.code.name == code
    assert (row.retry_after is not None) == can_help
    assert row.advice.endswith(".")


@pytest.mark.parametrize("name", REASONS)
def test_a_failure_is_told_with_one_of_each_detail(name: str) -> None:
    # Arrange
    error = BridgeError(pb.ErrorReason.Value(name), "It broke.", metadata={"httpStatus": "500"})

    # Act
    code, message, pairs = trailers(error, "id-1")

    # Assert
    found = details_of(pairs)
    row = STATUSES[error.reason]
    assert code is row.code
    assert message == f"It broke. {row.advice}"
    assert (found["Status"].code, found["Status"].message) == (code.value[0], message)
    assert found["ErrorInfo"].reason == name
    assert found["ErrorInfo"].domain == DOMAIN == "contextbridge.dev"
    assert dict(found["ErrorInfo"].metadata) == {"requestId": "id-1", "httpStatus": "500"}
    assert found["RequestInfo"].request_id == "id-1"
    assert ("RetryInfo" in found) == (row.retry_after is not None)
    assert "BadRequest" not in found
    assert dict(pairs)["x-request-id"] == "id-1"


@pytest.mark.parametrize(
    "reason, asked, told",
    [
        (pb.ERROR_REASON_UPSTREAM_RATE_LIMITED, None, 5),
        (pb.ERROR_REASON_UPSTREAM_RATE_LIMITED, timedelta(0), 0),
        (pb.ERROR_REASON_UPSTREAM_RATE_LIMITED, timedelta(seconds=13.062), 13.062),
        (pb.ERROR_REASON_UPSTREAM_UNAVAILABLE, None, 1),
        (pb.ERROR_REASON_UPSTREAM_UNAVAILABLE, timedelta(days=1000), 86_400_000),
        (pb.ERROR_REASON_UPSTREAM_QUOTA_EXHAUSTED, timedelta(seconds=5), None),
        (pb.ERROR_REASON_REQUEST_INVALID, None, None),
    ],
)
def test_retry_info_is_upstreams_delay_or_our_own_where_a_retry_can_help(
    reason: Any, asked: timedelta | None, told: float | None
) -> None:
    # Act
    _, _, pairs = trailers(BridgeError(reason, "m", retry_after=asked), "id")

    # Assert
    info = details_of(pairs).get("RetryInfo")
    assert (info.retry_delay.ToTimedelta().total_seconds() if info else None) == told


def test_every_violation_is_told() -> None:
    # Arrange
    violations = [Violation("model", "Required."), Violation("messages", "Required.")]

    # Act
    code, _, pairs = trailers(
        BridgeError(pb.ERROR_REASON_REQUEST_INVALID, "m", violations=violations), "id"
    )

    # Assert
    told = details_of(pairs)["BadRequest"].field_violations
    assert code is StatusCode.INVALID_ARGUMENT
    assert [(v.field, v.description) for v in told] == [
        ("model", "Required."),
        ("messages", "Required."),
    ]


@pytest.mark.parametrize(
    "error",
    [
        BridgeError(
            pb.ERROR_REASON_REQUEST_INVALID,
            "燈台の番人。" * 1_000,
            violations=[
                Violation(f"messages[{place}].parts[灯台]", "Må være gyldig. 灯台")
                for place in range(10_000)
            ],
        ),
        BridgeError(
            pb.ERROR_REASON_REQUEST_INVALID,
            "燈" * 10_000,
            violations=[Violation(f"extra_body.{'燈' * 10_000}", "燈" * 10_000)],
        ),
        BridgeError(
            pb.ERROR_REASON_UPSTREAM_RATE_LIMITED,
            "燈" * 10_000,
            metadata={
                "httpStatus": "429",
                "upstreamCode": "燈" * 10_000,
                "upstreamMessage": "👩‍👩‍👧" * 10_000,
                "upstreamRequestId": "x" * 100_000,
            },
            retry_after=timedelta(days=1),
        ),
        BridgeError(pb.ERROR_REASON_INTERNAL, "\u2028\x00\n%" * 10_000),
    ],
    ids=["violations", "one violation", "metadata", "controls"],
)
def test_trailers_stay_below_what_clients_take(error: BridgeError) -> None:
    # Act
    _, message, pairs = trailers(error, REQUEST_ID)

    # Assert
    found = details_of(pairs)
    assert wire_size(message, pairs) < MAX_TRAILER_BYTES
    assert found["Status"].message == message
    assert found["ErrorInfo"].metadata["requestId"] == REQUEST_ID


def test_violations_past_the_room_are_counted() -> None:
    # Arrange
    violations = [Violation(f"messages[{place}].role", "Required.") for place in range(10_000)]

    # Act
    _, _, pairs = trailers(
        BridgeError(pb.ERROR_REASON_REQUEST_INVALID, "m", violations=violations), "id"
    )

    # Assert
    *told, last = details_of(pairs)["BadRequest"].field_violations
    assert [v.field for v in told] == [v.field for v in violations[: len(told)]]
    assert len(told) > 50
    assert last.description == f"And {10_000 - len(told)} more."


def test_a_violation_with_an_endless_name_is_still_told() -> None:
    # Arrange
    violations = [Violation(f"extra_body.{'燈' * 10_000}", "The request has a field for it.")]

    # Act
    _, _, pairs = trailers(
        BridgeError(pb.ERROR_REASON_REQUEST_INVALID, "m", violations=violations), "id"
    )

    # Assert
    (told,) = details_of(pairs)["BadRequest"].field_violations
    assert told.field.startswith("extra_body.燈")
    assert told.description == "The request has a field for it."
