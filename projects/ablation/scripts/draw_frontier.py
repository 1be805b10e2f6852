"""A table and a picture of what ablate.py has measured: accuracy over words per second."""

from pathlib import Path
from typing import Any

import matplotlib
import srsly
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from wasabi import MarkdownRenderer, msg

BLUE, INK, GREY, FAINT = "#0072B2", "#24292F", "#6E7781", "#D0D7DE"
SETTINGS = {
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": "#AFB8C1",
    "axes.labelcolor": GREY,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    # Letters as outlines, so that they look the same where the font is missing
    "svg.fonttype": "path",
    "svg.hashsalt": "ablation",
}
COLUMNS = 3

Variants = dict[str, dict[str, Any]]


def main(metrics: Path) -> None:
    """Write a table (Markdown) and a picture (SVG) beside METRICS, which ablate.py has written."""
    result = srsly.read_json(metrics)
    variants, scores = result["variants"], result["scores"]
    front = frontier(variants)
    table = make_table(variants, scores, front)
    metrics.with_suffix(".md").write_text(table + "\n", encoding="utf8")
    with matplotlib.rc_context(SETTINGS):
        figure = draw(variants, front, list(scores.values()))
        figure.savefig(metrics.with_suffix(".svg"), metadata={"Date": None})
    print(table)
    msg.good(str(metrics.with_suffix(".svg")))


def accuracy(variant: dict[str, Any]) -> float:
    """The mean of a variant's scores, in percent."""
    scores = variant["scores"].values()
    return 100 * sum(scores) / len(scores)


def frontier(variants: Variants) -> list[str]:
    """List the variants that no other is both faster and more accurate than, the fastest first."""
    front: list[str] = []
    for name in sorted(variants, key=lambda name: -variants[name]["rate"]):
        if not front or accuracy(variants[name]) > accuracy(variants[front[-1]]):
            front.append(name)
    return front


def make_table(variants: Variants, scores: dict[str, str], front: list[str]) -> str:
    """Make a table in which the variants on the frontier are bold."""
    rows = []
    for name, variant in variants.items():
        rows.append(
            [
                variant["group"],
                f"**{name}**" if name in front else name,
                f"{variant['parameters'] / 1000:,.0f}",
                *(f"{100 * variant['scores'][key]:.2f}" for key in scores),
                f"{variant['rate']:,.0f}",
            ]
        )
    header = ["Group", "Variant", "Parameters, thousands", *scores.values(), "Words per second"]
    return MarkdownRenderer().table(rows, header, aligns=["l", "l"] + ["r"] * (len(header) - 2))


def draw(variants: Variants, front: list[str], titles: list[str]) -> Figure:
    """Draw a panel for each group, with all other variants and the frontier in grey, and the config
    that the variants change in black."""
    groups = list(dict.fromkeys(variant["group"] for variant in variants.values()))
    rows = -(-len(groups) // COLUMNS)
    figure = Figure(figsize=(9, 2.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flat)
    for panel, group in zip(panels, groups, strict=False):
        panel.set_title(group)
        draw_panel(panel, variants, group, front)
    # The lowest one of each column has the numbers.
    for panel in panels[max(len(groups) - COLUMNS, 0) : len(groups)]:
        panel.tick_params(labelbottom=True)
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    figure.supxlabel("Words per second, one thread", color=GREY)
    figure.supylabel(f"{', '.join(titles)}: mean in percent", color=GREY)
    return figure


def draw_panel(panel: Axes, variants: Variants, group: str, front: list[str]) -> None:
    """Draw all variants, and name those of a group."""
    points = {name: (v["rate"], accuracy(v)) for name, v in variants.items()}
    panel.plot(*zip(*(points[name] for name in front), strict=True), color=FAINT, zorder=0)
    panel.scatter(*zip(*points.values(), strict=True), s=8, color=FAINT, zorder=1)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate / 1000:.0f}k"))
    panel.xaxis.set_minor_locator(NullLocator())
    members = {name: point for name, point in points.items() if variants[name]["group"] == group}
    unchanged = [point for name, point in points.items() if variants[name]["unchanged"]]
    panel.scatter(*zip(*members.values(), strict=True), s=18, color=BLUE, zorder=2)
    if unchanged:
        panel.scatter(*zip(*unchanged, strict=True), s=18, color=INK, zorder=3)
    # One below the other where no points are, as these are often too close to be named in place.
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "relpos": (1.0, 0.5)}
    ordered = sorted(members, key=lambda name: -members[name][1])
    for line, name in enumerate(ordered, 1):
        panel.annotate(
            name,
            members[name],
            (0.03, 0.08 * (len(ordered) - line) + 0.04),
            textcoords="axes fraction",
            arrowprops=leader,
        )


if __name__ == "__main__":
    typer.run(main)
