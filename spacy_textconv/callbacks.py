"""Functions that configs name as callbacks."""

from typing import Callable, Iterable

from spacy.language import Language
from spacy.training import Example

from .errors import Errors


def create_calibrate_callback_v1(
    *, component: str, corpus: Callable[[Language], Iterable[Example]]
) -> Callable[[Language], Language]:
    """Create a callback for `[training] before_to_disk` that calibrates the probabilities of a
    component whenever a pipeline is saved.

    component (str): The name of the component, which has a method `calibrate`.
    corpus (Callable[[Language], Iterable[Example]]): The reader of annotated documents that are not
        part of the training, such as `${corpora.dev}`.
    RETURNS (Callable[[Language], Language]): The callback, which changes the pipeline in place.
    RAISES (KeyError, ValueError): When called, if the pipeline has no component of this name, or
        one without probabilities.
    """

    def calibrate(nlp: Language) -> Language:
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
