"""The entity recognizer."""

import pickle
import tracemalloc
import warnings
from itertools import product

import numpy
import pytest
import spacy
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli.debug_data import debug_data
from spacy.cli.evaluate import evaluate
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example
from thinc.api import Adam

from spacy_textconv.pipeline.ner import ConvEntityRecognizer, get_probability

from ..util import transition_matrix
from .util import (
    ENTITIES,
    LABELS,
    assert_solved,
    examples,
    found,
    ner_pipeline,
    predict,
    train,
    trained_pipeline,
)


@pytest.fixture(scope="module")
def nlp():
    """Trained; the tests that use it don't change it."""
    return trained_pipeline()


@pytest.mark.parametrize("loss", ["crf", "token"])
@pytest.mark.parametrize("shared", [True, False], ids=["listener", "inline"])
def test_learns_and_survives_disk(shared, loss, tmp_path):
    nlp = trained_pipeline(shared=shared, loss=loss)
    assert_solved(nlp)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert_solved(loaded)
    assert loaded.get_pipe("ner").labels == LABELS
    assert nlp.evaluate(examples(nlp))["ents_f"] == 1.0
    transitions = loaded.get_pipe("ner").model.get_ref("transitions").get_param("transitions")
    assert transitions.any() == (loss == "crf")


def test_default_model():
    nlp = spacy.blank("en")
    nlp.add_pipe("textconv_ner", name="ner")
    nlp.initialize(lambda: examples(nlp))
    train(nlp, steps=15)
    assert_solved(nlp)


def test_bytes_copies_and_pickles(nlp):
    doc = predict(nlp, ENTITIES[0][0])
    other = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    source = spacy.blank("en", vocab=nlp.vocab)
    source.add_pipe("ner", source=nlp)
    component = pickle.loads(pickle.dumps(nlp.get_pipe("ner")))
    again = component(Doc(component.vocab, words=ENTITIES[0][0]))
    for same in (predict(other, ENTITIES[0][0]), predict(source, ENTITIES[0][0]), again):
        assert found(same) == found(doc)
        assert_allclose(same.spans["ner"].attrs["scores"], doc.spans["ner"].attrs["scores"])


def test_replaced_listeners_predict_the_same():
    nlp = trained_pipeline(shared=True)
    nlp.replace_listeners("tok2vec", "ner", ["model.tok2vec"])
    nlp.remove_pipe("tok2vec")
    assert_solved(nlp)
    train(nlp, steps=2)


def test_averages_are_evaluated():
    nlp = ner_pipeline()
    optimizer = Adam(0.01, use_averages=True)
    train(nlp, steps=5, optimizer=optimizer)
    transitions = nlp.get_pipe("ner").model.get_ref("transitions")
    before = transitions.get_param("transitions").copy()
    with nlp.use_params(optimizer.averages):
        assert not numpy.allclose(transitions.get_param("transitions"), before)
    assert_array_equal(transitions.get_param("transitions"), before)


def sequence_probabilities(component, doc):
    """The probability of each sequence of tags, by enumeration."""
    names = list(component.tags.ids)
    emissions = component.model.predict([doc])[0].astype("float64")
    transitions = component.model.get_ref("transitions").get_param("transitions")
    transitions = transition_matrix(transitions)
    scores = {}
    for sequence in product(range(len(names)), repeat=len(doc)):
        steps = list(zip(sequence, sequence[1:], strict=False))
        if names[sequence[0]][0] in "IL" or names[sequence[-1]][0] in "BI":
            continue
        score = sum(transitions[step] for step in steps)
        if score > -numpy.inf:
            score += sum(emissions[i, tag] for i, tag in enumerate(sequence))
            scores[tuple(names[tag] for tag in sequence)] = numpy.exp(score)
    total = sum(scores.values())
    return {sequence: score / total for sequence, score in scores.items()}


def biluo(doc):
    return spacy.training.offsets_to_biluo_tags(
        doc, [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]
    )


@pytest.mark.parametrize("loss", ["crf", "token"])
@pytest.mark.parametrize("words", [words for words, _ in ENTITIES[1:]], ids=" ".join)
def test_probabilities_equal_the_sum_over_all_sequences(words, loss):
    nlp = ner_pipeline(loss=loss)
    train(nlp, steps=12)
    probabilities = sequence_probabilities(nlp.get_pipe("ner"), Doc(nlp.vocab, words=words))
    doc = predict(nlp, words)
    tags = biluo(doc)
    assert probabilities[tuple(tags)] == max(probabilities.values())
    for ent in doc.ents:
        wanted = tuple(tags[ent.start : ent.end])
        total = sum(p for seq, p in probabilities.items() if seq[ent.start : ent.end] == wanted)
        assert_allclose(ent._.probability, total, rtol=1e-4)
    assert doc.spans["ner"].attrs["scores"].dtype == "float32"
    assert_allclose(doc.spans["ner"].attrs["scores"], [ent._.probability for ent in doc.ents])
    assert [(span.text, span.label_) for span in doc.spans["ner"]] == found(doc)


