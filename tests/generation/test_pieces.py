import copy
import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.generation.pieces import Pieces
from spacy_textconv.generation.symbols import END, SPECIAL, START, UNKNOWN, normalize

TEXTS = [
    "A dog runs over the grass.",
    "The dogs run, and two men run over the road.\n",
    "  Two men\tand a dog:\n\n an e\u0301toile ",
] * 3
PIECES = Pieces.learn(TEXTS, max_symbols=50)
LETTERS = sorted(set(normalize("".join(TEXTS))))


@given(texts=st.lists(st.text(LETTERS) | st.sampled_from(TEXTS), max_size=4))
def test_texts_of_known_letters_are_decoded_to_themselves(texts):
    numbers, lengths = PIECES.encode(texts)
    assert numbers.dtype == lengths.dtype == "int64"
    rest = numbers.tolist()
    for text, length in zip(texts, lengths.tolist(), strict=True):
        part, rest = rest[:length], rest[length:]
        assert all(SPECIAL <= number < len(PIECES) for number in part)
        assert PIECES.decode(part) == normalize(text)
        assert PIECES.decode([START, *part, UNKNOWN, END]) == normalize(text)
        labels = "".join(PIECES.labels[number - SPECIAL] for number in part)
        assert labels == " " * bool(text) + normalize(text)
        assert len(PIECES.split(text)) == length
    assert rest == []


@given(st.text(st.characters(codec="utf-8", exclude_characters="\u2581")))
def test_other_letters_are_unknown(text):
    numbers, _ = PIECES.encode([text])
    decoded = PIECES.decode(numbers.tolist())
    assert (UNKNOWN in numbers) == (not set(normalize(text)) <= set(LETTERS))
    assert set(decoded) <= set(LETTERS)
    parts = PIECES.split(text)
    assert "".join(parts) == normalize(text) and len(parts) == len(numbers)


def test_frequent_words_are_pieces():
    assert len(PIECES) == SPECIAL + len(PIECES.labels)
    assert len(PIECES.labels) <= 50
    assert " dog" in PIECES.labels


def test_pieces_are_their_model():
    numbers, _ = PIECES.encode(TEXTS)
    again = Pieces.learn(iter(TEXTS), max_symbols=50)
    assert again.model == PIECES.model
    for other in (Pieces(PIECES.model), copy.deepcopy(PIECES), pickle.loads(pickle.dumps(PIECES))):
        assert other.labels == PIECES.labels
        assert other.encode(TEXTS)[0].tolist() == numbers.tolist()


def test_long_texts_are_read():
    # Longer than the texts that sentencepiece takes unless it is told.
    pieces = Pieces.learn(["a dog " * 1000], max_symbols=20)
    numbers, _ = pieces.encode(["dog"])
    assert UNKNOWN not in numbers


def test_nothing_is_printed_or_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Pieces.learn(TEXTS, max_symbols=50).encode(TEXTS)
    with pytest.raises(ValueError):
        Pieces.learn(TEXTS, max_symbols=5)
    assert capfd.readouterr() == ("", "") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "texts, number, code",
    [(TEXTS, 10, "E154"), ([], 10, "E154"), (["", ""], 10, "E154"), (TEXTS, 0, "E001")],
)
def test_no_pieces(texts, number, code):
    with pytest.raises(ValueError, match=f"{code}.*`max_symbols`|`max_symbols`.*{code}"):
        Pieces.learn(texts, max_symbols=number)


def test_sentencepiece_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"E153.*pip install sentencepiece.*extra `generate`"):
        Pieces.learn(TEXTS, max_symbols=50)
