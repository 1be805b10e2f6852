"""Chains against the enumeration of all sequences, and against finite differences."""

import tracemalloc
from itertools import product

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spacy_textconv.layers import BiluoTransitions, LinearChains, crf, split_sizes

from ..util import transition_matrix

TAGS = 9
lengths = st.lists(st.integers(0, 4), max_size=5)
seeds = st.integers(0, 1000)
# The scores of a block: one step, a few steps, all steps.
blocks = st.sampled_from([1, 4 * TAGS, 1000])


def random_chains(lengths, block=1000, tags=TAGS, seed=0, dtype="float64"):
    """Random scores, of which some tags, never O, are impossible."""
    random = numpy.random.default_rng(seed)
    emissions = random.normal(size=(sum(lengths), tags)).astype(dtype) * 2
    emissions[:, 1:][random.random((sum(lengths), tags - 1)) < 0.2] = -numpy.inf
    transitions = random.normal(size=(4, tags)).astype(dtype)
    return make_chains(emissions, transitions, lengths, block)


def make_chains(emissions, transitions, lengths, block=1000):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crf, "BLOCK_SCORES", block)
        chains = LinearChains(emissions, BiluoTransitions(transitions), lengths)
    chains.scores = transitions
    return chains


def enumerate_sequences(chains):
    """All sequences of each document with their scores: the definition, without any cleverness."""
    matrix = transition_matrix(chains.scores)
    start = 0
    for length in chains.lengths:
        tags = numpy.array(list(product(range(len(matrix)), repeat=length)), dtype="int64")
        tokens = numpy.arange(start, start + length)
        scores = chains.emissions[tokens, tags].sum(axis=1)
        yield tags, scores + matrix[tags[:, :-1], tags[:, 1:]].sum(axis=1)
        start += length


def log_sums(chains, possible=None):
    """The log partition of each document, by enumeration; of those sequences that are possible."""
    sums = []
    for i, (tags, scores) in enumerate(enumerate_sequences(chains)):
        shares = numpy.exp(scores)
        sums.append(
            numpy.log(shares.sum() if possible is None else shares[possible(i, tags)].sum())
        )
    return sums


@given(lengths, blocks, seeds)
def test_log_partition_sums_over_all_sequences(lengths, block, seed):
    chains = random_chains(lengths, block, seed=seed)
    assert_allclose(chains.log_partition, log_sums(chains), atol=1e-9)


@given(lengths, blocks, seeds)
def test_best_paths_have_the_highest_scores(lengths, block, seed):
    chains = random_chains(lengths, block, seed=seed)
    bonus = numpy.random.default_rng(seed + 1).normal(size=TAGS)
    best = [
        tags[(scores + bonus[tags].sum(axis=1)).argmax()]
        for tags, scores in enumerate_sequences(chains)
    ]
    assert_array_equal(chains.best_paths(bonus), numpy.concatenate([*best, []]))


@given(lengths, blocks, seeds)
def test_derivatives_by_emissions_are_the_probabilities_of_tags(lengths, block, seed):
    chains = random_chains(lengths, block, seed=seed)
    weights = numpy.random.default_rng(seed).normal(size=len(lengths))
    log_partition, marginals, _ = chains.gradients(weights)
    assert_allclose(log_partition, chains.log_partition, atol=1e-9)
    expected = numpy.zeros_like(marginals)
    start = 0
    for (sequences, scores), weight in zip(enumerate_sequences(chains), weights, strict=True):
        shares = numpy.exp(scores) / numpy.exp(scores).sum()
        for i, tags in enumerate(sequences.T):
            expected[start + i] = weight * numpy.bincount(tags, shares, minlength=TAGS)
        start += sequences.shape[1]
    assert_allclose(marginals, expected, atol=1e-9)


