"""`python -m spacy textconv report`."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any, DefaultDict, Dict, List

import srsly
from spacy.cli._util import Arg
from wasabi import msg

from ..errors import Errors
from ._app import app

TITLES = {
    "tag_acc": "XPOS %",
    "pos_acc": "UPOS %",
    "morph_acc": "Features %",
    "lemma_acc": "Lemmas %",
    "dep_uas": "UAS %",
    "dep_las": "LAS %",
    "ents_p": "Precision %",
    "ents_r": "Recall %",
    "ents_f": "F1 %",
    "cats_micro_f": "Accuracy %",
    "cats_macro_f": "Macro F1 %",
}


@app.command("report")
def report_cli(
    metrics_path: Annotated[
        Path,
        Arg(
            metavar="METRICS",
            help="Folder of what `spacy evaluate --output` has written, as NAME-seedN.json",
            exists=True,
            file_okay=False,
        ),
    ],
) -> None:
    """
    Print the scores of several pipelines as one table. A pipeline that was
    trained with several seeds has one row, with the mean and the standard
    deviation of its scores.
    """
    runs: DefaultDict[str, List[Dict[str, Any]]] = defaultdict(list)
    paths = sorted(metrics_path.glob("*.json"))
    if not paths:
        msg.fail(Errors.E197.format(path=metrics_path, reason="it has no JSON files"), exits=1)
    for path in paths:
        runs[re.sub(r"-seed\d+$", "", path.stem)].append(_read(path))
    seen = {score for seeds in runs.values() for run in seeds for score in run}
    scores = [score for score in TITLES if score in seen]
    rows = []
    for name, seeds in runs.items():
        cells = [_summarize([run.get(score) for run in seeds]) for score in scores]
        speeds = [run["speed"] for run in seeds]
        rows.append([name, len(seeds), *cells, f"{mean(speeds):,.0f}"])
    header = ["Pipeline", "Seeds", *(TITLES[score] for score in scores), "Words/s"]
    msg.table(rows, header=header, divider=True, aligns=["l", *"r" * (len(header) - 1)])


def _read(path: Path) -> Dict[str, Any]:
    try:
        scores = srsly.read_json(path)
    except ValueError as err:
        msg.fail(Errors.E197.format(path=path, reason=err), exits=1)
    if not isinstance(scores, dict) or "speed" not in scores:
        msg.fail(Errors.E197.format(path=path, reason="it has no `speed`"), exits=1)
    return scores


def _summarize(values: List[Any]) -> str:
    """The mean in percent, and with more than one value their standard deviation."""
    percents = [100 * value for value in values if value is not None]
    if not percents:
        return "-"
    spread = f" ± {stdev(percents):.2f}" if len(percents) > 1 else ""
    return f"{mean(percents):.2f}{spread}"
