"""Chains against the enumeration of all sequences, and against finite differences."""

from itertools import product

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spacy_textconv.layers import BiluoTags, LinearChains

lengths = st.lists(st.integers(0, 5), max_size=5)


def random_chains(lengths, tags=3, seed=0, dtype="float64"):
    """Random scores, of which some tags, never the last, and one transition are impossible."""
    random = numpy.random.default_rng(seed)
    emissions = random.normal(size=(sum(lengths), tags)).astype(dtype) * 2
    emissions[:, :-1][random.random((sum(lengths), tags - 1)) < 0.2] = -numpy.inf
    transitions = random.normal(size=(tags, tags)).astype(dtype)
    transitions[0, 1] = -numpy.inf
    return LinearChains(emissions, transitions, lengths)


def enumerate_sequences(chains):
    """All sequences of each document with their scores: the definition, without any cleverness."""
    start = 0
    for length in chains.lengths:
        emissions = chains.emissions[start : start + length]
        sequences = list(product(range(len(chains.transitions)), repeat=length))
        scores = [
            sum(emissions[i, tag] for i, tag in enumerate(tags))
            + sum(chains.transitions[a, b] for a, b in zip(tags, tags[1:], strict=False))
            for tags in sequences
        ]
        yield sequences, numpy.array(scores, dtype="float64")
        start += length


@given(lengths, st.integers(0, 1000))
def test_log_partition_sums_over_all_sequences(lengths, seed):
    chains = random_chains(lengths, seed=seed)
    expected = [numpy.log(numpy.exp(scores).sum()) for _, scores in enumerate_sequences(chains)]
    assert_allclose(chains.log_partition, expected, atol=1e-9)


@given(lengths, st.integers(0, 1000))
def test_best_paths_have_the_highest_scores(lengths, seed):
    chains = random_chains(lengths, seed=seed)
    best = [
        sequences[scores.argmax()] for sequences, scores in enumerate_sequences(chains)
    ]  # fmt: skip
    assert chains.best_paths().tolist() == [tag for tags in best for tag in tags]


@given(lengths, st.integers(0, 1000))
def test_marginals_sum_over_the_sequences_with_a_tag(lengths, seed):
    chains = random_chains(lengths, seed=seed)
    marginals = numpy.zeros_like(chains.emissions)
    counts = numpy.zeros_like(chains.transitions)
    start = 0
    for (sequences, scores), length in zip(enumerate_sequences(chains), lengths, strict=True):
        for tags, probability in zip(sequences, numpy.exp(scores), strict=True):
            probability /= numpy.exp(scores).sum()
            marginals[numpy.arange(start, start + length), list(tags)] += probability
            for a, b in zip(tags, tags[1:], strict=False):
                counts[a, b] += probability
        start += length
    assert_allclose(chains.tag_marginals, marginals, atol=1e-9)
    assert_allclose(chains.transition_counts(), counts, atol=1e-9)


@given(lengths, st.integers(0, 1000), st.data())
def test_span_probabilities_sum_over_the_sequences_with_the_span(lengths, seed, data):
    chains = random_chains(lengths, seed=seed)
    tags = numpy.random.default_rng(seed).integers(0, 3, sum(lengths))
    starts, stops, expected = [], [], []
    offset = 0
    for (sequences, scores), length in zip(enumerate_sequences(chains), lengths, strict=True):
        shares = numpy.exp(scores) / numpy.exp(scores).sum()
        cuts = sorted(data.draw(st.sets(st.integers(0, length))))
        # Some of the pieces between the cuts.
        for start, stop in list(zip(cuts, cuts[1:], strict=False))[:: data.draw(st.integers(1, 2))]:
            wanted = tuple(tags[offset + start : offset + stop])
            inside = [sequence[start:stop] == wanted for sequence in sequences]
            starts.append(offset + start)
            stops.append(offset + stop)
            expected.append(shares[inside].sum())
        offset += length
    found = chains.span_probabilities(
        tags, numpy.array(starts, dtype="int64"), numpy.array(stops, dtype="int64")
    )
    assert_allclose(found, expected, atol=1e-9)


