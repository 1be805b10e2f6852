"""One table of the scores that `spacy evaluate` has written."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

import srsly
import typer
from wasabi import msg

SCORES = {"ents_p": "Precision %", "ents_r": "Recall %", "ents_f": "F1 %"}


def main(metrics: Path) -> None:
    """Print one row for each pipeline of the METRICS folder, the mean of its seeds. A file is named
    after the pipeline and the seed: NAME-seedN.json."""
    runs = defaultdict(list)
    for path in sorted(metrics.glob("*-seed*.json")):
        runs[path.stem.rpartition("-seed")[0]].append(srsly.read_json(path))
    rows = []
    for name, seeds in runs.items():
        scores = [f"{100 * mean(run[score] for run in seeds):.2f}" for score in SCORES]
        speed = mean(run["speed"] for run in seeds)
        rows.append([name, len(seeds), *scores, f"{speed:,.0f}"])
    header = ["Pipeline", "Seeds", *SCORES.values(), "Words/s"]
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
