"""Draw the pictures of the documentation: `python docs/draw_pictures.py`.

Lengths are points, so that a size on the page and the size of a letter are in one unit. Letters are
drawn as outlines, and look the same where the font is missing; the card behind is white, so the
pictures work on light and dark pages.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle
from wasabi import msg

IMAGES = Path(__file__).parent / "images"

# After Okabe and Ito, whose colours colour-blind readers can tell apart
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#A6517F"
INK, GREY, FAINT, PANEL = "#24292F", "#6E7781", "#D0D7DE", "#F6F8FA"
STEPS = {
    "Embed": ("1", BLUE),
    "Encode": ("2", RED),
    "Attend": ("3", GREEN),
    "Predict": ("4", PURPLE),
}
CELLS = LinearSegmentedColormap.from_list("cells", [BLUE, "#F2F2F2", ORANGE])
Point = tuple[float, float]


def card(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 72, height / 72))
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    box(axes, 1, 1, width - 2, height - 2, fill="white", edge=FAINT, radius=10)
    return figure, axes


def box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    fill: str,
    edge: str = "none",
    radius: float = 4,
) -> None:
    style = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=style, fc=fill, ec=edge, lw=1, zorder=1)
    )


def write(axes: Axes, x: float, y: float, text: str, size: float = 10, **style) -> None:
    style = {"color": INK, "ha": "center", "va": "center_baseline", "zorder": 6, **style}
    axes.text(x, y, text, fontsize=size, **style)


def lines(axes: Axes, pairs: Sequence[tuple[Point, Point]], colour: str, width: float) -> None:
    axes.add_collection(
        LineCollection(pairs, colors=colour, linewidths=width, capstyle="round", zorder=2)
    )


def dots(axes: Axes, points: Sequence[Point], colour: str, size: float) -> None:
    xs, ys = np.reshape(points, (-1, 2)).T
    ring = {"edgecolors": "white", "linewidths": size / 9}
    axes.scatter(xs, ys, s=size**2, color=colour, zorder=4, **ring)


def arrow(axes: Axes, start: Point, end: Point) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
    )


def vector(axes: Axes, x: float, y: float, values: Sequence[float], size: float = 11) -> None:
    """A row of cells; (x, y) is the middle of its left side."""
    for i, value in enumerate(values):
        corner = (x + i * size, y - size / 2)
        axes.add_patch(Rectangle(corner, size, size, fc=CELLS(value), ec="white", lw=1, zorder=3))


def panel(axes: Axes, x: float, y: float, width: float, height: float, title: str) -> None:
    """A grey panel with the number, the name and the colour of a step."""
    number, colour = STEPS[title]
    box(axes, x, y, width, height, fill=PANEL, radius=8)
    dots(axes, [(x + 20, y + height - 20)], colour, 21)
    write(axes, x + 20, y + height - 20, number, 11, color="white", weight="bold")
    write(axes, x + 36, y + height - 20, title, 14, ha="left", weight="bold")


def seen_by(position: int, dilations: Sequence[int]) -> list[set[int]]:
    """The positions that one output of the last layer sees, from the words up to itself."""
    levels = [{position}]
    for dilation in reversed(dilations):
        levels.insert(0, {at + step for at in levels[0] for step in (-dilation, 0, dilation)})
    return levels


def edges(dilation: int, length: int) -> list[tuple[int, int]]:
    """From the inputs of a layer to its outputs; the kernel has three weights."""
    pairs = [(j + step, j) for j in range(length) for step in (-dilation, 0, dilation)]
    return [(i, j) for i, j in pairs if 0 <= i < length]


def draw_four_steps() -> Figure:
    words = ["The", "new", "phone", "is", "not", "bad", "!"]
    tags = ["DET", "ADJ", "NOUN", "AUX", "PART", "ADJ", "PUNCT"]
    weights = [0.03, 0.05, 0.10, 0.06, 0.36, 0.34, 0.06]
    dilations = [1, 2, 4]
    figure, axes = card(736, 408)
    embedded, encoded = np.random.default_rng(7).uniform(0, 1, (2, len(words), 6))
    rows = [316 - 27 * i for i in range(len(words))]
    middle = rows[3]

    write(axes, 62, 376, "Doc", 14, ha="right", weight="bold")
    panel(axes, 74, 96, 110, 300, "Embed")
    write(axes, 129, 348, "each word alone", color=GREY)
    for word, values, y in zip(words, embedded, rows, strict=True):
        write(axes, 62, y, word, 11.5, ha="right")
        vector(axes, 96, y, values)
    write(axes, 129, 112, "CharConvEmbed", color=BLUE)

    panel(axes, 204, 96, 236, 300, "Encode")
    write(axes, 322, 348, "each word in its context", color=GREY)
    columns = [224, 265, 306, 347]
    seen = seen_by(words.index("bad"), dilations)
    for layer, dilation in enumerate(dilations):
        left, right = columns[layer : layer + 2]
        for i, j in edges(dilation, len(words)):
            followed = i in seen[layer] and j in seen[layer + 1]
            style = (RED, 1.8) if followed else (FAINT, 0.8)
            lines(axes, [((left, rows[i]), (right, rows[j]))], *style)
    for x, level in zip(columns, seen, strict=True):
        for i, y in enumerate(rows):
            dots(axes, [(x, y)], RED if i in level else "#AFB8C1", 8.5)
    for values, y in zip(encoded, rows, strict=True):
        vector(axes, 362, y, values)
    write(axes, 285, 132, "dilations = [1, 2, 4]", 9, color=GREY, family="monospace")
    write(axes, 322, 112, "DilatedConvEncoder", color=RED)

    panel(axes, 460, 96, 132, 300, "Attend")
    write(axes, 526, 348, "many vectors to one", color=GREY)
    for weight, y in zip(weights, rows, strict=True):
        lines(axes, [((474, y), (508, middle))], GREEN, 0.8 + 12 * weight)
    dots(axes, [(508, middle)], GREEN, 10)
    vector(axes, 517, middle, np.array(weights) @ encoded)
    write(axes, 526, 112, "pooling, attention", color=GREEN)

    panel(axes, 612, 96, 112, 300, "Predict")
    write(axes, 668, 348, "one label per text", color=GREY)
    for label, score, y in [("positive", 0.93, middle + 32), ("negative", 0.07, middle - 16)]:
        write(axes, 626, y, label, 10.5, ha="left")
        write(axes, 711, y, f"{score:.2f}", 10.5, ha="right")
        box(axes, 626, y - 20, 85, 9, fill=FAINT, radius=2)
        box(axes, 626, y - 20, 85 * score, 9, fill=PURPLE, radius=2)
    write(axes, 668, 112, "textcat", color=PURPLE)

    panel(axes, 74, 12, 650, 64, "Predict")
    write(axes, 86, 31, "one label per word", color=GREY, ha="left")
    write(axes, 204, 31, "tagger, ner", color=PURPLE, ha="left")
    for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
        x = 338 + 58 * i
        write(axes, x, 56, word, 11.5)
        box(axes, x - 25, 21.5, 50, 19, fill="#F3E3EB")
        write(axes, x, 31, tag, 10, color="#7A3058", weight="bold")

    for x in [187, 443, 595]:
        arrow(axes, (x, middle), (x + 14, middle))
    arrow(axes, (322, 93), (322, 79))
    return figure


def draw_receptive_field() -> Figure:
    text = (
        "I 'd love to buy your product again , and I would gladly tell my friends how well it "
        "works and how long the battery lasts each day . Not !"
    )
    figure, axes = card(748, 536)
    write(axes, 20, 510, "Four ordinary layers see 9 words", 14, ha="left", weight="bold")
    remark = "The output above “friends” sees neither “love” nor “Not”."
    write(axes, 20, 489, remark, 11, ha="left", color=GREY)
    draw_tree(axes, 333, text.split(), [1, 1, 1, 1], BLUE)
    write(axes, 20, 246, "Four dilated layers see 31 words", 14, ha="left", weight="bold")
    remark = "The number of weights is the same, but now “Not” can turn “love”."
    write(axes, 20, 225, remark, 11, ha="left", color=GREY)
    draw_tree(axes, 69, text.split(), [1, 2, 4, 8], RED)
    return figure


def draw_tree(
    axes: Axes, bottom: float, words: Sequence[str], dilations: Sequence[int], colour: str
) -> None:
    """What the output above the word in the middle sees, and on which way."""
    xs = [100 + 18.9 * i for i in range(len(words))]
    ys = [bottom + 32 * layer for layer in range(len(dilations) + 1)]
    seen = seen_by(len(words) // 2, dilations)
    left = [(xs[min(level)], y) for level, y in zip(seen, ys, strict=True)]
    right = [(xs[max(level)], y) for level, y in zip(seen, ys, strict=True)]
    shade = to_hex(0.1 * np.array(to_rgb(colour)) + 0.9)
    axes.add_patch(
        Polygon(left + right[::-1], fc=shade, ec=shade, lw=18, joinstyle="round", zorder=1)
    )
    for layer, (dilation, y) in enumerate(zip(dilations, ys[1:], strict=True)):
        pairs = edges(dilation, len(words))
        followed = [(i, j) for i, j in pairs if j in seen[layer + 1]]
        lines(axes, [((xs[i], ys[layer]), (xs[j], y)) for i, j in followed], colour, 1.5)
        field = 1 + 2 * sum(dilations[: layer + 1])
        write(axes, 20, y, f"dilation {dilation}", ha="left", color=GREY)
        write(axes, 728, y, f"{field} words", ha="right", color=colour)
    for level, y in zip(seen, ys, strict=True):
        dots(axes, [(x, y) for i, x in enumerate(xs) if i not in level], FAINT, 5)
        dots(axes, [(xs[i], y) for i in sorted(level)], colour, 9)
    for i, (x, word) in enumerate(zip(xs, words, strict=True)):
        style = {"color": INK if i in seen[0] else "#8C959F"}
        if word == words[len(words) // 2]:
            style = {"color": colour, "weight": "bold"}
        elif word in ("love", "Not"):
            fill = "#FFE3B3" if i in seen[0] else "#EAEEF2"
            style |= {"weight": "bold", "bbox": {"boxstyle": "round,pad=0.25", "fc": fill, "lw": 0}}
        write(
            axes,
            x + 4,
            ys[0] - 11,
            word,
            rotation=60,
            ha="right",
            va="top",
            rotation_mode="anchor",
            **style,
        )


PICTURES = {"four_steps": draw_four_steps, "receptive_field": draw_receptive_field}


def main(output_dir: Path = IMAGES) -> None:
    """Write the pictures into OUTPUT_DIR."""
    settings = {"svg.fonttype": "path", "svg.hashsalt": "spacy-textconv"}
    for name, draw in PICTURES.items():
        path = output_dir / f"{name}.svg"
        with matplotlib.rc_context(settings):
            draw().savefig(path, metadata={"Date": None})
        msg.good(str(path))


if __name__ == "__main__":
    typer.run(main)