@given(lengths, st.integers(0, 1000))
def test_gradients_of_the_log_partition(lengths, seed):
    """With what is known about some tokens, as training uses it."""
    chains = random_chains(lengths, seed=seed)
    chains.emissions[::2, 0] = -numpy.inf
    chains.transitions[0, 1] = 0.3

    def loss(emissions, transitions):
        chains = LinearChains(emissions.numpy(), transitions.numpy(), lengths)
        return chains.log_partition.sum()

    class LogPartition(torch.autograd.Function):
        @staticmethod
        def forward(ctx, emissions, transitions):
            return torch.tensor(loss(emissions, transitions))

        @staticmethod
        def backward(ctx, dY):
            marginals, counts = chains.tag_marginals, chains.transition_counts()
            return dY * torch.from_numpy(marginals), dY * torch.from_numpy(counts)

    # Minus infinity has no finite differences.
    possible = torch.from_numpy(numpy.isfinite(chains.emissions))
    scores = torch.from_numpy(numpy.where(possible, chains.emissions, 0.0)).requires_grad_()

    def function(emissions, transitions):
        return LogPartition.apply(emissions.masked_fill(~possible, -torch.inf), transitions)

    transitions = torch.from_numpy(chains.transitions).requires_grad_()
    if sum(lengths):
        assert torch.autograd.gradcheck(function, (scores, transitions))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_documents_alone_equal_the_batch(dtype):
    lengths = [3, 0, 40, 1, 7, 0, 40, 2]
    batch = random_chains(lengths, tags=5, dtype=dtype)
    start = 0
    for i, length in enumerate(lengths):
        stop = start + length
        alone = LinearChains(batch.emissions[start:stop], batch.transitions, [length])
        assert_allclose(alone.log_partition, batch.log_partition[i : i + 1], rtol=1e-6)
        assert_allclose(alone.tag_marginals, batch.tag_marginals[start:stop], atol=1e-6)
        assert_array_equal(alone.best_paths(), batch.best_paths()[start:stop])
        start = stop


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nothing(lengths):
    chains = random_chains(lengths)
    assert chains.log_partition.tolist() == [0.0] * len(lengths)
    assert chains.tag_marginals.shape == (0, 3)
    assert_array_equal(chains.transition_counts(), numpy.zeros((3, 3)))
    assert chains.best_paths().shape == (0,)
    none = numpy.zeros(0, dtype="int64")
    assert chains.span_probabilities(none, none, none).shape == (0,)


def test_scores_of_long_documents_neither_vanish_nor_overflow():
    chains = random_chains([20_000], tags=4, dtype="float32")
    chains.emissions += 50
    assert numpy.isfinite(chains.log_partition).all()
    assert_allclose(chains.tag_marginals.sum(axis=1), 1.0)


def test_biluo_transitions():
    tags = BiluoTags(["A", "B"])
    names = list(tags.ids)
    assert names == ["O", "B-A", "I-A", "L-A", "U-A", "B-B", "I-B", "L-B", "U-B"]

    def is_valid(first, second):
        if first[0] in "BI":
            return second[0] in "IL" and first[1:] == second[1:]
        return second[0] in "OBU"

    expected = [[is_valid(first, second) for second in names] for first in names]
    assert tags.transitions.tolist() == expected
    assert BiluoTags([]).transitions.tolist() == [[True]]


def test_biluo_entities():
    tags = BiluoTags(["A", "B"])
    names = ["O", "U-A", "B-B", "I-B", "L-B", "B-A", "L-A", "O", "U-B"]
    starts, stops, labels = tags.entities(numpy.array([tags.ids[name] for name in names]))
    found = list(zip(starts.tolist(), stops.tolist(), labels.tolist(), strict=True))
    assert found == [(1, 2, 0), (2, 5, 1), (5, 7, 0), (8, 9, 1)]
