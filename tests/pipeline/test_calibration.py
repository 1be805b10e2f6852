"""What is fitted to a development set, so that probabilities are those to be expected."""

import numpy
import pytest
import spacy
from numpy.testing import assert_array_equal
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam

from spacy_textconv.layers import BiluoTransitions, LinearChains

from .util import (
    ENTITIES,
    assert_solved,
    examples,
    found,
    ner_pipeline,
    predict,
    reversed_labels,
    train,
    trained_pipeline,
)


def test_calibration_makes_the_truth_most_probable():
    nlp = ner_pipeline()
    train(nlp, steps=12)
    ner = nlp.get_pipe("ner")

    before = [found(nlp(eg.predicted)) for eg in examples(nlp)]
    # Half of what the network is sure of is wrong: it should be as unsure as can be.
    sure = predict(nlp, ENTITIES[0][0]).spans["ner"].attrs["scores"]
    assert ner.calibrate(reversed_labels(nlp)) == 4.0
    unsure = predict(nlp, ENTITIES[0][0]).spans["ner"].attrs["scores"]
    assert (unsure < sure).all()
    assert [found(nlp(eg.predicted)) for eg in examples(nlp)] == before
    # All of it is right: it should be surer than it is.
    assert ner.calibrate(examples(nlp)) < 0.9


def test_calibration_finds_the_temperature_that_scores_are_divided_by():
    nlp = ner_pipeline()
    train(nlp, steps=8)
    ner = nlp.get_pipe("ner")
    mixed = [eg for get in (*[examples] * 6, reversed_labels) for eg in get(nlp)]
    first = ner.calibrate(mixed)
    assert 1.0 < first < 4.0
    linear = ner.model.get_ref("output_layer").get_ref("linear")
    parameters = [(linear, "W"), (linear, "b"), (ner.model.get_ref("transitions"), "transitions")]
    for layer, name in parameters:
        layer.set_param(name, layer.get_param(name) / 2)
    assert ner.calibrate(mixed) == pytest.approx(first / 2, rel=1e-3)


def without_places(nlp):
    """Examples where no PLACE is annotated."""
    made = examples(nlp)
    for example in made:
        persons = [ent for ent in example.reference.ents if ent.label_ == "PERSON"]
        example.reference.set_ents(persons)
    return made


def test_calibration_makes_labels_as_frequent_as_they_are():
    nlp = ner_pipeline()
    train(nlp, steps=4)
    ner = nlp.get_pipe("ner")
    labels = {ent.label_ for eg in examples(nlp) for ent in nlp(eg.predicted).ents}
    assert labels == {"PERSON", "PLACE"}
    ner.calibrate(without_places(nlp) * 20)
    assert ner.cfg["biases"]["PLACE"] < -1.0 < ner.cfg["biases"]["PERSON"]
    labels = {ent.label_ for eg in examples(nlp) for ent in nlp(eg.predicted).ents}
    assert labels == {"PERSON"}
    # A new label has no bias.
    ner.add_label("THING")
    assert {ent.label_ for eg in examples(nlp) for ent in nlp(eg.predicted).ents} == {"PERSON"}


@pytest.mark.parametrize("get_examples", [without_places, reversed_labels])
def test_calibration_finds_the_lowest_loss(get_examples):
    nlp = ner_pipeline()
    train(nlp, steps=8)
    ner = nlp.get_pipe("ner")
    made = [eg for get in (*[examples] * 6, get_examples) for eg in get(nlp)]
    scores = numpy.concatenate(ner.model.predict([eg.predicted for eg in made]))
    transitions = ner.model.get_ref("transitions").get_param("transitions")
    lengths = [len(eg.predicted) for eg in made]
    gold = [ner.tags.ids[name] for eg in made for name in eg.get_aligned_ner()]
    stops = numpy.cumsum(lengths)

    def loss(temperature, biases):
        everything = scores / temperature + numpy.repeat([0.0, *biases], [1, 4, 4])
        everything[numpy.ix_(stops - lengths, ner.tags.continues)] = -numpy.inf
        everything[numpy.ix_(stops - 1, ner.tags.is_continued)] = -numpy.inf
        truth = numpy.full_like(everything, -numpy.inf)
        tokens = numpy.arange(len(gold))
        truth[tokens, gold] = everything[tokens, gold]
        total, known = (
            LinearChains(
                x, BiluoTransitions(transitions / temperature), lengths
            ).log_partition.sum()
            for x in (everything, truth)
        )
        return total - known + 20.0 * sum(bias**2 for bias in biases)

    ner.calibrate(made)
    temperature, biases = ner.cfg["temperature"], [ner.cfg["biases"][key] for key in ner.labels]
    assert 0.5 < temperature < 4.0
    lowest = loss(temperature, biases)
    for factor, first, second in [(1.05, 0, 0), (1, 0.05, 0), (1, 0, 0.05)]:
        assert lowest < loss(temperature * factor, [biases[0] + first, biases[1] + second])
        assert lowest < loss(temperature / factor, [biases[0] - first, biases[1] - second])


