"""Why the documents of a pipeline are of a class, or not."""

from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Union, cast

from spacy.language import Language
from spacy.pipeline import TextCategorizer
from spacy.pipeline.tok2vec import Tok2Vec
from spacy.tokens import Doc

from ..errors import Errors
from ..models.types import EmbedT
from .maps import HeatMap, can_explain, make_maps


@dataclass(frozen=True)
class Explanation:
    """Why a document is of a class, or not.

    doc (Doc): The document.
    label (str): The class that the maps are about.
    probabilities (Dict[str, float]): The probability of each class.
    maps (List[HeatMap]): What each part of the network looks at.
    """

    doc: Doc
    label: str
    probabilities: Dict[str, float]
    maps: List[HeatMap]


def explain(
    nlp: Language,
    texts: Iterable[Union[str, Doc]],
    *,
    component: Optional[str] = None,
    label: Optional[str] = None,
) -> List[Explanation]:
    """Explain why documents are of a class, or not: by the products of gradient and input, the
    weights of attention layers, and the scores of n-grams. The pipeline stays as it is, and nothing
    is random. One document at a time takes as much memory as training on it.

    nlp (Language): The pipeline.
    texts (Iterable[Union[str, Doc]]): The documents. The components before the classifier are
        applied to them.
    component (Optional[str]): The name of a `textcat` or `textcat_multilabel` with
        `spacy-textconv.TextCatConv.v1`; None for the first one in the pipeline.
    label (Optional[str]): The class to explain; None for the most probable one of each document.
    RETURNS (List[Explanation]): One explanation for each document.
    RAISES (ValueError): If there is no such component or no such label.
    """
    classifier = _find_classifier(nlp, component)
    labels = list(classifier.labels)
    if label is not None and label not in labels:
        raise ValueError(
            Errors.E043.format(name=classifier.name, label=label, labels=", ".join(labels))
        )
    docs = [_read(nlp, text, classifier) for text in texts]
    if not docs:
        return []
    scores = classifier.model.ops.to_numpy(classifier.predict(docs))
    chosen = [labels.index(label) if label else int(row.argmax()) for row in scores]
    maps = make_maps(classifier.model, docs, chosen, _find_upstream(nlp, classifier))
    return [
        Explanation(doc, labels[column], dict(zip(labels, row.tolist(), strict=True)), of_doc)
        for doc, column, row, of_doc in zip(docs, chosen, scores, maps, strict=True)
    ]


def _find_classifier(nlp: Language, name: Optional[str]) -> TextCategorizer:
    pipes = dict(nlp.pipeline)
    names = ", ".join(pipes) or "none"
    if name is not None and name not in pipes:
        raise ValueError(Errors.E042.format(name=name, names=names))
    for candidate in pipes if name is None else [name]:
        pipe = pipes[candidate]
        if isinstance(pipe, TextCategorizer) and can_explain(pipe.model):
            return pipe
    if name is not None:
        raise ValueError(Errors.E041.format(name=name))
    raise ValueError(Errors.E040.format(names=names))


def _find_upstream(nlp: Language, classifier: TextCategorizer) -> Optional[EmbedT]:
    """Find the tok2vec that a classifier listens to."""
    tok2vec = classifier.model.get_ref("tok2vec")
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, Tok2Vec) and any(tok2vec is listener for listener in pipe.listeners):
            return cast(EmbedT, pipe.model)
    return None


def _read(nlp: Language, text: Union[str, Doc], classifier: TextCategorizer) -> Doc:
    """Apply the components before the classifier."""
    doc = nlp.make_doc(text) if isinstance(text, str) else text
    for _, pipe in nlp.pipeline:
        if pipe is classifier:
            break
        doc = pipe(doc)
    return doc
