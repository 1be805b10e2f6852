"""What the components that write sequences of symbols have in common."""

from base64 import b64decode, b64encode
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from spacy.errors import Errors as SpacyErrors
from spacy.tokens import Doc

from ..checks import check_choice, check_positive
from ..errors import Errors
from ..generation.pieces import Pieces
from ..generation.symbols import Letters, SequenceSymbols, Words
from ..models.attributes import EXTENSION, register_target
from .base import ConvPipe

KINDS = ("letters", "words", "pieces")


def check_symbols(symbols: str, max_symbols: int) -> None:
    """Raise a ValueError unless texts can be written with such symbols."""
    check_choice("symbols", symbols, KINDS)
    check_positive("max_symbols", max_symbols)


class DocExtensions:
    """Extensions that a component writes to documents: `doc._.{name}`.

    names (Sequence[str]): Their names.
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self.register()

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Another process, which a component is sent to, knows none yet.
        self.register()

    def register(self) -> None:
        """Register those that aren't yet, without a value."""
        for name in self.names:
            register_target(f"{EXTENSION}{name}", Doc)


class SequencePipe(ConvPipe):
    """A component that writes texts with letters, words or pieces of words, which it finds in the
    training data. They are kept in `cfg`, by their kind: letters and words as they are, and of
    pieces what sentencepiece has learned.

    symbols (str): "letters", "words" or "pieces".
    max_symbols (int): The number of different words or pieces.
    min_count (int): How often a letter has to be in the training data to be a symbol.
    """

    symbols: str
    max_symbols: int
    min_count: int = 1
    _alphabet: Optional[SequenceSymbols] = None

    @property
    def alphabet(self) -> SequenceSymbols:
        """The symbols, with their numbers."""
        if self._alphabet is None:
            self._require_model()
            self._alphabet = self._load_symbols(self.cfg["symbols"])
        return self._alphabet

    @property
    def labels(self) -> Tuple[str, ...]:
        """The symbols, in the order of the model's outputs."""
        return self.alphabet.labels if self.cfg["symbols"] else ()

    @property
    def label_data(self) -> Dict[str, Any]:  # type: ignore[override]
        """The symbols, as `spacy init labels` writes them."""
        return self.cfg["symbols"]

    def _set_symbols(self, texts: Iterable[str], labels: Optional[Dict[str, Any]]) -> None:
        """Set the symbols, and the sizes of the model.

        texts (Iterable[str]): What is to be written.
        labels (Optional[Dict[str, Any]]): The symbols, as `label_data` has them; None for those of
            the texts.
        """
        data = self._find_symbols(texts) if labels is None else labels
        self._alphabet = self._load_symbols(data)
        self.cfg["symbols"] = data
        self.set_output(len(self._alphabet))

    def _find_symbols(self, texts: Iterable[str]) -> Dict[str, Any]:
        if self.symbols == "pieces":
            pieces = Pieces.learn(texts, max_symbols=self.max_symbols)
            return {"pieces": b64encode(pieces.model).decode("ascii")}
        if self.symbols == "words":
            return {"words": Words().find_labels(texts, max_symbols=self.max_symbols)}
        return {"letters": Letters().find_labels(texts, min_count=self.min_count)}

    def _load_symbols(self, data: Dict[str, Any]) -> SequenceSymbols:
        """Make the symbols of what `label_data` has."""
        if self.symbols not in data:
            raise ValueError(Errors.E194.format(name=self.name, symbols=self.symbols))
        if self.symbols == "pieces":
            return Pieces(b64decode(data["pieces"]))
        return (Words if self.symbols == "words" else Letters)(data[self.symbols])

    def _loaded(self, file: str, source: str) -> None:
        if file == "cfg" and self.cfg["symbols"]:
            self._alphabet = self._load_symbols(self.cfg["symbols"])
            self.set_output(len(self._alphabet))

    def _require_model(self) -> None:
        if not self.model.has_dim("nO"):
            raise ValueError(SpacyErrors.E109.format(name=self.name))
