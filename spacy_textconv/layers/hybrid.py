"""Hybrid decoders: what is written in one pass helps to write from left to right."""

from typing import List, Optional, Sequence

import torch
from torch import Tensor, nn

from ..checks import check_positives
from .decoder import CausalDecoder, Writing
from .deconv import DeconvDecoder, Spread
from .packing import PaddedLinear


class HybridDecoder(nn.Module):
    """Spread a vector over a whole sequence, and write its symbols from left to right: to the
    vector of each symbol, a causal stack gets the row of the one that comes next (Semeniuta et al.
    2017, "A hybrid convolutional variational autoencoder for text generation", section 3.3).
    Deconvolutions say what is written, and the causal stack how.

    symbols (int): The number of symbols.
    width (int): The number of columns of all rows.
    memory_width (int): The number of columns of the vectors.
    max_length (int): The number of symbols of a sequence at most, the end among them: `seed_rows`,
        doubled once or more.
    seed_rows (int): The number of rows that a linear map makes of a vector.
    kernel_size (int): The size of each kernel of the convolutions. Has to be odd.
    deconv_dilations (Sequence[int]): The dilation of each convolution after each doubling.
    causal_dilations (Sequence[int]): The dilation of each layer of the causal stack.
    block (str): "conv", "gated", "bytenet" or "separable".
    dropout (Optional[float]): The rate of dropout, as in `DeconvDecoder` and `CausalDecoder`; None
        for that of the training.
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
        deconv_dilations: Sequence[int] = (1, 1),
        causal_dilations: Sequence[int] = (1, 2, 4, 1),
        block: str = "gated",
        dropout: Optional[float] = 0.0,
    ):
        super().__init__()
        check_positives("deconv_dilations", deconv_dilations)
        check_positives("causal_dilations", causal_dilations)
        self.deconv = DeconvDecoder(
            symbols=symbols,
            width=width,
            memory_width=memory_width,
            max_length=max_length,
            seed_rows=seed_rows,
            kernel_size=kernel_size,
            dilations=deconv_dilations,
            block=block,
            dropout=dropout,
        )
        self.hint = PaddedLinear(width, width)
        self.causal = CausalDecoder(
            symbols=symbols,
            width=width,
            kernel_size=kernel_size,
            dilations=causal_dilations,
            block=block,
            dropout=dropout,
        )
        self.reach = self.causal.reach

    def forward(
        self,
        symbols: Tensor,
        lengths: List[int],
        rows: Tensor,
        row_lengths: Tensor,
        auxiliary: bool = False,
    ) -> Tensor:
        """Score what follows each symbol of sequences that are known.

        symbols (Tensor): The symbols of all sequences, end to end. *Shape:* (total,)
        lengths (List[int]): The number of symbols of each sequence: from 1 to `max_length`.
        rows (Tensor): The vectors of all sequences. *Shape:* (sequences, memory_width)
        row_lengths (Tensor): One for each sequence. *Shape:* (sequences,)
        auxiliary (bool): Whether the logits of the deconvolutions alone come after those of the
            causal stack. To learn from both makes use of the vectors (section 3.4).
        RETURNS (Tensor): The logits of the next symbol. *Shape:* (total, symbols), or (2 * total,
            symbols) with the auxiliary ones
        RAISES (ValueError): If a sequence has several vectors, or is too long.
        """
        x = self.deconv.spread(lengths, rows, row_lengths)
        logits = self.causal(symbols, lengths, hints=self.hint(x))
        return torch.cat([logits, self.deconv.score(x)]) if auxiliary else logits

    def begin(self, sequences: int, rows: Tensor, row_lengths: Tensor) -> "HintedWriting":
        """Begin to write sequences.

        sequences (int): The number of sequences.
        rows (Tensor), row_lengths (Tensor): As those of `forward`.
        RETURNS (HintedWriting): The sequences, without symbols.
        """
        spread = self.deconv.begin(sequences, rows, row_lengths)
        return HintedWriting(self.hint, spread, self.causal.begin(sequences))


class HintedWriting:
    """Sequences that a causal decoder writes, with a row of deconvolutions for each symbol.

    hint (PaddedLinear): Makes what is added to the vector of a symbol. *Shape:* (sequences, width)
        to (sequences, width)
    spread (Spread): The rows of all symbols.
    writing (Writing): The sequences.
    """

    def __init__(self, hint: PaddedLinear, spread: Spread, writing: Writing):
        self.hint = hint
        self.spread = spread
        self.writing = writing

    def step(self, symbols: Tensor) -> Tensor:
        """Add a symbol to each sequence, of which there are `max_length` at most.

        symbols (Tensor): *Shape:* (sequences,)
        RETURNS (Tensor): The logarithms of the probabilities of the next one. *Shape:* (sequences,
            symbols)
        """
        return self.writing.step(symbols, self.hint(self.spread.advance()))

    def select(self, rows: Tensor) -> None:
        """Go on with some of the sequences. Those of a document stay together, and all documents
        that are left have equally many.

        rows (Tensor): The sequences in their new order; one may be taken several times, or not at
            all.
        """
        self.spread.select(rows)
        self.writing.select(rows)
