"""All parameters at once are updated as Thinc's Adam updates one after the other."""

import copy

import numpy
import pytest
import torch
from numpy.testing import assert_allclose
from thinc.api import SGD, Adam, Optimizer, RAdam, warmup_linear
from torch import nn

from spacy_textconv.models.adam import is_adam
from spacy_textconv.models.shim import TorchShim

STEPS = 100
SETTINGS = {
    "defaults": {},
    "decay": {"L2": 0.05},
    "L2": {"L2": 0.05, "L2_is_weight_decay": False},
    "unclipped": {"grad_clip": 0.0},
    "no averages": {"use_averages": False},
    "large eps": {"eps": 0.01, "beta1": 0.8, "beta2": 0.95},
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.matrix = nn.Parameter(torch.randn(7, 5))
        self.kernel = nn.Parameter(torch.randn(3, 4, 2))


def gradients(shim, step, missing):
    """Random gradients of all sizes, of all parameters or not."""
    generator = numpy.random.default_rng(step)
    made = {}
    for name, param in shim.module.named_parameters():
        values = generator.standard_normal(param.shape) * 10.0 ** (step % 5 - 3)
        if not missing or generator.random() < 0.7:
            made[name] = torch.tensor(values, dtype=torch.float32)
    return made


def assert_close(values, expected):
    """Equal to 1e-4 of the largest of them."""
    assert_allclose(values, expected, rtol=0, atol=1e-4 * numpy.abs(expected).max())


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_equals_thinc(settings, missing):
    shim = TorchShim(Net)
    expected = {n: p.detach().numpy().copy().ravel() for n, p in shim.module.named_parameters()}
    ours, thincs = (Adam(warmup_linear(0.01, 5, STEPS), **settings) for _ in range(2))
    assert is_adam(ours)
    for step in range(STEPS):
        for name, gradient in gradients(shim, step, missing).items():
            shim.module.get_parameter(name).grad = gradient.clone()
            thincs((shim.id, name), expected[name], gradient.numpy().copy().ravel())
        shim.finish_update(ours)
        assert all(param.grad is None for param in shim.module.parameters())
        for optimizer in (ours, thincs):
            optimizer.step_schedules()
    assert ours.nr_update == thincs.nr_update
    for name, param in shim.module.named_parameters():
        key = (shim.id, name)
        assert_close(param.detach().numpy().ravel(), expected[name])
        assert_close(ours.mom1[key], thincs.mom1[key])
        assert_close(ours.mom2[key], thincs.mom2[key])
        if thincs.averages is not None:
            assert_close(ours.averages[key], thincs.averages[key])
    assert (ours.averages is None) == (thincs.averages is None)


def test_averages_of_a_long_training():
    shim = TorchShim(Net)
    ours, thincs = (Adam(0.01) for _ in range(2))
    key = shim.id, "matrix"
    ours.nr_update[key] = thincs.nr_update[key] = 200_000
    weights = shim.module.matrix.detach().numpy().copy().ravel()
    shim.module.matrix.grad = torch.ones(7, 5)
    shim.finish_update(ours)
    thincs(key, weights, numpy.ones(35, dtype="float32"))
    assert_close(ours.averages[key], thincs.averages[key])


def train(shim, optimizer, steps):
    for step in steps:
        for name, gradient in gradients(shim, step, missing=False).items():
            shim.module.get_parameter(name).grad = gradient
        shim.finish_update(optimizer)


def test_work_goes_on_from_a_copy_of_the_optimizer():
    shim, optimizer = TorchShim(Net), Adam(0.01)
    train(shim, optimizer, range(5))
    resumed, weights = copy.deepcopy(optimizer), shim.to_bytes()
    train(shim, optimizer, range(5, 10))
    expected = shim.to_bytes()
    shim.from_bytes(weights)
    train(shim, resumed, range(5, 10))
    assert shim.to_bytes() == expected


class Ascent(Optimizer):
    """An optimizer with an update of its own."""

    def __call__(self, key, weights, gradient, *, lr_scale=1.0):
        weights += gradient
        return weights, gradient


def descend(key, weights, gradient):
    """An optimizer that is a function."""
    return weights - 0.1 * gradient, gradient


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1), RAdam(0.1), Ascent(0.1), descend],
    ids=["SGD", "RAdam", "own", "function"],
)
def test_other_optimizers_update_parameters_themselves(optimizer):
    assert not is_adam(optimizer)
    shim = TorchShim(Net)
    expected = {n: p.detach().numpy().copy().ravel() for n, p in shim.module.named_parameters()}
    reference = copy.deepcopy(optimizer)
    for name, gradient in gradients(shim, 0, missing=False).items():
        updated, _ = reference((shim.id, name), expected[name], gradient.numpy().copy().ravel())
        expected[name] = updated
    train(shim, optimizer, range(1))
    for name, param in shim.module.named_parameters():
        assert_close(param.detach().numpy().ravel(), expected[name])
