"""What the text classifier or the language model of a pipeline makes of texts, as data and as a
page."""

from .explanations import Explanation, explain
from .maps import HeatMap
from .readings import Reading, find_language_model, read
from .rendering import render, render_readings

__all__ = [
    "Explanation",
    "HeatMap",
    "Reading",
    "explain",
    "find_language_model",
    "read",
    "render",
    "render_readings",
]