def test_loss_is_the_negative_log_probability_of_what_is_known():
    nlp = ner_pipeline()
    train(nlp, steps=3)
    component = nlp.get_pipe("ner")
    words = ["New", "York", "is", "big"]
    reference = Doc(nlp.vocab, words=words)
    reference.set_ents([], missing=[reference[0:2]])
    example = Example(Doc(nlp.vocab, words=words), reference)
    probabilities = sequence_probabilities(component, example.predicted)
    scores = component.model.predict([example.predicted])
    loss, (gradient,) = component.get_loss([example], scores)
    known = sum(p for sequence, p in probabilities.items() if sequence[2:] == ("O", "O"))
    assert_allclose(loss, -numpy.log(known), rtol=1e-4)
    assert gradient.shape == (4, 9)
    assert_allclose(gradient.sum(axis=1), 0, atol=1e-5)
    token_loss = ner_pipeline(loss="token").get_pipe("ner").get_loss([example], scores)[0]
    shares = numpy.exp(scores[0]) / numpy.exp(scores[0]).sum(axis=1, keepdims=True)
    assert_allclose(token_loss, -numpy.log(shares[2:, 0]).sum(), rtol=1e-4)


def test_gradient_of_the_transitions():
    nlp = ner_pipeline()
    train(nlp, steps=3)
    component = nlp.get_pipe("ner")
    transitions = component.model.get_ref("transitions")
    nlp.update(examples(nlp), sgd=False)
    gradient = transitions.get_grad("transitions")
    ids = component.tags.ids
    entries = [(0, "O"), (0, "L-PERSON"), (0, "U-PERSON"), (1, "O"), (1, "L-PLACE")]
    entries += [(1, "B-PLACE"), (2, "U-PERSON"), (3, "L-PERSON"), (3, "O")]
    for kind, name in entries:
        entry = kind, ids[name]
        losses = []
        for step in (0.1, -0.2):
            transitions.get_param("transitions")[entry] += step
            scores = component.model.predict([eg.predicted for eg in examples(nlp)])
            losses.append(component.get_loss(examples(nlp), scores)[0])
        transitions.get_param("transitions")[entry] += 0.1
        assert_allclose(gradient[entry], (losses[0] - losses[1]) / 0.2, rtol=0.02, atol=1e-4)


def incorrect_example(nlp, annotated):
    """Two spans that are no entities, in a document of which nothing else may be known."""
    words = ["New", "York", "is", "big"]
    reference = Doc(nlp.vocab, words=words, ents=["O"] * 4 if annotated else None)
    reference.spans["wrong"] = [
        Span(reference, 0, 2, label="PERSON"),
        Span(reference, 1, 2, label="PLACE"),
        Span(reference, 2, 3, label="UNKNOWN"),
    ]
    return Example(Doc(nlp.vocab, words=words), reference)


@pytest.mark.parametrize("loss", ["crf", "token"])
@pytest.mark.parametrize("annotated", [True, False])
@pytest.mark.parametrize("sure", [0.0, 8.0])
def test_incorrect_spans_lose_probability(annotated, loss, sure):
    nlp = ner_pipeline(incorrect_spans_key="wrong", loss=loss)
    train(nlp, steps=8)
    component = nlp.get_pipe("ner")
    example = incorrect_example(nlp, annotated)
    # What the network is sure of has a gradient, too.
    ids = component.tags.ids
    bias = component.model.get_ref("output_layer").get_ref("linear").get_param("b")
    bias[[ids["B-PERSON"], ids["L-PERSON"]]] += sure
    probabilities = sequence_probabilities(component, example.predicted)
    total = sum(
        -numpy.log(1 - sum(p for seq, p in probabilities.items() if seq[start:stop] == tags))
        for start, stop, tags in [(0, 2, ("B-PERSON", "L-PERSON")), (1, 2, ("U-PLACE",))]
    )
    scores = component.model.predict([example.predicted])
    with_spans, (gradient,) = component.get_loss([example], scores)
    component.incorrect_spans_key = None
    without_spans, _ = component.get_loss([example], scores)
    component.incorrect_spans_key = "wrong"
    assert_allclose(with_spans - without_spans, total, rtol=1e-3)
    for entry in [(0, ids["B-PERSON"]), (1, ids["U-PLACE"]), (2, 0), (3, ids["L-PLACE"])]:
        losses = []
        for step in (0.05, -0.05):
            changed = [scores[0].copy()]
            changed[0][entry] += step
            losses.append(component.get_loss([example], changed)[0])
        slope = (losses[0] - losses[1]) / 0.1
        assert_allclose(gradient[entry], slope, rtol=0.02, atol=1e-4)


def test_a_span_is_not_both_correct_and_incorrect():
    nlp = ner_pipeline(incorrect_spans_key="wrong")
    train(nlp, steps=1)
    example = incorrect_example(nlp, True)
    example.reference.ents = [Span(example.reference, 0, 2, label="PLACE")]
    nlp.update([example])
    example.reference.ents = [Span(example.reference, 0, 2, label="PERSON")]
    with pytest.raises(ValueError, match=r"E868.*\(0, 8, 'PERSON'\)"):
        nlp.update([example])


