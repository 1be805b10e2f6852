"""Deconvolutional decoders: networks that write a sequence of symbols in one pass."""

from math import sqrt
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive
from ..errors import Errors
from .autocast import widen
from .packing import Packing, PaddedLinear, padded_linear
from .pooling import positions_in_documents
from .upsampling import Upsampling

STRIDE = 2


class DeconvDecoder(nn.Module):
    """Spread a vector over a whole sequence: a linear map makes a few rows of it, and transposed
    convolutions double their number again and again, with residual convolutions after each of them
    (Zhang et al. 2017, "Deconvolutional paragraph representation learning", section 2.2). All
    symbols are written at once; none knows the others.

    A row of the result sees only the rows around it. So where a sequence is known to end early, the
    rows that it doesn't depend on aren't computed, and its scores are the same.

    symbols (int): The number of symbols.
    width (int): The number of columns of all rows.
    memory_width (int): The number of columns of the vectors.
    max_length (int): The number of rows of the result, so of symbols at most, the end among them:
        `seed_rows`, doubled once or more.
    seed_rows (int): The number of rows that the linear map makes.
    kernel_size (int): The size of each kernel of the convolutions. Has to be odd.
    dilations (Sequence[int]): The dilation of each convolution after each doubling.
    block (str): "conv", "gated", "bytenet" or "separable".
    dropout (Optional[float]): The probability that a column of what a convolution gives out is
        dropped; None for that of the training.
    """

    def __init__(
        self,
        *,
        symbols: int,
        width: int,
        memory_width: int,
        max_length: int = 64,
        seed_rows: int = 32,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 1),
        block: str = "gated",
        dropout: Optional[float] = 0.0,
    ):
        super().__init__()
        check_positive("symbols", symbols)
        check_positive("width", width)
        check_positive("memory_width", memory_width)
        levels = count_doublings(seed_rows, max_length)
        self.max_length = max_length
        self.seed_rows = seed_rows
        self.seeds = PaddedLinear(memory_width, seed_rows * width)
        upsampling = [
            Upsampling(
                in_width=width,
                width=width,
                stride=STRIDE,
                kernel_size=2 * STRIDE,
                stack_kernel_size=kernel_size,
                dilations=dilations,
                block=block,
                dropout=dropout,
            )
            for _ in range(levels)
        ]
        self.levels = nn.ModuleList(upsampling)
        # The rows that a level sees beyond the last one that is wanted of it.
        self.ahead = [level.stack.reach.right + level.transposed.overlap for level in upsampling]
        # The gap between two documents grows as they do.
        gaps = [-(-level.gap // STRIDE**number) for number, level in enumerate(upsampling)]
        self.gap = max(gaps)
        self.vectors = Parameter(torch.empty(symbols, width))
        nn.init.normal_(self.vectors, std=1.0 / sqrt(width))
        self.bias = Parameter(torch.zeros(symbols))

    def forward(
        self, symbols: Tensor, lengths: List[int], rows: Tensor, row_lengths: Tensor
    ) -> Tensor:
        """Score the symbols of sequences whose lengths are known.

        symbols (Tensor): Not used, because no symbol depends on the others.
        lengths (List[int]): The number of symbols of each sequence, with its end: from 1 to
            `max_length`.
        rows (Tensor): The vectors of all sequences. *Shape:* (sequences, memory_width)
        row_lengths (Tensor): One for each sequence. *Shape:* (sequences,)
        RETURNS (Tensor): The logits of all symbols. *Shape:* (total, symbols)
        RAISES (ValueError): If a sequence has several vectors, or is too long.
        """
        return self.score(self.spread(lengths, rows, row_lengths))

    def spread(self, lengths: List[int], rows: Tensor, row_lengths: Tensor) -> Tensor:
        """Compute what the scores of all symbols are made from. Arguments and errors are those of
        `forward`.

        RETURNS (Tensor): *Shape:* (total, width)
        """
        _check_single(row_lengths)
        if max(lengths, default=0) > self.max_length:
            raise ValueError(Errors.E172.format(length=max(lengths), limit=self.max_length))
        x, packing = self._spread(rows, [self._needed_seeds(length) for length in lengths])
        sizes = torch.tensor(lengths, device=x.device)
        starts = torch.tensor(packing.starts, device=x.device).repeat_interleave(sizes)
        return x.index_select(0, starts + positions_in_documents(sizes))

    def begin(self, sequences: int, rows: Tensor, row_lengths: Tensor) -> "Spread":
        """Begin to write sequences: all that they depend on is computed now.

        sequences (int): The number of sequences.
        rows (Tensor), row_lengths (Tensor): As those of `forward`.
        RETURNS (Spread): The sequences, of which no symbol has been looked at.
        """
        _check_single(row_lengths)
        x, packing = self._spread(rows, [self.seed_rows] * sequences)
        return Spread(self, packing.pad(x))

    def score(self, x: Tensor) -> Tensor:
        """Score the symbols of rows. *Shape:* (rows, width) to (rows, symbols)"""
        return padded_linear(x, self.vectors, self.bias)

    def _spread(self, vectors: Tensor, seeds: List[int]) -> Tuple[Tensor, Packing]:
        """Make the rows of all sequences, each from the first `seeds` of its seed rows."""
        packing = Packing(seeds, self.gap, vectors.device, stride=STRIDE ** len(self.levels))
        sizes = torch.tensor(seeds, device=vectors.device)
        wanted = torch.arange(self.seed_rows, device=vectors.device) < sizes[:, None]
        made = self.seeds(vectors).view(len(seeds), self.seed_rows, -1)[wanted]
        x = made.new_zeros(packing.rows, made.shape[1])
        x = x.index_copy(0, packing.document_rows, made)
        for level in self.levels:
            x, packing = level(x, packing)
        return x, packing

    def _needed_seeds(self, length: int) -> int:
        """Count the seed rows that the first `length` rows of the result depend on."""
        for ahead in reversed(self.ahead):
            length = -(-(length + ahead) // STRIDE)
        return min(length, self.seed_rows)


class Spread:
    """Sequences of which all rows are known before a symbol is written.

    decoder (DeconvDecoder): The decoder.
    rows (Tensor): *Shape:* (sequences, max_length, width)
    """

    def __init__(self, decoder: DeconvDecoder, rows: Tensor):
        self.decoder = decoder
        self.rows = rows
        self.position = 0
        self.sequences = torch.arange(len(rows), device=rows.device)

    def step(self, symbols: Tensor) -> Tensor:
        """Go on to the next row of each sequence, of which there are `max_length`.

        symbols (Tensor): Not used: what is written next doesn't depend on the last symbol.
        RETURNS (Tensor): The logarithms of the probabilities of the next one. *Shape:* (sequences,
            symbols)
        """
        return widen(self.decoder.score(self.advance())).log_softmax(dim=1)

    def advance(self) -> Tensor:
        """Go on to the next row of each sequence. *Shape:* (sequences, width)"""
        x = self.rows[self.sequences, self.position]
        self.position += 1
        return x

    def select(self, rows: Tensor) -> None:
        """Go on with some of the sequences.

        rows (Tensor): The sequences in their new order; one may be taken several times, or not at
            all.
        """
        self.sequences = self.sequences[rows]


def count_doublings(seed_rows: int, max_length: int) -> int:
    """Count how often `seed_rows` have to be doubled to become `max_length`: once or more.

    RAISES (ValueError): If no number of times will do.
    """
    check_positive("seed_rows", seed_rows)
    check_positive("max_length", max_length)
    levels = 1
    while seed_rows * STRIDE**levels < max_length:
        levels += 1
    longest = seed_rows * STRIDE**levels
    if longest != max_length:
        raise ValueError(Errors.E170.format(value=max_length, seed_rows=seed_rows, longest=longest))
    return levels


def _check_single(row_lengths: Tensor) -> None:
    """Raise a ValueError unless each sequence has one vector."""
    wrong = row_lengths[row_lengths != 1]
    if len(wrong):
        raise ValueError(Errors.E171.format(rows=int(wrong[0])))
