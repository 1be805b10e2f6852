"""The n-grams of documents: of words by what they are compared by, and of characters."""

from typing import List, Tuple, cast

import numpy
from numpy import ndarray
from spacy.tokens import Doc

from .features import (
    GOLDEN,
    MAX_CHARACTERS,
    WORD_END,
    WORD_START,
    attr_values,
    code_points,
    find_word_types,
    mix_bits,
    sort_distinct,
    type_attrs,
)

# What stands before the first word of a document and after the last one.
TEXT_START, TEXT_END = 1, 2
# The n-grams of so many words are found at a time, so that a long document needs little memory.
WORDS_PER_SLICE = 16384
# How many keys there are to tell n-grams apart: so many that hardly two among a million have the
# same one, and so few that the number of the document fits into the same 64 bits.
KEYS = 2**40
# Which n-grams documents have: the keys or the rows of one document after the other, and how many
# each document has. Or distinct keys, and how many documents have each.
NgramsT = Tuple[ndarray, ndarray]
# Which key goes to which token with which share.
SharesT = Tuple[ndarray, ndarray, ndarray]


def word_ngrams(docs: List[Doc], attrs: List[str], sizes: List[int]) -> NgramsT:
    """Find the distinct keys of the n-grams of words, for all attributes together."""
    hashes, owners = _hash_word_ngrams(docs, attrs, sizes)
    return _split(_distinct(hashes, owners), len(docs))


def share_word_ngrams(doc: Doc, attrs: List[str], sizes: List[int]) -> SharesT:
    """Find the keys of the n-grams of words, the tokens they lie on, and the share of each."""
    hashes, _ = _hash_word_ngrams([doc], attrs, sizes)
    keys = _to_keys(hashes)
    # In the order of the hashes: where each n-gram begins, and how many words it has.
    distinct = sorted(set(sizes))
    numbers = [max(len(doc) + 3 - size, 0) for size in distinct]
    starts = numpy.tile(numpy.concatenate([numpy.arange(n) for n in numbers]), len(attrs))
    lengths = numpy.tile(numpy.repeat(distinct, numbers), len(attrs))
    ngram_of_word = numpy.repeat(numpy.arange(len(starts)), lengths)
    offsets = numpy.arange(len(ngram_of_word)) - (lengths.cumsum() - lengths)[ngram_of_word]
    # The start of the document is no token.
    tokens = starts[ngram_of_word] + offsets - 1
    inside = (tokens >= 0) & (tokens < len(doc))
    covered = numpy.bincount(ngram_of_word, inside, minlength=len(starts))
    # An n-gram without a token keeps one place, that of what belongs to no token.
    kept = inside | ((covered[ngram_of_word] == 0) & (offsets == 0))
    tokens = numpy.where(inside, tokens, len(doc))[kept]
    ngrams = ngram_of_word[kept]
    shares = 1 / (_count_equal(keys) * covered.clip(1))
    return keys[ngrams], tokens, shares[ngrams]


def _hash_word_ngrams(
    docs: List[Doc], attrs: List[str], sizes: List[int]
) -> Tuple[ndarray, ndarray]:
    """Hash the n-grams of words, one attribute after the other, and say whose each of them is."""
    columns, owners = _marked_words(docs, attrs)
    hashed = [_hash_ngrams(column, owners, sizes) for column in columns]
    hashes, owners_of_hashes = map(numpy.concatenate, zip(*hashed, strict=True))
    return hashes, owners_of_hashes


def _marked_words(docs: List[Doc], attrs: List[str]) -> Tuple[ndarray, ndarray]:
    """Lay the words of documents end to end, each document between two marks.

    RETURNS (Tuple[numpy.ndarray, numpy.ndarray]): The values of words and marks, of shape (attrs,
        words), and the document of each, of shape (words,).
    """
    lengths = numpy.array([len(doc) + 2 for doc in docs], dtype="int64")
    stops = lengths.cumsum()
    columns = numpy.zeros((len(attrs), lengths.sum()), dtype="uint64")
    columns[:, stops - lengths], columns[:, stops - 1] = TEXT_START, TEXT_END
    if any(map(len, docs)):
        types, type_of_token = find_word_types(docs, type_attrs(attrs))
        # A prefix is not the suffix that has the same letters from the end of the word, and a flag
        # or a length is not the mark that is the same small number.
        seeds = numpy.arange(1, len(attrs) + 1, dtype="uint64")
        values = attr_values(types, attrs) + seeds * GOLDEN
        columns[:, columns[0] == 0] = values[type_of_token].T
    return columns, numpy.repeat(numpy.arange(len(docs)), lengths)


