"""What all components of our own have in common."""

import pytest
import spacy
from spacy.tokens import Doc, Token
from spacy.training import Example
from thinc.api import Adam

from ..util import tok2vec
from .test_processes import COMPONENTS, full_example

OURS = [name for name in COMPONENTS if name.startswith("textconv_")]


@pytest.fixture(scope="module")
def pipeline():
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": tok2vec()})
    for name in OURS:
        nlp.add_pipe(name, config=COMPONENTS[name])
    nlp.initialize(lambda: [full_example(nlp)])
    return nlp


@pytest.mark.parametrize("name", OURS)
def test_what_is_excluded_stays_as_it_is(pipeline, name, tmp_path):
    pipe = pipeline.get_pipe(name)
    weights = pipe.model.to_bytes()
    pipe.from_bytes(pipe.to_bytes(), exclude=["model"])
    assert pipe.model.to_bytes() == weights
    pipe.from_bytes(pipe.to_bytes(exclude=["model"]))
    assert pipe.model.to_bytes() == weights
    pipe.to_disk(tmp_path)
    pipe.from_disk(tmp_path, exclude=["model"])
    assert pipe.model.to_bytes() == weights


def test_documents_without_tokens_teach_nothing(pipeline):
    before = pipeline.to_bytes()
    losses = pipeline.update([Example(Doc(pipeline.vocab), Doc(pipeline.vocab))], sgd=Adam(0.1))
    assert losses == dict.fromkeys(["tok2vec", *OURS], 0.0)
    assert pipeline.to_bytes() == before


@pytest.mark.parametrize("name", OURS)
def test_no_documents_get_nothing(pipeline, name):
    assert pipeline.get_pipe(name).predict([]) == []


@pytest.mark.filterwarnings("ignore:.*W030")
def test_a_document_keeps_no_more_than_its_own(pipeline):
    for doc in pipeline.pipe(["Anna saw Oslo .", "Ben left Paris ."]):
        arrays = [doc._.latent, doc._.surprise, doc._.summary_attention["weights"]]
        assert all(array.flags.owndata for array in arrays)


@pytest.mark.parametrize(
    "name, owner",
    [("textconv_seq2seq", Doc), ("textconv_vae", Doc), ("textconv_transducer", Token)],
)
def test_nothing_is_written_to_what_other_code_computes(name, owner):
    owner.set_extension("test_length", getter=len, force=True)
    with pytest.raises(ValueError, match="E196.*`_.test_length`"):
        spacy.blank("en").add_pipe(name, config={**COMPONENTS[name], "target": "_.test_length"})