@given(lengths, blocks, seeds, st.data())
def test_span_probabilities_sum_over_the_sequences_with_the_span(lengths, block, seed, data):
    chains = random_chains(lengths, block, seed=seed)
    random = numpy.random.default_rng(seed)
    tags = numpy.empty(sum(lengths), dtype="int64")
    starts, stops, expected = [], [], []
    offset = 0
    for (sequences, scores), length in zip(enumerate_sequences(chains), lengths, strict=True):
        shares = numpy.exp(scores) / numpy.exp(scores).sum()
        # Of any sequence, which may be impossible, or of a probable one.
        number = random.choice(len(shares), p=shares) if seed % 2 else random.integers(len(shares))
        tags[offset : offset + length] = sequences[number]
        cuts = sorted(data.draw(st.sets(st.integers(0, length))))
        # Some of the pieces between the cuts.
        for start, stop in list(zip(cuts, cuts[1:], strict=False))[:: data.draw(st.integers(1, 2))]:
            inside = (sequences[:, start:stop] == sequences[number, start:stop]).all(axis=1)
            starts.append(offset + start)
            stops.append(offset + stop)
            expected.append(shares[inside].sum())
        offset += length
    found = chains.span_probabilities(
        tags, numpy.array(starts, dtype="int64"), numpy.array(stops, dtype="int64")
    )
    assert_allclose(found, expected, atol=1e-9)


