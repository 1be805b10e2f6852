"""spaCy's own tests of learning a few sentences by heart, with our layers in place of spaCy's."""

from functools import partial

import pytest
import spacy
from spacy.tests.parser import test_parse
from spacy.tests.pipeline import (
    test_entity_linker,
    test_morphologizer,
    test_senter,
    test_spancat,
    test_tagger,
)
from spacy.util import fix_random_seed

WIDTH = 96
EMBED = {"@architectures": "spacy-textconv.CharConvEmbed.v1", "width": WIDTH}
DILATED = {"@architectures": "spacy-textconv.DilatedConvEncoder.v1", "width": WIDTH}
DENSE = {"@architectures": "spacy-textconv.DenseConvEncoder.v1", "width": WIDTH}
TOK2VECS = {
    "words": {"@architectures": "spacy.Tok2Vec.v2", "embed": EMBED, "encode": DILATED},
    "characters": {"@architectures": "spacy-textconv.CharTok2Vec.v1", "encode": DENSE},
}
FACTORIES = ["tagger", "morphologizer", "senter", "parser", "ner", "spancat", "entity_linker"]
LEARN = {
    "tagger": test_tagger.test_overfitting_IO,
    "morphologizer": test_morphologizer.test_overfitting_IO,
    "senter": test_senter.test_overfitting_IO,
    "parser": partial(test_parse.test_overfitting_IO, "parser"),
    "spancat": test_spancat.test_overfitting_IO,
    "entity_linker": test_entity_linker.test_overfitting_IO_gold_entities,
    "entity_linker and ner": test_entity_linker.test_overfitting_IO_with_ner,
}


@pytest.fixture(
    params=[
        pytest.param(TOK2VECS["words"], id="words"),
        pytest.param(TOK2VECS["characters"], id="characters", marks=pytest.mark.slow),
    ]
)
def our_tok2vec(request, monkeypatch):
    """Lets spaCy's components be built with a tok2vec of ours, unless a config says otherwise."""
    nlp = spacy.blank("en")
    for factory in FACTORIES:
        model = nlp.get_factory_meta(factory).default_config["model"]
        monkeypatch.setitem(model, "tok2vec", request.param)


@pytest.mark.parametrize("learn", LEARN.values(), ids=LEARN)
def test_learns_by_heart_as_spacy_does(learn, our_tok2vec):
    fix_random_seed(0)
    learn()
