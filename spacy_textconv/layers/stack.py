"""What all stacks of dilated convolutions share."""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from ..checks import check_kernel_size, check_positive, check_positives
from .convolution import OutputNorm
from .dropout import LockedDropout
from .packing import Packing
from .receptive_field import Reach, convolution_reach


class PackedStack(nn.Module):
    """A stack of dilated convolutions over packed rows, whose number it keeps.

    width (int): The number of columns of input and output.
    kernel_size (int): The size of each kernel. Has to be odd, unless the stack is causal.
    dilations (Sequence[int]): The dilation of each layer.
    iterations (int): How often the layers are applied, with the same weights.
    dropout (Optional[float]): The probability that a column of what a layer gives out is dropped;
        None for that of the training.
    causal (bool): Whether no row sees a later one.

    reach (Reach): The rows that each output row sees.
    gap (int): The number of rows that the stack needs between two documents: as many as its widest
        layer, because the gap is set to zero again before each of them.
    buffer_width (int): The number of columns of the widest buffer in between.
    """

    dilations: Tensor
    buffer_width: int

    def __init__(
        self,
        *,
        width: int,
        kernel_size: int,
        dilations: Sequence[int],
        iterations: int = 1,
        dropout: Optional[float],
        causal: bool = False,
    ):
        super().__init__()
        check_positive("width", width)
        check_kernel_size(kernel_size, causal=causal)
        check_positives("dilations", dilations)
        check_positive("iterations", iterations)
        dilations = [*dilations] * iterations
        self.dropout = LockedDropout(dropout)
        self.norm = OutputNorm(width)
        # With the weights, so that weights trained with other dilations are refused.
        self.register_buffer("dilations", torch.tensor(dilations))
        reaches = [convolution_reach(kernel_size, dilation, causal) for dilation in dilations]
        self.reach = Reach(*map(sum, zip(*reaches, strict=True)))
        self.gap = max(reach.gap for reach in reaches)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """
        x (Tensor): *Shape:* (rows, width)
        packing (Packing): Where the documents lie, with `gap` rows between them.
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        raise NotImplementedError
