"""Texts from texts: translations, and whatever else has words in another order."""

from itertools import chain, islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, cast

import numpy
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, set_dropout_rate

from ..checks import check_factor, check_positive, check_probability
from ..errors import Errors, Warnings
from ..generation.search import Hypothesis, check_beam
from ..models.attributes import EXTENSION
from ..models.heads.seq2seq import Seq2SeqBatch, Seq2SeqT, SequenceScores, Targets
from ..scorers import seq2seq_score
from .sequences import DocExtensions, SequencePipe, check_symbols

# So many sequences times tokens, and not more, are worked on side by side.
GROUP_TOKENS = 4096

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-textconv.Seq2Seq.v1"

[model.tok2vec]
@architectures = "spacy.Tok2Vec.v2"

[model.tok2vec.embed]
@architectures = "spacy-textconv.CharConvEmbed.v1"
width = 256

[model.tok2vec.encode]
@architectures = "spacy-textconv.DilatedConvEncoder.v1"
width = 256
block = "gated"

[model.decoder]
@architectures = "spacy-textconv.CausalConvDecoder.v1"
width = 256
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "textconv_seq2seq",
    default_config={
        "model": DEFAULT_MODEL,
        "target": "_.target",
        "symbols": "letters",
        "max_symbols": 4000,
        "max_length": 400,
        "max_ratio": None,
        "beam": 1,
        "length_penalty": 1.0,
        "n_best": 1,
        "attention": False,
        "label_smoothing": 0.1,
        "scorer": {"@scorers": "spacy-textconv.seq2seq_scorer.v1"},
    },
    default_score_weights={"target_bleu": 1.0, "target_chrf": None, "target_exact": None},
)
def make_textconv_seq2seq(
    *,
    nlp: Language,
    name: str,
    model: Seq2SeqT,
    target: str,
    symbols: str,
    max_symbols: int,
    max_length: int,
    max_ratio: Optional[float],
    beam: int,
    length_penalty: float,
    n_best: int,
    attention: bool,
    label_smoothing: float,
    scorer: Optional[Callable],
) -> "ConvSeq2Seq":
    """Make the component.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[Seq2SeqBatch, SequenceScores]): What reads documents and writes sequences, such as
        `spacy-textconv.Seq2Seq.v1`.
    target (str): The extension that is written to each document: with "_.translation", it is
        `doc._.translation`. It is registered if it isn't yet.
    symbols (str): What texts are written with: "letters", "words" or "pieces" of words, which
        sentencepiece finds in the training data.
    max_symbols (int): The number of different words or pieces. Of letters, all are symbols.
    max_length (int): The most tokens that are read, and the most symbols that are written.
        Documents with more of either aren't learned from, and nothing is written for one with more
        tokens. A decoder can have a bound of its own for what it writes.
    max_ratio (Optional[float]): How long a text can get: it has at most `max_ratio * (tokens + 1)`
        symbols, with one for its end. null for the largest ratio of the training data.
    beam (int): How many sequences are kept in mind while one is written. 1 is the fastest.
    length_penalty (float): How much a beam prefers longer sequences: scores are divided by
        `((5 + length) / 6) ** length_penalty` (Wu et al. 2016, "Google's neural machine translation
        system", section 7).
    n_best (int): With more than 1, the extension `doc._.{target}_n_best` has so many texts with
        their scores, the best first.
    attention (bool): Whether the extension `doc._.{target}_attention` tells where the decoder
        looked: "symbols" are what was written, and "weights" has a row for each of them and for the
        end, and a column for each token.
    label_smoothing (float): The probability that is spread over all symbols in training.
    scorer (Optional[Callable]): The scoring method.
    RETURNS (ConvSeq2Seq): The component.
    """
    return ConvSeq2Seq(
        nlp.vocab,
        model,
        name,
        target=target,
        symbols=symbols,
        max_symbols=max_symbols,
        max_length=max_length,
        max_ratio=max_ratio,
        beam=beam,
        length_penalty=length_penalty,
        n_best=n_best,
        attention=attention,
        label_smoothing=label_smoothing,
        scorer=scorer,
    )


class Pair(NamedTuple):
    """What a document becomes.

    document (int): The document, among those of the batch.
    source (str): Its text.
    tokens (int): The number of its tokens.
    target (str): The text that it becomes.
    """

    document: int
    source: str
    tokens: int
    target: str


