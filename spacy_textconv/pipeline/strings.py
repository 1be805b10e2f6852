"""What a transducer reads from documents: strings with features, and what they become."""

from itertools import chain
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy
from numpy import ndarray
from spacy.tokens import Doc, Token
from spacy.training import Example

from ..generation.symbols import normalize
from ..models.attributes import (
    aligned,
    check_registered,
    has_values,
    is_extension,
    read,
    register,
    split_features,
    value_keys,
)

# Between the parts of a key of the memory.
SEPARATOR = "\x1f"


class Entry(NamedTuple):
    """A string to be transduced.

    source (str): The string.
    features (Tuple[str, ...]): What is known about it.
    """

    source: str
    features: Tuple[str, ...]

    @property
    def key(self) -> str:
        """What the memory knows it by."""
        return SEPARATOR.join((self.source, *self.features))


class Pair(NamedTuple):
    """A string, and what it becomes.

    entry (Entry): The string.
    target (str): What it becomes, as it is annotated.
    token (int): The token that it belongs to, among those of all documents.
    """

    entry: Entry
    target: str
    token: int


class StringReader:
    """Reads strings, their features and what they become.

    source (str): The attribute or extension with the string.
    target (str): The one with what it becomes.
    features (Sequence[str]): Those with features.
    """

    def __init__(self, source: str, target: str, features: Sequence[str]):
        self.target = target
        self.features = tuple(features)
        self.names = (source, *features)

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Another process, which a component is sent to, knows no extensions yet.
        for name in self.names:
            register(name)

    def check_registered(self) -> None:
        """Raise a ValueError if an extension that is read isn't registered."""
        for name in self.names:
            check_registered(name)

    def unset(self, docs: Sequence[Doc]) -> List[str]:
        """List the features that nothing has set in any of the documents."""
        return [name for name in self.features if not any(has_values(doc, name) for doc in docs)]

    def make_entry(self, source: Optional[str], *features: Optional[str]) -> Entry:
        """Make an entry of a string and the values of its features."""
        parts = (
            split_features(name, value) for name, value in zip(self.features, features, strict=True)
        )
        return Entry(normalize(source or ""), tuple(chain.from_iterable(parts)))

    def entry(self, token: Token) -> Entry:
        """Read the string of a token."""
        return self.make_entry(*(read(token, name) for name in self.names))

    def keys(self, docs: Sequence[Doc]) -> ndarray:
        """Make numbers that are equal where tokens have the same string and features. *Shape:*
        (tokens, 1 + features)"""
        return numpy.concatenate([value_keys(doc, self.names) for doc in docs])

    def reference_pairs(self, examples: Iterable[Example]) -> Iterator[Pair]:
        """Read the pairs of references by themselves."""
        for example in examples:
            for token in example.reference:
                target, entry = read(token, self.target), self.entry(token)
                # Of no string, nothing can be made.
                if entry.source and target is not None and (target or is_extension(self.target)):
                    yield Pair(entry, target, token.i)

    def pairs(self, examples: Sequence[Example]) -> Iterator[Pair]:
        """Read the pairs of examples: predicted strings, with features that are predicted where
        something predicts them, and what they become in the references."""
        offset = 0
        for example in examples:
            doc = example.predicted
            columns: List[List[Any]] = [
                [read(token, name) for token in doc]
                if has_values(doc, name)
                else aligned(example, name)
                for name in self.names
            ]
            targets = aligned(example, self.target)
            rows = zip(targets, *columns, strict=True)
            for i, (target, source, *features) in enumerate(rows, start=offset):
                if source and target is not None:
                    yield Pair(self.make_entry(source, *features), target, i)
            offset += len(doc)


def distinct(pairs: Iterable[Pair]) -> List[Pair]:
    """Leave out all but the first of equal pairs, whichever tokens they belong to."""
    found: Dict[Tuple[Entry, str], Pair] = {}
    for pair in pairs:
        found.setdefault(pair[:2], pair)
    return [*found.values()]
