"""The scores of tags and of transitions between them, for a linear-chain CRF."""

from typing import List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Linear, Model, chain, zero_init
from thinc.types import Floats1d, Floats2d

from ...layers import KINDS, extend_transitions
from ..compose import check_tok2vec, checked, fix_outputs
from ..linear import linear_rows
from ..types import EmbedT, EncoderBackpropT, EncoderT, RowsT

# How far the scores of a new tag are below those of tag 0, which it starts as a copy of.
NEW_TAG_MARGIN = 5.0


def build_tag_crf_v1(
    *, tok2vec: Model[List[Doc], List[Floats2d]], nO: Optional[int] = None
) -> Model[List[Doc], List[Floats2d]]:
    """Build the model of a linear-chain CRF: a linear map from the vector of each token to the
    scores of the tags, and a parameter with the scores of tags after other tags, which belongs to
    the layer that the reference `transitions` leads to. Tag 0 stands for nothing of interest (O),
    and there are four tags for each label (B, I, L, U).

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    nO (Optional[int]): The number of tags; null leaves it to the component, which knows the labels.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    RAISES (ValueError): If a setting is out of its range, or `tok2vec` makes no token vectors.
    """
    check_tok2vec(tok2vec)
    width = tok2vec.get_dim("nO") if tok2vec.has_dim("nO") else None
    output_layer = tag_scores(nO, width)
    model: EmbedT = chain(checked(tok2vec), output_layer)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output_layer)
    model.set_ref("transitions", output_layer)
    model.attrs["resize_output"] = resize_output
    fix_outputs(model, nO)
    return model


def resize_output(model: EmbedT, nO: int) -> None:
    """Set the number of tags. In an initialized model, all tags keep their scores, and each new one
    starts as a copy of tag 0 with lower scores: then no best path changes, and learning to use the
    new tag doesn't take long.

    model (Model[List[Doc], List[Floats2d]]): The model.
    nO (int): The new number of tags, not less than the old one.
    """
    # Not by its reference, which a copied model doesn't have.
    _, old = model.layers
    [of_rows] = old.layers
    [linear] = of_rows.layers
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
        ops = model.ops
        scores = extend_transitions(ops.to_numpy(old.get_param("transitions")), nO)
        new.set_param("transitions", ops.asarray2f(cast(Floats2d, scores)))
    model.replace_node(old, new)
    model.set_dim("nO", nO, force=True)


def tag_scores(nO: Optional[int], nI: Optional[int]) -> EncoderT:
    """Build a layer from the vectors of tokens to the scores of tags, which also holds the scores
    of transitions. Those are 0 at first."""
    linear: RowsT = Linear(nO, nI, init_W=zero_init)
    return Model(
        "tag_scores",
        tag_scores_forward,
        init=tag_scores_init,
        layers=[linear_rows(linear)],
        dims={"nO": nO},
        params={"transitions": None},
        refs={"linear": linear},
    )


def tag_scores_init(
    model: EncoderT, X: Optional[List[Floats2d]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    nO = model.get_dim("nO")
    [of_rows] = model.layers
    of_rows.initialize(X=X)
    model.set_param("transitions", model.ops.alloc2f(KINDS, nO))


def tag_scores_forward(
    model: EncoderT, Xs: List[Floats2d], is_train: bool
) -> Tuple[List[Floats2d], EncoderBackpropT]:
    [of_rows] = model.layers
    return of_rows(Xs, is_train)