def test_gradient_of_the_transitions_for_incorrect_spans():
    nlp = ner_pipeline(incorrect_spans_key="wrong")
    train(nlp, steps=8)
    component = nlp.get_pipe("ner")
    transitions = component.model.get_ref("transitions")
    example = incorrect_example(nlp, False)
    nlp.update([example], sgd=False)
    gradient = transitions.get_grad("transitions")
    scores = component.model.predict([example.predicted])
    ids = component.tags.ids
    for kind, name in [(0, "L-PERSON"), (0, "U-PLACE"), (0, "O"), (2, "U-PLACE"), (3, "L-PERSON")]:
        entry = kind, ids[name]
        losses = []
        for step in (0.1, -0.2):
            transitions.get_param("transitions")[entry] += step
            losses.append(component.get_loss([example], scores)[0])
        transitions.get_param("transitions")[entry] += 0.1
        assert_allclose(gradient[entry], (losses[0] - losses[1]) / 0.2, rtol=0.02, atol=1e-4)


def test_the_loss_of_a_mistake_that_is_certain_is_finite():
    nlp = ner_pipeline(incorrect_spans_key="wrong")
    component = nlp.get_pipe("ner")
    linear = component.model.get_ref("output_layer").get_ref("linear")
    linear.get_param("b")[component.tags.ids["U-PLACE"]] += 100.0
    example = incorrect_example(nlp, False)
    scores = component.model.predict([example.predicted])
    loss, (gradient,) = component.get_loss([example], scores)
    assert 15.0 < loss < 30.0 and numpy.isfinite(gradient).all()


@pytest.mark.parametrize("loss", ["crf", "token"])
def test_learns_from_incorrect_spans(loss):
    nlp = trained_pipeline(incorrect_spans_key="wrong", loss=loss)
    words = ["Paris", "here"]
    assert found(predict(nlp, words)) == [("Paris", "PLACE")]

    def get_examples(nlp):
        doc = Doc(nlp.vocab, words=words)
        doc.spans["wrong"] = [Span(doc, 0, 1, label="PLACE")]
        return [*examples(nlp)[:-1], Example(Doc(nlp.vocab, words=words), doc)]

    train(nlp, get_examples=get_examples)
    assert ("Paris", "PLACE") not in found(predict(nlp, words))
    transitions = nlp.get_pipe("ner").model.get_ref("transitions").get_param("transitions")
    # Of tags by themselves, there is nothing to learn about those after them.
    assert transitions.any() == (loss == "crf")


@pytest.mark.parametrize("loss", ["crf", "token"])
def test_unannotated_documents_contribute_nothing(loss):
    nlp = ner_pipeline(loss=loss)
    docs = [Doc(nlp.vocab, words=["Anna", "sees", "Ben"])]
    component = nlp.get_pipe("ner")
    loss, gradients = component.get_loss(
        [Example(doc, doc.copy()) for doc in docs], component.model.predict(docs)
    )
    assert loss == 0.0 and not gradients[0].any()


def test_learns_from_partial_annotation():
    """Of each document only one entity, or one token outside, is known."""

    def partial(nlp):
        made = []
        for full in examples(nlp):
            for ent in full.reference.ents:
                reference = Doc(nlp.vocab, words=[token.text for token in full.reference])
                span = Span(reference, ent.start, ent.end, label=ent.label)
                reference.set_ents([span], default="missing")
                made.append(Example(full.predicted.copy(), reference))
            for token in full.reference:
                if token.ent_iob_ == "O":
                    reference = Doc(nlp.vocab, words=[token.text for token in full.reference])
                    span = reference[token.i : token.i + 1]
                    reference.set_ents([], outside=[span], default="missing")
                    made.append(Example(full.predicted.copy(), reference))
        return made

    nlp = ner_pipeline(get_examples=partial)
    train(nlp, steps=60, get_examples=partial)
    assert_solved(nlp)


@pytest.mark.filterwarnings("ignore:.*W001")
@settings(max_examples=50)
@given(st.data())
def test_the_same_words_teach_what_aligned_words_teach(nlp, data):
    component = nlp.get_pipe("ner")
    words = data.draw(st.lists(st.sampled_from(["ben", " ", "York", "\n"]), max_size=6))
    reference = Doc(nlp.vocab, words=words)
    labels = st.sampled_from(["missing", "outside", "blocked", *LABELS])
    start = 0
    while start < len(words):
        stop = data.draw(st.integers(start + 1, len(words)))
        label = data.draw(labels)
        span = Span(reference, start, stop, label=label if label in LABELS else "")
        where = {label: [span]} if label not in LABELS else {"entities": [span]}
        reference.set_ents(**{"entities": [], "default": "unmodified", **where})
        start = stop
    losses = []
    # Words in other letters are aligned one by one.
    for predicted in (words, [word.swapcase() for word in words]):
        docs = [Doc(nlp.vocab, words=predicted), Doc(nlp.vocab, words=["Anna"])]
        made = [Example(docs[0], reference), Example(docs[1], Doc(nlp.vocab, words=["Anna"]))]
        generator = numpy.random.default_rng(0)
        scores = [generator.random((len(doc), len(component.tags)), dtype="f") for doc in docs]
        losses.append(component.get_loss(made, scores))
    (loss, gradients), (aligned_loss, aligned_gradients) = losses
    assert loss == aligned_loss
    for gradient, aligned in zip(gradients, aligned_gradients, strict=True):
        assert_array_equal(gradient, aligned)


