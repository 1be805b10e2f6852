"""What a pipeline predicts for the tokens of a corpus."""

from collections.abc import Iterator
from pathlib import Path

import spacy
from spacy.tokens import Doc
from spacy.training import Corpus

Entity = tuple[int, int, str]  # The first token, the one after the last, and the label


def predict_corpus(pipeline: Path, corpus: Path) -> Iterator[tuple[Doc, Doc]]:
    """Pairs of a gold doc and the predicted one, which has the same tokens."""
    nlp = spacy.load(pipeline)
    examples = list(Corpus(corpus, gold_preproc=True)(nlp))
    predicted = nlp.pipe(example.predicted for example in examples)
    for example, doc in zip(examples, predicted, strict=True):
        yield example.reference, doc


def entities(doc: Doc) -> list[Entity]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def probabilities(doc: Doc, spans_key: str) -> dict[Entity, float]:
    """The predicted entities and their probabilities, which spaCy's `ner` does not give."""
    if spans_key not in doc.spans:
        return {}
    spans = doc.spans[spans_key]
    keys = [(span.start, span.end, span.label_) for span in spans]
    return dict(zip(keys, map(float, spans.attrs["scores"]), strict=True))
