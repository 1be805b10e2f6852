"""What embedding layers read from documents: distinct words, their features and characters."""

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Iterator, List, Sequence, Tuple

import numpy
from spacy.attrs import IDS
from spacy.tokens import Doc

from ..errors import Errors

ATTRIBUTES = {name for name in IDS if name}
AFFIX = re.compile(r"(PREFIX|SUFFIX)([1-9])")
# The rows of a table that are summed for each value.
HASHES = 4
# The step from one seed to the next in SplitMix64.
GOLDEN = numpy.uint64(0x9E3779B97F4A7C15)
# What stands before and after the characters of a word: start and end of text.
WORD_START, WORD_END = "\x02", "\x03"
# A word is read up to here, so that a very long one (an encoded image, say) costs no more.
MAX_CHARACTERS = 64


@contextmanager
def reading_strings() -> Iterator[None]:
    """Say what happened where a string is missing in the vocab: spaCy takes the error for that of a
    component that isn't initialized."""
    try:
        yield
    except KeyError as err:
        raise ValueError(Errors.E060) from err


@dataclass(frozen=True)
class Words:
    """Words of a batch. Those that agree in all attributes are of one type.

    names (List[str]): The attributes' names.
    values (numpy.ndarray): Their values for each word, of shape (words, attributes).
    keys (numpy.ndarray): A 64-bit hash of each word's values, of shape (words,).
    docs (Sequence[Doc]): The documents of the batch.
    owners (numpy.ndarray): The index of a document with the word, of shape (words,).
    """

    names: List[str]
    values: numpy.ndarray
    keys: numpy.ndarray
    docs: Sequence[Doc]
    owners: numpy.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, indices: numpy.ndarray) -> "Words":
        """Pick some of the words."""
        return replace(
            self,
            values=self.values[indices],
            keys=self.keys[indices],
            owners=self.owners[indices],
        )

    def distinct(self) -> Tuple["Words", numpy.ndarray]:
        """Pick one word of each type.

        RETURNS (Tuple[Words, numpy.ndarray]): The words that are picked, and which of them each
            word is like, of shape (words,).
        """
        _, first, type_of_word = numpy.unique(self.keys, return_index=True, return_inverse=True)
        return self.take(first), type_of_word

    def column(self, name: str) -> numpy.ndarray:
        """Get the values of one attribute."""
        return self.values[:, self.names.index(name)]

    @property
    def words(self) -> List[str]:
        """The words themselves."""
        return self.texts("ORTH")

    def texts(self, name: str) -> List[str]:
        """Look up the values of an attribute of strings."""
        stores = [self.docs[owner].vocab.strings for owner in self.owners.tolist()]
        values = self.column(name).tolist()
        with reading_strings():
            return [store[value] for store, value in zip(stores, values, strict=True)]


def read_words(docs: List[Doc], names: List[str]) -> Words:
    """Read the words of a batch, one for each token.

    docs (List[Doc]): The documents, or spans of them, with at least one token.
    names (List[str]): The attributes in which two words have to agree to be of one type.
    RETURNS (Words): The words.
    """
    columns = [IDS[name] for name in names]
    lengths = [len(doc) for doc in docs]
    values = numpy.concatenate(
        [
            doc.to_array(columns).reshape(length, len(columns))
            for doc, length in zip(docs, lengths, strict=True)
        ]
    )
    return Words(names, values, hash_keys(values), docs, numpy.repeat(range(len(docs)), lengths))


def find_word_types(docs: List[Doc], names: List[str]) -> Tuple[Words, numpy.ndarray]:
    """Find the distinct words of a batch.

    docs (List[Doc]), names (List[str]): As for `read_words`.
    RETURNS (Tuple[Words, numpy.ndarray]): One word of each type, and the type of each token, of
        shape (tokens,).
    """
    return read_words(docs, names).distinct()


def hash_keys(values: numpy.ndarray) -> numpy.ndarray:
    """Hash rows of numbers.

    values (numpy.ndarray): The rows, of shape (rows, columns).
    RETURNS (numpy.ndarray): A 64-bit hash of each row, of shape (rows,).
    """
    seeds = numpy.arange(1, values.shape[1] + 1, dtype="uint64")
    return mix_bits(values + seeds * GOLDEN).sum(axis=1, dtype="uint64")


