import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge_emulator import count_tokens
from contextbridge_emulator.answers import pieces
from contextbridge_emulator.tokens import count_number_tokens

TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from(list("aZ09 .,!é漢ひ한🌊\n\t\u0301\u200d\u3000")))
)


@given(TEXTS, TEXTS)
def test_counts_of_two_halves_differ_from_the_whole_by_at_most_one(left: str, right: str) -> None:
    apart = count_tokens(left) + count_tokens(right)
    assert abs(apart - count_tokens(left + right)) <= 1


@given(TEXTS, TEXTS)
def test_a_longer_text_never_has_fewer_tokens(left: str, right: str) -> None:
    whole = count_tokens(left + right)
    assert whole >= count_tokens(left)
    assert whole >= count_tokens(right)


@given(TEXTS)
def test_pieces_join_to_the_text_and_count_the_same(text: str) -> None:
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert sum(map(count_tokens, cut)) == count_tokens(text)


@given(st.integers(1, 3000))
def test_counting_numbers_needs_no_text(last: int) -> None:
    assert count_number_tokens(last) == count_tokens(" ".join(map(str, range(1, last + 1))))


@pytest.mark.parametrize(
    "text,tokens",
    [
        ("", 0),
        ("lamp", 1),
        ("two words", 2),
        ("incomprehensibilities", 5),
        ("1984", 4),
        ("a  b", 3),
        ("line\nline", 3),
        ("!!!!!", 2),
        ("Привет", 2),
        ("漢字漢字", 3),
        ("🌊🌊", 2),
        ("\ue000\ue000", 2),
    ],
)
def test_each_kind_of_text_has_its_price(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens
