import sys
from pathlib import Path

import pytest

import guard

MARGINS = {"chat": {"margin": 0.1}, "stream": {"margin": 0.2}}


def rounds(*bridge_chat):
    def both(cpu):
        return {"cpu": cpu, "wall": cpu * 2}

    return [
        {
            "bridge/chat": both(chat),
            "bridge/stream": both(1000),
            "bridge/hit": both(100),
            "before/chat": both(200),
            "before/stream": both(2000),
            "before/hit": both(200),
            "floor/chat": both(50),
            "floor/stream": both(500),
        }
        for chat in bridge_chat
    ]


def regressions(*runs):
    left = iter(runs)
    said = []
    found = guard.regressions(MARGINS, lambda: next(left), said.append)
    return found, len(said)


def test_the_time_of_a_call_has_the_stores_in_it():
    seen = {"cpu_us": 300.0, "store_cpu_us": 20.0, "rate": 1000.0}
    assert guard.figures_of(seen) == {"cpu": 320, "wall": 1000}


def test_a_run_is_the_median_of_its_rounds():
    assert guard.run_of(rounds(400, 500, 9000)) == {"chat": 2.5, "stream": 0.5, "hit": 0.5}


def test_a_run_can_be_told_by_the_clock():
    assert guard.run_of(rounds(400, 400), figure="wall")["chat"] == 2


def test_a_run_can_be_told_beside_the_floor_which_has_no_cache_to_hit():
    assert guard.run_of(rounds(400), "floor") == {"chat": 8, "stream": 2, "hit": 2}


def test_the_margin_follows_from_how_far_runs_of_one_build_deviate():
    runs = [{"chat": cost, "stream": 1.0, "hit": 1.0} for cost in (0.9, 1.0, 1.1)]
    found = guard.margins_of(runs, runs)
    assert found["chat"]["margin"] == pytest.approx(4 * 1.4826 * 0.1, abs=0.001)
    assert found["stream"]["margin"] == guard.LEAST_MARGIN


def test_one_disturbed_run_does_not_widen_the_margin():
    costs = (0.99, 1.0, 1.01, 1.0, 1.5)
    runs = [{"chat": cost, "stream": 1.0, "hit": 1.0} for cost in costs]
    found = guard.margins_of(runs, runs)
    assert found["chat"]["margin"] == guard.LEAST_MARGIN
    assert found["chat"]["farthest"] == 0.5


def test_what_costs_as_much_as_it_did_passes_at_once():
    assert regressions({"chat": 1.0, "stream": 1.0}) == (set(), 1)


def test_what_costs_less_passes():
    assert regressions({"chat": 0.5, "stream": 0.2}) == (set(), 1)


def test_what_is_within_its_margin_passes():
    assert regressions({"chat": 1.09, "stream": 1.19}) == (set(), 1)


def test_what_is_beyond_its_margin_in_every_run_is_a_regression():
    assert regressions(*[{"chat": 1.15, "stream": 1.0}] * 3) == ({"chat"}, 3)


def test_what_is_beyond_its_margin_once_is_noise():
    assert regressions({"chat": 1.15, "stream": 1.0}, {"chat": 1.0, "stream": 1.0}) == (set(), 2)


def test_two_workloads_that_are_beyond_in_turn_are_noise():
    assert regressions({"chat": 1.15, "stream": 1.0}, {"chat": 1.0, "stream": 1.4}) == (set(), 2)


def test_a_run_is_told_with_its_distance_and_its_margin():
    assert guard.told({"chat": MARGINS["chat"]}, {"chat": 1.05}) == (
        "CPU time of a call, to before: chat +5.0% (margin 10.0%)"
    )


@pytest.fixture(name="uncovered")
def uncovered_fixture(monkeypatch):
    """Start processes of which coverage takes no note: another build's lines are not ours."""
    monkeypatch.setattr(guard, "BRIDGE", Path(sys.executable))
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("uncovered")
def test_the_build_before_is_the_one_that_is_committed(tmp_path):
    sources = guard.unpack("HEAD", tmp_path)
    assert (sources / "server/contextbridge_server/__init__.py").exists()
    assert str(sources) in guard.environment_of(sources)["PYTHONPATH"]


@pytest.mark.usefixtures("uncovered")
def test_a_build_is_not_compared_with_itself(tmp_path):
    with pytest.raises(RuntimeError, match="Python takes the build from"):
        guard.environment_of(tmp_path)
