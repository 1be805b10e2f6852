"""Plain layers, of torch and numpy. They know neither Thinc nor spaCy."""

from .attention import CrossAttention, Memorize, Memory
from .characters import CharacterEmbedding, WordCharacters
from .convolution import Convolution, GapNorm
from .crf import LinearChains, split_sizes
from .ctc import BLANK, CopySoftmax, beam_search, collapse, ctc_loss, needed_slots
from .decoder import CausalDecoder, Writing
from .deconv import DeconvDecoder, Spread
from .densenet import DenseStack
from .dilated import DilatedStack
from .dropout import Dropout, LockedDropout, WordDropout, set_dropout
from .embedding import WordEmbedding
from .hidden import Hidden
from .hybrid import HintedWriting, HybridDecoder
from .latent import GaussianLatent, active_units, free_bits, kl_divergence
from .packing import Packing, Slice, slice_documents
from .pooling import (
    AttentionPooling,
    KMaxPooling,
    LogMeanExpPooling,
    MeanPooling,
    MergeablePooling,
    Pooling,
)
from .receptive_field import (
    ConvolutionShape,
    Reach,
    ReceptiveField,
    convolution_reach,
    receptive_fields,
)
from .shrinking import ConvPooling, DPCNNPooling, FlattenPooling, ShrinkingConvolution
from .slots import SlotDecoder
from .stack import PackedStack
from .transducer import StringEncoder, StringTransducer
from .transitions import KINDS, BiluoTransitions, extend_transitions
from .upsampling import TransposedConvolution, Upsampling

__all__ = [
    "AttentionPooling",
    "BLANK",
    "BiluoTransitions",
    "CausalDecoder",
    "CharacterEmbedding",
    "ConvPooling",
    "Convolution",
    "ConvolutionShape",
    "CopySoftmax",
    "CrossAttention",
    "DPCNNPooling",
    "DeconvDecoder",
    "DenseStack",
    "DilatedStack",
    "Dropout",
    "FlattenPooling",
    "GapNorm",
    "GaussianLatent",
    "Hidden",
    "HintedWriting",
    "HybridDecoder",
    "KINDS",
    "KMaxPooling",
    "LinearChains",
    "LockedDropout",
    "LogMeanExpPooling",
    "MeanPooling",
    "Memorize",
    "Memory",
    "MergeablePooling",
    "PackedStack",
    "Packing",
    "Pooling",
    "Reach",
    "ReceptiveField",
    "ShrinkingConvolution",
    "Slice",
    "SlotDecoder",
    "Spread",
    "StringEncoder",
    "StringTransducer",
    "TransposedConvolution",
    "Upsampling",
    "WordCharacters",
    "WordDropout",
    "WordEmbedding",
    "Writing",
    "active_units",
    "beam_search",
    "collapse",
    "convolution_reach",
    "ctc_loss",
    "extend_transitions",
    "free_bits",
    "kl_divergence",
    "needed_slots",
    "receptive_fields",
    "set_dropout",
    "slice_documents",
    "split_sizes",
]
