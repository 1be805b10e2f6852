"""The scores of labels, for components that give each token one."""

from typing import List, Optional

from spacy.tokens import Doc
from thinc.api import Model, Softmax_v2, chain, zero_init
from thinc.types import Floats2d

from ...checks import check_positive
from ..compose import check_tok2vec
from ..linear import linear_rows
from ..types import EmbedT


def build_tagger_v1(
    *, tok2vec: Model[List[Doc], List[Floats2d]], nO: Optional[int] = None
) -> Model[List[Doc], List[Floats2d]]:
    """Build the model of a tagger, morphologizer or another component that gives each token a
    label: a linear map from the vector of a token to the scores of the labels, and their softmax in
    training. It is `spacy.Tagger.v2`, and has the same weights, but computes all documents of a
    batch in one array.

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    nO (Optional[int]): The number of labels; null leaves it to the component, which knows them.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    RAISES (ValueError): If a setting is out of its range, or `tok2vec` makes no token vectors.
    """
    check_tok2vec(tok2vec)
    if nO is not None:
        check_positive("nO", nO)
    width = tok2vec.get_dim("nO") if tok2vec.has_dim("nO") else None
    softmax = Softmax_v2(nO, width, init_W=zero_init, normalize_outputs=False)
    model: EmbedT = chain(tok2vec, linear_rows(softmax))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("softmax", softmax)
    model.set_ref("output_layer", softmax)
    return model
