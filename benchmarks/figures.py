"""What rounds of figures come to: medians, spreads, ratios, and whether they are as required."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

LEAST_FOR_QUARTILES = 4


@dataclass(frozen=True)
class Summary:
    """A figure's median over the rounds, and the quartiles around it."""

    median: float
    low: float
    high: float

    def spread(self) -> float:
        """Return the distance of the quartiles, as a share of the median."""
        return (self.high - self.low) / abs(self.median) if self.median else 0.0


def summary(rounds: Sequence[float]) -> Summary:
    """Return the median and the quartiles; of a few rounds, the least and the most."""
    median = statistics.median(rounds)
    if len(rounds) < LEAST_FOR_QUARTILES:
        return Summary(median, min(rounds), max(rounds))
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return Summary(median, low, high)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each round: what disturbs a round disturbs both."""
    return [our / their for our, their in zip(ours, theirs, strict=True) if their]


def differences(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the difference of each round."""
    return [our - their for our, their in zip(ours, theirs, strict=True)]


def best_within(steps: Sequence[tuple[float, float]], limit: float) -> float:
    """Return the most of the rates whose 99th percentile is within the limit, 0 if none is."""
    return max((rate for rate, p99 in steps if p99 <= limit), default=0.0)


@dataclass(frozen=True)
class Requirement:
    """A bound on a figure: at least `least`, or at most `most`."""

    name: str
    least: float | None = None
    most: float | None = None
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Tell whether the figure is within the bound."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def words(self) -> str:
        """Return the bound for a table."""
        if self.least is None:
            return f"at most {self.most:g}{self.unit}"
        return f"at least {self.least:g}{self.unit}"
