"""Networks over documents that lie end to end, and that become shorter in them before they are
pooled: unpadded convolutions, and deep pyramids."""

from math import sqrt
from typing import Tuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_choice, check_positive
from .blocks import ACTIVATIONS, BlockSettings, ConvBlock
from .packing import Packing, padded_linear
from .pooling import MergeablePooling, Pooling, make_pooling, positions_in_documents
from .receptive_field import ConvolutionShape, receptive_fields


class ShrinkingConvolution(nn.Module):
    """An unpadded, strided convolution, and an activation: `(length - kernel_size) // stride + 1`
    rows are left of a document. A shorter one than the kernel is followed by zeros, so that one row
    is left. Of a kernel longer than all documents, the end that would see zeros alone is left out.

    width (int): The number of columns of input and output.
    kernel_size (int): The number of rows that each output row sees.
    stride (int): The distance between the first of these rows for two output rows.
    activation (str): "gelu", "mish", "relu", "silu" or "tanh".
    """

    def __init__(self, *, width: int, kernel_size: int, stride: int, activation: str):
        super().__init__()
        check_positive("width", width)
        check_positive("kernel_size", kernel_size)
        check_positive("stride", stride)
        check_choice("activation", activation, ACTIVATIONS)
        self.convolution = nn.Linear(kernel_size * width, width)
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")
        nn.init.zeros_(self.convolution.bias)
        self.activation = ACTIVATIONS[activation]()
        self.kernel_size = kernel_size
        self.stride = stride

    def shrink(self, lengths: Tensor) -> Tensor:
        """Compute how many rows are left of documents. *Shape:* (documents,)"""
        left = (lengths - self.kernel_size).clamp(min=0) // self.stride + 1
        return left.masked_fill(lengths == 0, 0)

    def forward(self, x: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor]:
        """
        x (Tensor): *Shape:* (rows, width)
        lengths (Tensor): The number of rows of each document. *Shape:* (documents,)
        RETURNS (Tuple[Tensor, Tensor]): The new rows, and how many each document has. *Shape:* (new
            rows, width), (documents,)
        """
        left = self.shrink(lengths)
        size = min(self.kernel_size, max([1, *lengths.tolist()]))
        rows = _windows(lengths, left, size, self.stride)
        ends = lengths.cumsum(0).repeat_interleave(left)
        # Beyond the end of a document, the row of zeros after the last one.
        rows = rows.masked_fill(rows >= ends[:, None], len(x))
        windows = F.pad(x, (0, 0, 0, 1)).index_select(0, rows.flatten())
        windows = windows.view(len(rows), size * x.shape[1])
        weight = self.convolution.weight[:, : windows.shape[1]]
        y = padded_linear(windows, weight, self.convolution.bias).to(x.dtype)
        return self.activation(y), left


class ConvPooling(MergeablePooling):
    """Unpadded convolutions, and a pooling of what is left. With one convolution of stride 1 and
    the maximum, this is the network of Collobert et al. 2011, section 3.3.2, and Kim 2014.

    width (int): The number of columns of input and output.
    kernel_size (int): The number of rows that each output row of a convolution sees.
    stride (int): The distance between the first of these rows for two output rows.
    depth (int): The number of convolutions.
    pooling (str): "max", "mean" or "logsumexp".
    activation (str): "gelu", "mish", "relu", "silu" or "tanh".
    """

    def __init__(
        self,
        *,
        width: int,
        kernel_size: int = 3,
        stride: int = 1,
        depth: int = 1,
        pooling: str = "max",
        activation: str = "gelu",
    ):
        super().__init__()
        check_positive("depth", depth)
        self.convolutions = nn.ModuleList(
            ShrinkingConvolution(
                width=width, kernel_size=kernel_size, stride=stride, activation=activation
            )
            for _ in range(depth)
        )
        self.pooling = make_pooling(pooling, width=width)
        self.out_width = width
        field = receptive_fields([ConvolutionShape(kernel_size, stride)] * depth)[-1]
        self.receptive_field = field.size
        self.jump = int(field.jump)

    def summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x, lengths = convolution(x, lengths)
        return self.pooling.summarize(x, lengths)

    def merge(self, states: Tensor, counts: Tensor) -> Tensor:
        return self.pooling.merge(states, counts)

    def finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        for convolution in self.convolutions:
            lengths = cast(ShrinkingConvolution, convolution).shrink(lengths)
        return self.pooling.finish(states, lengths)


