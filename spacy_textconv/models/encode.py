"""The second step: vectors of tokens by themselves to vectors of tokens in context."""

from functools import partial
from typing import Any, Callable, List, Literal, Optional, Sequence, Tuple, cast

from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp
from torch import Tensor

from ..errors import Errors
from ..layers import (
    DenseStack,
    DilatedStack,
    PackedStack,
    Packing,
    Slice,
    slice_documents,
)
from .compose import check_arrays
from .shim import BackpropT, gradients
from .types import EncoderForwardT, EncoderT
from .wrap import apply_module, get_shim, no_backprop, to_tensor, wrap_module

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
    for X in Xs:
        if len(X) and X.shape[1] != width:
            raise ValueError(Errors.E006.format(width=width, actual=X.shape[1]))
    if is_train:
        return _forward_train(model, Xs)
    return _predict(model, Xs), no_backprop


def _forward_train(model: EncoderT, Xs: List[Floats2d]) -> EncoderForwardT:
    lengths = [len(X) for X in Xs]
    empty = model.ops.alloc2f(0, model.get_dim("nO"))
    Ys = [empty] * len(Xs)
    passes: List[Tuple[List[int], Packing, BackpropT]] = []
    # No document is cut: it is not longer than its context.
    longest = max(lengths, default=0)
    for group in _slice(model, lengths, reach=(longest, longest)):
        documents = [part.document for part in group]
        packing = _packing(model, group)
        x = _pack(model, [Xs[i] for i in documents], packing)
        Y, torch_backprop = apply_module(model, [x, packing], is_train=True)
        passes.append((documents, packing, torch_backprop))
        for i, rows in zip(documents, _unpack(Y, packing), strict=True):
            Ys[i] = rows

    def backprop(dYs: List[Floats2d]) -> List[Floats2d]:
        dXs = [empty] * len(dYs)
        for documents, packing, torch_backprop in passes:
            dX, _ = torch_backprop(_pack(model, [dYs[i] for i in documents], packing))
            for i, rows in zip(documents, _unpack(dX, packing), strict=True):
                dXs[i] = rows
        return dXs

    return Ys, backprop


def _predict(model: EncoderT, Xs: List[Floats2d]) -> List[Floats2d]:
    lengths = [len(X) for X in Xs]
    Ys = [model.ops.alloc2f(0, model.get_dim("nO"))] * len(Xs)
    for group in _slice(model, lengths, reach=_stack(model).reach):
        packing = _packing(model, group)
        rows = [Xs[part.document][part.context_start : part.context_stop] for part in group]
        Y, _ = apply_module(model, [_pack(model, rows, packing), packing], is_train=False)
        for part, encoded in zip(group, _unpack(Y, packing), strict=True):
            first = part.start - part.context_start
            wanted = encoded[first : first + part.stop - part.start]
            if len(wanted) == lengths[part.document]:
                # A view, as those of spaCy's encoders are.
                Ys[part.document] = wanted
                continue
            if not len(Ys[part.document]):
                shape = lengths[part.document], model.get_dim("nO")
                Ys[part.document] = model.ops.alloc2f(*shape, zeros=False)
            Ys[part.document][part.start : part.stop] = wanted
    return Ys


def _slice(model: EncoderT, lengths: List[int], reach: Tuple[int, int]) -> List[List[Slice]]:
    stack = _stack(model)
    size = SLICE_SIZE["cpu" if get_shim(model).device.type == "cpu" else "gpu"]
    return slice_documents(lengths, max_rows=size // stack.buffer_width, gap=stack.gap, reach=reach)


def _packing(model: EncoderT, group: Sequence[Slice]) -> Packing:
    return Packing([len(part) for part in group], _stack(model).gap, get_shim(model).device)


def _pack(model: EncoderT, Xs: Sequence[Floats2d], packing: Packing) -> Tensor:
    xp, width = model.ops.xp, model.get_dim("nI")
    gap = xp.zeros((packing.gap, width), dtype="float32")
    parts: List[Floats2d] = []
    for X in Xs:
        # Some embedding layers give an empty document no columns either.
        parts += (cast(Floats2d, X.reshape((len(X), width))), gap)
    used = packing.starts[-1] + packing.lengths[-1]
    parts[-1] = xp.zeros((packing.rows - used, width), dtype="float32")
    return to_tensor(model, xp.concatenate(parts).astype("float32", copy=False))


def _unpack(Y: Any, packing: Packing) -> List[Floats2d]:
    rows = cast(Floats2d, torch2xp(Y))
    return [
        rows[start : start + length]
        for start, length in zip(packing.starts, packing.lengths, strict=True)
    ]
