import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.generation.symbols import (
    SPECIAL,
    UNKNOWN,
    Symbols,
    find_symbols,
    lower,
    normalize,
)


@given(st.lists(st.text()))
def test_encoded_texts_decode_to_themselves(texts):
    symbols = Symbols(find_symbols(texts, []))
    numbers, lengths = symbols.encode(texts)
    rest = numbers.tolist()
    for text, length in zip(texts, lengths.tolist(), strict=True):
        part, rest = rest[:length], rest[length:]
        assert all(SPECIAL <= number < len(symbols) for number in part)
        assert symbols.decode(part, [""] * length) == text
    assert rest == []


def test_unknown_letters_are_copied():
    symbols = Symbols(["a", "b"])
    numbers, _ = symbols.encode(["abc"])
    assert numbers.tolist() == [SPECIAL, SPECIAL + 1, UNKNOWN]
    assert symbols.decode(numbers.tolist(), ["x", "y", "z"]) == "abz"


def test_symbols_are_those_of_both_sides_and_lower_case():
    assert find_symbols(["Ab"], ["Cd"]) == ["A", "C", "a", "b", "d"]


@given(st.characters())
def test_a_letter_stays_one_in_lower_case(letter):
    assert len(lower(letter)) == 1
    assert letter.lower().startswith(lower(letter))


@given(st.text())
def test_equivalent_texts_are_normalized_to_one(text):
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(text)


def test_marks_have_one_order():
    # A letter of Hebrew with a point and a vowel, in both orders.
    assert normalize("\u05e9\u05c1\u05b8") == normalize("\u05e9\u05b8\u05c1")
