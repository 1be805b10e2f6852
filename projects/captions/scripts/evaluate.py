"""Count the captions that are right in every word: of new pictures with combinations that the
training data has ("dev"), and of pictures with one that it doesn't have ("test")."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import spacy
import srsly
import typer
from functions import TARGET, create_picture_corpus
from scenes import Group
from spacy.training import Example
from wasabi import msg

SPLITS = ("dev", "test")
KEYS: dict[str, Callable[[Group], str]] = {
    "combination": lambda group: " ".join(map(str, group)),
    "count": lambda group: str(group.count),
    "colour": lambda group: group.colour,
    "shape": lambda group: group.shape,
}


def share_right(examples: list[Example], key: Callable[[Group], str]) -> dict[str, float]:
    """The share of captions that are right, for each kind of the group that a picture is for."""
    right = defaultdict(list)
    for eg in examples:
        found, gold = eg.predicted._.get(TARGET), eg.reference._.get(TARGET)
        right[key(Group(*eg.reference.user_data["group"]))].append(found == gold)
    return {name: sum(values) / len(values) for name, values in right.items()}


def main(pipeline: Path, corpus: Path, output_path: Path) -> None:
    """Write captions for the pictures of the CORPUS folder with PIPELINE, and how many are right to
    OUTPUT_PATH (JSON)."""
    nlp = spacy.load(pipeline)
    results = {}
    for split in SPLITS:
        examples = [*create_picture_corpus(corpus / f"{split}.spacy")(nlp)]
        # Of copies, which `nlp.evaluate` makes, the captions wouldn't be seen here.
        docs = nlp.pipe(eg.predicted for eg in examples)
        examples = [Example(doc, eg.reference) for doc, eg in zip(docs, examples, strict=True)]
        scores = nlp.get_pipe("captioner").score(examples)
        results[split] = {name: scores[f"{TARGET}_{name}"] for name in ("exact", "bleu")}
        results[split].update({name: share_right(examples, key) for name, key in KEYS.items()})
        msg.good(f"{pipeline}, {split}: {results[split]['exact']:.2%} of the captions are right")
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, results)


if __name__ == "__main__":
    typer.run(main)
