"""The prices file: which price a model gets, and what is wrong with an entry."""

import re
from decimal import Decimal

import pytest

from contextbridge_server.contexts.prices import NO_PRICES, Price, read_prices

HEAD = 'currency = "USD"\n'


def entry(model: str, rates: str = "input = 1\ncached_input = 0.1\noutput = 2\n") -> str:
    """Return an entry of the file."""
    return f'[[prices]]\nmodel = "{model}"\n{rates}'


@pytest.fixture(name="table")
def table_fixture(tmp_path):
    """Return what reads a table from a text."""

    def read(text):
        file = tmp_path / "prices.toml"
        file.write_text(text)
        return read_prices(file)

    return read


def test_numbers_are_read_as_they_are_written(table):
    rates = "input = 1.25\ncached_input = 0.1\noutput = 10\nstorage = 4.50\n"

    prices = table(HEAD + entry("gemini-2.5-pro", rates))

    assert prices.currency == "USD"
    assert prices.price_of("gemini-2.5-pro") == Price(
        input=Decimal("1.25"),
        cached_input=Decimal("0.1"),
        output=Decimal(10),
        storage=Decimal("4.5"),
    )


def test_storage_costs_nothing_where_nothing_is_said(table):
    price = table(HEAD + entry("m")).price_of("m")

    assert price.storage == 0


@pytest.mark.parametrize(
    "model, expected",
    [
        ("gemini-2.5-pro", 1),
        ("models/gemini-2.5-pro", 1),
        ("gemini-2.5-pro-exp", 2),
        ("gemini-2.5-", 3),
        ("gemini-2.5-flash", 3),
        ("gemini-2.5", 4),
        ("gpt", 4),
        ("", 4),
    ],
)
def test_the_longest_match_wins(model, expected, table):
    patterns = ("models/gemini-2.5-pro", "gemini-2.5-pro*", "models/gemini-2.5-*", "*")
    text = "".join(
        entry(pattern, f"input = {number}\ncached_input = 0\noutput = 0\n")
        for number, pattern in enumerate(patterns, 1)
    )

    assert table(HEAD + text).price_of(model).input == expected


def test_a_model_that_nothing_matches_has_no_price(table):
    prices = table(HEAD + entry("gemini*") + entry("gpt"))

    assert prices.price_of("gpt-5") is None
    assert prices.price_of("my-gemini") is None
    assert NO_PRICES.price_of("gpt") is None


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("[[prices]", "prices_file: "),
        ("x = 1e99999999999999999999", "prices_file: "),
        (entry("m"), "prices_file: currency must be three"),
        ('currency = "usd"\n', "prices_file: currency must be three"),
        ("currency = 1\n", "prices_file: currency must be three"),
        (HEAD, "prices_file: it names no prices"),
        (HEAD + "vat = 19\n", "prices_file: vat is no member of it"),
        (HEAD + 'prices = "free"\n', "prices_file: its entries are [[prices]] tables"),
        (HEAD + "[[prices]]\ninput = 1\n", "prices_file: entry 1: model is required"),
        (HEAD + entry("models/"), "prices_file: entry 1: model is required"),
        (HEAD + entry("a*b"), "prices_file: entry 1 (a*b): model may have one *"),
        (HEAD + entry("a**"), "prices_file: entry 1 (a**): model may have one *"),
        (
            HEAD + entry("m") + entry("gemini-2.5-pro", "cached_input = 1\noutput = 2\n"),
            "prices_file: entry 2 (gemini-2.5-pro): input is required",
        ),
        (HEAD + entry("m", "input = 1\n"), "entry 1 (m): cached_input is required"),
        (HEAD + entry("m") + entry("models/m"), "entry 2 (m): an earlier entry has this model"),
        (HEAD + entry("m") + "cache = 1\n", "entry 1 (m): cache is no member of an entry"),
        (HEAD + entry("m") + "storage = true\n", "entry 1 (m): storage must be a number"),
        (HEAD + entry("m") + 'storage = "1"\n', "entry 1 (m): storage must be a number"),
        (HEAD + entry("m") + "storage = -0.1\n", "entry 1 (m): storage must be from 0 to"),
        (HEAD + entry("m") + "storage = inf\n", "entry 1 (m): storage must be from 0 to"),
        (HEAD + entry("m") + "storage = nan\n", "entry 1 (m): storage must be from 0 to"),
        (HEAD + entry("m") + "storage = 1e99999999\n", "entry 1 (m): storage must be from 0 to"),
        (HEAD + entry("m") + "storage = 1e-99999999\n", "must have at most 12 decimal places"),
        (HEAD + entry("m") + "storage = 0.0000000000001\n", "must have at most 12 decimal places"),
    ],
)
def test_a_wrong_prices_file_is_refused_by_its_entry(text, complaint, table):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        table(text)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(ValueError, match="prices_file: "):
        read_prices(file)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="prices"):
        read_prices(tmp_path / "prices.toml")
