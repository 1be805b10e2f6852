import pickle

import numpy
import pytest
import torch
from numpy.testing import assert_allclose
from thinc.api import data_validation, set_dropout_rate
from torch import nn

from spacy_textconv.layers import Dropout
from spacy_textconv.models.wrap import (
    array_to_tensor,
    converting,
    split_rows,
    tensor_to_array,
    tensor_to_rows,
    to_tensor,
    wrap_module,
)

X = numpy.arange(6, dtype="f").reshape(2, 3)
IDENTITY = converting(array_to_tensor, tensor_to_array)


class Double(nn.Module):
    """A linear map of a number, and dropout at the rate of the training."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))
        self.dropout = Dropout(None)

    def forward(self, x):
        return self.dropout(self.factor * x)


def build(forward=IDENTITY, module=Double):
    return wrap_module("double", module, forward, dims={"nI": 3, "nO": 3}, attrs={"name": "x"})


def test_an_array_goes_in_and_out():
    model = build()
    assert_allclose(model.predict(X), 2 * X)
    Y, backprop = model.begin_update(X)
    assert_allclose(Y, 2 * X)
    # A transposed array is no block of memory.
    assert_allclose(backprop(X.T.copy().T), 2 * X)
    assert model.shims[0].module.factor.grad.item() == (X * X).sum()


def test_a_prediction_has_no_gradient():
    Y, backprop = build()(X, False)
    with pytest.raises(ValueError, match="E011"):
        backprop(Y)


def test_a_tensor_shares_the_memory_of_an_array():
    assert to_tensor(build(), X).data_ptr() == X.ctypes.data


def test_dropout_is_that_of_the_training_and_only_in_training():
    model = build()
    set_dropout_rate(model, 0.9)
    many = numpy.ones((100, 100), dtype="f")
    assert numpy.isin(model.begin_update(many)[0].round(3), [0, 20]).all()
    assert_allclose(model.predict(many), 2 * many)


def join(model, Xs):
    lengths = [len(X) for X in Xs]
    x = to_tensor(model, numpy.concatenate(Xs))
    return [x], lambda grads: split_rows(grads[0], lengths)


def test_rows_of_documents_go_in_and_out():
    model = build(converting(join, tensor_to_rows))
    Xs = [X, X[:0], 5 * X]
    for Y, expected in zip(model.predict(Xs), Xs, strict=True):
        assert_allclose(Y, 2 * expected)
    Ys, backprop = model.begin_update(Xs)
    for dX, expected in zip(backprop(Ys), Ys, strict=True):
        assert_allclose(dX, 2 * expected)


class Sums(nn.Module):
    """A module of two inputs and two outputs."""

    def forward(self, x, y):
        return x + y, x - y


def two_to_tensors(model, pair):
    tensors = [to_tensor(model, X) for X in pair]
    return tensors, lambda grads: [grad.numpy() for grad in grads]


def tensors_to_two(model, pair, tensors):
    return [Y.numpy() for Y in tensors], lambda dYs: [to_tensor(model, dY) for dY in dYs]


def test_several_arrays_go_in_and_out():
    model = build(converting(two_to_tensors, tensors_to_two), Sums)
    pair = [X, X * X]
    (Y, Z), backprop = model.begin_update(pair)
    assert_allclose(Y, X + X * X)
    assert_allclose(Z, X - X * X)
    dX, dZ = backprop([Y, Z])
    assert_allclose(dX, Y + Z)
    assert_allclose(dZ, Y - Z)


def test_copies_and_pickles_do_the_same():
    model = build()
    model.shims[0].module.factor.data.fill_(3.0)
    for other in (model.copy(), pickle.loads(pickle.dumps(model))):
        assert other.attrs == {"name": "x", "dropout_rate": 0.0}
        assert_allclose(other.predict(X), 3 * X)


def test_initialize_draws_new_weights():
    model = build()
    model.shims[0].module.factor.data.fill_(3.0)
    model.initialize()
    assert_allclose(model.predict(X), 2 * X)


def test_data_can_be_validated():
    model = build()
    with data_validation(True):
        model.initialize(X=X, Y=X)
    assert_allclose(model.predict(X), 2 * X)
