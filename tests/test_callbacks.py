import numpy
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy import registry
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam

from spacy_textconv.models.heads.ngrams import find_ngrams, fit_ratios, fit_vocabulary

from .pipeline.util import reversed_labels, trained_pipeline
from .util import CONVOLUTIONS, WIDTH, tok2vec


def examples(nlp):
    texts = {"a good bird": "POS", "good birds": "POS", "a bad bird": "NEG", "bad": "NEG"}
    return [
        Example.from_dict(
            nlp.make_doc(text), {"cats": {c: float(c == label) for c in ("POS", "NEG")}}
        )
        for text, label in texts.items()
    ]


def pipeline(factory="textcat", ngrams=True):
    nlp = spacy.blank("en")
    blocks = {
        name: {"@architectures": "spacy-textconv.NgramLinear.v1", "unit": unit, "sizes": [1]}
        for name, unit in (("words", "word"), ("letters", "character"))
    }
    model = {
        "@architectures": "spacy-textconv.TextCatConv.v1",
        "tok2vec": tok2vec(embed=CONVOLUTIONS),
        "attend": {"max": {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH}},
        "exclusive_classes": factory == "textcat",
        "ngrams": blocks if ngrams else None,
    }
    nlp.add_pipe(factory, config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    return nlp


@pytest.mark.parametrize("factory", ["textcat", "textcat_multilabel"])
def test_callback_sets_the_ratios_of_a_pipeline(factory):
    nlp = pipeline(factory)
    callback = registry.callbacks.get("spacy-textconv.naive_bayes.v1")
    assert callback(component=factory, corpus=examples)(nlp) is nlp
    model = nlp.get_pipe(factory).model.get_ref("ngrams.words")
    letters = nlp.get_pipe(factory).model.get_ref("ngrams.letters")
    # Five words and eight letters, each with two marks.
    assert [len(layer.get_param("W")) for layer in (model, letters)] == [7, 10]
    assert (letters.get_param("ratios") != 1).any(axis=1).all()
    rows, marks = (set(find_ngrams(model, [nlp.make_doc(text)])[0]) for text in ("good", ""))
    positive = nlp.get_pipe(factory).labels.index("POS")
    good = model.get_param("ratios")[(rows - marks).pop()]
    assert good[positive] > 0 > good[1 - positive]
    # The marks are in all documents.
    assert_allclose(model.get_param("ratios")[list(marks)][:, positive], [0, 0], atol=0.3)


def test_a_pipeline_with_a_vocabulary_learns_and_is_saved(tmp_path):
    nlp = pipeline()
    registry.callbacks.get("spacy-textconv.naive_bayes.v1")(component="textcat", corpus=examples)(
        nlp
    )
    losses = [nlp.update(examples(nlp), sgd=Adam(0.01))["textcat"] for _ in range(10)]
    assert losses[-1] < losses[0]
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert len(loaded.get_pipe("textcat").model.get_ref("ngrams.words").get_param("W")) == 7
    text = "a good or unknown bird"
    assert loaded(text).cats == nlp(text).cats


def test_callback_refuses_a_model_without_ngrams():
    nlp = pipeline(ngrams=False)
    callback = registry.callbacks.get("spacy-textconv.naive_bayes.v1")
    nlp.add_pipe("sentencizer")
    for name in ("textcat", "sentencizer"):
        with pytest.raises(ValueError, match=f"E022.*{name}"):
            callback(component=name, corpus=examples)(nlp)


@pytest.mark.parametrize("frozen", [True, False])
def test_callback_leaves_a_component_that_is_not_trained(frozen):
    nlp = pipeline()
    model = nlp.get_pipe("textcat").model.get_ref("ngrams.words")
    before = model.get_param("ratios").copy()
    if frozen:
        nlp.disable_pipe("textcat")
    registry.callbacks.get("spacy-textconv.naive_bayes.v1")(component="textcat", corpus=examples)(
        nlp
    )
    assert numpy.array_equal(model.get_param("ratios"), before) == frozen


@pytest.mark.parametrize("factory", ["textcat", "textcat_multilabel"])
def test_callback_takes_a_class_that_is_not_mentioned_for_wrong_or_unknown(factory):
    nlp = pipeline(factory)
    layer = nlp.get_pipe(factory).model.get_ref("ngrams.words")
    unmentioned = numpy.nan if factory == "textcat_multilabel" else 0.0
    labels = [max(eg.reference.cats, key=eg.reference.cats.get) for eg in examples(nlp)]
    truths = [
        [1.0 if label == right else unmentioned for label in nlp.get_pipe(factory).labels]
        for right in labels
    ]
    docs = [eg.predicted for eg in examples(nlp)]
    fit_vocabulary([layer], [docs])
    fit_ratios([layer], [(docs, numpy.array(truths))], exclusive=factory == "textcat")
    expected = layer.get_param("ratios").copy()

    def corpus(nlp):
        for eg, right in zip(examples(nlp), labels, strict=True):
            eg.reference.cats = {right: 1.0}
            yield eg

    registry.callbacks.get("spacy-textconv.naive_bayes.v1")(component=factory, corpus=corpus)(nlp)
    assert_allclose(layer.get_param("ratios"), expected)


def test_callback_leaves_documents_without_annotation_out(monkeypatch):
    def with_others(nlp):
        return [
            made
            for example in examples(nlp)
            for made in (Example(nlp.make_doc("a fish"), nlp.make_doc("a fish")), example)
        ]

    # Some batches have no others.
    monkeypatch.setattr("spacy_textconv.callbacks.DOCS_PER_BATCH", 1)
    fitted = []
    for corpus in (examples, with_others):
        nlp = pipeline()
        callback = registry.callbacks.get("spacy-textconv.naive_bayes.v1")
        callback(component="textcat", corpus=corpus)(nlp)
        fitted.append(nlp.get_pipe("textcat").model.get_ref("ngrams.words").to_bytes())
    assert fitted[0] == fitted[1]


@Language.component("refuse_all")
def refuse_all(doc):
    raise NotImplementedError


@pytest.mark.parametrize("shared", [True, False])
def test_callback_calibrates_with_all_components_before(shared):
    nlp = trained_pipeline(shared=shared)
    nlp.add_pipe("refuse_all", last=True)
    callback = registry.callbacks.get("spacy-textconv.calibrate.v1")
    assert callback(component="ner", corpus=reversed_labels)(nlp) is nlp
    assert nlp.get_pipe("ner").cfg["temperature"] == 4.0


def test_callback_refuses_a_component_without_probabilities():
    other = spacy.blank("en")
    other.add_pipe("sentencizer")
    callback = registry.callbacks.get("spacy-textconv.calibrate.v1")
    with pytest.raises(ValueError, match="E021"):
        callback(component="sentencizer", corpus=reversed_labels)(other)


def test_callback_without_disabled_components():
    nlp = trained_pipeline()
    nlp.add_pipe("sentencizer", first=True)
    nlp.select_pipes(disable=["sentencizer", "ner"])
    registry.callbacks.get("spacy-textconv.calibrate.v1")(component="ner", corpus=reversed_labels)(
        nlp
    )
    assert nlp.get_pipe("ner").cfg["temperature"] == 4.0


def test_frozen_components_are_not_calibrated():
    nlp = trained_pipeline()
    ner = nlp.get_pipe("ner")
    before = dict(ner.cfg)
    calibrate = registry.callbacks.get("spacy-textconv.calibrate.v1")
    nlp.config["training"]["frozen_components"] = ["ner"]
    calibrate(component="ner", corpus=reversed_labels)(nlp)
    assert ner.cfg == before
    nlp.config["training"]["frozen_components"] = []
    calibrate(component="ner", corpus=reversed_labels)(nlp)
    assert ner.cfg != before
