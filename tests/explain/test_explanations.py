import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from spacy.training import Example

from spacy_textconv.explain import explain

from ..util import tok2vec
from .util import MODEL, TEXTS, pipeline


@pytest.mark.parametrize("factory", ["textcat", "textcat_multilabel"])
def test_a_listener_is_explained_as_a_tok2vec_of_its_own(factory):
    nlp = pipeline(factory=factory)
    before = nlp.to_bytes()
    docs = list(TEXTS)
    heard = explain(nlp, docs)
    assert nlp.to_bytes() == before
    for explanation, text in zip(heard, docs, strict=True):
        cats = nlp(text).cats
        assert explanation.doc.text == text
        assert explanation.probabilities == pytest.approx(cats, abs=1e-5)
        assert explanation.label == max(cats, key=cats.get)
        assert [heat_map.layer for heat_map in explanation.maps] == ["", "attention", "words"]
        assert numpy.abs(explanation.maps[0].weights).max() > 0
    nlp.replace_listeners("tok2vec", "topic", ["model.tok2vec"])
    for one, other in zip(heard, explain(nlp, docs), strict=True):
        for first, second in zip(one.maps, other.maps, strict=True):
            assert_allclose(first.weights, second.weights, atol=1e-6)


def test_the_label_can_be_chosen():
    nlp = pipeline()
    good, bad = (explain(nlp, ["a bird"], label=label)[0] for label in ("GOOD", "BAD"))
    assert (good.label, bad.label) == ("GOOD", "BAD")
    assert_array_equal(good.maps[1].weights, bad.maps[1].weights)
    assert not numpy.array_equal(good.maps[2].weights, bad.maps[2].weights)


def test_what_cannot_be_explained_is_named():
    nlp = pipeline()
    nlp.add_pipe("textcat", name="other").add_label("X")
    for settings, message in (
        ({"component": "textcat"}, "E042.*'textcat'.*tok2vec, topic, other"),
        ({"component": "other"}, "E041.*'other'"),
        ({"label": "UGLY"}, "E043.*'topic'.*'UGLY'.*GOOD"),
    ):
        with pytest.raises(ValueError, match=message):
            explain(nlp, ["a bird"], **settings)
    nlp.disable_pipe("topic")
    with pytest.raises(ValueError, match="E040.*tok2vec, other"):
        explain(nlp, ["a bird"])


def test_components_before_the_classifier_are_applied():
    nlp = pipeline()
    nlp.add_pipe("sentencizer", before="topic")
    nlp.add_pipe("entity_ruler", after="topic").add_patterns([{"label": "X", "pattern": "bird"}])
    [explanation] = explain(nlp, ["A bird. A bird."])
    assert len(list(explanation.doc.sents)) == 2
    assert not explanation.doc.ents


def test_the_first_classifier_is_explained():
    nlp = pipeline()
    model = {**MODEL, "tok2vec": tok2vec(), "exclusive_classes": True}
    nlp.add_pipe("textcat", name="second", config={"model": model})
    train = [Example.from_dict(nlp.make_doc("a"), {"cats": {"X": 1.0, "Y": 0.0}})]
    nlp.get_pipe("second").initialize(lambda: train)
    assert set(explain(nlp, ["a bird"])[0].probabilities) == {"GOOD", "BAD"}
    assert set(explain(nlp, ["a bird"], component="second")[0].probabilities) == {"X", "Y"}
