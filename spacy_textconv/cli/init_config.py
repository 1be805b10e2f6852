"""`python -m spacy textconv init-config`."""

from enum import Enum
from pathlib import Path
from typing import Annotated, List, Optional

from jinja2 import Template
from spacy import util
from spacy.cli._util import Arg, Opt, show_validation_error, string_to_list
from spacy.cli.init_config import save_config
from thinc.api import Config
from wasabi import msg

from ..errors import Errors
from ._app import app

TEMPLATE = Path(__file__).parent / "templates" / "training.jinja"
COMPONENTS = (
    "tagger",
    "morphologizer",
    "parser",
    "ner",
    "spancat",
    "textcat",
    "textcat_multilabel",
    "lemmatizer",
)


class Optimization(str, Enum):
    speed = "speed"
    accuracy = "accuracy"


@app.command("init-config")
def init_config_cli(
    output_path: Annotated[
        Path, Arg(metavar="[OUT]", help="File for the config, or - for stdout", allow_dash=True)
    ] = Path("-"),
    lang: Annotated[str, Opt("--lang", "-l", help="Code of the language")] = "en",
    pipeline: Annotated[
        str, Opt("--pipeline", "-p", help=f"Components, of: {', '.join(COMPONENTS)}")
    ] = "tagger,morphologizer",
    optimize: Annotated[
        Optimization, Opt("--optimize", "-o", help="Whether a small or a large network is wanted")
    ] = Optimization.accuracy,
    gpu: Annotated[
        bool,
        Opt(
            "--gpu",
            "-G",
            help="Compute in bfloat16 with parser or spancat first, as with the others anyway",
        ),
    ] = False,
    vectors: Annotated[
        Optional[str], Opt("--vectors", "-V", help="Name or path of a pipeline with word vectors")
    ] = None,
    force: Annotated[bool, Opt("--force", "-F", help="Replace the file if it exists")] = False,
) -> None:
    """
    Write a complete training config with convolutional layers. All components
    share one encoder, whose sizes and training are those that did best for the
    first of them.
    """
    is_stdout = str(output_path) == "-"
    if not is_stdout and output_path.exists() and not force:
        msg.fail(Errors.E044.format(path=output_path), exits=1)
    try:
        config = init_config(
            lang=lang,
            pipeline=string_to_list(pipeline),
            optimize=optimize.value,
            gpu=gpu,
            vectors=vectors,
        )
    # An unknown language is an ImportError.
    except (ImportError, OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    save_config(config, output_path, is_stdout=is_stdout)


def init_config(
    *,
    lang: str = "en",
    pipeline: List[str],
    optimize: str = "accuracy",
    gpu: bool = False,
    vectors: Optional[str] = None,
) -> Config:
    """Make a complete training config.

    lang (str): The code of the language.
    pipeline (List[str]): The names of the components, without `tok2vec`.
    optimize (str): "speed" or "accuracy".
    gpu (bool): Whether to compute in bfloat16 where the recipe doesn't.
    vectors (Optional[str]): The name or path of a pipeline with word vectors.
    RETURNS (Config): The config.
    RAISES (ValueError): If there is no recipe for a component, one is given twice, or the vectors
        are missing.
    """
    unknown = [name for name in pipeline if name not in COMPONENTS]
    if unknown or not pipeline:
        names = ", ".join(unknown) or "an empty pipeline"
        raise ValueError(Errors.E149.format(names=names, choices=", ".join(COMPONENTS)))
    repeated = [name for name in pipeline if pipeline.count(name) > 1]
    if repeated:
        raise ValueError(Errors.E198.format(name=repeated[0]))
    template = Template(TEMPLATE.read_text(encoding="utf8"), trim_blocks=True)
    base = template.render(
        lang=lang,
        components=pipeline,
        optimize=optimize,
        gpu=gpu,
        vectors=vectors,
        vectors_width=_vectors_width(vectors) if vectors is not None else None,
    )
    with show_validation_error(hint_fill=False):
        config = util.load_config_from_str(base)
        return util.load_model_from_config(config, auto_fill=True).config


def _vectors_width(name: str) -> int:
    """The width of the vectors of a pipeline, which the config has to say."""
    width = util.load_model(name).vocab.vectors_length
    if not width:
        raise ValueError(Errors.E049.format(name=name))
    return width