def test_entities_that_do_not_fit_the_tokens_are_unknown():
    nlp = ner_pipeline()
    component = nlp.get_pipe("ner")
    reference = Doc(nlp.vocab, words=["New", "York-based", "firm"])
    reference.set_ents([Span(reference, 0, 1, label="PLACE")])
    predicted = Doc(nlp.vocab, words=["New York-based", "firm"])
    scores = component.model.predict([predicted])
    loss, (gradient,) = component.get_loss([Example(predicted, reference)], scores)
    probabilities = sequence_probabilities(component, predicted)
    known = sum(p for sequence, p in probabilities.items() if sequence[1] == "O")
    assert_allclose(loss, -numpy.log(known), rtol=1e-4)


def test_earlier_entities_and_blocked_tokens_are_kept(nlp):
    words = ENTITIES[0][0]
    doc = Doc(nlp.vocab, words=words)
    before = Span(doc, 1, 3, label="THING", kb_id="Q1", span_id="id")
    doc.set_ents([before], blocked=[doc[3:4]], default="missing")
    nlp(doc)
    assert [token.ent_iob_ for token in doc[1:]] == ["B", "I", "B"]
    (ent,) = [ent for ent in doc.ents if ent.label_ == "THING"]
    assert (ent.text, ent.kb_id_, ent.id_) == ("Smith sees", "Q1", "id")
    assert ent._.probability is None
    assert doc[3].ent_type_ == "" and doc[0].ent_iob_ != ""
    assert "THING" not in [span.label_ for span in doc.spans["ner"]]
    again = predict(nlp, ["Ben", "likes", "York"], ents=["B-PERSON", "O", "O"])
    assert found(again) == [("Ben", "PERSON"), ("York", "PLACE")]
    assert [ent._.probability is None for ent in again.ents] == [True, False]


def test_entity_ruler_before_and_after(nlp):
    ruled = spacy.blank("en", vocab=nlp.vocab)
    ruled.add_pipe("entity_ruler").add_patterns([{"label": "VERB", "pattern": "likes"}])
    ruled.add_pipe("ner", source=nlp)
    assert found(ruled("Ben likes York")) == [
        ("Ben", "PERSON"),
        ("likes", "VERB"),
        ("York", "PLACE"),
    ]


def test_entities_do_not_cross_sentences(nlp):
    words = ["New", "York", "City", "is", "big"]
    assert found(predict(nlp, words)) == [("New York City", "PLACE")]
    doc = predict(nlp, words, sent_starts=[True, False, True, False, False])
    assert all(ent.end <= 2 or ent.start >= 2 for ent in doc.ents)


@pytest.mark.parametrize(
    "letters, entities", [("U", ["Ben", "sees", "Anna"]), ("BIL", ["Ben \n sees Anna"])]
)
def test_entities_begin_and_end_with_a_word(letters, entities):
    nlp = ner_pipeline()
    component = nlp.get_pipe("ner")
    bias = component.model.get_ref("output_layer").get_ref("linear").get_param("b")
    for letter in letters:
        bias[component.tags.ids[f"{letter}-PERSON"]] = 50.0
    assert [ent.text for ent in nlp("\n Ben \n sees Anna \n").ents] == entities


def spaced_examples(nlp):
    """Names are annotated with the white space around them."""
    made = []
    for words, ents in ENTITIES:
        tokens = [token for word in words for token in (" ", word, "\n")]
        tags = [tag for ent in ents for tag in (ent, *[ent.replace("B-", "I-")] * 2)]
        reference = Doc(nlp.vocab, words=tokens, ents=tags)
        made.append(Example(Doc(nlp.vocab, words=tokens), reference))
    return made


def test_names_are_learned_without_the_white_space_around_them():
    nlp = ner_pipeline()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(nlp, get_examples=spaced_examples)
    (warning,) = caught
    assert "W001" in str(warning.message) and "Anna" in str(warning.message)
    doc = predict(nlp, [" ", "Ben", "\n", "likes", " ", "York", "\n"])
    assert found(doc) == [("Ben", "PERSON"), ("York", "PLACE")]


@pytest.mark.filterwarnings("ignore:.*W001")
def test_white_space_alone_is_no_entity(nlp):
    component = nlp.get_pipe("ner")
    words = ["Ben", "\n", "York"]
    losses = []
    for ents in (["B-PERSON", "B-PLACE", "B-PLACE"], ["B-PERSON", "O", "B-PLACE"]):
        example = Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=ents))
        losses.append(component.get_loss([example], component.model.predict([example.predicted])))
    assert losses[0][0] == losses[1][0]


WORDS = ["New", "York", "City", "is", "big"]


