"""Attention from the rows of some documents to the rows of others."""

from math import log, sqrt
from typing import NamedTuple, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive
from .packing import Packing
from .pooling import positions_in_documents
from .steps import Steps


class Memory(NamedTuple):
    """What the rows of documents can attend to: as many rows of memory for each document, some of
    them hidden.

    keys, values (Tensor): *Shape:* (documents, longest, width)
    hidden (Tensor): Whether there is nothing in a row. *Shape:* (documents, 1, longest)
    """

    keys: Tensor
    values: Tensor
    hidden: Tensor

    def select(self, documents: Tensor) -> "Memory":
        """Take the memory of some documents."""
        return Memory(*(part.index_select(0, documents) for part in self))


class Memorize(nn.Module):
    """Turn the rows that documents come with into what can be attended to. There is one row more,
    a learned one, for when there is nothing to look at.

    The keys are told where they are in their document, by sines (Vaswani et al. 2017, section 3.5);
    the values are not. In ConvS2S (Gehring et al. 2017, section 3.3), the values are the sum of
    encoding and embedding; a residual encoder gives out that sum already.

    memory_width (int): The number of columns of the rows.
    width (int): The number of columns of keys and values.
    """

    def __init__(self, *, memory_width: int, width: int):
        super().__init__()
        check_positive("memory_width", memory_width)
        check_positive("width", width)
        self.keys = nn.Linear(memory_width, width)
        self.values = nn.Linear(memory_width, width)
        self.nothing = Parameter(torch.zeros(1, memory_width))

    def forward(self, rows: Tensor, lengths: Tensor) -> Memory:
        """
        rows (Tensor): The rows of all documents, end to end. *Shape:* (rows, memory_width)
        lengths (Tensor): The number of rows of each document. *Shape:* (documents,)
        RETURNS (Memory): *Shape:* (documents, 1 + longest, width)
        """
        places = positions_in_documents(lengths)
        documents = torch.arange(len(lengths), device=rows.device).repeat_interleave(lengths)
        shape = len(lengths), 1 + int(lengths.max()), rows.shape[1]
        # The first row of each document is the learned one.
        padded = self.nothing.expand(shape).index_put((documents, places + 1), rows)
        columns = torch.arange(shape[1], device=rows.device)
        hidden = columns > lengths.unsqueeze(1)
        keys = self.keys(padded) + sinusoids(columns, self.keys.out_features)
        return Memory(keys, self.values(padded), hidden.unsqueeze(1))


class CrossAttention(nn.Module):
    """Let each row of a document look at the rows of a memory, and tell it what is there: a mean of
    their values, weighted by how well their keys fit it (Gehring et al. 2017, "Convolutional
    sequence to sequence learning", section 3.3; scaled as by Vaswani et al. 2017, section 3.2.1).

    width (int): The number of columns of the rows, and of keys and values.
    """

    def __init__(self, *, width: int):
        super().__init__()
        check_positive("width", width)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.scale = 1.0 / sqrt(width)

    def forward(
        self, x: Tensor, packing: Union[Packing, Steps], memory: Memory
    ) -> Tuple[Tensor, Tensor]:
        """
        x (Tensor): *Shape:* (rows, width)
        packing (Union[Packing, Steps]): Where the documents lie, or sequences that grow.
        memory (Memory): What their rows can look at.
        RETURNS (Tuple[Tensor, Tensor]): What they are told, and how much they look at each row of
            the memory. *Shape:* (rows, width), (documents, rows of each, rows of memory)
        """
        queries = packing.pad(self.query(self.norm(x)))
        scores = queries @ memory.keys.transpose(1, 2) * self.scale
        weights = scores.masked_fill(memory.hidden, -torch.inf).softmax(dim=2)
        return packing.unpad(self.output(weights @ memory.values)), weights


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Describe positions by sines and cosines of many wavelengths (Vaswani et al. 2017, section
    3.5). *Shape:* (positions,) to (positions, width)"""
    half = -(-width // 2)
    steps = torch.arange(half, dtype=torch.float32, device=positions.device)
    rates = torch.exp(steps * (-log(10000.0) / half))
    angles = positions.unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
