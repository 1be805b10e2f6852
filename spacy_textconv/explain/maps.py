"""What networks make of texts: weights of tokens or characters."""

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, TypeVar, cast

import numpy
from numpy import ndarray
from spacy.tokens import Doc
from thinc.api import Model, set_dropout_rate
from thinc.types import Floats2d

from ..models.attend import attention_weights, has_attention
from ..models.compose import embedding_layer
from ..models.heads.ngrams import share_scores
from ..models.shim import TorchShim
from ..models.types import ClassifyT, EmbedT

GRADIENT, ATTENTION, NGRAMS = "gradient x input", "attention", "n-grams"
SURPRISE, UNIT = "surprise", "unit"
# Which vectors were multiplied by their gradients, and for each document both of them.
ProductsT = List[Tuple[List[Floats2d], List[Floats2d]]]
ModelT = TypeVar("ModelT", bound=Model)


@dataclass(frozen=True)
class HeatMap:
    """Weights of the tokens or the characters of a document.

    method (str): "gradient x input", "attention" or "n-grams" of a text classifier; "surprise" or
        "unit" of a language model.
    layer (str): The name of the layer in its section of the config, or the number of a unit; empty
        for what is about the whole network.
    unit (str): What has a weight: "token" or "character".
    weights (numpy.ndarray): How much each of them counts: those of "attention" are shares of 1,
        those of "gradient x input" and "n-grams" parts of a score, for the class or against it.
        "surprise" is in bits, and a "unit" has activations. *Shape:* (tokens,) or (characters,)
    rest (Optional[float]): What the score has beside the sum of the weights, where it is a sum of
        parts, as that of "n-grams" is.
    parts (Optional[Sequence[str]]): What has a weight, if that is something else than the tokens or
        the characters of the document, such as the symbols of a language model.
    """

    method: str
    layer: str
    unit: str
    weights: ndarray
    rest: Optional[float] = None
    parts: Optional[Sequence[str]] = None


def can_explain(model: Model) -> bool:
    """Tell whether a model was built by `spacy-textconv.TextCatConv.v1`."""
    return bool(model.has_ref("network"))


def make_maps(
    model: ClassifyT, docs: List[Doc], columns: Sequence[int], upstream: Optional[EmbedT] = None
) -> List[List[HeatMap]]:
    """Make all maps of documents. The model stays as it is.

    model (Model[List[Doc], Floats2d]): A model of `spacy-textconv.TextCatConv.v1`.
    docs (List[Doc]): Documents as the component gets them.
    columns (Sequence[int]): The class that each document is explained for.
    upstream (Optional[Model[List[Doc], List[Floats2d]]]): The tok2vec that the model listens to, if
        it does.
    RETURNS (List[List[HeatMap]]): The maps of each document.
    """
    maps = [
        gradient_maps(model, docs, columns, upstream),
        *attention_maps(model, docs),
        *ngram_maps(model, docs, columns),
    ]
    return [list(of_doc) for of_doc in zip(*maps, strict=True)]


def gradient_maps(
    model: ClassifyT, docs: List[Doc], columns: Sequence[int], upstream: Optional[EmbedT] = None
) -> List[HeatMap]:
    """Multiply the vector of each token, as it is before the encoder, by the gradient of a class's
    score, and add up the columns: what the score would lose without this vector if the network were
    linear (Simonyan et al. 2014, "Deep inside convolutional networks", section 3; for text: Li et
    al. 2016, "Visualizing and understanding neural models in NLP", section 5). The score is that of
    the network without the n-grams beside it, before softmax. A tok2vec of characters has a vector
    for each of them; one that doesn't consist of an embedding layer and an encoder has only the
    vectors of tokens in context.

    model (Model[List[Doc], Floats2d]): A model of `spacy-textconv.TextCatConv.v1`.
    docs (List[Doc]): Documents as the component gets them.
    columns (Sequence[int]): The class that each document is explained for.
    upstream (Optional[Model[List[Doc], List[Floats2d]]]): The tok2vec that the model listens to, if
        it does.
    RETURNS (List[HeatMap]): One map for each document.
    """
    tok2vec = cast(EmbedT, model.get_ref("tok2vec"))
    network, copies = copy_for_evaluation(model.get_ref("network"))
    if upstream is not None:
        copied, more_copies = copy_for_evaluation(upstream)
        network.replace_node(copies[tok2vec.id], copied)
        tok2vec, copies = upstream, {**copies, **more_copies}
    unit = tok2vec.attrs.get("unit", "token")
    embed = embedding_layer(tok2vec) or tok2vec
    products: ProductsT = []
    network.replace_node(copies[embed.id], _record_products(embed, products))
    maps = []
    for doc, column in zip(docs, columns, strict=True):
        weights = numpy.zeros(0)
        if len(doc):
            Y, backprop = network.begin_update([doc])
            dY = network.ops.alloc2f(*Y.shape)
            dY[:, column] = 1.0
            backprop(dY)
            [X], [dX] = products.pop()
            weights = network.ops.to_numpy((X * dX).sum(axis=1)).astype("float64")
        maps.append(HeatMap(GRADIENT, "", unit, weights))
    return maps


