"""The commands `python -m spacy textconv`, which spaCy finds through an entry point."""

from ._app import app
from .annotate import annotate_cli
from .calibration import calibration_cli
from .explain import explain_cli
from .generate import generate_cli
from .init_config import init_config_cli
from .receptive_field import receptive_field_cli
from .report import report_cli

__all__ = [
    "annotate_cli",
    "app",
    "calibration_cli",
    "explain_cli",
    "generate_cli",
    "init_config_cli",
    "receptive_field_cli",
    "report_cli",
]
