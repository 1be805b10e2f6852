"""Tables of sources and targets, for training, choosing and testing."""

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import srsly
import typer
from typer import Option
from wasabi import msg

app = typer.Typer(help=__doc__)

MULTI30K = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
MAQAF = "\u05be"


class Pair(NamedTuple):
    """A text, its translation, and where they are from."""

    source: str
    target: str
    place: str = ""


def write_table(path: Path, pairs: Iterable[Pair]) -> None:
    """Write a table as `spacy-textconv.PairsCorpus.v1` reads it, which leaves out the place. White
    space in texts becomes single spaces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (pair if pair.place else pair[:2] for pair in pairs)
    lines = ["\t".join(" ".join(text.split()) for text in row) for row in columns]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf8")
    msg.good(f"{path}: {len(lines):,} pairs")


def read_table(path: Path) -> list[Pair]:
    lines = path.read_text(encoding="utf8").splitlines()
    return [Pair(*line.split("\t")) for line in lines]


@app.command("multi30k")
def write_multi30k(assets: Path, corpus: Path) -> None:
    """Write tables of the English and German descriptions in the folder ASSETS to CORPUS."""
    for split, name in MULTI30K.items():
        english, german = (
            gzip.decompress((assets / f"{name}.{lang}.gz").read_bytes()).decode("utf8")
            for lang in ("en", "de")
        )
        sides = zip(english.strip().split("\n"), german.strip().split("\n"), strict=True)
        write_table(corpus / f"{split}.tsv", (Pair(*side) for side in sides))


def choose_split(place: str) -> str:
    """Genesis 1 and each tenth chapter of a book are for testing, those before the latter for
    choosing."""
    book_and_chapter = place.partition(":")[0]
    last = book_and_chapter[-1]
    if book_and_chapter == "Genesis 1" or last == "9":
        return "test"
    return "dev" if last == "8" else "train"


def find_ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    """The sequences of n words of a text; of fewer words, the text itself."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def find_duplicates(texts: list[str], others: list[str], n: int, threshold: float) -> set[int]:
    """Which texts share so many n-grams with one of others: a share of those of the shorter one."""
    grams = [find_ngrams(text, n) for text in others]
    places = defaultdict(list)
    for number, found in enumerate(grams):
        for gram in found:
            places[gram].append(number)
    duplicates = set()
    for number, text in enumerate(texts):
        own = find_ngrams(text, n)
        shared = Counter(other for gram in own for other in places.get(gram, ()))
        if any(c >= threshold * min(len(own), len(grams[i])) for i, c in shared.items()):
            duplicates.add(number)
    return duplicates


@app.command("bible")
def write_bible(
    assets: Path,
    corpus: Path,
    ngram: Annotated[int, Option(help="How many words are compared at once")] = 4,
    threshold: Annotated[float, Option(help="The share of equal ones of a near-duplicate")] = 0.5,
) -> None:
    """Write tables of the Hebrew and English verses in ASSETS/verses.tsv to CORPUS. Chapters are
    held out as a whole, and no verse that is told once more in one of them is learned from: in
    either language, it has too many n-grams of words of a verse that is held out."""
    splits: dict[str, list[Pair]] = {"train": [], "dev": [], "test": []}
    _, *lines = (assets / "verses.tsv").read_text(encoding="utf8").splitlines()
    for line in lines:
        place, hebrew, _, english = line.split("\t")
        # Words that a hyphen joins are words.
        pair = Pair(hebrew.replace(MAQAF, " "), english, place)
        splits[choose_split(place)].append(pair)
    held_out = splits["dev"] + splits["test"]
    duplicates = set()
    for side in ("source", "target"):
        texts, others = (
            [getattr(pair, side) for pair in pairs] for pairs in (splits["train"], held_out)
        )
        duplicates |= find_duplicates(texts, others, ngram, threshold)
    kept = [pair for number, pair in enumerate(splits["train"]) if number not in duplicates]
    for split, pairs in {**splits, "train": kept}.items():
        write_table(corpus / f"{split}.tsv", pairs)
    removed = {"verses": len(splits["train"]), "near_duplicates_removed": len(duplicates)}
    srsly.write_json(corpus / "removed.json", removed)
    msg.info(f"{len(duplicates):,} of {len(splits['train']):,} verses are near-duplicates")


if __name__ == "__main__":
    app()
