"""What a context has cost and saved: worked examples, and what holds for all numbers."""

from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.contexts.prices import Price
from contextbridge_server.contexts.statistics import Counters, statistics_of

PRICE = Price(
    input=Decimal("1.25"),
    cached_input=Decimal("0.31"),
    output=Decimal(10),
    storage=Decimal("4.5"),
)
HOUR_MS = 3_600_000
MAX_INT64 = 2**63 - 1
EXAMPLE = Counters(
    calls=3,
    prompt_tokens=100_300,
    cached_tokens=100_000,
    completion_tokens=600,
    creation_tokens=200_000,
    restores=1,
    inlined=0,
    held_token_ms=100_000 * HOUR_MS,
)

COUNTS = st.integers(0, 10**9)
COUNTERS = st.builds(Counters, **{field.name: COUNTS for field in fields(Counters)})
RATES = st.decimals(0, 1000, places=4)
PRICES = st.builds(Price, input=RATES, cached_input=RATES, output=RATES, storage=RATES)


def statistics(counters=EXAMPLE, *, prefix_tokens=100_000, live_token_ms=0, price=PRICE):
    """Return statistics in dollars."""
    return statistics_of(
        counters,
        prefix_tokens=prefix_tokens,
        live_token_ms=live_token_ms,
        price=price,
        currency="USD",
    )


def invested_of(counters: Counters, token_ms: int, price: Price) -> Fraction:
    """Return what making and holding cost, in micros."""
    making = counters.creation_tokens * Fraction(price.input)
    return making + Fraction(token_ms * Fraction(price.storage), HOUR_MS)


def test_the_counters_are_told_as_they_are():
    counters = Counters(
        calls=1,
        prompt_tokens=2,
        cached_tokens=3,
        completion_tokens=4,
        creation_tokens=5,
        restores=6,
        inlined=7,
        held_token_ms=HOUR_MS,
    )

    assert statistics(counters, live_token_ms=HOUR_MS // 2, price=None) == pb.ContextStatistics(
        call_count=1,
        prompt_tokens=2,
        cached_tokens=3,
        completion_tokens=4,
        cache_creation_tokens=5,
        restore_count=6,
        inline_count=7,
        token_hours=1.5,
    )


