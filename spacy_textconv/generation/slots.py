"""Scores of slots to strings."""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy
from numpy import ndarray

from ..layers import beam_search, collapse
from .symbols import Symbols, normalize

# How many beginnings of a string are followed for each string that is asked for.
BEAMS = 4

# Strings with their probabilities, the most probable one first.
CandidatesT = List[Tuple[str, float]]


class Slots(NamedTuple):
    """Which slots a string has, in each of which a letter of another string can be written.

    stride (int): The number of slots of each letter.
    pad_before, pad_after (int): For how many letters more there are slots before and after.
    """

    stride: int
    pad_before: int
    pad_after: int

    def number(self, lengths: ndarray) -> ndarray:
        """Count the slots of strings.

        lengths (ndarray): The number of letters of each string. *Shape:* (strings,)
        RETURNS (ndarray): *Shape:* (strings,)
        """
        return (lengths + self.pad_before + self.pad_after) * self.stride

    def letter(self, source: str, slot: int) -> str:
        """The letter that a slot stands over; none for those before and after the string."""
        place = slot // self.stride - self.pad_before
        return source[place] if 0 <= place < len(source) else ""


def best_strings(
    log_probs: ndarray, sources: Sequence[str], symbols: Symbols, slots: Slots
) -> List[CandidatesT]:
    """Read what the most probable symbols of all slots are together.

    log_probs (ndarray): The logarithms of the probabilities of symbols. *Shape:* (slots, symbols)
    sources (Sequence[str]): The strings that the slots belong to.
    symbols (Symbols): The symbols.
    slots (Slots): The slots.
    RETURNS (List[List[Tuple[str, float]]]): For each source one string, with the probability of
        this alignment, which is a part of the string's.
    """
    counts = slots.number(numpy.array([*map(len, sources)], dtype="int64"))
    scores = numpy.add.reduceat(log_probs.max(axis=1), counts.cumsum() - counts)
    numbers, places, lengths = collapse(log_probs.argmax(axis=1), counts)
    ends = lengths.cumsum()
    strings = []
    for source, start, end, score in zip(sources, ends - lengths, ends, scores, strict=True):
        part = slice(start, end)
        text = _write(source, numbers[part].tolist(), places[part].tolist(), symbols, slots)
        strings.append([(text, float(numpy.exp(score)))])
    return strings


def likely_strings(
    log_probs: ndarray, sources: Sequence[str], symbols: Symbols, slots: Slots, number: int
) -> List[CandidatesT]:
    """Search for the most probable strings.

    log_probs (ndarray): The logarithms of the probabilities of symbols. *Shape:* (slots, symbols)
    sources (Sequence[str]): The strings that the slots belong to.
    symbols (Symbols): The symbols.
    slots (Slots): The slots.
    number (int): How many strings are wanted for each source.
    RETURNS (List[List[Tuple[str, float]]]): For each source up to so many strings, with their
        probabilities.
    """
    counts = slots.number(numpy.array([*map(len, sources)], dtype="int64"))
    strings = []
    for source, rows in zip(sources, numpy.split(log_probs, counts.cumsum()[:-1]), strict=True):
        found: Dict[str, float] = {}
        # Two readings are one string where a letter is written in one and copied in the other.
        for numbers, places, probability in beam_search(rows, BEAMS * number):
            text = _write(source, numbers, places, symbols, slots)
            found[text] = found.get(text, 0.0) + probability
        strings.append(sorted(found.items(), key=lambda item: -item[1])[:number])
    return strings


def _write(
    source: str, numbers: Sequence[int], places: Sequence[int], symbols: Symbols, slots: Slots
) -> str:
    copied = [slots.letter(source, place) for place in places]
    return normalize(symbols.decode(numbers, copied))
