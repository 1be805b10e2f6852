"""Pictures of where the decoder looks while it writes: the source across, the target down."""

from pathlib import Path
from unicodedata import bidirectional

import spacy
import typer
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from spacy.tokens import Doc
from tables import read_table
from wasabi import msg

# A blue that colour-blind readers can tell from white, after Okabe and Ito
SHADES = LinearSegmentedColormap.from_list("attention", ["#FFFFFF", "#0072B2"])
# Letters as outlines, so that they look the same where the font is missing
SETTINGS = {"svg.fonttype": "path", "svg.hashsalt": "attention", "font.size": 9}
END = "(end)"


def is_right_to_left(text: str) -> bool:
    return any(bidirectional(letter) in ("R", "AL") for letter in text)


def label(token: str) -> str:
    """A token as it is drawn: matplotlib draws all letters from left to right."""
    return token[::-1] if is_right_to_left(token) else token


def draw(axes: Axes, doc: Doc) -> None:
    """Draw a document, from right to left if it is read like that."""
    attention = doc._.translation_attention
    symbols = [*attention["symbols"], END]
    axes.imshow(attention["weights"], cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(doc)), [label(token.text) for token in doc], rotation=60, ha="left")
    axes.set_yticks(range(len(symbols)), symbols)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    if is_right_to_left(doc.text):
        axes.invert_xaxis()
        axes.yaxis.tick_right()


def main(training: Path, pairs: Path, output_path: Path, number: int = 3) -> None:
    """Translate the first sources of the table PAIRS with TRAINING/model-best, and draw them into
    OUTPUT_PATH (SVG)."""
    nlp = spacy.load(training / "model-best", config={"components.translator.attention": True})
    docs = [*nlp.pipe(pair.source for pair in read_table(pairs)[:number])]
    heights = [len(doc._.translation_attention["symbols"]) + 5 for doc in docs]
    with rc_context(SETTINGS):
        figure = Figure(figsize=(8, 0.2 * sum(heights)), layout="constrained")
        panels = figure.subplots(len(docs), squeeze=False, height_ratios=heights)[:, 0]
        for axes, doc in zip(panels, docs, strict=True):
            draw(axes, doc)
        output_path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output_path, metadata={"Date": None})
    msg.good(f"{output_path}: {len(docs)} documents")


if __name__ == "__main__":
    typer.run(main)
