"""The first three steps in one: documents to one vector each, whole or in slices."""

from itertools import accumulate
from math import lcm
from typing import Callable, List, Optional, Sequence, Tuple, cast

import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp

from ..errors import Errors
from ..layers import MergeablePooling, PackedStack, Slice, WordEmbedding, slice_documents
from .attend import join_rows
from .compose import check_vectors
from .rows import Rows, flatten_rows
from .types import AttendT, ClassifyT, EmbedT
from .wrap import get_module, get_shim, no_backprop

# Prediction works through documents in slices of about so many tokens, where it can.
TOKENS_PER_SLICE = 8192


def document_vectors(tok2vec: EmbedT, attends: Sequence[AttendT]) -> ClassifyT:
    """Build a layer that pools the token vectors of a document in several ways, side by side.

    Predictions embed, encode and pool slice by slice, so that a document of any length needs little
    memory, if nothing prevents it: the tok2vec has to be inline and consist of an embedding layer
    and an encoder of this package, and all of the poolings have to be mergeable.

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    attends (Sequence[Model[List[Floats2d], Floats2d]]): The poolings.
    RETURNS (Model[List[Doc], Floats2d]): The layer.
    """
    return Model(
        "document_vectors",
        forward,
        init=init,
        layers=[tok2vec, *attends],
        dims={"nO": sum(attend.get_dim("nO") for attend in attends)},
    )


def init(model: ClassifyT, X: Optional[List[Doc]] = None, Y: Optional[Floats2d] = None) -> None:
    tok2vec, *attends = model.layers
    tok2vec.initialize(X=X)
    for attend in attends:
        attend.initialize()
    if X:
        # What doesn't fit together is found out now, rather than in training.
        model.predict(X)


def forward(
    model: ClassifyT, docs: List[Doc], is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], List[Doc]]]:
    if not is_train:
        return _predict(model, docs), no_backprop
    tok2vec, *attends = model.layers
    xp = model.ops.xp
    Xs, bp_tok2vec = tok2vec.begin_update(docs)
    check_vectors(tok2vec, docs, Xs)
    Ys, bp_attends = zip(*(attend.begin_update(Xs) for attend in attends), strict=True)
    Y = _side_by_side(model, docs, Ys)
    stops = list(accumulate(attend.get_dim("nO") for attend in attends))[:-1]

    def backprop(dY: Floats2d) -> List[Doc]:
        dYs = xp.split(dY, stops, axis=1)
        dXs = [bp_attend(part) for bp_attend, part in zip(bp_attends, dYs, strict=True)]
        width = Xs[0].shape[1] if Xs else 0
        dX = sum(flatten_rows(model.ops, dX, width) for dX in dXs)
        return bp_tok2vec(Rows(cast(Floats2d, dX), [len(X) for X in Xs]))

    return Y, backprop


def _predict(model: ClassifyT, docs: List[Doc]) -> Floats2d:
    tok2vec, *attends = model.layers
    modules = [get_module(attend) for attend in attends]
    stack = _sliceable_stack(tok2vec)
    poolings = [module for module in modules if isinstance(module, MergeablePooling)]
    if stack is not None and len(poolings) == len(attends) and any(map(len, docs)):
        return _predict_slices(model, docs, stack, poolings)
    Xs = tok2vec.predict(docs)
    check_vectors(tok2vec, docs, Xs)
    return _side_by_side(model, docs, [attend.predict(Xs) for attend in attends])


def _side_by_side(model: ClassifyT, docs: List[Doc], Ys: Sequence[Floats2d]) -> Floats2d:
    """Join what the poolings give out."""
    for attend, Y in zip(model.layers[1:], Ys, strict=True):
        if getattr(Y, "shape", None) != (len(docs), attend.get_dim("nO")):
            raise ValueError(Errors.E074.format(name=attend.name))
    return model.ops.xp.hstack(Ys)


def _sliceable_stack(tok2vec: EmbedT) -> Optional[PackedStack]:
    """Get the encoder's network if the tok2vec gives a token of a slice the vector that it has in
    the document: it has to know how far the encoder sees, and to embed slices."""
    modules = [get_module(layer) for layer in tok2vec.layers]
    match modules:
        case [WordEmbedding(), PackedStack() as stack]:
            return stack
    return None


def _predict_slices(
    model: ClassifyT, docs: List[Doc], stack: PackedStack, poolings: List[MergeablePooling]
) -> Floats2d:
    tok2vec, *attends = model.layers
    # The poolings are all on one device.
    shim = get_shim(attends[0])
    lengths = [len(doc) for doc in docs]
    groups = slice_documents(
        lengths,
        max_rows=TOKENS_PER_SLICE,
        gap=stack.gap,
        reach=(stack.reach.left, stack.reach.right + max(map(_rows_ahead, poolings))),
        # Slices begin where something begins to be pooled.
        stride=lcm(*(pooling.jump for pooling in poolings)),
    )
    parts: List[Slice] = []
    states: List[List[torch.Tensor]] = [[] for _ in poolings]
    for group in groups:
        Xs = tok2vec.predict([_read(docs[part.document], part) for part in group])
        parts += group
        for attend, pooling, collected in zip(attends, poolings, states, strict=True):
            rows = [_pooled_rows(X, part, pooling) for X, part in zip(Xs, group, strict=True)]
            with shim.predicting():
                collected.append(pooling.summarize(*join_rows(attend, rows)))
    in_order = sorted(range(len(parts)), key=parts.__getitem__)
    with shim.predicting():
        owners = torch.tensor([part.document for part in parts], device=shim.device)
        slices = owners.bincount(minlength=len(docs))
        tokens = torch.tensor(lengths, device=shim.device)
        vectors = [
            pooling.finish(pooling.merge(torch.cat(collected)[in_order], slices), tokens)
            for pooling, collected in zip(poolings, states, strict=True)
        ]
        return cast(Floats2d, torch2xp(torch.cat(vectors, dim=1)))


def _rows_ahead(pooling: MergeablePooling) -> int:
    """How many rows of the next slice a pooling looks at."""
    return max(0, pooling.receptive_field - pooling.jump)


def _read(doc: Doc, part: Slice) -> Doc:
    # A span has all that our embedding layer asks of a document.
    whole = part.read == len(doc)
    return doc if whole else cast(Doc, doc[part.context_start : part.context_stop])


def _pooled_rows(X: Floats2d, part: Slice, pooling: MergeablePooling) -> Floats2d:
    """Cut the rows that a slice is pooled from out of those that it was encoded from."""
    start = part.start - part.context_start
    rows = X[start : part.stop - part.context_start + _rows_ahead(pooling)]
    # What is shorter than a kernel is padded with zeros, but not the end of a longer document.
    return rows[:0] if part.start and len(rows) < pooling.receptive_field else rows
