"""Strings from strings: lemmas, inflected forms, normal forms, transliterations."""

from collections import Counter
from itertools import chain, islice
from math import exp
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
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, set_dropout_rate
from thinc.types import Floats2d

from ..checks import check_not_negative, check_positive
from ..errors import Errors, Warnings
from ..generation.slots import CandidatesT
from ..generation.symbols import Lexicon, Symbols, find_symbols, normalize
from ..models.attributes import (
    bare_name,
    check_readable,
    check_writable,
    is_extension,
    is_set,
    register_target,
    write,
)
from ..models.features import hash_keys
from ..models.heads.seq2seq import Targets
from ..models.heads.transducer import Room, StringBatch, token_vectors
from ..models.wrap import get_shim
from ..scorers import transducer_score
from .base import ConvPipe
from .strings import SEPARATOR, Entry, Pair, StringReader, distinct

# Longer strings are left as they are.
MAX_LETTERS = 1000
# So many letters are worked on side by side, unless a string has more.
GROUP_LETTERS = 8192
# So many strings are looked at where one of the training data could be better than the first.
CANDIDATES = 8
# But not where the first has less than this probability: there are too many to choose from then, as
# before training, and a search takes long.
LEAST_PROBABILITY = 0.1
# So many distinct strings are remembered between two changes of the weights.
MAX_REMEMBERED = 100_000

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-textconv.CTCTransducer.v1"
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "textconv_transducer",
    default_config={
        "model": DEFAULT_MODEL,
        "source": "ORTH",
        "target": "NORM",
        "features": [],
        "memory": True,
        "lexicon_bonus": 0.0,
        "max_pairs": None,
        "n_best": 1,
        "overwrite": False,
        "scorer": {"@scorers": "spacy-textconv.transducer_scorer.v1"},
    },
    default_score_weights={"norm_acc": 1.0, "norm_acc_changed": None, "norm_cer": None},
)
def make_textconv_transducer(
    *,
    nlp: Language,
    name: str,
    model: Model[StringBatch, Floats2d],
    source: str,
    target: str,
    features: List[str],
    memory: bool,
    lexicon_bonus: float,
    max_pairs: Optional[int],
    n_best: int,
    overwrite: bool,
    scorer: Optional[Callable],
) -> "ConvTransducer":
    """Make the component.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[StringBatch, Floats2d]): The scores of symbols, such as
        `spacy-textconv.CTCTransducer.v1`.
    source (str): What is read from each token: an attribute such as "ORTH" or "LOWER", or an
        extension ("_.name").
    target (str): What is written to each token: "LEMMA", "NORM" or an extension, which is
        registered if it isn't yet.
    features (List[str]): What else the result depends on: attributes such as "POS", "MORPH" or
        "ENT_TYPE", or extensions. A morphological analysis is split into its parts, and the text of
        an extension at ";".
    memory (bool): Whether a string that was in the training data with the same features becomes
        what it became there, rather than what the network makes of it. Of several such results, it
        is the most frequent one or, if the model reads the context, what the network chooses.
    lexicon_bonus (float): How much is added to the logarithm of the probability of a result that
        the memory has for any other string. With more than 0, the network's doubts are settled in
        favour of what is known: of lemmas, most are those of other forms as well.
    max_pairs (Optional[int]): How many distinct pairs of strings each update learns at most. From a
        batch with more, some are drawn, and those whose source is rare in the training data more
        often. A loaded component no longer knows how rare they are. null for all.
    n_best (int): With more than 1, the extension `token._.{name}_n_best`, where {name} is that of
        the target, has so many results with their probabilities, the best first.
    overwrite (bool): Whether to replace what a token has already.
    scorer (Optional[Callable]): The scoring method.
    RETURNS (ConvTransducer): The component.
    """
    return ConvTransducer(
        nlp.vocab,
        model,
        name,
        source=source,
        target=target,
        features=features,
        memory=memory,
        lexicon_bonus=lexicon_bonus,
        max_pairs=max_pairs,
        n_best=n_best,
        overwrite=overwrite,
        scorer=scorer,
    )


