"""Strings as numbers, and back."""

import re
import unicodedata
from collections import Counter
from itertools import chain
from typing import Callable, Iterable, List, Optional, Protocol, Sequence, Set, Tuple

import numpy
from numpy import ndarray

from ..layers import BLANK

# A sequence is written between two symbols that mean nothing, as a blank does: one that is read
# before its first symbol, and one that is written after its last.
START = END = BLANK
# What stands for all that is not among the symbols, and the number of the first that is.
UNKNOWN = BLANK + 1
SPECIAL = UNKNOWN + 1


def normalize(text: str) -> str:
    """Bring a text to the Unicode normal form NFC, in which equal texts are equal: accents are part
    of their letters where there are such letters, and marks have one order."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def lower(letter: str) -> str:
    """Make a lower-case letter. Of the few that become two, it is the first."""
    return letter.lower()[0]


def find_symbols(sources: Iterable[str], targets: Iterable[str]) -> List[str]:
    """List the letters of strings in order, with those that the letters of sources have in lower
    case."""
    symbols: Set[str] = set()
    for source in sources:
        symbols.update(source)
    symbols.update([lower(letter) for letter in symbols])
    for target in targets:
        symbols.update(target)
    return sorted(symbols)


class Symbols:
    """The letters that strings are written with, each with a number from `SPECIAL` on.

    letters (Sequence[str]): The letters, all of them different.
    """

    def __init__(self, letters: Sequence[str]):
        self.letters = tuple(letters)
        self._numbers = {letter: n for n, letter in enumerate(letters, start=SPECIAL)}

    def __len__(self) -> int:
        return SPECIAL + len(self.letters)

    def encode(self, texts: Sequence[Sequence[str]]) -> Tuple[ndarray, ndarray]:
        """Turn texts into numbers, `UNKNOWN` for other letters.

        texts (Sequence[Sequence[str]]): The letters of each text, such as the text itself.
        RETURNS (Tuple[ndarray, ndarray]): The numbers of all letters end to end, and how many each
            text has. *Shape:* (letters,), (texts,)
        """
        numbers = [self._numbers.get(letter, UNKNOWN) for text in texts for letter in text]
        return numpy.array(numbers, dtype="int64"), numpy.array([*map(len, texts)], dtype="int64")

    def decode(self, numbers: Sequence[int], copied: Sequence[str]) -> str:
        """Turn numbers into a text.

        numbers (Sequence[int]): The numbers, none of them `BLANK`.
        copied (Sequence[str]): What is written for each of them that is `UNKNOWN`.
        RETURNS (str): The text.
        """
        return "".join(
            letter if number == UNKNOWN else self.letters[number - SPECIAL]
            for number, letter in zip(numbers, copied, strict=True)
        )


class Lexicon:
    """Known strings, and the beginnings of their symbols, among which one can search.

    strings (Iterable[str]): The strings.
    symbols (Symbols): The symbols.
    """

    def __init__(self, strings: Iterable[str], symbols: Symbols):
        self.strings = frozenset(strings)
        self.beginnings: Set[Tuple[int, ...]] = set()
        for string in self.strings:
            numbers = tuple(symbols.encode([string])[0].tolist())
            self.beginnings.update(numbers[:end] for end in range(1, len(numbers) + 1))


class SequenceSymbols(Protocol):
    """What sequences are written with, each symbol with a number from `SPECIAL` on: letters, words
    or pieces of words. Texts are read and written in the normal form of `normalize`. Those whose
    symbols are all known are decoded to themselves, with all of their white space."""

    @property
    def labels(self) -> Tuple[str, ...]:
        """The texts of the symbols, in the order of their numbers. Those of a text make the text,
        but for the space before its first word or piece."""

    def __len__(self) -> int:
        """The number of symbols, with the special ones."""

    def encode(self, texts: Sequence[str]) -> Tuple[ndarray, ndarray]:
        """Turn texts into numbers, `UNKNOWN` for what is none of the symbols.

        texts (Sequence[str]): The texts.
        RETURNS (Tuple[ndarray, ndarray]): The numbers of all texts, end to end, and how many each
            text has. *Shape:* (numbers in all,), (texts,)
        """

    def decode(self, numbers: Sequence[int]) -> str:
        """Turn numbers into a text. The special ones add nothing to it."""

    def split(self, text: str) -> List[str]:
        """Split a text into what its numbers stand for. Together, the parts are the text."""


class Letters:
    """Letters as the symbols of sequences.

    labels (Sequence[str]): The letters, all of them different.
    """

    def __init__(self, labels: Sequence[str] = ()):
        self._symbols = Symbols(labels)

    @property
    def labels(self) -> Tuple[str, ...]:
        return self._symbols.letters

    def __len__(self) -> int:
        return len(self._symbols)

    def find_labels(
        self, texts: Iterable[str], *, max_symbols: Optional[int] = None, min_count: int = 1
    ) -> List[str]:
        """List the symbols of texts in order.

        texts (Iterable[str]): The texts.
        max_symbols (Optional[int]): How many there are at most, of which the most frequent ones are
            taken; None for all.
        min_count (int): How often they are in the texts at least.
        RETURNS (List[str]): The labels.
        """
        counts = Counter(chain.from_iterable(self._split(normalize(text)) for text in texts))
        frequent = [label for label, count in counts.items() if count >= min_count]
        frequent.sort(key=lambda label: (-counts[label], label))
        return sorted(frequent[:max_symbols])

    def encode(self, texts: Sequence[str]) -> Tuple[ndarray, ndarray]:
        return self._symbols.encode([self._split(normalize(text)) for text in texts])

    def decode(self, numbers: Sequence[int]) -> str:
        known = (self.labels[number - SPECIAL] for number in numbers if number >= SPECIAL)
        return normalize(self._join("".join(known)))

    def split(self, text: str) -> List[str]:
        first, *rest = self._split(normalize(text)) or [""]
        return [self._join(first), *rest] if text else []

    def _split(self, text: str) -> Sequence[str]:
        return text

    def _join(self, text: str) -> str:
        return text


def split_words(text: str) -> List[str]:
    """Split a text where it has white space, with the space after each word."""
    return re.findall(r"\S+ ?|\s", text)


class Words(Letters):
    """Words as the symbols of sequences. The space between two words belongs to the second one, and
    the first of a text has one as well, so that a word is one symbol in most places: before a
    period and at the beginning, too.

    labels (Sequence[str]): The words, all of them different.
    tokenize (Callable[[str], Sequence[str]]): Splits a text into words, each with the space after
        it, as `text_with_ws` of spaCy's tokens.
    """

    def __init__(
        self,
        labels: Sequence[str] = (),
        tokenize: Callable[[str], Sequence[str]] = split_words,
    ):
        super().__init__(labels)
        self.tokenize = tokenize

    def _split(self, text: str) -> Sequence[str]:
        words = []
        space = " " if text else ""
        for token in self.tokenize(text):
            word = token.removesuffix(" ")
            words.append(space + word)
            space = token[len(word) :]
        return [word for word in (*words, space) if word]

    def _join(self, text: str) -> str:
        return text.removeprefix(" ")
