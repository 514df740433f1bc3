import pytest

import guard

BASELINE = {
    "chat": {"ratio": 2.0, "margin": 0.1},
    "stream": {"ratio": 0.5, "margin": 0.2},
}


def rounds(*bridge_chat):
    def both(cpu):
        return {"cpu": cpu, "wall": cpu * 2}

    return [
        {
            "bridge/chat": both(chat),
            "bridge/stream": both(1000),
            "bridge/hit": both(100),
            "floor/chat": both(200),
            "floor/stream": both(2000),
        }
        for chat in bridge_chat
    ]


def regressions(*runs):
    left = iter(runs)
    said = []
    found = guard.regressions(BASELINE, lambda: next(left), said.append)
    return found, len(said)


def test_the_time_of_a_call_has_the_stores_in_it():
    seen = {"cpu_us": 300.0, "store_cpu_us": 20.0, "rate": 1000.0}
    assert guard.figures_of(seen) == {"cpu": 320, "wall": 1000}


def test_a_run_is_the_median_of_its_rounds():
    assert guard.run_of(rounds(400, 500, 9000)) == {"chat": 2.5, "stream": 0.5, "hit": 0.5}


def test_a_run_can_be_told_by_the_clock():
    assert guard.run_of(rounds(400, 400), "wall")["chat"] == 2


def test_the_margin_follows_from_how_far_runs_of_one_build_deviate():
    runs = [guard.run_of(rounds(cpu)) for cpu in (360, 400, 440)]
    baseline = guard.baseline_of(runs, runs)
    assert baseline["chat"]["ratio"] == 2
    assert baseline["chat"]["margin"] == pytest.approx(4 * 1.4826 * 0.1, abs=0.001)


def test_one_disturbed_run_does_not_widen_the_margin():
    runs = [guard.run_of(rounds(cpu)) for cpu in (396, 400, 404, 400, 900)]
    baseline = guard.baseline_of(runs, runs)
    assert baseline["chat"]["margin"] == guard.LEAST_MARGIN
    assert baseline["chat"]["farthest"] == 1.25


def test_the_margin_is_never_less_than_the_least():
    runs = [guard.run_of(rounds(400)) for _ in range(3)]
    assert guard.baseline_of(runs, runs)["chat"]["margin"] == guard.LEAST_MARGIN


def test_what_costs_as_much_as_it_did_passes_at_once():
    assert regressions({"chat": 2.0, "stream": 0.5}) == (set(), 1)


def test_what_costs_less_passes():
    assert regressions({"chat": 1.0, "stream": 0.1}) == (set(), 1)


def test_what_is_within_its_margin_passes():
    assert regressions({"chat": 2.19, "stream": 0.59}) == (set(), 1)


def test_what_is_beyond_its_margin_in_every_run_is_a_regression():
    assert regressions(*[{"chat": 2.3, "stream": 0.5}] * 3) == ({"chat"}, 3)


def test_what_is_beyond_its_margin_once_is_noise():
    assert regressions({"chat": 2.3, "stream": 0.5}, {"chat": 2.0, "stream": 0.5}) == (set(), 2)


def test_two_workloads_that_are_beyond_in_turn_are_noise():
    assert regressions({"chat": 2.3, "stream": 0.5}, {"chat": 2.0, "stream": 0.7}) == (set(), 2)


def test_a_run_is_told_with_its_distance_and_its_margin():
    assert guard.told({"chat": BASELINE["chat"]}, {"chat": 2.1}) == (
        "chat 2.10 of the floor's CPU time (+5.0%, margin 10.0%)"
    )
