"""Pictures of the commands. Needs matplotlib."""

from pathlib import Path
from typing import Dict, List

from matplotlib.figure import Figure

from ._fields import ByDistance, Layer

# After Okabe and Ito, whose colours colour-blind readers can tell apart.
BLUE, LIGHT_BLUE = "#0072B2", "#9ECAE1"


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
