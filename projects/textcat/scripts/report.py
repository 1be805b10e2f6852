"""One table of the scores that `evaluate.py` has written."""

from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import srsly
import typer
from wasabi import msg

SCORES = {"cats_micro_f": "Accuracy %", "cats_macro_f": "Macro F1 %"}


def summarize(values: list[float]) -> str:
    """The mean, and with more than one value their standard deviation."""
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


def main(metrics: Path) -> None:
    """Print one row for each pipeline of the METRICS folder, the mean of its seeds. A file is named
    after the pipeline and the seed: NAME-seedN.json."""
    runs = defaultdict(list)
    for path in sorted(metrics.glob("*-seed*.json")):
        runs[path.stem.rpartition("-seed")[0]].append(srsly.read_json(path))
    rows = []
    for name, seeds in runs.items():
        scores = [summarize([100 * run[score] for run in seeds]) for score in SCORES]
        speed = mean(run["speed"] for run in seeds)
        rows.append([name, len(seeds), *scores, f"{speed:,.0f}"])
    header = ["Pipeline", "Seeds", *SCORES.values(), "Words/s"]
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
