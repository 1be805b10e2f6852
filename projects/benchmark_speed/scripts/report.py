"""Tables and pictures of what measure.py has measured, with several runs beside each other."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import srsly
import typer
from matplotlib.figure import Figure
from plots import AXES, SETTINGS, draw_accuracy, draw_parts, draw_scaling
from wasabi import MarkdownRenderer, msg

PARTS = {
    "pipe_docs": "Tagging, from tokens",
    "pipe_text": "Tagging, from text",
    "embed": "Embed",
    "encode": "Encode",
    "tok2vec": "Embed and encode",
    "tokenizer": "Tokenizer",
    "train_tagger": "Training a tagger",
    "train_both": "Training tagger and morphologizer",
}
ENTITIES = {
    "pipe_docs": "Recognition, from tokens",
    "pipe_text": "Recognition, from text",
    "train": "Training",
}
# The parts where a cache of words can fill up
CACHED = ["embed", "tok2vec", "pipe_docs", "pipe_text"]
PRODUCTS = {
    "thinc_product": "Matrix product of Thinc's layers",
    "torch_product": "Matrix product of torch",
}
TURNS = {"first": "first turn", "rate": "median turn", "overall": "all turns"}
ACCURACIES = {"pos_acc": "UPOS, accuracy in percent", "tag_acc": "XPOS, accuracy in percent"}

Result = dict[str, Any]
Runs = dict[str, Result]


def run_label(machine: dict[str, Any]) -> str:
    """Name a run after its GPU, or its threads and the matrix product of Thinc's layers."""
    if machine["gpu"]:
        return machine["gpu"]
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    return f"{threads} with numpy" if machine["numpy_product"] else threads


def whole(number: float | None) -> str:
    """Write a number without decimals, or a dash for what could not be measured."""
    return "–" if number is None else f"{number:,.0f}"


def table(texts: list[str], numbers: list[str], rows: list[list[str]]) -> str:
    """Make a table.

    texts (list[str]): The header of the columns on the left, which hold texts.
    numbers (list[str]): The header of the others, which hold numbers.
    rows (list[list[str]]): The rows.
    RETURNS (str): Markdown.
    """
    aligns = ["l"] * len(texts) + ["r"] * len(numbers)
    return MarkdownRenderer().table(rows, [*texts, *numbers], aligns=aligns)


def parts_table(runs: Runs, key: str, titles: dict[str, str]) -> str:
    """The rates of pipelines and their ratios, by part.

    runs (Runs): The results by label.
    key (str): Which results, "parts" or "entities".
    titles (dict[str, str]): Their parts, with titles.
    RETURNS (str): Markdown.
    """
    rows = []
    for part, title in titles.items():
        for name in first_of(runs)[key][part]:
            cells = [run[key][part][name] for run in runs.values()]
            pairs = [(whole(cell["rate"]), f"{cell['ratio']:.2f}") for cell in cells]
            rows.append([title, name, *(number for pair in pairs for number in pair)])
    header = [column for label in runs for column in (label, "ratio")]
    return table(["Part", "Pipeline"], header, rows)


def cache_table(runs: Runs) -> str:
    """The rates with cold caches, and with caches that fill up."""
    rows = []
    for part in CACHED:
        for name in contestants(runs):
            cells = [run["parts"][part][name] for run in runs.values()]
            rows.append([PARTS[part], name, *(whole(cell[key]) for cell in cells for key in TURNS)])
    header = [f"{label}, {title}" for label in runs for title in TURNS.values()]
    return table(["Part", "Pipeline"], header, rows)


def encoders_table(runs: Runs) -> str:
    """The rates of the encoders by themselves, and how near they come to a matrix product's."""
    rows = []
    for name in first_of(runs)["encoders"]:
        row = [name]
        for run in runs.values():
            cell = run["encoders"][name]
            row += [whole(cell["rate"]), f"{cell['ratio']:.2f}", f"{cell['share']:.0%}"]
        rows.append(row)
    header = [column for label in runs for column in (label, "ratio", "share")]
    return table(["Encoder"], header, rows)


def ceilings_table(runs: Runs) -> str:
    """What no pipeline from text, and no encoder, can exceed."""
    ceilings = [run["ceilings"] for run in runs.values()]
    rows = [["Tokenizer, words per second", *(whole(cell["tokenizer"]) for cell in ceilings)]]
    for name, title in PRODUCTS.items():
        rates = [cell[name] / 1e9 if name in cell else None for cell in ceilings]
        rows.append([f"{title}, GFLOP/s", *map(whole, rates)])
    return table(["Ceiling"], list(runs), rows)


def memory_table(runs: Runs) -> str:
    """The additional megabytes at the peak."""
    rows = []
    for load in first_of(runs)["memory"]:
        for name in contestants(runs):
            peaks = [run["memory"][load][name] for run in runs.values()]
            megabytes = [None if peak is None else peak / 1e6 for peak in peaks]
            rows.append([load, name, *map(whole, megabytes)])
    return table(["Predicted", "Pipeline"], list(runs), rows)


