"""Text classification: the scores of a network and of n-grams, and their probabilities."""

import warnings
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from spacy.tokens import Doc
from thinc.api import Linear, Model, chain, zero_init
from thinc.types import Floats2d
from thinc.util import get_width

from ...errors import Errors, Warnings
from ...layers import Hidden
from ..attend import check_attends
from ..compose import check_tok2vec, fix_outputs, has_blocks
from ..documents import document_vectors
from ..types import ClassifyT, RowsT
from ..wrap import array_to_tensor, converting, no_backprop, tensor_to_array, wrap_module
from .ngrams import NEW_CLASS_SCORE, has_ngrams
from .ngrams import resize_output as resize_ngrams

# In training, scores are cut to this range, whose probabilities differ from 0 and 1 as float32.
MAX_SCORE = 15.0
# By how much the sum of truths may differ from 0 and 1.
MAX_ERROR = 1e-3


def build_text_cat_conv_v1(
    *,
    tok2vec: Model[List[Doc], List[Floats2d]],
    # Not of models, because confection checks a section before it resolves the blocks in it.
    attend: Dict[str, Any],
    exclusive_classes: bool,
    hidden_width: Optional[int] = None,
    dropout: Optional[float] = None,
    ngrams: Optional[Dict[str, Any]] = None,
    nO: Optional[int] = None,
) -> Model[List[Doc], Floats2d]:
    """Build a text classifier: token vectors are pooled over the document in one or several ways,
    and what comes out is mapped to the scores of the classes, through a hidden layer or directly.

    Linear classifiers of n-grams can stand beside it. Each of them, like the network, learns from
    its own errors; the probabilities are those of the mean of their scores.

    With an inline tok2vec of an embedding layer and an encoder of this package, and poolings other
    than `spacy-textconv.PyramidAttend.v1` and `spacy-textconv.FlattenAttend.v1`, predictions go
    through a document in slices, and need little memory for a document of any length.

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors: a listener or a tok2vec of its
        own.
    attend (Dict[str, Model[List[Floats2d], Floats2d]]): The poolings, under names of your choice.
        Their outputs are joined in this order.
    exclusive_classes (bool): Whether exactly one class is right, as in `textcat`: the probabilities
        of all classes add up to 1 then. Otherwise each class has one of its own, as in
        `textcat_multilabel`.
    hidden_width (Optional[int]): The width of the hidden layer; null for none.
    dropout (Optional[float]): The rate of dropout before and after the hidden layer; null follows
        `[training] dropout`.
    ngrams (Optional[Dict[str, Model[List[Doc], Floats2d]]]): The classifiers of n-grams, under
        names of your choice; null for none.
    nO (Optional[int]): The number of classes; null leaves it to the component, which knows the
        labels.
    RETURNS (Model[List[Doc], Floats2d]): The model.
    RAISES (ValueError): If a setting is out of its range, or the widths don't fit each other.
    """
    check_tok2vec(tok2vec)
    check_attends(attend, tok2vec)
    if ngrams is not None and not (has_blocks(ngrams) and all(map(has_ngrams, ngrams.values()))):
        raise ValueError(Errors.E023.format(value=ngrams))
    linear = ngrams or {}
    numbers = {nO, *(layer.maybe_get_dim("nO") for layer in linear.values())} - {None}
    if len(numbers) > 1:
        raise ValueError(Errors.E073.format(values=" and ".join(map(str, sorted(numbers)))))
    [nO] = numbers or {None}
    vectors = document_vectors(tok2vec, list(attend.values()))
    hidden = hidden_layer(vectors.get_dim("nO"), hidden_width, dropout)
    output_layer = Linear(nO, hidden.get_dim("nO"), init_W=zero_init)
    network: ClassifyT = chain(vectors, hidden, output_layer)
    model = mix_experts([network, *linear.values()], exclusive_classes, nO)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("network", network)
    model.set_ref("output_layer", output_layer)
    for section, layers in (("attend", attend), ("ngrams", linear)):
        for name, layer in layers.items():
            model.set_ref(f"{section}.{name}", layer)
    model.attrs["multi_label"] = not exclusive_classes
    model.attrs["resize_output"] = resize_classes
    fix_outputs(model, nO)
    return model


