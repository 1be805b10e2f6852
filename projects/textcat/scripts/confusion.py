"""Which labels are taken for which others."""

from pathlib import Path

import numpy
import srsly
import typer
from classify import Predictions, classify_corpus
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from wasabi import msg


def count_pairs(predictions: Predictions) -> numpy.ndarray:
    """The number of docs with each gold and each predicted label.

    *Shape:* (n_labels, n_labels), gold labels first
    """
    n_labels = len(predictions.labels)
    counts = numpy.zeros((n_labels, n_labels), dtype=int)
    numpy.add.at(counts, (predictions.gold, predictions.probabilities.argmax(axis=1)), 1)
    return counts


def draw_counts(axes: Axes, labels: list[str], counts: numpy.ndarray, title: str) -> None:
    """Numbers of docs, on a colour for their share of the gold label."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (gold, predicted), count in numpy.ndenumerate(counts):
        color = "white" if shares[gold, predicted] > 0.5 else "black"
        axes.annotate(f"{count:,}", (predicted, gold), ha="center", va="center", color=color)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    axes.set(xlabel="Predicted", ylabel="Gold", title=title)


def main(pipeline: Path, corpus: Path, output_path: Path) -> None:
    """Write OUTPUT_PATH (JSON) and beside it a picture of the same name (SVG)."""
    predictions = classify_corpus(pipeline, corpus)
    counts = count_pairs(predictions)
    accuracy = float(counts.trace() / counts.sum())
    result = {"labels": predictions.labels, "counts": counts.tolist(), "accuracy": accuracy}
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    size = 2.5 + 0.7 * len(predictions.labels)
    figure = Figure(figsize=(size, size), layout="constrained")
    title = f"Accuracy {100 * accuracy:.1f} %, {counts.sum():,} docs"
    draw_counts(figure.subplots(), predictions.labels, counts, title)
    figure.savefig(output_path.with_suffix(".svg"))
    msg.good(f"{output_path}: accuracy {100 * accuracy:.2f} %")


if __name__ == "__main__":
    typer.run(main)
