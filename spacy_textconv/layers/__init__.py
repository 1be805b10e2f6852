"""Plain torch layers over packed rows. They know neither Thinc nor spaCy."""

from .characters import CharacterEmbedding, WordCharacters
from .convolution import Convolution, GapNorm, LockedDropout
from .densenet import DenseStack
from .dilated import DilatedStack
from .embedding import WordDropout, WordEmbedding
from .packing import PackedStack, Packing, Slice, slice_documents
from .receptive_field import (
    ConvolutionShape,
    ReceptiveField,
    receptive_fields,
    stack_receptive_field,
)

__all__ = [
    "CharacterEmbedding",
    "Convolution",
    "ConvolutionShape",
    "DenseStack",
    "DilatedStack",
    "GapNorm",
    "LockedDropout",
    "PackedStack",
    "Packing",
    "ReceptiveField",
    "Slice",
    "WordCharacters",
    "WordDropout",
    "WordEmbedding",
    "receptive_fields",
    "slice_documents",
    "stack_receptive_field",
]
