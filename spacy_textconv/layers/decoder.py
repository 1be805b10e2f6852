"""Decoders: networks that write sequences of symbols."""

from math import sqrt
from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive
from .attention import CrossAttention, Memorize, Memory, sinusoids
from .autocast import widen
from .dilated import DilatedStack
from .dropout import Dropout
from .packing import Packing, padded_linear
from .pooling import positions_in_documents
from .steps import Steps


class DecoderStack(DilatedStack):
    """A causal stack of residual convolutions, with attention to a memory after each of them if
    there is one (Gehring et al. 2017, "Convolutional sequence to sequence learning", section 3.3).

    width (int): The number of columns of input and output.
    kernel_size (int): The size of each kernel.
    dilations (Sequence[int]): The dilation of each layer.
    block (str): "conv", "gated", "bytenet" or "separable".
    attends (bool): Whether there is a memory.
    dropout (Optional[float]): The probability that a column of what a layer gives out is dropped;
        None for that of the training.
    """

    def __init__(
        self,
        *,
        width: int,
        kernel_size: int,
        dilations: Sequence[int],
        block: str,
        attends: bool,
        dropout: Optional[float],
    ):
        super().__init__(
            width=width,
            kernel_size=kernel_size,
            dilations=dilations,
            block=block,
            dropout=dropout,
            causal=True,
        )
        layers = len(dilations) if attends else 0
        self.attentions = nn.ModuleList(CrossAttention(width=width) for _ in range(layers))

    def forward(  # type: ignore[override]
        self, x: Tensor, packing: Union[Packing, Steps], memory: Optional[Memory] = None
    ) -> Tuple[Tensor, List[Tensor]]:
        """
        x (Tensor): *Shape:* (rows, width)
        packing (Union[Packing, Steps]): Where the documents lie, or sequences that grow.
        memory (Optional[Memory]): What their rows can look at.
        RETURNS (Tuple[Tensor, List[Tensor]]): The rows, and for each layer how much they look at
            each row of the memory. *Shape:* (rows, width), (documents, rows of each, rows of
            memory)
        """
        looks = []
        for layer, (block, connect) in enumerate(zip(self.blocks, self.connections, strict=True)):
            x = connect(x, self.dropout(block(x, packing), packing))
            if memory is not None:
                y, weights = self.attentions[layer](x, packing, memory)
                x = x + self.dropout(y, packing)
                looks.append(weights)
        return self.norm(x), looks


