"""The last step: vectors of tokens to scores."""

from typing import List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Linear, Model, chain, with_array
from thinc.types import Floats1d, Floats2d

from .types import EmbedT, EncoderBackpropT, EncoderT

# How far the scores of a new tag are below those of tag 0, which it starts as a copy of.
NEW_TAG_MARGIN = 5.0


def build_tag_crf_v1(
    *, tok2vec: Model[List[Doc], List[Floats2d]], nO: Optional[int] = None
) -> Model[List[Doc], List[Floats2d]]:
    """Build the model of a linear-chain CRF: a linear map from the vector of each token to the
    scores of the tags, and a parameter with the score of each tag (column) after each tag (row),
    which belongs to the layer that the reference `transitions` leads to. Which of them are possible
    is up to the component. Tag 0 stands for nothing of interest (O).

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    nO (Optional[int]): The number of tags; null leaves it to the component, which knows the labels.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    """
    width = tok2vec.get_dim("nO") if tok2vec.has_dim("nO") else None
    output_layer = tag_scores(nO, width)
    model: EmbedT = chain(tok2vec, output_layer)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output_layer)
    model.set_ref("transitions", output_layer.get_ref("transitions"))
    model.attrs["resize_output"] = resize_output
    return model


def resize_output(model: EmbedT, nO: int) -> None:
    """Set the number of tags. In an initialized model, all tags keep their scores, and each new one
    starts as a copy of tag 0 with lower scores: then no best path changes, and learning to use the
    new tag doesn't take long.

    model (Model[List[Doc], List[Floats2d]]): The model.
    nO (int): The new number of tags, not less than the old one.
    """
    old = model.get_ref("output_layer")
    linear, transitions = old.get_ref("linear"), old.get_ref("transitions")
    # New layers, because the optimizer remembers gradients of the old sizes for the old ones.
    new = tag_scores(nO, linear.maybe_get_dim("nI"))
    if linear.has_param("W"):
        number = linear.get_dim("nO")
        tags = [*range(number), *[0] * (nO - number)]
        W = cast(Floats2d, linear.get_param("W"))[tags]
        b = cast(Floats1d, linear.get_param("b"))[tags]
        b[number:] -= NEW_TAG_MARGIN
        new.get_ref("linear").set_param("W", W)
        new.get_ref("linear").set_param("b", b)
        scores = cast(Floats2d, transitions.get_param("transitions"))[tags][:, tags]
        new.get_ref("transitions").set_param("transitions", scores)
    model.replace_node(old, new)
    model.set_ref("transitions", new.get_ref("transitions"))
    model.set_dim("nO", nO, force=True)


def tag_scores(nO: Optional[int], nI: Optional[int]) -> EncoderT:
    """Build a layer from the vectors of tokens to the scores of tags."""
    linear: Model[Floats2d, Floats2d] = Linear(nO, nI)
    transitions = transition_scores(nO)
    model: EncoderT = chain(with_array(linear), transitions)
    model.set_ref("linear", linear)
    model.set_ref("transitions", transitions)
    return model


def transition_scores(nO: Optional[int]) -> EncoderT:
    """Build a layer that holds the scores of transitions, which are 0 at first, and passes those of
    tags on as they are."""
    return Model(
        "transition_scores",
        transition_scores_forward,
        init=transition_scores_init,
        dims={"nO": nO},
        params={"transitions": None},
    )


def transition_scores_init(
    model: EncoderT, X: Optional[List[Floats2d]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    nO = model.get_dim("nO")
    model.set_param("transitions", model.ops.alloc2f(nO, nO))


def transition_scores_forward(
    model: EncoderT, Xs: List[Floats2d], is_train: bool
) -> Tuple[List[Floats2d], EncoderBackpropT]:
    return Xs, _pass_on


def _pass_on(dYs: List[Floats2d]) -> List[Floats2d]:
    return dYs
