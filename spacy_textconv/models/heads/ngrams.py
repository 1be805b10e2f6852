"""A linear classifier of documents by their n-grams."""

from functools import reduce
from typing import Callable, Iterable, List, Literal, Optional, Sequence, Tuple, cast

import numpy
from numpy import ndarray
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats1d, Floats2d, Ints1d
from thinc.util import get_width

from ...checks import check_choice, check_factor, check_positive, check_positives
from ...errors import Errors
from ..features import check_attrs, sort_distinct
from ..ngrams import (
    KEYS,
    NgramsT,
    character_ngrams,
    share_character_ngrams,
    share_word_ngrams,
    word_ngrams,
)
from ..types import ClassifyT

UNITS = ("word", "character")
DEFAULT_ATTRS = ["NORM"]
# The score that a class which is added begins with: one that is less probable than not.
NEW_CLASS_SCORE = -1.0


def build_ngram_linear_v1(
    *,
    unit: Literal["word", "character"],
    sizes: List[int],
    attrs: List[str] = DEFAULT_ATTRS,
    rows: int = 262144,
    scale: float = 1.0,
    normalize: bool = False,
    nO: Optional[int] = None,
) -> Model[List[Doc], Floats2d]:
    """Build a linear map from the n-grams of a document to the scores of its classes. An n-gram
    counts once, however often it occurs. Its weight is the product of what is learned and a fixed
    number: the logarithm of how much more often the n-gram occurs in documents of the class than in
    others (Wang and Manning 2012, "Baselines and bigrams: simple, good sentiment and topic
    classification", section 2).

    The callback `spacy-textconv.naive_bayes.v1` sets these numbers, and makes the table of the
    n-grams of the training data, or of those in the most documents if there are too many. All other
    n-grams are left out. Before that, or without it, n-grams are hashed, and the numbers are 1.

    N-grams of words may begin before the first word of the document and end after the last one.
    They are found once for each attribute that words are compared by. Beside the norm, the first
    and the last letters do what a stemmer does: "PREFIX4" joins forms with different endings, and
    "SUFFIX4" those that differ in what stands before them, such as the particles of Hebrew.
    N-grams of characters are those of the norm, and lie within one word, whose ends count as
    characters.

    unit (str): "word" or "character".
    sizes (List[int]): The numbers of words or characters of an n-gram.
    attrs (List[str]): What words are compared by: attributes of spaCy's tokens, and affixes of the
        lower-cased form with their length, such as "PREFIX4". For characters, it is the norm.
    rows (int): The largest number of rows of the table of n-grams. If these are hashed, it has
        exactly as many.
    scale (float): What the sum over the n-grams is multiplied by, before the bias is added: how
        fast this layer learns.
    normalize (bool): Whether that sum is divided by the square root of the number of the n-grams
        in it, so that a long document has no larger scores than a short one.
    nO (Optional[int]): The number of classes; null leaves it to the data.
    RETURNS (Model[List[Doc], Floats2d]): The scores, with no activation.
    RAISES (ValueError): If a setting is out of its range.
    """
    check_choice("unit", unit, UNITS)
    check_positives("sizes", sizes)
    check_positive("rows", rows)
    check_factor("scale", scale)
    if nO is not None:
        check_positive("nO", nO)
    check_attrs(attrs)
    if not attrs or (unit == "character" and attrs != DEFAULT_ATTRS):
        raise ValueError(Errors.E025.format(unit=unit, value=attrs))
    return Model(
        "ngram_linear",
        forward,
        init=init,
        dims={"nO": nO},
        params={"W": None, "b": None, "ratios": None},
        attrs={
            "unit": unit,
            "sizes": list(sizes),
            "attrs": list(attrs),
            "rows": rows,
            "scale": scale,
            "normalize": normalize,
            # The keys of the n-grams that have a row, in order, and after them `KEYS`, which no
            # n-gram has. None: they are hashed.
            "vocabulary": None,
        },
    )


def init(model: ClassifyT, X: Optional[List[Doc]] = None, Y: Optional[Floats2d] = None) -> None:
    if Y is not None and model.has_dim("nO") is None:
        model.set_dim("nO", get_width(Y))
    model.attrs["vocabulary"] = None
    _set_params(model, model.attrs["rows"])


def _set_params(model: ClassifyT, rows: int) -> None:
    nO = model.get_dim("nO")
    model.set_param("W", model.ops.alloc2f(rows, nO))
    model.set_param("b", model.ops.alloc1f(nO))
    model.set_param("ratios", model.ops.alloc2f(rows, nO) + 1.0)


