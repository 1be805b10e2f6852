"""Texts as points, and points as texts."""

import math
from dataclasses import replace
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Union, cast

import numpy
import torch
from numpy import ndarray
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Optimizer, set_dropout_rate
from thinc.types import Floats2d
from thinc.util import to_numpy

from ..checks import (
    check_choice,
    check_natural,
    check_not_negative,
    check_positive,
    check_probability,
    check_seed,
)
from ..errors import Errors, Warnings
from ..generation.sampling import Sampler
from ..generation.search import check_beam
from ..generation.symbols import START, UNKNOWN
from ..layers import kl_divergence
from ..models.attributes import EXTENSION
from ..models.decode import SequenceBatch, starting
from ..models.heads.vae import TextBatch, TextVAET
from ..scorers import vae_score
from .sequences import DocExtensions, SequencePipe, check_symbols

# So many texts are worked on side by side.
GROUP = 128

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-textconv.TextVAE.v1"
latent = 32

[model.tok2vec]
@architectures = "spacy.Tok2Vec.v2"

[model.tok2vec.embed]
@architectures = "spacy-textconv.CharConvEmbed.v1"
width = 256

[model.tok2vec.encode]
@architectures = "spacy-textconv.DilatedConvEncoder.v1"
width = 256
dilations = [1]
block = "gated"

[model.pooling]
@architectures = "spacy-textconv.FlattenAttend.v1"
width = 256
out_width = 256
max_length = 64

[model.decoder]
@architectures = "spacy-textconv.DeconvDecoder.v1"
max_length = 64
width = 256
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]

TextT = Union[str, Doc]


@Language.factory(
    "textconv_vae",
    default_config={
        "model": DEFAULT_MODEL,
        "target": "_.latent",
        "symbols": "words",
        "reads": "tokens",
        "max_symbols": 4000,
        "max_length": 64,
        "conditions": [],
        "kl_weight": 1.0,
        "kl_annealing": 0,
        "free_bits": 0.0,
        "word_dropout": 0.0,
        "auxiliary_weight": 0.2,
        "scorer": {"@scorers": "spacy-textconv.vae_scorer.v1"},
    },
    default_score_weights={
        "latent_bleu": 1.0,
        "latent_exact": 0.0,
        "latent_nll": 0.0,
        "latent_kl": 0.0,
        "latent_active": 0.0,
    },
)
def make_textconv_vae(
    *,
    nlp: Language,
    name: str,
    model: TextVAET,
    target: str,
    symbols: str,
    reads: str,
    max_symbols: int,
    max_length: int,
    conditions: List[str],
    kl_weight: float,
    kl_annealing: int,
    free_bits: float,
    word_dropout: float,
    auxiliary_weight: float,
    scorer: Optional[Callable],
) -> "ConvVAE":
    """Make the component.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[TextBatch, Reconstruction]): What squeezes documents into points and writes texts,
        such as `spacy-textconv.TextVAE.v1`.
    target (str): The extension that each document's point is written to: with "_.latent", it is
        `doc._.latent`. It is registered if it isn't yet.
    symbols (str): What texts are written with: "letters", "words" or "pieces" of words, which
        sentencepiece finds in the training data.
    reads (str): What the model reads: "tokens", or the same "symbols" as it writes, in the place of
        tokens. The latter are easier to write again.
    max_symbols (int): The number of different words or pieces. Of letters, all are symbols.
    max_length (int): The most symbols that a text has, with one for its end. Longer ones are cut in
        training.
    conditions (List[str]): Categories of `doc.cats` that texts are written under, and that can be
        chosen when one is written.
    kl_weight (float): How much the divergence of the points from a standard normal distribution
        counts.
    kl_annealing (int): The number of updates in which this weight rises from 0 (Bowman et al. 2016,
        section 3.1). Batches that `accumulate_gradient` adds up are one.
    free_bits (float): How many bits of each column of the latent space cost nothing.
    word_dropout (float): The probability that a decoder which looks back at symbols sees an unknown
        one instead in training (Bowman et al. 2016, section 3.2).
    auxiliary_weight (float): How much it counts in training what the deconvolutions of a hybrid
        decoder tell of a text by themselves (Semeniuta et al. 2017, section 3.4).
    scorer (Optional[Callable]): The scoring method.
    RETURNS (ConvVAE): The component.
    """
    return ConvVAE(
        nlp.vocab,
        model,
        name,
        tokenizer=nlp.tokenizer,
        target=target,
        symbols=symbols,
        reads=reads,
        max_symbols=max_symbols,
        max_length=max_length,
        conditions=conditions,
        kl_weight=kl_weight,
        kl_annealing=kl_annealing,
        free_bits=free_bits,
        word_dropout=word_dropout,
        auxiliary_weight=auxiliary_weight,
        scorer=scorer,
    )


