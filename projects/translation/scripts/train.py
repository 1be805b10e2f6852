"""`spacy train`, with the number of parameters and the seconds of the processor that it took."""

from pathlib import Path
from time import process_time

import spacy
import srsly
import typer
from spacy.cli.train import train as spacy_train
from thinc.api import Model
from wasabi import msg


def count_parameters(model: Model) -> int:
    """Count the parameters of Thinc and of torch."""
    number = 0
    for node in model.walk():
        number += sum(node.get_param(name).size for name in node.param_names)
        number += sum(p.numel() for shim in node.shims for p in shim.module.parameters())
    return number


def main(
    config: Path,
    output_path: Path,
    train: Path,
    dev: Path,
    lang: str = "en",
    max_steps: int = 6000,
    seed: int = 0,
    gpu_id: int = -1,
) -> None:
    """Train CONFIG on the pairs of TRAIN, and write OUTPUT_PATH/training.json."""
    begin = process_time()
    overrides = {
        "paths.train": str(train),
        "paths.dev": str(dev),
        "nlp.lang": lang,
        "training.max_steps": max_steps,
        "system.seed": seed,
    }
    spacy_train(config, output_path, use_gpu=gpu_id, overrides=overrides)
    seconds = process_time() - begin
    translator = spacy.load(output_path / "model-best").get_pipe("translator")
    parameters = count_parameters(translator.model)
    results = {"seconds": seconds, "steps": max_steps, "parameters": parameters}
    srsly.write_json(output_path / "training.json", results)
    msg.good(f"{seconds:,.0f} seconds of the processor, {parameters:,} parameters")


if __name__ == "__main__":
    typer.run(main)