def test_money_of_a_worked_example():
    result = statistics(live_token_ms=100_000 * HOUR_MS // 2)

    # Made twice:       200,000 * 1.25 = 250,000
    # Held 1.5 hours:   150,000 * 4.5  = 675,000
    # Prompt, uncached:     300 * 1.25 =     375
    # Prompt, cached:   100,000 * 0.31 =  31,000
    # The answers:          600 at 10 make 6,000
    assert result.token_hours == 150_000
    assert result.money == pb.ContextMoney(
        currency="USD",
        spent_micros=962_375,
        saved_micros=94_000,
        # Still to save: 925,000 - 94,000, which is 8.84 times 94,000.
        break_even_call_count=9,
    )


def test_a_cache_that_has_paid_for_itself_needs_no_more_calls():
    money = statistics(replace(EXAMPLE, cached_tokens=10_000_000)).money

    assert money.HasField("break_even_call_count")
    assert money.break_even_call_count == 0


def test_a_new_context_of_a_model_without_storage_pays_after_two_calls():
    free_storage = replace(PRICE, storage=Decimal(0))

    money = statistics(Counters(creation_tokens=100_000), price=free_storage).money

    # 125,000 to make it, 94,000 saved by each call.
    assert (money.spent_micros, money.saved_micros, money.break_even_call_count) == (125_000, 0, 2)


def test_a_cache_that_costs_more_than_input_saves_less_than_nothing():
    money = statistics(price=replace(PRICE, cached_input=Decimal(2))).money

    assert money.saved_micros == -75_000
    assert not money.HasField("break_even_call_count")


@pytest.mark.parametrize(
    "price, prefix_tokens", [(replace(PRICE, cached_input=PRICE.input), 100_000), (PRICE, 0)]
)
def test_there_is_no_break_even_where_a_call_saves_nothing(price, prefix_tokens):
    money = statistics(price=price, prefix_tokens=prefix_tokens).money

    assert not money.HasField("break_even_call_count")


def test_without_a_price_there_is_no_money():
    assert not statistics(price=None).HasField("money")


def test_more_from_the_cache_than_in_the_prompt_costs_no_negative_input():
    money = statistics(Counters(prompt_tokens=10, cached_tokens=1_000)).money

    assert money.spent_micros == 310


@pytest.mark.parametrize(
    "tokens, micros",
    [(1, 0), (3, 2), (5, 2), (7, 4)],
)
def test_micros_are_rounded_half_to_even(tokens, micros):
    half = Price(input=Decimal("0.5"), cached_input=Decimal(0), output=Decimal(0))

    assert statistics(Counters(prompt_tokens=tokens), price=half).money.spent_micros == micros


def test_what_a_field_cannot_hold_is_cut_to_its_ends():
    endless = Counters(**{field.name: 2**70 for field in fields(Counters)})
    dear_cache = replace(PRICE, cached_input=Decimal(1000))

    result = statistics(endless, price=dear_cache)

    assert result.call_count == MAX_INT64
    assert result.money.spent_micros == MAX_INT64
    assert result.money.saved_micros == -MAX_INT64 - 1


def test_a_break_even_too_far_away_is_cut_too():
    tiny = Price(
        input=Decimal("1E-12"), cached_input=Decimal(0), output=Decimal(0), storage=PRICE.storage
    )

    money = statistics(prefix_tokens=1, live_token_ms=10**30, price=tiny).money

    assert money.break_even_call_count == MAX_INT64


@given(COUNTERS, COUNTS, PRICES)
def test_break_even_is_exact(counters, live_token_ms, price):
    assume(price.input > price.cached_input)
    prefix_tokens = counters.creation_tokens + 1
    money = statistics(
        counters, prefix_tokens=prefix_tokens, live_token_ms=live_token_ms, price=price
    ).money
    invested = invested_of(counters, counters.held_token_ms + live_token_ms, price)
    saving = Fraction(price.input) - Fraction(price.cached_input)

    def saved_after(calls: int) -> Fraction:
        return (counters.cached_tokens + calls * prefix_tokens) * saving

    needed = money.break_even_call_count
    assert saved_after(needed) >= invested
    assert needed == 0 or saved_after(needed - 1) < invested


@given(COUNTERS, PRICES, COUNTS, st.sampled_from(("creation_tokens", "completion_tokens")), COUNTS)
def test_spent_never_falls_and_saved_never_moves_with_what_is_paid(
    counters, price, live_token_ms, name, more
):
    grown = replace(counters, **{name: getattr(counters, name) + more})
    before = statistics(counters, live_token_ms=live_token_ms, price=price).money
    after = statistics(grown, live_token_ms=live_token_ms, price=price).money

    assert after.spent_micros >= before.spent_micros
    assert after.saved_micros == before.saved_micros


@given(COUNTERS, PRICES, COUNTS, COUNTS)
def test_holding_longer_never_costs_less_nor_breaks_even_sooner(counters, price, held, more):
    before = statistics(counters, live_token_ms=held, price=price)
    after = statistics(counters, live_token_ms=held + more, price=price)

    assert after.token_hours >= before.token_hours
    assert after.money.spent_micros >= before.money.spent_micros
    assert after.money.break_even_call_count >= before.money.break_even_call_count


@given(COUNTERS, PRICES, COUNTS)
def test_a_call_from_the_cache_costs_what_it_saves_less_than_one_inline(counters, price, tokens):
    inline = replace(counters, prompt_tokens=counters.prompt_tokens + tokens)
    cached = replace(inline, cached_tokens=counters.cached_tokens + tokens)
    assume(counters.cached_tokens <= counters.prompt_tokens)
    money_inline, money_cached = (statistics(c, price=price).money for c in (inline, cached))

    spent_less = money_inline.spent_micros - money_cached.spent_micros
    saved_more = money_cached.saved_micros - money_inline.saved_micros
    # Each of the four numbers is rounded.
    assert abs(spent_less - saved_more) <= 2


@given(COUNTERS, PRICES, COUNTS)
def test_where_a_binding_was_held_makes_no_difference(counters, price, live_token_ms):
    ended = replace(counters, held_token_ms=counters.held_token_ms + live_token_ms)

    assert statistics(ended, price=price) == statistics(
        counters, live_token_ms=live_token_ms, price=price
    )
