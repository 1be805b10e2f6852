"""Connectionist temporal classification (CTC: Graves et al. 2006, "Connectionist temporal
classification: labelling unsegmented sequence data with recurrent neural networks"): each of the
slots of a string has a symbol or none, the *blank*, and the string's symbols are what is left
after repeated symbols are merged and blanks are dropped. So `a a _ a b` is an alignment of `a a b`,
where `_` is the blank.

The slots of all strings lie end to end, without rows between them.
"""

from heapq import nlargest
from math import exp, log, log1p
from typing import Container, Dict, Hashable, List, NamedTuple, Optional, Tuple, TypeVar

import numpy
import torch
import torch.nn.functional as F
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive
from .autocast import widen, without_autocast
from .packing import PaddedLinear
from .pooling import positions_in_documents

# The index of the blank among the symbols.
BLANK = 0
# A beam search leaves out symbols that are less probable than the best one of a slot times this.
RARE = 1e-4

Key = TypeVar("Key", bound=Hashable)


class CopySoftmax(nn.Module):
    """Scores of symbols for the slots of a string that has `stride` of them for each of its own
    symbols, its *source*: a slot writes a symbol, or copies its source symbol, as it is or, with
    more than one copy, as another symbol that belongs to it. What it writes and that it copies
    share one softmax (CopyNet: Gu et al. 2016, "Incorporating copying mechanism in
    sequence-to-sequence learning", section 3.2), and the probability of a symbol is the sum of all
    ways to it (See et al. 2017, "Get to the point: summarization with pointer-generator networks",
    section 2.2).

    In the beginning, the first slot of each source symbol copies it, and the others are blank, so
    that a string is read as itself.

    width (int): The number of columns of the input.
    symbols (int): The number of symbols, with the blank.
    stride (int): The number of slots of each source symbol.
    copies (int): In how many ways a source symbol can be copied.
    """

    def __init__(self, *, width: int, symbols: int, stride: int, copies: int = 1):
        super().__init__()
        check_positive("width", width)
        check_positive("symbols", symbols)
        check_positive("stride", stride)
        check_positive("copies", copies)
        # The last rows, as the last columns of the bias, are for copying.
        self.scores = PaddedLinear(width, symbols + copies, bias=False)
        nn.init.normal_(self.scores.weight, std=0.02)
        self.bias = Parameter(torch.zeros(stride, symbols + copies))
        # So much that it wins, however many symbols there are, but not by far.
        nn.init.constant_(self.bias[0, symbols : symbols + 1], 1.0 + log(symbols))
        nn.init.constant_(self.bias[1:, BLANK], 1.0 + log(symbols))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """
        x (Tensor): *Shape:* (slots, width)
        source (Tensor): What can be copied to each slot, first of all its source symbol; the blank
            where there is none. *Shape:* (slots, copies)
        RETURNS (Tensor): The logarithms of the probabilities of the symbols. *Shape:* (slots,
            symbols)
        """
        with without_autocast(x.device):
            scores = self.scores(x.to(self.bias.dtype)).view(-1, *self.bias.shape) + self.bias
            scores = scores.flatten(0, 1)
            write = scores[:, : -source.shape[1]]
            copies = scores[:, -source.shape[1] :].split(1, dim=1)
            for copy, symbol in zip(copies, source.split(1, dim=1), strict=True):
                either = torch.logaddexp(write.gather(1, symbol), copy)
                write = write.scatter(1, symbol, either)
            return write.log_softmax(dim=1)


