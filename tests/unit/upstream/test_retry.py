"""Retries: which requests are repeated, how often, and after how long; a scripted upstream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.request_context import RequestContext
from contextbridge_server.upstream.interface import Surface, UpstreamAnswer, UpstreamRequest
from contextbridge_server.upstream.retry import (
    RetryBudget,
    RetryingUpstream,
    RetryPolicy,
    may_repeat,
)

REQUEST = UpstreamRequest(Surface.CONTEXT, "POST", "/context/create", b"{}")
TERMS = RequestContext("id-1")
ANSWER = UpstreamAnswer(b"{}", {})
QUICK = RetryPolicy(base_delay=timedelta(milliseconds=1), max_delay=timedelta(milliseconds=20))


@dataclass
class ScriptedUpstream:
    """An Upstream that fails as it is told, and then answers."""

    failures: list[BridgeError]
    batches: Sequence[Sequence[Any]] = ()
    fails_within: BridgeError | None = None
    asked: list[UpstreamRequest] = field(default_factory=list)
    closed: int = 0

    async def send(self, request: UpstreamRequest, _ctx: RequestContext) -> UpstreamAnswer:
        self._ask(request)
        return ANSWER

    @asynccontextmanager
    async def stream(
        self, request: UpstreamRequest, _ctx: RequestContext
    ) -> AsyncIterator[AsyncIterator[Sequence[Any]]]:
        self._ask(request)
        try:
            yield self._batches()
        finally:
            self.closed += 1

    def _ask(self, request: UpstreamRequest) -> None:
        self.asked.append(request)
        if self.failures:
            raise self.failures.pop(0)

    async def _batches(self) -> AsyncIterator[Sequence[Any]]:
        for batch in self.batches:
            yield batch
        if self.fails_within:
            raise self.fails_within


def failure(
    name: str, http_status: int | None = None, retry_after: timedelta | None = None
) -> BridgeError:
    reason = pb.ErrorReason.Value(f"ERROR_REASON_{name}")
    return BridgeError(reason, "m", http_status=http_status, retry_after=retry_after)


def overloaded(retry_after: timedelta | None = None) -> BridgeError:
    return failure("UPSTREAM_UNAVAILABLE", 503, retry_after)


def retrying(
    upstream: ScriptedUpstream, policy: RetryPolicy = QUICK, budget: RetryBudget | None = None
) -> RetryingUpstream:
    return RetryingUpstream(upstream, policy, budget or RetryBudget())


REPEATED = [
    ("UPSTREAM_CONNECT_FAILED", None),
    ("UPSTREAM_CONNECT_TIMEOUT", None),
    ("UPSTREAM_RATE_LIMITED", 429),
    ("UPSTREAM_OVERLOADED", 429),
    ("UPSTREAM_UNAVAILABLE", 503),
    ("UPSTREAM_OVERLOADED", 503),
]
NEVER_REPEATED = [
    ("UPSTREAM_INTERNAL", 500),
    ("UPSTREAM_UNAVAILABLE", 502),
    ("UPSTREAM_UNAVAILABLE", 520),
    ("UPSTREAM_DEADLINE_EXCEEDED", 504),
    ("UPSTREAM_DEADLINE_EXCEEDED", 408),
    ("UPSTREAM_DEADLINE_EXCEEDED", 503),
    ("UPSTREAM_RESPONSE_TIMEOUT", None),
    ("UPSTREAM_FIRST_EVENT_TIMEOUT", None),
    ("UPSTREAM_IDLE_TIMEOUT", None),
    ("UPSTREAM_CONNECTION_LOST", None),
    ("UPSTREAM_STREAM_TRUNCATED", None),
    ("UPSTREAM_RESPONSE_EMPTY", None),
    ("UPSTREAM_RESPONSE_MALFORMED", None),
    ("UPSTREAM_QUOTA_EXHAUSTED", 429),
    ("UPSTREAM_CONFLICT", 409),
    ("CONTEXT_BUSY", 403),
    ("MODEL_NOT_FOUND", 503),
    ("UPSTREAM_KEY_INVALID", 401),
]


@pytest.mark.parametrize("name, status", REPEATED)
async def test_what_upstream_cannot_have_charged_for_is_repeated(
    name: str, status: int | None
) -> None:
    # Arrange
    upstream = ScriptedUpstream([failure(name, status)])

    # Act
    answer = await retrying(upstream).send(REQUEST, TERMS)

    # Assert
    assert answer is ANSWER
    assert upstream.asked == [REQUEST, REQUEST]


@pytest.mark.parametrize("name, status", NEVER_REPEATED)
async def test_what_upstream_may_have_charged_for_is_never_repeated(
    name: str, status: int | None
) -> None:
    # Arrange
    failed = failure(name, status)
    upstream = ScriptedUpstream([failed])

    # Act
    with pytest.raises(BridgeError) as caught:
        await retrying(upstream).send(REQUEST, TERMS)

    # Assert
    assert caught.value is failed
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("name", [n for n, number in pb.ErrorReason.items() if number])
def test_a_reason_is_repeated_only_with_the_answers_that_refuse_to_begin(name: str) -> None:
    # Arrange
    statuses = [None, 400, 401, 403, 404, 408, 409, 429, 499, 500, 502, 503, 504, 520, 529]
    short = name.removeprefix("ERROR_REASON_")

    # Act
    repeated = {status for status in statuses if may_repeat(failure(short, status))}

    # Assert
    wanted = {status for reason, status in REPEATED if reason == short}
    assert repeated == (set(statuses) if wanted == {None} else wanted)


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_there_are_as_many_attempts_as_the_policy_says(attempts: int) -> None:
    # Arrange
    failures = [overloaded() for _ in range(attempts)]
    upstream = ScriptedUpstream([*failures])
    policy = RetryPolicy(attempts, QUICK.base_delay, QUICK.max_delay)

    # Act
    with pytest.raises(BridgeError) as caught:
        await retrying(upstream, policy).send(REQUEST, TERMS)

    # Assert
    assert caught.value is failures[-1]
    assert len(upstream.asked) == attempts


async def test_another_failure_ends_the_repetitions() -> None:
    # Arrange
    lost = failure("UPSTREAM_CONNECTION_LOST")
    upstream = ScriptedUpstream([overloaded(), lost, overloaded()])

    # Act
    with pytest.raises(BridgeError) as caught:
        await retrying(upstream).send(REQUEST, TERMS)

    # Assert
    assert caught.value is lost
    assert len(upstream.asked) == 2


# ---------------------------------------------------------------------------- the budget


async def test_repetitions_end_with_the_budget() -> None:
    # Arrange
    upstream = ScriptedUpstream([overloaded() for _ in range(10)])
    budget = RetryBudget(ratio=0, reserve=3)
    bridge = retrying(upstream, RetryPolicy(10, QUICK.base_delay, QUICK.max_delay), budget)

    # Act
    with pytest.raises(BridgeError):
        await bridge.send(REQUEST, TERMS)

    # Assert
    assert len(upstream.asked) == 1 + 3


async def test_requests_earn_repetitions() -> None:
    # Arrange: an empty budget, and one repetition for two requests.
    budget = RetryBudget(ratio=0.5, reserve=1)
    assert budget.spend()
    upstream = ScriptedUpstream([])
    bridge = retrying(upstream, budget=budget)
    for _ in range(2):
        await bridge.send(REQUEST, TERMS)

    # Act
    upstream.failures = [overloaded()]
    await bridge.send(REQUEST, TERMS)

    # Assert
    assert len(upstream.asked) == 2 + 2


def test_no_more_repetitions_are_saved_than_the_reserve() -> None:
    # Arrange
    budget = RetryBudget(ratio=1, reserve=2)
    for _ in range(100):
        budget.earn()

    # Act
    spent = [budget.spend() for _ in range(3)]

    # Assert
    assert spent == [True, True, False]


async def test_a_failure_that_is_not_repeated_spends_nothing() -> None:
    # Arrange
    budget = RetryBudget(ratio=0, reserve=1)
    upstream = ScriptedUpstream([failure("UPSTREAM_INTERNAL", 500)])

    # Act
    with pytest.raises(BridgeError):
        await retrying(upstream, budget=budget).send(REQUEST, TERMS)

    # Assert
    assert budget.spend()


# ---------------------------------------------------------------------------- patience


async def timed(call: Any) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await call
    return loop.time() - start


async def test_upstreams_delay_is_kept() -> None:
    # Arrange
    upstream = ScriptedUpstream([overloaded(timedelta(milliseconds=20))])

    # Act
    waited = await timed(retrying(upstream).send(REQUEST, TERMS))

    # Assert
    assert waited >= 0.019


async def test_a_delay_past_the_longest_is_told_instead_of_waited_for() -> None:
    # Arrange
    asked = timedelta(milliseconds=21)
    upstream = ScriptedUpstream([overloaded(asked)])

    # Act
    with pytest.raises(BridgeError) as caught:
        await retrying(upstream).send(REQUEST, TERMS)

    # Assert
    assert caught.value.retry_after == asked
    assert len(upstream.asked) == 1


async def test_a_delay_of_nothing_is_no_wait() -> None:
    # Arrange
    patient = RetryPolicy(2, timedelta(minutes=1), timedelta(minutes=1))
    upstream = ScriptedUpstream([overloaded(timedelta(0))])

    # Act
    waited = await timed(retrying(upstream, patient).send(REQUEST, TERMS))

    # Assert
    assert waited < patient.base_delay.total_seconds() / 2


async def test_nothing_is_waited_for_that_ends_after_the_deadline() -> None:
    # Arrange
    patient = RetryPolicy(2, timedelta(minutes=1), timedelta(minutes=1))
    upstream = ScriptedUpstream([overloaded()])
    deadline = asyncio.get_running_loop().time() + 10

    # Act
    with pytest.raises(BridgeError):
        await retrying(upstream, patient).send(REQUEST, RequestContext("id", deadline))

    # Assert
    assert len(upstream.asked) == 1


async def test_a_repetition_that_ends_before_the_deadline_is_made() -> None:
    # Arrange
    upstream = ScriptedUpstream([overloaded()])
    deadline = asyncio.get_running_loop().time() + 10

    # Act
    await retrying(upstream).send(REQUEST, RequestContext("id", deadline))

    # Assert
    assert len(upstream.asked) == 2


def test_our_own_delay_doubles_up_to_the_longest() -> None:
    # Arrange
    policy = RetryPolicy(9, timedelta(milliseconds=100), timedelta(milliseconds=350))
    bridge = retrying(ScriptedUpstream([]), policy)

    # Act
    delays = [bridge._delay(overloaded(), number) for number in (1, 2, 3, 60)]

    # Assert
    longest = [timedelta(milliseconds=ms) for ms in (100, 200, 350, 350)]
    for delay, most in zip(delays, longest, strict=True):
        assert delay is not None
        assert most / 2 <= delay <= most


# ---------------------------------------------------------------------------- streams


async def read(bridge: RetryingUpstream) -> list[Any]:
    read: list[Any] = []
    async with bridge.stream(REQUEST, TERMS) as batches:
        async for batch in batches:
            read.extend(batch)
    return read


async def test_a_streams_beginning_is_repeated() -> None:
    # Arrange
    upstream = ScriptedUpstream([overloaded(), overloaded()], batches=[[{"a": 1}], [{"a": 2}]])

    # Act
    chunks = await read(retrying(upstream))

    # Assert
    assert chunks == [{"a": 1}, {"a": 2}]
    assert len(upstream.asked) == 3
    assert upstream.closed == 1


@pytest.mark.parametrize("batches", [[], [[{"a": 1}]]])
async def test_a_stream_that_has_begun_is_never_repeated(batches: list[Any]) -> None:
    # Arrange
    upstream = ScriptedUpstream([], batches=batches, fails_within=overloaded())

    # Act
    with pytest.raises(BridgeError) as caught:
        await read(retrying(upstream))

    # Assert
    assert caught.value is upstream.fails_within
    assert len(upstream.asked) == 1
    assert upstream.closed == 1


async def test_a_reader_that_leaves_closes_the_stream() -> None:
    # Arrange
    upstream = ScriptedUpstream([], batches=[[{"a": 1}], [{"a": 2}]])

    # Act
    async with retrying(upstream).stream(REQUEST, TERMS) as batches:
        await anext(batches)

    # Assert
    assert upstream.closed == 1


async def test_a_cancelled_wait_asks_no_more() -> None:
    # Arrange
    patient = RetryPolicy(2, timedelta(minutes=1), timedelta(minutes=1))
    upstream = ScriptedUpstream([overloaded()])
    call = asyncio.ensure_future(retrying(upstream, patient).send(REQUEST, TERMS))
    await asyncio.sleep(0)

    # Act
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    # Assert
    assert len(upstream.asked) == 1
