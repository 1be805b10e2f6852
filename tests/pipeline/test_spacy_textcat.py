"""Our text classifier in the place of spaCy's learns as fast as spaCy's own tests ask for: two
texts in so many steps of the default optimizer."""

import pytest
import spacy
from spacy import registry
from spacy.training import Example
from thinc.api import fix_random_seed

EXCLUSIVE = {
    "What a lovely day!": {"GOOD": 1.0, "BAD": 0.0},
    "What a dreadful day": {"GOOD": 0.0, "BAD": 1.0},
}
INDEPENDENT = {
    "Rainy, windy and freezing cold": {"WET": 1.0, "COLD": 1.0, "WARM": 0.0},
    "Rainy, but nice and warm": {"WET": 1.0, "COLD": 0.0, "WARM": 1.0},
}
# Data, a new text, its classes, and the number of steps.
TASKS = {
    "textcat": (EXCLUSIVE, "It is a lovely day!", ["GOOD"], 50),
    "textcat_multilabel": (INDEPENDENT, "Still rainy, but nice and warm.", ["WET", "WARM"], 100),
}
NGRAM = {"@architectures": "spacy-textconv.NgramLinear.v1", "rows": 5000}
NGRAMS = {
    "words": {**NGRAM, "unit": "word", "sizes": [1, 2]},
    "characters": {**NGRAM, "unit": "character", "sizes": [2, 3, 4]},
}


def model(exclusive, ngrams):
    width = 96
    return {
        "@architectures": "spacy-textconv.TextCatConv.v1",
        "exclusive_classes": exclusive,
        "tok2vec": {
            "@architectures": "spacy.Tok2Vec.v2",
            "embed": {"@architectures": "spacy-textconv.CharConvEmbed.v1", "width": width},
            "encode": {"@architectures": "spacy-textconv.DilatedConvEncoder.v1", "width": width},
        },
        "attend": {"max": {"@architectures": "spacy-textconv.PoolAttend.v1", "width": width}},
        "ngrams": NGRAMS if ngrams else None,
    }


def pipeline(factory, ngrams=False, counted=False):
    """A pipeline that is ready for training, with its optimizer and examples."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    config = {"model": model(factory == "textcat", ngrams)}
    nlp.add_pipe(factory, config=config)
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": cats})
        for text, cats in TASKS[factory][0].items()
    ]
    optimizer = nlp.initialize(lambda: examples)
    if counted:
        callback = registry.callbacks.get("spacy-textconv.naive_bayes.v1")
        callback(component=factory, corpus=lambda nlp: examples)(nlp)
    return nlp, optimizer, examples


@pytest.mark.parametrize("ngrams, counted", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("factory", TASKS)
def test_learns_two_texts_by_heart(factory, ngrams, counted, tmp_path):
    nlp, optimizer, examples = pipeline(factory, ngrams, counted)
    _, text, right, steps = TASKS[factory]
    for _ in range(steps):
        losses = {}
        nlp.update(examples, sgd=optimizer, losses=losses)
    assert losses[factory] < 0.01
    nlp.to_disk(tmp_path)
    for trained in (nlp, spacy.load(tmp_path)):
        cats = trained(text).cats
        assert min(cats[label] for label in right) > 0.9
        assert factory != "textcat" or sum(cats.values()) == pytest.approx(1.0, abs=1e-3)
    scores = nlp.evaluate(examples)
    assert scores["cats_micro_f"] == scores["cats_macro_f"] == 1.0
    texts = [text, "No.", "Some other day, perhaps."]
    for doc in nlp.pipe(texts):
        assert doc.cats == pytest.approx(nlp(doc.text).cats, abs=1e-5)


@pytest.mark.parametrize("ngrams, counted", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("factory", TASKS)
def test_a_new_label_changes_no_score_and_is_learned_fast(factory, ngrams, counted):
    nlp, optimizer, examples = pipeline(factory, ngrams, counted)
    _, text, right, steps = TASKS[factory]
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)
    before = nlp(text).cats
    nlp.get_pipe(factory).add_label("NEW")
    after = nlp(text).cats
    assert after.pop("NEW") < 1e-6 and after == before
    # Other documents teach nothing of it.
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    after = nlp(text).cats
    assert after.pop("NEW") < 1e-6 and after != before
    for example in examples:
        example.reference.cats["NEW"] = 0.0
    cats = {**dict.fromkeys(before, 0.0), "NEW": 1.0}
    examples += [Example.from_dict(nlp.make_doc("Never mind, thanks"), {"cats": cats})]
    nlp.update(examples, sgd=optimizer)
    assert 1e-6 < nlp(text).cats["NEW"] < 0.5
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)
    assert nlp("Never mind, thanks").cats["NEW"] > 0.5
    cats = nlp(text).cats
    assert cats["NEW"] < 0.5 < min(cats[label] for label in right)
