"""Densely connected stacks: each layer sees the outputs of all layers before it."""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from ..checks import check_choice, check_positive
from .blocks import ACTIVATIONS
from .convolution import Convolution, GapNorm
from .packing import Packing
from .stack import PackedStack


class DenseLayer(nn.Module):
    """Normalization, activation, convolution to `growth_rate` new columns, with a convolution of
    size 1 before it that limits its input (Huang et al. 2017, section 3: "bottleneck layers").

    in_width (int): The number of columns of the input.
    growth_rate (int): The number of columns that the layer adds.
    kernel_size (int): The size of the kernel. Has to be odd.
    dilation (int): The distance between two rows that the kernel sees.
    bottleneck (Optional[int]): The width of the bottleneck in growth rates; None for none.
    activation (str): "gelu", "mish", "relu", "silu" or "tanh".
    """

    def __init__(
        self,
        *,
        in_width: int,
        growth_rate: int,
        kernel_size: int,
        dilation: int,
        bottleneck: Optional[int],
        activation: str,
    ):
        super().__init__()
        self.reduce: Optional[Convolution] = None
        if bottleneck is not None:
            self.norm_reduce = GapNorm(in_width)
            self.reduce = Convolution(in_width=in_width, out_width=bottleneck * growth_rate)
            in_width = bottleneck * growth_rate
        self.norm = GapNorm(in_width)
        self.activation = ACTIVATIONS[activation]()
        self.convolution = Convolution(
            in_width=in_width, out_width=growth_rate, kernel_size=kernel_size, dilation=dilation
        )

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """
        x (Tensor): *Shape:* (rows, in_width)
        packing (Packing): Where the documents lie.
        RETURNS (Tensor): *Shape:* (rows, growth_rate)
        """
        if self.reduce is not None:
            x = self.reduce(self.activation(self.norm_reduce(x, packing)), packing)
        return self.convolution(self.activation(self.norm(x, packing)), packing)


class DenseStack(PackedStack):
    """A densely connected stack of dilated convolutions over packed rows (Huang et al. 2017,
    "Densely connected convolutional networks", section 3). The input reaches every layer
    unchanged, and the loss reaches every layer directly.

    width (int): The number of columns of input and output.
    growth_rate (int): The number of columns that each layer adds.
    kernel_size (int): The size of each kernel. Has to be odd.
    dilations (Sequence[int]): The dilation of each layer.
    bottleneck (Optional[int]): The width of the bottleneck before each convolution in growth
        rates; None for none.
    activation (str): "gelu", "mish", "relu", "silu" or "tanh".
    dropout (Optional[float]): The probability that a column that a layer adds is dropped; None for
        that of the training.
    """

    def __init__(
        self,
        *,
        width: int,
        growth_rate: int = 32,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 1),
        bottleneck: Optional[int] = 4,
        activation: str = "gelu",
        dropout: Optional[float] = 0.0,
    ):
        super().__init__(width=width, kernel_size=kernel_size, dilations=dilations, dropout=dropout)
        check_positive("growth_rate", growth_rate)
        if bottleneck is not None:
            check_positive("bottleneck", bottleneck)
        check_choice("activation", activation, ACTIVATIONS)
        self.layers = nn.ModuleList(
            DenseLayer(
                in_width=width + i * growth_rate,
                growth_rate=growth_rate,
                kernel_size=kernel_size,
                dilation=dilation,
                bottleneck=bottleneck,
                activation=activation,
            )
            for i, dilation in enumerate(dilations)
        )
        self.project = nn.Linear(width + len(dilations) * growth_rate, width)
        self.buffer_width = max(self.project.in_features, (bottleneck or 1) * growth_rate)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, self.dropout(layer(x, packing), packing)], dim=1)
        return self.norm(self.project(x))