def check_attrs(attrs: Sequence[str]) -> None:
    """Refuse names that are neither attributes of tokens nor affixes."""
    for attr in attrs:
        if attr not in ATTRIBUTES and not AFFIX.fullmatch(attr):
            raise ValueError(Errors.E013.format(attr=attr))


def type_attrs(attrs: Sequence[str]) -> List[str]:
    """List the attributes that decide what the values of attributes and affixes are."""
    names = [attr for attr in attrs if not AFFIX.fullmatch(attr)]
    return names if len(names) == len(attrs) else [*names, "ORTH"]


def attr_values(types: Words, attrs: Sequence[str]) -> numpy.ndarray:
    """Get the values of attributes, and hashes of affixes, which are those of the lower-cased word.

    types (Words): The words, distinct in `type_attrs(attrs)`.
    attrs (Sequence[str]): The names, such as "NORM" or "SUFFIX4".
    RETURNS (numpy.ndarray): 64-bit numbers, of shape (types, attrs).
    """
    affixes = [match for match in map(AFFIX.fullmatch, attrs) if match]
    texts = [word.lower() for word in types.words] if affixes else []
    hashed = iter(affix_hashes(texts, [(match[1], int(match[2])) for match in affixes]).T)
    columns = [next(hashed) if AFFIX.fullmatch(attr) else types.column(attr) for attr in attrs]
    return numpy.array(columns, dtype="uint64").reshape(len(columns), len(types)).T


def affix_hashes(texts: Sequence[str], affixes: Sequence[Tuple[str, int]]) -> numpy.ndarray:
    """Hash the first or last letters of words.

    texts (Sequence[str]): The words.
    affixes (Sequence[Tuple[str, int]]): Which end ("PREFIX" or "SUFFIX"), and how many letters. Of
        a shorter word it is all of them.
    RETURNS (numpy.ndarray): 64-bit hashes, of shape (words, affixes).
    """
    codes, lengths = code_points(texts)
    starts = numpy.cumsum(lengths) - lengths
    hashes = numpy.zeros((len(texts), len(affixes)), dtype="uint64")
    for column, (end, size) in enumerate(affixes):
        for letter in range(size):
            longer = (lengths > letter).nonzero()[0]
            offset = letter if end == "PREFIX" else lengths[longer] - 1 - letter
            value = hashes[longer, column] + GOLDEN + codes[starts[longer] + offset]
            hashes[longer, column] = mix_bits(value)
    return hashes


def code_points(texts: Sequence[str]) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Lay the characters of texts end to end.

    texts (Sequence[str]): The texts.
    RETURNS (Tuple[numpy.ndarray, numpy.ndarray]): Code points, of shape (characters,), and the
        number of characters of each text, of shape (texts,).
    """
    joined = "".join(texts).encode("utf-32-le", errors="surrogatepass")
    lengths = numpy.fromiter(map(len, texts), dtype="int64", count=len(texts))
    return numpy.frombuffer(joined, dtype="<u4").astype("uint64"), lengths


def mix_bits(values: numpy.ndarray) -> numpy.ndarray:
    """Scatter 64-bit numbers evenly, with the finalizer of SplitMix64 (Steele et al. 2014, figure
    18)."""
    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def sort_distinct(values: numpy.ndarray) -> numpy.ndarray:
    """Sort numbers and leave out all but the first of equal ones. Numpy's own `unique` takes 10 to
    100 times as long since it hashes (2.3).

    values (numpy.ndarray): Whole numbers, of shape (numbers,).
    RETURNS (numpy.ndarray): Those that are distinct, in order.
    """
    ordered = numpy.sort(values)
    first = numpy.ones(len(ordered), dtype=bool)
    numpy.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def hash_rows(features: numpy.ndarray, rows: Sequence[int]) -> numpy.ndarray:
    """Pick the rows of each feature in the table of all features.

    features (numpy.ndarray): 64-bit hashes, of shape (types, features).
    rows (Sequence[int]): The number of rows of each feature.
    RETURNS (numpy.ndarray): Row numbers, of shape (types, features, hashes).
    """
    seeds = numpy.arange(1, HASHES + 1, dtype="uint64") * GOLDEN
    mixed = mix_bits(features[:, :, None] + seeds)
    starts = numpy.array([0, *accumulate(rows)][:-1], dtype="uint64")
    picked = mixed % numpy.array(rows, dtype="uint64")[:, None] + starts[:, None]
    return picked.astype("int64")