class PyramidLevel(nn.Module):
    """Halve the number of rows by a maximum of size 3 and stride 2, then add what two convolutions
    make of them (Johnson and Zhang 2017, section 2: "downsampling", "shortcut connections with
    pre-activation").

    settings (BlockSettings): What the convolutions are built from.
    """

    def __init__(self, settings: BlockSettings):
        super().__init__()
        self.blocks = nn.ModuleList(ConvBlock(settings) for _ in range(2))
        self.gap = settings.reach.gap

    def forward(self, x: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor]:
        """
        x (Tensor): *Shape:* (rows, width)
        lengths (Tensor): The number of rows of each document. *Shape:* (documents,)
        RETURNS (Tuple[Tensor, Tensor]): The new rows, and how many each document has. *Shape:* (new
            rows, width), (documents,)
        """
        left = (lengths + 1) // 2
        rows = _windows(lengths, left, 3, 2)
        last = lengths.cumsum(0).repeat_interleave(left) - 1
        rows = rows.minimum(last[:, None])
        x = x.index_select(0, rows.flatten()).view(*rows.shape, x.shape[1]).amax(dim=1)
        packing = Packing(left.tolist(), self.gap, x.device)
        starts = torch.tensor(packing.starts, dtype=torch.long, device=x.device).repeat_interleave(
            left
        )
        places = starts + positions_in_documents(left)
        y = x.new_zeros(packing.rows, x.shape[1]).index_copy(0, places, x)
        for block in self.blocks:
            y = block(y, packing)
        return x + y.index_select(0, places), left


class DPCNNPooling(Pooling):
    """Levels that halve the number of rows of a document, and a pooling of what is left (DPCNN,
    Johnson and Zhang 2017, "Deep pyramid convolutional neural networks for text categorization",
    section 2). All levels together cost about as much as one before the first would. A document of
    one row keeps it.

    width (int): The number of columns of input and output.
    depth (int): The number of levels, each with weights of its own.
    kernel_size (int): The number of rows that each convolution sees. Has to be odd.
    pooling (str): "max", "mean" or "logsumexp".
    activation (str): "gelu", "mish", "relu", "silu" or "tanh".
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int = 4,
        kernel_size: int = 3,
        pooling: str = "max",
        activation: str = "gelu",
    ):
        super().__init__()
        check_positive("depth", depth)
        settings = BlockSettings(width, kernel_size, dilation=1, activation=activation)
        self.levels = nn.ModuleList(PyramidLevel(settings) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.pooling = make_pooling(pooling, width=width)
        self.out_width = width

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        for level in self.levels:
            x, lengths = level(x, lengths)
        return self.pooling(self.norm(x), lengths)


class FlattenPooling(Pooling):
    """Lay the rows of a document side by side, and map them to one vector: a convolution whose
    kernel is as long as the longest document (Zhang et al. 2017, "Deconvolutional paragraph
    representation learning", section 2.1). It knows the place of each row. The rows beyond
    `max_length` are left out.

    width (int): The number of columns of the input.
    out_width (int): The number of columns of the output.
    max_length (int): The number of rows of a document that are read.
    """

    def __init__(self, *, width: int, out_width: int, max_length: int):
        super().__init__()
        check_positive("width", width)
        check_positive("out_width", out_width)
        check_positive("max_length", max_length)
        # A document without rows gets zeros, as in other poolings.
        self.linear = nn.Linear(max_length * width, out_width, bias=False)
        # Most documents have far fewer rows.
        nn.init.normal_(self.linear.weight, std=1.0 / sqrt(width))
        self.max_length = max_length
        self.out_width = out_width

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        longest = min(self.max_length, max([1, *lengths.tolist()]))
        positions = positions_in_documents(lengths)
        places = torch.repeat_interleave(lengths) * longest + positions
        read = positions < longest
        side_by_side = x.new_zeros(len(lengths) * longest, x.shape[1])
        side_by_side = side_by_side.index_copy(0, places[read], x[read])
        columns = longest * x.shape[1]
        # What only zeros would be multiplied with is left out.
        weight = self.linear.weight[:, :columns]
        y = padded_linear(side_by_side.view(len(lengths), columns), weight, None)
        return y.to(x.dtype)


def _windows(lengths: Tensor, counts: Tensor, size: int, stride: int) -> Tensor:
    """List the rows of the first `counts` windows of each document, which may reach beyond its end.
    *Shape:* (windows, size)"""
    starts = (lengths.cumsum(0) - lengths).repeat_interleave(counts)
    first = starts + stride * positions_in_documents(counts)
    return first[:, None] + torch.arange(size, device=lengths.device)
