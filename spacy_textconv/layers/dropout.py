"""Dropout, at a rate of its own or at that of the training."""

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_dropout
from ..errors import Errors
from .packing import Packing


class Dropout(nn.Dropout):
    """Dropout of single numbers (Srivastava et al. 2014, "Dropout: a simple way to prevent neural
    networks from overfitting").

    p (Optional[float]): The probability that a number is dropped; None for that of the training,
        which is 0 until `set_dropout` sets it.
    name (str): What the setting is called.
    """

    def __init__(self, p: Optional[float], *, name: str = "dropout"):
        check_dropout(p, name)
        super().__init__(p or 0.0)
        self.follows_training = p is None


class LockedDropout(Dropout):
    """Dropout with one mask for all the rows of a document (Gal and Ghahramani 2016, section 4).

    On a CPU, drawing a value for each element costs more than the convolution itself; this draws
    one for each document and column.

    p (Optional[float]): The probability that a column is dropped; None for that of the training.
    """

    def forward(self, x: Tensor, packing: Packing) -> Tensor:  # type: ignore[override]
        """
        x (Tensor): *Shape:* (rows, width)
        packing (Packing): Where the documents lie.
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        if not self.training or self.p == 0.0:
            return x
        keep = 1.0 - self.p
        mask = x.new_empty(len(packing.lengths), x.shape[1]).bernoulli_(keep).div_(keep)
        return x * mask.index_select(0, packing.document_of_row)


class WordDropout(Dropout):
    """Replace whole words by a learned vector, which stands for the unknown word (Qi et al. 2020,
    as in the tagger of Stanza; dropping words at all: Iyyer et al. 2015, section 3.1).

    width (int): The width of a word's vector.
    p (Optional[float]): The probability that a word is replaced; None for that of the training.
    """

    def __init__(self, *, width: int, p: Optional[float]):
        super().__init__(p, name="word_dropout")
        self.replacement = None if p == 0.0 else Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """
        x (Tensor): *Shape:* (words, width)
        RETURNS (Tensor): *Shape:* (words, width)
        """
        if not self.training or self.replacement is None or self.p == 0.0:
            return x
        dropped = torch.rand(len(x), 1, dtype=x.dtype, device=x.device) < self.p
        return torch.where(dropped, self.replacement, x)


def set_dropout(module: nn.Module, p: float) -> None:
    """Set the rate of all dropout in a module that is that of the training.

    module (nn.Module): The module.
    p (float): The rate.
    RAISES (ValueError): If it is none, before any is set.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(Errors.E129.format(value=p))
    for layer in module.modules():
        if isinstance(layer, Dropout) and layer.follows_training:
            layer.p = p
