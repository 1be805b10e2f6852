"""Transitions against the matrix of all pairs of tags."""

import tracemalloc

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spacy_textconv.layers import BiluoTransitions, extend_transitions

from ..util import transition_matrix

labels, seeds = st.integers(0, 3), st.integers(0, 1000)


def random_scores(labels, seed):
    random = numpy.random.default_rng(seed)
    return random.normal(size=(4, 1 + 4 * labels)), random


@given(labels, seeds)
def test_sums_multiply_by_the_matrix(labels, seed):
    scores, random = random_scores(labels, seed)
    factors = numpy.exp(transition_matrix(scores))
    values = random.random((len(factors), 3))
    shares = values / values.sum(axis=0)
    transitions = BiluoTransitions(scores)
    assert_allclose(transitions.sums_after(values), factors.T @ shares)
    assert_allclose(transitions.sums_before(values), factors @ shares)


@given(labels, seeds)
def test_best_tags_have_the_highest_sums(labels, seed):
    scores, random = random_scores(labels, seed)
    before = random.normal(size=(scores.shape[1], 3))
    sums = before[:, None] + transition_matrix(scores)[:, :, None]
    transitions = BiluoTransitions(scores)
    highest, *ways = transitions.best_after(before)
    assert_allclose(highest, sums.max(axis=0))
    assert_array_equal(transitions.best_before(*ways), sums.argmax(axis=0))


@given(labels)
def test_first_of_several_best_tags(labels):
    zeros = numpy.zeros((4, 1 + 4 * labels))
    expected = transition_matrix(zeros).argmax(axis=0)
    transitions = BiluoTransitions(zeros)
    _, *ways = transitions.best_after(zeros[:1].T)
    assert_array_equal(transitions.best_before(*ways)[:, 0], expected)


@given(labels, seeds)
def test_scores_of_pairs(labels, seed):
    scores, _ = random_scores(labels, seed)
    matrix = transition_matrix(scores)
    before, after = numpy.indices(matrix.shape).reshape(2, -1)
    assert_allclose(BiluoTransitions(scores).of_pairs(before, after), matrix.ravel())


@given(labels, seeds)
def test_counts_are_the_derivatives_of_the_sum_over_pairs(labels, seed):
    scores, random = random_scores(labels, seed)
    before, after = random.random((2, scores.shape[1], 3))
    before /= before.sum(axis=0)

    def total(scores):
        return (before * (numpy.exp(transition_matrix(scores)) @ after)).sum()

    counts = BiluoTransitions(scores).counts(before, after)
    step = 1e-5
    for entry in numpy.ndindex(*scores.shape):
        change = numpy.zeros_like(scores)
        change[entry] = step
        slope = (total(scores + change) - total(scores - change)) / (2 * step)
        assert counts[entry] == pytest.approx(slope, abs=1e-6)


@given(labels, seeds)
def test_counted_pairs_are_the_derivatives_of_their_scores(labels, seed):
    scores, random = random_scores(labels, seed)
    possible = numpy.argwhere(numpy.isfinite(transition_matrix(scores)))
    before, after = possible[random.integers(0, len(possible), 20)].T
    counts = BiluoTransitions(scores).count_pairs(before, after)
    assert (counts * scores).sum() == pytest.approx(transition_matrix(scores)[before, after].sum())


@given(labels, st.integers(0, 2), seeds)
def test_new_tags_are_no_better_than_outside(labels, added, seed):
    scores, _ = random_scores(labels, seed)
    old, number = scores.shape[1], scores.shape[1] + 4 * added
    extended = extend_transitions(scores, number)
    assert extended.dtype == scores.dtype
    matrix = transition_matrix(extended)
    assert_array_equal(matrix[:old, :old], transition_matrix(scores))
    # What each tag would be without the new ones.
    replaced = numpy.where(numpy.arange(number) < old, numpy.arange(number), 0)
    possible = numpy.isfinite(matrix)
    assert (matrix <= matrix[numpy.ix_(replaced, replaced)] + 1e-12)[possible].all()
    assert_allclose(matrix[0, old:][possible[0, old:]], scores[0, 0])
    assert_allclose(matrix[old:, 0][possible[old:, 0]], scores[0, 0])


def test_memory_grows_with_the_number_of_tags():
    number, columns = 4001, 10
    values = numpy.random.default_rng(0).random((number, columns))
    tracemalloc.start()
    transitions = BiluoTransitions(extend_transitions(numpy.zeros((4, 1), dtype="f"), number))
    transitions.sums_after(values)
    transitions.sums_before(values)
    _, *ways = transitions.best_after(values)
    transitions.best_before(*ways)
    transitions.counts(values, values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < number * number
