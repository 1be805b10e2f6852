"""How many lemmas are right: of all words, of forms that the training data has, and of others."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import srsly
import typer
from corpora import SPLITS, read_docs
from spacy.scorer import Scorer
from spacy.tokens import Token
from spacy.training import Example
from spacy.vocab import Vocab
from wasabi import msg


def read_examples(predicted: Path, gold: Path, vocab: Vocab) -> list[Example]:
    docs = zip(read_docs(predicted, vocab), read_docs(gold, vocab), strict=True)
    return [Example(*pair) for pair in docs]


def score_lemmas(examples: list[Example], known: Container[str]) -> dict[str, Any]:
    """The accuracy, as spaCy computes it. Words without a gold lemma count for nothing."""

    def accuracy(counts: Any) -> Any:
        def read_lemma(token: Token, _: str) -> str:
            return token.lemma_ if counts(token.text) else ""

        scores = Scorer.score_token_attr(
            examples, "lemma", getter=read_lemma, missing_values={"", None}
        )
        return scores["lemma_acc"]

    return {
        "acc": accuracy(lambda form: True),
        "acc_seen": accuracy(lambda form: form in known),
        "acc_unseen": accuracy(lambda form: form not in known),
    }


def main(predicted: Path, corpus: Path, metrics: Path, name: str) -> None:
    """Score the docs of the folder PREDICTED by those of CORPUS, and write METRICS/SPLIT/NAME.json.
    Seen are the forms in CORPUS/train.spacy."""
    vocab = Vocab()
    known = {token.text for doc in read_docs(corpus / "train.spacy", vocab) for token in doc}
    for split in SPLITS:
        file = f"{split}.spacy"
        scores = score_lemmas(read_examples(predicted / file, corpus / file, vocab), known)
        output_path = metrics / split / f"{name}.json"
        output_path.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output_path, scores)
        msg.good(f"{output_path}: {100 * scores['acc']:.2f} % of the lemmas")


if __name__ == "__main__":
    typer.run(main)
