"""Scores of slots to strings and sequences."""

from math import exp, inf
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy
import torch
from numpy import ndarray

from ..layers import beam_search, collapse, ctc_loss
from .search import Hypothesis, penalize_length
from .symbols import Lexicon, Symbols, normalize

# How many beginnings of a string are followed for each string that is asked for.
BEAMS = 2

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
    RETURNS (List[List[Tuple[str, float]]]): For each source one string, with its probability.
    """
    counts = slots.number(numpy.array([*map(len, sources)], dtype="int64"))
    numbers, places, lengths = collapse(log_probs.argmax(axis=1), counts)
    losses, _ = ctc_loss(*map(torch.from_numpy, (log_probs, counts, numbers, lengths)))
    readings = _cut(numbers, places, lengths)
    return [
        [(_write(source, *reading, symbols, slots), probability)]
        for source, reading, probability in zip(
            sources, readings, losses.neg().exp().tolist(), strict=True
        )
    ]


def likely_strings(
    log_probs: ndarray,
    sources: Sequence[str],
    symbols: Symbols,
    slots: Slots,
    number: int,
    lexicon: Optional[Lexicon] = None,
) -> List[CandidatesT]:
    """Search for the most probable strings.

    log_probs (ndarray): The logarithms of the probabilities of symbols. *Shape:* (slots, symbols)
    sources (Sequence[str]): The strings that the slots belong to.
    symbols (Symbols): The symbols.
    slots (Slots): The slots.
    number (int): How many strings are wanted for each source.
    lexicon (Optional[Lexicon]): The strings to choose from; None for any strings.
    RETURNS (List[List[Tuple[str, float]]]): For each source up to so many strings, with their
        probabilities.
    """
    counts = slots.number(numpy.array([*map(len, sources)], dtype="int64"))
    beginnings = None if lexicon is None else lexicon.beginnings
    strings = []
    for source, rows in zip(sources, numpy.split(log_probs, counts.cumsum()[:-1]), strict=True):
        found: Dict[str, float] = {}
        # Two readings are one string where a letter is written in one and copied in the other.
        for numbers, places, log_prob in beam_search(rows, BEAMS * number, beginnings):
            text = _write(source, numbers, places, symbols, slots)
            if lexicon is None or text in lexicon.strings:
                found[text] = found.get(text, 0.0) + exp(log_prob)
        strings.append(sorted(found.items(), key=lambda item: -item[1])[:number])
    return strings


def read_sequences(
    log_probs: ndarray,
    slots: Sequence[int],
    *,
    max_lengths: Sequence[int],
    beam: int,
    n_best: int,
    length_penalty: float,
) -> List[List[Hypothesis]]:
    """Read the sequences that are written in slots.

    log_probs (ndarray): The logarithms of the probabilities of symbols. *Shape:* (slots, symbols)
    slots (Sequence[int]): The number of slots of each sequence.
    max_lengths (Sequence[int]): How many symbols each sequence has at most. What is left is cut
        off, and readings that are equal then are one sequence.
    beam (int): How many beginnings of a sequence are followed. With 1, the most probable symbol of
        each slot is taken, and the probability is that of this alignment.
    n_best (int), length_penalty (float): As for `search.beam_search`. A sequence has no end.
    RETURNS (List[List[Hypothesis]]): For each sequence up to `n_best` hypotheses, the best one
        first.
    """
    counts = numpy.array(slots, dtype="int64")
    if beam == 1:
        readings = [[reading] for reading in _best_readings(log_probs, counts)]
    else:
        parts = numpy.split(log_probs, counts.cumsum()[:-1])
        readings = [beam_search(part, beam) for part in parts]
    found = []
    for limit, some in zip(max_lengths, readings, strict=True):
        totals: Dict[Tuple[int, ...], float] = {}
        for reading, _, log_prob in some:
            sequence = reading[:limit]
            totals[sequence] = float(numpy.logaddexp(totals.get(sequence, -inf), log_prob))
        hypotheses = [
            Hypothesis([*sequence], p, p / penalize_length(float(len(sequence)), length_penalty))
            for sequence, p in totals.items()
        ]
        found.append(sorted(hypotheses, key=lambda one: -one.score)[:n_best])
    return found


def _best_readings(
    log_probs: ndarray, counts: ndarray
) -> List[Tuple[Tuple[int, ...], Tuple[int, ...], float]]:
    """Read the most probable symbols of the slots of each string: its symbols and the first of the
    slots of each, as a beam search gives them, and the logarithm of the probability of this
    alignment."""
    strings = numpy.repeat(numpy.arange(len(counts)), counts)
    scores = numpy.bincount(strings, log_probs.max(axis=1), minlength=len(counts))
    readings = _cut(*collapse(log_probs.argmax(axis=1), counts))
    return [(*reading, score) for reading, score in zip(readings, scores.tolist(), strict=True)]


def _cut(
    numbers: ndarray, places: ndarray, lengths: ndarray
) -> List[Tuple[Tuple[int, ...], Tuple[int, ...]]]:
    """Give each string its symbols, and the first of the slots of each, of what `collapse` lays end
    to end."""
    ends = lengths.cumsum()
    return [
        (tuple(numbers[start:end].tolist()), tuple(places[start:end].tolist()))
        for start, end in zip(ends - lengths, ends, strict=True)
    ]


def _write(
    source: str, numbers: Sequence[int], places: Sequence[int], symbols: Symbols, slots: Slots
) -> str:
    copied = [slots.letter(source, place) for place in places]
    return normalize(symbols.decode(numbers, copied))
