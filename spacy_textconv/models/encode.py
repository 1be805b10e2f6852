"""The second step: vectors of tokens by themselves to vectors of tokens in context."""

from functools import partial
from typing import Callable, Iterator, List, Literal, NamedTuple, Optional, Tuple, cast

import numpy
import torch
from thinc.api import Model
from thinc.types import Floats2d
from torch import Tensor

from ..errors import Errors
from ..layers import (
    DenseStack,
    DilatedStack,
    PackedStack,
    Packing,
    slice_documents,
)
from ..layers.packing import ranges
from .compose import check_arrays, check_width
from .rows import flatten_rows
from .shim import BackpropT, gradients
from .types import EncoderForwardT, EncoderT
from .wrap import apply_module, get_shim, no_backprop, split_rows, to_tensor, wrap_module

# Prediction works through a batch in slices of about this many numbers for each buffer, small
# enough for the caches of a CPU, large enough to fill a GPU.
SLICE_SIZE = {"cpu": 2**20, "gpu": 2**23}

# A list rather than a frozen one, which `spacy init fill-config` can't copy.
DEFAULT_DILATIONS = [1, 2, 4, 1]


def build_dilated_conv_encoder_v1(
    *,
    width: int,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DILATIONS,
    block: Literal["conv", "gated", "bytenet", "separable"] = "conv",
    connection: Literal["residual", "highway", "plain"] = "residual",
    iterations: int = 1,
    activation: Literal["gelu", "mish", "relu", "silu", "tanh"] = "gelu",
    dropout: Optional[float] = None,
    initialization: Literal["kaiming", "identity"] = "kaiming",
    mixed_precision: bool = False,
) -> Model[List[Floats2d], List[Floats2d]]:
    """Build an encoder from a stack of dilated convolutions (Yu and Koltun 2016; for text:
    ByteNet, Kalchbrenner et al. 2016, and ID-CNN, Strubell et al. 2017).

    A token sees `1 + (kernel_size - 1) * sum(dilations) * iterations` tokens with itself in the
    middle; the number is in `model.attrs["receptive_field"]`.

    width (int): The width of the token vectors, both those that come in and those that go out.
    kernel_size (int): The number of tokens that each layer looks at. Has to be odd.
    dilations (List[int]): One number for each layer: the distance between the tokens that the
        layer looks at.
    block (str): What a layer does: "conv" (convolution and activation), "gated" (convolution
        with a gated linear unit), "bytenet" (convolution at half the width, between a linear
        reduction and expansion) or "separable" (convolution of each column by itself, then a
        linear map across the columns). All begin with layer normalization.
    connection (str): How a layer's output joins its input: "residual" (added), "highway" (mixed
        by a learned gate) or "plain" (not at all).
    iterations (int): How often the whole stack is applied, with the same weights.
    activation (str): The activation function. The gated block has its gate instead.
    dropout (Optional[float]): The rate of dropout after each layer, one mask for each document
        and column; null follows `[training] dropout`.
    initialization (str): "kaiming" or "identity" (layers begin by passing the middle token on,
        which helps plain stacks).
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Floats2d], List[Floats2d]]): The encoder.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        DilatedStack,
        width=width,
        kernel_size=kernel_size,
        dilations=dilations,
        block=block,
        connection=connection,
        iterations=iterations,
        activation=activation,
        dropout=dropout,
        initialization=initialization,
    )
    return _packed_encoder("dilated_conv_encoder", build, width, mixed_precision)


def build_dense_conv_encoder_v1(
    *,
    width: int,
    growth_rate: int = 32,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DILATIONS,
    bottleneck: Optional[int] = 4,
    activation: Literal["gelu", "mish", "relu", "silu", "tanh"] = "gelu",
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> Model[List[Floats2d], List[Floats2d]]:
    """Build an encoder from a densely connected stack of dilated convolutions (DenseNet, Huang
    et al. 2017): each layer sees the outputs of all layers before it, and a linear map takes
    all of them together to `width` columns.

    A token sees `1 + (kernel_size - 1) * sum(dilations)` tokens with itself in the middle; the
    number is in `model.attrs["receptive_field"]`.

    width (int): The width of the token vectors, both those that come in and those that go out.
    growth_rate (int): The number of columns that each layer adds.
    kernel_size (int): The number of tokens that each layer looks at. Has to be odd.
    dilations (List[int]): One number for each layer: the distance between the tokens that the
        layer looks at.
    bottleneck (Optional[int]): Before each convolution, a linear map reduces what has been added
        up to `bottleneck * growth_rate` columns; null for no such map.
    activation (str): The activation function.
    dropout (Optional[float]): The rate of dropout after each layer, one mask for each document
        and column; null follows `[training] dropout`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Floats2d], List[Floats2d]]): The encoder.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        DenseStack,
        width=width,
        growth_rate=growth_rate,
        kernel_size=kernel_size,
        dilations=dilations,
        bottleneck=bottleneck,
        activation=activation,
        dropout=dropout,
    )
    return _packed_encoder("dense_conv_encoder", build, width, mixed_precision)


