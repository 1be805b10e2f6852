"""Small entity recognizers that several tests use."""

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam

from ..util import listener, tok2vec

ENTITIES = [
    (["Anna", "Smith", "sees", "Ben"], ["B-PERSON", "I-PERSON", "O", "B-PERSON"]),
    (["New", "York", "City", "is", "big"], ["B-PLACE", "I-PLACE", "I-PLACE", "O", "O"]),
    (["Ben", "likes", "York"], ["B-PERSON", "O", "B-PLACE"]),
    (["Nothing", "here"], ["O", "O"]),
    (["Paris"], ["B-PLACE"]),
]
LABELS = ("PERSON", "PLACE")


def examples(nlp):
    return [
        Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=ents))
        for words, ents in ENTITIES
    ]


def ner_pipeline(*, shared=False, get_examples=examples, labels=None, **settings):
    """An initialized entity recognizer, behind a listener or with a tok2vec of its own."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    if shared:
        nlp.add_pipe("tok2vec", config={"model": tok2vec()})
    model = {
        "@architectures": "spacy-textconv.TagCRF.v1",
        "tok2vec": listener() if shared else tok2vec(),
    }
    ner = nlp.add_pipe("textconv_ner", name="ner", config={"model": model, **settings})
    for label in labels or []:
        ner.add_label(label)
    nlp.initialize(lambda: get_examples(nlp))
    return nlp


def train(nlp, steps=40, get_examples=examples, optimizer=None):
    optimizer = optimizer or Adam(0.01)
    for _ in range(steps):
        losses = nlp.update(get_examples(nlp), losses={}, sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return losses["ner"]


def trained_pipeline(**settings):
    nlp = ner_pipeline(**settings)
    train(nlp)
    return nlp


def predict(nlp, words, **annotation):
    return nlp(Doc(nlp.vocab, words=words, **annotation))


def found(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]


def expected(words, ents):
    return found(Doc(spacy.blank("en").vocab, words=words, ents=ents))


def assert_solved(nlp):
    for words, ents in ENTITIES:
        assert found(predict(nlp, words)) == expected(words, ents)


def reversed_labels(nlp):
    """Examples where every other document has the labels the wrong way round."""
    swap = {"PERSON": "PLACE", "PLACE": "PERSON"}
    made = examples(nlp)
    for example in made[::2]:
        for ent in example.reference.ents:
            wrong = Span(example.reference, ent.start, ent.end, label=swap[ent.label_])
            example.reference.set_ents([wrong], default="unmodified")
    return made
