"""Estimate token counts, deterministically."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_CLASSES = {
    "word": r"A-Za-z",
    "digit": r"0-9",
    "space": r"\s",
    "sign": r"!-/:-@\[-`{-~",
    "joiner": r"\u0300-\u036f\u200b-\u200f\u20e3\ufe00-\ufe0f\U0001f3fb-\U0001f3ff",
    "emoji": r"\u2600-\u27bf\U0001f000-\U0001f3fa\U0001f400-\U0001faff",
    "marked": r"\u00aa-\u02ff\u0370-\u052f\u1e00-\u1fff",
    "wide": (
        r"\u1100-\u11ff\u2e80-\u2fff\u3001-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
        r"\uff00-\uffef\U00020000-\U0003ffff"
    ),
}
_RUNS = re.compile(
    "(?P<word>[{word}]+)|(?P<digit>[{digit}])|(?P<space>[{space}]+)"
    "|(?P<sign>[{sign}])(?P=sign)*|(?P<joiner>[{joiner}])|(?P<emoji>[{emoji}])"
    "|(?P<marked>[{marked}]+)|(?P<wide>[{wide}]+)|(?P<other>[^{all}]+)".format(
        **_CLASSES, all="".join(_CLASSES.values())
    )
)
_SHORT_WORD = 6


def _word(run: str) -> int:
    return 1 if len(run) <= _SHORT_WORD else -(-2 * len(run) // 9)


_COSTS: Mapping[str, Callable[[str], int]] = MappingProxyType(
    {
        "word": _word,
        "digit": len,
        "space": lambda run: int(run != " "),
        "sign": lambda run: -(-len(run) // 4),
        "joiner": lambda _: 0,
        "emoji": len,
        "marked": lambda run: -(-len(run) // 3),
        "wide": lambda run: -(-3 * len(run) // 4),
        "other": lambda run: -(-len(run.encode("utf-8", "surrogatepass")) // 4),
    }
)


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text; monotone, and additive to within one."""
    return sum(_COSTS[run.lastgroup or "other"](run.group()) for run in _RUNS.finditer(text))


def count_number_tokens(last: int) -> int:
    """Return the tokens of `1 2 3 … last` without writing it out."""
    digits, power = 0, 1
    while power <= last:
        digits += last - power + 1
        power *= 10
    return digits
