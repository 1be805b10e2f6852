"""Pooling: from the rows of a document to one vector.

Documents lie end to end here, without rows between them, and `lengths` says how many rows each has;
one without rows gets zeros. A mergeable pooling can be done in slices, so that a document of any
length needs little memory (Agarwal et al. 2012, "Mergeable summaries"): `summarize` turns each
slice into a *state* of fixed width, `merge` joins the states of the slices of a document, `finish`
turns a state into the output.
"""

from abc import ABC, abstractmethod
from typing import Callable, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_choice, check_positive
from ..errors import Errors
from .packing import PaddedLinear


class Pooling(nn.Module, ABC):
    """Joins the rows of each document to one vector.

    out_width (int): The number of columns of the output.
    """

    out_width: int

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """
        x (Tensor): *Shape:* (rows, width)
        lengths (Tensor): The number of rows of each document. *Shape:* (documents,)
        RETURNS (Tensor): *Shape:* (documents, out_width)
        """


class MergeablePooling(Pooling):
    """A pooling that can be done in slices. In each method:

    x (Tensor): The rows. *Shape:* (rows, width)
    lengths (Tensor): The number of rows of each document, or slice of one. *Shape:* (documents,)
    states (Tensor): What is to be known of each document, or slice of one. *Shape:* (documents,
        state_width)
    counts (Tensor): The number of slices of each document; their states follow each other.
        *Shape:* (documents,)

    receptive_field (int): The number of rows that a pooled value is computed from.
    jump (int): The distance between the first rows of two of them. Slices begin at multiples of it,
        and each sees `receptive_field - jump` rows of the next one.
    """

    receptive_field: int = 1
    jump: int = 1

    @abstractmethod
    def summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Turn rows into states."""

    @abstractmethod
    def merge(self, states: Tensor, counts: Tensor) -> Tensor:
        """Join the states of slices."""

    @abstractmethod
    def finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Turn states of whole documents, whose rows are counted as they came in, into outputs.
        *Shape:* (documents, out_width)"""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.finish(self.summarize(x, lengths), lengths)


