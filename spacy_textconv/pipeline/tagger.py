"""spaCy's tagger and morphologizer, computed for all documents of a batch at once.

Settings, labels, files and results are spaCy's. spaCy asks the device for one document after the
other, many times in training; these components ask it for the whole batch.
"""

from dataclasses import replace
from functools import cache
from itertools import accumulate, repeat
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
    cast,
)

import numpy
from numpy import ndarray
from spacy.attrs import MORPH, POS, TAG
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.morphology import Morphology
from spacy.pipeline.morphologizer import DEFAULT_MORPH_MODEL, Morphologizer
from spacy.pipeline.tagger import DEFAULT_TAGGER_MODEL, Tagger
from spacy.tokens import Doc, MorphAnalysis
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d, Ints1d, Ints2d
from thinc.util import to_categorical

from ..errors import Errors
from ..models.rows import Rows, flatten_rows
from .base import has_same_words

# The class of a token whose label is missing.
MISSING = -1


@Language.factory(
    "textconv_tagger",
    assigns=["token.tag"],
    default_config={
        "model": DEFAULT_TAGGER_MODEL,
        "overwrite": False,
        "scorer": {"@scorers": "spacy.tagger_scorer.v1"},
        "neg_prefix": "!",
        "label_smoothing": 0.0,
    },
    default_score_weights={
        "tag_acc": 1.0,
        "pos_acc": 0.0,
        "tag_micro_p": None,
        "tag_micro_r": None,
        "tag_micro_f": None,
    },
)
def make_textconv_tagger(
    *,
    nlp: Language,
    name: str,
    model: Model[List[Doc], List[Floats2d]],
    overwrite: bool,
    scorer: Optional[Callable],
    neg_prefix: str,
    label_smoothing: float,
) -> "ConvTagger":
    """Make a tagger.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[List[Doc], List[Floats2d]]): The probabilities of the tags, for example
        `spacy.Tagger.v2`.
    overwrite (bool): Whether to replace tags that are there already.
    scorer (Optional[Callable]): The scoring method.
    neg_prefix (str): What stands before a tag of the training data that is known to be wrong.
    label_smoothing (float): The probability that training leaves to the wrong tags, all together.
    RETURNS (ConvTagger): The component.
    """
    return ConvTagger(
        nlp.vocab,
        model,
        name,
        overwrite=overwrite,
        scorer=scorer,
        neg_prefix=neg_prefix,
        label_smoothing=label_smoothing,
    )


@Language.factory(
    "textconv_morphologizer",
    assigns=["token.morph", "token.pos"],
    default_config={
        "model": DEFAULT_MORPH_MODEL,
        "overwrite": True,
        "extend": False,
        "scorer": {"@scorers": "spacy.morphologizer_scorer.v1"},
        "label_smoothing": 0.0,
    },
    default_score_weights={"pos_acc": 0.5, "morph_acc": 0.5, "morph_per_feat": None},
)
def make_textconv_morphologizer(
    *,
    nlp: Language,
    name: str,
    model: Model[List[Doc], List[Floats2d]],
    overwrite: bool,
    extend: bool,
    scorer: Optional[Callable],
    label_smoothing: float,
) -> "ConvMorphologizer":
    """Make a morphologizer.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[List[Doc], List[Floats2d]]): The probabilities of the labels, for example
        `spacy.Tagger.v2`.
    overwrite (bool): Whether to replace what is there already.
    extend (bool): Whether to keep the features that are there already and aren't predicted.
    scorer (Optional[Callable]): The scoring method.
    label_smoothing (float): The probability that training leaves to the wrong labels, all
        together.
    RETURNS (ConvMorphologizer): The component.
    """
    return ConvMorphologizer(
        nlp.vocab,
        model,
        name,
        overwrite=overwrite,
        extend=extend,
        scorer=scorer,
        label_smoothing=label_smoothing,
    )


# `spacy debug data` serves components whose metadata names spaCy's factories. A config keeps the
# name that the component was made by.
for _factory in ("tagger", "morphologizer"):
    _meta = Language.get_factory_meta(f"textconv_{_factory}")
    Language.set_factory_meta(f"textconv_{_factory}", replace(_meta, factory=_factory))


