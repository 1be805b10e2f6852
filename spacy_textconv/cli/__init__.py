"""The commands `python -m spacy textconv`, which spaCy finds through an entry point."""

from ._app import app
from .explain import explain_cli

__all__ = ["app", "explain_cli"]
