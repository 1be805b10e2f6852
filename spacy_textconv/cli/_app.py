"""What the commands of the package belong to, and what they share."""

from importlib import import_module
from types import ModuleType

import typer
from spacy.cli._util import app as spacy_app
from wasabi import msg

from ..errors import Errors

app = typer.Typer(
    name="textconv", help="Commands for convolutional text networks.", no_args_is_help=True
)
spacy_app.add_typer(app)


def import_plots() -> ModuleType:
    """Import what draws pictures, or say how to install what it needs."""
    try:
        plots = import_module("._plots", __package__)
    except ImportError as err:
        msg.fail(Errors.E199.format(reason=err), exits=1)
    return plots
