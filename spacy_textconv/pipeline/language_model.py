"""Texts, letter by letter: how probable they are, and new ones."""

from math import log
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Union

import numpy
from numpy import ndarray
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, set_dropout_rate

from ..checks import check_positive
from ..errors import Errors
from ..generation.sampling import Sampler
from ..generation.search import Step
from ..generation.symbols import END, SPECIAL, normalize
from ..models.decode import SequenceBatch, starting
from ..models.heads.language_model import LanguageModelT
from ..scorers import lm_score
from .sequences import DocExtensions, SequencePipe, check_symbols

# What is written to documents.
SURPRISE, BITS = "surprise", "bits_per_character"

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-textconv.CausalLM.v1"

[model.decoder]
@architectures = "spacy-textconv.CausalConvDecoder.v1"
width = 256
dilations = [1,2,4,8]
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "textconv_lm",
    assigns=["doc._.surprise", "doc._.bits_per_character"],
    default_config={
        "model": DEFAULT_MODEL,
        "symbols": "letters",
        "max_symbols": 4000,
        "min_count": 5,
        "scorer": {"@scorers": "spacy-textconv.lm_scorer.v1"},
    },
    default_score_weights={"lm_score": 1.0, "bits_per_character": 0.0},
)
def make_textconv_lm(
    *,
    nlp: Language,
    name: str,
    model: LanguageModelT,
    symbols: str,
    max_symbols: int,
    min_count: int,
    scorer: Optional[Callable],
) -> "ConvLanguageModel":
    """Make the component.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[TextSlices, Floats2d]): What tells how probable symbols are, such as
        `spacy-textconv.CausalLM.v1`.
    symbols (str): What texts are made of: "letters", "words" or "pieces" of words, which
        sentencepiece finds in the training data.
    max_symbols (int): The number of different words or pieces.
    min_count (int): How often a letter has to be in the training data. All rarer ones are one and
        the same symbol, which stands for letters that aren't in there at all, too.
    scorer (Optional[Callable]): The scoring method.
    RETURNS (ConvLanguageModel): The component.
    """
    return ConvLanguageModel(
        nlp.vocab,
        model,
        name,
        symbols=symbols,
        max_symbols=max_symbols,
        min_count=min_count,
        scorer=scorer,
    )


