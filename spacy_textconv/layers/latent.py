"""A latent space: vectors with a distribution, from which new ones can be drawn."""

from math import log
from typing import Tuple

import torch
from torch import Tensor, nn

from ..checks import check_positive
from .packing import PaddedLinear


class GaussianLatent(nn.Module):
    """Give each vector a normal distribution with independent columns, and draw from it in training
    so that its parameters get a gradient (Kingma and Welling 2014, "Auto-encoding variational
    Bayes", section 2.4, "the reparameterization trick").

    in_width (int): The number of columns of the input.
    width (int): The number of columns of the latent space.
    """

    def __init__(self, *, in_width: int, width: int):
        super().__init__()
        check_positive("in_width", in_width)
        check_positive("latent", width)
        self.mean = PaddedLinear(in_width, width)
        self.log_variance = PaddedLinear(in_width, width)
        # At first, all distributions are near the prior, and none has a gradient too large.
        nn.init.zeros_(self.log_variance.weight)
        nn.init.zeros_(self.log_variance.bias)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """
        x (Tensor): *Shape:* (documents, in_width)
        RETURNS (Tuple[Tensor, Tensor, Tensor]): A point of each distribution, which is drawn in
            training and the mean otherwise; the mean; the logarithm of the variance. *Shape:*
            (documents, width), three times
        """
        mean, log_variance = self.mean(x), self.log_variance(x)
        if not self.training:
            return mean, mean, log_variance
        noise = torch.randn_like(mean)
        return mean + noise * (log_variance / 2).exp(), mean, log_variance


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Compute how far normal distributions are from the standard one, column by column (Kingma and
    Welling 2014, appendix B).

    mean, log_variance (Tensor): Of each distribution. *Shape:* (documents, width)
    RETURNS (Tensor): In nats. *Shape:* (documents, width)
    """
    return (mean.square() + log_variance.exp() - log_variance - 1) / 2


def free_bits(divergence: Tensor, bits: float) -> Tensor:
    """Let the first bits of each column cost nothing, as a mean over a batch, so that it doesn't
    pay to leave a column empty (Kingma et al. 2016, "Improving variational inference with inverse
    autoregressive flow", appendix C.8).

    divergence (Tensor): That of each column, in nats. *Shape:* (documents, width)
    bits (float): How many bits of each column are free.
    RETURNS (Tensor): What the columns cost together, in nats. *Shape:* ()
    """
    return divergence.mean(dim=0).clamp(min=bits * log(2)).sum()


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Count the columns that tell documents apart: those whose means have a variance above the
    threshold (Burda et al. 2016, "Importance weighted autoencoders", section 5.2).

    means (Tensor): Of many documents. *Shape:* (documents, width)
    threshold (float): The variance.
    RETURNS (int): Their number.
    """
    return int((means.var(dim=0, correction=0) > threshold).sum())