@Language.factory(
    "textconv_lemmatizer",
    assigns=["token.lemma"],
    default_config={
        "model": DEFAULT_MODEL,
        "features": [],
        "memory": True,
        "lexicon_bonus": 5.0,
        "max_pairs": 64,
        "n_best": 1,
        "overwrite": False,
        "scorer": {"@scorers": "spacy-textconv.transducer_scorer.v1"},
    },
    default_score_weights={"lemma_acc": 1.0, "lemma_acc_unseen": None, "lemma_cer": None},
)
def make_textconv_lemmatizer(
    *,
    nlp: Language,
    name: str,
    model: Model[StringBatch, Floats2d],
    features: List[str],
    memory: bool,
    lexicon_bonus: float,
    max_pairs: Optional[int],
    n_best: int,
    overwrite: bool,
    scorer: Optional[Callable],
) -> "ConvTransducer":
    """Make a component that writes lemmas: a `textconv_transducer` from "ORTH" to "LEMMA".

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[StringBatch, Floats2d]): The scores of symbols.
    features (List[str]): What a lemma depends on beside the word, such as "POS" and "MORPH".
    memory (bool): Whether lemmas that were in the training data are looked up.
    lexicon_bonus (float): How much is added to the logarithm of the probability of a lemma that the
        memory has for any other word.
    max_pairs (Optional[int]): How many distinct pairs of a word and its lemma each update learns at
        most.
    n_best (int): With more than 1, `token._.lemma_n_best` has so many lemmas with their
        probabilities.
    overwrite (bool): Whether to replace lemmas that a token has already.
    scorer (Optional[Callable]): The scoring method.
    RETURNS (ConvTransducer): The component.
    """
    return make_textconv_transducer(
        nlp=nlp,
        name=name,
        model=model,
        source="ORTH",
        target="LEMMA",
        features=features,
        memory=memory,
        lexicon_bonus=lexicon_bonus,
        max_pairs=max_pairs,
        n_best=n_best,
        overwrite=overwrite,
        scorer=scorer,
    )


