"""Stacks of dilated convolutions, connected in one of three ways."""

from typing import Dict, List, Optional, Sequence, Type

import torch
from torch import Tensor, nn

from ..checks import check_choice
from .blocks import BLOCKS, Block, BlockSettings
from .packing import Packing
from .stack import PackedStack


class Residual(nn.Module):
    """Add what a block computes to its input (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """
        x (Tensor): The block's input. *Shape:* (rows, width)
        y (Tensor): The block's output. *Shape:* (rows, width)
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        # Where no gradient is wanted, y is not needed any more: no new buffer has to be filled.
        return x + y if torch.is_grad_enabled() else y.add_(x)


class Highway(nn.Module):
    """Mix a block's input and output by a learned gate for each element (Srivastava et al. 2015,
    section 2). The gate starts out mostly closed, as section 3.1 there advises."""

    def __init__(self, width: int):
        super().__init__()
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """
        x (Tensor): The block's input. *Shape:* (rows, width)
        y (Tensor): The block's output. *Shape:* (rows, width)
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        return x + torch.sigmoid(self.gate(x)) * (y - x)


class Plain(nn.Module):
    """Pass a block's output on alone."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """
        x (Tensor): The block's input. *Shape:* (rows, width)
        y (Tensor): The block's output. *Shape:* (rows, width)
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        return y


CONNECTIONS: Dict[str, Type[nn.Module]] = {
    "residual": Residual,
    "highway": Highway,
    "plain": Plain,
}


class DilatedStack(PackedStack):
    """A stack of dilated convolutions over packed rows: with dilations that double, the receptive
    field doubles with each layer too (Yu and Koltun 2016, section 2; for text Kalchbrenner et
    al. 2016, "Neural machine translation in linear time").

    width (int): The number of columns of input and output.
    kernel_size (int): The size of each kernel. Has to be odd, unless the stack is causal.
    dilations (Sequence[int]): The dilation of each layer.
    block (str): "conv", "gated", "bytenet" or "separable".
    connection (str): "residual", "highway" or "plain".
    iterations (int): How often the whole stack is applied, with the same weights (ID-CNN:
        Strubell et al. 2017, section 4.1).
    activation (str): "gelu", "mish", "relu", "silu" or "tanh". The gated block has its gate
        instead.
    dropout (Optional[float]): The probability that a column of a block's output is dropped; None
        for that of the training.
    initialization (str): "kaiming" or "identity".
    causal (bool): Whether no row sees a later one.
    """

    def __init__(
        self,
        *,
        width: int,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 1),
        block: str = "conv",
        connection: str = "residual",
        iterations: int = 1,
        activation: str = "gelu",
        dropout: Optional[float] = 0.0,
        initialization: str = "kaiming",
        causal: bool = False,
    ):
        super().__init__(
            width=width,
            kernel_size=kernel_size,
            dilations=dilations,
            iterations=iterations,
            dropout=dropout,
            causal=causal,
        )
        check_choice("block", block, BLOCKS)
        check_choice("connection", connection, CONNECTIONS)
        blocks: List[Block] = []
        connections: List[nn.Module] = []
        for dilation in dilations:
            settings = BlockSettings(
                width, kernel_size, dilation, activation, initialization, causal
            )
            blocks.append(BLOCKS[block](settings))
            connections.append(CONNECTIONS[connection](width))
        self.blocks = nn.ModuleList(blocks)
        self.connections = nn.ModuleList(connections)
        self.iterations = iterations
        self.buffer_width = max(block.buffer_width for block in blocks)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        for _ in range(self.iterations):
            for block, connect in zip(self.blocks, self.connections, strict=True):
                x = connect(x, self.dropout(block(x, packing), packing))
        return self.norm(x)
