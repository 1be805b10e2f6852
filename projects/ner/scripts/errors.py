"""A page of all docs with errors, the gold entities of each above the predicted ones."""

from pathlib import Path
from typing import Any

import typer
from predict import Entity, entities, predict_corpus, probabilities
from spacy import displacy
from spacy.tokens import Doc
from wasabi import msg

COLORS = {"correct": "#c8e6c9", "missed": "#ffe082", "wrong": "#ef9a9a"}


def mark(start: int, end: int, label: str, kind: str) -> dict[str, Any]:
    """Characters START to END as an entity for displaCy, in the color of its kind."""
    return {"start": start, "end": end, "label": label, "params": {"bg": COLORS[kind]}}


def draw_legend(title: str) -> dict[str, Any]:
    text = " ".join(COLORS)
    ents = [mark(text.index(kind), text.index(kind) + len(kind), "", kind) for kind in COLORS]
    return {"text": text, "ents": ents, "title": title}


def mark_entities(
    doc: Doc, offset: int, other: Doc, mistake: str, scores: dict[Entity, float]
) -> list[dict[str, Any]]:
    """The entities of DOC, whose text begins at OFFSET, beside those of the OTHER doc."""
    marks = []
    for entity in entities(doc):
        start, end, label = entity
        span = doc[start:end]
        kind = "correct" if entity in entities(other) else mistake
        label = f"{label} {scores[entity]:.2f}" if entity in scores else label
        marks.append(mark(offset + span.start_char, offset + span.end_char, label, kind))
    return marks


def draw_doc(gold: Doc, predicted: Doc, title: str, spans_key: str) -> dict[str, Any]:
    """Two lines for displaCy. Predicted entities show their probability if they have one."""
    first, second = "Gold: ", "\nPredicted: "
    text = first + gold.text + second
    ents = [
        *mark_entities(gold, len(first), predicted, "missed", {}),
        *mark_entities(predicted, len(text), gold, "wrong", probabilities(predicted, spans_key)),
    ]
    return {"text": text + predicted.text, "ents": ents, "title": title}


def main(pipeline: Path, corpus: Path, output_path: Path, spans_key: str = "ner") -> None:
    """Write an HTML page of the docs of CORPUS where PIPELINE finds too much or too little."""
    pairs = list(predict_corpus(pipeline, corpus))
    drawings = [
        draw_doc(gold, predicted, f"Doc {number}", spans_key)
        for number, (gold, predicted) in enumerate(pairs, start=1)
        if entities(gold) != entities(predicted)
    ]
    legend = draw_legend(f"Docs with errors: {len(drawings):,} of {len(pairs):,}")
    # displaCy takes the direction of the page from the first drawing
    legend["settings"] = displacy.get_doc_settings(pairs[0][0])
    page = displacy.render([legend, *drawings], style="ent", manual=True, page=True, jupyter=False)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    output_path.write_text(page, encoding="utf8")
    msg.good(f"{output_path}: {legend['title']}")


if __name__ == "__main__":
    typer.run(main)
