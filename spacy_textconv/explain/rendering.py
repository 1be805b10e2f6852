"""Draw explanations as heat maps over the text, in HTML."""

import re
import unicodedata
from html import escape
from typing import Iterable, Iterator, Sequence, Tuple

from spacy.displacy import get_doc_settings
from spacy.tokens import Doc

from .explanations import Explanation
from .maps import ATTENTION, GRADIENT, NGRAMS, SURPRISE, UNIT, HeatMap
from .readings import Reading
from .templates import (
    TPL_BAR,
    TPL_EMPTY,
    TPL_FIGURE,
    TPL_MAP,
    TPL_MARK,
    TPL_MORE,
    TPL_PAGE,
    TPL_QUESTION,
    TPL_SCALE,
    TPL_TABLE,
)

RGB = Tuple[int, int, int]
# From ColorBrewer's RdBu and PuOr, which don't need full colour vision.
AGAINST, FOR, UNSIGNED = (33, 102, 172), (178, 24, 43), (84, 39, 136)
DARK, LIGHT, GREY = "#1a1a1a", "#ffffff", "#8c8c8c"
# So many classes are listed, the most probable ones.
MAX_CLASSES = 5
TITLES = {
    GRADIENT: "Gradient × input",
    ATTENTION: "Attention",
    NGRAMS: "N-grams",
    SURPRISE: "Surprise in bits",
    UNIT: "Unit",
}
# Maps with negative weights as well, and those whose weights are about a class.
SIGNED, OF_CLASS = (GRADIENT, NGRAMS, UNIT), (GRADIENT, NGRAMS)
# Letters stay joined.
SHAPES = {
    "token": "padding: 0.2em 0.15em; border-radius: 0.2em",
    "character": "padding: 0.2em 0",
}
# What no HTML page may have.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
ZERO_WIDTH_JOINER = "\u200d"


def render(explanations: Iterable[Explanation], *, page: bool = False) -> str:
    """Draw explanations: for each document the probabilities of its classes, and the text once for
    each heat map. Red speaks for the class, blue against it; attention, which does neither, is
    purple. The darkest colour is that of the largest weight of the map.

    explanations (Iterable[Explanation]): The explanations.
    page (bool): Whether to make a whole page, and not only a part of one.
    RETURNS (str): The HTML.
    """
    return _join(map(_render_explanation, explanations), page)


def render_readings(readings: Iterable[Reading], *, page: bool = False) -> str:
    """Draw how a language model has read documents: each text once for each heat map. Surprise is
    purple; a unit is red where its activation is positive, and blue where it is negative. The
    darkest colour is that of the largest weight of the map.

    readings (Iterable[Reading]): The readings.
    page (bool): Whether to make a whole page, and not only a part of one.
    RETURNS (str): The HTML.
    """
    return _join(map(_render_reading, readings), page)


def _join(figures: Iterable[str], page: bool) -> str:
    content = "".join(figures)
    return (TPL_PAGE.format(content=content) if page else content).strip() + "\n"


def _render_reading(reading: Reading) -> str:
    bits = reading.bits_per_character
    title = "" if bits is None else f"{bits:.2f} bits per character"
    return _render_figure(title, "", reading.doc, reading.maps)


def _render_explanation(explanation: Explanation) -> str:
    ranked = sorted(explanation.probabilities.items(), key=lambda item: -item[1])
    bars, left_out = "", 0
    for place, (label, probability) in enumerate(ranked):
        chosen = label == explanation.label
        if place >= MAX_CLASSES and not chosen:
            left_out += 1
            continue
        bars += TPL_BAR.format(
            label=_escape(label),
            percent=f"{100 * probability:.1f}",
            weight="bold" if chosen else "normal",
            color=_css(FOR) if chosen else GREY,
        )
    title = TPL_QUESTION.format(label=_escape(explanation.label))
    more = TPL_MORE.format(number=left_out) if left_out else ""
    table = TPL_TABLE.format(bars=bars + more)
    return _render_figure(title, table, explanation.doc, explanation.maps)


def _render_figure(title: str, table: str, doc: Doc, maps: Sequence[HeatMap]) -> str:
    drawn = "".join(_render_map(doc, heat_map) for heat_map in maps if doc)
    return TPL_FIGURE.format(title=title, table=table, maps=drawn or TPL_EMPTY)


def _render_map(doc: Doc, heat_map: HeatMap) -> str:
    signed, of_class = heat_map.method in SIGNED, heat_map.method in OF_CLASS
    largest = float(abs(heat_map.weights).max()) or 1.0
    content = ""
    for text, space, weight in _units(doc, heat_map):
        color = _color(weight / largest, signed)
        mark = TPL_MARK.format(
            text=_escape(text),
            value=_number(weight, signed),
            bg=_css(color),
            color=LIGHT if _is_dark(color) else DARK,
            shape=SHAPES[heat_map.unit],
        )
        content += mark + space
    title = TITLES[heat_map.method] + (f" · {heat_map.layer}" if heat_map.layer else "")
    steps = range(-4 if signed else 0, 5)
    settings = get_doc_settings(doc)
    return TPL_MAP.format(
        title=_escape(title),
        scale=TPL_SCALE.format(
            low="against " * of_class + (_number(-largest, signed) if signed else "0"),
            high=_number(largest, signed) + " for" * of_class,
            colors=", ".join(_css(_color(step / 4, signed)) for step in steps),
        ),
        lang=_escape(settings["lang"]),
        dir=_escape(settings["direction"]),
        content=content,
    )


def _units(doc: Doc, heat_map: HeatMap) -> Iterator[Tuple[str, str, float]]:
    """Go through what has a weight, and the space after it."""
    weights = heat_map.weights.tolist()
    if heat_map.unit == "token":
        parts = heat_map.parts
        tokens = (
            [(t.text, t.whitespace_) for t in doc] if parts is None else [(p, "") for p in parts]
        )
        for (text, space), weight in zip(tokens, weights, strict=True):
            yield text, space, weight
        return
    text, total = "", 0.0
    for character, weight in zip(heat_map.parts or doc.text, weights, strict=True):
        # A letter and its marks are drawn as one.
        if text and not (_continues(character) or text[-1] == ZERO_WIDTH_JOINER):
            yield text, "", total
            text, total = "", 0.0
        text, total = text + character, total + weight
    yield text, "", total


def _continues(character: str) -> bool:
    return character == ZERO_WIDTH_JOINER or unicodedata.category(character).startswith("M")


def _color(strength: float, signed: bool) -> RGB:
    """Mix a colour with white."""
    full = (FOR if strength > 0 else AGAINST) if signed else UNSIGNED
    share = min(abs(strength), 1.0)
    red, green, blue = (round(255 - share * (255 - part)) for part in full)
    return red, green, blue


def _number(weight: float, signed: bool) -> str:
    # Adding 0 makes 0 of -0.
    return f"{weight + 0.0:{'+' if signed else ''}.3g}".replace("-", "\u2212")


def _is_dark(color: RGB) -> bool:
    """Tell whether white text has more contrast (WCAG 2.1, "relative luminance")."""
    red, green, blue = ((part / 255) ** 2.2 for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179


def _css(color: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _escape(text: str) -> str:
    return escape(CONTROL.sub("\ufffd", text))
