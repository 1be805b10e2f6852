"""Documents in shards: each is a slice of an input file that becomes one file of the output."""

import hashlib
import io
import json
import os
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple, TypedDict

import numpy
import srsly
from spacy.cli._util import walk_directory
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..errors import Errors

TYPES = (".jsonl", ".spacy", ".txt")
TEMPORARY = ".tmp"


class Shard(TypedDict):
    """A slice of an input file, and what becomes of it.

    path (str): The input file.
    start (int): Where the slice begins: a byte or, in a `.spacy` file, a document.
    stop (int): Where it ends. The byte or document there is no part of it.
    n_docs (int): The number of documents.
    output (str): The file for the annotated documents.
    """

    path: str
    start: int
    stop: int
    n_docs: int
    output: str


def plan_shards(
    input_path: Path, output_path: Path, suffix: str, size: int
) -> Tuple[List[Dict[str, Any]], List[Shard]]:
    """Read all of the input once, to check it and to divide it into shards.

    input_path (Path): A file of one of the `TYPES`, or a folder with such files.
    output_path (Path): The folder for the output.
    suffix (str): What the names of the output's files end in, ".spacy" or ".jsonl".
    size (int): The largest number of documents in a shard.
    RETURNS (Tuple[List[Dict[str, Any]], List[Shard]]): The name, checksum and number of documents
        of each file, and the shards, whose names have the order of the documents.
    """
    files: List[Dict[str, Any]] = []
    shards: List[Shard] = []
    folder = input_path if input_path.is_dir() else input_path.parent
    for path in walk_directory(input_path):
        # What an earlier run has written is no input.
        if path.suffix not in TYPES or output_path in path.parents:
            continue
        checksum, n_docs = hashlib.sha256(), 0
        for start, stop, number in _slices(_ends_of_docs(path, checksum), size):
            n_docs += number
            output = str(output_path / f"{len(shards):06}{suffix}")
            shards.append(
                Shard(path=str(path), start=start, stop=stop, n_docs=number, output=output)
            )
        name = path.relative_to(folder).as_posix()
        files.append({"name": name, "sha256": checksum.hexdigest(), "n_docs": n_docs})
    if not shards:
        raise ValueError(Errors.E141.format(path=input_path, types=", ".join(TYPES)))
    return files, shards


def _slices(ends: Iterator[int], size: int) -> Iterator[Tuple[int, int, int]]:
    """Start, stop and number of documents of slices of up to `size` documents."""
    start = 0
    while chunk := list(islice(ends, size)):
        yield start, chunk[-1], len(chunk)
        start = chunk[-1]


def _ends_of_docs(path: Path, checksum: Any) -> Iterator[int]:
    """Where each document of a file ends, as a shard counts. Adds what is read to the checksum."""
    with path.open("rb") as file:
        if path.suffix == ".spacy":
            content = file.read()
            checksum.update(content)
            try:
                yield from range(1, len(DocBin().from_bytes(content)) + 1)
            except (
                Exception
            ) as err:  # spaCy raises errors of its compression and format as they are.
                raise ValueError(Errors.E142.format(path=path, reason=err)) from err
            return
        end = 0
        for number, line in enumerate(file, start=1):
            checksum.update(line)
            end += len(line)
            try:
                document = _parse(path, line)
            except (KeyError, TypeError, ValueError) as err:
                raise ValueError(Errors.E140.format(number=number, path=path, reason=err)) from err
            if document is not None:
                yield end


def _parse(path: Path, line: bytes) -> Optional[Dict[str, Any]]:
    """The document of a line, or None for an empty line of a JSONL file. An empty line of another
    file is an empty document, so that documents and lines have the same numbers."""
    # A file from Windows may begin with a mark of its encoding.
    text = line.decode("utf-8-sig").rstrip("\r\n")
    if path.suffix == ".txt":
        return {"text": text}
    if not text.strip():
        return None
    document: Dict[str, Any] = srsly.json_loads(text)
    if not isinstance(document["text"], str):
        raise TypeError("`text` is no string")
    return document


@lru_cache(maxsize=1)
def _load(path: Path, changed: int) -> DocBin:
    """Load a file, of which one shard after the other is read until it is changed."""
    return DocBin().from_disk(path)


def read_docs(shard: Shard, nlp: Language) -> Iterator[Doc]:
    """Make the documents of a shard, with their `meta` in `Doc.user_data`. Those of a `.spacy` file
    keep their tokens and what is annotated."""
    path, start, stop = Path(shard["path"]), shard["start"], shard["stop"]
    if path.suffix == ".spacy":
        whole, part = _load(path, path.stat().st_mtime_ns), DocBin()
        part.attrs, part.strings = whole.attrs, whole.strings
        # Only the documents of the shard are built.
        for name in ("tokens", "spaces", "cats", "flags", "span_groups", "user_data"):
            setattr(part, name, getattr(whole, name)[start:stop])
        yield from part.get_docs(nlp.vocab)
        return
    with path.open("rb") as file:
        file.seek(start)
        lines = io.BytesIO(file.read(stop - start))
    for document in filter(None, (_parse(path, line) for line in lines)):
        doc = nlp.make_doc(document["text"])
        if "meta" in document:
            doc.user_data["meta"] = document["meta"]
        yield doc


def write_docs(docs: Iterable[Doc], path: Path) -> None:
    """Write documents into a `.spacy` or `.jsonl` file."""
    with whole_file(path) as temporary:
        if path.suffix == ".spacy":
            DocBin(docs=docs, store_user_data=True).to_disk(temporary)
        else:
            srsly.write_jsonl(temporary, map(_to_json, docs))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and its place to what was written. So the file is whole as
    soon as it exists, whenever the process is killed."""
    temporary = path.with_name(f"{path.name}-{os.getpid()}{TEMPORARY}")
    yield temporary
    temporary.replace(path)


def _to_json(doc: Doc) -> Dict[str, Any]:
    """Turn a document into JSON, with those values of extensions that JSON can hold."""
    meta = {"meta": doc.user_data["meta"]} if "meta" in doc.user_data else {}
    names: Set[str] = set()
    for key, value in [*doc.user_data.items()]:
        # This is how spaCy stores the value of an extension.
        if isinstance(key, tuple) and key[0] == "._.":
            try:
                text = json.dumps(value, allow_nan=False, default=numpy.ndarray.tolist)
            except (TypeError, ValueError):
                del doc.user_data[key]
            else:
                doc.user_data[key] = json.loads(text)
                names.add(key[1])
    return {**doc.to_json(underscore=sorted(names)), **meta}
