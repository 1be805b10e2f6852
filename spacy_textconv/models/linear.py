"""A linear map of the rows of all documents at once."""

from typing import List, Tuple, cast

import torch
import torch.nn.functional as F
from thinc.api import CupyOps, with_array
from thinc.model import Model
from thinc.types import Floats2d, FloatsXd
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..layers.autocast import without_autocast
from .compose import check_width
from .rows import flatten_rows
from .types import EncoderBackpropT, EncoderT, RowsT
from .wrap import split_rows


def linear_rows(layer: RowsT) -> EncoderT:
    """Build a layer that applies Thinc's `Linear` or `Softmax` to the rows of all documents at
    once. It does what `with_array` does with that layer, and has the same parameters, but takes and
    gives out rows that lie in one array already, and multiplies matrices with torch: on some CPUs,
    Thinc takes several times as long.

    layer (Model[Floats2d, Floats2d]): The layer, whose parameters are used.
    RETURNS (Model[List[Floats2d], List[Floats2d]]): The layer for lists.
    """
    like: EncoderT = with_array(layer)
    dims = {name: like.maybe_get_dim(name) for name in like.dim_names}
    # All but what it computes, so that the files are the same, too.
    return Model(
        like.name, forward, init=like.init, layers=[layer], dims=dims, attrs=dict(like.attrs)
    )


def forward(
    model: EncoderT, Xs: List[Floats2d], is_train: bool
) -> Tuple[List[Floats2d], EncoderBackpropT]:
    [layer] = model.layers
    lengths = [len(X) for X in Xs]
    W, b = (_to_tensor(model, layer.get_param(name)) for name in ("W", "b"))
    width = layer.get_dim("nI")
    rows = flatten_rows(model.ops, Xs, width)
    check_width(width, [rows])
    X = _to_tensor(model, rows)
    # Thinc's `Softmax` may leave it at the scores in predictions.
    is_normalized = "softmax_normalize" in layer.attrs and (
        is_train or layer.attrs["softmax_normalize"]
    )
    with without_autocast(X.device):
        Y = F.linear(X, W, b)
        Y = Y.softmax(dim=1) if is_normalized else Y

    def backprop(dYs: List[Floats2d]) -> List[Floats2d]:
        dY = _to_tensor(model, flatten_rows(model.ops, dYs, len(b)))
        with without_autocast(X.device):
            dX, dW, db = dY @ W, dY.T @ X, dY.sum(dim=0)
        layer.inc_grad("W", cast(FloatsXd, torch2xp(dW)))
        layer.inc_grad("b", cast(FloatsXd, torch2xp(db)))
        return split_rows(dX, lengths)

    return split_rows(Y, lengths), backprop


def _to_tensor(model: EncoderT, X: FloatsXd) -> Tensor:
    ops = model.ops
    device = f"cuda:{ops.device_id}" if isinstance(ops, CupyOps) else "cpu"
    return xp2torch(ops.as_contig(X), device=torch.device(device))
