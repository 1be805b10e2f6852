"""The site: `sphinx-build -W docs build/docs`."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import spacy_textconv

sys.path.insert(0, str(Path(__file__).parent))
import reference  # noqa: E402

project = "spacy-textconv"
author = "The spacy-textconv authors"
copyright = f"2026, {author}"
release = version = spacy_textconv.__version__

extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = project
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["wrap.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}


def fill_page(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = reference.fill_page(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
