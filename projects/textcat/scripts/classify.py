"""What a pipeline makes of the texts of a corpus."""

from pathlib import Path
from typing import NamedTuple

import numpy
import spacy
from spacy.training import Corpus


class Predictions(NamedTuple):
    labels: list[str]
    gold: numpy.ndarray  # (n_docs,), the number of the label
    probabilities: numpy.ndarray  # (n_docs, n_labels)


def classify_corpus(pipeline: Path, corpus: Path) -> Predictions:
    """Every doc of the corpus has all labels in `doc.cats`, as `convert.py` writes them."""
    nlp = spacy.load(pipeline)
    examples = list(Corpus(corpus)(nlp))
    labels = sorted(examples[0].reference.cats)
    gold = [[example.reference.cats[label] for label in labels] for example in examples]
    docs = nlp.pipe(example.predicted for example in examples)
    probabilities = [[doc.cats[label] for label in labels] for doc in docs]
    return Predictions(labels, numpy.array(gold).argmax(axis=1), numpy.array(probabilities))
