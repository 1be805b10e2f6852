"""Words and parts of words, which sentencepiece finds in texts."""

from io import BytesIO
from typing import Iterable, List, Sequence, Tuple

import numpy
from numpy import ndarray

from ..checks import check_positive, import_extra
from ..errors import Errors
from .symbols import END, SPECIAL, UNKNOWN, normalize

# What sentencepiece writes for a space.
SPACE = "\u2581"
# Longer texts would be left out. It is the most that sentencepiece takes.
MAX_BYTES = 2**30


class Pieces:
    """Pieces as the symbols of sequences: frequent words are whole, and rare ones are made of parts
    (unigram language model: Kudo 2018, "Subword regularization", section 3.2; Kudo and Richardson
    2018, "SentencePiece"). A space is part of the piece after it, and the first of a text has one
    as well.

    model (bytes): What sentencepiece has learned.
    RAISES (ImportError): If sentencepiece isn't installed.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = import_extra("sentencepiece").SentencePieceProcessor(model_proto=model)
        # The special ones have the numbers that they have here.
        pieces = self._processor.id_to_piece([*range(SPECIAL, len(self))])
        self._labels = tuple(piece.replace(SPACE, " ") for piece in pieces)

    @classmethod
    def learn(cls, texts: Iterable[str], *, max_symbols: int) -> "Pieces":
        """Find the pieces of texts. The same texts have the same pieces.

        texts (Iterable[str]): The texts.
        max_symbols (int): How many pieces there are at most.
        RETURNS (Pieces): The pieces, among them all letters.
        RAISES (ImportError): If sentencepiece isn't installed.
        RAISES (ValueError): If the letters alone are more pieces, or the texts have none.
        """
        check_positive("max_symbols", max_symbols)
        written = BytesIO()
        try:
            import_extra("sentencepiece").SentencePieceTrainer.train(
                sentence_iterator=map(normalize, texts),
                model_writer=written,
                vocab_size=SPECIAL + max_symbols,
                # If the texts are too short for as many, there are fewer.
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                max_sentence_length=MAX_BYTES,
                eos_id=END,
                unk_id=UNKNOWN,
                bos_id=-1,
                pad_id=-1,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as err:
            raise ValueError(Errors.E154.format(value=max_symbols, reason=err)) from err
        return cls(written.getvalue())

    @property
    def labels(self) -> Tuple[str, ...]:
        return self._labels

    def __len__(self) -> int:
        return len(self._processor)

    def encode(self, texts: Sequence[str]) -> Tuple[ndarray, ndarray]:
        rows = self._processor.encode([*map(normalize, texts)], num_threads=1)
        numbers = [number for row in rows for number in row]
        return numpy.array(numbers, dtype="int64"), numpy.array([*map(len, rows)], dtype="int64")

    def decode(self, numbers: Sequence[int]) -> str:
        return normalize(self._processor.decode([int(n) for n in numbers if n >= SPECIAL]))

    def split(self, text: str) -> List[str]:
        # Of what is unknown, it is the text itself.
        pieces = self._processor.encode(normalize(text), out_type=str)
        first, *rest = [piece.replace(SPACE, " ") for piece in pieces] or [""]
        return [first.removeprefix(" "), *rest] if text else []
