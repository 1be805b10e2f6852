"""Our tok2vec and its listener do what spaCy's do."""

import pickle

import numpy
import pytest
import spacy
import srsly
from numpy.testing import assert_array_equal
from spacy.language import DEFAULT_CONFIG_PRETRAIN_PATH
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.pretrain import pretrain
from thinc.api import Adam, Model, fix_random_seed

from spacy_textconv.models.rows import Rows
from spacy_textconv.pipeline.tok2vec import ConvTok2Vec

from ..util import SENTENCES, WIDTH, Counted, examples, listener, tok2vec

LISTENERS = ["spacy.Tok2VecListener.v1", "spacy-textconv.Tok2VecListener.v1"]
TAGGERS = ["first", "second"]


def pipeline(factory, *architectures):
    """Two taggers that listen to one tok2vec, ready for training, with their examples."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, name="tok2vec", config={"model": tok2vec()})
    for name, architecture in zip(TAGGERS, architectures, strict=True):
        hears = {**listener(), "@architectures": architecture}
        model = {"@architectures": "spacy.Tagger.v2", "tok2vec": hears}
        nlp.add_pipe("tagger", name=name, config={"model": model})
    made = examples(nlp)
    made.insert(1, Example(Doc(nlp.vocab), Doc(nlp.vocab)))
    nlp.initialize(lambda: made)
    return nlp, made


def train(nlp, made):
    optimizer = Adam(0.01)
    history = []
    for _ in range(5):
        history.append(nlp.update(made, drop=0.1, sgd=False, losses={}))
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    assert 0.0 < history[-1]["first"] < history[0]["first"]
    return {name: [losses[name] for losses in history] for name in nlp.pipe_names}


@pytest.fixture(scope="module")
def theirs():
    nlp, made = pipeline("tok2vec", LISTENERS[0], LISTENERS[0])
    return nlp, train(nlp, made)


@pytest.mark.parametrize(
    "factory, architectures",
    [
        ("textconv_tok2vec", [LISTENERS[0], LISTENERS[0]]),
        ("textconv_tok2vec", LISTENERS),
        ("textconv_tok2vec", [LISTENERS[1], LISTENERS[1]]),
        ("tok2vec", [LISTENERS[1], LISTENERS[1]]),
    ],
)
def test_training_and_files_are_those_of_spacy(theirs, factory, architectures, tmp_path):
    nlp, losses = theirs
    ours, made = pipeline(factory, *architectures)
    our_losses = train(ours, made)
    assert our_losses.pop("tok2vec") == pytest.approx(losses["tok2vec"], rel=1e-5)
    assert our_losses == {name: losses[name] for name in TAGGERS}
    saved = nlp.get_pipe("tok2vec").to_bytes(exclude=["vocab"])
    assert ours.get_pipe("tok2vec").to_bytes(exclude=["vocab"]) == saved
    for name in nlp.pipe_names:
        ours.get_pipe(name).from_bytes(nlp.get_pipe(name).to_bytes())
    ours.to_disk(tmp_path)
    words = ["The", "red", "bird"]
    doc, our_doc = nlp(Doc(nlp.vocab, words=words)), spacy.load(tmp_path)(Doc(nlp.vocab, words))
    assert_array_equal(our_doc.tensor, doc.tensor)
    assert [token.tag_ for token in our_doc] == [token.tag_ for token in doc]


def test_a_listener_knows_its_batch():
    nlp, made = pipeline("textconv_tok2vec", *LISTENERS)
    nlp.get_pipe("tok2vec").update(iter(made))
    hears = nlp.get_pipe("second").model.get_ref("tok2vec")
    docs = [example.predicted for example in made]
    vectors, _ = hears.begin_update(docs)
    # As spaCy's, it takes documents with the same tokens for the same documents.
    same, _ = hears.begin_update([doc.copy() for doc in docs])
    for X, Y in zip(vectors, same, strict=True):
        assert_array_equal(X, Y)
    for others in (docs[1:], [*docs[1:], docs[0][1:].as_doc()]):
        with pytest.raises(ValueError, match="E953"):
            hears.begin_update(others)


def test_a_listener_sees_that_a_document_has_other_tokens():
    nlp, made = pipeline("textconv_tok2vec", *LISTENERS)
    nlp.get_pipe("tok2vec").update(made)
    doc = made[0].predicted
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    with pytest.raises(ValueError, match="E068"):
        nlp.get_pipe("second").model.get_ref("tok2vec").begin_update([eg.predicted for eg in made])


def test_without_listeners_nothing_is_learned():
    nlp, made = pipeline("textconv_tok2vec", *LISTENERS)
    for name in TAGGERS:
        nlp.remove_pipe(name)
    before = nlp.to_bytes()
    assert nlp.update(made, sgd=Adam(0.1)) == {"tok2vec": 0.0}
    assert nlp.to_bytes() == before


@pytest.mark.parametrize("at_once", [True, False])
def test_what_one_component_teaches_is_not_lost_with_another(at_once):
    weights = []
    for excluded in TAGGERS:
        nlp, made = pipeline("textconv_tok2vec", *LISTENERS)
        before = nlp.get_pipe("tok2vec").model.to_bytes()
        optimizer = Adam(0.01)
        for _ in range(3):
            nlp.update(made, exclude=[excluded], sgd=optimizer if at_once else False)
            for _, pipe in nlp.pipeline if not at_once else ():
                pipe.finish_update(optimizer)
        weights.append(nlp.get_pipe("tok2vec").model.to_bytes())
    assert weights[0] == weights[1] != before


def test_no_batch_is_left_after_training():
    nlp, made = pipeline("textconv_tok2vec", *LISTENERS)
    train(nlp, made)
    # Nothing of the last batch is in the way.
    again = pickle.loads(pickle.dumps(nlp))
    assert_array_equal(again("The red bird").tensor, nlp("The red bird").tensor)
    before = nlp.get_pipe("tok2vec").to_bytes()
    # spaCy's listeners don't read empty documents here.
    made = examples(nlp)
    for batch in (made, made[:2]):
        losses = nlp.update(batch, sgd=Adam(0.01), exclude=["tok2vec"], annotates=["tok2vec"])
        assert losses["first"] > 0.0
    assert nlp.get_pipe("tok2vec").to_bytes() == before


@pytest.mark.parametrize("architecture", LISTENERS)
def test_what_a_component_listens_to_is_pretrained(architecture, tmp_path):
    nlp, made = pipeline("textconv_tok2vec", architecture, architecture)
    texts = [{"text": " ".join(words)} for words, _ in SENTENCES]
    srsly.write_jsonl(tmp_path / "texts.jsonl", texts)
    config = nlp.config.merge(spacy.util.load_config(DEFAULT_CONFIG_PRETRAIN_PATH))
    config["paths"]["raw_text"] = str(tmp_path / "texts.jsonl")
    config["pretraining"].update(max_epochs=1, component="first", layer="tok2vec")
    pretrain(config.interpolate(), tmp_path)
    model = nlp.get_pipe("tok2vec").model
    before = model.to_bytes()
    model.from_bytes((tmp_path / "model0.bin").read_bytes())
    assert model.to_bytes() != before


def count_calls(component, copies):
    """How much the gradients of two listeners ask for, with so many documents."""
    received = []

    def forward(model, docs, is_train):
        rows = numpy.zeros((2 * len(docs), WIDTH), dtype="f").view(Counted)
        return Rows(rows, [2] * len(docs)), received.append

    nlp = spacy.blank("en")
    component = component(nlp.vocab, Model("vectors", forward))
    hear = [spacy.registry.architectures.get(name)(width=WIDTH) for name in LISTENERS]
    component.listener_map = {"pipe": hear}
    docs = [Doc(nlp.vocab, words=["a", "bird"]) for _ in range(copies)]
    Counted.calls = 0
    component.update([Example(doc, doc) for doc in docs])
    heard = [hears.begin_update(docs) for hears in hear]
    # Not in the order of the listeners, as can be where one of them is deeper in a model.
    for _, backprop in reversed(heard):
        backprop(Rows(numpy.ones((2 * copies, WIDTH), dtype="f").view(Counted), [2] * copies))
    calls = Counted.calls
    [d_vectors] = received
    assert all((rows == 2.0).all() for rows in d_vectors)
    return calls


def test_more_documents_ask_no_more_of_the_device():
    ours = count_calls(ConvTok2Vec, copies=2)
    assert ours == count_calls(ConvTok2Vec, copies=20) < 12
