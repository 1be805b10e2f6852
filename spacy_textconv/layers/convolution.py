"""Convolution over packed rows, and the normalizations around it."""

from typing import Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_choice, check_kernel_size, check_positive
from .packing import Packing
from .receptive_field import convolution_reach
from .steps import Steps

INITIALIZATIONS = ("kaiming", "identity")
# With 1, heads learn a few sentences by heart more slowly than spaCy's own tests allow. With 4, it
# is as fast as on spaCy's CNN, but entities are found a little worse.
OUTPUT_GAIN = 2.0


class Convolution(nn.Module):
    """A convolution over packed rows that keeps their number, as over an image of height 1.

    Seen as `(1, width, 1, rows)`, a buffer of rows is an image in channels-last layout, so the
    convolution of images applies without a copy. The weight is stored as `(out_width,
    kernel_size, in_width)`, which is that layout too: it stays right when an optimizer writes
    to it.

    in_width (int): The number of columns of the input.
    out_width (int): The number of columns of the output.
    kernel_size (int): The number of rows that each output row sees. Has to be odd, unless the
        convolution is causal.
    dilation (int): The distance between two of these rows.
    groups (int): The number of groups that the columns are divided into; `in_width` makes the
        convolution depthwise.
    initialization (str): "kaiming" (He et al. 2015, section 2.2) or "identity" (Strubell et al.
        2017, section 4.1: the row in the place of the output is passed on).
    causal (bool): Whether an output row sees its own and earlier rows only (van den Oord et al.
        2016, "WaveNet", section 2.1).
    """

    def __init__(
        self,
        *,
        in_width: int,
        out_width: int,
        kernel_size: int = 1,
        dilation: int = 1,
        groups: int = 1,
        initialization: str = "kaiming",
        causal: bool = False,
    ):
        super().__init__()
        check_positive("in_width", in_width)
        check_positive("out_width", out_width)
        check_kernel_size(kernel_size, causal=causal)
        check_positive("dilation", dilation)
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.groups = groups
        self.reach = convolution_reach(kernel_size, dilation, causal)
        self.weight = Parameter(torch.empty(out_width, kernel_size, in_width // groups))
        self.bias = Parameter(torch.zeros(out_width))
        initialize_(self.weight, initialization, self.reach.left // dilation)

    def forward(self, x: Tensor, packing: Union[Packing, Steps]) -> Tensor:
        """Convolve the rows of every document. The ends of the kernel that lie beyond the longest
        document, whichever row is computed, are left out: they see nothing but zeros.

        x (Tensor): The rows, those of the gap zero. The packing has to be made for a gap of at
            least `reach.gap`. *Shape:* (rows, in_width)
        packing (Union[Packing, Steps]): Where the documents lie; or, of a causal convolution, the
            sequences of which these are the next rows.
        RETURNS (Tensor): *Shape:* (rows, out_width)
        """
        if isinstance(packing, Steps):
            return self._step(x, packing)
        own = self.reach.left // self.dilation
        limit = max(packing.longest - 1, 0) // self.dilation
        before, after = min(own, limit), min(self.kernel_size - 1 - own, limit)
        weight = self.weight[:, own - before : own + after + 1]
        # Torch pads both ends alike. No kernel has more taps after its own row than before it.
        padding = before * self.dilation
        if padding == 0 and self.groups == 1:
            return F.linear(x, weight.squeeze(1), self.bias).to(x.dtype)
        image = x.view(1, 1, *x.shape).permute(0, 3, 1, 2)  # (1, in_width, 1, rows)
        kernel = weight.unsqueeze(1).permute(0, 3, 1, 2)  # (out, in, 1, taps)
        y = F.conv2d(
            image,
            kernel,
            self.bias,
            padding=(0, padding),
            dilation=(1, self.dilation if padding else 1),
            groups=self.groups,
        )[..., : len(x)]
        # Under autocast, y is bfloat16; what is added up over many layers stays float32.
        return y.permute(0, 2, 3, 1).reshape(x.shape[0], -1).to(x.dtype)

    def _step(self, x: Tensor, steps: Steps) -> Tensor:
        seen = steps.look_back(x, self.kernel_size, self.dilation)
        if self.groups == 1:
            return F.linear(seen, self.weight.flatten(1), self.bias).to(x.dtype)
        image = seen.view(len(x), self.kernel_size, -1).transpose(1, 2)
        y = F.conv1d(image, self.weight.transpose(1, 2), self.bias, groups=self.groups)
        return y.squeeze(2).to(x.dtype)


class GapNorm(nn.LayerNorm):
    """Layer normalization (Ba et al. 2016) that leaves zeros in the gap, ready to be convolved."""

    def forward(  # type: ignore[override]
        self, x: Tensor, packing: Union[Packing, Steps]
    ) -> Tensor:
        """
        x (Tensor): *Shape:* (rows, width)
        packing (Union[Packing, Steps]): Where the documents lie, or sequences that grow.
        RETURNS (Tensor): *Shape:* (rows, width)
        """
        return packing.clear_gap_(super().forward(x))


class OutputNorm(nn.LayerNorm):
    """Layer normalization (Ba et al. 2016) of what goes out to other layers. Its gain begins at
    `OUTPUT_GAIN`, so that a linear layer that begins at 0 can soon become sure of what it says.

    *Shape:* (rows, width) to (rows, width)
    """

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.weight, OUTPUT_GAIN)


def initialize_(weight: Tensor, initialization: str, own: int) -> None:
    """Set the weight of a convolution, in place.

    weight (Tensor): *Shape:* (out_width, kernel_size, in_width)
    initialization (str): "kaiming" or "identity".
    own (int): Which tap of the kernel sees the row in the place of the output.
    """
    check_choice("initialization", initialization, INITIALIZATIONS)
    out_width, _, in_width = weight.shape
    with torch.no_grad():
        if initialization == "identity":
            weight.zero_()
            weight[:, own] = torch.eye(out_width, in_width) if in_width > 1 else 1.0
        else:
            nn.init.kaiming_normal_(weight.view(out_width, -1), nonlinearity="relu")
