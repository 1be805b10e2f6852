import unicodedata

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.generation.symbols import (
    END,
    SPECIAL,
    START,
    UNKNOWN,
    Letters,
    Symbols,
    Words,
    find_symbols,
    lower,
    normalize,
    split_words,
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


TOKENIZER = spacy.blank("en").tokenizer


def spacy_words(text):
    return [token.text_with_ws for token in TOKENIZER(text)]


def tokens(labels=()):
    return Words(labels, spacy_words)


all_kinds = pytest.mark.parametrize("make", [Letters, Words, tokens])
# With more white space than others have.
TEXTS = st.lists(
    st.text(st.characters(codec="utf-8") | st.sampled_from(" \n\u2009\u0301ae.")), max_size=4
)


@all_kinds
@given(texts=TEXTS)
def test_texts_of_known_symbols_are_decoded_to_themselves(make, texts):
    symbols = make(make().find_labels(texts))
    numbers, lengths = symbols.encode(texts)
    rest = numbers.tolist()
    for text, length in zip(texts, lengths.tolist(), strict=True):
        part, rest = rest[:length], rest[length:]
        assert all(SPECIAL <= number < len(symbols) for number in part)
        assert symbols.decode(part) == normalize(text)
        assert symbols.decode([START, *part, UNKNOWN, END]) == normalize(text)
        parts = symbols.split(text)
        assert "".join(parts) == normalize(text) and len(parts) == length
    assert rest == []


@all_kinds
@given(texts=TEXTS)
def test_symbols_are_made_of_their_labels(make, texts):
    labels = make().find_labels(texts)
    assert labels == sorted(set(labels)) and make(labels).labels == tuple(labels)
    numbers, _ = make(labels).encode(texts)
    assert {labels[number - SPECIAL] for number in numbers} == set(labels)


def test_a_word_is_one_symbol_wherever_it_stands():
    words = Words(tokenize=spacy_words)
    assert words.find_labels(["no dog", "dogs, dog."]) == [" dog", " dogs", " no", ",", "."]
    words = Words()
    assert words.find_labels(["no dog", "dogs\ndog  x."]) == [
        "\n", " ", " dog", " dogs", " no", " x.", "dog",
    ]  # fmt: skip


def test_words_are_split_at_white_space():
    assert split_words("to  be,\nor\tnot ") == ["to ", " ", "be,", "\n", "or", "\t", "not "]


def test_frequent_symbols_are_chosen():
    texts = ["b a c", "b a", "b d"]
    assert Words().find_labels(texts, min_count=2) == [" a", " b"]
    # Of those that are equally frequent, the first.
    assert Words().find_labels(texts, max_symbols=3) == [" a", " b", " c"]
    assert Letters().find_labels(texts, max_symbols=2) == [" ", "b"]
    numbers, lengths = Words([" a", " b"]).encode(texts)
    assert numbers.tolist() == [3, 2, UNKNOWN, 3, 2, 3, UNKNOWN]
    assert lengths.tolist() == [3, 2, 2]
    assert Words([" a", " b"]).decode([UNKNOWN, 3, 2]) == "b a"


def test_sequences_are_normalized():
    for symbols in (Letters(["\u00e9"]), Words([" \u00e9"])):
        numbers, _ = symbols.encode(["e\u0301"])
        assert numbers.tolist() == [SPECIAL]
    letters = Letters(["e", "\u0301"])
    assert letters.decode([SPECIAL, SPECIAL + 1]) == "\u00e9"
