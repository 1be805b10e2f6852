"""The blocks that stacks are built from: each maps packed rows to packed rows of equal width.

All blocks normalize first (pre-norm: He et al. 2016, "Identity mappings in deep residual
networks", section 4), so that a residual stack keeps a path from its input to its output that
no operation interrupts. In every `forward`:

x (Tensor): *Shape:* (rows, width)
packing (Packing): Where the documents lie.
RETURNS (Tensor): *Shape:* (rows, width)
"""

from dataclasses import dataclass
from typing import Dict, Type

import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_choice, check_positive
from .convolution import INITIALIZATIONS, Convolution, GapNorm
from .packing import Packing
from .receptive_field import Reach, convolution_reach

# All of them map 0 to 0, so they leave the gap as they find it.
ACTIVATIONS: Dict[str, Type[nn.Module]] = {
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class BlockSettings:
    """What all blocks are built from.

    width (int): The number of columns of input and output.
    kernel_size (int): The number of rows that each output row sees. Has to be odd, unless the
        block is causal.
    dilation (int): The distance between two of these rows.
    activation (str): "gelu", "mish", "relu", "silu" or "tanh".
    initialization (str): "kaiming" or "identity".
    causal (bool): Whether no row sees a later one.
    """

    width: int
    kernel_size: int
    dilation: int
    activation: str = "gelu"
    initialization: str = "kaiming"
    causal: bool = False

    def __post_init__(self) -> None:
        check_positive("width", self.width)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("initialization", self.initialization, INITIALIZATIONS)

    @property
    def reach(self) -> Reach:
        """The rows that each output row sees."""
        return convolution_reach(self.kernel_size, self.dilation, self.causal)

    def convolution(self, in_width: int, out_width: int, groups: int = 1) -> Convolution:
        """Make the block's convolution along the text."""
        return Convolution(
            in_width=in_width,
            out_width=out_width,
            kernel_size=self.kernel_size,
            dilation=self.dilation,
            groups=groups,
            initialization=self.initialization,
            causal=self.causal,
        )

    def pointwise(self, in_width: int, out_width: int) -> Convolution:
        """Make a convolution of size 1: the same linear map for every row."""
        return Convolution(
            in_width=in_width, out_width=out_width, initialization=self.initialization
        )

    def activate(self) -> nn.Module:
        """Make the activation function."""
        return ACTIVATIONS[self.activation]()


class Block(nn.Module):
    """What all blocks have in common.

    buffer_width (int): The number of columns of the widest buffer in between.
    """

    def __init__(self, settings: BlockSettings):
        super().__init__()
        self.buffer_width = settings.width

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        raise NotImplementedError


class ConvBlock(Block):
    """Normalization, convolution, activation."""

    def __init__(self, settings: BlockSettings):
        super().__init__(settings)
        self.norm = GapNorm(settings.width)
        self.convolution = settings.convolution(settings.width, settings.width)
        self.activation = settings.activate()

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        return self.activation(self.convolution(self.norm(x, packing), packing))


class GatedBlock(Block):
    """Normalization, then a convolution to values and gates: a gated linear unit (Dauphin et al.
    2017, section 2; Gehring et al. 2017, section 3.2). The gate takes the activation's place."""

    def __init__(self, settings: BlockSettings):
        super().__init__(settings)
        self.buffer_width = 2 * settings.width
        self.norm = GapNorm(settings.width)
        self.convolution = settings.convolution(settings.width, 2 * settings.width)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        return F.glu(self.convolution(self.norm(x, packing), packing), dim=1)


class ByteNetBlock(Block):
    """Reduce to half the width, convolve there, expand again (Kalchbrenner et al. 2016, section
    3.6, figure 3 on the left), with a normalization and an activation before each of them."""

    def __init__(self, settings: BlockSettings):
        super().__init__(settings)
        inner = max(1, settings.width // 2)
        self.norm_reduce = GapNorm(settings.width)
        self.reduce = settings.pointwise(settings.width, inner)
        self.norm_convolution = GapNorm(inner)
        self.convolution = settings.convolution(inner, inner)
        self.norm_expand = GapNorm(inner)
        self.expand = settings.pointwise(inner, settings.width)
        self.activation = settings.activate()

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        x = self.reduce(self.activation(self.norm_reduce(x, packing)), packing)
        x = self.convolution(self.activation(self.norm_convolution(x, packing)), packing)
        return self.expand(self.activation(self.norm_expand(x, packing)), packing)


class SeparableBlock(Block):
    """Normalization, a convolution of each column by itself, a linear map across the columns
    (Chollet 2017, section 3; Kaiser et al. 2018 for text), activation."""

    def __init__(self, settings: BlockSettings):
        super().__init__(settings)
        self.norm = GapNorm(settings.width)
        self.depthwise = settings.convolution(settings.width, settings.width, groups=settings.width)
        self.pointwise = settings.pointwise(settings.width, settings.width)
        self.activation = settings.activate()

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        x = self.depthwise(self.norm(x, packing), packing)
        return self.activation(self.pointwise(x, packing))


BLOCKS: Dict[str, Type[Block]] = {
    "conv": ConvBlock,
    "gated": GatedBlock,
    "bytenet": ByteNetBlock,
    "separable": SeparableBlock,
}
