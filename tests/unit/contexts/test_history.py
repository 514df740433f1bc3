"""Which of a session's turns are given to upstream when its binding is made again."""

from hypothesis import given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.contexts.bindings import kept_history, newer_half

LAST = pb.TruncationStrategy(type="last_history_tokens", last_history_tokens=10)


def turn(number, text="word"):
    return [
        {"role": "user", "content": f"{text} {number}"},
        {"role": "assistant", "content": f"{text} {number}"},
    ]


def test_a_history_that_fits_is_kept_whole():
    turns = [turn(1), turn(2)]

    assert kept_history(turns, LAST) == [*turn(1), *turn(2)]


def test_the_oldest_turns_go_where_upstream_would_have_dropped_them():
    history = kept_history([turn(number) for number in range(9)], LAST)

    assert history == [*turn(7), *turn(8)]


def test_a_history_without_a_bound_is_kept_whole():
    turns = [turn(number, "long " * 5_000) for number in range(3)]

    assert len(kept_history(turns, pb.TruncationStrategy(type="rolling_tokens"))) == 6


@given(st.lists(st.sampled_from(["user", "assistant"])))
def test_the_newer_half_is_shorter_and_begins_with_a_question(roles):
    history = [{"role": role, "place": place} for place, role in enumerate(roles)]

    half = newer_half(history)

    assert half == history[len(history) - len(half) :]
    assert len(half) < len(history) or not history
    assert not half or half[0]["role"] == "user"
