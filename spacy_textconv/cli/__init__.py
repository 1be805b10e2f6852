"""The commands `python -m spacy textconv`, which spaCy finds through an entry point."""

from ._app import app
from .annotate import annotate_cli
from .explain import explain_cli
from .init_config import init_config_cli
from .receptive_field import receptive_field_cli

__all__ = ["annotate_cli", "app", "explain_cli", "init_config_cli", "receptive_field_cli"]
