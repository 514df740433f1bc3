"""What a context has cost and saved, from what was counted of it and a price.

Making a binding costs its prompt tokens at the price of input. Holding it costs storage for each
token and hour. Each call then takes the prefix at the price of cached input instead of input; the
difference is what the context saves.
"""

from dataclasses import dataclass
from fractions import Fraction

from contextbridge import v1 as pb

from .prices import Price

MS_PER_HOUR = 3_600_000
MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Counters:
    """What is counted of a context.

    Attributes:
        calls: Calls answered from it.
        prompt_tokens: Prompt tokens of those calls, those from the cache included.
        cached_tokens: Prompt tokens that came from the cache.
        completion_tokens: Tokens of the answers.
        creation_tokens: Prompt tokens of all makings of the binding.
        restores: How often the binding was made again.
        inlined: Calls that the prefix went inline with.
        held_token_ms: Tokens times milliseconds of bindings that have ended.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    creation_tokens: int = 0
    restores: int = 0
    inlined: int = 0
    held_token_ms: int = 0


def statistics_of(
    counters: Counters,
    *,
    prefix_tokens: int,
    live_token_ms: int,
    price: Price | None,
    currency: str,
) -> pb.ContextStatistics:
    """Return a context's statistics.

    Args:
        counters: What was counted of it.
        prefix_tokens: The tokens that a call takes from its cache.
        live_token_ms: Tokens times the milliseconds that the live binding has been held.
        price: The price of its model; without one, statistics tell of no money.
        currency: What the price is in.
    """
    token_ms = counters.held_token_ms + live_token_ms
    result = pb.ContextStatistics(
        call_count=_int64(counters.calls),
        cached_tokens=_int64(counters.cached_tokens),
        cache_creation_tokens=_int64(counters.creation_tokens),
        restore_count=_int64(counters.restores),
        inline_count=_int64(counters.inlined),
        prompt_tokens=_int64(counters.prompt_tokens),
        completion_tokens=_int64(counters.completion_tokens),
        token_hours=token_ms / MS_PER_HOUR,
    )
    if price is not None:
        result.money.CopyFrom(_money(counters, prefix_tokens, token_ms, price, currency))
    return result


def _money(
    counters: Counters, prefix_tokens: int, token_ms: int, price: Price, currency: str
) -> pb.ContextMoney:
    # A price of a million tokens is the micros of one, so no sum here needs a factor.
    invested = _invested_micros(counters, token_ms, price)
    saved = counters.cached_tokens * _saving_micros(price)
    money = pb.ContextMoney(
        currency=currency,
        spent_micros=_int64(invested + _calls_micros(counters, price)),
        saved_micros=_int64(saved),
    )
    saving_per_call = prefix_tokens * _saving_micros(price)
    if saving_per_call > 0:
        calls = _calls_to_break_even(invested - saved, saving_per_call)
        money.break_even_call_count = _int64(calls)
    return money


def _saving_micros(price: Price) -> Fraction:
    """Return what a token from the cache saves; negative where the cache costs more than input."""
    return Fraction(price.input) - Fraction(price.cached_input)


def _invested_micros(counters: Counters, token_ms: int, price: Price) -> Fraction:
    """Return what making and holding the bindings cost."""
    making = counters.creation_tokens * Fraction(price.input)
    return making + Fraction(token_ms, MS_PER_HOUR) * Fraction(price.storage)


def _calls_micros(counters: Counters, price: Price) -> Fraction:
    """Return what the calls cost."""
    # Upstream may count what came from the cache beside the prompt instead of in it.
    uncached_tokens = max(counters.prompt_tokens - counters.cached_tokens, 0)
    return (
        uncached_tokens * Fraction(price.input)
        + counters.cached_tokens * Fraction(price.cached_input)
        + counters.completion_tokens * Fraction(price.output)
    )


def _calls_to_break_even(missing_micros: Fraction, saving_per_call: Fraction) -> int:
    """Return the calls that save what is missing; what holding goes on to cost is left out."""
    return max(-(-missing_micros // saving_per_call), 0)


def _int64(number: Fraction | int) -> int:
    """Return a number rounded half to even, within what a field holds."""
    return min(max(round(number), -MAX_INT64 - 1), MAX_INT64)
