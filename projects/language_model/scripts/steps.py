"""How long it takes to write letters: one step for each, beside computing all letters anew."""

import time
from pathlib import Path

import numpy
import spacy
import srsly
import torch
import typer
from wasabi import msg

from spacy_textconv.explain import find_language_model
from spacy_textconv.generation.search import most_probable
from spacy_textconv.models.decode import starting
from spacy_textconv.models.heads.language_model import slice_texts


def main(pipeline: Path, output: Path, length: int = 200, turns: int = 5, threads: int = 1):
    torch.set_num_threads(threads)
    lm = find_language_model(spacy.load(pipeline))
    numbers = numpy.full(length, lm.alphabet.encode([lm.labels[0]])[0][0])
    seconds = {"step": [], "anew": []}
    for _ in range(turns):
        start = time.process_time()
        steps = lm.model.attrs["write"](
            lm.model, numbers[:0], texts=1, choose=most_probable, max_length=length
        )
        written = len([*steps])
        seconds["step"].append((time.process_time() - start) / written)
        start = time.process_time()
        for letters in range(length):
            texts = starting(numbers[:letters], numpy.array([letters]))
            for slices in slice_texts(lm.model, texts):
                lm.model.predict(slices)
        seconds["anew"].append((time.process_time() - start) / length)
    best = {name: min(values) for name, values in seconds.items()}
    srsly.write_json(output, best)
    msg.good(
        f"{best['step'] * 1e3:.2f} ms a letter step by step, {best['anew'] * 1e3:.2f} ms anew: "
        f"{best['anew'] / best['step']:.1f} times as fast"
    )


if __name__ == "__main__":
    typer.run(main)
