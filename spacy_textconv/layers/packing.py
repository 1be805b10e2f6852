"""Many documents in one buffer of rows, with rows of zeros between them.

A batch of documents is stored as one `(rows, width)` tensor in which the documents lie end to
end. Between two neighbours there is a *gap* of zero rows, at least as long as a convolution
sees to either side, so that one over the whole buffer never mixes two documents.
Unlike padding to the longest document, this wastes `gap` rows a document at most.
"""

from copy import copy
from itertools import accumulate
from operator import attrgetter
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy
import torch
import torch.nn.functional as F
from numpy import ndarray
from torch import Tensor, nn

# A buffer has at least so many rows. Convolutions of very few rows take other kernels, which round
# differently, and a document by itself would get other values than in a batch.
MIN_ROWS = 16
CPU = torch.device("cpu")


def round_rows(rows: int) -> int:
    """Round a number of rows up to a multiple of 16 and, from 512 on, to one of 16 sizes between
    two powers of two, so by a sixteenth at most.

    On a CPU, torch compiles a kernel for each new shape of a product of matrices, and keeps it. In
    bfloat16 this takes milliseconds, and no two batches have the same number of words.
    """
    step = max(MIN_ROWS, 1 << rows.bit_length() >> 5)
    return max(step, -(-rows // step) * step)


def padded_linear(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    """Apply a linear map to rows, and compute with a rounded number of them.

    x (Tensor): *Shape:* (rows, in_features)
    weight (Tensor): *Shape:* (out_features, in_features)
    bias (Optional[Tensor]): *Shape:* (out_features,)
    RETURNS (Tensor): *Shape:* (rows, out_features)
    """
    padding = round_rows(len(x)) - len(x)
    return F.linear(F.pad(x, (0, 0, 0, padding)) if padding else x, weight, bias)[: len(x)]


class PaddedLinear(nn.Linear):
    """A linear map of rows that computes with a rounded number of them."""

    def forward(self, x: Tensor) -> Tensor:
        """
        x (Tensor): *Shape:* (rows, in_features)
        RETURNS (Tensor): *Shape:* (rows, out_features)
        """
        return padded_linear(x, self.weight, self.bias)


def needed_gap(gap: int, longest: int, stride: int = 1) -> int:
    """Limit a gap by the longest document: no row of it sees further into itself than that, however
    far a network looks, not even if it makes `stride` rows of each row first."""
    return min(gap, -(-max(longest * stride - 1, 0) // stride))


def ranges(starts: ndarray, lengths: ndarray) -> ndarray:
    """Count up from several numbers, one range after the other.

    starts (ndarray): The first number of each range. *Shape:* (ranges,)
    lengths (ndarray): How many numbers each range has; may be 0. *Shape:* (ranges,)
    RETURNS (ndarray): *Shape:* (numbers of all ranges,)
    """
    before = lengths.cumsum() - lengths
    return numpy.repeat(starts - before, lengths) + numpy.arange(lengths.sum())


class Packing:
    """Where the documents of a batch lie in a buffer of rows.

    lengths (Sequence[int]): The number of rows of each document; may be 0.
    gap (int): The number of zero rows that a network needs between two documents. There are fewer
        if the longest document is so short that they suffice.
    device (torch.device): Where the buffer is.
    stride (int): The number of rows that the network makes of each row.

    longest (int): The number of rows of the longest document.
    starts (List[int]): The first row of each document.
    rows (int): The number of rows of the buffer.
    gap_rows (Tensor): The rows between the documents, and after the last one if there are any.
    """

    def __init__(
        self, lengths: Sequence[int], gap: int, device: torch.device = CPU, *, stride: int = 1
    ):
        self.lengths = lengths
        self.longest = max(lengths, default=0)
        self.gap = needed_gap(gap, self.longest, stride)
        self.device = device
        *self.starts, end = accumulate((length + self.gap for length in lengths), initial=0)
        used = end - self.gap
        self.rows = round_rows(used)
        ends = torch.tensor(self.starts[1:], dtype=torch.long, device=CPU) - self.gap
        between = ends.unsqueeze(1) + torch.arange(self.gap, device=CPU)
        rest = torch.arange(used, self.rows, device=CPU)
        self.gap_rows = torch.cat([between.flatten(), rest]).to(device)

    @property
    def document_of_row(self) -> Tensor:
        """The document that each row belongs to; a gap belongs to the document before it.
        *Shape:* (rows,)"""
        spans = torch.tensor(self.lengths, device=CPU) + self.gap
        spans[-1] = self.rows - self.starts[-1]
        return torch.repeat_interleave(spans).to(self.device)

    @property
    def document_rows(self) -> Tensor:
        """The rows of the documents, without those of the gap. *Shape:* (rows of documents,)"""
        inside = torch.ones(self.rows, dtype=torch.bool, device=self.device)
        return inside.index_fill_(0, self.gap_rows, False).nonzero().squeeze(1)

    def pad(self, x: Tensor) -> Tensor:
        """Put the rows of each document side by side.

        x (Tensor): *Shape:* (rows, width)
        RETURNS (Tensor): Beyond the end of a document, there are any rows. *Shape:* (documents,
            longest, width)
        """
        starts = torch.tensor(self.starts, device=self.device)
        places = starts.unsqueeze(1) + torch.arange(self.longest, device=self.device)
        return x[places.clamp_(max=self.rows - 1)]

    def unpad(self, x: Tensor) -> Tensor:
        """Bring rows back into the order that they had before `pad`, with zeros in the gap.

        x (Tensor): *Shape:* (documents, longest, width)
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        lengths = torch.tensor(self.lengths, device=self.device)
        inside = torch.arange(self.longest, device=self.device) < lengths.unsqueeze(1)
        return x.new_zeros(self.rows, x.shape[2]).index_copy(0, self.document_rows, x[inside])

    def stretch(self, stride: int) -> "Packing":
        """Make the packing of a buffer in which `stride` rows take the place of each row, in the
        gap too. For a network that needs `gap` rows between the longer documents, this packing has
        to be made with `gap / stride` rows, rounded up, and `stride`.

        stride (int): The number of rows for each row.
        RETURNS (Packing): Where the longer documents lie.
        """
        longer = copy(self)
        longer.lengths = [length * stride for length in self.lengths]
        longer.longest = self.longest * stride
        longer.gap = self.gap * stride
        longer.starts = [start * stride for start in self.starts]
        longer.rows = self.rows * stride
        offsets = torch.arange(stride, device=self.device)
        longer.gap_rows = (self.gap_rows.unsqueeze(1) * stride + offsets).flatten()
        return longer

    def clear_gap_(self, x: Tensor) -> Tensor:
        """Set the rows of the gap to zero, in place.

        x (Tensor): *Shape:* (rows, width)
        RETURNS (Tensor): The same tensor.
        """
        return x.index_fill_(0, self.gap_rows, 0.0)


class Slice(NamedTuple):
    """A part of a document, with the context that a network needs to compute it exactly. Slices are
    in the order of the text.

    document (int): The document's index in the batch.
    start, stop (int): The rows of the document whose output is wanted.
    context_start, context_stop (int): The rows that the network has to read for them.
    """

    document: int
    start: int
    stop: int
    context_start: int
    context_stop: int

    @property
    def read(self) -> int:
        """The number of rows that the network has to read."""
        return self.context_stop - self.context_start


def slice_documents(
    lengths: Sequence[int], *, max_rows: int, gap: int, reach: Tuple[int, int], stride: int = 1
) -> List[List[Slice]]:
    """Cut a batch into groups of slices, each of which can be packed into about `max_rows` rows.

    A document that is too long for one group is cut into several slices, each with the context
    that a network sees before and after it. So the network gives the wanted rows of each slice
    the values that it would give them in the whole document. The context never costs more than the
    slice itself: a document of up to twice the context stays whole.

    Groups are made of slices of similar length, the longest first, so that no long document sets
    the gap of many short ones.

    lengths (Sequence[int]): The number of rows of each document.
    max_rows (int): The number of rows of a group, unless it has a single slice.
    gap (int): The number of rows that the network needs between two slices of a group.
    reach (Tuple[int, int]): The number of rows that the network sees before and after each row.
    stride (int): What the first row of each slice has to be a multiple of.
    RETURNS (List[List[Slice]]): The slices of each group. Every row of every document is wanted
        once.
    """
    left, right = reach
    context = left + right
    step = max(max_rows - context, context, 1)
    step = -(-step // stride) * stride
    slices = []
    for document, length in enumerate(lengths):
        wanted = step if length > step + context else length
        for start in range(0, length, wanted or 1):
            stop = min(start + wanted, length)
            slices.append(
                Slice(document, start, stop, max(0, start - left), min(stop + right, length))
            )
    slices.sort(key=attrgetter("read"), reverse=True)
    groups: List[List[Slice]] = []
    rows = group_gap = 0
    for part in slices:
        read = part.read
        own_gap = needed_gap(gap, read)
        if not groups or rows + read > max_rows or group_gap > max(2 * own_gap, MIN_ROWS):
            groups.append([])
            rows, group_gap = 0, own_gap
        groups[-1].append(part)
        rows += read + group_gap
    return groups