def attention_maps(model: ClassifyT, docs: List[Doc]) -> List[List[HeatMap]]:
    """Look up the weights that tokens have for the attention layers, in the mean of all heads. In a
    document, they add up to 1.

    model (Model[List[Doc], Floats2d]): A model of `spacy-textconv.TextCatConv.v1`.
    docs (List[Doc]): Documents as the component gets them.
    RETURNS (List[List[HeatMap]]): For each attention layer, one map for each document.
    """
    layers = [(name, layer) for name, layer in _section(model, "attend") if has_attention(layer)]
    if not layers:
        return []
    Xs = model.get_ref("tok2vec").predict(docs)
    return [
        [
            HeatMap(ATTENTION, name, "token", layer.ops.to_numpy(weights.mean(axis=1)))
            for weights in attention_weights(layer, Xs)
        ]
        for name, layer in layers
    ]


def ngram_maps(model: ClassifyT, docs: List[Doc], columns: Sequence[int]) -> List[List[HeatMap]]:
    """Share the scores of the linear classifiers of n-grams out over the tokens.

    model (Model[List[Doc], Floats2d]): A model of `spacy-textconv.TextCatConv.v1`.
    docs (List[Doc]): Documents as the component gets them.
    columns (Sequence[int]): The class that each document is explained for.
    RETURNS (List[List[HeatMap]]): For each classifier, one map for each document.
    """
    maps = []
    for name, layer in _section(model, "ngrams"):
        of_layer = []
        for doc, column in zip(docs, columns, strict=True):
            weights, rest = share_scores(layer, doc, column)
            of_layer.append(HeatMap(NGRAMS, name, "token", weights, rest))
        maps.append(of_layer)
    return maps


def copy_for_evaluation(model: ModelT) -> Tuple[ModelT, Dict[int, Model]]:
    """Copy a model so that `begin_update` of the copy computes what `predict` does: no module is in
    training mode, and nothing is dropped, whatever the rates are. So a prediction can be
    differentiated, and the gradients of the parameters are left in the copy.

    model (Model): The model.
    RETURNS (Tuple[Model, Dict[int, Model]]): The copy, and that of each layer by the id of the
        layer.
    """
    copied = model.copy()
    copies = {layer.id: copy for layer, copy in zip(model.walk(), copied.walk(), strict=True)}
    set_dropout_rate(copied, 0.0)
    for node in copied.walk():
        for shim in node.shims:
            if isinstance(shim, TorchShim):
                shim.training_mode = False
    return copied, copies


def _section(model: ClassifyT, section: str) -> List[Tuple[str, Model]]:
    """List the layers of a section of the config, under their names."""
    prefix = f"{section}."
    names = [name for name in model.ref_names if name.startswith(prefix)]
    return [(name.removeprefix(prefix), model.get_ref(name)) for name in names]


def _record_products(embed: EmbedT, products: ProductsT) -> EmbedT:
    """Build a layer that gives out what another one predicts, and keeps it with its gradient."""

    def forward(
        model: EmbedT, docs: List[Doc], is_train: bool
    ) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
        Xs = embed.predict(docs)

        def backprop(dXs: List[Floats2d]) -> List[Doc]:
            products.append((Xs, dXs))
            return []

        return Xs, backprop

    return Model("record_products", forward)
