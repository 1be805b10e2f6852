"""How the language model of a pipeline reads documents."""

from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from ..pipeline.language_model import ConvLanguageModel
from .maps import SURPRISE, UNIT, HeatMap


@dataclass(frozen=True)
class Reading:
    """How a language model has read a document.

    doc (Doc): The document.
    bits_per_character (Optional[float]): How surprising a letter of it was; None for an empty one.
    maps (List[HeatMap]): How surprising each symbol was, and the activations of units after it.
    """

    doc: Doc
    bits_per_character: Optional[float]
    maps: List[HeatMap]


def read(
    nlp: Language,
    texts: Iterable[str],
    *,
    component: Optional[str] = None,
    surprise: bool = True,
    units: Sequence[int] = (),
) -> List[Reading]:
    """Read texts, and remember how surprising their symbols were, and what units of the last layer
    made of them (Radford et al. 2017, "Learning to generate reviews and discovering sentiment",
    figure 3).

    nlp (Language): The pipeline.
    texts (Iterable[str]): The texts.
    component (Optional[str]): The name of a component of the factory `textconv_lm`; None for the
        first one in the pipeline.
    surprise (bool): Whether to make a map of surprise.
    units (Sequence[int]): The units to make maps of.
    RETURNS (List[Reading]): One for each text.
    RAISES (ValueError): If there is no such component or no such unit.
    """
    model = find_language_model(nlp, component)
    docs = [*model.pipe(map(nlp.make_doc, texts))]
    unit = "character" if model.symbols == "letters" else "token"
    readings = []
    for doc, activations in zip(docs, model.hidden(docs, units), strict=True):
        maps = [(SURPRISE, "", doc._.surprise)] if surprise else []
        maps += [(UNIT, str(units[i]), column) for i, column in enumerate(activations.T)]
        parts = model.split(doc.text)
        drawn = [HeatMap(kind, name, unit, weights, parts=parts) for kind, name, weights in maps]
        readings.append(Reading(doc, doc._.bits_per_character, drawn))
    return readings


def find_language_model(nlp: Language, name: Optional[str] = None) -> ConvLanguageModel:
    """Find a component of the factory `textconv_lm`.

    nlp (Language): The pipeline.
    name (Optional[str]): Its name; None for the first one.
    RETURNS (ConvLanguageModel): The component.
    RAISES (ValueError): If there is none.
    """
    for candidate, pipe in nlp.pipeline:
        if isinstance(pipe, ConvLanguageModel) and name in (None, candidate):
            return pipe
    names = ", ".join(nlp.pipe_names) or "none"
    raise ValueError(Errors.E183.format(name=name or "textconv_lm", names=names))
