"""Sequence-level knowledge distillation (Kim and Rush 2016): what a translator makes of the sources
of the training set, as targets for another one to learn from."""

from pathlib import Path

import spacy
import srsly
import typer
from tables import read_table, write_table


def main(training: Path, train: Path, scores: Path, output_path: Path) -> None:
    """Translate the sources of the table TRAIN with TRAINING/model-best, with the beam that was
    chosen for SCORES (JSON), and write the table OUTPUT_PATH. Where nothing is written, the pair is
    left out."""
    nlp = spacy.load(training / "model-best")
    translator = nlp.get_pipe("translator")
    chosen = srsly.read_json(scores)
    translator.beam, translator.length_penalty = chosen["beam"], chosen["length_penalty"]
    pairs = read_table(train)
    texts = [doc._.translation or "" for doc in nlp.pipe(pair.source for pair in pairs)]
    written = [pair._replace(target=text) for pair, text in zip(pairs, texts, strict=True)]
    write_table(output_path, [pair for pair in written if pair.target.strip()])


if __name__ == "__main__":
    typer.run(main)