def scaling_table(runs: Runs, axis: str) -> str:
    """The rates of the encoders with each value on an axis."""
    encoders = first_of(runs)["encoders"]
    columns = [run["scaling"][axis]["rates"][name] for name in encoders for run in runs.values()]
    rows = [
        [whole(value), *map(whole, rates)]
        for value, *rates in zip(first_of(runs)["scaling"][axis]["values"], *columns, strict=True)
    ]
    header = [f"{name}, {label}" for name in encoders for label in runs]
    return table([], [AXES[axis], *header], rows)


def first_of(runs: Runs) -> Result:
    """The first run, whose contestants and settings are those of all."""
    return next(iter(runs.values()))


def contestants(runs: Runs) -> list[str]:
    """The names of the pipelines."""
    return list(first_of(runs)["contestants"])


def read_accuracies(folder: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Read what `spacy evaluate` has written for each contestant.

    folder (Path): Where each has files NAME-seedN.json.
    names (list[str]): The contestants.
    RETURNS (dict[str, dict[str, float]]): The percentages of those that do have a file, the mean
        of all seeds.
    """
    accuracies = {}
    for name in names:
        runs = [srsly.read_json(path) for path in folder.glob(f"{name}-seed*.json")]
        if runs:
            accuracies[name] = {
                score: 100 * mean(run[score] for run in runs) for score in ACCURACIES
            }
        else:
            msg.warn(f"{name} is left out of accuracy over speed: {folder} has no scores of it")
    return accuracies


def pictures(runs: Runs, folder: Path, name: str, draw: Callable[[Result], Figure]) -> str:
    """Draw a picture of each run.

    runs (Runs): The results by label.
    folder (Path): Where to save the pictures.
    name (str): What they show.
    draw (Callable[[Result], Figure]): Draws a run.
    RETURNS (str): Markdown that shows them.
    """
    paragraphs = []
    for label, run in runs.items():
        path = folder / f"{name}-{label.replace(' ', '-')}.svg"
        draw(run).savefig(path, metadata={"Date": None})
        paragraphs += [f"With {label}:", f"![{name}]({path.name})"]
    return "\n\n".join(paragraphs)


def main(metrics: list[Path], output: Path = Path("metrics"), accuracy: Path = Path()) -> None:
    """Make a report of the METRICS files, which measure.py has written for the same pipelines."""
    results = [srsly.read_json(path) for path in metrics]
    runs = {run_label(result["machine"]): result for result in results}
    # Those with Thinc multiplying through numpy are of pipelines alone.
    whole_runs = {label: run for label, run in runs.items() if "encoders" in run}
    first = first_of(runs)
    machine, configs = first["machine"], {**first["contestants"], **first["recognizers"]}
    accuracies = read_accuracies(accuracy, contestants(runs))
    output.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(SETTINGS):
        parts = pictures(runs, output, "parts", partial(draw_parts, titles=PARTS))
        scaling = pictures(whole_runs, output, "scaling", draw_scaling)
        over_speed = "No pipeline has been evaluated yet."
        if accuracies:
            draw = partial(draw_accuracy, accuracies=accuracies, titles=ACCURACIES)
            over_speed = pictures(runs, output, "accuracy", draw)
    sections = [
        "# Speed",
        table(["Pipeline", "Config"], [], [[name, f"`{path}`"] for name, path in configs.items()]),
        f"Measured on {machine['gpu'] or machine['cpu']}, with Python {machine['python']}, torch "
        f"{machine['torch']} and spaCy {machine['spacy']}. The README of the project says how.",
        "## Pipelines and their parts",
        f"Words per second, and the ratio to {first['peer']}.",
        parts_table(runs, "parts", PARTS),
        parts,
        "## Named entities",
        f"Words per second of whole pipelines, and the ratio to {first['ner_peer']}.",
        parts_table(runs, "entities", ENTITIES),
        "## Caches",
        "Words per second, in a pass over the corpus that starts with cold caches.",
        cache_table(runs),
        "## Encoders by themselves",
        "Words per second on random vectors, the ratio to the encoder of spaCy's CNN, and the "
        "share of the matrix product's rate (see below).",
        encoders_table(whole_runs),
        "## Ceilings",
        ceilings_table(runs),
        "## Memory",
        "Megabytes at the peak of embedding and encoding, on top of what was in use before.",
        memory_table(whole_runs),
        "## Scaling of the encoders",
        "Words per second on random vectors. A dash: it failed, or took too long before.",
        *(scaling_table(whole_runs, axis) for axis in AXES),
        scaling,
        "## Accuracy over speed",
        over_speed,
    ]
    path = output / "speed.md"
    path.write_text("\n\n".join(sections) + "\n", encoding="utf8")
    msg.good(str(path))


if __name__ == "__main__":
    typer.run(main)