def resize_classes(model: ClassifyT, nO: int) -> ClassifyT:
    """Set the number of classes. In an initialized model, all classes keep their scores, and new
    ones have the probability 0 until a document of theirs is learned.

    model (Model[List[Doc], Floats2d]): The model.
    nO (int): The new number of classes, not less than the old one.
    RETURNS (Model[List[Doc], Floats2d]): The same model.
    """
    # Not by their references, which a copied model doesn't have.
    network, *linear = model.layers
    *_, old = network.layers
    # A new layer, because the optimizer remembers gradients of the old size for the old one.
    new: RowsT = Linear(nO, old.get_dim("nI"), init_W=zero_init)
    if old.has_param("W"):
        xp, added = model.ops.xp, nO - old.get_dim("nO")
        W = xp.pad(old.get_param("W"), ((0, added), (0, 0)))
        b = xp.pad(old.get_param("b"), (0, added), constant_values=NEW_CLASS_SCORE)
        new.set_param("W", W)
        new.set_param("b", b)
        model.attrs["unseen"] = [*model.attrs["unseen"], *range(nO - added, nO)]
    model.replace_node(old, new)
    for layer in linear:
        model.replace_node(layer, resize_ngrams(layer, nO))
    for resized in (network, model):
        resized.set_dim("nO", nO, force=True)
    return model


def mix_experts(experts: Sequence[ClassifyT], exclusive: bool, nO: Optional[int]) -> ClassifyT:
    """Build the probabilities of the mean of the scores that several layers give to each class: a
    softmax over the scores of exclusive classes, or a logistic function of each score. This is the
    geometric mean of what the layers take for probable, so one that is sure counts for more than
    one that isn't (Heskes 1998, "Selecting weighting factors in logarithmic opinion pools").

    spaCy's components hand over probabilities less truths, which for a single layer is the gradient
    of the cross-entropy by its scores. Here they tell what the truths are, and each layer gets the
    gradient of its own cross-entropy. Trained on their mean, the layers would stop learning as soon
    as one of them had learned the training set by heart, as n-grams soon do.

    experts (Sequence[Model[List[Doc], Floats2d]]): The layers, which produce scores.
    exclusive (bool): Whether exactly one class is right.
    nO (Optional[int]): The number of classes.
    RETURNS (Model[List[Doc], Floats2d]): The probabilities.
    """
    return Model(
        "mix_experts",
        mix_experts_forward,
        init=mix_experts_init,
        layers=experts,
        dims={"nO": nO},
        # Classes that have been added, and of which no document has been learned.
        attrs={"exclusive": exclusive, "unseen": []},
    )


def mix_experts_init(
    model: ClassifyT, X: Optional[List[Doc]] = None, Y: Optional[Floats2d] = None
) -> None:
    if Y is not None:
        if model.attrs["exclusive"]:
            _known_documents(Y)
        elif len(Y) > 1 and get_width(Y) > 1 and (Y.sum(axis=1) == 1).all():
            warnings.warn(Warnings.W020.format(documents=len(Y)), stacklevel=2)
        if model.has_dim("nO") is None:
            model.set_dim("nO", get_width(Y))
    model.attrs["unseen"] = []
    for expert in model.layers:
        if expert.has_dim("nO") is None:
            expert.set_dim("nO", model.get_dim("nO"))
        expert.initialize(X=X, Y=Y)


def mix_experts_forward(
    model: ClassifyT, docs: List[Doc], is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], List[Doc]]]:
    exclusive = model.attrs["exclusive"]
    activate = model.ops.softmax if exclusive else model.ops.sigmoid
    scores, backprops = zip(*(expert(docs, is_train) for expert in model.layers), strict=True)
    mean = sum(scores) / len(scores)
    if not is_train:
        mean[:, model.attrs["unseen"]] = -model.ops.xp.inf
        return activate(mean), no_backprop
    # A probability that is rounded to 0 or 1 would make the gradient of a known class 0.
    probabilities = activate(mean.clip(-MAX_SCORE, MAX_SCORE))

    def backprop(d_probabilities: Floats2d) -> List[Doc]:
        truths = probabilities - d_probabilities
        # spaCy sets the gradient of what is unknown to 0, but not if classes are exclusive.
        known = _known_documents(truths) if exclusive else d_probabilities != 0
        for backprop_expert, Y in zip(backprops, scores, strict=True):
            backprop_expert((activate(Y) - truths) * known)
        seen = ((truths > 0.5) * known).any(axis=0)
        model.attrs["unseen"] = [n for n in model.attrs["unseen"] if not seen[n]]
        return []

    return probabilities, backprop


def _known_documents(truths: Floats2d) -> Floats2d:
    """Tell which documents have a class, where exactly one should be right: those that don't are
    not annotated. *Shape:* (documents, 1)

    RAISES (ValueError): If the truths of a document are no probabilities of exclusive classes.
    """
    sums = truths.sum(axis=1, keepdims=True)
    known = sums > 0.5
    if (abs(sums - known) > MAX_ERROR).any():
        raise ValueError(Errors.E065)
    return known


def hidden_layer(nI: int, width: Optional[int], dropout: Optional[float]) -> RowsT:
    """Build dropout with or without a hidden layer."""
    return wrap_module(
        "hidden_layer",
        partial(Hidden, in_width=nI, width=width, dropout=dropout),
        converting(array_to_tensor, tensor_to_array),
        dims={"nI": nI, "nO": nI if width is None else width},
    )
