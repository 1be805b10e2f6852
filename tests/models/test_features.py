import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_textconv.models.features import (
    GOLDEN,
    affix_hashes,
    code_points,
    find_word_types,
    hash_rows,
    mix_bits,
    sort_distinct,
)

VOCAB = spacy.blank("xx").vocab
# Letters in both cases, a letter with its accent and an accent by itself, a family of emoji, half
# a surrogate pair and the character 0.
LETTERS = "abAé\u0301👩\u200d👧\ud800\0"
WORDS = ["Anna", "anna", "ANNA", "Bert", "bird", "👩\u200d👧", "e\u0301", "é"]

batches = st.lists(st.lists(st.sampled_from(WORDS), max_size=6), min_size=1).filter(any)


@given(batches, st.sampled_from([["ORTH"], ["NORM"], ["NORM", "SHAPE"], ["SHAPE", "IS_TITLE"]]))
def test_types_are_the_distinct_words(batch, names):
    docs = [Doc(VOCAB, words=words) for words in batch]
    tokens = [token for doc in docs for token in doc]
    wanted = [[getattr(token, name.lower()) for name in names] for token in tokens]
    types, type_of_token = find_word_types(docs, names)
    assert len(types) == len({tuple(values) for values in wanted})
    assert types.values[type_of_token].tolist() == wanted
    for column, name in enumerate(names):
        assert types.column(name).tolist() == types.values[:, column].tolist()


@given(batches)
def test_types_know_their_text_and_a_document_with_it(batch):
    docs = [Doc(VOCAB, words=words) for words in batch]
    types, type_of_token = find_word_types(docs, ["SHAPE", "ORTH"])
    texts = types.words
    assert [texts[i] for i in type_of_token] == [word for words in batch for word in words]
    for text, owner in zip(texts, types.owners, strict=True):
        assert text in batch[owner]


def test_types_of_two_vocabs_are_found_in_their_own():
    docs = [Doc(Vocab(), words=words) for words in (["red", "bird"], ["blue", "bird"])]
    types, type_of_token = find_word_types(docs, ["ORTH"])
    assert [types.words[i] for i in type_of_token] == ["red", "bird", "blue", "bird"]
    assert len(types) == 3
    blue = types.take(numpy.array([type_of_token[2]]))
    assert (blue.words, blue.owners.tolist(), len(blue)) == (["blue"], [1], 1)


def test_keys_are_the_same_in_every_batch():
    first, of_first = find_word_types([Doc(VOCAB, words=["Anna", "sees"])], ["NORM", "SHAPE"])
    second, of_second = find_word_types(
        [Doc(VOCAB, words=[]), Doc(VOCAB, words=["birds", "see", "Anna"])], ["NORM", "SHAPE"]
    )
    assert first.keys[of_first[0]] == second.keys[of_second[2]]
    assert len({*first.keys.tolist(), *second.keys.tolist()}) == 4


def test_keys_tell_which_attribute_has_which_value():
    doc = Doc(VOCAB, words=["x", "x", "x"], lemmas=["a", "b", "a"])
    for token, norm in zip(doc, "baa", strict=True):
        token.norm_ = norm
    types, type_of_token = find_word_types([doc], ["NORM", "LEMMA"])
    assert len(set(type_of_token)) == len(types) == 3


def test_a_norm_set_on_a_token_is_seen():
    doc = Doc(VOCAB, words=["n't", "n't"])
    doc[0].norm_ = "not"
    types, type_of_token = find_word_types([doc], ["NORM"])
    norms = types.column("NORM")[type_of_token]
    assert [VOCAB.strings[norm] for norm in norms] == ["not", "n't"]


@given(st.lists(st.text(LETTERS, max_size=5), min_size=2), st.integers(1, 5))
def test_affixes_are_equal_if_and_only_if_their_hashes_are(texts, size):
    hashes = affix_hashes(texts, [("PREFIX", size), ("SUFFIX", size), ("PREFIX", 9)])
    for column, affix in enumerate((slice(size), slice(-size, None), slice(None))):
        for text, value in zip(texts, hashes[:, column], strict=True):
            for other, other_value in zip(texts, hashes[:, column], strict=True):
                assert (text[affix] == other[affix]) == (value == other_value)


def test_affixes_of_no_words_and_no_affixes_of_words():
    assert affix_hashes([], [("PREFIX", 1), ("SUFFIX", 2)]).shape == (0, 2)
    assert affix_hashes(["a", "b"], []).shape == (2, 0)


@given(st.lists(st.text(st.characters())))
def test_code_points(texts):
    codes, lengths = code_points(texts)
    assert codes.tolist() == [ord(character) for text in texts for character in text]
    assert lengths.tolist() == [len(text) for text in texts]


def test_bits_are_mixed_as_in_splitmix64():
    # The first numbers of the generator with the seed 0.
    states = numpy.arange(1, 4, dtype="uint64") * GOLDEN
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix_bits(states).tolist() == published


@given(st.lists(st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)))
def test_equal_numbers_are_left_out(values):
    distinct = sort_distinct(numpy.array(values, dtype="int64"))
    assert distinct.tolist() == sorted(set(values))


def test_rows_stay_in_their_own_part_of_the_table():
    features = numpy.arange(4000, dtype="uint64").reshape(1000, 4)
    rows = hash_rows(features, [10, 1, 500, 20])
    parts = [(0, 10), (10, 11), (11, 511), (511, 531)]
    for column, (start, stop) in enumerate(parts):
        assert set(rows[:, column].flatten().tolist()) == set(range(start, stop))
    # Evenly spread: 1,000 values with 4 rows each over 10 rows.
    counts = numpy.bincount(rows[:, 0].flatten())
    assert counts.min() > 300 and counts.max() < 500


def test_two_values_rarely_share_all_rows():
    rows = hash_rows(numpy.arange(10_000, dtype="uint64")[:, None], [500])
    assert len({tuple(sorted(picked)) for picked in rows[:, 0].tolist()}) > 9_990


@pytest.mark.parametrize("types, rows", [(0, [5, 5]), (3, [])])
def test_rows_of_no_types_or_features(types, rows):
    features = numpy.zeros((types, len(rows)), dtype="uint64")
    assert hash_rows(features, rows).shape == (types, len(rows), 4)