@pytest.mark.parametrize(
    "annotation",
    [{"sent_starts": [True, False, True, False, False]}, {"ents": ["O", "B-THING", "O", "O", "O"]}],
    ids=["sentence", "entity"],
)
def test_what_cannot_be_found_is_not_learned(nlp, annotation):
    component = nlp.get_pipe("ner")
    predicted = Doc(nlp.vocab, words=WORDS, **annotation)
    scores = component.model.predict([predicted])
    losses = []
    for known in (slice(0, 5), slice(3, 5)):
        ents = [None] * 5
        ents[known] = ["B-PLACE", "I-PLACE", "I-PLACE", "O", "O"][known]
        example = Example(predicted, Doc(nlp.vocab, words=WORDS, ents=ents))
        losses.append(component.get_loss([example], scores)[0])
    assert losses[0] == losses[1]


def test_earlier_predictions_hide_nothing_from_training():
    nlp = ner_pipeline()
    train(nlp, steps=12)
    component = nlp.get_pipe("ner")
    fresh, again = examples(nlp), examples(nlp)
    for example in again:
        example.predicted = nlp(example.predicted)
        assert example.predicted.has_annotation("ENT_IOB")
    scores = component.model.predict([example.predicted for example in fresh])
    assert component.get_loss(again, scores)[0] == component.get_loss(fresh, scores)[0] > 0.0
    fitted = []
    for made in (fresh, again):
        component.calibrate(made)
        fitted.append(dict(component.cfg))
    assert fitted[0] == fitted[1]


def test_all_tokens_are_marked(nlp):
    doc = nlp("Ben likes York")
    assert [token.ent_iob_ for token in doc] == ["B", "O", "B"]
    assert nlp("Nothing here").has_annotation("ENT_IOB")


def test_probability_belongs_to_span_and_label(nlp):
    doc = nlp("Ben likes York")
    assert 0.5 < doc.ents[0]._.probability <= 1.0
    assert Span(doc, 0, 1, label="PLACE")._.probability is None
    assert doc[0:2]._.probability is None
    assert doc[0:0]._.probability is None
    for copied in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), Doc.from_docs([doc, doc])):
        assert [ent._.probability for ent in copied.ents[:2]] == [
            ent._.probability for ent in doc.ents
        ]
    assert_array_equal(
        Doc(nlp.vocab).from_bytes(doc.to_bytes()).spans["ner"].attrs["scores"],
        doc.spans["ner"].attrs["scores"],
    )