class BatchTagger(Tagger):
    """A component that gives each token one of its labels, all documents of a batch at once."""

    # The attributes of tokens that a label is made of.
    gold_attrs: Tuple[str, ...]

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch.

        examples (Iterable[Example]): The batch.
        drop (float): The dropout rate.
        sgd (Optional[Optimizer]): The optimizer; without it, gradients are added up.
        losses (Optional[Dict[str, float]]): The losses by component, to which this one is added.
        RETURNS (Dict[str, float]): The losses.
        RAISES (ValueError): If the scores are NaN, or no probabilities.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Tagger.update")
        docs = [example.predicted for example in examples]
        if not any(map(len, docs)):
            return losses
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update(docs)
        if numpy.isnan(float(self._flatten(scores).sum())):
            raise ValueError(SpacyErrors.E940)
        loss, d_scores = self.get_loss(examples, scores)
        backprop(d_scores)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Floats2d]
    ) -> Tuple[float, List[Floats2d]]:
        """Compute the loss of a batch and its gradient.

        examples (Iterable[Example]): The batch.
        scores (Sequence[Floats2d]): The probabilities of the labels, an array for each document.
        RETURNS (Tuple[float, List[Floats2d]]): The loss and its gradient with respect to the
            logits.
        RAISES (ValueError): If the loss is NaN, the scores are no probabilities or not those of the
            labels, or a label of the examples is unknown.
        """
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.get_loss")
        ops = self.model.ops
        right, wrong = self._get_gold(examples)
        probabilities = self._flatten(scores)
        outputs = probabilities.shape[1]
        if outputs != len(self.labels):
            raise ValueError(Errors.E066.format(value=outputs, actual=len(self.labels)))
        if ops.xp.any((probabilities < 0) | (probabilities > 1)):
            raise ValueError(Errors.E130.format(name=self.name, model=self.model.name))
        d_scores = probabilities - to_categorical(
            ops.asarray1i(right.clip(0)),
            n_classes=outputs,
            label_smoothing=self.cfg["label_smoothing"],
        )
        d_scores *= ops.asarray2f(right[:, None] != MISSING)
        tokens = numpy.flatnonzero(wrong != MISSING)
        if len(tokens):
            # All that is known of these tokens is that one label has the probability 0.
            index = ops.asarray1i(tokens), ops.asarray1i(wrong[tokens])
            d_scores[index] = probabilities[index]
        loss = float((d_scores**2).sum())
        if numpy.isnan(loss):
            raise ValueError(SpacyErrors.E910.format(name=self.name))
        return loss, Rows(d_scores, [len(rows) for rows in scores])

    def _scores2guesses(self, scores: Sequence[Floats2d]) -> List[ndarray]:
        """Find the best label of each token."""
        guesses = self.model.ops.to_numpy(self._flatten(scores).argmax(axis=1))
        # Several times as fast as `numpy.split`.
        stops = accumulate(map(len, scores))
        return [guesses[stop - len(rows) : stop] for rows, stop in zip(scores, stops, strict=True)]

    def _flatten(self, scores: Sequence[Floats2d]) -> Any:
        """Lay the scores of documents end to end. *Shape:* (tokens, labels)"""
        return flatten_rows(self.model.ops, scores, len(self.labels))

    def _get_gold(self, examples: Iterable[Example]) -> Tuple[ndarray, ndarray]:
        """Look up the class of each token of a batch: the one that is right, and the one that is
        known to be wrong, each as integers (tokens,), `MISSING` where there is none."""
        classes = {label: number for number, label in enumerate(self.labels)}
        targets: List[Tuple[int, int]] = []
        numbers: Dict[Tuple[Optional[int], ...], int] = {}
        gold: List[int] = []
        for example in examples:
            strings = example.reference.vocab.strings
            keys = _get_aligned(example, self.gold_attrs)
            for key in set(keys).difference(numbers):
                values = [None if value is None else strings[value] for value in key]
                numbers[key] = len(targets)
                targets.append(self._get_target(classes, *values))
            gold.extend([numbers[key] for key in keys])
        right, wrong = numpy.array(targets, dtype="int32").reshape(-1, 2)[gold].T
        return right, wrong

    def _get_target(self, classes: Dict[str, int], *values: Optional[str]) -> Tuple[int, int]:
        """Look up the right and the wrong class of a token.

        classes (Dict[str, int]): The class of each label.
        values (Optional[str]): What the token is annotated with, one for each of `gold_attrs`:
            "" where there is no annotation, None where it can't be aligned.
        """
        raise NotImplementedError


