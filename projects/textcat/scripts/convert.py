"""The data sets in the files of their publishers to .spacy, with the usual splits."""

from collections.abc import Callable, Iterable
from pathlib import Path
from zipfile import ZipFile

import spacy
import typer
from spacy.tokens import Doc, DocBin
from wasabi import msg

Text = tuple[str, str]  # A text and its label
Splits = dict[str, list[Text]]
SPLITS = ("train", "dev", "test")


def read_lines(data: bytes) -> list[str]:
    """The lines that are not empty. The older files are Latin-1, the others UTF-8, and hardly any
    text in Latin-1 is also valid UTF-8."""
    try:
        text = data.decode("utf8")
    except UnicodeDecodeError:
        text = data.decode("latin1")
    return [line for line in text.split("\n") if line.strip()]


def read_sst(assets: Path) -> Splits:
    """A digit and a sentence, in a file for each split."""
    files = {split: (assets / f"stsa.binary.{split}").read_bytes() for split in SPLITS}
    return {split: [(line[2:], line[0]) for line in read_lines(files[split])] for split in SPLITS}


def read_trec(assets: Path) -> Splits:
    """COARSE:fine and a question, of which the coarse label counts. Every tenth question of the
    training set, the first one included, goes to dev, because TREC has none."""
    with ZipFile(assets / "qc.zip") as archive:
        files = {split: archive.read(f"qc/{split}.txt") for split in ["train", "test"]}
    train, test = (
        [(line.split(" ", 1)[1], line.split(":", 1)[0]) for line in read_lines(data)]
        for data in files.values()
    )
    rest = [text for number, text in enumerate(train) if number % 10 != 0]
    return {"train": rest, "dev": train[::10], "test": test}


def deal_out(texts: Iterable[str], label: str) -> Splits:
    """Of ten texts in a row, eight go to train, the ninth to dev and the tenth to test."""
    splits: Splits = {split: [] for split in SPLITS}
    for number, text in enumerate(texts):
        split = {8: "dev", 9: "test"}.get(number % 10, "train")
        splits[split].append((text, label))
    return splits


def read_classes(path: Path, members: dict[str, str]) -> Splits:
    """A file for each label, with a sentence on each line. No usual split."""
    with ZipFile(path) as archive:
        parts = [deal_out(read_lines(archive.read(name)), members[name]) for name in members]
    return {split: [text for part in parts for text in part[split]] for split in SPLITS}


def read_mr(assets: Path) -> Splits:
    members = {f"sentence_polarity/rt-polarity.{label}": label for label in ["neg", "pos"]}
    return read_classes(assets / "sentence_polarity.zip", members)


def read_subj(assets: Path) -> Splits:
    """Plots are objective, and what critics say is subjective."""
    members = {
        "subjectivity/plot.tok.gt9.5000": "objective",
        "subjectivity/quote.tok.gt9.5000": "subjective",
    }
    return read_classes(assets / "subjectivity.zip", members)


def read_polarity(assets: Path) -> Splits:
    """A file for each review, LABEL/cvNNN_N.txt. The hundreds are the folds of cross-validation,
    the last of which goes to test and the one before to dev."""
    splits: Splits = {split: [] for split in SPLITS}
    with ZipFile(assets / "movie_reviews.zip") as archive:
        for name in sorted(archive.namelist()):
            folder, _, file = name.rpartition("/")
            if file.startswith("cv"):
                split = {"8": "dev", "9": "test"}.get(file[2], "train")
                text = "\n".join(read_lines(archive.read(name)))
                splits[split].append((text, folder.rpartition("/")[2]))
    return splits


def read_tsv(assets: Path) -> Splits:
    """A header, then a text, a tab and a label on each line, in a file for each split."""
    splits: Splits = {}
    for split in SPLITS:
        path = assets / f"{split}.tsv"
        splits[split] = []
        for line in read_lines(path.read_bytes())[1:]:
            text, _, label = (part.strip() for part in line.rpartition("\t"))
            if not text or not label:
                raise ValueError(f"No text, tab and label in a line of {path}: {line!r}")
            splits[split].append((text, label))
    return splits


READERS: dict[str, Callable[[Path], Splits]] = {
    "sst2": read_sst,
    "trec": read_trec,
    "mr": read_mr,
    "subj": read_subj,
    "polarity": read_polarity,
}


def main(data: str, assets: Path, output_dir: Path, lang: str = "en") -> None:
    """Write train.spacy, dev.spacy and test.spacy. A data set without a format of its own is read
    from train.tsv, dev.tsv and test.tsv."""
    splits = READERS.get(data, read_tsv)(assets)
    labels = sorted({label for texts in splits.values() for _, label in texts})
    nlp = spacy.blank(lang)
    output_dir.mkdir(parents=True, exist_ok=True)
    for split, texts in splits.items():
        docs: list[Doc] = []
        for text, label in texts:
            doc = nlp.make_doc(" ".join(text.split()))
            doc.cats = {name: float(name == label) for name in labels}
            docs.append(doc)
        DocBin(docs=docs).to_disk(output_dir / f"{split}.spacy")
        n_words = sum(len(doc) for doc in docs)
        msg.good(f"{output_dir / split}.spacy: {len(docs):,} docs, {n_words:,} words")
    msg.good(f"{len(labels)} labels: {', '.join(labels)}")


if __name__ == "__main__":
    typer.run(main)
