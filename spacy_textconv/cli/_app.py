"""What the commands of the package belong to."""

import typer
from spacy.cli._util import app as spacy_app

app = typer.Typer(
    name="textconv", help="Commands for convolutional text networks.", no_args_is_help=True
)
spacy_app.add_typer(app)
