"""The arithmetic of receptive fields, for ordinary and transposed convolutions.

References: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning",
sections 2 and 4; Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional
neural networks", Distill, section "Computing receptive field size" and "... region".
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from math import prod
from typing import List, NamedTuple, Sequence

from ..checks import check_natural, check_positive


class Reach(NamedTuple):
    """How many rows an output row sees, beside the one in its own place.

    left (int): The number of rows before it.
    right (int): The number of rows after it.
    """

    left: int
    right: int

    @property
    def size(self) -> int:
        """The number of rows from the first to the last that is seen, both included."""
        return self.left + 1 + self.right

    @property
    def gap(self) -> int:
        """The number of rows of zeros that keep two documents apart: the first row of the second
        sees `left` rows back, the last row of the first sees `right` rows ahead, and the same zeros
        serve both."""
        return max(self.left, self.right)


def convolution_reach(kernel_size: int, dilation: int, causal: bool = False) -> Reach:
    """Compute what a convolution that keeps the number of rows sees.

    kernel_size (int): The number of taps of the kernel.
    dilation (int): The distance between two taps.
    causal (bool): Whether it sees no row after its own. Otherwise it sees as many after as before.
    RETURNS (Reach): What an output row sees.
    """
    taps = kernel_size - 1
    after = 0 if causal else taps // 2
    return Reach((taps - after) * dilation, after * dilation)


@dataclass(frozen=True)
class ConvolutionShape:
    """The shape of a convolution along the text.

    kernel_size (int): The number of taps of the kernel.
    stride (int): The distance between two outputs, in inputs; of a transposed convolution, the
        distance between two inputs, in outputs.
    dilation (int): The distance between two taps.
    padding (int): The number of zeros before the first input, as torch counts them: a
        transposed convolution drops as many outputs at its start.
    transposed (bool): Whether the convolution is transposed.
    """

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    transposed: bool = False

    def __post_init__(self) -> None:
        for name in ("kernel_size", "stride", "dilation"):
            check_positive(name, getattr(self, name))
        check_natural("padding", self.padding)


@dataclass(frozen=True)
class ReceptiveField:
    """What the outputs of a layer see of the network's input, measured in inputs.

    size (int): The distance from the first to the last input that an output sees, both
        included: the largest over all outputs where it differs between them, as it does after
        a transposed convolution.
    jump (Fraction): The distance between the middles of two neighbouring outputs.
    start (Fraction): The middle of what the first output sees, where the first input is at 0.
    """

    size: int
    jump: Fraction
    start: Fraction


def receptive_fields(layers: Sequence[ConvolutionShape]) -> List[ReceptiveField]:
    """Compute what the outputs of every layer of a stack see of its input.

    With an input stretched by `stride - 1` zeros between its rows, a transposed convolution is
    an ordinary one of stride 1 (Dumoulin and Visin, section 4), so one rule gives jump and start
    of both: the taps of a kernel lie `dilation * jump` apart.

    layers (Sequence[ConvolutionShape]): The layers, the one next to the input first.
    RETURNS (List[ReceptiveField]): One for each layer.
    """
    fields = []
    jump, start = Fraction(1), Fraction(0)
    for depth, layer in enumerate(layers, start=1):
        taps = (layer.kernel_size - 1) * layer.dilation
        padding = layer.padding
        if layer.transposed:
            jump /= layer.stride
            padding = taps - padding
        start += (Fraction(taps, 2) - padding) * jump
        if not layer.transposed:
            jump *= layer.stride
        fields.append(ReceptiveField(_size(layers[:depth]), jump, start))
    return fields


def _size(layers: Sequence[ConvolutionShape]) -> int:
    """The largest distance from the first to the last input that an output sees. What outputs
    see repeats after as many of them as the strides of the transposed layers give."""
    period = prod(layer.stride for layer in layers if layer.transposed)
    return max(_extent(output, layers) for output in range(period))


def _extent(output: int, layers: Sequence[ConvolutionShape]) -> int:
    """The distance from the first to the last input that an output sees, both included."""
    ordinary = list(takewhile(lambda layer: not layer.transposed, layers))
    seen = {output}
    for layer in reversed(layers[len(ordinary) :]):
        taps = range(0, layer.kernel_size * layer.dilation, layer.dilation)
        if layer.transposed:
            stretched = {row + layer.padding - tap for row in seen for tap in taps}
            seen = {row // layer.stride for row in stretched if row % layer.stride == 0}
        else:
            seen = {row * layer.stride - layer.padding + tap for row in seen for tap in taps}
    if not seen:
        return 0
    distance = max(seen) - min(seen)
    # Only a transposed convolution sees less for what is left out between the ends.
    for layer in reversed(ordinary):
        distance = distance * layer.stride + (layer.kernel_size - 1) * layer.dilation
    return distance + 1
