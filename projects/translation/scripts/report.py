"""Tables of scores, in Markdown, and the first verses of the Bible where they are held out."""

from pathlib import Path

import srsly
import typer
from tables import read_table
from wasabi import MarkdownRenderer

COLUMNS = {
    "bleu": ("BLEU", "{:.2f}"),
    "bleu_lowercased": ("BLEU, lower-cased", "{:.2f}"),
    "chrf": ("chrF", "{:.2f}"),
    "beam": ("Beam", "{}"),
    "length_penalty": ("Length penalty", "{}"),
    "parameters": ("Parameters", "{:,}"),
    "seconds": ("Training, CPU seconds", "{:,.0f}"),
}
FIRST = [f"Genesis 1:{verse}" for verse in range(1, 6)]


def main(corpus: Path, output: Path, split: str = "test") -> None:
    """Print what the systems of OUTPUT reach on CORPUS/SPLIT.tsv, as OUTPUT/report-SPLIT.md."""
    markdown = MarkdownRenderer()
    scores = {
        path.stem: srsly.read_json(path) for path in sorted(output.glob(f"metrics/{split}/*.json"))
    }
    found = {
        name: (output / "predictions" / split / f"{name}.txt").read_text("utf8").split("\n")
        for name in scores
    }
    for number, pair in enumerate(read_table(corpus / f"{split}.tsv")):
        if pair.place in FIRST:
            rows = [("Source", pair.source)]
            rows += [(name, texts[number]) for name, texts in found.items()]
            rows += [("Reference", pair.target)]
            markdown.add(markdown.table(rows, [pair.place, ""]))
    header = ["System", *(title for title, _ in COLUMNS.values())]
    cells = [
        [name, *(style.format(row[column]) for column, (_, style) in COLUMNS.items())]
        for name, row in scores.items()
    ]
    markdown.add(markdown.table(cells, header, aligns=["l", *"r" * len(COLUMNS)]))
    signatures = {
        COLUMNS[column][0]: signature
        for row in scores.values()
        for column, signature in row["signatures"].items()
    }
    markdown.add(markdown.list([f"{title}: `{text}`" for title, text in signatures.items()]))
    (output / f"report-{split}.md").write_text(f"{markdown.text}\n", encoding="utf8")
    typer.echo(markdown.text)


if __name__ == "__main__":
    typer.run(main)
