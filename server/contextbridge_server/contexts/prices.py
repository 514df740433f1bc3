"""The prices file: what tokens of a model cost, from which statistics make money."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

CURRENCY = re.compile(r"[A-Z]{3}")
MODEL_PREFIX = "models/"
RATES = ("input", "cached_input", "output", "storage")
MAX_RATE = 10**9
MAX_DECIMAL_PLACES = 12


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost, in the table's currency per million tokens.

    A price per million tokens is as well the price of one token in millionths.

    Attributes:
        input: A prompt token that comes from no cache.
        cached_input: A prompt token from the cache.
        output: A token of an answer.
        storage: A token held in the cache for an hour.
    """

    input: Decimal
    cached_input: Decimal
    output: Decimal
    storage: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The prices of models, in one currency.

    Attributes:
        currency: Its name by ISO 4217.
        prices: By a model's name, or by a prefix of names that ends in `*`.
    """

    currency: str
    prices: Mapping[str, Price]

    def price_of(self, model: str) -> Price | None:
        """Return a model's price: its own, or else that of the longest prefix."""
        name = model.removeprefix(MODEL_PREFIX)
        return next((self.prices[p] for p in _patterns(name) if p in self.prices), None)


NO_PRICES = PriceTable("", {})
"""The table of a server that was given none."""


def _patterns(name: str) -> Iterator[str]:
    """Return what matches a name, the longest first."""
    yield name
    for length in range(len(name), -1, -1):
        yield f"{name[:length]}*"


def read_prices(path: Path) -> PriceTable:
    """Return the table that a TOML file holds.

    Raises:
        ValueError: The file is no TOML, or an entry is wrong; the message says which.
        OSError: The file cannot be read.
    """
    content = _content(path)
    if unknown := content.keys() - {"currency", "prices"}:
        raise ValueError(f"prices_file: {min(unknown)} is no member of it")
    currency = content.get("currency")
    if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
        raise ValueError("prices_file: currency must be three upper-case letters, such as USD")
    entries = content.get("prices", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("prices_file: its entries are [[prices]] tables")
    prices: dict[str, Price] = {}
    for number, entry in enumerate(entries, 1):
        model = _model(entry, f"prices_file: entry {number}")
        place = f"prices_file: entry {number} ({model})"
        if model in prices:
            raise ValueError(f"{place}: an earlier entry has this model")
        prices[model] = _price(entry, place)
    if not prices:
        raise ValueError("prices_file: it names no prices")
    return PriceTable(currency, prices)


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    # Decimal's own error is for exponents past its range.
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"prices_file: {error}") from error


def _model(entry: Mapping[str, Any], place: str) -> str:
    model = entry.get("model")
    if not isinstance(model, str) or not model.removeprefix(MODEL_PREFIX):
        raise ValueError(f"{place}: model is required")
    name = model.removeprefix(MODEL_PREFIX)
    if "*" in name[:-1]:
        raise ValueError(f"{place} ({name}): model may have one * only, at its end")
    return name


def _price(entry: Mapping[str, Any], place: str) -> Price:
    if unknown := entry.keys() - {"model", *RATES}:
        raise ValueError(f"{place}: {min(unknown)} is no member of an entry")
    for rate in RATES:
        if rate != "storage" and rate not in entry:
            raise ValueError(f"{place}: {rate} is required")
    return Price(**{rate: _rate(entry[rate], place, rate) for rate in RATES if rate in entry})


def _rate(value: Any, place: str, rate: str) -> Decimal:
    """Return a rate, whose bounds keep exact sums small."""
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    if not is_number:
        raise ValueError(f"{place}: {rate} must be a number")
    number = Decimal(value)
    if not (number.is_finite() and 0 <= number <= MAX_RATE):
        raise ValueError(f"{place}: {rate} must be from 0 to {MAX_RATE}")
    if number != round(number, MAX_DECIMAL_PLACES):
        raise ValueError(f"{place}: {rate} must have at most {MAX_DECIMAL_PLACES} decimal places")
    return round(number, MAX_DECIMAL_PLACES)
