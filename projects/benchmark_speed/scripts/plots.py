"""Pictures of what measure.py has measured: ours in blue, the others in grey."""

from itertools import cycle
from math import dist
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

OURS, PEERS = ["#0072B2", "#58A6D4", "#A3CFE8"], ["#4B535B", "#959DA6", "#C9CED4"]
INK, GREY, FAINT = "#24292F", "#6E7781", "#E3E7EB"
SETTINGS = {
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#AFB8C1",
    "axes.labelcolor": GREY,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "figure.constrained_layout.h_pad": 0.08,
    # Letters as outlines, so that they look the same where the font is missing
    "svg.fonttype": "path",
    "svg.hashsalt": "benchmark-speed",
}
AXES = {
    "length": "Tokens in each document, equally many words",
    "batch": "Words in a batch of sentences",
    "depth": "Layers",
    "width": "Width",
}


def colours(names: list[str], ours: list[str]) -> dict[str, str]:
    """Give shades of blue to ours and of grey to the others.

    names (list[str]): All names.
    ours (list[str]): Those that are ours.
    RETURNS (dict[str, str]): The colours by name.
    """
    blues, greys = cycle(OURS), cycle(PEERS)
    return {name: next(blues if name in ours else greys) for name in names}


def in_words(number: float, _: int | None = None) -> str:
    """Write a number in at most three digits, such as 12k or 1.5M."""
    if number >= 1e6:
        return f"{number / 1e6:.3g}M"
    if number >= 1e3:
        return f"{number / 1e3:.3g}k"
    return f"{number:.3g}"


def scale_rates(axis: Axis) -> None:
    """Label an axis of rates, whose scale is logarithmic."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(in_words))
    axis.set_minor_formatter(NullFormatter())


def draw_parts(result: dict[str, Any], titles: dict[str, str]) -> Figure:
    """Draw a panel of bars for each part.

    result (dict[str, Any]): What measure.py has written.
    titles (dict[str, str]): The parts to draw, with their titles.
    RETURNS (Figure): The picture.
    """
    names = list(result["contestants"])
    shades = colours(names, result["ours"])
    rows = (len(titles) + 1) // 2
    figure = Figure(figsize=(9, 0.5 + rows * (0.6 + 0.25 * len(names))), layout="constrained")
    grid = figure.subplots(rows, 2, sharey=True, squeeze=False)
    for axes, (part, title) in zip(grid.flat, titles.items(), strict=False):
        cells = result["parts"][part]
        rates = [cells[name]["rate"] for name in names]
        bars = axes.barh(names, rates, color=[shades[name] for name in names], height=0.72)
        labels = [f"{in_words(cells[name]['rate'])}  ×{cells[name]['ratio']:.2f}" for name in names]
        axes.bar_label(bars, labels, padding=4)
        # Room for the labels on the right
        axes.set(title=title, xlim=(0, max(rates) * 1.4), xticks=[])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
    for axes in grid.flat[len(titles) :]:
        axes.axis("off")
    grid[0, 0].invert_yaxis()
    figure.supxlabel(f"Words per second, and the ratio to {result['peer']}", size=9, color=GREY)
    return figure


def draw_scaling(result: dict[str, Any]) -> Figure:
    """Draw the encoders' rates over each axis.

    result (dict[str, Any]): What measure.py has written.
    RETURNS (Figure): The picture.
    """
    shades = colours(list(result["encoders"]), result["ours"])
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    grid = figure.subplots(2, 2)
    for axes, (axis, cells) in zip(grid.flat, result["scaling"].items(), strict=True):
        ends = {}
        for name, rates in cells["rates"].items():
            points = [
                (value, rate)
                for value, rate in zip(cells["values"], rates, strict=True)
                if rate is not None
            ]
            if not points:
                continue
            axes.plot(*zip(*points, strict=True), color=shades[name], marker="o", ms=4, lw=2)
            ends[name] = points[-1]
        first, last = cells["values"][0], cells["values"][-1]
        axes.set(xscale="log", yscale="log", title=AXES[axis])
        # Room for the names on the right
        axes.set_xlim(first * (first / last) ** 0.04, last * (last / first) ** 0.5)
        axes.spines["bottom"].set_bounds(first, last)
        ticks = [f"{value:,}".replace(",000", "k") for value in cells["values"]]
        axes.set_xticks(cells["values"], ticks, size=8)
        axes.xaxis.set_minor_locator(NullLocator())
        scale_rates(axes.yaxis)
        axes.grid(axis="y", color=FAINT, lw=0.6)
        label_ends(axes, ends, shades)
    figure.supylabel("Words per second", size=9, color=GREY)
    return figure


def label_ends(axes: Axes, ends: dict[str, tuple[float, float]], shades: dict[str, str]) -> None:
    """Write the names at the right ends of the lines, far enough from each other.

    axes (Axes): The panel, with a logarithmic scale.
    ends (dict[str, tuple[float, float]]): The last point of each line.
    shades (dict[str, str]): The colour of each line.
    """
    low, high = axes.get_ylim()
    step = (high / low) ** 0.075
    lowest = 0.0
    for name, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
        y = max(y, lowest)
        label(axes, name.removesuffix("Encoder"), (x, y), (7, 0), shades[name], ha="left")
        lowest = y * step


def label(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[int, int], colour: str, ha: str
) -> None:
    """Write the name of a point, some typographic points away from it."""
    style = {"ha": ha, "va": "center", "color": colour, "weight": "bold"}
    axes.annotate(text, point, xytext=offset, textcoords="offset points", **style)


def draw_accuracy(
    result: dict[str, Any], accuracies: dict[str, dict[str, float]], titles: dict[str, str]
) -> Figure:
    """Draw accuracy over the speed of tagging from tokens.

    result (dict[str, Any]): What measure.py has written.
    accuracies (dict[str, dict[str, float]]): The percentages by contestant and score.
    titles (dict[str, str]): The scores to draw, with their titles.
    RETURNS (Figure): The picture.
    """
    shades = colours(list(result["contestants"]), result["ours"])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (score, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        points = {
            name: (result["parts"]["pipe_docs"][name]["rate"], scores[score])
            for name, scores in accuracies.items()
        }
        for name, point in points.items():
            axes.scatter(*point, s=90, color=shades[name], zorder=3)
        axes.set(xscale="log", title=title, xlabel="Words per second, tagging from tokens")
        # The names are wider than the dots.
        axes.margins(x=0.3, y=0.25)
        scale_rates(axes.xaxis)
        axes.grid(color=FAINT, lw=0.6)
        places = {name: axes.transData.transform(point) for name, point in points.items()}
        for name, place in places.items():
            # On the side where the nearest other dot is not
            others = [other for other in places.values() if other is not place]
            nearest = min(others, key=lambda other: dist(place, other), default=place)
            offset = (0, 12 if place[1] >= nearest[1] else -12)
            label(axes, name, points[name], offset, shades[name], ha="center")
    return figure
