"""How far the probabilities of entities can be trusted: the expected calibration error, a
reliability diagram, and what a threshold gains in precision and costs in recall."""

from pathlib import Path
from typing import Any

import numpy
import srsly
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from predict import entities, predict_corpus, probabilities
from spacy.scorer import PRFScore
from wasabi import msg

N_BINS = 10
# After Okabe and Ito, whose colours colour-blind readers can tell apart
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
LIGHT_BLUE, GREY = "#9ECAE1", "#6E7781"


def reliability(scores: numpy.ndarray, correct: numpy.ndarray) -> list[dict[str, Any]]:
    """The bins of equal width that hold any of the entities: the share of correct ones and the mean
    probability of each.

    *Shape:* both (n_entities,)
    """
    edges = numpy.linspace(0, 1, N_BINS + 1)
    # A bin holds its upper edge, the first one also its lower edge
    bins = numpy.digitize(scores, edges[1:-1], right=True)
    return [
        {
            "lower": float(edges[i]),
            "upper": float(edges[i + 1]),
            "n_entities": int((bins == i).sum()),
            "probability": float(scores[bins == i].mean()),
            "accuracy": float(correct[bins == i].mean()),
        }
        for i in numpy.unique(bins)
    ]


def calibration_error(bins: list[dict[str, Any]]) -> float:
    """The expected calibration error after Guo et al. 2017, On calibration of modern neural
    networks, section 2: the gap between accuracy and probability, averaged over entities."""
    gaps = [abs(b["accuracy"] - b["probability"]) for b in bins]
    return float(numpy.average(gaps, weights=[b["n_entities"] for b in bins]))


def sweep_threshold(
    scores: numpy.ndarray, correct: numpy.ndarray, n_gold: int
) -> list[dict[str, float]]:
    """Precision, recall and F1 where entities below a threshold are left out, up to the threshold
    that leaves none."""
    rows = []
    for threshold in numpy.arange(0, 1, 0.05).round(2):
        kept = scores >= threshold
        if not kept.any():
            break
        tp = int(correct[kept].sum())
        score = PRFScore(tp=tp, fp=int(kept.sum()) - tp, fn=n_gold - tp)
        rows.append({"threshold": float(threshold), **score.to_dict()})
    return rows


def draw_reliability(axes: Axes, result: dict[str, Any]) -> None:
    """A bar for each bin, with a dot at its mean probability: calibrated where dots lie on the
    diagonal. The numbers at the bottom count entities."""
    bins = result["bins"]
    lower = [b["lower"] for b in bins]
    accuracy = [b["accuracy"] for b in bins]
    axes.bar(lower, accuracy, width=1 / N_BINS, align="edge", color=LIGHT_BLUE, ec="white")
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    axes.plot([b["probability"] for b in bins], accuracy, "o", color=BLUE, clip_on=False)
    for b in bins:
        axes.annotate(b["n_entities"], (b["lower"] + 0.5 / N_BINS, 0.02), ha="center")
    title = f"Calibration error {result['ece']:.3f}, {result['n_entities']:,} entities"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Probability", ylabel="Correct", title=title)


def draw_thresholds(axes: Axes, rows: list[dict[str, float]]) -> None:
    thresholds = [row["threshold"] for row in rows]
    lines = {"p": ("Precision", BLUE), "r": ("Recall", ORANGE), "f": ("F1", GREEN)}
    for key, (label, color) in lines.items():
        axes.plot(thresholds, [row[key] for row in rows], label=label, color=color)
    axes.legend()
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="Threshold", title="Entities below a threshold left out"
    )


def main(pipeline: Path, corpus: Path, output_path: Path, spans_key: str = "ner") -> None:
    """Write OUTPUT_PATH (JSON) and beside it a picture of the same name (SVG)."""
    pairs = list(predict_corpus(pipeline, corpus))
    found = [
        (score, entity in entities(gold))
        for gold, predicted in pairs
        for entity, score in probabilities(predicted, spans_key).items()
    ]
    if not found:
        msg.fail(f"No entities with probabilities in doc.spans[{spans_key!r}]", exits=1)
    scores, correct = numpy.array(found).T
    bins = reliability(scores, correct)
    result = {
        "n_entities": len(found),
        "ece": calibration_error(bins),
        "bins": bins,
        "thresholds": sweep_threshold(scores, correct, sum(len(gold.ents) for gold, _ in pairs)),
    }
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_reliability(left, result)
    draw_thresholds(right, result["thresholds"])
    figure.savefig(output_path.with_suffix(".svg"))
    msg.good(f"{output_path}: expected calibration error {result['ece']:.3f}")


if __name__ == "__main__":
    typer.run(main)
