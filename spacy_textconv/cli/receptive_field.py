"""`python -m spacy textconv receptive-field`."""

from pathlib import Path
from typing import Annotated, Dict, Optional, Tuple

from spacy import util
from spacy.cli._util import Arg, Opt, import_code, show_validation_error
from spacy.tokens import DocBin
from wasabi import msg

from ..errors import Errors
from ._app import app, import_plots

HEADER = ["Layer", "Kernel", "Dilation", "Stride", "Field", "Parameters", "Multiply-adds"]


@app.command("receptive-field")
def receptive_field_cli(
    config_path: Annotated[
        Path, Arg(metavar="CONFIG", help="Config file", exists=True, dir_okay=False)
    ],
    plot_path: Annotated[
        Optional[Path],
        Opt("--plot", "-p", help="Draw the growing field into this file (needs matplotlib)"),
    ] = None,
    measure: Annotated[
        Optional[Tuple[str, Path]],
        Opt(
            "--measure",
            "-m",
            metavar="MODEL DATA",
            help="Measure the effective field of a trained pipeline on a .spacy file",
        ),
    ] = None,
    code_path: Annotated[
        Optional[Path],
        Opt("--code", "-c", help="Python file with additional code (registered functions)"),
    ] = None,
) -> None:
    """
    Show how far the encoders of a config see: for each layer its kernel,
    dilation and stride, the receptive field (in tokens, or in letters where the
    encoder reads letters), parameters, and multiply-adds per token. The
    effective field is the part of the gradient that comes from each distance
    (Luo et al. 2016, https://arxiv.org/abs/1701.04128).
    """
    import_code(code_path)
    # Torch and matplotlib are imported when they are needed.
    from ._fields import ByDistance, find_encoders, list_layers, measure_fields

    with show_validation_error(config_path):
        nlp = util.load_model_from_config(util.load_config(config_path), auto_fill=True)
    encoders = {name: list_layers(module) for name, module in find_encoders(nlp).items()}
    if not encoders:
        msg.fail(Errors.E148.format(path=config_path), exits=1)
    for name, layers in encoders.items():
        msg.divider(name)
        rows = [
            (
                layer.name,
                layer.shape.kernel_size,
                layer.shape.dilation,
                f"1/{layer.shape.stride}" if layer.shape.transposed else layer.shape.stride,
                layer.field.size,
                f"{layer.parameters:,}",
                f"{layer.multiply_adds:,}",
            )
            for layer in layers
        ]
        parameters = sum(layer.parameters for layer in layers)
        multiply_adds = sum(layer.multiply_adds for layer in layers)
        footer = ["", "", "", "", layers[-1].field.size, f"{parameters:,}", f"{multiply_adds:,}"]
        msg.table(rows, header=HEADER, footer=footer, divider=True, aligns=[*"lrrrrrr"], max_col=60)
    measured: Dict[str, ByDistance] = {}
    if measure is not None:
        model, data_path = measure
        try:
            trained = util.load_model(model)
        except (OSError, ValueError) as err:
            msg.fail(Errors.E047.format(reason=err), exits=1)
        try:
            docs = list(DocBin().from_disk(data_path).get_docs(trained.vocab))
        except (OSError, ValueError) as err:
            msg.fail(Errors.E142.format(path=data_path, reason=err), exits=1)
        measured = measure_fields(trained, docs)
        if not measured:
            msg.fail(Errors.E155.format(model=model, path=data_path), exits=1)
        for name, shares in measured.items():
            msg.divider(f"{name}, measured")
            table = [(f"{distance:+}", f"{100 * share:.1f}") for distance, share in shares.items()]
            msg.table(table, header=["Distance", "Gradient %"], divider=True, aligns=[*"rr"])
    if plot_path is not None:
        import_plots().plot_fields(encoders, measured, plot_path)
        msg.good(f"Drawn in {plot_path}")
