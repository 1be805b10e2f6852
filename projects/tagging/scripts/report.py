"""One table of the scores that `spacy evaluate` has written."""

from pathlib import Path

import srsly
import typer
from wasabi import msg

ACCURACIES = {
    "tag_acc": "XPOS %",
    "pos_acc": "UPOS %",
    "morph_acc": "Features %",
    "dep_uas": "UAS %",
    "dep_las": "LAS %",
}


def main(metrics: Path) -> None:
    """Print one row for each file of the METRICS folder, named after the file."""
    rows = []
    for path in sorted(metrics.glob("*.json")):
        scores = srsly.read_json(path)
        accuracies = [f"{100 * scores[name]:.2f}" if name in scores else "–" for name in ACCURACIES]
        rows.append([path.stem, *accuracies, f"{scores['speed']:,.0f}"])
    header = ["Pipeline", *ACCURACIES.values(), "Words/s"]
    msg.table(rows, header=header, divider=True, aligns=["l", *"r" * (len(header) - 1)])


if __name__ == "__main__":
    typer.run(main)
