"""Slots: the places in which the symbols of a sequence are written in one pass, some of them for
each row that was read."""

from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_natural, check_positive
from .autocast import without_autocast
from .packing import Packing, PaddedLinear
from .upsampling import Upsampling


class Padding(nn.Module):
    """Pack the rows of documents, with learned rows before and after those of each document, so
    that something can be written there as well.

    width (int): The number of columns.
    before, after (int): The number of rows of padding.
    """

    def __init__(self, *, width: int, before: int, after: int):
        super().__init__()
        check_natural("pad_before", before)
        check_natural("pad_after", after)
        self.before = before
        self.after = after
        self.vectors = Parameter(torch.empty(before + after, width))
        nn.init.normal_(self.vectors, std=0.5)

    def forward(
        self, x: Tensor, lengths: List[int], *, gap: int, stride: int
    ) -> Tuple[Tensor, Packing, Tensor]:
        """
        x (Tensor): The rows of all documents, end to end. *Shape:* (rows, width)
        lengths (List[int]): The number of rows of each document.
        gap (int), stride (int): As for `Packing`.
        RETURNS (Tuple[Tensor, Packing, Tensor]): The packed rows, where the longer documents lie,
            and where the rows are now that came in. *Shape:* (packed rows, width), (rows,)
        """
        device = x.device
        padded = [self.before + length + self.after for length in lengths]
        packing = Packing(padded, gap, device, stride=stride)
        starts = torch.tensor(packing.starts, dtype=torch.long, device=device).unsqueeze(1)
        sizes = torch.tensor(lengths, dtype=torch.long, device=device)
        shifts = starts.squeeze(1) + self.before - sizes.cumsum(0) + sizes
        places = shifts.repeat_interleave(sizes) + torch.arange(len(x), device=device)
        outer = torch.arange(self.before + self.after, device=device).expand(len(lengths), -1)
        behind = (outer >= self.before) * sizes.unsqueeze(1)
        packed = x.new_zeros(packing.rows, x.shape[1]).index_copy(0, places, x)
        vectors = self.vectors.to(x.dtype).repeat(len(lengths), 1)
        return packed.index_copy(0, (starts + outer + behind).flatten(), vectors), packing, places


class SlotDecoder(nn.Module):
    """Write sequences of symbols in one pass: of each row of a memory, and of some rows of padding,
    a transposed convolution makes `stride` slots, and more convolutions tell each slot what the
    slots around it have to write (Libovický and Helcl 2018, "End-to-end non-autoregressive neural
    machine translation with connectionist temporal classification", section 3).

    symbols (int): The number of symbols. 0 stands for nothing.
    width (int): The number of columns for each slot.
    stride (int): The number of slots of each row.
    kernel_size (int): The number of slots that each convolution looks at. Has to be odd.
    dilations (Sequence[int]): The dilation of each convolution.
    memory_width (int): The number of columns of the rows of memory.
    pad_before, pad_after (int): The number of rows of padding.
    dropout (Optional[float]): The probability that a column of what a layer gives out is dropped;
        None for that of the training.
    """

    def __init__(
        self,
        *,
        symbols: int,
        width: int,
        stride: int,
        kernel_size: int,
        dilations: Sequence[int],
        memory_width: int,
        pad_before: int,
        pad_after: int,
        dropout: Optional[float],
    ):
        super().__init__()
        check_positive("symbols", symbols)
        check_positive("width", width)
        check_positive("stride", stride)
        self.padding = Padding(width=memory_width, before=pad_before, after=pad_after)
        self.upsampling = Upsampling(
            in_width=memory_width,
            width=width,
            stride=stride,
            kernel_size=stride,
            stack_kernel_size=kernel_size,
            dilations=dilations,
            block="gated",
            dropout=dropout,
        )
        self.output = PaddedLinear(width, symbols)
        self.stride = stride

    def number(self, length: int) -> int:
        """Count the slots of a document with so many rows."""
        return (self.padding.before + length + self.padding.after) * self.stride

    def forward(self, rows: Tensor, lengths: List[int]) -> Tensor:
        """
        rows (Tensor): The rows of memory of all documents, end to end. *Shape:* (rows,
            memory_width)
        lengths (List[int]): The number of rows of each document.
        RETURNS (Tensor): The logarithms of the probabilities of the symbols in all slots. *Shape:*
            (slots, symbols)
        """
        gap, stride = self.upsampling.gap, self.stride
        packed, packing, _ = self.padding(rows, lengths, gap=gap, stride=stride)
        x, slots = self.upsampling(packed, packing)
        x = x.index_select(0, slots.document_rows)
        with without_autocast(x.device):
            return self.output(x.to(self.output.weight.dtype)).log_softmax(dim=1)