class ConvLanguageModel(SequencePipe):
    """A language model: it tells how surprising each symbol of a text is after those before it, and
    writes texts. It learns from texts alone, which are read in the Unicode normal form NFC.

    Each document gets two extensions. `doc._.surprise` has the surprise of each symbol in bits, the
    negative binary logarithm of its probability: with letters, those of `doc.text` in this form.
    `doc._.bits_per_character` is their sum for each letter of the text; it is None for an empty
    one. Of letters that it doesn't know, it is the probability of any such letter.

    vocab (Vocab): The shared vocabulary.
    model (Model[TextSlices, Floats2d]): What tells how probable symbols are.
    name (str): The component's name.
    symbols (str): "letters", "words" or "pieces".
    max_symbols (int): The number of different words or pieces.
    min_count (int): How often a letter has to be in the training data.
    scorer (Optional[Callable]): The scoring method.
    RAISES (ValueError): If a setting is out of its range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: LanguageModelT,
        name: str = "textconv_lm",
        *,
        symbols: str = "letters",
        max_symbols: int = 4000,
        min_count: int = 5,
        scorer: Optional[Callable] = lm_score,
    ):
        check_symbols(symbols, max_symbols)
        check_positive("min_count", min_count)
        if "log_probs" not in model.attrs:
            raise ValueError(Errors.E180.format(name=name, model=model.name))
        self.vocab = vocab
        self.model = model
        self.name = name
        self.symbols = symbols
        self.max_symbols = max_symbols
        self.min_count = min_count
        self.scorer = scorer
        # What training finds out: the symbols.
        self.cfg: Dict[str, Any] = {"symbols": {}}
        self._extensions = DocExtensions([SURPRISE, BITS])

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
        RAISES (ValueError): If the sample has no symbols.
        """
        validate_get_examples(get_examples, "ConvLanguageModel.initialize")
        texts = (eg.reference.text for eg in get_examples())
        self._set_symbols([text for text in texts if text.strip()], labels)
        if not self.labels:
            raise ValueError(Errors.E181.format(name=self.name, value=self.min_count))
        self.model.initialize()

    def predict(self, docs: Iterable[Doc]) -> List[ndarray]:
        """Compute how surprising symbols are.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[ndarray]): For each document, the surprise of each symbol, in bits. *Shape:*
            (symbols,)
        """
        texts = self._read(docs)
        bits = self.model.attrs["log_probs"](self.model, texts) / -log(2)
        # Without that of the end: a document may be a part of a text.
        return [values[:-1] for values in _split(bits, texts)]

    def set_annotations(self, docs: Iterable[Doc], scores: List[ndarray]) -> None:
        """Write to documents how surprising they are.

        docs (Iterable[Doc]): The documents.
        scores (List[ndarray]): What `predict` returns for them.
        """
        self._extensions.register()
        for doc, bits in zip(docs, scores, strict=True):
            # Not a view, which would keep the bits of all documents of its batch.
            doc._.set(SURPRISE, bits.copy())
            letters = len(normalize(doc.text))
            doc._.set(BITS, float(bits.sum(dtype="float64")) / letters if letters else None)

    def hidden(
        self, docs: Union[Doc, Iterable[Doc]], units: Optional[Sequence[int]] = None
    ) -> List[ndarray]:
        """Compute the activations of the last layer, each of whose units may have found out
        something about texts (Radford et al. 2017, "Learning to generate reviews and discovering
        sentiment").

        docs (Union[Doc, Iterable[Doc]]): The documents.
        units (Optional[Sequence[int]]): The units that are wanted; None for all.
        RETURNS (List[ndarray]): For each document, the activations after each symbol. *Shape:*
            (symbols, units)
        RAISES (ValueError): If there is no such unit.
        """
        texts = self._read(docs)
        found = self.model.attrs["hidden"](self.model, texts, units)
        # Without those before the first symbol.
        return [values[1:] for values in _split(found, texts)]

    def generate(
        self,
        prompt: str = "",
        *,
        n: int = 1,
        temperature: float = 1.0,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        seed: Optional[int] = None,
        max_length: int = 400,
    ) -> List[str]:
        """Write texts.

        prompt (str): What they begin with. Letters of it that the model doesn't know are read as
            such, and stay as they are.
        n (int): The number of texts.
        temperature (float): What the logarithms of probabilities are divided by. Below 1, texts are
            more ordinary.
        top_k (Optional[int]): Only this many of the most probable symbols are drawn from.
        top_p (Optional[float]): Only the most probable symbols are drawn from, the fewest that
            together have this probability.
        seed (Optional[int]): Equal seeds write the same. None for other texts each time.
        max_length (int): How many symbols follow the prompt at most. The model may end sooner.
        RETURNS (List[str]): The texts.
        RAISES (ValueError): If a setting is out of its range.
        """
        check_positive("n", n)
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        texts = [[prompt] for _ in range(n)]
        for step in self._write(prompt, n, sampler, max_length):
            for i, symbol in zip(step.documents.tolist(), step.symbols.tolist(), strict=True):
                texts[i].append(self._spell(symbol, first=texts[i] == [""]))
        return ["".join(parts) for parts in texts]

    def stream(
        self,
        prompt: str = "",
        *,
        temperature: float = 1.0,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        seed: Optional[int] = None,
        max_length: int = 400,
    ) -> Iterator[str]:
        """Write a text, and hand out its parts as they come: the prompt, and then symbol by symbol.
        Arguments and errors are those of `generate`, which writes the same with the same seed.

        YIELDS (str): The parts.
        """
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        steps = self._write(prompt, 1, sampler, max_length)
        return self._spell_all(prompt, steps)

    def split(self, text: str) -> List[str]:
        """Split a text into its symbols, as it has them: what the numbers of `doc._.surprise` and
        of `hidden` belong to.

        text (str): The text.
        RETURNS (List[str]): The parts of the text, in the Unicode normal form NFC.
        """
        return self.alphabet.split(text)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score a batch of examples.

        examples (Iterable[Example]): The examples.
        RETURNS (Dict[str, Any]): What the scorer returns.
        """
        return {} if self.scorer is None else self.scorer(examples, **kwargs)

    def _learn(self, examples: List[Example], drop: float) -> Optional[float]:
        texts = self._read(eg.reference for eg in examples)
        if len(texts.symbols) == len(texts.lengths):
            return None
        set_dropout_rate(self.model, drop)
        loss = self.model.attrs["learn"](self.model, texts)
        if not numpy.isfinite(loss):
            raise ValueError(SpacyErrors.E910.format(name=self.name))
        return loss

    def _read(self, docs: Union[Doc, Iterable[Doc]]) -> SequenceBatch:
        self._require_model()
        # A document is an iterable as well, of tokens, which have texts.
        if isinstance(docs, Doc):
            docs = [docs]
        return starting(*self.alphabet.encode([doc.text for doc in docs]))

    def _write(self, prompt: str, n: int, sampler: Sampler, max_length: int) -> Iterator[Step]:
        self._require_model()
        check_positive("max_length", max_length)
        numbers, _ = self.alphabet.encode([prompt])
        return self.model.attrs["write"](
            self.model, numbers, texts=n, choose=sampler, max_length=max_length
        )

    def _spell_all(self, prompt: str, steps: Iterator[Step]) -> Iterator[str]:
        if prompt:
            yield prompt
        first = not prompt
        for step in steps:
            yield self._spell(int(step.symbols), first)
            first = False

    def _spell(self, symbol: int, first: bool) -> str:
        if symbol == END:
            return ""
        text = self.labels[symbol - SPECIAL]
        # The first word or piece of a text has a space in front that isn't in the text.
        return text.removeprefix(" ") if first and self.symbols != "letters" else text


def _split(values: ndarray, texts: SequenceBatch) -> List[ndarray]:
    """Split what there is for all symbols into that of each text."""
    return numpy.split(values, numpy.cumsum(texts.lengths, dtype="int64"))[:-1]
