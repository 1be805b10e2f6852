"""The types of the models, each named once."""

from typing import Callable, List, Tuple

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

EmbedT = Model[List[Doc], List[Floats2d]]
EncoderT = Model[List[Floats2d], List[Floats2d]]
EncoderBackpropT = Callable[[List[Floats2d]], List[Floats2d]]
EncoderForwardT = Tuple[List[Floats2d], EncoderBackpropT]
AttendT = Model[List[Floats2d], Floats2d]
ClassifyT = Model[List[Doc], Floats2d]
RowsT = Model[Floats2d, Floats2d]