class KMaxPooling(MergeablePooling):
    """The `k` largest values of each column, in their order in the text, and zeros where a document
    has fewer rows (Kalchbrenner et al. 2014, section 3.2). The ordinary maximum is `k = 1`.

    A state holds the values, and -inf in the place of missing ones.

    width (int): The number of columns of the input.
    k (int): The number of values of each column.
    """

    def __init__(self, *, width: int, k: int = 1):
        super().__init__()
        check_positive("width", width)
        check_positive("k", k)
        self.k = k
        self.out_width = k * width

    def summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        missing = len(x)
        present = min(self.k, max([1, *lengths.tolist()]))
        x = F.pad(x, (0, 0, 0, 1), value=-torch.inf)
        with torch.no_grad():
            left = x.clone()
            chosen = []
            for _ in range(present):
                rows = _segment_argmax(left[:missing], lengths)
                rows.masked_fill_((lengths == 0)[:, None], missing)
                chosen.append(rows.masked_fill(left.gather(0, rows).isneginf(), missing))
                left.scatter_(0, rows, -torch.inf)
            in_order = torch.stack(chosen, dim=1).sort(dim=1).values  # (segments, present, width)
            in_order = F.pad(in_order, (0, 0, 0, self.k - present), value=missing)
        return x.gather(0, in_order.flatten(0, 1)).view(len(lengths), self.out_width)

    def merge(self, states: Tensor, counts: Tensor) -> Tensor:
        x = states.view(-1, self.out_width // self.k)
        present = ~x.isneginf().all(dim=1)
        lengths = _segment_sum(present.to(x.dtype)[:, None], counts * self.k).squeeze(1)
        return self.summarize(x[present], lengths.long())

    def finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states.masked_fill(states.isneginf(), 0.0)


class ReducingPooling(MergeablePooling):
    """A pooling that reduces each column, and whose states are reduced in the same way.

    width (int): The number of columns.
    """

    def __init__(self, *, width: int):
        super().__init__()
        check_positive("width", width)
        self.out_width = width

    def summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.reduce(x, lengths)

    def merge(self, states: Tensor, counts: Tensor) -> Tensor:
        return self.reduce(states, counts)

    @abstractmethod
    def reduce(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Reduce the rows of each segment to one."""


class MeanPooling(ReducingPooling):
    """The mean of each column. A state is the sum."""

    def reduce(self, x: Tensor, lengths: Tensor) -> Tensor:
        return _segment_sum(x, lengths)

    def finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states / lengths.clamp(min=1)[:, None]


class LogMeanExpPooling(ReducingPooling):
    """The logarithm of the mean of the exponentials of each column, between mean and maximum
    (Pinheiro and Collobert 2015, "From image-level to pixel-level labeling with convolutional
    networks", on Log-Sum-Exp). A state is the logarithm of the sum."""

    def reduce(self, x: Tensor, lengths: Tensor) -> Tensor:
        return _segment_logsumexp(x, lengths)

    def finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        states = states.masked_fill((lengths == 0)[:, None], 0.0)
        return states - lengths.clamp(min=1).to(states.dtype).log()[:, None]


class AttentionPooling(MergeablePooling):
    """A weighted mean of the rows. The weights are a softmax over the document of the products of a
    row's key with a learned query (Yang et al. 2016, section 2.2), of which each head has one (Lin
    et al. 2017, section 2.1). A head pools columns of its own.

    A state is the logarithm of each head's sum of exponentials, and the weighted mean.

    width (int): The number of columns.
    heads (int): The number of heads, which has to divide `width`.
    """

    def __init__(self, *, width: int, heads: int):
        super().__init__()
        check_positive("width", width)
        check_positive("heads", heads)
        if width % heads:
            raise ValueError(Errors.E030.format(width=width, heads=heads))
        self.keys = PaddedLinear(width, width)
        self.queries = PaddedLinear(width, heads, bias=False)
        self.heads = heads
        self.out_width = width

    def weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Compute how much each row counts for each head. In a document, the weights of a head add
        up to 1. *Shape:* (rows, heads)"""
        return _segment_softmax(self._scores(x), lengths)[0]

    def summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self._weigh(self._scores(x), x, lengths)

    def merge(self, states: Tensor, counts: Tensor) -> Tensor:
        return self._weigh(states[:, : self.heads], states[:, self.heads :], counts)

    def finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states[:, self.heads :]

    def _scores(self, x: Tensor) -> Tensor:
        return self.queries(self.keys(x).tanh()).to(x.dtype)

    def _weigh(self, scores: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        weights, totals = _segment_softmax(scores, lengths)
        by_head = x.view(len(x), self.heads, self.out_width // self.heads)
        weighted = (by_head * weights[:, :, None]).flatten(1)
        return torch.cat([totals, _segment_sum(weighted, lengths)], dim=1)


POOLINGS: Dict[str, Callable[..., MergeablePooling]] = {
    "max": KMaxPooling,
    "mean": MeanPooling,
    "logsumexp": LogMeanExpPooling,
}


def make_pooling(name: str, *, width: int) -> MergeablePooling:
    """Make one of the poolings that have no settings: "max", "mean" or "logsumexp"."""
    check_choice("pooling", name, POOLINGS)
    return POOLINGS[name](width=width)


def positions_in_documents(lengths: Tensor) -> Tensor:
    """Number the rows of each document, from 0.

    lengths (Tensor): The number of rows of each document. *Shape:* (documents,)
    RETURNS (Tensor): *Shape:* (rows,)
    """
    starts = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    return torch.arange(len(starts), device=lengths.device) - starts


def _segment_sum(x: Tensor, lengths: Tensor) -> Tensor:
    rows = torch.arange(len(x), device=x.device)
    return F.embedding_bag(rows, x, lengths.cumsum(0) - lengths, mode="sum")


def _segment_argmax(x: Tensor, lengths: Tensor) -> Tensor:
    """Find the row of the maximum of each column and segment: the first one, if there are several.
    (torch.segment_reduce would give the whole gradient to each of them.)"""
    rows = torch.arange(len(x), device=x.device)
    return torch.embedding_bag(x, rows, lengths.cumsum(0) - lengths, mode=2)[3]


def _segment_logsumexp(x: Tensor, lengths: Tensor) -> Tensor:
    """Of a segment without rows, or of rows of -inf, this is -inf, and the gradient is 0."""
    segments = torch.repeat_interleave(lengths)
    rows = torch.arange(len(x), device=x.device)
    starts = lengths.cumsum(0) - lengths
    # No exponential is larger than 1 then. The result doesn't depend on it.
    largest = F.embedding_bag(rows, x.detach(), starts, mode="max")
    largest = largest.masked_fill(largest.isneginf(), 0.0)
    sums = _segment_sum((x - largest.index_select(0, segments)).exp(), lengths)
    nothing = sums == 0.0
    logarithms = largest + sums.masked_fill(nothing, 1.0).log()
    return logarithms.masked_fill(nothing, -torch.inf)


def _segment_softmax(x: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor]:
    """Compute the softmax over the rows of each segment, and the logarithms of its denominators."""
    totals = _segment_logsumexp(x, lengths)
    finite = totals.masked_fill(totals.isneginf(), 0.0)
    return (x - finite.index_select(0, torch.repeat_interleave(lengths))).exp(), totals
