"""A page about a latent space: texts between texts, a map of the points, the growth of a text from
its point, samples and, if they are under control, what is made of reviews."""

from io import StringIO
from pathlib import Path
from typing import Any

import numpy
import spacy
import srsly
import torch
import torch.nn.functional as F
import typer
from jinja2 import Environment
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy import ndarray
from spacy.tokens import Doc, DocBin
from torch import Tensor
from wasabi import msg

from spacy_textconv.generation.pieces import SPACE
from spacy_textconv.layers import DeconvDecoder, Packing
from spacy_textconv.models.wrap import get_shim

# After Okabe and Ito, whose colours colour-blind readers can tell apart, and a marker for each
STYLES = [("#0072B2", "o"), ("#E69F00", "^"), ("#009E73", "s"), ("#CC79A7", "D")]
# What belongs to no class
OTHERS = ("#B0B5BA", ".")
# Letters as outlines, so that they look the same where the font is missing
SETTINGS = {"svg.fonttype": "path", "svg.hashsalt": "map", "font.size": 10}
SAMPLES = 10
# Of the end, and of what is unknown
NAMES = ("■", "?")


def project(points: ndarray) -> ndarray:
    """The two directions in which points differ most (principal component analysis). *Shape:*
    (points, width) to (points, 2)"""
    centred = points - points.mean(axis=0)
    _, _, directions = numpy.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T


def classify(doc: Doc, words: list[str]) -> str | None:
    """The category of a document or, if it has none, the first of some words in it."""
    if doc.cats:
        return max(doc.cats, key=lambda label: doc.cats[label])
    return next((token.lower_ for token in doc if token.lower_ in words), None)


def draw_map(points: ndarray, classes: list[str | None]) -> str:
    """An SVG of all points, coloured by class."""
    places = project(points)
    names = sorted({name for name in classes if name})
    with rc_context(SETTINGS):
        figure = Figure(figsize=(10, 7), layout="constrained")
        axes = figure.subplots()
        for name, (color, marker) in zip([None, *names], [OTHERS, *STYLES], strict=False):
            chosen = places[[one == name for one in classes]]
            if len(chosen):
                label = name or "others"
                axes.scatter(*chosen.T, 14, color, marker=marker, alpha=0.7, lw=0, label=label)
        axes.set(xticks=[], yticks=[])
        axes.legend(frameon=False)
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    svg = written.getvalue()
    return svg[svg.index("<svg") :]


def grow(decoder: DeconvDecoder, vector: Tensor) -> list[Tensor]:
    """The logits of the rows after each level, from those that are made of the vector on, as if
    they were the last. *Shape:* (width,) to (rows, symbols) for each level"""
    x = decoder.seeds(vector[None]).view(decoder.seed_rows, -1)
    levels = [x]
    packing = Packing([len(x)], decoder.gap, x.device, stride=2 ** len(decoder.levels))
    buffer = x.new_zeros(packing.rows, x.shape[1]).index_copy(0, packing.document_rows, x)
    for level in decoder.levels:
        buffer, packing = level(buffer, packing)
        levels.append(buffer[packing.document_rows])
    return [decoder.score(F.layer_norm(rows, rows.shape[1:])) for rows in levels]


def show_growth(vae: Any, doc: Doc) -> list[dict[str, Any]]:
    """For each level of deconvolutions, the most probable symbol of each row, and its probability.
    It has no levels where there are no deconvolutions."""
    shim = get_shim(vae.model.layers[-1])
    decoder = getattr(shim.module, "deconv", shim.module)
    if not isinstance(decoder, DeconvDecoder):
        return []
    [point] = vae.encode(doc)
    conditions = [doc.cats.get(label, 0.0) for label in vae.conditions]
    with shim.predicting():
        levels = grow(decoder, torch.tensor([*point, *conditions]))
    labels = [label.replace(" ", SPACE) for label in (*NAMES, *vae.alphabet.labels)]
    length = len(vae.alphabet.encode([doc.text])[0]) + 1
    shown = []
    for logits in levels:
        span = len(levels[-1]) // len(logits)
        needed = -(-length // span)
        shares, symbols = logits[:needed].softmax(dim=1).max(dim=1)
        cells = [*zip([labels[symbol] for symbol in symbols], shares.tolist(), strict=True)]
        shown.append({"rows": len(logits), "span": span, "cells": cells})
    return shown


def main(
    training: Path,
    texts: Path,
    output_path: Path,
    control: Path | None = None,
    words: str = "man,woman,dog,children",
    steps: int = 7,
    pairs: int = 4,
    limit: int = 1000,
) -> None:
    """Write a page about TRAINING/model-best as OUTPUT_PATH (HTML), with the points of the first
    TEXTS. Those without categories are coloured by the first of some WORDS in them. CONTROL is what
    `control.py` has written."""
    nlp = spacy.load(training / "model-best")
    vae = nlp.get_pipe("vae")
    docs = [*DocBin().from_disk(texts).get_docs(nlp.vocab)][:limit]
    _, lengths = vae.alphabet.encode([doc.text for doc in docs])
    docs = [doc for doc, length in zip(docs, lengths, strict=True) if length < vae.max_length]
    points = vae.encode(docs)
    classes = [classify(doc, words.split(",")) for doc in docs]
    shown = docs[: 2 * pairs]
    # What a text is written under: its own label, if there are any.
    labels = [label if label in vae.conditions else None for label in classes]
    samples = {}
    if vae.model.attrs["latent"]:
        for label in vae.conditions or (None,):
            samples[label] = vae.generate(SAMPLES, seed=0, label=label)
    template = Path(__file__).with_name("page.jinja").read_text(encoding="utf8")
    page = Environment(autoescape=True).from_string(template)
    rendered = page.render(
        interpolations=[
            vae.interpolate(*ends, steps=steps, label=label)
            for *ends, label in zip(shown[::2], shown[1::2], labels[::2], strict=False)
        ],
        number=len(docs),
        map=draw_map(points, classes),
        growths=[show_growth(vae, doc) for doc in shown[:pairs]],
        returns=[
            (doc.text, *vae.decode(vae.encode(doc), label=label))
            for doc, label in zip(shown, labels, strict=False)
        ],
        samples=samples,
        control=srsly.read_json(control) if control else None,
    )
    output_path.parent.mkdir(parents=True, exist_ok=True)
    output_path.write_text(rendered, encoding="utf8")
    msg.good(f"{output_path}: {len(docs):,} points")


if __name__ == "__main__":
    typer.run(main)
