"""The most frequent wrong lemmas."""

from collections import Counter
from pathlib import Path

import typer
from score import read_examples
from spacy.vocab import Vocab
from wasabi import msg


def main(predicted: Path, gold: Path, n_errors: int = 30) -> None:
    """Print the N_ERRORS most frequent differences of PREDICTED from GOLD, with the predicted part
    of speech and features."""
    counts: Counter[tuple[str, ...]] = Counter()
    for example in read_examples(predicted, gold, Vocab()):
        for word, right in zip(example.predicted, example.reference, strict=True):
            if right.lemma_ and word.lemma_ != right.lemma_:
                features = " ".join(filter(None, [word.pos_, str(word.morph)]))
                counts[(word.text, features, right.lemma_, word.lemma_)] += 1
    rows = [(n, *error) for error, n in counts.most_common(n_errors)]
    header = ["Times", "Form", "Features", "Gold", "Predicted"]
    msg.table(rows, header=header, divider=True, aligns=["r", "l", "l", "l", "l"], max_col=60)
    msg.text(f"{sum(counts.values()):,} wrong lemmas, {len(counts):,} different ones")


if __name__ == "__main__":
    typer.run(main)
