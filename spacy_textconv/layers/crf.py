"""Linear-chain conditional random fields over the documents of a batch.

All documents are worked on side by side: one step computes the first tokens of all of them, the
next step the second tokens of those that have one, and so on. A step has so little to compute that
numpy, on the CPU, is faster than torch on any device. It has its tokens in columns, which computes
the same tag of many of them at once.
"""

from itertools import pairwise
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy
from numpy import ndarray

from .transitions import KINDS, BiluoTransitions

# So many scores, or those of one step if they are more, are worked on at a time.
BLOCK_SCORES = 2**19
# Of these, so many are worked on at a time where tokens don't depend on each other: new arrays that
# don't fit into a cache cost more than what is computed.
CACHE_SCORES = 2**15


class LinearChains:
    """The sequences of tags of each document, where the score of a sequence is the sum of its
    emission and transition scores, and its probability is proportional to the exponential of its
    score (Lafferty et al. 2001, "Conditional random fields", section 3).

    Tags that are impossible for a token have the score minus infinity. At least one sequence of
    each document has to be possible. The possible scores of a token should differ by less than 200,
    or probabilities can be lost to underflow.

    A long document is worked on in blocks of steps, and needs little memory beside the emission
    scores and what is returned.

    emissions (ndarray): The score of each tag of each token, all documents end to end. *Shape:*
        (tokens, tags)
    transitions (BiluoTransitions): The scores of tags after other tags.
    lengths (Sequence[int]): The number of tokens of each document; may be 0.
    """

    def __init__(self, emissions: ndarray, transitions: BiluoTransitions, lengths: Sequence[int]):
        self.emissions = emissions
        self.transitions = transitions
        self.lengths = numpy.asarray(lengths, dtype="int64")
        # The document of each token.
        self._documents = numpy.repeat(numpy.arange(len(self.lengths)), self.lengths)
        self._highest = emissions.max(axis=1, initial=-numpy.inf)
        self._blocks = self._make_blocks()

    @property
    def log_partition(self) -> ndarray:
        """The logarithm of the sum of the exponentials of all scores. *Shape:* (documents,)"""
        scales = numpy.empty(len(self.emissions))
        for block, _, forward in self._from_the_last(self._potentials, self._sum_up):
            scales[block.tokens] = forward.sum(axis=0)
        return self._add_logarithms(scales)

    def gradients(self, weights: ndarray) -> Tuple[ndarray, ndarray, ndarray]:
        """Compute the log partition and the derivatives of its weighted sum over all documents.

        The derivative of a document's by the emission scores is the probability of each tag of each
        token. That by the scores of transitions is how often each is expected to be part of the
        score.

        weights (ndarray): How much each document counts in the sum. *Shape:* (documents,)
        RETURNS (Tuple[ndarray, ndarray, ndarray]): The log partition, and the derivatives by the
            emission scores and by those of transitions. *Shapes:* (documents,), (tokens, tags) and
            (4, tags)
        """
        scales = numpy.empty(len(self.emissions))
        d_emissions = numpy.empty_like(self.emissions)
        d_transitions = numpy.zeros((KINDS, self.emissions.shape[1]))
        for block, potentials, forward, backward in self._messages():
            tokens = block.tokens
            scales[tokens] = forward.sum(axis=0)
            backward *= weights[self._documents[tokens]] / _sum_of_products(forward, backward)
            d_emissions[tokens] = (forward * backward).T
            potentials *= backward
            arriving = potentials[:, block.first_step.stop :]
            for part in _parts(arriving):
                leaving = forward.take(block.previous[part], axis=1)
                d_transitions += self.transitions.counts(leaving, arriving[:, part])
        return self._add_logarithms(scales), d_emissions, d_transitions

    def log_loss(self, tags: ndarray) -> Tuple[float, ndarray, ndarray]:
        """Compute the negative logarithm of the probability of what is known about the tags, summed
        over the documents, and its derivatives. Where nothing is known, the loss is 0 (Tsuboi et
        al. 2008, "Training conditional random fields using incomplete annotations", section 3).

        tags (ndarray): The tag of each token, -1 where it is unknown. *Shape:* (tokens,)
        RETURNS (Tuple[float, ndarray, ndarray]): The loss, and its derivatives by the emission
            scores and by those of transitions. *Shapes:* (tokens, tags) and (4, tags)
        """
        unknown = numpy.bincount(self._documents, tags < 0, minlength=len(self.lengths))
        weights = (unknown < self.lengths).astype("float64")
        log_partition, d_emissions, d_transitions = self.gradients(weights)
        loss = float(weights @ log_partition)
        # Where everything is known, there is one sequence.
        sure = (unknown == 0)[self._documents].nonzero()[0]
        before, after = sure[:-1], sure[1:]
        inside = self._documents[before] == self._documents[after]
        pairs = tags[before[inside]], tags[after[inside]]
        loss -= float(self.emissions[sure, tags[sure]].sum(dtype="float64"))
        loss -= float(self.transitions.of_pairs(*pairs).sum())
        d_emissions[sure, tags[sure]] -= 1.0
        d_transitions -= self.transitions.count_pairs(*pairs)
        # Where something is known, there are several.
        partly = (unknown > 0) & (unknown < self.lengths)
        chains, tokens = self._take(partly)
        log_partition, d_known, d_known_transitions = chains.restrict(tags[tokens]).gradients(
            numpy.ones(partly.sum())
        )
        loss -= float(log_partition.sum())
        d_emissions[tokens] -= d_known
        d_transitions -= d_known_transitions
        return loss, d_emissions, d_transitions

    def restrict(self, tags: ndarray) -> "LinearChains":
        """Leave only those sequences that agree with what is known about the tags.

        tags (ndarray): The tag of each token, -1 where it is unknown. *Shape:* (tokens,)
        RETURNS (LinearChains): The remaining sequences.
        """
        tokens = (tags >= 0).nonzero()[0]
        emissions = self.emissions.copy()
        emissions[tokens] = -numpy.inf
        emissions[tokens, tags[tokens]] = self.emissions[tokens, tags[tokens]]
        return LinearChains(emissions, self.transitions, self.lengths.tolist())

    def best_paths(self, bonus: ndarray) -> ndarray:
        """Find the sequence with the highest score (the algorithm of Viterbi).

        bonus (ndarray): What each tag adds to the score here. *Shape:* (tags,)
        RETURNS (ndarray): The tag of each token. *Shape:* (tokens,)
        """
        paths = numpy.empty(len(self.emissions), dtype="int64")

        def load(tokens: ndarray) -> ndarray:
            scores = self._scores(tokens)
            scores += bonus[:, None]
            return scores

        # How the tags of a block are best reached: of the one that was worked on last.
        width = max((len(block.tokens) for block in self._blocks), default=0)
        is_second = numpy.zeros((self.emissions.shape[1], width), dtype="bool")
        ends = numpy.zeros((2, width), dtype="int64")

        def find_best(values: ndarray, block: "_Block") -> None:
            """Add the score of the best sequence that can come before."""
            for previous, now in block.pairs:
                current = values[:, now]
                before, is_second[:, now], ends[:, now] = self.transitions.best_after(
                    values[:, previous]
                )
                current += before

        following = None
        for block, _, scores in self._from_the_last(load, find_best):
            tags = numpy.empty_like(block.tokens)
            tags[block.ends] = scores[:, block.ends].argmax(axis=0)
            if following is not None:
                tags[block.last_step] = following
            columns = numpy.arange(len(tags))
            before = self.transitions.best_before(is_second, ends)
            for previous, now in reversed(block.pairs):
                tags[previous] = before[tags[now], columns[now]]
            following = tags[block.first_step]
            paths[block.tokens] = tags
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
        documents = numpy.zeros(len(self.lengths), dtype="bool")
        documents[self._documents[starts]] = True
        if not documents[self.lengths > 0].all():
            # Most documents have no entity.
            chains, tokens = self._take(documents)
            places = numpy.searchsorted(tokens, starts)
            return chains.span_probabilities(tags[tokens], places, places + stops - starts)
        # For the tag of each token: its share of all that comes before the tokens after it, what it
        # contributes after the tag before it, and what follows it.
        forward_shares, backward_shares = numpy.empty((2, len(tags)))
        factors = numpy.ones(len(tags) + 1)
        for block, potentials, forward, backward in self._messages():
            tokens, scales = block.tokens, forward.sum(axis=0)
            entries = tags[tokens], numpy.arange(len(tokens))
            forward_shares[tokens] = forward[entries] / scales
            factors[tokens] = potentials[entries] / scales
            totals = _sum_of_products(forward, backward)
            backward_shares[tokens] = backward[entries] * scales / totals
        factors[1:-1] *= numpy.exp(self.transitions.of_pairs(tags[:-1], tags[1:]))
        factors[starts] = forward_shares[starts]
        products = numpy.multiply.reduceat(factors, numpy.stack([starts, stops], axis=1).ravel())
        return numpy.minimum(products[::2] * backward_shares[stops - 1], 1.0)

    def _take(self, documents: ndarray) -> Tuple["LinearChains", ndarray]:
        """Leave only some documents.

        documents (ndarray): Which ones. *Shape:* (documents,)
        RETURNS (Tuple[LinearChains, ndarray]): Their chains and their tokens.
        """
        tokens = documents[self._documents].nonzero()[0]
        lengths = self.lengths[documents].tolist()
        return LinearChains(self.emissions[tokens], self.transitions, lengths), tokens

    def _messages(self) -> Iterator[Tuple["_Block", ndarray, ndarray, ndarray]]:
        """Compute the sums over all that can come before and after a token, scaled at each token so
        that they neither grow nor vanish (Rabiner 1989, "A tutorial on hidden Markov models",
        section V.A).

        YIELDS (Tuple[_Block, ndarray, ndarray, ndarray]): The blocks from the last to the first,
            each with the potentials, with the sums over all that can come before each tag (with
            itself), and with those over all that can follow. *Shape:* (tags, tokens)
        """
        following = None
        for block, potentials, forward in self._from_the_last(self._potentials, self._sum_up):
            backward = numpy.ones_like(potentials)
            if following is not None:
                backward[:, block.last_step] = following
            for previous, now in reversed(block.pairs):
                arriving = potentials[:, now] * backward[:, now]
                backward[:, previous] = self.transitions.sums_before(arriving)
            following = backward[:, block.first_step].copy()
            yield block, potentials, forward, backward

    def _from_the_last(
        self,
        load: Callable[[ndarray], ndarray],
        run: Callable[[ndarray, "_Block"], None],
    ) -> Iterator[Tuple["_Block", ndarray, ndarray]]:
        """Go through the blocks from the last to the first, with values that are computed from the
        first to the last. All but those of the last block are computed twice: those of all blocks
        at once would take too much memory.

        load (Callable[[ndarray], ndarray]): Gets what tokens start with. *Shape:* (tags, tokens)
        run (Callable[[ndarray, _Block], None]): Computes all steps of a block but the first, in
            place.
        YIELDS (Tuple[_Block, ndarray, ndarray]): The blocks, what their tokens start with, and
            their values.
        """

        def compute(block: "_Block", start: ndarray, first: Optional[ndarray]) -> ndarray:
            values = start.copy()
            if first is not None:
                values[:, block.first_step] = first
            run(values, block)
            return values

        firsts: List[Optional[ndarray]] = [None]
        for block in self._blocks[:-1]:
            values = compute(block, load(block.tokens), firsts[-1])
            firsts.append(values[:, block.last_step].copy())
        for block in reversed(self._blocks):
            start = load(block.tokens)
            yield block, start, compute(block, start, firsts.pop())

    def _sum_up(self, values: ndarray, block: "_Block") -> None:
        """Multiply potentials by the sums over all that can come before."""
        for previous, now in block.pairs:
            current = values[:, now]
            current *= self.transitions.sums_after(values[:, previous])

    def _scores(self, tokens: ndarray) -> ndarray:
        """The scores of tokens. *Shape:* (tags, tokens)"""
        return self.emissions[tokens].T.astype("float64", order="C")

    def _potentials(self, tokens: ndarray) -> ndarray:
        """Their exponentials, as shares of the highest of the token. *Shape:* (tags, tokens)"""
        scores = self._scores(tokens)
        scores -= self._highest[tokens]
        return numpy.exp(scores, out=scores)

    def _add_logarithms(self, scales: ndarray) -> ndarray:
        """Compute the log partition of each document from the sum of the potentials that go into
        each token, when those before it add up to 1."""
        terms = numpy.log(scales) + self._highest
        return numpy.bincount(self._documents, terms, minlength=len(self.lengths))

    def _make_blocks(self) -> List["_Block"]:
        """Cut the steps into blocks, each of which begins with the last step of the one before."""
        stops = self.lengths.cumsum()
        positions = numpy.arange(len(self._documents)) - (stops - self.lengths)[self._documents]
        is_end = positions == (self.lengths - 1)[self._documents]
        # The longest documents come first in each step, so that those which go on are the first
        # ones of the step before.
        ranks = numpy.empty_like(self.lengths)
        ranks[(-self.lengths).argsort(kind="stable")] = numpy.arange(len(self.lengths))
        order = (positions * len(self.lengths) + ranks[self._documents]).argsort()
        sizes = numpy.bincount(positions)
        bounds = numpy.append(0, sizes.cumsum())
        blocks = []
        for part in split_sizes(sizes.tolist(), BLOCK_SCORES // self.emissions.shape[1]):
            first = max(part.start - 1, 0)
            steps = list(pairwise((bounds[first : part.stop + 1] - bounds[first]).tolist()))
            tokens = order[bounds[first] : bounds[part.stop]]
            before, now = sizes[first : part.stop - 1], sizes[first + 1 : part.stop]
            blocks.append(
                _Block(
                    tokens=tokens,
                    first_step=slice(*steps[0]),
                    last_step=slice(*steps[-1]),
                    pairs=[
                        (slice(start, start + stop - middle), slice(middle, stop))
                        for (start, _), (middle, stop) in pairwise(steps)
                    ],
                    previous=numpy.arange(sizes[first], len(tokens)) - numpy.repeat(before, now),
                    ends=is_end[tokens].nonzero()[0],
                )
            )
        return blocks


def split_sizes(sizes: Sequence[int], most: int) -> List[slice]:
    """Split a sequence into parts.

    sizes (Sequence[int]): The sizes of the items.
    most (int): The largest size of a part of more than one item.
    RETURNS (List[slice]): The parts.
    """
    parts, start, total = [], 0, 0
    for i, size in enumerate(sizes):
        if total + size > most and i > start:
            parts.append(slice(start, i))
            start, total = i, 0
        total += size
    if sizes:
        parts.append(slice(start, len(sizes)))
    return parts


class _Block(NamedTuple):
    """Some steps, whose tokens are the columns of arrays.

    tokens (ndarray): The tokens in the order of the steps. *Shape:* (columns,)
    first_step (slice): The columns of the first step.
    last_step (slice): The columns of the last step.
    pairs (List[Tuple[slice, slice]]): For each step but the first, the columns of the tokens just
        before, and its own.
    previous (ndarray): The same for all of these steps: the column before each. *Shape:* (columns
        without those of the first step,)
    ends (ndarray): The columns of the last tokens of documents.
    """

    tokens: ndarray
    first_step: slice
    last_step: slice
    pairs: List[Tuple[slice, slice]]
    previous: ndarray
    ends: ndarray


def _parts(columns: ndarray) -> List[slice]:
    """Cut columns into parts that fit into a cache."""
    height, width = columns.shape
    step = max(CACHE_SCORES // height, 1)
    return [slice(start, start + step) for start in range(0, width, step)]


def _sum_of_products(a: ndarray, b: ndarray) -> ndarray:
    """Multiply two arrays and add up each column, without an array of the products."""
    return numpy.einsum("tn,tn->n", a, b)
