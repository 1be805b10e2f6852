"""Descriptions of pictures and reviews of films to .spacy."""

import gzip
from collections.abc import Iterable
from pathlib import Path

import spacy
import typer
from spacy.tokens import DocBin
from wasabi import msg

app = typer.Typer(help=__doc__)

MULTI30K = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
LABELS = ("NEGATIVE", "POSITIVE")

# A text and, of a review, its label
Text = tuple[str, str | None]


def write(path: Path, texts: Iterable[Text]) -> None:
    """Write texts with their labels as categories. White space becomes single spaces."""
    nlp = spacy.blank("en")
    docs = DocBin()
    for text, label in texts:
        doc = nlp.make_doc(" ".join(text.split()))
        if label:
            doc.cats = {name: float(name == label) for name in LABELS}
        docs.add(doc)
    path.parent.mkdir(parents=True, exist_ok=True)
    docs.to_disk(path)
    msg.good(f"{path}: {len(docs):,} texts")


@app.command("multi30k")
def convert_descriptions(assets: Path, corpus: Path) -> None:
    """Write train, dev and test of CORPUS from the English descriptions in ASSETS."""
    for split, name in MULTI30K.items():
        lines = gzip.decompress((assets / f"{name}.en.gz").read_bytes()).decode("utf8")
        write(corpus / f"{split}.spacy", [(line, None) for line in lines.strip().split("\n")])


def read_reviews(path: Path) -> list[Text]:
    """A digit and a sentence on each line."""
    lines = path.read_text(encoding="utf8").splitlines()
    return [(line[2:], LABELS[int(line[0])]) for line in lines]


@app.command("sst2")
def convert_reviews(assets: Path, corpus: Path, judge: Path) -> None:
    """Write train, dev and test of CORPUS from the reviews in ASSETS. Each third review of the
    training set goes to JUDGE instead, so that what was written is judged by a classifier and a
    language model that have read other texts."""
    splits = {split: read_reviews(assets / f"stsa.binary.{split}") for split in MULTI30K}
    of_judge = splits["train"][::3]
    splits["train"] = [text for number, text in enumerate(splits["train"]) if number % 3]
    for split, texts in splits.items():
        write(corpus / f"{split}.spacy", texts)
    write(judge / "train.spacy", of_judge)
    write(judge / "dev.spacy", splits["dev"])


if __name__ == "__main__":
    app()
