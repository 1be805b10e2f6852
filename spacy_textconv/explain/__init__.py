"""Explanations of what the text classifier of a pipeline decides, as data and as a page."""

from .explanations import Explanation, explain
from .maps import HeatMap
from .rendering import render

__all__ = ["Explanation", "HeatMap", "explain", "render"]