def forward(
    model: ClassifyT, docs: List[Doc], is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], List[Doc]]]:
    ops = model.ops
    found, counts = find_ngrams(model, docs)
    factors = ops.asarray2f(cast(Floats2d, _factors(model, counts)[:, None]))
    rows = ops.asarray1i(cast(Ints1d, found))
    lengths = ops.asarray1i(cast(Ints1d, counts))
    ratios = cast(Floats2d, model.get_param("ratios"))[rows]
    weights = cast(Floats2d, model.get_param("W"))[rows]
    Y = ops.alloc2f(len(docs), model.get_dim("nO"))
    # Thinc can't sum up nothing.
    if len(found):
        Y += ops.reduce_sum(cast(Floats2d, ratios * weights), lengths) * factors
    Y += cast(Floats1d, model.get_param("b"))

    def backprop(dY: Floats2d) -> List[Doc]:
        if len(found):
            dW = ops.alloc2f(*cast(Floats2d, model.get_param("W")).shape)
            ops.scatter_add(dW, rows, ops.backprop_reduce_sum(dY * factors, lengths) * ratios)
            model.inc_grad("W", dW)
        model.inc_grad("b", dY.sum(axis=0))
        return []

    return Y, backprop


def has_ngrams(layer: Model) -> bool:
    """Tell whether a layer was built by `build_ngram_linear_v1`."""
    return "vocabulary" in layer.attrs


def find_layers(model: Model) -> List[ClassifyT]:
    """Find the layers of a model that `build_ngram_linear_v1` has built."""
    return [layer for layer in model.walk() if has_ngrams(layer)]


def fit_vocabulary(layers: Sequence[ClassifyT], batches: Iterable[List[Doc]]) -> None:
    """Give each n-gram of the documents a row of its own, in layers that are initialized: their
    weights start anew. If there are too many n-grams, those that are in the most documents get one.

    layers (Sequence[Model[List[Doc], Floats2d]]): Layers that `build_ngram_linear_v1` has built.
    batches (Iterable[List[Doc]]): The documents.
    """
    counted: List[List[NgramsT]] = [[] for _ in layers]
    for docs in batches:
        for layer, parts in zip(layers, counted, strict=True):
            part = numpy.unique(_find_keys(layer, docs)[0], return_counts=True)
            # With only as long ones, so that no key is merged more than a few times.
            while parts and len(parts[-1][0]) <= len(part[0]):
                part = _merge_counts(parts.pop(), part)
            parts.append(part)
    nothing = numpy.zeros(0, dtype="int64"), numpy.zeros(0, dtype="int64")
    for layer, parts in zip(layers, counted, strict=True):
        keys, numbers = reduce(_merge_counts, reversed(parts), nothing)
        # Of n-grams in equally many documents, the keys decide, which is to say chance. The order
        # of the documents must not: they may be sorted by class.
        kept = numpy.sort(keys[numpy.argsort(-numbers, kind="stable")[: layer.attrs["rows"]]])
        layer.attrs["vocabulary"] = numpy.append(kept, KEYS)
        _set_params(layer, len(kept))


def _merge_counts(first: NgramsT, second: NgramsT) -> NgramsT:
    """Add up how often keys occur, which are distinct and in order. Arrays of a large corpus take
    less than half of the memory of a dictionary."""
    (keys, numbers), (more_keys, more_numbers) = first, second
    distinct, positions = numpy.unique(numpy.append(keys, more_keys), return_inverse=True)
    sums = numpy.zeros(len(distinct), dtype="int64")
    sums[positions[: len(keys)]] = numbers
    sums[positions[len(keys) :]] += more_numbers
    return distinct, sums


def fit_ratios(
    layers: Sequence[ClassifyT], batches: Iterable[Tuple[List[Doc], ndarray]], *, exclusive: bool
) -> None:
    """Set the ratios of initialized layers to the logarithms of those of naive Bayes, for each
    class against all others, with one occurrence of each n-gram added. They are 0 for rows without
    an n-gram that occurs. The biases become what naive Bayes takes for probable before it sees any
    n-gram: the logarithm of how frequent each class is, or of its odds if classes aren't exclusive,
    with one document of each added.

    layers (Sequence[Model[List[Doc], Floats2d]]): Layers that `build_ngram_linear_v1` has built.
    batches (Iterable[Tuple[List[Doc], numpy.ndarray]]): Documents, and for each document and class
        1 if it belongs to it, 0 if not, and nan if that is unknown. *Shape:* (documents, classes)
    exclusive (bool): Whether exactly one class is right.
    """
    shapes = [cast(Floats2d, layer.get_param("ratios")).shape for layer in layers]
    inside, outside = ([numpy.zeros(shape, "float32") for shape in shapes] for _ in range(2))
    right, wrong = numpy.ones((2, shapes[0][1]))
    for docs, truths in batches:
        right += (truths == 1).sum(axis=0)
        wrong += (truths == 0).sum(axis=0)
        for i, layer in enumerate(layers):
            rows, counts = find_ngrams(layer, docs)
            for part, truth in zip(numpy.split(rows, counts.cumsum()[:-1]), truths, strict=True):
                inside[i][part] += truth == 1
                outside[i][part] += truth == 0
    bias = numpy.log(right / (right.sum() if exclusive else wrong))
    for layer, numbers in zip(layers, zip(inside, outside, strict=True), strict=True):
        occurs = numpy.add(*numbers).any(axis=1, keepdims=True)
        shares = [(n + 1) / ((n + 1) * occurs).sum(axis=0).clip(1) for n in numbers]
        ratios = numpy.log(shares[0] / shares[1]) * occurs
        layer.set_param("ratios", layer.ops.asarray2f(cast(Floats2d, ratios)))
        layer.set_param("b", layer.ops.asarray1f(cast(Floats1d, bias)))


