"""The hidden layer of a classifier of documents."""

from typing import List, Optional

from torch import nn

from ..checks import check_positive
from .dropout import Dropout
from .packing import PaddedLinear


class Hidden(nn.Sequential):
    """Dropout and, if wanted, a hidden layer with layer normalization and dropout after it.

    *Shape:* (documents, in_width) to (documents, out_width)

    in_width (int): The number of columns of the input.
    width (Optional[int]): The number of columns of the hidden layer, or None for none.
    dropout (Optional[float]): The probability that a number is dropped; None for that of the
        training.
    """

    def __init__(
        self, *, in_width: int, width: Optional[int] = None, dropout: Optional[float] = 0.0
    ):
        check_positive("in_width", in_width)
        layers: List[nn.Module] = [Dropout(dropout)]
        if width is not None:
            check_positive("hidden_width", width)
            layers += [PaddedLinear(in_width, width), nn.GELU(), nn.LayerNorm(width)]
            layers += [Dropout(dropout)]
        super().__init__(*layers)
        self.out_width = in_width if width is None else width