class ConvVAE(SequencePipe):
    """Gives each document a point, and writes the text of any point. Texts are written in the
    Unicode normal form NFC.

    vocab (Vocab): The shared vocabulary.
    model (Model[TextBatch, Reconstruction]): What squeezes documents into points and writes texts.
    name (str): The component's name.
    tokenizer (Callable[[str], Doc]): Makes documents of texts.
    target (str): The extension that points are written to.
    symbols (str): "letters", "words" or "pieces".
    reads (str): "tokens" or "symbols".
    max_symbols (int): The number of different words or pieces.
    max_length (int): The most symbols that a text has, with one for its end.
    conditions (Sequence[str]): Categories that texts are written under.
    kl_weight (float): How much the divergence of the points counts.
    kl_annealing (int): The number of updates in which this weight rises from 0.
    free_bits (float): How many bits of each column of the latent space cost nothing.
    word_dropout (float): The probability that a symbol is unknown to a decoder that looks back.
    auxiliary_weight (float): How much it counts what the deconvolutions of a hybrid decoder tell.
    scorer (Optional[Callable]): The scoring method.
    RAISES (ValueError): If a setting is out of its range, or the model listens to another component
        but reads symbols.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: TextVAET,
        name: str = "textconv_vae",
        *,
        tokenizer: Callable[[str], Doc],
        target: str = "_.latent",
        symbols: str = "words",
        reads: str = "tokens",
        max_symbols: int = 4000,
        max_length: int = 64,
        conditions: Sequence[str] = (),
        kl_weight: float = 1.0,
        kl_annealing: int = 0,
        free_bits: float = 0.0,
        word_dropout: float = 0.0,
        auxiliary_weight: float = 0.2,
        scorer: Optional[Callable] = vae_score,
    ):
        check_symbols(symbols, max_symbols)
        check_choice("reads", reads, ("tokens", "symbols"))
        check_positive("max_length", max_length)
        check_not_negative("kl_weight", kl_weight)
        check_natural("kl_annealing", kl_annealing)
        check_not_negative("free_bits", free_bits)
        check_probability("word_dropout", word_dropout)
        check_not_negative("auxiliary_weight", auxiliary_weight)
        if "encode" not in model.attrs or "conditions" not in model.attrs:
            raise ValueError(Errors.E173.format(name=name, model=model.name))
        limit = model.attrs["max_length"]
        if limit is not None and max_length > limit:
            raise ValueError(Errors.E174.format(name=name, value=max_length, limit=limit))
        upstream = _find_upstream(model)
        if upstream is not None and reads == "symbols":
            raise ValueError(Errors.E123.format(name=name, upstream=upstream))
        model.attrs["conditions"] = len(conditions)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.tokenizer = tokenizer
        self.target = target.removeprefix(EXTENSION)
        self.symbols = symbols
        self.reads = reads
        self.max_symbols = max_symbols
        self.max_length = max_length
        self.conditions = tuple(conditions)
        self.kl_weight = kl_weight
        self.kl_annealing = kl_annealing
        self.free_bits = free_bits
        self.word_dropout = word_dropout
        self.auxiliary_weight = auxiliary_weight
        self.scorer = scorer
        # The weights know the conditions by their numbers alone.
        self.cfg: Dict[str, Any] = {"symbols": {}, "conditions": list(conditions)}
        self._updates = 0
        self._extensions = DocExtensions([self.target])

    @property
    def width(self) -> int:
        """The number of columns of points."""
        return self.model.attrs["width"]

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Find the symbols, and set the sizes of the model.

        get_examples (Callable[[], Iterable[Example]]): Returns the training data, or a
            representative sample.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[Dict[str, Any]]): The symbols, as `spacy init labels` writes them; those of
            the sample if None.
        RAISES (ValueError): If all texts of the sample are empty, or no category is a condition.
        """
        validate_get_examples(get_examples, "ConvVAE.initialize")
        texts, known = [], dict.fromkeys(self.conditions, 0)
        for eg in get_examples():
            texts.append(eg.reference.text)
            for label in eg.reference.cats.keys() & known.keys():
                known[label] += 1
        if not any(text.strip() for text in texts):
            raise ValueError(Errors.E176.format(name=self.name, what="a text"))
        missing = [condition for condition, number in known.items() if not number]
        if missing:
            what = f"a value for {missing} of `conditions` in `doc.cats`"
            raise ValueError(Errors.E176.format(name=self.name, what=what))
        self._set_symbols(texts, labels)
        _, lengths = self.alphabet.encode(texts)
        long = int((lengths >= self.max_length).sum())
        if long:
            self._warn(Warnings.W043, long=long, number=len(texts), limit=self.max_length)
        self._updates = 0
        docs = [eg.predicted for eg in islice(get_examples(), 10)]
        self.model.initialize(X=cast(Any, self._split(docs)))

    def predict(self, docs: Iterable[Doc]) -> List[ndarray]:
        """Find the points of documents.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[ndarray]): The point of each document: the mean of its distribution, if the
            latent space is a Gaussian one. *Shape:* (latent,)
        """
        docs = list(docs)
        self._require_model()
        if not docs:
            return []
        means, _ = self.model.attrs["encode"](self.model, self._split(docs))
        return list(to_numpy(means))

    def set_annotations(self, docs: Iterable[Doc], scores: List[ndarray]) -> None:
        """Write points to documents.

        docs (Iterable[Doc]): The documents.
        scores (List[ndarray]): What `predict` returns for them.
        """
        self._extensions.register()
        for doc, point in zip(docs, scores, strict=True):
            # Not a view, which would keep the points of all documents of its batch.
            doc._.set(self.target, point.copy())

    def encode(self, docs: Union[TextT, Iterable[TextT]], *, cut: bool = False) -> Floats2d:
        """Find the points of texts.

        docs (Union[str, Doc, Iterable[Union[str, Doc]]]): Texts or documents, or a single one. A
            model that listens to another component needs documents of the pipeline.
        cut (bool): Whether texts that are too long to be written again have points as well.
        RETURNS (Floats2d): *Shape:* (texts, latent)
        RAISES (ValueError): If a text has more than `max_length` symbols.
        """
        made = self._read(docs)
        if not cut:
            _, lengths = self.alphabet.encode([doc.text for doc in made])
            if len(made) and lengths.max() >= self.max_length:
                longest = int(lengths.max()) + 1
                raise ValueError(Errors.E172.format(length=longest, limit=self.max_length))
        points = self.predict(made)
        return cast(Floats2d, numpy.stack(points) if points else numpy.zeros((0, self.width), "f"))

    def decode(
        self,
        vectors: Any,
        *,
        label: Optional[str] = None,
        strength: float = 1.0,
        beam: int = 1,
        length_penalty: float = 1.0,
        sampler: Optional[Sampler] = None,
    ) -> List[str]:
        """Write the texts of points, whatever they come from.

        vectors (Floats2d): The points. *Shape:* (texts, latent)
        label (Optional[str]): The condition that the texts are written under.
        strength (float): How much the condition counts: 1 as in training, and with more, texts are
            more typical of it.
        beam (int): How many sequences are kept in mind while one is written. 1 writes the most
            probable symbols.
        length_penalty (float): How much longer sequences are preferred, for a beam.
        sampler (Optional[Sampler]): Draws the symbols, instead of a search.
        RETURNS (List[str]): The texts.
        RAISES (ValueError): If the vectors are of another width or not finite, or the label is no
            condition.
        """
        check_beam(beam, 1, length_penalty)
        check_not_negative("strength", strength)
        self._require_model()
        points = self._check_points(vectors)
        conditions = numpy.zeros((len(points), len(self.conditions)), dtype="float32")
        if label is not None:
            conditions[:, self._condition(label)] = strength
        rows = self.model.ops.asarray2f(cast(Any, numpy.hstack([points, conditions])))
        return self._write(rows, beam=beam, length_penalty=length_penalty, sampler=sampler)

    def interpolate(
        self, first: TextT, second: TextT, *, steps: int = 7, **settings: Any
    ) -> List[str]:
        """Write the texts of points on the line between two texts.

        first, second (Union[str, Doc]): The texts.
        steps (int): The number of points, those of the two texts among them.
        settings (Any): As for `decode`.
        RETURNS (List[str]): The texts.
        RAISES (ValueError): If there are fewer than two steps, or as `encode` and `decode` do.
        """
        check_positive("steps", steps, least=2)
        start, end = self.encode([first, second])
        shares = numpy.linspace(0.0, 1.0, steps, dtype="float32")[:, None]
        return self.decode((1 - shares) * start + shares * end, **settings)

    def generate(self, n: int = 1, *, seed: Optional[int] = None, **settings: Any) -> List[str]:
        """Write texts of points that are drawn from the prior distribution.

        n (int): Their number.
        seed (Optional[int]): Equal seeds draw the same points. None for others each time.
        settings (Any): As for `decode`.
        RETURNS (List[str]): The texts.
        RAISES (ValueError): If the model is a plain autoencoder, or as `decode` does.
        """
        check_natural("n", n)
        check_seed(seed)
        self._require_latent()
        points = numpy.random.default_rng(seed).standard_normal((n, self.width), dtype="float32")
        return self.decode(points, **settings)

    def rewrite(self, doc: TextT, label: str, **settings: Any) -> str:
        """Write the text of a document's point under another condition.

        doc (Union[str, Doc]): The document.
        label (str): The condition.
        settings (Any): As for `decode`.
        RETURNS (str): The text.
        RAISES (ValueError): If it isn't a single document, or as `encode` and `decode` do.
        """
        if not isinstance(doc, (str, Doc)):
            raise ValueError(Errors.E125.format(name=self.name, value=doc))
        return self.decode(self.encode(doc), label=label, **settings)[0]

    def log_likelihoods(
        self, docs: Union[TextT, Iterable[TextT]], *, samples: int = 100, seed: int = 0
    ) -> ndarray:
        """Estimate how probable texts are, by importance sampling.

        docs (Union[str, Doc, Iterable[Union[str, Doc]]]): The texts, with their categories if there
            are conditions.
        samples (int): The number of points for each text.
        seed (int): Equal seeds draw the same points.
        RETURNS (ndarray): The logarithms of the probabilities, in nats; of a text that is too long,
            that of what it is cut to in training. *Shape:* (texts,)
        RAISES (ValueError): If the model is a plain autoencoder.
        """
        check_positive("samples", samples)
        check_natural("seed", seed)
        self._require_latent()
        found = [numpy.zeros(0, dtype="float32")]
        for group in _groups(self._read(docs)):
            batch = self._batch(group, group)
            found.append(self.model.attrs["log_likelihoods"](self.model, batch, samples, seed))
        return numpy.concatenate(found)

    def _learn(self, examples: List[Example], drop: float) -> Optional[float]:
        self._require_model()
        set_dropout_rate(self.model, drop)
        batch = self._batch([eg.predicted for eg in examples], [eg.reference for eg in examples])
        hidden = batch._replace(sequences=self._drop_words(batch.sequences))
        outputs, backprop = self.model.begin_update(hidden)
        share = min(1.0, (self._updates + 1) / self.kl_annealing) if self.kl_annealing else 1.0
        loss, gradients = self.model.attrs["loss"](
            outputs,
            batch.sequences,
            self.kl_weight * share,
            self.free_bits,
            self.auxiliary_weight,
        )
        if not math.isfinite(loss):
            raise ValueError(SpacyErrors.E910.format(name=self.name))
        backprop(gradients)
        return loss

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the model by the gradients of one or more batches.

        sgd (Optimizer): The optimizer.
        """
        super().finish_update(sgd)
        self._updates += 1

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score a batch of examples: their points, and what is written for these.

        examples (Iterable[Example]): The examples.
        RETURNS (Dict[str, Any]): What the scorer returns.
        """
        if self.scorer is None:
            return {}
        examples = list(examples)
        nlls, means, divergences, texts = [], [], [], []
        for group in _groups(examples):
            batch = self._batch([eg.predicted for eg in group], [eg.reference for eg in group])
            outputs = self.model.predict(batch)
            # Nothing is annealed, and nothing is free, where it is measured.
            loss, _ = self.model.attrs["loss"](outputs, batch.sequences, 0.0, 0.0, 0.0)
            nlls.append(loss * len(batch.sequences.symbols))
            means.append(outputs.means)
            log_variances = torch.from_numpy(to_numpy(outputs.log_variances))
            if log_variances.shape[1]:
                of_means = torch.from_numpy(to_numpy(outputs.means))
                divergences.append(kl_divergence(of_means, log_variances).sum(dim=1).numpy())
            texts += self._write(self.model.ops.xp.hstack([outputs.means, batch.conditions]))
        return self.scorer(
            examples,
            target=self.target,
            texts=texts,
            nll=sum(nlls) / len(examples) if examples else None,
            means=numpy.concatenate([to_numpy(part) for part in means]) if means else None,
            divergences=numpy.concatenate(divergences) if divergences else None,
            **kwargs,
        )

    def _write(self, rows: Floats2d, **settings: Any) -> List[str]:
        """Write the texts of points with their conditions."""
        texts = []
        for start in range(0, len(rows), GROUP):
            found = self.model.attrs["write"](
                self.model,
                rows[start : start + GROUP],
                max_length=self.max_length,
                **settings,
            )
            texts += [self.alphabet.decode(one.symbols) for one in found]
        return texts

    def _loaded(self, file: str, source: str) -> None:
        super()._loaded(file, source)
        saved = self.cfg["conditions"]
        if file == "cfg" and saved != [*self.conditions]:
            given = [*self.conditions]
            raise ValueError(Errors.E126.format(name=self.name, saved=saved, given=given))

    def _read(self, docs: Union[TextT, Iterable[TextT]]) -> List[Doc]:
        """Make documents of texts."""
        self._require_model()
        if isinstance(docs, (str, Doc)):
            docs = [docs]
        return [self._make_doc(doc) if isinstance(doc, str) else doc for doc in docs]

    def _make_doc(self, text: str) -> Doc:
        # A listener would take zeros for what its component hasn't computed.
        upstream = _find_upstream(self.model)
        if upstream is not None:
            raise ValueError(Errors.E177.format(name=self.name, upstream=upstream, text=text))
        return self.tokenizer(text)

    def _split(self, docs: List[Doc]) -> List[Doc]:
        """Make documents of symbols, if that is what the model reads."""
        if self.reads == "tokens":
            return docs
        rows = (self.alphabet.split(doc.text) for doc in docs)
        # The first piece may be the space alone that a text is given.
        return [Doc(self.vocab, words=[part or " " for part in row]) for row in rows]

    def _batch(self, docs: List[Doc], references: List[Doc]) -> TextBatch:
        """Turn the texts and categories of references into numbers, and cut long texts."""
        symbols, lengths = self.alphabet.encode([doc.text for doc in references])
        # The last place is that of the end.
        left = numpy.minimum(lengths, self.max_length - 1)
        places = numpy.arange(len(symbols)) - numpy.repeat(lengths.cumsum() - lengths, lengths)
        sequences = starting(symbols[places < numpy.repeat(left, lengths)], left)
        known = [doc.cats.get(label, 0.0) for doc in references for label in self.conditions]
        conditions = numpy.array(known, dtype="float32").reshape(len(docs), len(self.conditions))
        rows = self.model.ops.asarray2f(cast(Any, conditions))
        return TextBatch(self._split(docs), sequences, rows)

    def _drop_words(self, sequences: SequenceBatch) -> SequenceBatch:
        """Hide some symbols of texts, but not their starts."""
        if not self.word_dropout:
            return sequences
        dropped = numpy.random.random(len(sequences.symbols)) < self.word_dropout
        dropped &= sequences.symbols != START
        return replace(sequences, symbols=numpy.where(dropped, UNKNOWN, sequences.symbols))

    def _check_points(self, vectors: Any) -> ndarray:
        points = numpy.asarray(to_numpy(vectors), dtype="float32")
        wrong = int((~numpy.isfinite(points)).sum())
        if points.ndim != 2 or points.shape[1] != self.width or wrong:
            details = {"shape": points.shape, "wrong": wrong, "width": self.width}
            raise ValueError(Errors.E175.format(**details))
        return points

    def _condition(self, label: str) -> int:
        if label not in self.conditions:
            raise ValueError(Errors.E178.format(label=label, conditions=[*self.conditions]))
        return self.conditions.index(label)

    def _require_latent(self) -> None:
        self._require_model()
        if not self.model.attrs["latent"]:
            raise ValueError(Errors.E179.format(name=self.name))


def _find_upstream(model: TextVAET) -> Optional[str]:
    """Find the component that a model listens to."""
    names = (getattr(layer, "upstream_name", None) for layer in model.walk())
    return next((name for name in names if name is not None), None)


def _groups(items: List[Any]) -> Iterator[List[Any]]:
    for start in range(0, len(items), GROUP):
        yield items[start : start + GROUP]
