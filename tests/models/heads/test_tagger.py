"""The model of a tagger is spaCy's, computed in one array."""

import pytest
from numpy.testing import assert_allclose
from spacy import registry
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ...util import scrambled, tok2vec

WORDS = [["The", "red", "bird"], [], ["sings"]]


def build(architecture):
    config = {"@architectures": architecture, "nO": 4, "tok2vec": tok2vec()}
    model = registry.resolve({"model": config})["model"]
    model.initialize(X=[Doc(Vocab(), words=words) for words in WORDS])
    scrambled(model.get_ref("output_layer"))
    return model


def test_weights_are_those_of_spacy():
    theirs, ours = build("spacy.Tagger.v2"), build("spacy-textconv.Tagger.v1")
    ours.from_bytes(theirs.to_bytes())
    assert ours.to_bytes() == theirs.to_bytes()
    docs = [Doc(Vocab(), words=words) for words in WORDS]
    for Y, expected in zip(ours.predict(docs), theirs.predict(docs), strict=True):
        assert_allclose(Y, expected, rtol=1e-5, atol=1e-5)
    scores, _ = ours.begin_update(docs)
    assert_allclose(scores[0].sum(axis=1), 1.0, rtol=1e-5)


def test_an_encoder_is_no_tok2vec():
    with pytest.raises(ValueError, match="E067"):
        model = {"@architectures": "spacy-textconv.Tagger.v1", "tok2vec": tok2vec()["encode"]}
        registry.resolve({"model": model})
