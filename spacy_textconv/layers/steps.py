"""Sequences that grow by one row at a time: what takes the place of a packing for them."""

from typing import List

import torch
from torch import Tensor


class Steps:
    """One new row of each sequence at a time. Causal networks over packed rows are given this in
    the place of a `Packing`: whatever looks back finds the rows that it has seen before, as far as
    it looks, so that a row costs one product of matrices a layer (van den Oord et al. 2016,
    "WaveNet"; Paine et al. 2016, "Fast WaveNet generation algorithm", section 2).

    All documents begin with one sequence, and always have equally many.

    documents (int): The number of documents.

    sequences (int): The number of sequences of all documents.
    position (int): The number of rows that each sequence has so far.
    """

    def __init__(self, documents: int):
        self.documents = self.sequences = documents
        self.position = 0
        # Of each layer that looks back, in the order of their calls, a ring of its last rows.
        self._rings: List[Tensor] = []
        self._calls = 0

    def advance(self) -> None:
        """Go on to the next row, when all layers have seen this one."""
        self.position += 1
        self._calls = 0

    def look_back(self, x: Tensor, taps: int, dilation: int) -> Tensor:
        """Keep the new rows of a layer, and get the earlier ones that it looks at; before the first
        row, there are zeros.

        x (Tensor): *Shape:* (sequences, width)
        taps (int): The number of rows that it looks at, with the new one.
        dilation (int): The distance between two of them.
        RETURNS (Tensor): The earliest rows first. *Shape:* (sequences, taps * width)
        """
        if taps == 1:
            return x
        size = (taps - 1) * dilation + 1
        if self._calls == len(self._rings):
            self._rings.append(x.new_zeros(size, *x.shape))
        ring = self._rings[self._calls]
        self._calls += 1
        ring[self.position % size] = x
        back = range((taps - 1) * dilation, -1, -dilation)
        return torch.cat([ring[(self.position - rows) % size] for rows in back], dim=1)

    def select(self, rows: Tensor) -> Tensor:
        """Go on with some of the sequences. Those of a document stay together, and all documents
        that are left have equally many.

        rows (Tensor): The sequences in their new order; one may be taken several times, or not at
            all.
        RETURNS (Tensor): The documents that are left.
        """
        left = torch.unique_consecutive(rows // (self.sequences // self.documents))
        self._rings = [ring.index_select(1, rows) for ring in self._rings]
        self.documents, self.sequences = len(left), len(rows)
        return left

    def clear_gap_(self, x: Tensor) -> Tensor:
        """There is no gap between single rows."""
        return x

    def pad(self, x: Tensor) -> Tensor:
        """Put the rows of each document side by side, as `Packing.pad` does. *Shape:* (sequences,
        width) to (documents, sequences of each, width)"""
        return x.view(self.documents, -1, x.shape[1])

    def unpad(self, x: Tensor) -> Tensor:
        """Bring rows back into the order that they had before `pad`."""
        return x.flatten(0, 1)
