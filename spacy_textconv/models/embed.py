"""The first step: documents to vectors of tokens by themselves."""

from dataclasses import replace
from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple, cast

import numpy
import torch
from spacy.attrs import NAMES, ORTH
from spacy.tokens import Doc
from spacy.vectors import Mode, Vectors
from thinc.api import Model
from thinc.types import Floats2d
from torch import Tensor

from ..checks import check_natural, check_positive
from ..errors import Errors
from ..layers import WordCharacters, WordEmbedding
from .cache import TypeCache
from .compose import check_documents
from .features import (
    MAX_CHARACTERS,
    WORD_END,
    WORD_START,
    Words,
    attr_values,
    check_attrs,
    code_points,
    find_word_types,
    hash_keys,
    hash_rows,
    read_words,
    reading_strings,
    type_attrs,
)
from .shim import gradients
from .types import EmbedT
from .wrap import (
    converting,
    get_shim,
    no_backprop,
    split_rows,
    tensor_to_rows,
    to_tensor,
    wrap_module,
)

# Prediction embeds so many types at a time, so that a document of many words needs little memory.
TYPES_PER_SLICE = 4096

# Lists rather than frozen ones, which `spacy init fill-config` can't copy.
DEFAULT_ATTRS = [
    *("NORM", "SHAPE"),
    *("PREFIX1", "PREFIX2", "PREFIX3"),
    *("SUFFIX1", "SUFFIX2", "SUFFIX3", "SUFFIX4"),
]
DEFAULT_ROWS = [5000, 1000, 500, 1000, 2000, 500, 1000, 2000, 2500]
DEFAULT_KERNEL_SIZES = [2, 3]