def test_calibration_is_saved(tmp_path):
    nlp = trained_pipeline()
    nlp.get_pipe("ner").calibrate(without_places(nlp) + reversed_labels(nlp))
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    docs = [predict(pipe, ENTITIES[0][0]) for pipe in (nlp, loaded)]
    assert_array_equal(*(doc.spans["ner"].attrs["scores"] for doc in docs))


def test_calibrating_without_knowledge_changes_nothing():
    nlp = trained_pipeline()
    words = ["Anna", "sees", "Ben"]
    other_label = Doc(nlp.vocab, words=words, ents=["B-ORG", "I-ORG", "I-ORG"])
    for reference in (Doc(nlp.vocab), Doc(nlp.vocab, words=words), other_label):
        example = Example(Doc(nlp.vocab, words=[token.text for token in reference]), reference)
        assert nlp.get_pipe("ner").calibrate([example]) == 1.0


def test_calibration_passes_over_unknown_labels():
    nlp = trained_pipeline()
    words = ["Anna", "sees", "Ben"]
    reference = Doc(nlp.vocab, words=words, ents=["B-ORG", "O", "B-PLACE"])
    assert nlp.get_pipe("ner").calibrate([Example(Doc(nlp.vocab, words=words), reference)]) == 4.0


def cautious_pipeline():
    """Trained to find nothing, but to have a suspicion."""

    def mostly_empty(nlp):
        empty = [Doc(nlp.vocab, words=words, ents=["O"] * len(words)) for words, _ in ENTITIES]
        examples_of_none = [
            Example(Doc(nlp.vocab, words=[token.text for token in doc]), doc) for doc in empty
        ]
        return [*examples(nlp) * 2, *examples_of_none * 3]

    nlp = ner_pipeline()
    train(nlp, get_examples=mostly_empty, optimizer=Adam(0.003))
    assert nlp.evaluate(examples(nlp))["ents_r"] == 0.0
    return nlp


def test_calibration_finds_entities_that_are_less_probable_than_not(tmp_path):
    nlp = cautious_pipeline()
    nlp.get_pipe("ner").calibrate(examples(nlp))
    nlp.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    assert_solved(nlp)
    assert (predict(nlp, ENTITIES[0][0]).spans["ner"].attrs["scores"] < 0.5).all()


def test_entities_of_which_nothing_is_known_are_not_mistakes():
    nlp = cautious_pipeline()
    unknown = [
        Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=[None] * len(words)))
        for words, _ in ENTITIES
    ]
    # Were they mistakes, there would be too many of them to find any entity.
    nlp.get_pipe("ner").calibrate([*examples(nlp), *unknown * 400])
    assert_solved(nlp)


def test_initialization_forgets_the_calibration():
    nlp = trained_pipeline()
    ner = nlp.get_pipe("ner")
    ner.calibrate(reversed_labels(nlp))
    ner.cfg["offset"] = 1.0
    nlp.initialize(lambda: examples(nlp))
    assert ner.cfg["temperature"] == 1.0
    assert ner.cfg["biases"] == {}
    assert ner.cfg["offset"] == 0.0


def test_offset_is_used_only_where_it_pays():
    nlp = trained_pipeline()
    ner = nlp.get_pipe("ner")
    for eg in examples(nlp):
        assert found(nlp(eg.predicted)) == [(e.text, e.label_) for e in eg.reference.ents]
    ner.calibrate(examples(nlp))
    assert ner.cfg["offset"] == 0.0


def test_calibration_needs_an_initialized_component():
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("textconv_ner", name="ner")
    with pytest.raises(ValueError, match="E109"):
        ner.calibrate(examples(nlp))
