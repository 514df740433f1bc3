import pytest

from figures import Requirement, best_within, differences, ratios, summary


def test_a_summary_is_the_median_and_the_quartiles():
    seen = summary([5, 1, 3, 2, 4])
    assert (seen.median, seen.low, seen.high) == (3, 2, 4)


def test_a_summary_of_few_rounds_has_the_least_and_the_most():
    seen = summary([9, 1, 2])
    assert (seen.median, seen.low, seen.high) == (2, 1, 9)


def test_one_disturbed_round_moves_neither_median_nor_quartiles():
    quiet = summary([10, 10, 10, 10, 10, 10, 10])
    assert summary([10, 10, 10, 10, 10, 10, 99]) == quiet


def test_the_spread_is_a_share_of_the_median():
    assert summary([90, 95, 100, 105, 110]).spread() == pytest.approx(0.1)
    assert summary([0, 0, 0]).spread() == 0


def test_ratios_are_taken_round_by_round():
    assert ratios([2, 20], [4, 10]) == [0.5, 2]


def test_a_round_in_which_the_other_did_nothing_has_no_ratio():
    assert ratios([2, 20], [0, 10]) == [2]


def test_differences_are_taken_round_by_round():
    assert differences([2, 20], [4, 10]) == [-2, 10]


def test_rounds_of_different_numbers_are_not_compared():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_the_best_rate_is_that_of_the_steps_within_the_limit():
    steps = [(100, 1.0), (300, 4.9), (500, 20.0)]
    assert best_within(steps, 5) == 300
    assert best_within(steps, float("inf")) == 500


def test_where_no_step_is_within_the_limit_the_best_rate_is_none():
    assert best_within([(100, 7.0)], 5) == 0


@pytest.mark.parametrize(
    "requirement, value, is_met",
    [
        (Requirement("a", least=2), 2, True),
        (Requirement("a", least=2), 1.99, False),
        (Requirement("a", most=60), 60, True),
        (Requirement("a", most=60), 60.1, False),
    ],
)
def test_a_requirement_includes_its_bound(requirement, value, is_met):
    assert requirement.is_met(value) is is_met


def test_a_requirement_says_its_bound():
    assert Requirement("a", least=0.45).words() == "at least 0.45"
    assert Requirement("a", most=60, unit=" KiB").words() == "at most 60 KiB"
