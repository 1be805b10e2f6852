"""Tables of scores, in Markdown: a row for each data set, a column for each system."""

from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import srsly
import typer
from wasabi import MarkdownRenderer

TITLES = {
    "acc": "Exact match, %",
    "acc_seen": "Exact match of what the training data has, %",
    "acc_unseen": "Exact match of what the training data doesn't have, %",
    "cer": "Letter error rate, %",
}

# The scores of each seed, by data set and system
Runs = dict[str, dict[str, list[dict[str, Any]]]]


def read_runs(metrics: Path, split: str) -> Runs:
    """Read what stands in DATA/SPLIT/SYSTEM-seedN.json, or without a seed in SYSTEM.json."""
    runs: Runs = defaultdict(lambda: defaultdict(list))
    for path in sorted(metrics.glob(f"*/{split}/*.json")):
        system = path.stem.partition("-seed")[0]
        runs[path.parts[-3]][system].append(srsly.read_json(path))
    return runs


def summarize(seeds: list[dict[str, Any]], score: str) -> str:
    """The mean of the seeds and, with more than one, their standard deviation."""
    values = [100 * seed[score] for seed in seeds if seed.get(score) is not None]
    if not values:
        return "–"
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def main(metrics: Path, split: str = "test") -> None:
    """Print the tables of the METRICS folder, and write them to METRICS/report-SPLIT.md."""
    runs = read_runs(metrics, split)
    systems = sorted({system for row in runs.values() for system in row})
    markdown = MarkdownRenderer()
    for score, title in TITLES.items():
        rows = [
            [data, *(summarize(row[name], score) for name in systems)] for data, row in runs.items()
        ]
        if any(cell != "–" for row in rows for cell in row[1:]):
            markdown.add(markdown.title(3, f"{title} ({split})"))
            markdown.add(markdown.table(rows, ["", *systems], aligns=["l", *"r" * len(systems)]))
    (metrics / f"report-{split}.md").write_text(f"{markdown.text}\n", encoding="utf8")
    typer.echo(markdown.text)


if __name__ == "__main__":
    typer.run(main)
