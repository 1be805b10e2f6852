"""The third step: vectors of the tokens of a document to one vector of the document."""

from functools import partial
from typing import Any, Callable, List, Literal, Optional, Sequence, Tuple, cast

import torch
from thinc.api import Model
from thinc.types import Floats2d
from torch import Tensor

from ..errors import Errors
from ..layers import (
    AttentionPooling,
    ConvPooling,
    DPCNNPooling,
    FlattenPooling,
    KMaxPooling,
    Pooling,
)
from ..layers.pooling import make_pooling
from .compose import check_arrays, check_width, has_blocks, reads_documents
from .rows import flatten_rows
from .types import AttendT, EmbedT
from .wrap import (
    converting,
    get_module,
    get_shim,
    split_rows,
    tensor_to_array,
    to_tensor,
    wrap_module,
)


def build_pool_attend_v1(
    *, width: int, pooling: Literal["max", "mean", "logsumexp"] = "max"
) -> Model[List[Floats2d], Floats2d]:
    """Build a layer that pools each column over a document to one value.

    width (int): The width of the token vectors, and of the output.
    pooling (str): "max", "mean" or "logsumexp" (the logarithm of the mean of the exponentials:
        Pinheiro and Collobert 2015).
    RETURNS (Model[List[Floats2d], Floats2d]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    return _wrap_pooling("pool_attend", partial(make_pooling, pooling, width=width), width)


def build_kmax_attend_v1(*, width: int, k: int = 3) -> Model[List[Floats2d], Floats2d]:
    """Build a layer that picks the `k` largest values of each column, in their order in the text
    (Kalchbrenner et al. 2014, "A convolutional neural network for modelling sentences", section
    3.2).

    width (int): The width of the token vectors.
    k (int): The number of values of each column. The output is `k * width` wide.
    RETURNS (Model[List[Floats2d], Floats2d]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    return _wrap_pooling("kmax_attend", partial(KMaxPooling, width=width, k=k), width)


def build_attention_attend_v1(
    *, width: int, heads: int = 4, mixed_precision: bool = False
) -> Model[List[Floats2d], Floats2d]:
    """Build a layer that weighs the tokens of a document and adds them up (Yang et al. 2016,
    "Hierarchical attention networks for document classification", section 2.2; several heads: Lin
    et al. 2017, "A structured self-attentive sentence embedding", section 2.1). Its weights can be
    looked at with `attention_weights`.

    width (int): The width of the token vectors, and of the output.
    heads (int): The number of sets of weights, each for an equal share of the columns. Has to
        divide `width`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Floats2d], Floats2d]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(AttentionPooling, width=width, heads=heads)
    return _wrap_pooling("attention_attend", build, width, mixed_precision)


def build_conv_attend_v1(
    *,
    width: int,
    kernel_size: int = 3,
    stride: int = 1,
    depth: int = 1,
    pooling: Literal["max", "mean", "logsumexp"] = "max",
    activation: Literal["gelu", "mish", "relu", "silu", "tanh"] = "gelu",
    mixed_precision: bool = False,
) -> Model[List[Floats2d], Floats2d]:
    """Build a layer of convolutions without padding, and a pooling of what they leave. One such
    layer for each of several kernel sizes, with the activation "relu", is the network of Kim 2014,
    "Convolutional neural networks for sentence classification".

    width (int): The width of the token vectors, and of the output.
    kernel_size (int): The number of tokens that a convolution looks at.
    stride (int): The distance between two outputs of a convolution, in inputs.
    depth (int): The number of convolutions.
    pooling (str): "max", "mean" or "logsumexp".
    activation (str): The activation function after each convolution.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Floats2d], Floats2d]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        ConvPooling,
        width=width,
        kernel_size=kernel_size,
        stride=stride,
        depth=depth,
        pooling=pooling,
        activation=activation,
    )
    return _wrap_pooling("conv_attend", build, width, mixed_precision)