def _packed_encoder(
    name: str, build: Callable[[], PackedStack], width: int, mixed_precision: bool
) -> EncoderT:
    """Wrap a stack over packed rows, which says how far it sees."""
    model = wrap_module(
        name,
        build,
        forward,
        dims={"nI": width, "nO": width},
        mixed_precision=mixed_precision,
    )
    model.attrs["receptive_field"] = _stack(model).reach.size
    return model


def _stack(model: EncoderT) -> PackedStack:
    return cast(PackedStack, get_shim(model).module)


@gradients()
def forward(model: EncoderT, Xs: List[Floats2d], is_train: bool) -> EncoderForwardT:
    check_arrays(model, Xs)
    width = model.get_dim("nI")
    check_width(width, Xs, Errors.E006)
    if is_train:
        return _forward_train(model, Xs)
    return _predict(model, Xs), no_backprop


def _forward_train(model: EncoderT, Xs: List[Floats2d]) -> EncoderForwardT:
    lengths = [len(X) for X in Xs]
    x = _join(model, Xs)
    y = x.new_empty(len(x), model.get_dim("nO"))
    passes: List[Tuple[_Group, BackpropT]] = []
    # No document is cut: it is not longer than its context.
    longest = max(lengths, default=0)
    for group in _groups(model, lengths, reach=(longest, longest)):
        Y, torch_backprop = apply_module(model, [group.pack(x), group.packing], is_train=True)
        group.unpack(cast(Tensor, Y), y)
        passes.append((group, torch_backprop))

    def backprop(dYs: List[Floats2d]) -> List[Floats2d]:
        dy = _join(model, dYs)
        dx = torch.empty_like(x)
        for group, torch_backprop in passes:
            dX, _ = torch_backprop(group.pack(dy))
            group.unpack(cast(Tensor, dX), dx)
        return split_rows(dx, lengths)

    return split_rows(y, lengths), backprop


def _predict(model: EncoderT, Xs: List[Floats2d]) -> List[Floats2d]:
    lengths = [len(X) for X in Xs]
    x = _join(model, Xs)
    y = x.new_empty(len(x), model.get_dim("nO"))
    for group in _groups(model, lengths, reach=_stack(model).reach):
        Y, _ = apply_module(model, [group.pack(x), group.packing], is_train=False)
        group.unpack(cast(Tensor, Y), y)
    return split_rows(y, lengths)


def _join(model: EncoderT, Xs: List[Floats2d]) -> Tensor:
    """Lay the rows of documents end to end."""
    rows = flatten_rows(model.ops, Xs, model.get_dim("nI"))
    return to_tensor(model, rows.astype("float32", copy=False))


class _Group(NamedTuple):
    """Where the rows of some slices are, in the buffer of a network and among the rows of all
    documents, which lie end to end.

    packing (Packing): How the buffer is made.
    sources (Tensor): The row of a document for each row of the buffer; any for those of the gap.
        *Shape:* (rows of the buffer,)
    places (Tensor): The rows of the buffer whose output is wanted. *Shape:* (wanted rows,)
    targets (Tensor): The rows of documents that they are for. *Shape:* (wanted rows,)
    """

    packing: Packing
    sources: Tensor
    places: Tensor
    targets: Tensor

    def pack(self, x: Tensor) -> Tensor:
        """Fill a buffer with rows of documents."""
        return self.packing.clear_gap_(x.index_select(0, self.sources))

    def unpack(self, packed: Tensor, x: Tensor) -> None:
        """Write the wanted rows of a buffer into those of documents."""
        x.index_copy_(0, self.targets, packed.index_select(0, self.places))


def _groups(model: EncoderT, lengths: List[int], reach: Tuple[int, int]) -> Iterator[_Group]:
    stack, device = _stack(model), get_shim(model).device
    max_rows = SLICE_SIZE["cpu" if device.type == "cpu" else "gpu"] // stack.buffer_width
    offsets = numpy.cumsum(lengths) - lengths
    for slices in slice_documents(lengths, max_rows=max_rows, gap=stack.gap, reach=reach):
        document, start, stop, context_start, context_stop = numpy.array(slices).T
        offset, read = offsets[document], context_stop - context_start
        packing = Packing(read.tolist(), stack.gap, device)
        first_place = numpy.array(packing.starts)
        sources = numpy.zeros(packing.rows, dtype="int64")
        sources[ranges(first_place, read)] = ranges(offset + context_start, read)
        places = ranges(first_place + start - context_start, stop - start)
        targets = ranges(offset + start, stop - start)
        # All in one copy.
        index = torch.from_numpy(numpy.concatenate([sources, places, targets])).to(device)
        yield _Group(packing, *index.split([len(sources), len(places), len(targets)]))
