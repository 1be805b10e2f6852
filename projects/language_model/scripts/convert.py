"""An archive of books to documents of some length, in .spacy."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import spacy
import typer
from spacy.tokens import DocBin
from wasabi import msg

SPACE = re.compile(r"\s")


def read_books(path: Path, pattern: str, limit: int | None) -> list[str]:
    """The files of an archive whose names match, without points and accents that are marks of
    their own, and without white space that repeats."""
    with ZipFile(path) as archive:
        names = [name for name in sorted(archive.namelist()) if re.search(pattern, name)]
        books = [archive.read(name).decode("utf-8-sig") for name in names[:limit]]
    return [re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", unpoint(book))) for book in books]


def unpoint(text: str) -> str:
    return "".join(letter for letter in text if unicodedata.category(letter) != "Mn")


def cut(text: str, length: int) -> Iterator[str]:
    """Documents of at least so many letters, up to the next white space."""
    start = 0
    while start < len(text):
        space = SPACE.search(text, start + length)
        stop = space.end() if space else len(text)
        yield text[start:stop]
        start = stop


def split_of(number: int) -> str:
    """Of twenty books in a row, the last but one goes to dev, and the last to test."""
    return {18: "dev", 19: "test"}.get(number % 20, "train")


def main(
    archive: Path,
    output: Path,
    pattern: str = ".",
    lang: str = "en",
    length: int = 1000,
    limit: int | None = None,
):
    nlp = spacy.blank(lang)
    splits = {split: DocBin() for split in ("train", "dev", "test")}
    letters = dict.fromkeys(splits, 0)
    for number, book in enumerate(read_books(archive, pattern, limit)):
        split = split_of(number)
        letters[split] += len(book)
        for text in cut(book, length):
            splits[split].add(nlp.make_doc(text))
    output.mkdir(parents=True, exist_ok=True)
    for split, docs in splits.items():
        docs.to_disk(output / f"{split}.spacy")
        msg.good(f"{split}: {letters[split]:,} letters in {len(docs):,} documents")


if __name__ == "__main__":
    typer.run(main)