class ConvTagger(BatchTagger):
    """spaCy's `tagger`, computed for all documents of a batch at once.

    Takes what `spacy.pipeline.Tagger` takes.
    """

    gold_attrs = ("TAG",)

    def set_annotations(
        self, docs: Union[Doc, Iterable[Doc]], batch_tag_ids: Sequence[Ints1d]
    ) -> None:
        """Write tags into documents.

        docs (Iterable[Doc]): The documents.
        batch_tag_ids (Sequence[Ints1d]): The classes of their tokens, as `predict` gives them.
        """
        strings = self.vocab.strings
        tags = numpy.array([strings[label] for label in self.labels], dtype="uint64")
        for doc, classes in _pair(docs, batch_tag_ids):
            _write(doc, TAG, tags[classes], self.cfg["overwrite"])

    def _get_target(self, classes: Dict[str, int], *values: Optional[str]) -> Tuple[int, int]:
        (tag,) = values
        if not tag:
            return MISSING, MISSING
        prefix = self.cfg["neg_prefix"]
        is_wrong = bool(prefix) and tag.startswith(prefix)
        label = tag[len(prefix) :] if is_wrong else tag
        if label not in classes:
            raise ValueError(Errors.E131.format(name=self.name, label=label))
        return (MISSING, classes[label]) if is_wrong else (classes[label], MISSING)


class ConvMorphologizer(BatchTagger, Morphologizer):
    """spaCy's `morphologizer`, computed for all documents of a batch at once.

    Takes what `spacy.pipeline.Morphologizer` takes.
    """

    gold_attrs = ("POS", "MORPH")

    def set_annotations(
        self, docs: Union[Doc, Iterable[Doc]], batch_tag_ids: Sequence[Ints1d]
    ) -> None:
        """Write parts of speech and features into documents.

        docs (Iterable[Doc]): The documents.
        batch_tag_ids (Sequence[Ints1d]): The classes of their tokens, as `predict` gives them.
        """
        overwrite, extend = self.cfg["overwrite"], self.cfg["extend"]
        labels = self.labels
        parts = numpy.array([self.cfg["labels_pos"][label] for label in labels], dtype="uint64")

        @cache
        def analyse(vocab: Vocab, new: int, old: int = 0) -> MorphAnalysis:
            """Join the features that are predicted with those that a token has, if any."""
            features = self.cfg["labels_morph"][labels[new]]
            if not old or (overwrite and not extend):
                return MorphAnalysis(vocab, features)
            if not extend:
                return MorphAnalysis.from_id(vocab, old)
            found = Morphology.feats_to_dict(features)
            kept = Morphology.feats_to_dict(vocab.strings[old])
            return MorphAnalysis(vocab, {**kept, **found} if overwrite else {**found, **kept})

        for doc, classes in _pair(docs, batch_tag_ids):
            _write(doc, POS, parts[classes], overwrite)
            before = [doc.to_array(MORPH).tolist()] if doc.has_annotation(MORPH) else []
            analyses = map(analyse, repeat(doc.vocab), classes.tolist(), *before)
            # Faster than `Doc.from_array`, which looks up the strings of each token.
            for token, analysis in zip(doc, analyses, strict=True):
                token.morph = analysis

    def _get_target(self, classes: Dict[str, int], *values: Optional[str]) -> Tuple[int, int]:
        part, features = values
        # Features can be misaligned where parts of speech aren't.
        if part is None or features is None or part == features == "":
            return MISSING, MISSING
        annotation = Morphology.feats_to_dict(features)
        if part:
            annotation[self.POS_FEAT] = part
        label = self.vocab.strings[self.vocab.morphology.add(annotation)]
        return classes.get(label, MISSING), MISSING


def _get_aligned(example: Example, attrs: Tuple[str, ...]) -> List[Tuple[Optional[int], ...]]:
    """Look up attributes of the reference's tokens for those of the predicted document: 0 where
    they are missing, None where the tokenizations differ too much."""
    if has_same_words(example):
        columns = [example.reference.to_array(attr).tolist() for attr in attrs]
    else:
        columns = [example.get_aligned(attr) for attr in attrs]
    return list(zip(*columns, strict=True))


def _pair(
    docs: Union[Doc, Iterable[Doc]], batch: Sequence[Ints1d]
) -> Iterator[Tuple[Doc, ndarray]]:
    """Go through documents that have tokens, and their classes."""
    docs = [docs] if isinstance(docs, Doc) else docs
    for doc, classes in zip(docs, batch, strict=True):
        if len(doc):
            yield doc, numpy.asarray(classes)


def _write(doc: Doc, attr: int, values: ndarray, overwrite: bool) -> None:
    """Set an attribute of all tokens, or of those that don't have it yet."""
    if not overwrite and doc.has_annotation(attr):
        old = doc.to_array(attr)
        values = numpy.where(old, old, values)
    doc.from_array(attr, cast(Ints2d, values))
