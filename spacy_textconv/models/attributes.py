"""What components read from tokens and write to them: attributes and extensions, by name."""

from typing import Any, Iterable, List, Optional, Sequence, Type, Union

import numpy
from numpy import ndarray
from spacy.attrs import IDS
from spacy.strings import get_string_id
from spacy.tokens import Doc, Token
from spacy.training import Example

from ..checks import check_choice
from ..errors import Errors

EXTENSION = "_."
TARGETS = ("LEMMA", "NORM")
# Every token has the first of these; the others are there where something has set them.
LEXICAL = ("ORTH", "NORM", "LOWER", "SHAPE", "PREFIX", "SUFFIX")
ANNOTATED = ("LEMMA", "POS", "TAG", "MORPH", "DEP", "ENT_TYPE")


def check_readable(setting: str, name: str) -> None:
    """Raise a ValueError unless the name is that of an attribute with a text, or of an extension.

    setting (str): The setting that the name comes from.
    name (str): The name, such as "ORTH" or "_.name".
    """
    if not is_extension(name):
        check_choice(setting, name, (*LEXICAL, *ANNOTATED, "_.name"))


def check_writable(setting: str, name: str) -> None:
    """Raise a ValueError unless the name is that of an attribute that can be set to any text, or of
    an extension."""
    if not is_extension(name):
        check_choice(setting, name, (*TARGETS, "_.name"))


def check_registered(name: str) -> None:
    """Raise a ValueError if the name is that of an extension that tokens don't have."""
    if is_extension(name) and not Token.has_extension(bare_name(name)):
        raise ValueError(Errors.E110.format(name=name, bare=bare_name(name)))


def register(name: str, owner: Union[Type[Token], Type[Doc]] = Token) -> None:
    """Register an extension of tokens or documents that isn't yet, as one without a value."""
    if is_extension(name) and not owner.has_extension(bare_name(name)):
        owner.set_extension(bare_name(name), default=None)


def register_target(name: str, owner: Union[Type[Token], Type[Doc]] = Token) -> None:
    """Register an extension that is to be written to, if it isn't yet. Raise a ValueError if nobody
    would read what is written, because other code computes its value."""
    register(name, owner)
    if is_extension(name):
        _, method, getter, setter = owner.get_extension(bare_name(name))
        if method is not None or (getter is not None and setter is None):
            raise ValueError(Errors.E196.format(name=name))


def is_extension(name: str) -> bool:
    """Tell an extension ("_.name") from an attribute ("NAME")."""
    return name.startswith(EXTENSION) and len(name) > len(EXTENSION)


def bare_name(name: str) -> str:
    """The name of an extension, or that of an attribute of `Token` without "_" at its end."""
    return name.removeprefix(EXTENSION) if is_extension(name) else name.lower()


def read(token: Token, name: str) -> Optional[str]:
    """Read the text of an attribute or an extension. A list of them in an extension is joined by
    ";", and what is neither, such as a number, is written out. None if there is none; an attribute
    that isn't set is an empty text."""
    if is_extension(name):
        value = _extension_value(token, bare_name(name))
        if value is None or isinstance(value, str):
            return value
        return ";".join(map(str, value)) if isinstance(value, Iterable) else str(value)
    if name == "MORPH":
        return str(token.morph)
    return getattr(token, f"{bare_name(name)}_")


def _extension_value(token: Token, bare: str) -> Any:
    """Look up the value of an extension. None if there is none, or only an empty text that is the
    default."""
    value = token._.get(bare)
    default, *_ = Token.get_extension(bare)
    if not isinstance(value, str) or value or default is None:
        return value
    # Where spaCy keeps what has been set.
    key: Any = ("._.", bare, token.idx, None)
    return token.doc.user_data.get(key)


def write(item: Union[Token, Doc], name: str, value: str) -> None:
    """Write the text of an attribute of a token, or of an extension."""
    if is_extension(name):
        item._.set(bare_name(name), value)
    else:
        setattr(item, f"{bare_name(name)}_", value)


def is_set(token: Token, name: str) -> bool:
    """Tell whether an attribute has been set. A norm that is set to that of all tokens of this form
    can't be told from one that isn't."""
    if is_extension(name):
        return _extension_value(token, bare_name(name)) is not None
    return token.lemma != 0 if name == "LEMMA" else token.norm != token.lex.norm


def split_features(name: str, value: Optional[str]) -> List[str]:
    """Split the value of an attribute into features, such as "MORPH Case=Nom".

    name (str): The attribute or extension.
    value (Optional[str]): Its value: a morphological analysis is split at "|", the value of an
        extension at ";".
    RETURNS (List[str]): The features, none for no value.
    """
    separator = "|" if name == "MORPH" else ";" if is_extension(name) else None
    parts = (value or "").split(separator) if separator else [value or ""]
    return [f"{name} {part}" for part in parts if part]


def has_values(doc: Doc, name: str) -> bool:
    """Tell whether anything has set an attribute or extension in a document with tokens."""
    if is_extension(name):
        return any(is_set(token, name) for token in doc)
    return name in LEXICAL or doc.has_annotation("ENT_IOB" if name == "ENT_TYPE" else name)


def value_keys(doc: Doc, names: Sequence[str]) -> ndarray:
    """Make numbers that are equal where values are equal.

    doc (Doc): The document.
    names (Sequence[str]): The attributes and extensions.
    RETURNS (ndarray): 64-bit numbers. *Shape:* (tokens, names)
    """
    keys = numpy.zeros((len(doc), len(names)), dtype="uint64")
    for column, name in enumerate(names):
        if is_extension(name):
            values = [read(token, name) for token in doc]
            keys[:, column] = [get_string_id("\0" if value is None else value) for value in values]
        else:
            keys[:, column] = doc.to_array([IDS[name]]).reshape(-1)
    return keys


def aligned(example: Example, name: str) -> List[Optional[str]]:
    """Read what an attribute or extension of each predicted token is in the reference.

    example (Example): The predicted document and the reference.
    name (str): The attribute or extension.
    RETURNS (List[Optional[str]]): The text for each predicted token. None where the token isn't one
        of the reference, or has no value there.
    """
    x2y, y2x = example.alignment.x2y, example.alignment.y2x
    texts: List[Optional[str]] = [None] * len(example.predicted)
    for i in (x2y.lengths == 1).nonzero()[0].tolist():
        [j] = x2y[i].tolist()
        if y2x.lengths[j] == 1:
            text = read(example.reference[j], name)
            texts[i] = text if text or is_extension(name) else None
    return texts