def build_pyramid_attend_v1(
    *,
    width: int,
    depth: int = 4,
    kernel_size: int = 3,
    pooling: Literal["max", "mean", "logsumexp"] = "max",
    activation: Literal["gelu", "mish", "relu", "silu", "tanh"] = "gelu",
    mixed_precision: bool = False,
) -> Model[List[Floats2d], Floats2d]:
    """Build a layer that halves the length of a document in each of several levels of convolutions,
    and pools what is left (DPCNN: Johnson and Zhang 2017, "Deep pyramid convolutional neural
    networks for text categorization", section 2).

    width (int): The width of the token vectors, and of the output.
    depth (int): The number of levels, which have weights of their own.
    kernel_size (int): The number of tokens that each convolution looks at. Has to be odd.
    pooling (str): "max", "mean" or "logsumexp".
    activation (str): The activation function.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Floats2d], Floats2d]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        DPCNNPooling,
        width=width,
        depth=depth,
        kernel_size=kernel_size,
        pooling=pooling,
        activation=activation,
    )
    return _wrap_pooling("pyramid_attend", build, width, mixed_precision)


def build_flatten_attend_v1(
    *, width: int, out_width: int, max_length: int = 64, mixed_precision: bool = False
) -> Model[List[Floats2d], Floats2d]:
    """Build a layer that lays the vectors of a document's tokens side by side and maps them to one
    vector: a convolution whose kernel is as long as a document (Zhang et al. 2017, "Deconvolutional
    paragraph representation learning", section 2.1). In contrast to the other poolings, it knows
    the place of each token, so that a text can be written again from what it gives out.

    width (int): The width of the token vectors.
    out_width (int): The width of the output.
    max_length (int): The number of tokens that are read. Those beyond it are left out.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Floats2d], Floats2d]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(FlattenPooling, width=width, out_width=out_width, max_length=max_length)
    return _wrap_pooling("flatten_attend", build, width, mixed_precision)


def is_pooling(layer: Model) -> bool:
    """Tell whether a layer can turn the vectors of a document's tokens into one vector. Of layers
    that are not from here, only the sizes tell."""
    module = get_module(layer)
    return (
        not reads_documents(layer)
        and bool(layer.has_dim("nO"))
        and (module is None or isinstance(module, Pooling))
    )


def check_attends(attend: Any, tok2vec: EmbedT) -> None:
    """Raise a ValueError unless a section of the config has at least one pooling, each for vectors
    of the width of the tok2vec."""
    if not has_blocks(attend):
        raise ValueError(Errors.E032.format(value=attend))
    for name, layer in attend.items():
        check_pooling(f"attend.{name}", layer, tok2vec)


def check_pooling(setting: str, layer: Model, tok2vec: EmbedT) -> None:
    """Raise a ValueError unless a layer is a pooling, for vectors of the width of the tok2vec."""
    if not is_pooling(layer):
        raise ValueError(Errors.E191.format(setting=setting, name=layer.name))
    width, actual = layer.maybe_get_dim("nI"), tok2vec.maybe_get_dim("nO")
    if None not in (width, actual) and width != actual:
        raise ValueError(Errors.E033.format(setting=setting, width=width, actual=actual))


def has_attention(layer: Model) -> bool:
    """Tell whether a layer has attention weights to be looked at."""
    return isinstance(get_module(layer), AttentionPooling)


def attention_weights(model: AttendT, Xs: List[Floats2d]) -> List[Floats2d]:
    """Compute how much each token counts for each head of an attention layer.

    model (Model[List[Floats2d], Floats2d]): A layer of `spacy-textconv.AttentionAttend.v1`.
    Xs (List[Floats2d]): The token vectors of each document.
    RETURNS (List[Floats2d]): For each document one row for each token, one column for each head. In
        a document, each column adds up to 1.
    RAISES (ValueError): If the layer has no attention weights.
    """
    if not has_attention(model):
        raise ValueError(Errors.E034.format(name=model.name))
    shim = get_shim(model)
    with shim.predicting():
        weights = cast(AttentionPooling, shim.module).weights(*join_rows(model, Xs))
    return split_rows(weights, [len(X) for X in Xs])


def join_rows(model: AttendT, Xs: Sequence[Floats2d]) -> Tuple[Tensor, Tensor]:
    """Lay the rows of documents end to end.

    model (Model[List[Floats2d], Floats2d]): The layer that they are for.
    Xs (Sequence[Floats2d]): The rows of each document.
    RETURNS (Tuple[Tensor, Tensor]): All rows, and how many each document has. *Shape:* (rows,
        width), (documents,)
    RAISES (ValueError): If the rows are not of the width that the layer was built for.
    """
    check_arrays(model, Xs)
    width = model.get_dim("nI")
    check_width(width, Xs, Errors.E031)
    x = to_tensor(model, flatten_rows(model.ops, Xs, width).astype("float32", copy=False))
    return x, torch.tensor([len(X) for X in Xs], dtype=torch.long, device=x.device)


def _wrap_pooling(
    name: str, build: Callable[[], Pooling], width: int, mixed_precision: bool = False
) -> AttendT:
    model = wrap_module(
        name,
        build,
        converting(_rows_to_tensor, tensor_to_array),
        dims={"nI": width, "nO": None},
        mixed_precision=mixed_precision,
    )
    model.set_dim("nO", cast(Pooling, get_shim(model).module).out_width)
    return model


def _rows_to_tensor(
    model: AttendT, Xs: List[Floats2d]
) -> Tuple[Sequence[Tensor], Callable[[List[Optional[Tensor]]], List[Floats2d]]]:
    lengths = [len(X) for X in Xs]
    return join_rows(model, Xs), lambda grads: split_rows(cast(Tensor, grads[0]), lengths)