class ConvTransducer(ConvPipe):
    """Makes a string for each token out of a string that the token has, in one pass or letter by
    letter, as its model does, after a look into the memory of the training data. Strings are
    compared and written in the Unicode normal form NFC.

    vocab (Vocab): The shared vocabulary.
    model (Model[StringBatch, Floats2d]): The scores of symbols. Its reference `network` needs no
        documents; if it has one that is called `tok2vec`, strings depend on the tokens around them.
    name (str): The component's name.
    source (str): What is read from each token.
    target (str): What is written to each token.
    features (Sequence[str]): What else the result depends on.
    memory (bool): Whether what was in the training data is looked up.
    lexicon_bonus (float): How much more probable, as a logarithm, what it has for other strings is.
    max_pairs (Optional[int]): How many pairs an update learns at most.
    n_best (int): The number of results.
    overwrite (bool): Whether to replace what a token has already.
    scorer (Optional[Callable]): The scoring method.
    RAISES (ValueError): If a setting is out of its range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[StringBatch, Floats2d],
        name: str = "textconv_transducer",
        *,
        source: str = "ORTH",
        target: str = "NORM",
        features: Sequence[str] = (),
        memory: bool = True,
        lexicon_bonus: float = 0.0,
        max_pairs: Optional[int] = None,
        n_best: int = 1,
        overwrite: bool = False,
        scorer: Optional[Callable] = transducer_score,
    ):
        check_readable("source", source)
        check_writable("target", target)
        for feature in features:
            check_readable("features", feature)
        check_not_negative("lexicon_bonus", lexicon_bonus)
        if max_pairs is not None:
            check_positive("max_pairs", max_pairs)
        check_positive("n_best", n_best)
        if "transduce" not in model.attrs:
            raise ValueError(Errors.E111.format(name=name, model=model.name))
        self.vocab = vocab
        self.model = model
        self.name = name
        self.source = source
        self.target = target
        self.features = tuple(features)
        self._reader = StringReader(source, target, features)
        self.memory = memory
        self.lexicon_bonus = lexicon_bonus
        self.max_pairs = max_pairs
        self.n_best = n_best
        self.overwrite = overwrite
        self.scorer = scorer
        # What training finds out: the symbols, and what strings became, by the keys of entries.
        # And which of the features something has set: where the training data are annotated in
        # part, a batch may lack some.
        self.cfg: Dict[str, Any] = {"labels": [], "memory": {}, "features": []}
        self._symbols = Symbols([])
        # How often sources are in the training data.
        self._counts: Counter = Counter()
        self._forget()
        self._register()

    @property
    def symbols(self) -> Symbols:
        """The labels, with their numbers."""
        if self._symbols.letters != self.labels:
            self._symbols = Symbols(self.labels)
        return self._symbols

    @property
    def reads_context(self) -> bool:
        """Whether strings depend on the tokens around them."""
        return bool(self.model.has_ref("tok2vec"))

    def add_label(self, label: str) -> int:
        """Add a symbol, before the component is initialized.

        label (str): A single letter.
        RETURNS (int): 1, or 0 if the symbol was there already.
        RAISES (ValueError): If it isn't a single letter, or the number of symbols is fixed.
        """
        if not isinstance(label, str) or len(label) != 1:
            raise ValueError(Errors.E112.format(label=label))
        if label in self.labels:
            return 0
        if self.model.has_dim("nO"):
            raise ValueError(Errors.E113.format(name=self.name, label=label))
        self.cfg["labels"].append(label)
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Set the symbols and the sizes of the model, and fill the memory.

        get_examples (Callable[[], Iterable[Example]]): Returns the training data, or a
            representative sample.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[List[str]]): The symbols, as `spacy init labels` writes them; those of the
            sample if None.
        RAISES (ValueError): If the sample has no target, or none that can be learned.
        """
        validate_get_examples(get_examples, "ConvTransducer.initialize")
        self._reader.check_registered()
        self.cfg["features"] = []
        counts: Counter = Counter()
        for example in get_examples():
            self._find_features([example.reference])
            for pair in self._reader.reference_pairs([example]):
                counts[pair.entry, self._normalize_target(pair.target)] += 1
        if not counts:
            raise ValueError(Errors.E114.format(name=self.name, target=self.target))
        self._report_impossible([*counts])
        if labels is None:
            labels = find_symbols(
                (entry.source for entry, _ in counts), (target for _, target in counts)
            )
        self.model.set_dim("nO", None, force=True)  # type: ignore[arg-type]
        for label in labels:
            self.add_label(label)
        self.cfg["memory"] = self._make_memory(counts) if self.memory else {}
        # Features may be predicted otherwise than they are annotated.
        self._counts = Counter()
        for (entry, _), count in counts.items():
            self._counts[entry.source] += count
        self._forget()
        self.set_output(len(self.symbols))
        docs = [eg.predicted for eg in islice(get_examples(), 10)]
        self.model.initialize(X=cast(Any, docs))

    def predict(self, docs: Iterable[Doc]) -> List[List[CandidatesT]]:
        """Make strings.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[List[List[Tuple[str, float]]]]): For each token of each document `n_best`
            strings with their probabilities, the best first, which need not be the most probable if
            there is a `lexicon_bonus`; 1 stands for the memory, and 0 for a source that is left as
            it is, because it is empty or too long, or nothing would be left of it.
        """
        docs = list(docs)
        lengths = [len(doc) for doc in docs]
        if not any(lengths):
            return [[] for _ in docs]
        self._require_network()
        self._reader.check_registered()
        unset = self._reader.unset(docs)
        if unset:
            self._warn(Warnings.W030, features=", ".join(unset))
        tokens = list(chain.from_iterable(docs))
        if self.reads_context:
            vectors = token_vectors(self.model, docs)
            results = self._transduce([*map(self._reader.entry, tokens)], vectors)
        else:
            results = self._transduce_distinct(docs, tokens)
        remaining = iter(results)
        return [list(islice(remaining, length)) for length in lengths]

    def set_annotations(self, docs: Iterable[Doc], scores: List[List[CandidatesT]]) -> None:
        """Write strings to tokens.

        docs (Iterable[Doc]): The documents.
        scores (List[List[List[Tuple[str, float]]]]): What `predict` returns for them.
        """
        self._register()
        for doc, results in zip(docs, scores, strict=True):
            for token, candidates in zip(doc, results, strict=True):
                if self.overwrite or not is_set(token, self.target):
                    write(token, self.target, candidates[0][0])
                if self.n_best > 1:
                    token._.set(self._n_best_name, candidates)

    def transduce(
        self,
        strings: Sequence[str],
        features: Optional[Sequence[Union[str, Sequence[str]]]] = None,
        *,
        n_best: int = 1,
    ) -> List[Any]:
        """Make strings out of strings that are in no document.

        strings (Sequence[str]): The strings.
        features (Optional[Sequence[Union[str, Sequence[str]]]]): For each string a text for each of
            the component's features, or a single one: `["V;PST"]` or `[["VERB", "Tense=Past"]]`.
            None for no features.
        n_best (int): The number of results for each string.
        RETURNS (List[Union[str, List[Tuple[str, float]]]]): For each string the best result, or
            with `n_best` > 1 several, with their probabilities.
        RAISES (ValueError): If the component needs documents, or the features don't fit.
        """
        if isinstance(strings, str):
            raise ValueError(Errors.E124.format(name=self.name, value=strings))
        self._require_network()
        check_positive("n_best", n_best)
        if self.reads_context:
            raise ValueError(Errors.E115.format(name=self.name))
        if features is None:
            features = [[""] * len(self.features)] * len(strings)
        texts = [[text] if isinstance(text, str) else list(text) for text in features]
        numbers = {len(self.features), *map(len, texts)}
        if len(texts) != len(strings) or len(numbers) > 1:
            raise ValueError(
                Errors.E116.format(
                    name=self.name, strings=len(strings), given=len(texts), names=self.features
                )
            )
        entries = [
            self._reader.make_entry(string, *values)
            for string, values in zip(strings, texts, strict=True)
        ]
        results = self._transduce(entries, n_best=n_best)
        return results if n_best > 1 else [candidates[0][0] for candidates in results]

    def _learn(self, examples: List[Example], drop: float) -> Optional[float]:
        """Each distinct pair of strings counts once. Features are those of the predicted documents
        or, where no component has set them, those of the references."""
        self._require_network()
        pairs = self._draw(self._pairs(examples))
        if not pairs:
            return None
        docs = [doc for eg in examples for doc in (eg.predicted, eg.reference)]
        self._find_features(docs)
        for name in self.features:
            if name not in self.cfg["features"]:
                raise ValueError(Errors.E117.format(name=self.name, feature=name))
        set_dropout_rate(self.model, drop)
        batch = self._learned_batch(pairs)
        if self.reads_context:
            batch = batch.in_context(
                [eg.predicted for eg in examples], [pair.token for pair in pairs]
            )
        scores, backprop = self.model.begin_update(batch)
        loss, d_scores = self._loss_and_gradient(batch, scores)
        backprop(d_scores)
        return loss

    def get_loss(self, examples: Iterable[Example], scores: Floats2d) -> Tuple[float, Floats2d]:
        """Compute the negative logarithm of the probability of the targets, added up over the
        distinct pairs of strings of a batch.

        examples (Iterable[Example]): The batch.
        scores (Floats2d): What the model gives for its pairs.
        RETURNS (Tuple[float, Floats2d]): The loss and its gradient.
        """
        examples = list(examples)
        validate_examples(examples, "ConvTransducer.get_loss")
        return self._loss_and_gradient(self._learned_batch(self._pairs(examples)), scores)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score a batch of examples.

        examples (Iterable[Example]): The examples.
        RETURNS (Dict[str, Any]): What the scorer returns.
        """
        if self.scorer is None:
            return {}
        known = {key.split(SEPARATOR, 1)[0] for key in self.cfg["memory"]}
        settings = {"source": self.source, "target": self.target, "known": known, **kwargs}
        return self.scorer(examples, **settings)

    def _loaded(self, file: str, source: str) -> None:
        if file == "cfg":
            self._forget()
            if self.labels:
                self.set_output(len(self.symbols))

    def _register(self) -> None:
        register_target(self.target)
        if self.n_best > 1:
            register_target(f"_.{self._n_best_name}")

    @property
    def _n_best_name(self) -> str:
        return f"{bare_name(self.target)}_n_best"

    def _require_network(self) -> None:
        if not self.model.has_dim("nO"):
            raise ValueError(SpacyErrors.E109.format(name=self.name))

    def _forget(self) -> None:
        self._strings: Optional[Lexicon] = None
        self._remembered: Dict[int, CandidatesT] = {}
        self._version: Tuple[Any, ...] = ()

    @property
    def _lexicon(self) -> Lexicon:
        """What the memory has for any string."""
        if self._strings is None:
            known = chain.from_iterable(self.cfg["memory"].values())
            self._strings = Lexicon(known, self.symbols)
        return self._strings

    def _find_features(self, docs: Sequence[Doc]) -> None:
        """Keep in mind which features documents have."""
        if len(self.cfg["features"]) < len(self.features):
            missing = set(self._reader.unset(docs)).difference(self.cfg["features"])
            self.cfg["features"] = [name for name in self.features if name not in missing]

    def _pairs(self, examples: Sequence[Example]) -> List[Pair]:
        """List what a batch teaches, equal pairs once, unless they depend on the context."""
        pairs = [
            pair._replace(target=self._normalize_target(pair.target))
            for pair in self._reader.pairs(examples)
            if len(pair.entry.source) <= MAX_LETTERS
        ]
        return pairs if self.reads_context else distinct(pairs)

    def _make_memory(self, counts: Counter) -> Dict[str, List[str]]:
        """List what each entry becomes, the most frequent first: all that the context can tell
        apart, or this one."""
        memory: Dict[str, List[str]] = {}
        for (entry, target), _ in counts.most_common():
            known = memory.setdefault(entry.key, [])
            if self.reads_context or not known:
                known.append(target)
        return memory

    def _known(self, entry: Entry) -> List[str]:
        """Look up what an entry became in the training data."""
        return self.cfg["memory"].get(entry.key, []) if self.memory else []

    def _draw(self, pairs: List[Pair]) -> List[Pair]:
        """Draw as many pairs as an update learns from, so that all sources of the training data are
        about equally frequent. What one source becomes keeps its frequencies: by those, the network
        knows a rare reading from a common one, and a slip of an annotator's from either."""
        if self.max_pairs is None or len(pairs) <= self.max_pairs:
            return pairs
        counts = [self._counts[pair.entry.source] or 1 for pair in pairs]
        weights = 1.0 / numpy.array(counts)
        drawn = numpy.random.choice(
            len(pairs), self.max_pairs, replace=False, p=weights / weights.sum()
        )
        return [pairs[i] for i in sorted(drawn)]

    def _normalize_target(self, target: str) -> str:
        normalized = normalize(target)
        if normalized != target:
            self._warn(Warnings.W031, target=target)
        return normalized

    def _report_impossible(self, pairs: List[Tuple[Entry, str]]) -> None:
        """Warn of targets that are too long to be learned, or refuse to learn anything from them if
        all of them are."""
        sources = [entry.source for entry, _ in pairs]
        targets = [target for _, target in pairs]
        letters = numpy.array([*map(len, sources)])
        encoded = Targets(*Symbols(find_symbols([], targets)).encode(targets))
        room: Room = self.model.attrs["room"](letters, encoded)
        impossible = (room.needed > room.available).nonzero()[0]
        if not len(impossible):
            return
        example = impossible[0]
        details = {
            "impossible": len(impossible),
            "number": len(pairs),
            "source": sources[example],
            "target": targets[example],
            "available": room.available[example],
            "needed": room.needed[example],
            "settings": room.settings,
        }
        if len(impossible) == len(pairs):
            raise ValueError(Errors.E118.format(name=self.name, **details))
        self._warn(Warnings.W032, **details)

    def _batch(self, entries: Sequence[Entry]) -> StringBatch:
        """Turn entries into what the network reads."""
        return StringBatch.from_strings(
            [entry.source for entry in entries],
            [entry.features for entry in entries],
            self.symbols,
        )

    def _learned_batch(self, pairs: Sequence[Pair]) -> StringBatch:
        """Turn pairs into what the network learns from."""
        batch = self._batch([pair.entry for pair in pairs])
        return batch.becoming([pair.target for pair in pairs], self.symbols)

    def _loss_and_gradient(self, batch: StringBatch, scores: Floats2d) -> Tuple[float, Floats2d]:
        loss, d_scores = self.model.attrs["loss"](scores, batch)
        if not numpy.isfinite(loss):
            raise ValueError(SpacyErrors.E910.format(name=self.name))
        return loss, d_scores

    def _transduce_distinct(self, docs: List[Doc], tokens: List[Token]) -> List[CandidatesT]:
        """Make strings for tokens, for equal ones once."""
        keys, first, kind_of_token = numpy.unique(
            hash_keys(self._reader.keys(docs)), return_index=True, return_inverse=True
        )
        remembered = self._up_to_date()
        results = [remembered.get(key) for key in keys.tolist()]
        unknown = [kind for kind, candidates in enumerate(results) if candidates is None]
        entries = [self._reader.entry(tokens[first[kind]]) for kind in unknown]
        for kind, candidates in zip(unknown, self._transduce(entries), strict=True):
            results[kind] = candidates
            if len(remembered) < MAX_REMEMBERED:
                remembered[int(keys[kind])] = candidates
        found = cast(List[CandidatesT], results)
        return [found[kind] for kind in kind_of_token.tolist()]

    def _up_to_date(self) -> Dict[int, CandidatesT]:
        """What has been made by the weights and with the settings as they are now."""
        network = self.model.get_ref("network")
        weights = [get_shim(layer).version for layer in network.walk() if layer.shims]
        version = (*weights, self.memory, self.lexicon_bonus, self.n_best)
        if version != self._version or len(self._remembered) >= MAX_REMEMBERED:
            self._remembered, self._version = {}, version
        return self._remembered

    def _transduce(
        self,
        entries: Sequence[Entry],
        vectors: Optional[Floats2d] = None,
        *,
        n_best: Optional[int] = None,
    ) -> List[CandidatesT]:
        """Make strings for entries. The network makes those that the memory doesn't know, and
        chooses where it knows several."""
        results: Dict[int, CandidatesT] = {}
        unknown = []
        for i, entry in enumerate(entries):
            known = self._known(entry)
            if len(known) == 1:
                results[i] = [(known[0], 1.0)]
            elif not 0 < len(entry.source) <= MAX_LETTERS:
                results[i] = [(entry.source, 0.0)]
            else:
                unknown.append(i)
        for group in _groups(unknown, [len(entry.source) for entry in entries]):
            results.update(self._find(entries, group, vectors, n_best or self.n_best))
        return [results[i] for i in range(len(entries))]

    def _find(
        self,
        entries: Sequence[Entry],
        group: List[int],
        vectors: Optional[Floats2d],
        number: int,
    ) -> Dict[int, CandidatesT]:
        """Choose among the strings that the network makes of some entries, and those of the memory
        where one of these could be better."""
        found = self._make(entries, group, vectors, number)
        doubtful = [i for i in group if self._is_doubtful(entries[i], found[i])]
        if doubtful:
            known = self._make(entries, doubtful, vectors, CANDIDATES, self._lexicon)
            for i, candidates in known.items():
                found[i] = [*{**dict(candidates), **dict(found[i])}.items()]
        return {i: self._choose(entries[i], found[i])[:number] for i in group}

    def _make(
        self,
        entries: Sequence[Entry],
        group: List[int],
        vectors: Optional[Floats2d],
        number: int,
        lexicon: Optional[Lexicon] = None,
    ) -> Dict[int, CandidatesT]:
        """Let the network make strings of some entries."""
        members = [entries[i] for i in group]
        batch = self._batch(members)
        if vectors is not None:
            batch = batch.with_vectors(vectors[group])
        inputs = (batch, [entry.source for entry in members], self.symbols)
        network = self.model.get_ref("network")
        found = self.model.attrs["transduce"](network, *inputs, number, lexicon)
        if not is_extension(self.target):
            # In an attribute, an empty string is none.
            found = [[one for one in candidates if one[0]] for candidates in found]
        return dict(zip(group, found, strict=True))

    def _is_doubtful(self, entry: Entry, candidates: CandidatesT) -> bool:
        """Whether a string of the memory may be better than the first one."""
        text, probability = candidates[0] if candidates else ("", 0.0)
        if probability < LEAST_PROBABILITY:
            return False
        known = self._known(entry)
        if known:
            return text not in known
        # Nothing else has more than the rest of the probability.
        highest = (1.0 - probability) * self._bonus
        return highest > probability and self._factor(text) < self._bonus

    def _choose(self, entry: Entry, candidates: CandidatesT) -> CandidatesT:
        """Take what an entry can become of what the network makes of it, the best first."""
        known = self._known(entry)
        if known:
            return [one for one in candidates if one[0] in known] or [(known[0], 1.0)]
        ranked = sorted(candidates, key=lambda one: one[1] * self._factor(one[0]), reverse=True)
        return ranked or [(entry.source, 0.0)]

    def _factor(self, target: str) -> float:
        """By how much a string counts as more probable."""
        return self._bonus if self._bonus > 1.0 and target in self._lexicon.strings else 1.0

    @property
    def _bonus(self) -> float:
        """By how much a string of the memory counts as more probable."""
        return exp(self.lexicon_bonus) if self.memory else 1.0


def _groups(indices: List[int], lengths: List[int]) -> Iterator[List[int]]:
    """Put strings of similar length together, with a limited number of letters."""
    group: List[int] = []
    letters = 0
    for i in sorted(indices, key=lengths.__getitem__):
        if group and letters + lengths[i] > GROUP_LETTERS:
            yield group
            group, letters = [], 0
        group.append(i)
        letters += lengths[i]
    if group:
        yield group
