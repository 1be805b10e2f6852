"""Named entities, found for all tokens of all documents at once, with their probabilities."""

from dataclasses import replace
from itertools import islice
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Literal,
    Optional,
    Sequence,
    Tuple,
    cast,
)

import numpy
from numpy import ndarray
from spacy.attrs import ENT_IOB, IS_SPACE
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.pipeline.ner import ner_score
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import check_lexeme_norms
from spacy.vocab import Vocab
from thinc.api import Config, Model, set_dropout_rate
from thinc.types import Floats2d

from ..checks import check_choice, check_probability
from ..errors import Errors, Warnings
from ..layers import KINDS, BiluoTransitions, LinearChains, split_sizes
from ..models.rows import Rows, flatten_rows
from .base import ConvPipe, has_same_words
from .biluo import OUTSIDE, BiluoTags, exclude_impossible, find_impossible
from .calibration import best_tags, choose_offset, fit_probabilities

LOSSES = ("crf", "token")
PROBABILITY = "probability"
# What the label that a probability belongs to, and the `spans_key` of the component, are stored as
# beside it.
PREDICTED_LABEL = "predicted_label"
PREDICTED_KEY = "predicted_spans_key"
# Documents with so many scores in all are worked on side by side: with more, arrays are too large
# for the caches of a CPU.
GROUP_SCORES = 2**18
# How spaCy writes down that a token is outside of entities.
IOB_OUTSIDE = 2
# The probability of a span that is known to be no entity counts as this at most, so that the loss
# is finite.
MAX_INCORRECT = 1.0 - 1e-9

# First token, token after the last one, label and probability.
EntityT = Tuple[int, int, str, float]

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-textconv.TagCRF.v1"

[model.tok2vec]
@architectures = "spacy.Tok2Vec.v2"

[model.tok2vec.embed]
@architectures = "spacy-textconv.CharConvEmbed.v1"
width = 96
table_width = 64