def needed_slots(targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Count the slots that targets need: one for each symbol, and one for a blank between two equal
    ones.

    targets (Tensor): The symbols of all targets, end to end. *Shape:* (symbols in all,)
    target_lengths (Tensor): The number of symbols of each target. *Shape:* (strings,)
    RETURNS (Tensor): *Shape:* (strings,)
    """
    strings = torch.repeat_interleave(target_lengths)
    repeated = (targets[1:] == targets[:-1]) & (strings[1:] == strings[:-1])
    return target_lengths + torch.bincount(strings[1:][repeated], minlength=len(target_lengths))


def ctc_loss(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> Tuple[Tensor, Tensor]:
    """Compute the negative logarithm of the probability of each target, summed over its alignments
    (Graves et al. 2006, section 4.1).

    log_probs (Tensor): The logarithms of the probabilities of the symbols. The gradient is right
        for rows in which the probabilities add up to 1, however they are varied. *Shape:* (slots,
        symbols)
    lengths (Tensor): The number of slots of each string. *Shape:* (strings,)
    targets (Tensor): The symbols of all targets, end to end. *Shape:* (symbols in all,)
    target_lengths (Tensor): The number of symbols of each target; may be 0. *Shape:* (strings,)
    RETURNS (Tuple[Tensor, Tensor]): The losses, 0 where there are not enough slots for the target,
        and where there are. *Shapes:* (strings,) and (strings,)
    """
    device = log_probs.device
    log_probs = widen(log_probs)
    # Of 32 bits, they would be left to cuDNN on a GPU, which makes mistakes for some targets.
    lengths, targets, target_lengths = (
        numbers.to(device, torch.long) for numbers in (lengths, targets, target_lengths)
    )
    possible = needed_slots(targets, target_lengths) <= lengths
    # Without slots, the target is empty, and has the probability 1.
    computed = possible & (lengths > 0)
    # The sum over no rows connects the losses to the network, even if none is computed.
    losses = log_probs[:0].sum().expand(len(lengths))
    if not computed.any():
        return losses, possible
    some = F.ctc_loss(
        _pad(log_probs[computed.repeat_interleave(lengths)], lengths[computed]),
        targets[computed.repeat_interleave(target_lengths)],
        lengths[computed],
        target_lengths[computed],
        blank=BLANK,
        reduction="none",
    )
    return losses.masked_scatter(computed, some), possible


def collapse(best: ndarray, lengths: ndarray) -> Tuple[ndarray, ndarray, ndarray]:
    """Read the symbols of alignments: merge repeated ones, then drop blanks.

    best (ndarray): The symbol of each slot. *Shape:* (slots,)
    lengths (ndarray): The number of slots of each string. *Shape:* (strings,)
    RETURNS (Tuple[ndarray, ndarray, ndarray]): The symbols of all strings, end to end, the first of
        the slots of each symbol, counted from the first slot of its string, and the number of
        symbols of each string. *Shapes:* (symbols in all,), (symbols in all,) and (strings,)
    """
    strings = numpy.repeat(numpy.arange(len(lengths)), lengths)
    first = numpy.ones(len(best), dtype=bool)
    first[1:] = (best[1:] != best[:-1]) | (strings[1:] != strings[:-1])
    rows = (first & (best != BLANK)).nonzero()[0]
    starts = numpy.cumsum(lengths) - lengths
    counts = numpy.bincount(strings[rows], minlength=len(lengths))
    return best[rows], rows - starts[strings[rows]], counts


def beam_search(
    log_probs: ndarray, beam: int, beginnings: Optional[Container[Tuple[int, ...]]] = None
) -> List[Tuple[Tuple[int, ...], Tuple[int, ...], float]]:
    """Find the most probable readings of one string, each with the probability of all its
    alignments together (prefix beam search: Hannun et al. 2014, "First-pass large vocabulary
    continuous speech recognition using bi-directional recurrent DNNs", algorithm 1). What it leaves
    out makes a probability too low, never too high.

    log_probs (ndarray): The logarithms of the probabilities of the symbols. *Shape:* (slots,
        symbols)
    beam (int): How many beginnings of readings are kept after each slot.
    beginnings (Optional[Container[Tuple[int, ...]]]): The beginnings that readings can have; None
        for all. The empty one needn't be among them.
    RETURNS (List[Tuple[Tuple[int, ...], Tuple[int, ...], float]]): Up to `beam` readings, the most
        probable one first: its symbols, the first of the slots of each symbol in the most probable
        alignment, and the logarithm of the probability.
    """
    check_positive("beam", beam)
    states: _States = {((), BLANK): _Alignments(0.0, 0.0, ())}
    for slot, row in enumerate(log_probs):
        likely = (row >= row.max() + log(RARE)).nonzero()[0]
        symbols = list(zip(likely.tolist(), row[likely].tolist(), strict=True))
        longer: _States = {}
        for (reading, last), alignments in states.items():
            for symbol, log_prob in symbols:
                if symbol in (BLANK, last):
                    _add(longer, (reading, symbol), alignments.extend(log_prob))
                    continue
                longest = (*reading, symbol)
                if beginnings is None or longest in beginnings:
                    _add(longer, (longest, symbol), alignments.extend(log_prob, slot))
        states = longer
        if len(symbols) > 1:
            # A single symbol makes at most two readings of each, so the choice can wait.
            kept = {reading for reading, _ in _best_readings(longer, beam)}
            states = {state: longer[state] for state in longer if state[0] in kept}
    return [
        (reading, alignments.slots, alignments.total)
        for reading, alignments in _best_readings(states, beam)
    ]


class _Alignments(NamedTuple):
    """Alignments of the first slots of a string that have the same reading.

    total (float): The logarithm of the sum of their probabilities.
    best (float): The logarithm of the highest of their probabilities.
    slots (Tuple[int, ...]): Where the symbols begin in the most probable one.
    """

    total: float
    best: float
    slots: Tuple[int, ...]

    def extend(self, log_prob: float, *slot: int) -> "_Alignments":
        """Add a slot to each of them, with its number if a symbol begins there."""
        return _Alignments(self.total + log_prob, self.best + log_prob, self.slots + slot)


# What is read of the first slots, and the symbol of the last one: with these, two alignments have
# the same reading, whatever follows.
_States = Dict[Tuple[Tuple[int, ...], int], _Alignments]


def _best_readings(states: _States, beam: int) -> List[Tuple[Tuple[int, ...], _Alignments]]:
    """Join the alignments of each reading, and list the most probable readings first."""
    readings: Dict[Tuple[int, ...], _Alignments] = {}
    for (reading, _), alignments in states.items():
        _add(readings, reading, alignments)
    return nlargest(beam, readings.items(), key=lambda item: item[1].total)


def _add(table: Dict[Key, _Alignments], key: Key, alignments: _Alignments) -> None:
    """Join alignments to others of the same key, if there are any."""
    others = table.get(key)
    if others is None:
        table[key] = alignments
        return
    low, high = sorted((others.total, alignments.total))
    total = high + log1p(exp(low - high))
    table[key] = max(others, alignments, key=lambda some: some.best)._replace(total=total)


def _pad(x: Tensor, lengths: Tensor) -> Tensor:
    """Put the rows of strings side by side, with zeros after those of shorter strings. *Shape:*
    (longest, strings, columns)"""
    places = positions_in_documents(lengths), torch.repeat_interleave(lengths)
    return x.new_zeros(int(lengths.max()), len(lengths), x.shape[1]).index_put(places, x)