def resize_output(model: ClassifyT, nO: int) -> ClassifyT:
    """Make a layer for another number of classes. The old ones keep their scores.

    model (Model[List[Doc], Floats2d]): A layer that `build_ngram_linear_v1` has built.
    nO (int): The new number of classes, not less than the old one.
    RETURNS (Model[List[Doc], Floats2d]): A new layer, because the optimizer remembers gradients of
        the old sizes for the old one.
    """
    settings = {**model.attrs}
    vocabulary = settings.pop("vocabulary")
    resized = build_ngram_linear_v1(**settings, nO=nO)
    resized.attrs["vocabulary"] = vocabulary
    if model.has_param("W"):
        xp, added = model.ops.xp, nO - model.get_dim("nO")
        for name, padding, value in (
            ("W", ((0, 0), (0, added)), 0.0),
            ("ratios", ((0, 0), (0, added)), 1.0),
            ("b", (0, added), NEW_CLASS_SCORE),
        ):
            resized.set_param(name, xp.pad(model.get_param(name), padding, constant_values=value))
    return resized


def find_ngrams(model: ClassifyT, docs: List[Doc]) -> NgramsT:
    """Find the rows of the distinct n-grams of each document, as far as they have one."""
    keys, counts = _find_keys(model, docs)
    rows, known = _find_rows(model, keys)
    owners = numpy.repeat(numpy.arange(len(docs)), counts)
    return rows[known], numpy.bincount(owners[known], minlength=len(docs))


def _find_keys(model: ClassifyT, docs: List[Doc]) -> NgramsT:
    """Find the keys of the distinct n-grams of each document."""
    if model.attrs["unit"] == "word":
        return word_ngrams(docs, model.attrs["attrs"], model.attrs["sizes"])
    return character_ngrams(docs, model.attrs["sizes"])


def _find_rows(model: ClassifyT, keys: ndarray) -> Tuple[ndarray, ndarray]:
    """Find the row of each key, and say whether there is one."""
    vocabulary = model.attrs["vocabulary"]
    if vocabulary is None:
        return keys % model.attrs["rows"], numpy.ones(len(keys), dtype=bool)
    rows = numpy.searchsorted(vocabulary, keys)
    return rows, vocabulary[rows] == keys


def _factors(model: ClassifyT, counts: ndarray) -> ndarray:
    """Get what the sum over the n-grams of each document is multiplied by, from their number."""
    factors = numpy.full(len(counts), model.attrs["scale"], dtype="float32")
    if model.attrs["normalize"]:
        factors /= numpy.sqrt(counts.clip(1))
    return factors


def share_scores(model: ClassifyT, doc: Doc, column: int) -> Tuple[ndarray, float]:
    """Share the score of a class out over the tokens that it comes from. What an n-gram adds to the
    score goes in equal parts to the places where it occurs: of words, to those that it consists of;
    of characters, to the words that it occurs in.

    model (Model[List[Doc], Floats2d]): An initialized layer that `build_ngram_linear_v1` has built.
    doc (Doc): The document.
    column (int): The class.
    RETURNS (Tuple[numpy.ndarray, float]): What each token adds to the score, and the rest of the
        score: the bias, and what comes from the start and the end of the document alone. *Shape:*
        (tokens,)
    """
    if model.attrs["unit"] == "word":
        keys, tokens, shares = share_word_ngrams(doc, model.attrs["attrs"], model.attrs["sizes"])
    else:
        keys, tokens, shares = share_character_ngrams(doc, model.attrs["sizes"])
    rows, known = _find_rows(model, keys)
    rows, tokens, shares = rows[known], tokens[known], shares[known]
    weights, ratios = (
        model.ops.to_numpy(cast(Floats2d, model.get_param(name))[:, column])[rows]
        for name in ("W", "ratios")
    )
    [factor] = _factors(model, numpy.array([len(sort_distinct(keys[known]))]))
    parts = weights.astype("float64") * ratios * factor * shares
    # What belongs to no token is counted after the last one.
    added = numpy.bincount(tokens, parts, minlength=len(doc) + 1)
    bias = cast(Floats1d, model.get_param("b"))[column]
    return added[:-1], float(bias) + float(added[-1])
