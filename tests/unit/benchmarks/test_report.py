import pytest

import report
from figures import Summary
from workloads import cases

ROUNDS = 3
FIGURES = (
    *("rate", "calls", "events", "p50", "p99", "first_p50", "first_p99", "gap_p50", "gap_p99"),
    *("cpu_us", "store_cpu_us", "busy_server", "busy_other"),
)
MACHINE = dict.fromkeys(
    ("processor", "cores", "memory_gib", "kernel", "python", "grpcio", "uvloop", "protobuf", "go"),
    "X",
)
ABOUT = {"commit": "abc", "date": "2026-01-01", "machine": MACHINE}


def case(**figures):
    made = {name: [1.0] * ROUNDS for name in FIGURES}
    made |= {"failed": [0] * ROUNDS, "failure": [""] * ROUNDS}
    return made | {name: [value] * ROUNDS for name, value in figures.items()}


def part(figures):
    return {"about": ABOUT, "figures": figures}


def of_rounds(**named):
    return {"cases": part({one.key: case() for one in cases()} | named)}


def met(results):
    return {one.name: one.is_met(seen.median) for one, seen in report.verdicts(results)}


def memory(**figures):
    step = {
        "kib": 100_000 + 10_000 * 50,
        "store_kib": 0,
        "after_kib": 105_000,
        "after_store_kib": 0,
        "failed": 0,
        "events": 1,
        "gap_p99": 1,
        "busy_server": 0.5,
    }
    storm = {
        "kib": [110_000, 111_000],
        "after_kib": 1,
        "cancelled": 1,
        "failed": 0,
        "rate": [1, 1],
        "cpu_us": 1,
        "open_upstream": 0,
        "drained_ms": 1,
    }
    steps = {"1000": step, "10000": step | figures}
    whole = {"idle_kib": 100_000, "idle_store_kib": 0, "steps": steps, "storm": storm}
    return {"memory": part(whole)}


def test_a_share_of_the_floor_is_met_by_the_median_of_the_rounds_ratios():
    name = "Unary chat, requests/s to the floor's"
    floor = case(rate=1000.0)
    assert met(of_rounds(**{"floor/chat/32": floor, "bridge/chat/32": case(rate=460.0)}))[name]
    assert not met(of_rounds(**{"floor/chat/32": floor, "bridge/chat/32": case(rate=440.0)}))[name]


def test_added_latency_is_over_the_direct_call_of_the_same_round():
    results = of_rounds(**{"direct/chat/1": case(p50=0.2), "bridge/chat/1": case(p50=1.1)})
    seen = {one.name: seen for one, seen in report.verdicts(results)}
    assert seen["Added latency, one caller, p50"].median == pytest.approx(0.9)


@pytest.mark.parametrize(
    "figures, name",
    [
        ({"kib": 100_000 + 10_000 * 61}, "Memory of each of 10,000 open streams"),
        ({"after_kib": 111_000}, "Memory afterwards, to that when idle"),
        ({"failed": 1}, "Failed calls of 10,000 streams, each event looked at"),
    ],
)
def test_memory_is_judged_at_the_most_streams(figures, name):
    assert met(memory())[name]
    assert not met(memory(**figures))[name]


def test_rates_within_a_latency_are_the_best_step_of_each_round():
    named = {
        "bridge/chat/1": case(rate=100.0, p99=1.0),
        "bridge/chat/2": case(rate=200.0, p99=4.0),
        "bridge/chat/4": case(rate=400.0, p99=9.0),
    }
    seen = {one.key: case(rate=1.0, p99=99.0) for one in cases()} | named
    assert report.frontier(seen, "bridge", "chat", 5) == [200.0] * ROUNDS
    assert report.frontier(seen, "bridge", "chat", float("inf")) == [400.0] * ROUNDS


def test_what_was_not_measured_is_not_in_the_report():
    text = report.markdown(memory())
    assert "## Memory" in text
    assert "## Throughput" not in text


def test_every_case_of_a_round_is_in_the_report():
    text = report.markdown(of_rounds())
    for title in ("Latency of one caller", "Throughput within a latency", "Streams at 20 ms"):
        assert f"## {title}" in text


def test_a_failed_call_is_told_and_fails_the_command():
    broken = case()
    broken |= {"failed": [0, 2, 0], "failure": ["", "text: got a, want b", ""]}
    results = of_rounds(**{"bridge/hit/32": broken})
    assert report.exit_code(results) == 1
    assert "* cases: bridge/hit/32: 2 failed calls, such as text: got a, want b" in report.markdown(
        results
    )
    assert report.exit_code(of_rounds()) == 0


def test_a_failed_stream_among_many_open_ones_is_told_too():
    assert report.failures(memory(failed=3)) == ["memory: steps: 10000: 3 failed calls"]


@pytest.mark.parametrize(
    "value, text",
    [(0, "0"), (0.4567, "0.46"), (12.34, "12.3"), (1234.5, "1,234"), (-0.5, "-0.50")],
)
def test_a_figure_has_three_digits_that_count(value, text):
    assert report.number(value) == text


def test_a_table_is_markdown_whose_figures_are_on_the_right():
    assert report.table(("", "ms"), [("chat", "1")]) == "|  | ms |\n| --- | --: |\n| chat | 1 |"


def test_a_median_is_written_with_its_quartiles():
    assert report.with_spread(Summary(2, 1, 3)) == "2.00 (1.00 to 3.00)"
