"""spaCy's own tests of its `tok2vec` and its listener, with ours in their place."""

import pytest
from spacy.language import Language
from spacy.ml.models import tok2vec
from spacy.pipeline import factories
from spacy.tests.pipeline.test_tok2vec import *  # noqa: F403

from spacy_textconv.models.listener import ConvTok2VecListener
from spacy_textconv.pipeline.tok2vec import ConvTok2Vec


@pytest.fixture(autouse=True)
def in_their_place(monkeypatch):
    """Lets spaCy's functions make our component and our listener."""
    monkeypatch.setattr(factories, "Tok2Vec", ConvTok2Vec)
    monkeypatch.setattr(tok2vec, "Tok2VecListener", ConvTok2VecListener)
    assert isinstance(Language().add_pipe("tok2vec"), ConvTok2Vec)
    assert isinstance(tok2vec.tok2vec_listener_v1(8), ConvTok2VecListener)