class CausalDecoder(nn.Module):
    """Write sequences of symbols from left to right: causal convolutions look back at the symbols
    that were written (van den Oord et al. 2016, "WaveNet"; Kalchbrenner et al. 2016, "Neural
    machine translation in linear time"), and attention in every layer looks at the rows of a memory
    (Gehring et al. 2017). Without a memory, it is a language model. The symbols that are read and
    those that are written share their vectors (Press and Wolf 2017, "Using the output embedding to
    improve language models").

    symbols (int): The number of symbols.
    width (int): The number of columns for each symbol.
    kernel_size (int): The number of symbols that each convolution looks at: the last one, and those
        before it.
    dilations (Sequence[int]): The dilation of each layer.
    block (str): "conv", "gated", "bytenet" or "separable".
    memory_width (Optional[int]): The number of columns of the rows of memory; None for none.
    dropout (Optional[float]): The probability that a number of a symbol's vector, or a column of
        what a layer gives out, is dropped; None for that of the training.

    reach (Reach): The symbols that the scores of the next one depend on, beside the last one.
    """

    def __init__(
        self,
        *,
        symbols: int,
        width: int,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 1),
        block: str = "gated",
        memory_width: Optional[int] = None,
        dropout: Optional[float] = 0.0,
    ):
        super().__init__()
        check_positive("symbols", symbols)
        check_positive("width", width)
        self.vectors = Parameter(torch.empty(symbols, width))
        nn.init.normal_(self.vectors, std=1.0 / sqrt(width))
        self.bias = Parameter(torch.zeros(symbols))
        self.dropout = Dropout(dropout)
        self.memorize: Optional[Memorize] = None
        if memory_width is not None:
            self.memorize = Memorize(memory_width=memory_width, width=width)
        self.stack = DecoderStack(
            width=width,
            kernel_size=kernel_size,
            dilations=dilations,
            block=block,
            attends=memory_width is not None,
            dropout=dropout,
        )
        self.reach = self.stack.reach

    def forward(
        self,
        symbols: Tensor,
        lengths: List[int],
        rows: Optional[Tensor] = None,
        row_lengths: Optional[Tensor] = None,
        hints: Optional[Tensor] = None,
    ) -> Tensor:
        """Score what follows each symbol of sequences that are known.

        symbols (Tensor): The symbols of all sequences, end to end. *Shape:* (total,)
        lengths (List[int]): The number of symbols of each sequence, of which there is at least one.
        rows (Optional[Tensor]): The rows of memory of all sequences, end to end. *Shape:* (rows,
            memory_width)
        row_lengths (Optional[Tensor]): The number of rows of memory of each sequence. *Shape:*
            (sequences,)
        hints (Optional[Tensor]): What is added to the vector of each symbol. *Shape:* (total,
            width)
        RETURNS (Tensor): The logits of the next symbol. *Shape:* (total, symbols)
        """
        return self._score(self.encode(symbols, lengths, rows, row_lengths, hints))

    def encode(
        self,
        symbols: Tensor,
        lengths: List[int],
        rows: Optional[Tensor] = None,
        row_lengths: Optional[Tensor] = None,
        hints: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute what the scores of what follows each symbol are made from. Arguments are those of
        `forward`.

        RETURNS (Tensor): *Shape:* (total, width)
        """
        packing = Packing(lengths, self.stack.gap, symbols.device)
        x, _ = self._read(symbols, packing, self._remember(rows, row_lengths), hints)
        return x.index_select(0, packing.document_rows)

    def attention(
        self, symbols: Tensor, lengths: List[int], rows: Tensor, row_lengths: Tensor
    ) -> Tensor:
        """Tell where the decoder looks while it writes what follows each symbol.

        symbols (Tensor), lengths (List[int]), rows (Tensor), row_lengths (Tensor): As those of
            `forward`.
        RETURNS (Tensor): How much it looks at each row of memory, as a mean of all layers. What is
            missing to 1 looks at none of them. *Shape:* (sequences, longest, longest memory)
        """
        packing = Packing(lengths, self.stack.gap, symbols.device)
        _, looks = self._read(symbols, packing, self._remember(rows, row_lengths))
        return torch.stack(looks).mean(dim=0)[:, :, 1:]

    def begin(
        self,
        sequences: int,
        rows: Optional[Tensor] = None,
        row_lengths: Optional[Tensor] = None,
    ) -> "Writing":
        """Begin to write sequences.

        sequences (int): The number of sequences.
        rows (Optional[Tensor]), row_lengths (Optional[Tensor]): As those of `forward`.
        RETURNS (Writing): The sequences, without symbols.
        """
        return Writing(self, sequences, self._remember(rows, row_lengths))

    def step(
        self,
        symbols: Tensor,
        steps: Steps,
        memory: Optional[Memory],
        hints: Optional[Tensor] = None,
    ) -> Tensor:
        """Read the next symbol of each sequence.

        symbols (Tensor): *Shape:* (sequences,)
        steps (Steps): The sequences, which are one symbol longer afterwards.
        memory (Optional[Memory]): What their documents remember.
        hints (Optional[Tensor]): What is added to the vector of each symbol. *Shape:* (sequences,
            width)
        RETURNS (Tensor): The logits of the symbol after it. *Shape:* (sequences, symbols)
        """
        position = symbols.new_tensor([steps.position])
        x, _ = self.stack(self._embed(symbols, position, hints), steps, memory)
        steps.advance()
        return self._score(x)

    def _remember(self, rows: Optional[Tensor], row_lengths: Optional[Tensor]) -> Optional[Memory]:
        return None if self.memorize is None else self.memorize(rows, row_lengths)

    def _read(
        self,
        symbols: Tensor,
        packing: Packing,
        memory: Optional[Memory],
        hints: Optional[Tensor] = None,
    ) -> Tuple[Tensor, List[Tensor]]:
        lengths = torch.tensor(packing.lengths, device=symbols.device)
        x = self._embed(symbols, positions_in_documents(lengths), hints)
        packed = x.new_zeros(packing.rows, x.shape[1]).index_copy(0, packing.document_rows, x)
        return self.stack(packed, packing, memory)

    def _embed(self, symbols: Tensor, positions: Tensor, hints: Optional[Tensor]) -> Tensor:
        width = self.vectors.shape[1]
        x = self.dropout(F.embedding(symbols, self.vectors) * sqrt(width))
        if hints is not None:
            x = x + hints
        # Convolutions know what is near. Where something is in a sequence, only attention asks.
        return x if self.memorize is None else x + sinusoids(positions, width)

    def _score(self, x: Tensor) -> Tensor:
        return padded_linear(x, self.vectors, self.bias)


class Writing:
    """Sequences that a decoder writes.

    decoder (CausalDecoder): The decoder.
    sequences (int): The number of sequences: one for each document.
    memory (Optional[Memory]): What the documents remember.
    """

    def __init__(self, decoder: CausalDecoder, sequences: int, memory: Optional[Memory]):
        self.decoder = decoder
        self.steps = Steps(sequences)
        self.memory = memory

    def step(self, symbols: Tensor, hints: Optional[Tensor] = None) -> Tensor:
        """Add a symbol to each sequence.

        symbols (Tensor): *Shape:* (sequences,)
        hints (Optional[Tensor]): What is added to their vectors. *Shape:* (sequences, width)
        RETURNS (Tensor): The logarithms of the probabilities of the next one. *Shape:* (sequences,
            symbols)
        """
        scores = self.decoder.step(symbols, self.steps, self.memory, hints)
        return widen(scores).log_softmax(dim=1)

    def select(self, rows: Tensor) -> None:
        """Go on with some of the sequences. Those of a document stay together, and all documents
        that are left have equally many.

        rows (Tensor): The sequences in their new order; one may be taken several times, or not at
            all.
        """
        documents = self.steps.documents
        left = self.steps.select(rows)
        if self.memory is not None and len(left) < documents:
            self.memory = self.memory.select(left)
