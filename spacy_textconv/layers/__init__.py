"""Plain torch layers over packed rows. They know neither Thinc nor spaCy."""

from .convolution import Convolution, GapNorm, LockedDropout
from .densenet import DenseStack
from .dilated import DilatedStack
from .embedding import HashEmbedding
from .packing import PackedStack, Packing, Slice, slice_documents
from .receptive_field import (
    ConvolutionShape,
    ReceptiveField,
    receptive_fields,
    stack_receptive_field,
)

__all__ = [
    "Convolution",
    "ConvolutionShape",
    "DenseStack",
    "DilatedStack",
    "GapNorm",
    "HashEmbedding",
    "LockedDropout",
    "PackedStack",
    "Packing",
    "ReceptiveField",
    "Slice",
    "receptive_fields",
    "slice_documents",
    "stack_receptive_field",
]
