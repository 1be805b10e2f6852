"""Strings as numbers, and back."""

import unicodedata
from typing import Iterable, List, Sequence, Set, Tuple

import numpy
from numpy import ndarray

from ..layers import BLANK

# What stands for all letters that are not among the symbols, and the number of the first letter.
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

    def encode(self, texts: Sequence[str]) -> Tuple[ndarray, ndarray]:
        """Turn texts into numbers, `UNKNOWN` for other letters.

        texts (Sequence[str]): The texts.
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
