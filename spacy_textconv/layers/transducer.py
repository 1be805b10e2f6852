"""Strings to scores of the symbols that other strings are written with."""

from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive, check_positives
from .ctc import CopySoftmax
from .dilated import DilatedStack
from .packing import Packing
from .slots import Padding
from .upsampling import Upsampling


class StringEncoder(nn.Module):
    """Read the letters of strings, with dilated convolutions, and what else is known about each
    string. There are some rows of padding before and after the letters.

    symbols (int): The number of symbols.
    width (int): The number of columns for each letter.
    kernel_size (int): The number of letters that each convolution looks at.
    dilations (Sequence[int]): The dilation of each convolution.
    feature_rows (int): The number of rows of the table of features.
    context_width (Optional[int]): The number of columns of the vectors that strings come with; None
        if they have none.
    pad_before, pad_after (int): The number of rows of padding.
    dropout (Optional[float]): The probability that a column of what a layer gives out is dropped;
        None for that of the training.

    gap (int): The number of rows that it needs between two strings.
    """

    def __init__(
        self,
        *,
        symbols: int,
        width: int,
        kernel_size: int,
        dilations: Sequence[int],
        feature_rows: int,
        context_width: Optional[int],
        pad_before: int,
        pad_after: int,
        dropout: Optional[float],
    ):
        super().__init__()
        check_positive("symbols", symbols)
        check_positive("width", width)
        check_positive("feature_rows", feature_rows)
        self.letters = Parameter(torch.empty(symbols, width))
        nn.init.normal_(self.letters, std=0.5)
        self.padding = Padding(width=width, before=pad_before, after=pad_after)
        self.features = Parameter(torch.empty(feature_rows, width))
        nn.init.normal_(self.features, std=0.25)
        self.context = None if context_width is None else nn.Linear(context_width, width)
        self.stack = DilatedStack(
            width=width,
            kernel_size=kernel_size,
            dilations=dilations,
            block="gated",
            dropout=dropout,
        )
        self.gap = self.stack.gap

    def pack(
        self,
        letters: Tensor,
        lengths: List[int],
        features: Tensor,
        counts: Tensor,
        context: Optional[Tensor] = None,
        *,
        gap: int,
        stride: int = 1,
    ) -> Tuple[Tensor, Packing, Tensor]:
        """Read strings.

        letters (Tensor), lengths (List[int]), features (Tensor), counts (Tensor), context
            (Optional[Tensor]): As for `forward`.
        gap (int), stride (int): As for `Packing`.
        RETURNS (Tuple[Tensor, Packing, Tensor]): The packed rows, where the strings lie with their
            padding, and where their letters are. *Shapes:* (packed rows, width) and (letters,)
        """
        x, packing, letter_rows = self.padding(
            F.embedding(letters, self.letters), lengths, gap=gap, stride=stride
        )
        hashes = features.shape[1]
        of_strings = F.embedding_bag(
            features.flatten(), self.features, (counts.cumsum(0) - counts) * hashes, mode="sum"
        )
        if self.context is not None and context is not None:
            of_strings = of_strings + self.context(context)
        x = x + of_strings.index_select(0, packing.document_of_row)
        return self.stack(packing.clear_gap_(x), packing), packing, letter_rows

    def forward(
        self,
        letters: Tensor,
        lengths: List[int],
        features: Tensor,
        counts: Tensor,
        context: Optional[Tensor] = None,
    ) -> Tensor:
        """
        letters (Tensor): The symbols of the letters of all strings, end to end. *Shape:* (letters,)
        lengths (List[int]): The number of letters of each string.
        features (Tensor): For each feature of each string, some rows of the table. *Shape:*
            (features, hashes)
        counts (Tensor): The number of features of each string. *Shape:* (strings,)
        context (Optional[Tensor]): A vector for each string. *Shape:* (strings, context_width)
        RETURNS (Tensor): The rows of all strings, end to end, of which each has `pad_before +
            length + pad_after`. *Shape:* (rows, width)
        """
        x, packing, _ = self.pack(letters, lengths, features, counts, context, gap=self.gap)
        return x.index_select(0, packing.document_rows)