@pytest.mark.parametrize(
    "store, is_lost",
    [
        (Doc.copy, False),
        (lambda doc: next(DocBin(docs=[doc]).get_docs(doc.vocab)), False),
        (lambda doc: next(DocBin(docs=[doc], store_user_data=True).get_docs(doc.vocab)), False),
        (lambda doc: Doc(doc.vocab).from_bytes(doc.to_bytes(exclude=["user_data"])), False),
        (lambda doc: Doc.from_docs([doc, doc]), False),
        (lambda doc: doc[:].as_doc(copy_user_data=True), False),
        # spaCy leaves out what groups know about their spans.
        (lambda doc: Doc.from_docs([doc, doc], exclude=["user_data"]), True),
        (lambda doc: Doc(doc.vocab).from_json(doc.to_json()), True),
    ],
    ids=["copy", "bin", "bin-data", "bytes", "joined", "cut", "joined-plain", "json"],
)
def test_stored_documents_can_be_processed_again(nlp, store, is_lost):
    doc = predict(nlp, ENTITIES[0][0])
    stored = store(doc)
    again = nlp(nlp(stored))
    assert found(again) == found(doc) * (len(again) // len(doc))
    assert [(span.text, span.label_) for span in again.spans["ner"]] == found(again)
    scores = again.spans["ner"].attrs["scores"]
    assert_array_equal(scores, numpy.array([ent._.probability for ent in again.ents], "float32"))
    expected = numpy.resize(doc.spans["ner"].attrs["scores"], len(scores))
    assert_array_equal(scores, expected * (numpy.nan if is_lost else 1.0))


@pytest.mark.parametrize("keys", [("ner", "more"), ("ner", "ner"), (None, "more")])
def test_two_recognizers_in_one_pipeline(keys):
    def examples_of(label):
        def get_examples(nlp):
            made = examples(nlp)
            for example in made:
                ents = [ent for ent in example.reference.ents if ent.label_ == label]
                example.reference.set_ents(ents)
            return made

        return get_examples

    pipelines = []
    for label, key in zip(LABELS, keys, strict=True):
        pipelines.append(ner_pipeline(get_examples=examples_of(label), spans_key=key))
        train(pipelines[-1], get_examples=examples_of(label))
    nlp, other = pipelines
    nlp.add_pipe("ner", source=other, name="other")
    words = ["Anna", "Smith", "sees", "New", "York", "City"]
    doc = predict(nlp, words)
    first, second = found(doc)
    assert (first, second) == (("Anna Smith", "PERSON"), ("New York City", "PLACE"))
    for again in (doc, nlp(nlp(doc))):
        groups = {key: [(s.text, s.label_) for s in group] for key, group in again.spans.items()}
        if keys[0] == keys[1]:
            assert groups == {"ner": [first, second]}
        else:
            assert groups == {key: [e] for key, e in zip(keys, (first, second), strict=True) if key}
    # What another recognizer has found is in the way of what this one could learn.
    reference = Doc(nlp.vocab, words=words, ents=["O", "B-PLACE", "O", "O", "O", "O"])
    scores = other.get_pipe("ner").model.predict([doc])
    loss, _ = nlp.get_pipe("other").get_loss([Example(doc, reference)], scores)
    alone, _ = nlp.get_pipe("other").get_loss([Example(Doc(nlp.vocab, words), reference)], scores)
    assert (loss < alone) == (keys[0] != keys[1])


def test_spans_of_another_component_are_not_replaced_in_silence():
    nlp = trained_pipeline(spans_key="sc")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            doc = Doc(nlp.vocab, words=ENTITIES[0][0])
            doc.spans["sc"] = SpanGroup(doc, spans=[doc[0:3]], attrs={"scores": numpy.ones(1)})
            nlp(doc)
            assert [(span.text, span.label_) for span in doc.spans["sc"]] == found(doc)
    (warning,) = caught
    assert all(part in str(warning.message) for part in ("W002", "'Anna Smith sees'", "spans_key"))


@pytest.fixture
def extension():
    yield
    Span.set_extension("probability", getter=get_probability, force=True)


@pytest.mark.parametrize("settings", [{"getter": len}, {"default": None}], ids=str)
def test_probability_of_another_package(extension, settings):
    nlp = trained_pipeline()
    Span.set_extension("probability", **settings, force=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        doc, _ = predict(nlp, ENTITIES[0][0]), predict(nlp, ENTITIES[1][0])
    (warning,) = caught
    assert "W003" in str(warning.message)
    scores = doc.spans["ner"].attrs["scores"]
    assert_allclose([get_probability(ent) for ent in doc.ents], scores)
    # A name that is free again is taken.
    Span.remove_extension("probability")
    doc = predict(nlp, ENTITIES[0][0])
    assert_allclose([ent._.probability for ent in doc.ents], scores)


@pytest.mark.filterwarnings("ignore:.*W006")
def test_commands_that_look_for_a_component_ner(nlp, tmp_path, capsys):
    assert nlp.config["components"]["ner"]["factory"] == "textconv_ner"
    nlp.to_disk(tmp_path / "model")
    DocBin(docs=[eg.reference for eg in spaced_examples(nlp)]).to_disk(tmp_path / "data.spacy")
    pages = tmp_path / "pages"
    pages.mkdir()
    evaluate(tmp_path / "model", tmp_path / "data.spacy", displacy_path=pages)
    assert "PERSON" in (pages / "entities.html").read_text(encoding="utf8")
    paths = {f"paths.{name}": str(tmp_path / "data.spacy") for name in ("train", "dev")}
    # So few documents are an error.
    with pytest.raises(SystemExit):
        debug_data(tmp_path / "model" / "config.cfg", config_overrides=paths, silent=False)
    said = capsys.readouterr().out
    assert "Named Entity Recognition" in said and "2 label(s)" in said
    assert "invalid whitespace entity spans" in said


def test_threshold_and_spans_key(tmp_path):
    nlp = ner_pipeline()
    train(nlp, steps=12)
    words = ENTITIES[0][0]
    every = predict(nlp, words)
    probabilities = sorted(ent._.probability for ent in every.ents)
    assert len(probabilities) == 2
    nlp.to_disk(tmp_path)
    threshold = sum(probabilities) / 2
    overrides = {"components.ner.threshold": threshold, "components.ner.spans_key": None}
    strict = predict(spacy.load(tmp_path, config=overrides), words)
    assert found(strict) == [
        (ent.text, ent.label_) for ent in every.ents if ent._.probability >= threshold
    ]
    assert len(strict.ents) == 1 and not strict.spans
    assert strict.ents[0]._.probability == max(probabilities)


def test_labels_from_data_and_from_a_file(tmp_path):
    """`spacy init labels` writes the label data as JSON."""
    nlp = ner_pipeline()
    path = tmp_path / "ner.json"
    srsly.write_json(path, nlp.get_pipe("ner").label_data)
    assert srsly.read_json(path) == list(LABELS)
    config = nlp.config.copy()
    labels = {"@readers": "spacy.read_labels.v1", "path": str(path)}
    config["initialize"]["components"]["ner"] = {"labels": labels}
    other = spacy.util.load_model_from_config(config)
    other.initialize(lambda: examples(other)[-1:])
    assert other.get_pipe("ner").labels == LABELS
    assert other.get_pipe("ner").model.get_dim("nO") == 9


def test_labels_can_be_added_before_initialization():
    nlp = spacy.blank("en")
    component = nlp.add_pipe("textconv_ner", name="ner")
    assert component.add_label("THING") == 1
    assert component.add_label("THING") == 0
    with pytest.raises(ValueError, match="E187"):
        component.add_label(1)
    nlp.initialize(lambda: examples(nlp))
    assert component.labels == ("THING", *LABELS)
    assert component.model.get_dim("nO") == 13
    nlp.initialize(lambda: examples(nlp))
    assert component.model.get_dim("nO") == 13


def test_labels_can_be_added_to_a_trained_pipeline(tmp_path):
    nlp = ner_pipeline()
    optimizer = Adam(0.01)
    train(nlp, optimizer=optimizer)
    before = [predict(nlp, words) for words, _ in ENTITIES]
    assert nlp.get_pipe("ner").add_label("NUMBER") == 1
    assert nlp.get_pipe("ner").labels == (*LABELS, "NUMBER")
    for doc in before:
        after = predict(nlp, [token.text for token in doc])
        assert found(after) == found(doc)
        scores = [other.spans["ner"].attrs["scores"] for other in (after, doc)]
        assert_allclose(*scores, atol=0.1)
    words, ents = ["seven", "birds"], ["B-NUMBER", "O"]

    def more(nlp):
        reference = Doc(nlp.vocab, words=words, ents=ents)
        return [*examples(nlp), Example(Doc(nlp.vocab, words=words), reference)]

    train(nlp, get_examples=more, optimizer=optimizer)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert found(predict(loaded, words)) == [("seven", "NUMBER")]
    assert_solved(loaded)


def test_a_label_that_training_meets_is_learned(tmp_path):
    nlp = trained_pipeline(shared=True)
    nlp.to_disk(tmp_path / "old")
    nlp = spacy.blank("en")
    for name in ("tok2vec", "ner"):
        nlp.add_pipe(name, source=spacy.load(tmp_path / "old"))
    words, ents = ["seven", "birds"], ["B-NUMBER", "O"]

    def more(nlp):
        reference = Doc(nlp.vocab, words=words, ents=ents)
        return [*examples(nlp), Example(Doc(nlp.vocab, words=words), reference)]

    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    train(nlp, get_examples=more, optimizer=optimizer)
    assert nlp.get_pipe("ner").labels == (*LABELS, "NUMBER")
    assert found(predict(nlp, words)) == [("seven", "NUMBER")]
    assert_solved(nlp)


def test_an_untrained_component_finds_nothing():
    nlp = ner_pipeline()
    assert [found(predict(nlp, words)) for words, _ in ENTITIES] == [[]] * len(ENTITIES)


def test_without_labels(caplog):
    with caplog.at_level("DEBUG", logger="spacy"):
        nlp = ner_pipeline(get_examples=lambda nlp: examples(nlp)[3:4])
    # English has a table of norms, which `spacy init vocab` would load.
    assert "W033" in caplog.text
    assert nlp.get_pipe("ner").labels == ()
    assert found(predict(nlp, ENTITIES[0][0])) == []
    assert nlp.update(examples(nlp)[3:4], sgd=Adam(0.01)) == {"ner": 0.0}
    train(nlp)
    assert_solved(nlp)


def test_damaged_files_are_named(nlp, tmp_path):
    component = nlp.get_pipe("ner")
    for name in ("cfg", "model"):
        component.to_disk(tmp_path, exclude=["vocab"])
        component.from_disk(tmp_path, exclude=["vocab"])
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=f"E090.*{name} can't be loaded"):
            component.from_disk(tmp_path, exclude=["vocab"])
        (tmp_path / name).unlink()
        with pytest.raises(ValueError, match=f"E090.*{name} can't be loaded"):
            component.from_disk(tmp_path, exclude=["vocab"])


def test_files_of_two_components_are_refused(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path).get_pipe("ner")
    srsly.write_json(tmp_path / "ner" / "cfg", {**other.cfg, "labels": ["PERSON"]})
    with pytest.raises(ValueError, match="E091.*1 labels need 5 tags, but the model has 9"):
        other.from_disk(tmp_path / "ner", exclude=["vocab"])
    data = srsly.msgpack_loads(nlp.get_pipe("ner").to_bytes(exclude=["vocab"]))
    data["cfg"] = srsly.json_dumps({**other.cfg, "labels": ["PERSON"]})
    with pytest.raises(ValueError, match="E091"):
        other.from_bytes(srsly.msgpack_dumps(data), exclude=["vocab"])


def test_clear_errors(nlp):
    component = nlp.get_pipe("ner")
    with pytest.raises(NotImplementedError, match="E020"):
        nlp.rehearse(examples(nlp))
    with pytest.raises(ValueError, match="E019.*'THING'"):
        reference = Doc(nlp.vocab, words=["a-b"], ents=["B-THING"])
        component.get_loss(
            [Example(reference.copy(), reference)], component.model.predict([reference])
        )
    with pytest.raises(TypeError, match="E930"):
        component.initialize(None)
    with pytest.raises(ValueError, match="E004.*loss"):
        ConvEntityRecognizer(nlp.vocab, component.model, loss="softmax")
    with pytest.raises(ValueError, match="E018"):
        ner_pipeline(threshold=1.5)
    with pytest.raises(ValueError, match="E910"):
        scores = [numpy.full((4, 9), numpy.nan, dtype="float32")]
        component.get_loss(examples(nlp)[:1], scores)


def test_empty_documents():
    nlp = ner_pipeline()
    empty = [nlp.make_doc(""), nlp.make_doc("")]
    assert [doc.ents for doc in nlp.pipe(empty)] == [(), ()]
    assert nlp.get_pipe("ner").predict([]) == []
    before = nlp.get_pipe("ner").model.to_bytes()
    losses = nlp.update([Example(doc, doc.copy()) for doc in empty], sgd=Adam(0.01))
    assert losses == {"ner": 0.0}
    assert nlp.get_pipe("ner").model.to_bytes() == before
    mixed = [examples(nlp)[0], Example(nlp.make_doc(""), nlp.make_doc(""))]
    assert nlp.update(mixed, sgd=Adam(0.01))["ner"] > 0
    docs = list(nlp.pipe(["", "Ben likes York", ""]))
    assert [len(doc.spans["ner"].attrs["scores"]) for doc in docs][::2] == [0, 0]


def test_documents_alone_equal_the_batch(nlp):
    texts = [" ".join(words) for words, _ in ENTITIES] + ["", "Ben " * 50]
    for doc in nlp.pipe(texts):
        alone = nlp(doc.text)
        assert found(alone) == found(doc)
        assert_allclose(
            alone.spans["ner"].attrs["scores"], doc.spans["ner"].attrs["scores"], atol=1e-5
        )


def test_a_hundred_thousand_tokens(nlp):
    words, ents = zip(*ENTITIES[:3], strict=True)
    repeated = sum(words, []) * 8334
    doc = predict(nlp, repeated)
    assert len(doc) == 100_008
    assert len(doc.ents) == 5 * 8334
    assert numpy.isfinite(doc.spans["ner"].attrs["scores"]).all()
    assert [token.ent_iob_ for token in doc[:12]] == [tag[0] for tag in sum(ents, [])]


@pytest.mark.parametrize("loss", ["crf", "token"])
def test_working_in_groups_changes_nothing(loss, monkeypatch):
    nlp = ner_pipeline(incorrect_spans_key="wrong", loss=loss)
    train(nlp, steps=8)
    component = nlp.get_pipe("ner")
    made = [*examples(nlp), Example(nlp.make_doc(""), nlp.make_doc(""))]
    made += [incorrect_example(nlp, annotated) for annotated in (True, False)]
    docs = [eg.predicted for eg in made]

    def results():
        scores = component.model.predict(docs)
        loss, gradients = component.get_loss(made, scores)
        component.calibrate(made)
        found = [
            (i, *entity)
            for i, entities in enumerate(component.predict(docs))
            for entity in entities
        ]
        assert found
        numbers = [loss, *component._biases(), component.cfg["temperature"]]
        numbers += [probability for *_, probability in found]
        return [entity[:-1] for entity in found], numbers, numpy.concatenate(gradients)

    entities, numbers, gradients = results()
    monkeypatch.setattr("spacy_textconv.pipeline.ner.GROUP_SCORES", 1)
    monkeypatch.setattr("spacy_textconv.layers.crf.BLOCK_SCORES", 1)
    entities_of_groups, numbers_of_groups, gradients_of_groups = results()
    assert entities_of_groups == entities
    assert_allclose(numbers_of_groups, numbers, rtol=1e-3)
    assert_allclose(gradients_of_groups, gradients, atol=1e-5)


def test_without_examples_nothing_is_calibrated(nlp):
    component = nlp.get_pipe("ner")
    before = dict(component.cfg)
    assert component.calibrate([]) == component.cfg["temperature"]
    assert component.cfg == before
    assert component.get_loss([], []) == (0.0, [])


def test_a_thousand_labels():
    labels = [f"LABEL{i}" for i in range(998)]
    nlp = ner_pipeline(labels=[*LABELS, *labels])
    component = nlp.get_pipe("ner")
    made = examples(nlp) * 10
    tracemalloc.start()
    nlp.update(made, sgd=Adam(0.01))
    component.calibrate(made)
    list(nlp.pipe([eg.predicted for eg in made]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # As many numbers as there are pairs of tags would take more.
    assert peak < 4 * len(component.tags) ** 2


def test_a_second_pass_keeps_the_spans(nlp):
    doc = predict(nlp, ENTITIES[0][0])
    first = doc.spans["ner"].attrs["scores"].tolist()
    again = nlp(doc).spans["ner"]
    assert [(span.text, span.label_) for span in again] == found(doc)
    assert again.attrs["scores"].tolist() == first


def test_dropout_and_losses_of_an_update():
    nlp = ner_pipeline()
    # Before the first step, all scores are 0.
    train(nlp, steps=1)

    def loss(drop):
        return nlp.update(examples(nlp), drop=drop, sgd=False)["ner"]

    assert loss(0.0) == loss(0.0) != loss(0.5)
    losses = {}
    nlp.update(examples(nlp), losses=losses, sgd=False)
    first = losses["ner"]
    nlp.update(examples(nlp), losses=losses, sgd=False)
    assert losses["ner"] == pytest.approx(2 * first)


def test_spans_key_and_scorer_of_the_config():
    nlp = ner_pipeline(spans_key="found", scorer=None)
    train(nlp, steps=12)
    assert list(predict(nlp, ENTITIES[0][0]).spans) == ["found"]
    assert "ents_f" not in nlp.evaluate(examples(nlp))


def test_probabilities_are_plain_numbers_in_json(nlp):
    doc = predict(nlp, ENTITIES[0][0])
    stored = doc.to_json(underscore=["probability"])["underscore_span"]["probability"]
    assert [span["value"] for span in stored] == [ent._.probability for ent in doc.ents]
