"""Networks over packed rows that make documents longer: transposed convolutions."""

from math import sqrt
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive
from ..errors import Errors
from .convolution import GapNorm
from .dilated import DilatedStack
from .packing import Packing, needed_gap


class TransposedConvolution(nn.Module):
    """A transposed convolution over packed rows, which makes `stride` rows of each row (Dumoulin
    and Visin 2016, "A guide to convolution arithmetic for deep learning", section 4).

    A kernel as long as the stride is a linear map of each row to `stride` rows. Of a longer one,
    which is longer by an even number, both ends are added to what is made of the rows around.

    in_width (int): The number of columns of the input.
    out_width (int): The number of columns of the output.
    kernel_size (int): The number of rows that are computed from each input row.
    stride (int): The distance between the first of these rows for two input rows.

    gap (int): The number of rows that it needs between two documents.
    """

    def __init__(self, *, in_width: int, out_width: int, kernel_size: int, stride: int):
        super().__init__()
        check_positive("in_width", in_width)
        check_positive("out_width", out_width)
        check_positive("kernel_size", kernel_size)
        check_positive("stride", stride)
        if kernel_size < stride or (kernel_size - stride) % 2 == 1:
            lower = max(stride, kernel_size - 1)
            raise ValueError(
                Errors.E100.format(
                    kernel_size=kernel_size, stride=stride, lower=lower, upper=lower + 2
                )
            )
        self.stride = stride
        self.overlap = (kernel_size - stride) // 2
        self.gap = -(-self.overlap // stride)
        self.weight = Parameter(torch.empty(in_width, kernel_size, out_width))
        self.bias = Parameter(torch.zeros(out_width))
        # Each output row is a sum over `kernel_size / stride` input rows on average.
        nn.init.normal_(self.weight, std=sqrt(stride / (in_width * kernel_size)))

    def forward(self, x: Tensor, packing: Packing) -> Tuple[Tensor, Packing]:
        """Make documents longer. The ends of the kernel that lie beyond the longest document,
        whichever row they are computed from, are left out.

        x (Tensor): The rows; unless `gap` is 0, those of the gap zero. *Shape:* (rows, in_width)
        packing (Packing): Where the documents lie, with `gap` rows between them.
        RETURNS (Tuple[Tensor, Packing]): The new rows, and where the longer documents lie. Nothing
            is said about the rows of the gap. *Shape:* (rows * stride, out_width)
        """
        overlap = min(self.overlap, max(packing.longest - 1, 0) * self.stride)
        left_out = self.overlap - overlap
        weight = self.weight[:, left_out : self.weight.shape[1] - left_out]
        if overlap == 0:
            y = F.linear(x, weight.flatten(1).t(), self.bias.repeat(self.stride))
        else:
            # As in a convolution, the rows are an image of height 1.
            image = x.view(1, 1, *x.shape).permute(0, 3, 1, 2)  # (1, in_width, 1, rows)
            kernel = weight.unsqueeze(1).permute(0, 3, 1, 2)  # (in, out, 1, taps)
            y = F.conv_transpose2d(
                image, kernel, self.bias, stride=(1, self.stride), padding=(0, overlap)
            )
            y = y.permute(0, 2, 3, 1)
        # Under autocast, y is bfloat16; what is added up over many layers stays float32.
        y = y.reshape(len(x) * self.stride, -1).to(x.dtype)
        return y, packing.stretch(self.stride)


class Upsampling(nn.Module):
    """Normalization, a transposed convolution, and a stack of residual convolutions, which spread
    what the new rows have of the old ones.

    in_width (int): The number of columns of the input.
    width (int): The number of columns of the output.
    stride (int): The number of rows that each row becomes.
    kernel_size (int): The size of the transposed convolution's kernel: that of the stride, or
        larger by an even number.
    stack_kernel_size (int): The size of each kernel of the stack. Has to be odd.
    dilations (Sequence[int]): The dilation of each layer of the stack.
    block (str): "conv", "gated", "bytenet" or "separable".
    activation (str): "gelu", "mish", "relu", "silu" or "tanh". The gated block has its gate
        instead.
    dropout (Optional[float]): The probability that a column of a block's output is dropped; None
        for that of the training.

    gap (int): The number of rows that it needs between two documents as they come in, in a packing
        made with its `stride`. If another network follows, the input needs a gap of at least that
        network's divided by `stride`, rounded up.
    """

    def __init__(
        self,
        *,
        in_width: int,
        width: int,
        stride: int,
        kernel_size: int,
        stack_kernel_size: int = 3,
        dilations: Sequence[int] = (1, 1),
        block: str = "gated",
        activation: str = "gelu",
        dropout: Optional[float] = 0.0,
    ):
        super().__init__()
        self.transposed = TransposedConvolution(
            in_width=in_width, out_width=width, kernel_size=kernel_size, stride=stride
        )
        self.norm = GapNorm(in_width)
        self.stack = DilatedStack(
            width=width,
            kernel_size=stack_kernel_size,
            dilations=dilations,
            block=block,
            activation=activation,
            dropout=dropout,
        )
        self.stride = stride
        self.gap = max(self.transposed.gap, -(-self.stack.gap // stride))

    def forward(self, x: Tensor, packing: Packing) -> Tuple[Tensor, Packing]:
        """
        x (Tensor): *Shape:* (rows, in_width)
        packing (Packing): Where the documents lie, with `gap` rows between them.
        RETURNS (Tuple[Tensor, Packing]): The new rows, and where the longer documents lie. *Shape:*
            (rows * stride, width)
        """
        gap = needed_gap(self.gap, packing.longest, self.stride)
        if packing.gap < gap:
            raise ValueError(Errors.E101.format(actual=packing.gap, gap=gap))
        y, longer = self.transposed(self.norm(x, packing), packing)
        return self.stack(y, longer), longer