class StringTransducer(nn.Module):
    """Give each letter of a string some slots, in each of which one symbol or nothing can be
    written: an encoder of dilated convolutions, a transposed convolution, convolutions of the
    slots, and a softmax that can also copy the letter which a slot stands over. Some rows of
    padding before and after the letters have slots as well.

    symbols (int): The number of symbols. 0 stands for nothing, 1 for unknown letters.
    width (int): The number of columns for each letter.
    kernel_size (int): The number of letters that each convolution of the encoder looks at.
    dilations (Sequence[int]): The dilation of each convolution of the encoder.
    stride (int): The number of slots of each letter.
    slot_width (int): The number of columns for each slot.
    slot_dilations (Sequence[int]): The dilation of each convolution of the slots, which look at
        `kernel_size` of them.
    feature_rows (int): The number of rows of the table of features.
    context_width (Optional[int]): The number of columns of the vectors of context; None for none.
    pad_before, pad_after (int): The number of rows of padding.
    dropout (Optional[float]): The probability that a column of a convolution's output is dropped in
        a string; None for that of the training.
    """

    def __init__(
        self,
        *,
        symbols: int,
        width: int,
        kernel_size: int,
        dilations: Sequence[int],
        stride: int,
        slot_width: int,
        slot_dilations: Sequence[int],
        feature_rows: int,
        context_width: Optional[int],
        pad_before: int,
        pad_after: int,
        dropout: Optional[float],
    ):
        super().__init__()
        check_positive("stride", stride)
        check_positive("slot_width", slot_width)
        check_positives("slot_dilations", slot_dilations)
        self.stride = stride
        self.encoder = StringEncoder(
            symbols=symbols,
            width=width,
            kernel_size=kernel_size,
            dilations=dilations,
            feature_rows=feature_rows,
            context_width=context_width,
            pad_before=pad_before,
            pad_after=pad_after,
            dropout=dropout,
        )
        self.upsampling = Upsampling(
            in_width=width,
            width=slot_width,
            stride=stride,
            kernel_size=stride,
            stack_kernel_size=kernel_size,
            dilations=slot_dilations,
            block="gated",
            dropout=dropout,
        )
        self.output = CopySoftmax(width=slot_width, symbols=symbols, stride=stride, copies=2)
        self.gap = max(self.encoder.gap, self.upsampling.gap)

    def forward(
        self,
        letters: Tensor,
        lowered: Tensor,
        lengths: List[int],
        features: Tensor,
        counts: Tensor,
        context: Optional[Tensor] = None,
    ) -> Tensor:
        """
        letters (Tensor): The symbols of the letters of all strings, end to end. *Shape:* (letters,)
        lowered (Tensor): The symbols of the same letters in lower case. *Shape:* (letters,)
        lengths (List[int]): The number of letters of each string, of which there is at least one.
        features (Tensor): For each feature of each string, some rows of the table. *Shape:*
            (features, hashes)
        counts (Tensor): The number of features of each string. *Shape:* (strings,)
        context (Optional[Tensor]): A vector for each string. *Shape:* (strings, context_width)
        RETURNS (Tensor): The logarithms of the probabilities of the symbols in all slots, of which
            a string has `(pad_before + length + pad_after) * stride`. *Shape:* (slots, symbols)
        """
        x, packing, letter_rows = self.encoder.pack(
            letters, lengths, features, counts, context, gap=self.gap, stride=self.stride
        )
        x, slots = self.upsampling(x, packing)

        copies = letters.new_zeros(packing.rows, 2)
        copies[letter_rows] = torch.stack([letters, lowered], dim=1)
        copies = copies.repeat_interleave(self.stride, dim=0)
        inside = slots.document_rows
        return self.output(x.index_select(0, inside), copies.index_select(0, inside))