class ConvSeq2Seq(SequencePipe):
    """Writes a text for each document, symbol by symbol or in one pass, as its model does. Texts
    are written in the Unicode normal form NFC.

    vocab (Vocab): The shared vocabulary.
    model (Model[Seq2SeqBatch, SequenceScores]): What reads documents and writes sequences.
    name (str): The component's name.
    target (str): The extension that is written to each document.
    symbols (str): "letters", "words" or "pieces".
    max_symbols (int): The number of different words or pieces.
    max_length (int): The most tokens that are read, and the most symbols that are written.
    max_ratio (Optional[float]): How many symbols are written for each token at most.
    beam (int): How many sequences are kept in mind.
    length_penalty (float): How much longer sequences are preferred.
    n_best (int): The number of results.
    attention (bool): Whether to tell where the decoder looked.
    label_smoothing (float): The probability that is spread over all symbols in training.
    scorer (Optional[Callable]): The scoring method.
    RAISES (ValueError): If a setting is out of its range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Seq2SeqT,
        name: str = "textconv_seq2seq",
        *,
        target: str,
        symbols: str = "letters",
        max_symbols: int = 4000,
        max_length: int = 400,
        max_ratio: Optional[float] = None,
        beam: int = 1,
        length_penalty: float = 1.0,
        n_best: int = 1,
        attention: bool = False,
        label_smoothing: float = 0.1,
        scorer: Optional[Callable] = seq2seq_score,
    ):
        check_symbols(symbols, max_symbols)
        check_positive("max_length", max_length)
        if max_ratio is not None:
            check_factor("max_ratio", max_ratio)
        check_beam(beam, n_best, length_penalty)
        check_probability("label_smoothing", label_smoothing)
        if "write" not in model.attrs:
            raise ValueError(Errors.E160.format(name=name, model=model.name))
        if attention and "attend" not in model.attrs:
            raise ValueError(Errors.E190.format(name=name, model=model.name))
        self.vocab = vocab
        self.model = model
        self.name = name
        self.target = target.removeprefix(EXTENSION)
        self.symbols = symbols
        self.max_symbols = max_symbols
        self.max_length = max_length
        self.max_ratio = max_ratio
        self.beam = beam
        self.length_penalty = length_penalty
        self.n_best = n_best
        self.attention = attention
        self.label_smoothing = label_smoothing
        self.scorer = scorer
        # What training finds out: the symbols, and how many of them there are for each token.
        self.cfg: Dict[str, Any] = {"symbols": {}, "ratio": None}
        endings = ["_n_best"] * (n_best > 1) + ["_attention"] * attention
        self._extensions = DocExtensions([self.target + ending for ending in ("", *endings)])

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
        RAISES (ValueError): If no document of the sample has a target that can be learned.
        """
        validate_get_examples(get_examples, "ConvSeq2Seq.initialize")
        pairs = [*self._pairs(get_examples())]
        if not pairs:
            raise ValueError(Errors.E161.format(name=self.name, target=self.target))
        empty = [pair for pair in pairs if not pair.target.strip()]
        if empty:
            details = {"number": len(empty), "text": empty[0].source}
            raise ValueError(Errors.E163.format(name=self.name, target=self.target, **details))
        self._set_symbols([pair.target for pair in pairs], labels)
        _, lengths = self.alphabet.encode([pair.target for pair in pairs])
        tokens = numpy.array([pair.tokens for pair in pairs])
        fitting = (tokens <= self.max_length) & (lengths <= self._longest)
        if not fitting.all():
            details = {
                "long": int((~fitting).sum()),
                "number": len(pairs),
                "tokens": self.max_length,
                "symbols": self._longest,
            }
            if not fitting.any():
                raise ValueError(Errors.E162.format(name=self.name, **details))
            self._warn(Warnings.W035, **details)
        self.cfg["ratio"] = float(((lengths + 1) / (tokens + 1))[fitting].max())
        docs = [eg.predicted for eg in islice(get_examples(), 10)]
        self.model.initialize(X=cast(Any, docs))

    def predict(self, docs: Iterable[Doc]) -> List[List[Hypothesis]]:
        """Search for the texts that documents become.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[List[Hypothesis]]): For each document `n_best` sequences of symbols, the best
            one first. None for a document without tokens or with more than `max_length`.
        """
        docs = list(docs)
        self._require_model()
        found: List[List[Hypothesis]] = [[] for _ in docs]
        long = [doc for doc in docs if len(doc) > self.max_length]
        if long:
            self._warn(Warnings.W036, tokens=len(long[0]), limit=self.max_length)
        for group in self._groups(docs):
            written = self.model.attrs["write"](
                self.model,
                [docs[i] for i in group],
                max_lengths=[self._bound(len(docs[i])) for i in group],
                beam=self.beam,
                n_best=self.n_best,
                length_penalty=self.length_penalty,
            )
            for i, hypotheses in zip(group, written, strict=True):
                found[i] = hypotheses
        return found

    def set_annotations(self, docs: Iterable[Doc], scores: List[List[Hypothesis]]) -> None:
        """Write texts to documents.

        docs (Iterable[Doc]): The documents.
        scores (List[List[Hypothesis]]): What `predict` returns for them.
        """
        self._extensions.register()
        docs = list(docs)
        for doc, hypotheses in zip(docs, scores, strict=True):
            texts = [(self.alphabet.decode(one.symbols), one.score) for one in hypotheses]
            # Nothing is made of nothing; of what is too long to be read, it isn't known.
            doc._.set(self.target, texts[0][0] if texts else None if len(doc) else "")
            if self.n_best > 1:
                doc._.set(f"{self.target}_n_best", texts)
        if self.attention:
            self._annotate_attention(docs, scores)

    def _learn(self, examples: List[Example], drop: float) -> Optional[float]:
        self._require_model()
        docs = [eg.predicted for eg in examples]
        pairs, targets = self._targets(examples)
        if not pairs:
            return None
        set_dropout_rate(self.model, drop)
        batch = Seq2SeqBatch(docs, [pair.document for pair in pairs], targets)
        scores, backprop = self.model.begin_update(batch)
        loss, d_scores = self._loss_and_gradient(targets, scores)
        backprop(d_scores)
        return loss

    def get_loss(
        self, examples: Iterable[Example], scores: SequenceScores
    ) -> Tuple[float, SequenceScores]:
        """Compute the loss of a batch.

        examples (Iterable[Example]): The batch.
        scores (SequenceScores): What the model gives for its targets.
        RETURNS (Tuple[float, SequenceScores]): The loss, a mean over all symbols, and its gradient.
        """
        return self._loss_and_gradient(self._targets([*examples])[1], scores)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score a batch of examples.

        examples (Iterable[Example]): The examples.
        RETURNS (Dict[str, Any]): What the scorer returns.
        """
        if self.scorer is None:
            return {}
        return self.scorer(examples, target=self.target, **kwargs)

    @property
    def _longest(self) -> int:
        """The most symbols that a text can have: in some decoders, the end takes the last place."""
        limit = self.model.attrs.get("max_length")
        return self.max_length if limit is None else min(self.max_length, limit - 1)

    def _bound(self, tokens: int) -> int:
        """How many symbols are written for so many tokens at most."""
        ratio = self.cfg["ratio"] if self.max_ratio is None else self.max_ratio
        return max(1, min(self.max_length, round(ratio * (tokens + 1))))

    def _pairs(self, examples: Iterable[Example]) -> Iterator[Pair]:
        """List what documents become; one whose target isn't known teaches nothing."""
        for i, eg in enumerate(examples):
            target = eg.reference._.get(self.target)
            if target is not None and len(eg.predicted):
                yield Pair(i, eg.text, len(eg.predicted), target)

    def _targets(self, examples: List[Example]) -> Tuple[List[Pair], Targets]:
        """List what a batch teaches, and turn it into symbols."""
        pairs = [pair for pair in self._pairs(examples) if pair.tokens <= self.max_length]
        symbols, lengths = self.alphabet.encode([pair.target for pair in pairs])
        short = (lengths > 0) & (lengths <= self._longest)
        if not short.all():
            pairs = [pair for pair, fits in zip(pairs, short, strict=True) if fits]
            symbols, lengths = self.alphabet.encode([pair.target for pair in pairs])
        return pairs, Targets(symbols, lengths)

    def _loss_and_gradient(
        self, targets: Targets, scores: SequenceScores
    ) -> Tuple[float, SequenceScores]:
        loss, d_scores, possible = self.model.attrs["loss"](scores, targets, self.label_smoothing)
        if not numpy.isfinite(loss):
            raise ValueError(SpacyErrors.E910.format(name=self.name))
        if not possible.all():
            impossible = int((~possible).sum())
            self._warn(Warnings.W047, impossible=impossible, number=len(possible))
        return loss, d_scores

    def _groups(self, docs: List[Doc]) -> Iterator[List[int]]:
        """Put documents of similar length together, with a limited number of tokens."""
        group: List[int] = []
        for i in sorted(range(len(docs)), key=lambda i: len(docs[i])):
            if not 0 < len(docs[i]) <= self.max_length:
                continue
            if group and (len(group) + 1) * len(docs[i]) * self.beam > GROUP_TOKENS:
                yield group
                group = []
            group.append(i)
        if group:
            yield group

    def _annotate_attention(self, docs: List[Doc], scores: List[List[Hypothesis]]) -> None:
        """Tell where the decoder looked while it wrote the best sequences."""
        best = {i: hypotheses[0].symbols for i, hypotheses in enumerate(scores) if hypotheses}
        for group in self._groups(docs):
            sequences = [best[i] for i in group]
            symbols = numpy.array([*chain.from_iterable(sequences)], dtype="int64")
            lengths = numpy.array([*map(len, sequences)])
            found = self.model.attrs["attend"](
                self.model, [docs[i] for i in group], Targets(symbols, lengths)
            )
            for i, written, weights in zip(group, sequences, found, strict=True):
                texts = [self.alphabet.decode([symbol]) for symbol in written]
                # Not a view, which would keep the weights of all documents of its group.
                looks = {"symbols": texts, "weights": weights.copy()}
                docs[i]._.set(f"{self.target}_attention", looks)
