"""`spacy train`, with the number of parameters and the seconds of the processor that it took."""

from pathlib import Path
from time import process_time

import spacy
import srsly
import typer
from spacy.cli._util import import_code, parse_config_overrides
from spacy.cli.train import train as spacy_train
from thinc.api import Model
from wasabi import msg

app = typer.Typer()


def count_parameters(model: Model) -> int:
    """Count the parameters of Thinc and of torch."""
    number = 0
    for node in model.walk():
        number += sum(node.get_param(name).size for name in node.param_names)
        number += sum(p.numel() for shim in node.shims for p in shim.module.parameters())
    return number


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def main(
    ctx: typer.Context,
    config: Path,
    output_path: Path,
    train: Path,
    dev: Path,
    lang: str = "en",
    max_steps: int = 6000,
    seed: int = 0,
    gpu_id: int = -1,
    code: Path | None = None,
) -> None:
    """Train CONFIG on the corpus TRAIN, and write OUTPUT_PATH/training.json. As for `spacy train`,
    CODE is imported before, and other options override settings. It is the last component that is
    measured."""
    import_code(code)
    begin = process_time()
    overrides = {
        "paths.train": str(train),
        "paths.dev": str(dev),
        "nlp.lang": lang,
        "training.max_steps": max_steps,
        "system.seed": seed,
        **parse_config_overrides(ctx.args),
    }
    spacy_train(config, output_path, use_gpu=gpu_id, overrides=overrides)
    seconds = process_time() - begin
    _, component = spacy.load(output_path / "model-best").pipeline[-1]
    parameters = count_parameters(component.model)
    results = {"seconds": seconds, "steps": max_steps, "parameters": parameters}
    srsly.write_json(output_path / "training.json", results)
    msg.good(f"{seconds:,.0f} seconds of the processor, {parameters:,} parameters")


if __name__ == "__main__":
    app()
