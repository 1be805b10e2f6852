"""Functions that configs name as callbacks."""

from typing import Any, Callable, Iterable, Iterator, List, Sequence, Tuple

import numpy
from numpy import ndarray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from .errors import Errors
from .models.heads.ngrams import find_layers, fit_ratios, fit_vocabulary

# How many documents are counted at a time.
DOCS_PER_BATCH = 256


def create_calibrate_callback_v1(
    *, component: str, corpus: Callable[[Language], Iterable[Example]]
) -> Callable[[Language], Language]:
    """Create a callback for `[training] before_to_disk` that calibrates the probabilities of a
    component, and how many entities it lets in, whenever a pipeline is saved. The next evaluation
    of the training still uses what was fitted. A frozen component stays as it is.

    component (str): The name of the component, which has a method `calibrate`.
    corpus (Callable[[Language], Iterable[Example]]): The reader of annotated documents that are not
        part of the training, such as `${corpora.dev}`.
    RETURNS (Callable[[Language], Language]): The callback, which changes the pipeline in place.
    RAISES (KeyError, ValueError): When called, if the pipeline has no component of this name, or
        one without probabilities.
    """

    def calibrate(nlp: Language) -> Language:
        if component in nlp.config["training"].get("frozen_components", []):
            return nlp
        calibrate_component = getattr(nlp.get_pipe(component), "calibrate", None)
        if calibrate_component is None:
            raise ValueError(Errors.E021.format(name=component))
        examples = list(corpus(nlp))
        before = nlp.component_names[: nlp.component_names.index(component)]
        with nlp.select_pipes(enable=[name for name in before if name in nlp.pipe_names]):
            docs = list(nlp.pipe(example.predicted for example in examples))
        for example, doc in zip(examples, docs, strict=True):
            example.predicted = doc
        calibrate_component(examples)
        return nlp

    return calibrate


def create_naive_bayes_callback_v1(
    *, component: str, corpus: Callable[[Language], Iterable[Example]]
) -> Callable[[Language], Language]:
    """Create a callback for `[initialize] after_init` that gives all
    `spacy-textconv.NgramLinear.v1` in the model of a text classifier the n-grams of the training
    data, their ratios, and biases from the frequencies of the classes. Documents of which nothing
    is annotated are left out. A component that is not trained, because it is frozen or sourced from
    another pipeline, stays as it is.

    component (str): The name of the component.
    corpus (Callable[[Language], Iterable[Example]]): The reader of the training data, such as
        `${corpora.train}`, which has to come to an end. It is read twice.
    RETURNS (Callable[[Language], Language]): The callback, which changes the pipeline in place.
    RAISES (KeyError, ValueError): When called, if the pipeline has no component of this name, or
        one without n-grams.
    """

    def fit(nlp: Language) -> Language:
        if component in nlp.disabled:
            return nlp
        classifier: Any = nlp.get_pipe(component)
        layers = find_layers(classifier.model) if hasattr(classifier, "model") else []
        if not layers:
            raise ValueError(Errors.E022.format(name=component))
        exclusive = not classifier.model.attrs["multi_label"]

        def read_batches() -> Iterator[Tuple[List[Doc], ndarray]]:
            for examples in minibatch(corpus(nlp), DOCS_PER_BATCH):
                truths = _truths(examples, classifier.labels, exclusive)
                annotated = (~numpy.isnan(truths)).any(axis=1)
                if annotated.any():
                    docs = [examples[i].predicted for i in annotated.nonzero()[0]]
                    yield docs, truths[annotated]

        fit_vocabulary(layers, (docs for docs, _ in read_batches()))
        fit_ratios(layers, read_batches(), exclusive=exclusive)
        return nlp

    return fit


def _truths(examples: Sequence[Example], labels: Sequence[str], exclusive: bool) -> ndarray:
    """Tell for each document and class if it is right (1), wrong (0) or unknown (nan). *Shape:*
    (documents, classes)"""
    cats = [example.reference.cats for example in examples]
    truths = numpy.array([[known.get(label, numpy.nan) for label in labels] for known in cats])
    if exclusive:
        # The class that is right says that the others are wrong.
        right = truths == 1
        truths = numpy.where(right.any(axis=1, keepdims=True), right, numpy.nan)
    return truths
