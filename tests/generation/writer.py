"""Sequences that are written by a table of random probabilities."""

from itertools import product
from math import inf

import numpy
import torch

SYMBOLS = 4
START, END = 0, 1


class TableWriter:
    """Writes by probabilities that depend on the document and all that it has written.

    seeds (Sequence[int]): One for each document. Those that are equal are the same document.
    scale (float): How much the probabilities differ. With 0, all are equal.
    """

    def __init__(self, seeds, scale=2.0):
        self.sequences = [(seed, ()) for seed in seeds]
        self.scale = scale
        self.steps = 0
        self.most = 0

    def step(self, symbols):
        assert symbols.shape == (len(self.sequences),)
        pairs = zip(self.sequences, symbols.tolist(), strict=True)
        self.sequences = [(seed, (*before, symbol)) for (seed, before), symbol in pairs]
        self.steps += 1
        self.most = max(self.most, len(self.sequences))
        return torch.stack([self.log_probs(*sequence) for sequence in self.sequences])

    def select(self, rows):
        assert rows.dtype == torch.int64 and len(rows)
        self.sequences = [self.sequences[row] for row in rows.tolist()]

    def log_probs(self, seed, before):
        generator = numpy.random.default_rng([seed, *before])
        scores = torch.from_numpy(generator.standard_normal(SYMBOLS)) * self.scale
        # What is written is never the start.
        scores[START] = -inf
        return scores.log_softmax(dim=0).float()


def all_sequences(seed, max_length, scale=2.0):
    """List all that can be written, with the logarithms of the probabilities and lengths."""
    writer = TableWriter([], scale)
    others = [symbol for symbol in range(SYMBOLS) if symbol not in (START, END)]
    found = []
    for length in range(max_length + 1):
        for symbols in product(others, repeat=length):
            drawn = [*symbols, END][:max_length]
            before = [START, *drawn]
            total = sum(
                float(writer.log_probs(seed, before[:place])[before[place]])
                for place in range(1, len(before))
            )
            found.append((list(symbols), total, len(drawn)))
    return found
