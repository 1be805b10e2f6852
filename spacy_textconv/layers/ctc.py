"""Connectionist temporal classification (CTC: Graves et al. 2006, "Connectionist temporal
classification: labelling unsegmented sequence data with recurrent neural networks"): each of the
slots of a string has a symbol or none, the *blank*, and the string's symbols are what is left
after repeated symbols are merged and blanks are dropped. So `a a _ a b` is an alignment of `a a b`,
where `_` is the blank.

The slots of all strings lie end to end, without rows between them.
"""

from typing import Tuple

import numpy
import torch
import torch.nn.functional as F
from numpy import ndarray
from torch import Tensor

from .pooling import positions_in_documents

# The index of the blank among the symbols.
BLANK = 0


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
    log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
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


def _pad(x: Tensor, lengths: Tensor) -> Tensor:
    """Put the rows of strings side by side, with zeros after those of shorter strings. *Shape:*
    (longest, strings, columns)"""
    places = positions_in_documents(lengths), torch.repeat_interleave(lengths)
    return x.new_zeros(int(lengths.max()), len(lengths), x.shape[1]).index_put(places, x)