def check_gradients(chains, function):
    """Compare the derivatives that a function of chains returns, after its value, with finite
    differences."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, emissions, transitions):
            chains_ = make_chains(emissions.numpy(), transitions.numpy(), chains.lengths.tolist())
            return torch.tensor(function(chains_)[0], dtype=torch.float64)

        @staticmethod
        def backward(ctx, dY):
            return tuple(dY * torch.from_numpy(gradient) for gradient in function(chains)[1:])

    # Minus infinity has no finite differences.
    possible = torch.from_numpy(numpy.isfinite(chains.emissions))
    scores = torch.from_numpy(numpy.where(possible, chains.emissions, 0.0)).requires_grad_()
    transitions = torch.from_numpy(chains.scores).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, y: Function.apply(x.masked_fill(~possible, -torch.inf), y), (scores, transitions)
    )


@pytest.mark.parametrize("lengths", [[3, 0, 5, 1], [1, 1], [6]])
@pytest.mark.parametrize("block", [1, 4 * TAGS, 1000])
def test_gradients_of_the_log_partition(lengths, block):
    weights = numpy.arange(1.0, len(lengths) + 1)

    def function(chains):
        log_partition, *gradients = chains.gradients(weights)
        return weights @ log_partition, *gradients

    check_gradients(random_chains(lengths, block), function)


def partly_known(chains, seed):
    """A probable tag for each token, some of which are unknown: none in the first document, all in
    the second."""
    random = numpy.random.default_rng(seed)
    known = chains.best_paths(numpy.zeros(TAGS))
    bounds = numpy.append(0, chains.lengths.cumsum())
    known[random.random(len(known)) < 0.5] = -1
    if len(bounds) > 2:
        known[: bounds[1]] = chains.best_paths(numpy.zeros(TAGS))[: bounds[1]]
        known[bounds[1] : bounds[2]] = -1
    return known


@given(lengths, seeds)
def test_log_loss_is_that_of_the_sequences_with_what_is_known(lengths, seed):
    chains = random_chains(lengths, seed=seed)
    known = partly_known(chains, seed)
    pieces = numpy.split(known, chains.lengths.cumsum()[:-1]) if lengths else []

    def agrees(i, tags):
        return ((tags == pieces[i]) | (pieces[i] < 0)).all(axis=1)

    expected = numpy.sum(log_sums(chains)) - numpy.sum(log_sums(chains, agrees))
    loss, *gradients = chains.log_loss(known)
    assert_allclose(loss, expected, atol=1e-9)
    everything, restricted = (
        x.gradients(numpy.ones(len(lengths)))[1:] for x in (chains, chains.restrict(known))
    )
    for gradient, first, second in zip(gradients, everything, restricted, strict=True):
        assert_allclose(gradient, first - second, atol=1e-9)


@pytest.mark.parametrize("lengths", [[3, 2, 0, 5, 4, 1], [4, 4]])
def test_gradients_of_the_log_loss(lengths):
    chains = random_chains(lengths)
    known = partly_known(chains, seed=0)
    check_gradients(chains, lambda chains: chains.log_loss(known))


def test_log_loss_of_what_is_impossible_is_infinite():
    emissions, transitions = numpy.zeros((2, TAGS)), numpy.zeros((4, TAGS))
    chains = make_chains(emissions, transitions, [2])
    # I after O
    loss, _, _ = chains.log_loss(numpy.array([0, 2]))
    assert loss == numpy.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_documents_alone_equal_the_batch(dtype):
    lengths = [3, 0, 40, 1, 7, 0, 40, 2]
    batch = random_chains(lengths, block=200, dtype=dtype)
    ones, none = numpy.ones(len(lengths)), numpy.zeros(TAGS)
    start = 0
    for i, length in enumerate(lengths):
        stop = start + length
        alone = make_chains(batch.emissions[start:stop], batch.scores, [length])
        assert_allclose(alone.log_partition, batch.log_partition[i : i + 1], rtol=1e-6)
        marginals = alone.gradients(ones[:1])[1]
        assert_allclose(marginals, batch.gradients(ones)[1][start:stop], atol=1e-6)
        assert_array_equal(alone.best_paths(none), batch.best_paths(none)[start:stop])
        start = stop


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nothing(lengths):
    chains = random_chains(lengths)
    assert chains.log_partition.tolist() == [0.0] * len(lengths)
    log_partition, d_emissions, d_transitions = chains.gradients(numpy.ones(len(lengths)))
    assert log_partition.tolist() == [0.0] * len(lengths)
    assert d_emissions.shape == (0, TAGS)
    assert_array_equal(d_transitions, numpy.zeros((4, TAGS)))
    assert chains.best_paths(numpy.zeros(TAGS)).shape == (0,)
    none = numpy.zeros(0, dtype="int64")
    assert chains.log_loss(none)[0] == 0.0
    assert chains.span_probabilities(none, none, none).shape == (0,)


def test_only_the_tag_outside():
    chains = random_chains([2, 3], tags=1)
    assert_array_equal(chains.best_paths(numpy.zeros(1)), numpy.zeros(5))
    assert_allclose(chains.gradients(numpy.ones(2))[1], 1.0)


def test_scores_of_long_documents_neither_vanish_nor_overflow():
    chains = random_chains([20_000], block=10_000, tags=5, dtype="float32")
    chains.emissions += 50
    log_partition, marginals, _ = chains.gradients(numpy.ones(1))
    assert numpy.isfinite(log_partition).all()
    assert_allclose(marginals.sum(axis=1), 1.0, rtol=1e-5)


def test_a_long_document_takes_little_memory():
    length, tags = 4000, 101
    chains = random_chains([length], block=2000, tags=tags, dtype="float32")
    starts, stops = numpy.arange(0, length, 2), numpy.arange(1, length, 2)
    tracemalloc.start()
    paths = chains.best_paths(numpy.zeros(tags))
    chains.span_probabilities(paths, starts, stops)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A copy of all scores takes twice as much.
    assert peak < 0.5 * chains.emissions.nbytes


@given(st.lists(st.integers(0, 9)), st.integers(0, 30))
def test_parts_are_as_large_as_they_may_be(sizes, most):
    parts = split_sizes(sizes, most)
    assert [i for part in parts for i in range(len(sizes))[part]] == list(range(len(sizes)))
    for part in parts:
        assert sum(sizes[part]) <= most or part.stop - part.start == 1
    for part, following in zip(parts, parts[1:], strict=False):
        assert sum(sizes[part.start : following.start + 1]) > most
