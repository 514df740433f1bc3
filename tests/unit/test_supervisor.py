"""How long a place among the workers stays empty."""

from contextbridge_server.process.supervisor import MAX_BACKOFF_SECONDS, backoff_seconds


def test_a_worker_is_replaced_at_once_and_one_that_keeps_dying_ever_later():
    assert [backoff_seconds(ends) for ends in range(5)] == [0.0, 0.0, 0.1, 0.2, 0.4]


def test_the_wait_is_bounded():
    assert backoff_seconds(10_000) == MAX_BACKOFF_SECONDS == 10
