"""A linear map of all rows of a batch is Thinc's, computed by torch."""

import numpy
import pytest
from numpy.testing import assert_allclose
from thinc.api import Linear, Softmax_v2, with_array

from spacy_textconv.models.linear import linear_rows
from spacy_textconv.models.rows import Rows

from ..util import scrambled

LAYERS = {
    "linear": lambda: Linear(5, 3),
    "scores": lambda: Softmax_v2(5, 3, normalize_outputs=False),
    "probabilities": lambda: Softmax_v2(5, 3, normalize_outputs=True),
}


def batch(width):
    generator = numpy.random.default_rng(0)
    return [generator.standard_normal((rows, width), dtype="f") for rows in (2, 0, 4)]


@pytest.mark.parametrize("name", LAYERS)
def test_does_what_thincs_layer_does(name):
    ours, theirs = linear_rows(LAYERS[name]()), with_array(LAYERS[name]())
    Xs, dYs = batch(3), batch(5)
    for model in (ours, theirs):
        model.initialize(X=Xs)
        scrambled(model.layers[0])
    assert ours.to_bytes() == theirs.to_bytes()
    for Y, expected in zip(ours.predict(Xs), theirs.predict(Xs), strict=True):
        assert_allclose(Y, expected, rtol=1e-5, atol=1e-6)
    # Rows that lie in one array already, and others.
    for given in (Xs, Rows(numpy.concatenate(Xs), [len(X) for X in Xs])):
        (Ys, backprop), (expected_Ys, expected_backprop) = (
            model.begin_update(X) for model, X in ((ours, given), (theirs, Xs))
        )
        dXs, expected_dXs = backprop(dYs), expected_backprop(dYs)
        for Y, expected in zip([*Ys, *dXs], [*expected_Ys, *expected_dXs], strict=True):
            assert_allclose(Y, expected, rtol=1e-5, atol=1e-5)
    for parameter in ("W", "b"):
        gradients = [model.layers[0].get_grad(parameter) for model in (ours, theirs)]
        assert_allclose(*gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [[], [numpy.zeros((0, 3), dtype="f")]])
def test_nothing_comes_of_nothing(rows):
    model = linear_rows(scrambled(Linear(5, 3).initialize()))
    Ys, backprop = model.begin_update(rows)
    assert [Y.shape for Y in Ys] == [(0, 5)] * len(rows)
    assert [dX.shape for dX in backprop(Ys)] == [(0, 3)] * len(rows)
