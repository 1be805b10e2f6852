"""Print the scores of the pipeline, on all test documents and on those that end in a turn."""

from pathlib import Path

import srsly
import typer
from wasabi import MarkdownRenderer, msg

SCORES = {
    "tag_acc": "Fine-grained tags, accuracy",
    "pos_acc": "Parts of speech, accuracy",
    "morph_acc": "Morphology, accuracy",
    "lemma_acc": "Lemmas, accuracy",
    "ents_f": "Entities, F-score",
    "cats_score": "Categories, macro F-score",
    # With one category for each document, the micro F-score is the accuracy.
    "cats_micro_f": "Categories, accuracy",
}
HEADER = ("", "All", "Turns")


def main(test: Path, turns: Path, output: Path) -> None:
    """Write the table to a Markdown file too."""
    columns = [srsly.read_json(test), srsly.read_json(turns)]
    rows = [
        (title, *(f"{100 * column[name]:.1f}" for column in columns))
        for name, title in SCORES.items()
    ]
    msg.table(rows, header=HEADER, divider=True, aligns=("l", "r", "r"))
    markdown = MarkdownRenderer()
    markdown.add(markdown.title(1, "Scores of the quickstart pipeline"))
    markdown.add(markdown.table(rows, HEADER, aligns=("l", "r", "r")))
    output.write_text(markdown.text + "\n", encoding="utf8")


if __name__ == "__main__":
    typer.run(main)
