"""Functions that configs name as readers."""

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Literal, Optional, Union

import srsly
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example

from .checks import check_choice
from .errors import Errors
from .models.attributes import check_writable, is_extension, register_target, write

JSONL = ".jsonl"
COLUMNS = ("source", "target", "features")


def create_pairs_corpus_v1(
    *,
    path: Optional[Path],
    target: str,
    features: Optional[str] = None,
    level: Literal["token", "doc"] = "token",
) -> Callable[[Language], Iterable[Example]]:
    """Create a reader of pairs of strings: each source becomes a document, with a single token or
    with those that the tokenizer finds.

    It reads tables without a header, with columns for source, target and, if wanted, features that
    are separated by ";", as those of UniMorph and SIGMORPHON 2018 are:

        go<tab>went<tab>V;PST

    and, from files that end in `.jsonl`, objects with the keys "source", "target" and "features",
    which can be a list.

    path (Optional[Path]): The file.
    target (str): What the target is written to in the reference: "LEMMA", "NORM" or an extension
        such as "_.inflection".
    features (Optional[str]): The extension that features are written to, in the predicted document
        as well; null to read none.
    level (str): Whether targets and features are those of a "token", the only one of its document,
        or of the "doc", where both are extensions.
    RETURNS (Callable[[Language], Iterable[Example]]): The reader.
    RAISES (ValueError): If a name is not one of these, or, when called, if the file can't be read.
    """
    check_choice("level", level, ("token", "doc"))
    if level == "doc" and not is_extension(target):
        raise ValueError(Errors.E164.format(value=target))
    check_writable("target", target)
    if features is not None and not is_extension(features):
        raise ValueError(Errors.E120.format(value=features))
    owner = Token if level == "token" else Doc
    for name in (target, features):
        if name is not None:
            register_target(name, owner)

    def read_pairs(nlp: Language) -> Iterator[Example]:
        if path is None or not Path(path).is_file():
            raise ValueError(Errors.E121.format(path=path))
        for pair in _read_file(Path(path)):
            docs = [_make_doc(nlp, pair["source"], level) for _ in range(2)]
            predicted, reference = docs if level == "doc" else [doc[0] for doc in docs]
            write(reference, target, pair["target"])
            if features is not None:
                for item in (predicted, reference):
                    write(item, features, pair["features"])
            yield Example(*docs)

    return read_pairs


def _make_doc(nlp: Language, source: str, level: str) -> Doc:
    if level == "doc":
        return nlp.make_doc(source)
    return Doc(nlp.vocab, words=[source], spaces=[False])


def _read_file(path: Path) -> Iterator[Dict[str, str]]:
    try:
        # A file from Windows may begin with a mark of its encoding.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as err:
        raise ValueError(Errors.E048.format(path=path, reason=err)) from err
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        pair = _parse_json(line) if path.suffix == JSONL else line.split("\t")
        if isinstance(pair, list):
            pair = dict(zip(COLUMNS, pair, strict=False)) if len(pair) <= len(COLUMNS) else {}
        pair = {"features": "", **pair}
        if isinstance(pair["features"], list):
            pair["features"] = ";".join(map(str, pair["features"]))
        texts = [pair.get(column) for column in COLUMNS]
        if not all(isinstance(text, str) for text in texts) or not pair["source"]:
            raise ValueError(Errors.E122.format(path=path, number=number, line=line[:100]))
        yield pair


def _parse_json(line: str) -> Union[Dict[str, Any], List[Any]]:
    try:
        parsed = srsly.json_loads(line)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {}
