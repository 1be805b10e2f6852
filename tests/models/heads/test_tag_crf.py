import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Model

from spacy_textconv.layers import extend_transitions
from spacy_textconv.models.heads.tag_crf import build_tag_crf_v1

WIDTH = 3


def vectors(dims=True):
    """A tok2vec without parameters."""

    def forward(model, docs, is_train):
        X = [numpy.tile([len(t) for t in doc], (WIDTH, 1)).T.astype("float32") for doc in docs]
        return X, lambda dX: []

    return Model("vectors", forward, dims={"nO": WIDTH if dims else None})


@pytest.fixture
def docs():
    nlp = spacy.blank("en")
    return [nlp.make_doc("a bird sings"), nlp.make_doc(""), nlp.make_doc("Anna")]


def initialized(docs, nO=5):
    model = build_tag_crf_v1(tok2vec=vectors())
    model.attrs["resize_output"](model, nO)
    model.initialize(X=docs)
    return model


@pytest.mark.parametrize("dims", [True, False])
def test_sizes_are_known_after_initialization(docs, dims):
    model = build_tag_crf_v1(tok2vec=vectors(dims))
    model.attrs["resize_output"](model, 5)
    model.initialize(X=docs)
    assert model.get_dim("nO") == 5
    assert [Y.shape for Y in model.predict(docs)] == [(3, 5), (0, 5), (1, 5)]
    transitions = model.get_ref("transitions").get_param("transitions")
    assert_array_equal(transitions, numpy.zeros((4, 5)))


def test_weights_make_a_round_trip(docs):
    model = initialized(docs)
    model.get_ref("transitions").get_param("transitions")[:] = numpy.arange(20).reshape(4, 5)
    other = build_tag_crf_v1(tok2vec=vectors()).from_bytes(model.to_bytes())
    assert_array_equal(other.predict(docs)[0], model.predict(docs)[0])
    assert_array_equal(
        other.get_ref("transitions").get_param("transitions"), numpy.arange(20).reshape(4, 5)
    )


def test_new_tags_start_as_less_likely_copies_of_the_first(docs):
    model = initialized(docs)
    scores = numpy.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    model.get_ref("transitions").get_param("transitions")[:] = scores
    before = model.predict(docs)[0]
    model.attrs["resize_output"](model, 9)
    after = model.predict(docs)[0]
    assert_array_equal(after[:, :5], before)
    assert_allclose(after[:, 5:], numpy.tile(before[:, :1] - 5.0, 4), atol=1e-5)
    transitions = model.get_ref("transitions").get_param("transitions")
    assert_array_equal(transitions, extend_transitions(scores, 9))


def test_training_goes_on_with_new_tags(docs):
    model, optimizer = initialized(docs), Adam(0.1, use_averages=True)
    for nO in (5, 9):
        model.attrs["resize_output"](model, nO)
        Y, backprop = model.begin_update(docs)
        backprop([numpy.ones_like(y) for y in Y])
        model.get_ref("transitions").inc_grad("transitions", numpy.ones((4, nO), dtype="f"))
        model.finish_update(optimizer)
        assert (model.predict(docs)[0] < Y[0]).all()
        assert (model.get_ref("transitions").get_param("transitions")[0] < 0).all()


def test_batch_of_no_documents(docs):
    model = initialized(docs)
    assert model.predict([]) == []
    Ys, backprop = model.begin_update([])
    assert (Ys, backprop([])) == ([], [])


def test_copy_takes_new_tags_too(docs):
    copied = initialized(docs).copy()
    copied.attrs["resize_output"](copied, 9)
    assert [Y.shape for Y in copied.predict(docs)] == [(3, 9), (0, 9), (1, 9)]
