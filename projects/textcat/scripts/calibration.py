"""How far the probability of the predicted label can be trusted: the expected calibration error
and a reliability diagram."""

from pathlib import Path
from typing import Any

import numpy
import srsly
import typer
from classify import Predictions, classify_corpus
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from wasabi import msg

N_BINS = 10
BLUE, LIGHT_BLUE, GREY = "#0072B2", "#9ECAE1", "#6E7781"


def measure(predictions: Predictions) -> dict[str, Any]:
    """The expected calibration error after Guo et al. 2017, On calibration of modern neural
    networks, section 2: the docs are sorted into bins of equal width by the probability of their
    label, and each bin counts with the gap between its accuracy and its mean probability."""
    probability = predictions.probabilities.max(axis=1)
    correct = predictions.probabilities.argmax(axis=1) == predictions.gold
    # A bin holds its upper edge, and the first one its lower edge too
    numbers = numpy.ceil(probability * N_BINS).astype(int).clip(1, N_BINS) - 1
    bins = [
        {
            "lower": float(number / N_BINS),
            "upper": float((number + 1) / N_BINS),
            "n_docs": int((numbers == number).sum()),
            "probability": float(probability[numbers == number].mean()),
            "accuracy": float(correct[numbers == number].mean()),
        }
        for number in numpy.unique(numbers)
    ]
    gaps = sum(b["n_docs"] * abs(b["accuracy"] - b["probability"]) for b in bins)
    return {
        "n_docs": len(correct),
        "accuracy": float(correct.mean()),
        "probability": float(probability.mean()),
        "ece": gaps / len(correct),
        "bins": bins,
    }


def draw_reliability(axes: Axes, result: dict[str, Any]) -> None:
    """A bar for each bin, with a dot at its mean probability: calibrated where dots lie on the
    diagonal. The numbers at the bottom count docs."""
    bins = result["bins"]
    lower = [b["lower"] for b in bins]
    accuracy = [b["accuracy"] for b in bins]
    axes.bar(lower, accuracy, width=1 / N_BINS, align="edge", color=LIGHT_BLUE, ec="white")
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    axes.plot([b["probability"] for b in bins], accuracy, "o", color=BLUE, clip_on=False)
    for b in bins:
        axes.annotate(b["n_docs"], (b["lower"] + 0.5 / N_BINS, 0.02), ha="center")
    title = f"Calibration error {result['ece']:.3f}, {result['n_docs']:,} docs"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Probability", ylabel="Correct", title=title)


def main(pipeline: Path, corpus: Path, output_path: Path) -> None:
    """Write OUTPUT_PATH (JSON) and beside it a picture of the same name (SVG)."""
    result = measure(classify_corpus(pipeline, corpus))
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    draw_reliability(figure.subplots(), result)
    figure.savefig(output_path.with_suffix(".svg"))
    msg.good(f"{output_path}: expected calibration error {result['ece']:.3f}")


if __name__ == "__main__":
    typer.run(main)
