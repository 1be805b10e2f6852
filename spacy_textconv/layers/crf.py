"""Linear-chain conditional random fields over the documents of a batch.

All documents are worked on side by side: one step computes the first tokens of all of them, the
next step the second tokens of those that have one, and so on. A step has so little to compute that
numpy, on the CPU, is faster than torch on any device.
"""

from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Optional, Sequence

import numpy
import torch
from numpy import ndarray


class LinearChains:
    """The sequences of tags of each document, where the score of a sequence is the sum of its
    emission and transition scores, and its probability is proportional to the exponential of its
    score (Lafferty et al. 2001, "Conditional random fields", section 3).

    What is impossible has the score minus infinity: a transition, or a tag of some token. At least
    one sequence of each document has to be possible. The possible scores of a token should differ
    by less than 200, or probabilities can be lost to underflow.

    emissions (ndarray): The score of each tag of each token, all documents end to end. *Shape:*
        (tokens, tags)
    transitions (ndarray): The score of each tag (column) after each tag (row). *Shape:* (tags,
        tags)
    lengths (Sequence[int]): The number of tokens of each document; may be 0.
    """

    def __init__(self, emissions: ndarray, transitions: ndarray, lengths: Sequence[int]):
        self.emissions = emissions
        self.transitions = transitions
        self.lengths = numpy.asarray(lengths, dtype="int64")

    @property
    def log_partition(self) -> ndarray:
        """The logarithm of the sum of the exponentials of all scores. *Shape:* (documents,)"""
        terms = numpy.log(self._messages.scales) + self._highest
        return numpy.bincount(self._documents, terms, minlength=len(self.lengths))

    @property
    def tag_marginals(self) -> ndarray:
        """The probability of each tag of each token: the derivative of the log partition by the
        emission scores. *Shape:* (tokens, tags)"""
        messages = self._messages
        return messages.forward * messages.backward / messages.norms[:, None]

    def transition_counts(self, weights: Optional[ndarray] = None) -> ndarray:
        """Compute how often each transition is expected in all documents together: the derivative
        of the sum of the log partitions by the transition scores.

        weights (Optional[ndarray]): How much each document counts; None if all count once.
            *Shape:* (documents,)
        RETURNS (ndarray): *Shape:* (tags, tags)
        """
        messages = self._messages
        later = (self._positions > 0).nonzero()[0]
        arriving = self._potentials[later] * messages.backward[later]
        arriving /= (messages.scales * messages.norms)[later, None]
        if weights is not None:
            arriving *= weights[self._documents[later], None]
        return numpy.exp(self.transitions) * multiply(messages.forward[later - 1].T, arriving)

    def best_paths(self) -> ndarray:
        """Find the sequence with the highest score (the algorithm of Viterbi).

        RETURNS (ndarray): The tag of each token. *Shape:* (tokens,)
        """
        # The score of the best sequence that ends in each tag, with the documents in columns, which
        # takes the maximum of many at once. *Shape:* (tags, tokens)
        scores = self.emissions[self._order].T.copy()
        steps = list(pairwise(self._bounds))
        previous = scores[:, :0]
        for start, stop in steps:
            now = scores[:, start:stop]
            if start:
                arriving = previous[:, None, : stop - start] + self.transitions[:, :, None]
                now += arriving.max(axis=0)
            previous = now
        tags = numpy.empty(scores.shape[1], dtype="int64")
        following = tags[:0]
        for start, stop in reversed(steps):
            now = scores[:, start:stop]
            now[:, : len(following)] += self.transitions[:, following]
            following = tags[start:stop] = now.argmax(axis=0)
        paths = numpy.empty_like(tags)
        paths[self._order] = tags
        return paths

    def span_probabilities(self, tags: ndarray, starts: ndarray, stops: ndarray) -> ndarray:
        """Compute the probability that the tokens of a span have certain tags, whatever the tags
        of the other tokens are.

        tags (ndarray): The tag of each token; only those of the spans matter. *Shape:* (tokens,)
        starts (ndarray): The first token of each span. No spans overlap. *Shape:* (spans,)
        stops (ndarray): The token after the last one of each span, which is in the same document.
            *Shape:* (spans,)
        RETURNS (ndarray): *Shape:* (spans,)
        """
        messages = self._messages
        tokens = numpy.arange(len(tags))
        # What each tag contributes after the tag before it.
        factors = numpy.ones(len(tags) + 1)
        factors[:-1] = self._potentials[tokens, tags] / messages.scales
        factors[1:-1] *= numpy.exp(self.transitions[tags[:-1], tags[1:]])
        factors[starts] = messages.forward[starts, tags[starts]]
        products = numpy.multiply.reduceat(factors, numpy.stack([starts, stops], axis=1).ravel())
        ends = stops - 1
        rest = messages.backward[ends, tags[ends]] / messages.norms[ends]
        return numpy.minimum(products[::2] * rest, 1.0)

    @cached_property
    def _messages(self) -> "_Messages":
        """Sums over all that can come before and after a token, scaled at each token so that they
        neither grow nor vanish (Rabiner 1989, "A tutorial on hidden Markov models", section V.A).
        """
        matrix = numpy.exp(self.transitions.astype("float64"))
        # Backward messages are the forward ones of mirrored documents, computed in the same steps.
        mirrored = self._mirror[self._order]
        sums = self._potentials[numpy.stack([self._order, mirrored])]
        matrices = numpy.stack([matrix, matrix.T])
        totals = numpy.empty((2, len(mirrored), 1))
        ones = numpy.ones((2, len(matrix), 1))
        previous = sums[:, :0]
        for start, stop in pairwise(self._bounds):
            now = sums[:, start:stop]
            if start:
                now *= multiply(previous[:, : stop - start], matrices)
            totals[:, start:stop] = multiply(now, ones)
            now /= totals[:, start:stop]
            previous = now
        forward, following = numpy.empty_like(sums)
        forward[self._order], following[mirrored] = sums
        scales = numpy.empty(len(mirrored))
        scales[self._order] = totals[0, :, 0]
        backward = numpy.ones_like(forward)
        inner = (self._mirror_positions > 0).nonzero()[0]
        backward[inner] = multiply(following[inner + 1], matrix.T)
        return _Messages(forward, backward, scales, (forward * backward).sum(axis=1))

    @cached_property
    def _highest(self) -> ndarray:
        return self.emissions.max(axis=1, initial=-numpy.inf)

    @cached_property
    def _potentials(self) -> ndarray:
        return numpy.exp((self.emissions - self._highest[:, None]).astype("float64"))

    @cached_property
    def _documents(self) -> ndarray:
        """The document of each token."""
        return numpy.repeat(numpy.arange(len(self.lengths)), self.lengths)

    @cached_property
    def _positions(self) -> ndarray:
        """The position of each token in its document."""
        starts = self.lengths.cumsum() - self.lengths
        return numpy.arange(len(self._documents)) - starts[self._documents]

    @cached_property
    def _mirror_positions(self) -> ndarray:
        """The position of each token, counted from the end of its document."""
        return self.lengths[self._documents] - 1 - self._positions

    @cached_property
    def _mirror(self) -> ndarray:
        """The token that each one would be if its document were read backwards."""
        return numpy.arange(len(self._documents)) + self._mirror_positions - self._positions

    @cached_property
    def _order(self) -> ndarray:
        """The tokens in the order of the steps. The longest documents come first in each step, so
        that those which go on are the first ones of the step before."""
        ranks = numpy.empty_like(self.lengths)
        ranks[(-self.lengths).argsort(kind="stable")] = numpy.arange(len(self.lengths))
        return (self._positions * len(self.lengths) + ranks[self._documents]).argsort()

    @cached_property
    def _bounds(self) -> Sequence[int]:
        """Where each step begins, and where the last one ends."""
        return [0, *numpy.bincount(self._positions).cumsum().tolist()]


def multiply(a: ndarray, b: ndarray) -> ndarray:
    """Multiply matrices with torch: threads of numpy's own would wait for those of torch, which
    stay busy for a while after their work."""
    return (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()


class _Messages(NamedTuple):
    """
    forward (ndarray): For each tag, the sum over all that can come before it, with itself, as
        shares of 1. *Shape:* (tokens, tags)
    backward (ndarray): For each tag, the sum over all that can follow. *Shape:* (tokens, tags)
    scales (ndarray): What each forward message was divided by. *Shape:* (tokens,)
    norms (ndarray): The sum of forward times backward. *Shape:* (tokens,)
    """

    forward: ndarray
    backward: ndarray
    scales: ndarray
    norms: ndarray
