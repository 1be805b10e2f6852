"""Pictures of the commands. Needs matplotlib."""

from pathlib import Path
from typing import Any, Dict, List

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._fields import ByDistance, Layer

# After Okabe and Ito, whose colours colour-blind readers can tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
LIGHT_BLUE, GREY = "#9ECAE1", "#6E7781"


def plot_fields(
    encoders: Dict[str, List[Layer]], measured: Dict[str, ByDistance], path: Path
) -> None:
    """Draw what one output of each layer sees, a bar for each layer with the first at the bottom,
    and the measured fields beside."""
    n_panels = len(encoders) + len(measured)
    figure = Figure(figsize=(5 * n_panels, 3.5), layout="constrained")
    panels = iter(figure.subplots(1, n_panels, squeeze=False)[0])
    for name, layers in encoders.items():
        axes = next(panels)
        sizes = [layer.field.size for layer in layers]
        # The first input is at 0, and so is the first output of a layer that keeps their number.
        left = [
            float(layer.field.start) - (size - 1) / 2 - 0.5
            for layer, size in zip(layers, sizes, strict=True)
        ]
        bars = axes.barh(range(len(layers)), sizes, left=left, color=LIGHT_BLUE, edgecolor=BLUE)
        axes.use_sticky_edges = False
        axes.bar_label(bars, label_type="center")
        axes.set_yticks(range(len(layers)), [layer.name for layer in layers])
        axes.set(title=name, xlabel="Distance")
    for name, shares in measured.items():
        axes = next(panels)
        axes.bar(list(shares), list(shares.values()), color=BLUE)
        axes.set(title=f"{name}, measured", xlabel="Distance", ylabel="Part of the gradient")
    figure.savefig(path)


def plot_calibration(result: Dict[str, Any], path: Path) -> None:
    """Draw what `measure_calibration` gives."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_reliability(left, result)
    _draw_thresholds(right, result["thresholds"])
    figure.savefig(path)


def _draw_reliability(axes: Axes, result: Dict[str, Any]) -> None:
    """A bar for each bin, with a dot at its mean probability: calibrated where dots lie on the
    diagonal. The numbers at the bottom count predictions."""
    for b in result["bins"]:
        width = b["upper"] - b["lower"]
        bar = {"width": width, "align": "edge", "color": LIGHT_BLUE, "edgecolor": "white"}
        axes.bar(b["lower"], b["accuracy"], **bar)
        axes.plot(b["probability"], b["accuracy"], "o", color=BLUE, clip_on=False)
        axes.annotate(f"{b['n']:,}", (b["lower"] + width / 2, 0.02), ha="center")
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    title = f"Calibration error {result['ece']:.3f}, {result['n']:,} predictions"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Probability", ylabel="Correct", title=title)


def _draw_thresholds(axes: Axes, rows: List[Dict[str, float]]) -> None:
    thresholds = [row["threshold"] for row in rows]
    lines = {"p": ("Precision", BLUE), "r": ("Recall", ORANGE), "f": ("F1", GREEN)}
    for key, (label, color) in lines.items():
        axes.plot(thresholds, [row[key] for row in rows], label=label, color=color)
    axes.legend()
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Threshold", title="Less probable ones left out")
