"""Accuracy, macro F1 and speed, of which `spacy evaluate` leaves out the first."""

from pathlib import Path

import spacy
import srsly
import typer
from spacy.training import Corpus
from wasabi import msg


def main(pipeline: Path, corpus: Path, output_path: Path, gpu_id: int = -1) -> None:
    """Write OUTPUT_PATH (JSON). The texts of CORPUS are tokenized by PIPELINE."""
    if gpu_id >= 0:
        spacy.require_gpu(gpu_id)
    nlp = spacy.load(pipeline)
    scores = nlp.evaluate(list(Corpus(corpus)(nlp)))
    kept = {key: value for key, value in scores.items() if key.startswith(("cats_", "speed"))}
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, kept)
    accuracy, macro = 100 * scores["cats_micro_f"], 100 * scores["cats_macro_f"]
    msg.good(
        f"{output_path}: accuracy {accuracy:.2f} %, macro F1 {macro:.2f} %, "
        f"{scores['speed']:,.0f} words/s"
    )


if __name__ == "__main__":
    typer.run(main)
