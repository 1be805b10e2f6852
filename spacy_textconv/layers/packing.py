"""Many documents in one buffer of rows, with rows of zeros between them.

A batch of documents is stored as one `(rows, width)` tensor in which the documents lie end to
end. Between two neighbours there is a *gap* of zero rows, at least as long as half a
convolution kernel, so that a convolution over the whole buffer never mixes two documents.
Unlike padding to the longest document, this wastes `gap` rows a document at most.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Iterator, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A buffer has at least so many rows. Convolutions of very few rows take other kernels, which round
# differently, and a document by itself would get other values than in a batch.
MIN_ROWS = 16


def round_rows(rows: int) -> int:
    """Round a number of rows up to one of 16 sizes between two powers of two, so by a sixteenth at
    most.

    On a CPU, torch compiles a kernel for each new shape of a product of matrices, and keeps it. In
    bfloat16 this takes milliseconds, and no two batches have the same number of words.
    """
    step = max(MIN_ROWS, 1 << rows.bit_length() >> 5)
    return max(step, -(-rows // step) * step)


class PaddedLinear(nn.Linear):
    """A linear map of rows that computes with a rounded number of them."""

    def forward(self, x: Tensor) -> Tensor:
        """
        x (Tensor): *Shape:* (rows, in_features)
        RETURNS (Tensor): *Shape:* (rows, out_features)
        """
        padding = round_rows(len(x)) - len(x)
        return super().forward(F.pad(x, (0, 0, 0, padding)) if padding else x)[: len(x)]


@dataclass(frozen=True)
class Packing:
    """Where the documents of a batch lie in a buffer of rows.

    lengths (Sequence[int]): The number of rows of each document, of which there is at least one;
        may be 0.
    gap (int): The number of zero rows between two documents.
    device (torch.device): Where the buffer is.
    """

    lengths: Sequence[int]
    gap: int
    device: torch.device = torch.device("cpu")

    @cached_property
    def starts(self) -> List[int]:
        """The first row of each document."""
        starts, row = [], 0
        for length in self.lengths:
            starts.append(row)
            row += length + self.gap
        return starts

    @property
    def rows(self) -> int:
        """The number of rows of the buffer."""
        return round_rows(sum(self.lengths) + self.gap * (len(self.lengths) - 1))

    @cached_property
    def gap_rows(self) -> Tensor:
        """The rows between the documents, and after the last one if there are any."""
        ends = torch.tensor(self.starts[1:], dtype=torch.long) - self.gap
        rows = ends.unsqueeze(1) + torch.arange(self.gap)
        rest = torch.arange(self.starts[-1] + self.lengths[-1], self.rows)
        return torch.cat([rows.flatten(), rest]).to(self.device)

    @cached_property
    def document_of_row(self) -> Tensor:
        """The document that each row belongs to; a gap belongs to the document before it.
        *Shape:* (rows,)"""
        spans = torch.tensor(self.lengths) + self.gap
        spans[-1] = self.rows - self.starts[-1]
        return torch.repeat_interleave(spans).to(self.device)

    def clear_gap_(self, x: Tensor) -> Tensor:
        """Set the rows of the gap to zero, in place.

        x (Tensor): *Shape:* (rows, width)
        RETURNS (Tensor): The same tensor.
        """
        return x.index_fill_(0, self.gap_rows, 0.0)


class PackedStack(nn.Module):
    """A network over packed rows: `forward(x, packing)` keeps the number of rows.

    gap (int): The number of rows that it needs between two documents.
    receptive_field (int): The number of rows that each output row sees, with itself in the
        middle.
    buffer_width (int): The number of columns of the widest buffer in between.
    """

    gap: int
    receptive_field: int
    buffer_width: int


@dataclass(frozen=True)
class Slice:
    """A part of a document, with the context that a network needs to compute it exactly.

    document (int): The document's index in the batch.
    start, stop (int): The rows of the document whose output is wanted.
    context_start, context_stop (int): The rows that the network has to read for them.
    """

    document: int
    start: int
    stop: int
    context_start: int
    context_stop: int

    def __len__(self) -> int:
        return self.context_stop - self.context_start


def slice_documents(
    lengths: Sequence[int], *, max_rows: int, gap: int, halo: int
) -> Iterator[List[Slice]]:
    """Cut a batch into groups of slices, each of which can be packed into about `max_rows` rows.

    A document that is too long for one group is cut into several slices, each with up to `halo`
    rows of context on either side. A network that looks at most `halo` rows to each side gives
    the wanted rows of each slice the values that it would give them in the whole document.

    lengths (Sequence[int]): The number of rows of each document.
    max_rows (int): The number of rows of a group. Four halos are the least that is used, so that
        the context never costs more than the slice itself.
    gap (int): The number of rows between two slices of a group.
    halo (int): The number of rows that the network looks to each side.
    YIELDS (List[Slice]): The slices of a group. Every row of every document is wanted once.
    """
    max_rows = max(max_rows, 4 * halo, 1)
    group: List[Slice] = []
    rows = 0
    for document, length in enumerate(lengths):
        step = length if length <= max_rows else max_rows - 2 * halo
        for start in range(0, length, step or 1):
            stop = min(start + step, length)
            part = Slice(document, start, stop, max(0, start - halo), min(stop + halo, length))
            if group and rows + len(part) > max_rows:
                yield group
                group, rows = [], 0
            group.append(part)
            rows += len(part) + gap
    if group:
        yield group
