"""The first two steps in one: the characters of documents to vectors of tokens in context."""

from functools import partial
from itertools import accumulate
from typing import Any, Callable, List, Literal, Optional, Sequence, Tuple, cast

import numpy
import torch
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d, Ints1d
from torch import Tensor

from ..checks import check_choice
from ..errors import Errors
from ..layers import CharacterEmbedding
from ..layers.packing import ranges
from .compose import check_documents, reads_documents
from .features import code_points, hash_rows, reading_strings
from .rows import Rows, flatten_rows
from .types import EmbedT, EncoderT
from .wrap import converting, get_shim, tensor_to_rows, wrap_module

POOLINGS = ("max", "mean")


def build_char_tok2vec_v1(
    *,
    encode: Model[List[Floats2d], List[Floats2d]],
    char_rows: int = 1000,
    pooling: Literal["max", "mean"] = "max",
) -> Model[List[Doc], List[Floats2d]]:
    """Build a tok2vec that reads the raw characters of a document, spaces included, so that a
    token's vector sees the letters of its neighbours: characters are embedded, encoded along the
    whole document, and pooled over each token (dilated convolutions over characters: ByteNet,
    Kalchbrenner et al. 2016, section 3; densely connected ones for text: Le et al. 2017).

    encode (Model[List[Floats2d], List[Floats2d]]): The encoder over characters, for example
        `spacy-textconv.DilatedConvEncoder.v1`. Its width is the width of the token vectors, its
        receptive field a number of characters.
    char_rows (int): The number of rows of the table of characters, which are hashed.
    pooling (str): How the vectors of a token's characters are joined: "max" or "mean".
    RETURNS (Model[List[Doc], List[Floats2d]]): The tok2vec.
    RAISES (ValueError): If a setting is out of its range.
    """
    check_choice("pooling", pooling, POOLINGS)
    if reads_documents(encode):
        raise ValueError(Errors.E072.format(name=encode.name))
    width = encode.get_dim("nO")
    in_width = encode.get_dim("nI") if encode.has_dim("nI") else width
    return Model(
        "char_tok2vec",
        forward,
        init=init,
        layers=[character_embed(char_rows, in_width), encode],
        dims={"nO": width},
        attrs={"pooling": pooling, "unit": "character"},
    )


def init(model: EmbedT, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    embed, encode = model.layers
    check_documents(model, X or [])
    embed.initialize()
    encode.initialize(X=embed.predict(_read_texts(X)) if X else None)


def forward(
    model: EmbedT, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    check_documents(model, docs)
    embed, encode = cast(Tuple[Model[List[str], List[Floats2d]], EncoderT], tuple(model.layers))
    if not any(len(doc) for doc in docs):
        empty = model.ops.alloc2f(0, model.get_dim("nO"))
        return [empty for _ in docs], lambda dYs: []
    embedded, bp_embed = embed(_read_texts(docs), is_train)
    encoded, bp_encode = encode(embedded, is_train)
    if not isinstance(encoded, list):
        raise ValueError(Errors.E072.format(name=encode.name))
    Y, bp_pool = _pool_tokens(model, docs, encoded)

    def backprop(dYs: List[Floats2d]) -> List[Doc]:
        bp_embed(bp_encode(bp_pool(dYs)))
        return []

    return Y, backprop


def character_embed(char_rows: int, width: int) -> Model[List[str], List[Floats2d]]:
    """Build a layer that gives each character of a text a vector by itself."""
    return wrap_module(
        "character_embed",
        partial(CharacterEmbedding, char_rows=char_rows, width=width),
        converting(_read_characters, tensor_to_rows),
        dims={"nO": width},
        attrs={"char_rows": char_rows},
    )


def _read_characters(
    model: Model, texts: List[str]
) -> Tuple[Sequence[Any], Callable[[List[Optional[Tensor]]], List[str]]]:
    codes, _ = code_points(texts)
    distinct, inverse = numpy.unique(codes, return_inverse=True)
    indices = hash_rows(distinct[:, None], [model.attrs["char_rows"]])[:, 0]
    device = get_shim(model).device
    inputs = [torch.from_numpy(array).to(device) for array in (indices, inverse)]
    return inputs, lambda grads: []


def _read_texts(docs: List[Doc]) -> List[str]:
    with reading_strings():
        return [doc.text_with_ws for doc in docs]


def _pool_tokens(
    model: EmbedT, docs: List[Doc], Xs: List[Floats2d]
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Floats2d]]]:
    """Join the vectors of each token's characters; those of the spaces between are left out."""
    ops = model.ops
    lengths = [len(X) for X in Xs]
    X = flatten_rows(ops, Xs, model.get_dim("nO"))
    rows, sizes = _characters_of_tokens(docs, lengths)
    index = ops.asarray1i(cast(Ints1d, rows), dtype="int64")
    counts = ops.asarray1i(cast(Ints1d, sizes), dtype="int32")
    Y, unpool = _reduce(ops, model.attrs["pooling"], cast(Floats2d, X[index]), counts)

    def backprop(dYs: List[Floats2d]) -> List[Floats2d]:
        dX = ops.xp.zeros_like(X)
        dX[index] = unpool(flatten_rows(ops, dYs, X.shape[1]))
        return Rows(dX, lengths)

    return Rows(Y, [len(doc) for doc in docs]), backprop


def _characters_of_tokens(
    docs: List[Doc], lengths: List[int]
) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Find the characters of each token among all characters of a batch."""
    offsets = accumulate([0, *lengths[:-1]])
    spans = [
        # A span counts from the first character of its document.
        doc.to_array([IDX, LENGTH]).reshape(-1, 2).astype("int64") + (offset - doc[:].start_char, 0)
        for doc, offset in zip(docs, offsets, strict=True)
    ]
    starts, sizes = numpy.concatenate(spans).T
    return ranges(starts, sizes), sizes


def _reduce(
    ops: Ops, pooling: str, X: Floats2d, lengths: Ints1d
) -> Tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    if pooling == "max":
        Y, which = ops.reduce_max(X, lengths)
        return Y, lambda dY: ops.backprop_reduce_max(dY, which, lengths)
    return ops.reduce_mean(X, lengths), lambda dY: ops.backprop_reduce_mean(dY, lengths)