[model.tok2vec.encode]
@architectures = "spacy-textconv.DilatedConvEncoder.v1"
width = 96
dilations = [1,1,2,1]
block = "gated"
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "textconv_ner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type", "span._.probability"],
    default_config={
        "model": DEFAULT_MODEL,
        "loss": "crf",
        "threshold": 0.0,
        "spans_key": "ner",
        "incorrect_spans_key": None,
        "scorer": {"@scorers": "spacy.ner_scorer.v1"},
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_textconv_ner(
    *,
    nlp: Language,
    name: str,
    model: Model[List[Doc], List[Floats2d]],
    loss: Literal["crf", "token"],
    threshold: float,
    spans_key: Optional[str],
    incorrect_spans_key: Optional[str],
    scorer: Optional[Callable],
) -> "ConvEntityRecognizer":
    """Make the component.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[List[Doc], List[Floats2d]]): The scores of the tags, for example
        `spacy-textconv.TagCRF.v1`.
    loss (str): "crf" trains the probability of the whole sequence of tags, "token" that of each
        tag by itself.
    threshold (float): Entities with a lower probability are left out.
    spans_key (Optional[str]): Where `doc.spans` lists the predicted entities, with their
        probabilities in `attrs["scores"]`; null for nowhere.
    incorrect_spans_key (Optional[str]): Where `doc.spans` of the training data lists spans that
        are known to be no entities with their label; null for nowhere.
    scorer (Optional[Callable]): The scoring method.
    RETURNS (ConvEntityRecognizer): The component.
    """
    return ConvEntityRecognizer(
        nlp.vocab,
        model,
        name,
        loss=loss,
        threshold=threshold,
        spans_key=spans_key,
        incorrect_spans_key=incorrect_spans_key,
        scorer=scorer,
    )


# `spacy evaluate --displacy-path` and `spacy debug data` serve components whose metadata names the
# factory `ner`. A config keeps the name that the component was made by.
Language.set_factory_meta(
    "textconv_ner", replace(Language.get_factory_meta("textconv_ner"), factory="ner")
)


def get_probability(span: Span) -> Optional[float]:
    """Look up the probability that a span was predicted with: the getter of
    `span._.probability`.

    span (Span): The span.
    RETURNS (Optional[float]): The probability. None if the span, with its label, was not predicted,
        NaN if only the probability was lost, as in JSON.
    """
    data = span.doc.user_data
    same = data.get(_attribute_key(span, PREDICTED_LABEL)) == span.label_
    return data.get(_attribute_key(span, PROBABILITY)) if same else None


def _store_probability(span: Span, probability: float, spans_key: Optional[str]) -> None:
    """Write down what `get_probability` and `_predicted_entities` look up."""
    span.doc.user_data[_attribute_key(span, PROBABILITY)] = probability
    span.doc.user_data[_attribute_key(span, PREDICTED_LABEL)] = span.label_
    span.doc.user_data[_attribute_key(span, PREDICTED_KEY)] = spans_key


def _predicted_entities(doc: Doc, spans_key: Optional[str]) -> List[Span]:
    """List the entities that a component with this `spans_key` has predicted."""
    return [
        ent
        for ent in doc.ents
        if get_probability(ent) is not None
        and doc.user_data.get(_attribute_key(ent, PREDICTED_KEY)) == spans_key
    ]


def _attribute_key(span: Span, name: str) -> Any:
    """The key in `doc.user_data` by which spaCy knows a custom attribute of a span."""
    return "._.", name, span.start_char, span.end_char


def _register_probability() -> bool:
    """Register `span._.probability` where the name is free. Returns whether it is ours."""
    if not Span.has_extension(PROBABILITY):
        Span.set_extension(PROBABILITY, getter=get_probability)
    _, _, getter, _ = Span.get_extension(PROBABILITY)
    return getter is get_probability


# Not only where a component is built: spaCy imports this module with the first pipeline of any
# kind, and unpickling does with a component, so programs that only read documents know it, too.
_register_probability()


class ConvEntityRecognizer(ConvPipe):
    """Finds named entities by tagging all tokens at once: a linear-chain CRF over BILUO tags, of
    which only valid sequences have a probability.

    vocab (Vocab): The shared vocabulary.
    model (Model[List[Doc], List[Floats2d]]): The scores of the tags, with those of transitions in
        the parameter `transitions` of the reference of the same name.
    name (str): The component's name.
    loss (str): "crf" or "token".
    threshold (float): Entities with a lower probability are left out.
    spans_key (Optional[str]): Where `doc.spans` lists the predicted entities.
    incorrect_spans_key (Optional[str]): Where `doc.spans` of the training data lists spans that
        are known to be no entities.
    scorer (Optional[Callable]): The scoring method.
    RAISES (ValueError): If a setting is out of its range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], List[Floats2d]],
        name: str = "textconv_ner",
        *,
        loss: Literal["crf", "token"] = "crf",
        threshold: float = 0.0,
        spans_key: Optional[str] = "ner",
        incorrect_spans_key: Optional[str] = None,
        scorer: Optional[Callable] = ner_score,
    ):
        check_choice("loss", loss, LOSSES)
        check_probability("threshold", threshold)
        if not model.has_ref("transitions"):
            raise ValueError(Errors.E075.format(name=name, model=model.name))
        self.vocab = vocab
        self.model = model
        self.name = name
        # What training and calibration find out; the settings stay in the config, where
        # `spacy.load(..., config=...)` can change them.
        self.cfg: Dict[str, Any] = {"labels": [], **_uncalibrated()}
        self.loss = loss
        self.threshold = threshold
        self.spans_key = spans_key
        self.incorrect_spans_key = incorrect_spans_key
        self.scorer = scorer
        self._known_tags = BiluoTags([])

    @property
    def tags(self) -> BiluoTags:
        """The tags of the labels."""
        if self._known_tags.labels != self.labels:
            self._known_tags = BiluoTags(self.labels)
        return self._known_tags

    def add_label(self, label: str) -> int:
        """Add a label. A model that is initialized already keeps all its other scores.

        label (str): The label.
        RETURNS (int): 1, or 0 if the label was there already.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        if label in self.labels:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        if self.model.has_dim("nO"):
            self.set_output(len(self.tags))
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Set the labels and the sizes of the model.

        get_examples (Callable[[], Iterable[Example]]): Returns a representative sample of the data.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[List[str]]): The labels, as `spacy init labels` writes them; those of the
            sample if None.
        """
        validate_get_examples(get_examples, "ConvEntityRecognizer.initialize")
        check_lexeme_norms(self.vocab, "NER")
        self.cfg.update(_uncalibrated())
        if labels is None:
            labels = _labels_of(get_examples())
        for label in labels:
            self.add_label(label)
        self.set_output(len(self.tags))
        self.model.initialize(X=[eg.predicted for eg in islice(get_examples(), 10)])

    def predict(self, docs: Iterable[Doc]) -> List[List[EntityT]]:
        """Find the entities of the best sequences of tags. No entity overlaps one that was set
        before, or a blocked token, crosses a sentence boundary that was set before, or begins or
        ends with a whitespace token.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[List[Tuple[int, int, str, float]]]): For each document its entities: first
            token, token after the last one, label and probability.
        """
        docs = list(docs)
        lengths = [len(doc) for doc in docs]
        if not any(lengths):
            return [[] for _ in docs]
        emissions = self._emissions(self.model.predict(docs))
        entities = []
        for group, tokens in self._groups(lengths):
            entities += self._find_entities(docs[group], emissions[tokens])
        return entities

    def set_annotations(self, docs: Iterable[Doc], scores: List[List[EntityT]]) -> None:
        """Write entities to documents, beside those that are there already.

        docs (Iterable[Doc]): The documents.
        scores (List[List[Tuple[int, int, str, float]]]): What `predict` returns for them.
        """
        if not _register_probability():
            self._warn(Warnings.W003)
        for doc, entities in zip(docs, scores, strict=True):
            if self.spans_key in doc.spans:
                self._restore_probabilities(doc, doc.spans[self.spans_key])
            spans = []
            for start, stop, label, probability in entities:
                span = Span(doc, start, stop, label=label)
                _store_probability(span, probability, self.spans_key)
                spans.append(span)
            _add_entities(doc, spans)
            if self.spans_key is not None:
                # Those of an earlier pass over the document, too.
                predicted = _predicted_entities(doc, self.spans_key)
                probabilities = [get_probability(ent) for ent in predicted]
                doc.spans[self.spans_key] = SpanGroup(
                    doc,
                    name=self.spans_key,
                    spans=predicted,
                    attrs={"scores": numpy.array(probabilities, dtype="float32")},
                )

    def _restore_probabilities(self, doc: Doc, group: SpanGroup) -> None:
        """Take what an earlier pass over the document has predicted from the group that lists it,
        as documents can be stored without user data."""
        scores = group.attrs.get("scores", ())
        if len(scores) != len(group):
            scores = numpy.full(len(group), numpy.nan)
        entities = {(ent.start, ent.end, ent.label) for ent in doc.ents}
        for span, score in zip(group, scores, strict=True):
            if (span.start, span.end, span.label) not in entities:
                self._warn(Warnings.W002, key=self.spans_key, text=span.text, label=span.label_)
            elif get_probability(span) is None:
                _store_probability(span, float(score), self.spans_key)

    def _learn(self, examples: List[Example], drop: float) -> Optional[float]:
        """Labels that were not known before are added."""
        for label in _labels_of(examples):
            self.add_label(label)
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update([eg.predicted for eg in examples])
        loss, d_scores, d_transitions = self._loss_and_gradients(examples, scores)
        backprop(d_scores)
        self.model.get_ref("transitions").inc_grad("transitions", d_transitions)
        return loss

    def get_loss(
        self, examples: Iterable[Example], scores: List[Floats2d]
    ) -> Tuple[float, List[Floats2d]]:
        """Compute the negative logarithm of the probability of what is known about the tags, summed
        over the documents ("crf") or over the tokens ("token"). Where nothing is known, there is
        nothing to learn (Tsuboi et al. 2008, "Training conditional random fields using incomplete
        annotations", section 3).

        examples (Iterable[Example]): The batch.
        scores (List[Floats2d]): The scores of the tags of each document. *Shape:* (tokens, tags)
        RETURNS (Tuple[float, List[Floats2d]]): The loss and its gradient.
        """
        examples = list(examples)
        validate_examples(examples, "ConvEntityRecognizer.get_loss")
        loss, d_scores, _ = self._loss_and_gradients(examples, scores)
        return loss, d_scores

    def calibrate(self, examples: Iterable[Example]) -> float:
        """Fit a few numbers to other documents than those of the training.

        The temperature, which all scores are divided by, and the bias of each label, which is added
        to the scores of its tags, are those that make what is known about the tags the most
        probable (Guo et al. 2017, "On calibration of modern neural networks", section 4.2), so that
        probabilities are those to be expected, and labels are as frequent as here.

        The offset, which is taken off the scores of O when the best sequence of tags is looked for,
        is the one with the highest F1: the most probable sequence leaves out every entity that is
        less probable than not, which costs recall where entities are hard to find.

        Of entities with labels that the component doesn't know, nothing is known. Biases and offset
        stay small unless much is gained.

        examples (Iterable[Example]): Annotated documents, whose predicted side has been through the
            components before this one.
        RETURNS (float): The temperature. It is 1 until the first calibration, and greater where
            probabilities were too extreme. Without any annotation it stays what it was.
        """
        examples = list(examples)
        validate_examples(examples, "ConvEntityRecognizer.calibrate")
        if not self.model.has_dim("nO"):
            raise ValueError(SpacyErrors.E109.format(name=self.name))
        gold = self._gold_tags(examples, allow_unknown=True)
        if not (gold >= 0).any():
            return self.cfg["temperature"]
        docs = [_without_predictions(eg.predicted, self.spans_key) for eg in examples]
        lengths = [len(doc) for doc in docs]
        groups = list(self._groups(lengths))
        emissions = [self._emissions(self.model.predict(docs[group])) for group, _ in groups]
        known = [
            (scores, gold[tokens], lengths[group])
            for scores, (group, tokens) in zip(emissions, groups, strict=True)
        ]
        fitted = fit_probabilities(known, self._chains, self.tags, self._transitions())
        if fitted is not None:
            temperature, biases = fitted
            self.cfg["temperature"] = temperature
            self.cfg["biases"] = dict(zip(self.labels, biases.tolist(), strict=True))
        calibrated = (
            (self._calibrated_chains(docs[group], scores), gold[tokens])
            for scores, (group, tokens) in zip(emissions, groups, strict=True)
        )
        self.cfg["offset"] = choose_offset(calibrated, self.tags)
        return self.cfg["temperature"]

    def _loaded(self, file: str, source: str) -> None:
        """Refuse a model that was saved with other labels."""
        actual = self.model.maybe_get_dim("nO")
        if file == "model" and actual not in (None, len(self.tags)):
            raise ValueError(
                Errors.E091.format(
                    source=source, labels=len(self.labels), tags=len(self.tags), actual=actual
                )
            )

    def _loss_and_gradients(
        self, examples: List[Example], scores: List[Floats2d]
    ) -> Tuple[float, List[Floats2d], Floats2d]:
        ops = self.model.ops
        emissions = self._emissions(scores)
        gold = self._gold_tags(examples)
        lengths = [len(doc_scores) for doc_scores in scores]
        loss, d_emissions = 0.0, numpy.empty_like(emissions)
        d_transitions = numpy.zeros((KINDS, len(self.tags)))
        # Of the loss by tokens, each token is a document of its own.
        by_token = self.loss == "token"
        sizes = [1] * len(gold) if by_token else lengths
        make_chains = self._single_tokens if by_token else self._chains
        for group, tokens in self._groups(sizes):
            chains = make_chains(emissions[tokens], sizes[group])
            part, d_emissions[tokens], d_part = chains.log_loss(gold[tokens])
            loss += part
            d_transitions += d_part
        if not numpy.isfinite(loss):
            raise ValueError(SpacyErrors.E910.format(name=self.name))
        if self.incorrect_spans_key is not None:
            loss += self._add_incorrect_spans(
                examples, emissions, lengths, d_emissions, d_transitions
            )
        d_scores = Rows(ops.asarray2f(cast(Floats2d, d_emissions)), lengths)
        return loss, d_scores, ops.asarray2f(cast(Floats2d, d_transitions))

    def _add_incorrect_spans(
        self,
        examples: List[Example],
        emissions: ndarray,
        lengths: List[int],
        d_emissions: ndarray,
        d_transitions: ndarray,
    ) -> float:
        """Compute the negative logarithm of the probability that a span is no entity, summed over
        all spans of which this is known, and add its gradients to those given."""
        spans = []
        for owner, eg in enumerate(examples):
            incorrect = eg.reference.spans.get(self.incorrect_spans_key, [])
            correct = {(ent.start, ent.end, ent.label) for ent in eg.reference.ents}
            for span in incorrect:
                if (span.start, span.end, span.label) in correct:
                    found = span.start_char, span.end_char, span.label_
                    raise ValueError(SpacyErrors.E868.format(span=found))
            for span in eg.get_aligned_spans_y2x(incorrect, allow_overlap=True):
                span = self._trim(span)
                if len(span) and span.label_ in self.labels:
                    spans.append((owner, span))
        ends = numpy.cumsum(lengths)
        sizes = [lengths[owner] for owner, _ in spans]
        loss = 0.0
        for group, _ in self._groups(sizes):
            # Each span with a copy of its document, as it is and with the tags of the entity.
            rows, known = [], []
            for owner, span in spans[group]:
                rows.append(numpy.arange(ends[owner] - lengths[owner], ends[owner]))
                known.append(numpy.full(lengths[owner], -1))
                known[-1][span.start : span.end] = self.tags.of_entity(span.label_, len(span))
            index = numpy.concatenate(rows)
            unconstrained = self._chains(emissions[index], sizes[group])
            constrained = unconstrained.restrict(numpy.concatenate(known))
            probabilities = numpy.exp(constrained.log_partition - unconstrained.log_partition)
            probabilities = numpy.minimum(probabilities, MAX_INCORRECT)
            weights = probabilities / (1.0 - probabilities)
            for chains, sign in ((constrained, 1.0), (unconstrained, -1.0)):
                _, d_part, d_part_transitions = chains.gradients(sign * weights)
                numpy.add.at(d_emissions, index, d_part)
                if self.loss == "crf":
                    d_transitions += d_part_transitions
            loss -= float(numpy.log1p(-probabilities).sum())
        return loss

    def _gold_tags(self, examples: List[Example], *, allow_unknown: bool = False) -> ndarray:
        """Find the tag of each token, -1 where it is unknown, doesn't fit the tokens or belongs to
        an entity that prediction can't find. Entities lose white space at their ends."""
        labels, gold = set(self.labels), []
        for eg in examples:
            entities, is_outside = _aligned_entities(eg)
            tags = numpy.where(is_outside, OUTSIDE, -1)
            for ent in entities:
                if ent.label_ in labels:
                    tags[ent.start : ent.end] = OUTSIDE
                    ent = self._trim(ent)
                    tags[ent.start : ent.end] = self.tags.of_entity(ent.label_, len(ent))
                elif allow_unknown:
                    tags[ent.start : ent.end] = -1
                else:
                    raise ValueError(Errors.E019.format(label=ent.label_, name=self.name))
            gold.append(tags)
        docs = [_without_predictions(eg.predicted, self.spans_key) for eg in examples]
        return self._possible_tags(docs, numpy.concatenate([numpy.zeros(0, "int64"), *gold]))

    def _trim(self, span: Span) -> Span:
        """Take white space off the ends of a span."""
        words = [token.i for token in span if not token.is_space]
        start, stop = (words[0], words[-1] + 1) if words else (span.start, span.start)
        if stop - start < len(span):
            self._warn(Warnings.W001, text=span.text, label=span.label_)
        return Span(span.doc, start, stop, label=span.label)

    def _possible_tags(self, docs: List[Doc], gold: ndarray) -> ndarray:
        """Make the tags of entities that prediction can't find unknown."""
        impossible = numpy.zeros(len(gold), dtype="bool")
        for tokens, forbidden in find_impossible(docs, self.tags):
            impossible |= tokens & forbidden[gold] & (gold >= 0)
        starts, stops, _ = self.tags.entities(numpy.maximum(gold, 0))
        for start, stop in zip(starts, stops, strict=True):
            if impossible[start:stop].any():
                gold[start:stop] = -1
        return gold

    def _emissions(self, scores: List[Floats2d]) -> ndarray:
        """Bring the scores of a batch together, on the CPU. *Shape:* (tokens, tags)"""
        ops = self.model.ops
        return ops.to_numpy(flatten_rows(ops, scores, len(self.tags)))

    def _groups(self, lengths: List[int]) -> Iterator[Tuple[slice, slice]]:
        """Split a batch into groups with a limited number of scores.

        lengths (List[int]): The number of tokens of each document.
        YIELDS (Tuple[slice, slice]): The documents and the tokens of a group.
        """
        bounds = numpy.append(0, numpy.cumsum(lengths))
        for group in split_sizes(lengths, GROUP_SCORES // len(self.tags)):
            yield group, slice(bounds[group.start], bounds[group.stop])

    def _find_entities(self, docs: List[Doc], emissions: ndarray) -> List[List[EntityT]]:
        """Find the entities of a group of documents."""
        chains = self._calibrated_chains(docs, emissions)
        tags = best_tags(chains, self.tags, self.cfg["offset"])
        starts, stops, labels = self.tags.entities(tags)
        probabilities = chains.span_probabilities(tags, starts, stops)
        ends = chains.lengths.cumsum()
        owners = numpy.searchsorted(ends, starts, side="right")
        offsets = (ends - chains.lengths)[owners]
        columns = (owners, starts - offsets, stops - offsets, labels, probabilities)
        names = self.labels
        entities: List[List[EntityT]] = [[] for _ in docs]
        for owner, start, stop, label, probability in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            if probability >= self.threshold:
                entities[owner].append((start, stop, names[label], probability))
        return entities

    def _biases(self) -> ndarray:
        """The bias of each label."""
        return numpy.array([self.cfg["biases"].get(label, 0.0) for label in self.labels])

    def _transitions(self) -> ndarray:
        """The scores of transitions. *Shape:* (4, tags)"""
        scores = self.model.get_ref("transitions").get_param("transitions")
        return self.model.ops.to_numpy(scores)

    def _calibrated_chains(self, docs: List[Doc], emissions: ndarray) -> LinearChains:
        """Join calibrated scores to the CRF over all sequences of tags that don't contradict what
        is known about the tokens. The tags that do are excluded from `emissions`."""
        exclude_impossible(docs, emissions, self.tags)
        lengths = [len(doc) for doc in docs]
        return self._chains(emissions, lengths, self.cfg["temperature"], self._biases())

    def _chains(
        self,
        emissions: ndarray,
        lengths: List[int],
        temperature: float = 1.0,
        biases: Optional[ndarray] = None,
    ) -> LinearChains:
        """Join scores of tags and transitions to the CRF over all valid sequences."""
        tags = self.tags
        scores = emissions / temperature
        if biases is not None:
            scores += tags.of_tags(biases)
        # Tags that can't begin or end a document.
        filled = numpy.array([length for length in lengths if length], dtype="int64")
        stops = filled.cumsum()
        scores[numpy.ix_(stops - filled, tags.continues)] = -numpy.inf
        scores[numpy.ix_(stops - 1, tags.is_continued)] = -numpy.inf
        return LinearChains(scores, BiluoTransitions(self._transitions() / temperature), lengths)

    def _single_tokens(self, emissions: ndarray, lengths: List[int]) -> LinearChains:
        """Take tokens as documents of their own, with any tag."""
        return LinearChains(emissions, BiluoTransitions(self._transitions()), lengths)


def _aligned_entities(example: Example) -> Tuple[Sequence[Span], ndarray]:
    """Find the entities of the reference that fit the tokens of the predicted document, and which
    of these are known to be outside of entities, if they aren't part of one of those. *Shape:*
    (tokens,)"""
    if not has_same_words(example):
        entities, names = example.get_aligned_ents_and_ner()
        return entities, numpy.array([name == "O" for name in names], dtype="bool")
    iob, is_space = example.reference.to_array([ENT_IOB, IS_SPACE]).reshape(-1, 2).T
    # White space in an annotated document is outside if nothing else is said.
    return example.reference.ents, (iob == IOB_OUTSIDE) | (is_space.astype("bool") & iob.any())


def _labels_of(examples: Iterable[Example]) -> List[str]:
    """List the labels of all annotated entities."""
    return sorted({ent.label_ for eg in examples for ent in eg.reference.ents})


def _uncalibrated() -> Dict[str, Any]:
    """What `calibrate` sets, as it is before: a new dictionary, as components change theirs."""
    return {"temperature": 1.0, "biases": {}, "offset": 0.0}


def _without_predictions(doc: Doc, spans_key: Optional[str]) -> Doc:
    """Take back the entities that a component with this `spans_key` has predicted."""
    predicted = _predicted_entities(doc, spans_key)
    if not predicted:
        return doc
    doc = doc.copy()
    doc.set_ents([], missing=predicted, default="unmodified")
    return doc


def _add_entities(doc: Doc, spans: List[Span]) -> None:
    """Add entities to those of a document. Tokens of which nothing was known are outside then."""
    if not doc.has_annotation("ENT_IOB"):
        doc.set_ents(spans)
        return
    unknown = doc.to_array([ENT_IOB]).reshape(-1) == 0
    for span in spans:
        unknown[span.start : span.end] = False
    outside = [doc[i : i + 1] for i in unknown.nonzero()[0]]
    doc.set_ents(spans, outside=outside, default="unmodified")
