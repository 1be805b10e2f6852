"""Where the layers of a config meet: what is passed on has to be what the next layer takes."""

from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple

from spacy.tokens import Doc, Span
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import get_width

from ..checks import check_positive
from ..errors import Errors
from .types import EmbedT


def reads_documents(layer: Model) -> bool:
    """Tell whether a layer takes documents. One that takes arrays has a number of input columns,
    whether it is known already or not."""
    return layer.has_dim("nI") is False


def embedding_layer(tok2vec: EmbedT) -> Optional[EmbedT]:
    """Get the embedding layer of a tok2vec that consists of one and an encoder, and None of another
    one, such as a listener. Not by its reference, which a copied model doesn't have."""
    if len(tok2vec.layers) != 2:
        return None
    embed, encode = tok2vec.layers
    return None if reads_documents(encode) else embed


def check_documents(layer: Model, docs: Sequence[Any]) -> None:
    """Raise a ValueError if a layer gets arrays instead of documents or spans."""
    if not all(isinstance(doc, (Doc, Span)) for doc in docs):
        raise ValueError(Errors.E071.format(name=layer.name))


def check_arrays(layer: Model, Xs: Sequence[Any]) -> None:
    """Raise a ValueError if a layer gets documents instead of arrays."""
    if not all(hasattr(X, "shape") for X in Xs):
        raise ValueError(Errors.E070.format(name=layer.name))


def has_blocks(section: Any) -> bool:
    """Tell whether a section of the config has named blocks of architectures in it, rather than
    being such a block itself."""
    return (
        isinstance(section, dict)
        and bool(section)
        and all(isinstance(layer, Model) for layer in section.values())
    )


def check_tok2vec(tok2vec: Model) -> None:
    """Raise a ValueError if a layer is an encoder without an embedding layer, or a whole model with
    the labels of a component, say."""
    if not reads_documents(tok2vec) or "resize_output" in tok2vec.attrs:
        raise ValueError(Errors.E067.format(name=tok2vec.name))


def rows_width(tok2vec: EmbedT) -> int:
    """Get the number of columns of the rows that a tok2vec gives documents. A network that takes
    them has its sizes when it is built.

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    RETURNS (int): The number of columns.
    RAISES (ValueError): If it isn't known yet.
    """
    if not tok2vec.has_dim("nO"):
        raise ValueError(Errors.E132.format(name=tok2vec.name))
    return tok2vec.get_dim("nO")


def check_vectors(tok2vec: EmbedT, docs: List[Doc], Xs: List[Floats2d]) -> None:
    """Raise a ValueError unless there is one vector for each token, of the width that the tok2vec
    is said to have. A listener gives out what an earlier component computed."""
    if not isinstance(Xs, list):
        raise ValueError(Errors.E067.format(name=tok2vec.name))
    for doc, X in zip(docs, Xs, strict=True):
        if len(X) != len(doc):
            raise ValueError(Errors.E068.format(vectors=len(X), tokens=len(doc)))
    check_width(tok2vec.maybe_get_dim("nO"), Xs)


def check_width(width: Optional[int], Xs: Sequence[Floats2d], message: str = Errors.E069) -> None:
    """Raise a ValueError with this message unless the rows of documents, of any number, have the
    width that a layer expects, if it is known."""
    for X in Xs:
        # Some embedding layers give an empty document no columns.
        if width is not None and len(X) and X.shape[1] != width:
            raise ValueError(message.format(width=width, actual=X.shape[1]))


def checked(tok2vec: EmbedT) -> EmbedT:
    """Build a layer that does what a tok2vec does, and checks its output.

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    RETURNS (Model[List[Doc], List[Floats2d]]): The layer.
    """
    return Model(
        "checked_tok2vec",
        checked_forward,
        init=checked_init,
        layers=[tok2vec],
        dims={"nO": tok2vec.maybe_get_dim("nO")},
    )


def checked_init(model: EmbedT, X: Optional[List[Doc]] = None, Y: Any = None) -> None:
    [tok2vec] = model.layers
    tok2vec.initialize(X=X)
    if model.has_dim("nO") is None and tok2vec.has_dim("nO"):
        model.set_dim("nO", tok2vec.get_dim("nO"))


def checked_forward(
    model: EmbedT, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    [tok2vec] = model.layers
    Xs, backprop = tok2vec(docs, is_train)
    check_vectors(tok2vec, docs, Xs)
    return Xs, backprop


def replace_network(build_network: Callable[[int], Model], model: Model, nO: int) -> None:
    """Set the number of outputs of a model, with a new network in the place of its last layer. What
    a model has as `resize_output` if it is built again for each number of symbols.

    build_network (Callable[[int], Model]): Builds the network.
    model (Model): The model.
    nO (int): The number of outputs.
    """
    model.replace_node(model.layers[-1], build_network(nO))
    model.set_dim("nO", nO, force=True)


def fix_outputs(model: Model, nO: Optional[int]) -> None:
    """Let a model refuse any other number of outputs than the one that its config gives, if it
    gives one: a component sets the number that its labels make.

    model (Model): The model, with the attribute `resize_output`.
    nO (Optional[int]): The number in the config.
    RAISES (ValueError): If it is out of its range.
    """
    if nO is not None:
        check_positive("nO", nO)
        # Neither is saved with the weights, so that a config can be changed.
        model.attrs["resize_output"] = partial(_resize, model.attrs["resize_output"], nO)
        model.init = partial(_initialize, model.init, nO)


def _resize(resize: Callable[[Model, int], Any], configured: int, model: Model, nO: int) -> Any:
    # The labels come one by one.
    if nO > configured:
        raise ValueError(Errors.E066.format(value=configured, actual=nO))
    return resize(model, nO)


def _initialize(
    initialize: Callable, configured: int, model: Model, X: Any = None, Y: Any = None
) -> None:
    nO = model.get_dim("nO") if Y is None else get_width(Y)
    if nO != configured:
        raise ValueError(Errors.E066.format(value=configured, actual=nO))
    initialize(model, X=X, Y=Y)