def share_character_ngrams(doc: Doc, sizes: List[int]) -> SharesT:
    """Find the keys of the n-grams of characters, the tokens they occur in, and the share of
    each."""
    keys, counts = character_ngrams([cast(Doc, doc[i : i + 1]) for i in range(len(doc))], sizes)
    tokens = numpy.repeat(numpy.arange(len(doc)), counts)
    return keys, tokens, 1 / _count_equal(keys)


def _count_equal(keys: ndarray) -> ndarray:
    """Count for each key how often it occurs."""
    _, positions, counts = numpy.unique(keys, return_inverse=True, return_counts=True)
    return counts[positions]


def character_ngrams(docs: List[Doc], sizes: List[int]) -> NgramsT:
    """Find the distinct keys of the n-grams of characters within words."""
    lengths = [len(doc) for doc in docs]
    if not any(lengths):
        return numpy.zeros(0, dtype="int64"), numpy.zeros(len(docs), dtype="int64")
    types, type_of_token = find_word_types(docs, ["NORM"])
    # Each distinct word of each document.
    owner_of_token = numpy.repeat(numpy.arange(len(docs)), lengths)
    pairs = sort_distinct(owner_of_token * len(types) + type_of_token)
    found = []
    for start in range(0, len(pairs), WORDS_PER_SLICE):
        owners, type_of_word = numpy.divmod(pairs[start : start + WORDS_PER_SLICE], len(types))
        chosen, positions = numpy.unique(type_of_word, return_inverse=True)
        hashes, counts = _hash_words(types.take(chosen).texts("NORM"), sizes)
        repeats = counts[positions]
        # The first n-gram of each word, less the number of n-grams of the words before it.
        offsets = (counts.cumsum() - counts)[positions] - (repeats.cumsum() - repeats)
        ngrams = numpy.repeat(offsets, repeats) + numpy.arange(repeats.sum())
        found.append(_distinct(hashes[ngrams], numpy.repeat(owners, repeats)))
    return _split(sort_distinct(numpy.concatenate(found)), len(docs))


def _hash_words(texts: List[str], sizes: List[int]) -> Tuple[ndarray, ndarray]:
    """Hash the n-grams of characters of words, one word after the other, and count them."""
    marked = [WORD_START + text[:MAX_CHARACTERS] + WORD_END for text in texts]
    codes, lengths = code_points(marked)
    hashes, owners = _hash_ngrams(codes, numpy.repeat(numpy.arange(len(texts)), lengths), sizes)
    order = owners.argsort(kind="stable")
    return hashes[order], numpy.bincount(owners, minlength=len(texts))


def _hash_ngrams(keys: ndarray, owners: ndarray, sizes: List[int]) -> Tuple[ndarray, ndarray]:
    """Hash the n-grams of keys that lie end to end, and say whose each of them is."""
    ngrams = mix_bits(keys)
    hashes, owners_of_hashes = [ngrams[:0]], [owners[:0]]
    for size in range(1, max(sizes) + 1):
        if size > 1:
            ngrams = mix_bits(ngrams[:-1] + GOLDEN + keys[size - 1 :])
        inside = owners[: len(ngrams)] == owners[size - 1 :]
        if not inside.any():
            break
        if size in sizes:
            hashes.append(ngrams[inside])
            owners_of_hashes.append(owners[: len(ngrams)][inside])
    return numpy.concatenate(hashes), numpy.concatenate(owners_of_hashes)


def _to_keys(hashes: ndarray) -> ndarray:
    return (hashes % numpy.uint64(KEYS)).astype("int64")


def _distinct(hashes: ndarray, owners: ndarray) -> ndarray:
    """Find the distinct pairs of a document and a key, as one number each, in order."""
    return sort_distinct(owners * KEYS + _to_keys(hashes))


def _split(pairs: ndarray, n_docs: int) -> NgramsT:
    return pairs % KEYS, numpy.bincount(pairs // KEYS, minlength=n_docs)
