"""What a pipeline predicts for the words of a treebank."""

from pathlib import Path

import spacy
import typer
from corpora import predict_splits


def main(pipeline: Path, corpus: Path, output_path: Path, gpu_id: int = -1) -> None:
    """Write the docs of the folder CORPUS as PIPELINE analyses them to the folder OUTPUT_PATH."""
    if gpu_id >= 0:
        spacy.require_gpu(gpu_id)
    nlp = spacy.load(pipeline)
    predict_splits(nlp.pipe, nlp.vocab, corpus, output_path)


if __name__ == "__main__":
    typer.run(main)
