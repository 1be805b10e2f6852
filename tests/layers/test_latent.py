from math import log

import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from spacy_textconv.layers import GaussianLatent, active_units, free_bits, kl_divergence


def build_latent(width=3):
    torch.manual_seed(0)
    latent = GaussianLatent(in_width=4, width=width)
    for param in latent.parameters():
        torch.nn.init.normal_(param, std=0.5)
    return latent.double()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.double)


def test_points_are_drawn_from_the_distribution():
    latent = build_latent().train()
    vector = draw(1, 4)
    points, means, log_variances = latent(vector.expand(20_000, 4))
    deviation = (log_variances[0] / 2).exp()
    assert_close(points.mean(dim=0), means[0], atol=0.05, rtol=0)
    assert_close(points.std(dim=0), deviation, atol=0.0, rtol=0.05)
    assert (points[0] != points[1]).all()


def test_a_prediction_is_the_mean():
    latent = build_latent().eval()
    x = draw(5, 4)
    points, means, _ = latent(x)
    assert_close(points, means)
    assert_close(means, x @ latent.mean.weight.t() + latent.mean.bias)


def test_gradient_through_the_points():
    latent = build_latent().train()
    names, values = zip(*latent.named_parameters(), strict=True)

    def apply(x, *values):
        torch.manual_seed(1)
        return torch.func.functional_call(latent, dict(zip(names, values, strict=True)), (x,))[0]

    inputs = [t.detach().clone().requires_grad_() for t in (draw(2, 4), *values)]
    assert torch.autograd.gradcheck(apply, inputs)


def test_untrained_distributions_have_the_variance_of_the_prior():
    _, _, log_variance = GaussianLatent(in_width=4, width=3)(torch.randn(5, 4))
    assert_close(log_variance, torch.zeros(5, 3))


def test_divergence_equals_that_of_torch():
    mean, log_variance = draw(6, 3), draw(6, 3)
    expected = torch.distributions.kl_divergence(
        Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(6, 3).double(), 1.0)
    )
    assert_close(kl_divergence(mean, log_variance), expected)


def test_free_bits():
    divergence = torch.tensor([[0.1, 3.0, 0.9], [0.3, 5.0, 0.7]])
    assert_close(free_bits(divergence, 0.0), torch.tensor(0.2 + 4.0 + 0.8))
    # Columns that cost less than two bits cost two bits, and have no gradient.
    divergence.requires_grad_()
    cost = free_bits(divergence, 2.0)
    assert_close(cost, torch.tensor(4.0 + 4 * log(2)))
    [gradient] = torch.autograd.grad(cost, divergence)
    assert_close(gradient, torch.tensor([[0.0, 0.5, 0.0]] * 2))


def test_active_units():
    means = torch.tensor([[0.0, 1.0, 5.0], [0.1, 2.0, 5.0], [0.0, -1.0, 5.0]])
    assert active_units(means) == 1
    assert active_units(means, threshold=0.001) == 2


@pytest.mark.parametrize(
    "settings, name", [({"width": 0}, "latent"), ({"in_width": 0}, "in_width")]
)
def test_bad_settings(settings, name):
    with pytest.raises(ValueError, match=f"`{name}` is 0"):
        GaussianLatent(**{"in_width": 4, "width": 3, **settings})
