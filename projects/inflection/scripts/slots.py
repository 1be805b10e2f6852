"""A picture of where the letters of forms come from: the slots that the transposed convolution
makes of each letter of a lemma, and what is written in them."""

import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy
import spacy
import typer
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.typing import ColorType
from wasabi import msg

from spacy_textconv.layers import collapse
from spacy_textconv.models.attributes import split_features
from spacy_textconv.models.heads.transducer import StringBatch
from spacy_textconv.pipeline.transducer import ConvTransducer

# A blue that colour-blind readers can tell from white, after Okabe and Ito
SHADES = LinearSegmentedColormap.from_list("probability", ["#FFFFFF", "#0072B2"])
INK, GREY, PADDING = "#24292F", "#AFB8C1", "#E3E7EB"
# Letters as outlines, so that they look the same where the font is missing
SETTINGS = {"svg.fonttype": "path", "svg.hashsalt": "slots", "text.color": INK, "font.size": 10}
LEGEND = (
    "Below: the letters of the lemma (grey: padding). Above: the slots of each letter.\n"
    "The bluer a slot, the more probable its letter. Nothing is written in white ones."
)


class Letter(NamedTuple):
    """A letter that is written, its slot, counted from the first slot of the lemma's first letter,
    and its probability there."""

    text: str
    slot: int
    probability: float


def find_letters(inflector: ConvTransducer, lemma: str, features: str) -> list[Letter]:
    """Take the most probable symbol of each slot. Of equal ones side by side, the first counts."""
    stride, pad_before = inflector.model.attrs["stride"], inflector.model.attrs["pad_before"]
    parts = split_features(inflector.features[0], features)
    batch = StringBatch.from_strings([lemma], [parts], inflector.symbols)
    scores = inflector.model.ops.to_numpy(inflector.model.predict(batch))
    numbers, slots, _ = collapse(scores.argmax(axis=1), numpy.array([len(scores)]))
    letters = []
    for number, slot in zip(numbers.tolist(), slots.tolist(), strict=True):
        place = slot // stride - pad_before
        copied = lemma[place] if 0 <= place < len(lemma) else ""
        text = inflector.symbols.decode([number], [copied])
        probability = float(numpy.exp(scores[slot, number]))
        letters.append(Letter(text, slot - pad_before * stride, probability))
    return letters


def draw_word(axes: Axes, lemma: str, letters: list[Letter], stride: int) -> None:
    """Draw the lemma's letters side by side, and above each one its slots. Of the padding around
    the lemma, no more is drawn than has letters. A lemma that is read from right to left is drawn
    like that, letter by letter: they are not joined."""
    places = [letter.slot // stride for letter in letters]
    start, stop = min([0, *places]), max([len(lemma) - 1, *places]) + 1
    for place in range(start, stop):
        inside = 0 <= place < len(lemma)
        draw_cell(axes, place, 0, 1, "white" if inside else PADDING, lemma[place] if inside else "")
    written = {letter.slot: letter for letter in letters}
    for slot in range(start * stride, stop * stride):
        letter = written.get(slot, Letter("", slot, 0.0))
        p = letter.probability
        draw_cell(axes, slot / stride, 1.1, 1 / stride, SHADES(p), letter.text, dark=p > 0.6)
    axes.set(xlim=(start, stop), ylim=(-0.05, 2.15))
    if unicodedata.bidirectional(lemma[0]) in ("R", "AL"):
        axes.invert_xaxis()


def draw_cell(
    axes: Axes, x: float, y: float, width: float, color: ColorType, text: str, dark: bool = False
) -> None:
    """Draw a letter in a box, which may be so dark that the letter has to be white."""
    axes.add_patch(Rectangle((x, y), width, 1, facecolor=color, edgecolor=GREY, linewidth=0.6))
    style = {"ha": "center", "va": "center", "color": "white" if dark else INK}
    axes.text(x + width / 2, y + 0.5, text, **style)


def main(pipeline: Path, output_path: Path, words: list[str]) -> None:
    """Draw WORDS, each of them LEMMA=FEATURES, into OUTPUT_PATH (SVG)."""
    inflector = spacy.load(pipeline).get_pipe("inflector")
    stride = inflector.model.attrs["stride"]
    with rc_context(SETTINGS):
        figure = Figure(figsize=(9, 1.1 * len(words) + 0.5), layout="constrained")
        panels = figure.subplots(len(words), squeeze=False)[:, 0]
        for axes, word in zip(panels, words, strict=True):
            lemma, _, features = word.partition("=")
            draw_word(axes, lemma, find_letters(inflector, lemma, features), stride)
            axes.set_title(features, loc="left", size=9)
            axes.axis("off")
        # Letters of the same width everywhere
        bounds = [axes.get_xbound() for axes in panels]
        widest = max(high - low for low, high in bounds)
        for axes, (low, _) in zip(panels, bounds, strict=True):
            axes.set_xbound(low, low + widest)
        figure.supxlabel(LEGEND, size=8, x=0.01, ha="left")
        output_path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output_path, metadata={"Date": None})
    msg.good(f"{output_path}: {len(words)} words")


if __name__ == "__main__":
    typer.run(main)