def build_char_conv_embed_v1(
    *,
    width: int,
    attrs: List[str] = DEFAULT_ATTRS,
    rows: List[int] = DEFAULT_ROWS,
    table_width: int = 32,
    char_maps: int = 64,
    char_kernel_sizes: List[int] = DEFAULT_KERNEL_SIZES,
    char_rows: int = 1000,
    char_width: int = 16,
    static_vectors_width: Optional[int] = None,
    word_dropout: Optional[float] = None,
    dropout: Optional[float] = None,
    cache_size: int = 50000,
    mixed_precision: bool = False,
) -> Model[List[Doc], List[Floats2d]]:
    """Build an embedding layer that joins what it learns from the characters of a word, its
    hashed lexical attributes and affixes and, if wanted, its static vector, and mixes them with a
    maxout layer. Each distinct word of a batch is computed once.

    Characters, up to 64 of a word, are read with narrow convolutions and the maximum over the word
    (dos Santos and Zadrozny 2014, "Learning character-level representations for part-of-speech
    tagging", section 2.1.2). `char_maps = 0` leaves them out; `attrs = []` and `rows = []` leave
    only them.

    width (int): The width of the token vectors.
    attrs (List[str]): The features: attributes of spaCy's tokens, and affixes of the lower-cased
        form with their length, such as "PREFIX1" or "SUFFIX4".
    rows (List[int]): The number of rows of each feature's table.
    table_width (int): The width of the tables.
    char_maps (int): The number of feature maps of each convolution over characters; 0 for none.
    char_kernel_sizes (List[int]): The number of characters that each convolution looks at.
    char_rows (int): The number of rows of the table of characters, which are hashed.
    char_width (int): The width of a character's vector.
    static_vectors_width (Optional[int]): The number of columns of the vocab's vectors (static or
        floret), which are part of a word's features then; null leaves them out.
    word_dropout (Optional[float]): The probability that a token's vector is replaced by a learned
        one in training; null follows `[training] dropout`.
    dropout (Optional[float]): In training, the probability that an attribute or affix of a word is
        taken for one that was never seen, and that a column of its other features is dropped; null
        follows `[training] dropout`.
    cache_size (int): The number of words that predictions remember the vectors of; 0 for none.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[List[Doc], List[Floats2d]]): The embedding layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    if len(attrs) != len(rows):
        raise ValueError(Errors.E012.format(attrs=len(attrs), rows=len(rows)))
    check_attrs(attrs)
    check_natural("char_maps", char_maps)
    check_natural("cache_size", cache_size)
    if static_vectors_width is not None:
        check_positive("static_vectors_width", static_vectors_width)
    if not attrs and not char_maps and static_vectors_width is None:
        raise ValueError(Errors.E015)
    build_characters = partial(
        WordCharacters,
        char_rows=char_rows,
        char_width=char_width,
        maps=char_maps,
        kernel_sizes=char_kernel_sizes,
    )
    build = partial(
        _build_embedding,
        build_characters if char_maps else None,
        width=width,
        rows=rows,
        table_width=table_width,
        vectors_width=static_vectors_width or 0,
        dropout=dropout,
        word_dropout=word_dropout,
    )
    return wrap_module(
        "char_conv_embed",
        build,
        forward,
        dims={"nO": width},
        attrs={
            "attrs": list(attrs),
            "rows": list(rows),
            "char_rows": char_rows if char_maps else 0,
            "max_kernel_size": max(char_kernel_sizes, default=0) if char_maps else 0,
            "static_vectors_width": static_vectors_width,
            "cache": TypeCache(cache_size, width),
        },
        mixed_precision=mixed_precision,
    )


def _build_embedding(
    build_characters: Optional[Callable[[], WordCharacters]], **settings: Any
) -> WordEmbedding:
    characters = build_characters() if build_characters else None
    return WordEmbedding(characters=characters, **settings)


@gradients()
def forward(
    model: EmbedT, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    check_documents(model, docs)
    if not any(map(len, docs)):
        empty = model.ops.alloc2f(0, model.get_dim("nO"))
        return [empty for _ in docs], lambda dYs: []
    if is_train:
        return _update(model, docs, is_train)
    words = read_words(docs, _key_attrs(model, docs))
    if model.attrs["static_vectors_width"] is None:
        Y = _predict_words(model, words)
    else:
        # To look vectors up takes longer than to find the distinct words.
        types, type_of_token = words.distinct()
        index = torch.from_numpy(type_of_token).to(get_shim(model).device)
        Y = _predict_words(model, types).index_select(0, index)
    return split_rows(Y, [len(doc) for doc in docs]), no_backprop


def _read_types(
    model: EmbedT, docs: List[Doc]
) -> Tuple[Sequence[Any], Callable[[List[Optional[Tensor]]], List[Doc]]]:
    types, type_of_token = find_word_types(docs, _key_attrs(model, docs))
    index = torch.from_numpy(type_of_token).to(get_shim(model).device)
    return (*_features(model, types), _static_vectors(model, types), index), lambda grads: []


_update = converting(_read_types, tensor_to_rows)


def _predict_words(model: EmbedT, words: Words) -> Tensor:
    """Embed words: those that the cache knows come from there, and the others are embedded once for
    each type."""
    shim, cache = get_shim(model), model.attrs["cache"]
    vectors = _static_vectors(model, words)
    if vectors is not None:
        # Vectors can change at any time, so what is in them is part of what a type is.
        bits = vectors.cpu().numpy().view("uint32").astype("uint64")
        words = replace(words, keys=words.keys + hash_keys(bits))
    version = shim.version
    embedded, unknown = cache.get(words.keys, version, shim.device)
    if len(unknown):
        _, first, type_of_word = numpy.unique(
            words.keys[unknown], return_index=True, return_inverse=True
        )
        types = unknown[first]
        slices = numpy.array_split(types, -(-len(types) // TYPES_PER_SLICE))
        Y = torch.cat([_embed_types(model, words, vectors, rows) for rows in slices])
        if cache.size:
            cache.put(words.keys[types], Y, version)
        rows, places = (torch.from_numpy(x).to(shim.device) for x in (type_of_word, unknown))
        embedded.index_copy_(0, places, Y.index_select(0, rows))
    return embedded


def _embed_types(
    model: EmbedT, words: Words, vectors: Optional[Tensor], rows: numpy.ndarray
) -> Tensor:
    """Embed some of the words, with their static vectors if the model uses them."""
    shim = get_shim(model)
    if vectors is not None:
        vectors = vectors.index_select(0, torch.from_numpy(rows).to(shim.device))
    return cast(Tensor, shim.predict(*_features(model, words.take(rows)), vectors))


def _key_attrs(model: EmbedT, docs: List[Doc]) -> List[str]:
    """List the attributes that the vector of a word depends on."""
    names = type_attrs(model.attrs["attrs"])
    if model.attrs["char_rows"]:
        names.append("ORTH")
    if model.attrs["static_vectors_width"] is not None:
        names.append(_vectors_attr(docs))
    return list(dict.fromkeys(names))


def _features(
    model: EmbedT, types: Words
) -> Tuple[Tensor, Optional[Tuple[Tensor, Tensor, Tensor, int]]]:
    """Make the features that are read from words."""
    device = get_shim(model).device
    char_rows = model.attrs["char_rows"]
    values = attr_values(types, model.attrs["attrs"])
    indices = torch.from_numpy(hash_rows(values, model.attrs["rows"])).to(device)
    if not char_rows:
        return indices, None
    words = [WORD_START + word[:MAX_CHARACTERS] for word in types.words]
    # As many marks as let the largest kernel see the end of a word of any length, but no more than
    # it takes to know what a kernel larger than all words would see.
    marks = min(model.attrs["max_kernel_size"] - 1, max(map(len, words)) + 1)
    codes, lengths = code_points([word + WORD_END * marks for word in words])
    distinct, inverse = numpy.unique(codes, return_inverse=True)
    char_indices = hash_rows(distinct[:, None], [char_rows])[:, 0]
    characters = (torch.from_numpy(array).to(device) for array in (char_indices, inverse, lengths))
    return indices, cast(Tuple[Tensor, Tensor, Tensor, int], (*characters, marks))


def _vectors_attr(docs: Sequence[Doc]) -> str:
    """Name the attribute that vectors are looked up by."""
    return NAMES[getattr(docs[0].vocab.vectors, "attr", ORTH)]


def _static_vectors(model: EmbedT, types: Words) -> Optional[Tensor]:
    """Look up the vectors of types, where the model uses them; 0 for words that have none."""
    width = model.attrs["static_vectors_width"]
    if width is None:
        return None
    table = types.docs[0].vocab.vectors
    if table.shape[1] != width:
        raise ValueError(Errors.E016.format(width=width, actual=table.shape[1]))
    keys = types.column(_vectors_attr(types.docs))
    with reading_strings():
        vectors = table.get_batch(keys)
    if isinstance(table, Vectors) and table.mode == Mode.default:
        vectors = vectors * (table.find(keys=keys) >= 0)[:, None]
    return to_tensor(model, model.ops.asarray2f(vectors))
