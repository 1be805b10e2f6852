"""The first step: documents to vectors of tokens by themselves."""

import re
from itertools import accumulate
from typing import Callable, List, Optional, Tuple, cast

import numpy
import torch
from spacy.attrs import IDS
from spacy.strings import get_string_id
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..errors import Errors
from ..layers import HashEmbedding
from .shim import TorchShim
from .types import EmbedT

ATTRIBUTES = {name for name in IDS if name}
AFFIX = re.compile(r"(PREFIX|SUFFIX)([1-9])")
# The rows of the table that are summed for each feature.
HASHES = 4
# The step from one seed to the next in SplitMix64.
GOLDEN = numpy.uint64(0x9E3779B97F4A7C15)

# Lists rather than frozen ones, which `spacy init fill-config` can't copy.
DEFAULT_ATTRS = [
    *("NORM", "SHAPE"),
    *("PREFIX1", "PREFIX2", "PREFIX3"),
    *("SUFFIX1", "SUFFIX2", "SUFFIX3", "SUFFIX4"),
]
DEFAULT_ROWS = [5000, 1000, 500, 1000, 2000, 500, 1000, 2000, 2500]


def build_lexical_embed_v1(
    *,
    width: int,
    attrs: List[str] = DEFAULT_ATTRS,
    rows: List[int] = DEFAULT_ROWS,
    table_width: int = 32,
    dropout: Optional[float] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """Build an embedding layer that hashes lexical attributes and affixes, mixes
    their vectors with a maxout layer, and computes each distinct word of a batch once.

    width (int): The width of the token vectors.
    attrs (List[str]): The features: attributes of spaCy's tokens, and affixes of the lower-cased
        form with their length, such as "PREFIX1" or "SUFFIX4".
    rows (List[int]): The number of rows of each feature's table.
    table_width (int): The width of the tables.
    dropout (Optional[float]): The probability that a word lacks a feature in training; null
        follows `[training] dropout`.
    RETURNS (Model[List[Doc], List[Floats2d]]): The embedding layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    if not attrs or len(attrs) != len(rows):
        raise ValueError(Errors.E012.format(attrs=len(attrs), rows=len(rows)))
    for attr in attrs:
        if attr not in ATTRIBUTES and not AFFIX.fullmatch(attr):
            raise ValueError(Errors.E013.format(attr=attr))
    embedding = HashEmbedding(
        width=width, rows=rows, table_width=table_width, dropout=dropout or 0.0
    )
    return Model(
        "lexical_embed",
        forward,
        dims={"nO": width},
        # `[training] dropout` is written to the attribute `dropout_rate`.
        attrs={"attrs": list(attrs), "rows": list(rows), "dropout_rate": 0.0},
        shims=[TorchShim(embedding, own_dropout=dropout is not None)],
    )


def forward(
    model: EmbedT, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    shim = cast(TorchShim, model.shims[0])
    lengths = [len(doc) for doc in docs]
    if not any(lengths):
        empty = model.ops.alloc2f(0, model.get_dim("nO"))
        return [empty for _ in docs], lambda dYs: []
    features, type_of_token = distinct_features(docs, model.attrs["attrs"])
    hashes = torch.from_numpy(hash_rows(features, model.attrs["rows"])).to(shim.device)
    inverse = torch.from_numpy(type_of_token).to(shim.device)
    if not is_train:
        return _split(shim.predict(hashes, inverse), lengths), lambda dYs: []
    Y, torch_backprop = shim.begin_update(hashes, inverse, dropout=model.attrs["dropout_rate"])

    def backprop(dYs: List[Floats2d]) -> List[Doc]:
        torch_backprop(xp2torch(model.ops.xp.concatenate(dYs), device=shim.device))
        return []

    return _split(Y, lengths), backprop


def distinct_features(docs: List[Doc], attrs: List[str]) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Find the distinct words of a batch, in which all features are the same.

    docs (List[Doc]): The documents.
    attrs (List[str]): The features.
    RETURNS (Tuple[numpy.ndarray, numpy.ndarray]): The features as 64-bit hashes, of shape (types,
        features), and the type of each token, of shape (tokens,).
    """
    columns = [IDS["LOWER"] if AFFIX.fullmatch(attr) else IDS[attr] for attr in attrs]
    values = numpy.concatenate(
        [doc.to_array(columns).reshape(len(doc), len(columns)) for doc in docs]
    )
    seeds = numpy.arange(1, len(attrs) + 1, dtype="uint64")
    keys = mix_bits(values + seeds * GOLDEN).sum(axis=1, dtype="uint64")
    _, first, type_of_token = numpy.unique(keys, return_index=True, return_inverse=True)
    features = values[first]
    owners = numpy.searchsorted(numpy.cumsum([len(doc) for doc in docs]), first, side="right")
    strings = [docs[owner].vocab.strings for owner in owners]
    for column, attr in enumerate(attrs):
        affix = AFFIX.fullmatch(attr)
        if affix:
            length = int(affix[2])
            part = slice(length) if affix[1] == "PREFIX" else slice(-length, None)
            features[:, column] = [
                get_string_id(store[form][part])
                for store, form in zip(strings, features[:, column].tolist(), strict=True)
            ]
    return features, type_of_token


def mix_bits(values: numpy.ndarray) -> numpy.ndarray:
    """Scatter 64-bit numbers evenly, with the finalizer of SplitMix64 (Steele et al. 2014, figure
    18)."""
    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def hash_rows(features: numpy.ndarray, rows: List[int]) -> numpy.ndarray:
    """Pick the rows of each feature in the table of all features.

    features (numpy.ndarray): 64-bit hashes, of shape (types, features).
    rows (List[int]): The number of rows of each feature.
    RETURNS (numpy.ndarray): Row numbers, of shape (types, features, hashes).
    """
    seeds = numpy.arange(1, HASHES + 1, dtype="uint64") * GOLDEN
    mixed = mix_bits(features[:, :, None] + seeds)
    starts = numpy.array([0, *accumulate(rows)][:-1], dtype="uint64")
    picked = mixed % numpy.array(rows, dtype="uint64")[:, None] + starts[:, None]
    return picked.astype("int64")


def _split(Y: Tensor, lengths: List[int]) -> List[Floats2d]:
    rows = cast(Floats2d, torch2xp(Y))
    stops = list(accumulate(lengths))
    return [rows[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]
