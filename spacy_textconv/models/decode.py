"""The fourth step, where sequences are written: decoders, for any number of symbols."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable, List, Literal, Optional, Sequence, Tuple, cast

import numpy
import torch
from numpy import ndarray
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp
from torch import Tensor, nn

from ..errors import Errors
from ..generation.search import Writer
from ..generation.symbols import START, UNKNOWN
from ..layers import CausalDecoder, DeconvDecoder, HybridDecoder
from .wrap import ConvertInputsT, converting, get_shim, tensor_to_array, to_tensor, wrap_module

DEFAULT_DILATIONS = [1, 2, 4, 1]
DEFAULT_DECONV_DILATIONS = [1, 1]


@dataclass(frozen=True)
class SequenceBatch:
    """Sequences of symbols, and what was read before they are written.

    symbols (ndarray): The symbols of all sequences, end to end, each with a symbol for its start.
        *Shape:* (symbols,)
    lengths (Sequence[int]): The number of symbols of each sequence, with that for the start.
    rows (Optional[Floats2d]): The rows that the sequences can look at, end to end. *Shape:* (rows,
        width)
    row_lengths (Sequence[int]): The number of rows of each sequence.
    auxiliary (bool): Whether the auxiliary logits of a decoder that has some are wanted after those
        of the symbols.
    """

    symbols: ndarray
    lengths: Sequence[int]
    rows: Optional[Floats2d] = None
    row_lengths: Sequence[int] = ()
    auxiliary: bool = False

    def with_rows(self, rows: Floats2d, row_lengths: Sequence[int]) -> "SequenceBatch":
        """Give the sequences rows to look at."""
        return replace(self, rows=rows, row_lengths=row_lengths)


def starting(symbols: ndarray, lengths: ndarray) -> SequenceBatch:
    """Begin sequences with a symbol for their start.

    symbols (ndarray): The symbols of all sequences, end to end. *Shape:* (symbols,)
    lengths (ndarray): The number of symbols of each sequence. *Shape:* (sequences,)
    RETURNS (SequenceBatch): The sequences, each longer by one.
    """
    starts = lengths.cumsum() - lengths
    return SequenceBatch(numpy.insert(symbols, starts, START), [*(lengths + 1).tolist()])


DecoderT = Model[SequenceBatch, Floats2d]
# A decoder has its size once the number of symbols and the width of the rows that it looks at are
# known, if there are any.
BuildDecoderT = Callable[[int, Optional[int]], DecoderT]


def build_causal_conv_decoder_v1(
    *,
    width: int = 256,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DILATIONS,
    block: Literal["conv", "gated", "bytenet", "separable"] = "gated",
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> BuildDecoderT:
    """Choose a decoder that writes from left to right: causal convolutions look back at what was
    written (van den Oord et al. 2016, "WaveNet", section 2.1; Kalchbrenner et al. 2016, "Neural
    machine translation in linear time", section 3), and attention in every layer at what was read
    (Gehring et al. 2017, "Convolutional sequence to sequence learning", section 3.3). It doesn't
    know where the rows come from that it looks at.

    It looks back at `1 + (kernel_size - 1) * sum(dilations)` symbols.

    width (int): The width of the vectors of symbols.
    kernel_size (int): The number of symbols that each layer looks at: the last one, and those
        before it.
    dilations (List[int]): One number for each layer: the distance between these symbols.
    block (str): What a layer does, as in `spacy-textconv.DilatedConvEncoder.v1`.
    dropout (Optional[float]): The rate of dropout of the symbols' vectors, number by number, and
        after each layer, one mask for each sequence and column; null follows `[training] dropout`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): Builds the decoder,
        for a number of symbols and the width of the rows: the logits of what follows each symbol.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        CausalDecoder,
        width=width,
        kernel_size=kernel_size,
        dilations=dilations,
        block=block,
        dropout=dropout,
    )
    # What is wrong with a setting is found out now.
    build(symbols=1)
    return partial(_build_decoder, "causal_conv_decoder", build, mixed_precision, None)


def build_deconv_decoder_v1(
    *,
    max_length: int = 64,
    seed_rows: int = 32,
    width: int = 256,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DECONV_DILATIONS,
    block: Literal["conv", "gated", "bytenet", "separable"] = "gated",
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> BuildDecoderT:
    """Choose a decoder that writes a text in one pass, all of it from one vector: a linear map
    makes `seed_rows` rows of it, transposed convolutions double their number until they are
    `max_length`, and each row tells its symbol (Zhang et al. 2017, "Deconvolutional paragraph
    representation learning", section 2.2).

    max_length (int): The number of symbols of a text at most, with one for its end. Has to be
        `seed_rows`, doubled once or more: 64, 128 or 256 with the default.
    seed_rows (int): The number of rows that the vector becomes at first.
    width (int): The width of all rows.
    kernel_size (int): The number of rows that each convolution looks at. Has to be odd.
    dilations (List[int]): One number for each convolution after each doubling: the distance between
        the rows that it looks at.
    block (str): What a convolution does, as in `spacy-textconv.DilatedConvEncoder.v1`.
    dropout (Optional[float]): The rate of dropout after each convolution, one mask for each text
        and column; null follows `[training] dropout`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): Builds the decoder,
        for a number of symbols and the width of the vectors: the logits of all symbols. Each
        sequence has one row to look at, its vector.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        DeconvDecoder,
        max_length=max_length,
        seed_rows=seed_rows,
        width=width,
        kernel_size=kernel_size,
        dilations=dilations,
        block=block,
        dropout=dropout,
    )
    build(symbols=1, memory_width=1)
    return partial(_build_decoder, "deconv_decoder", build, mixed_precision, max_length)


def build_hybrid_decoder_v1(
    *,
    max_length: int = 64,
    seed_rows: int = 32,
    width: int = 256,
    kernel_size: int = 3,
    deconv_dilations: List[int] = DEFAULT_DECONV_DILATIONS,
    causal_dilations: List[int] = DEFAULT_DILATIONS,
    block: Literal["conv", "gated", "bytenet", "separable"] = "gated",
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> BuildDecoderT:
    """Choose a decoder that spreads one vector over a text as `spacy-textconv.DeconvDecoder.v1`
    does, and writes it from left to right as `spacy-textconv.CausalConvDecoder.v1` does: to the
    vector of each symbol, it adds the row of the one that comes next (Semeniuta et al. 2017, "A
    hybrid convolutional variational autoencoder for text generation", section 3.3). When
    `textconv_vae` is trained, the deconvolutions also have to tell the symbols by themselves, so
    that the vector is made use of; its `auxiliary_weight` says how much that counts.

    max_length (int): The number of symbols of a text at most, with one for its end. Has to be
        `seed_rows`, doubled once or more: 64, 128 or 256 with the default.
    seed_rows (int): The number of rows that the vector becomes at first.
    width (int): The width of all rows, and of the vectors of symbols.
    kernel_size (int): The number of rows or symbols that each convolution looks at. Has to be odd.
    deconv_dilations (List[int]): One number for each convolution after each doubling: the distance
        between the rows that it looks at.
    causal_dilations (List[int]): One number for each causal layer: the distance between the symbols
        that it looks at.
    block (str): What a convolution does, as in `spacy-textconv.DilatedConvEncoder.v1`.
    dropout (Optional[float]): The rate of dropout of the symbols' vectors, number by number, and
        after each convolution, one mask for each text and column; null follows `[training]
        dropout`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): Builds the decoder,
        for a number of symbols and the width of the vectors: the logits of what follows each
        symbol, and those of the deconvolutions after them if they are wanted. Each sequence has
        one row to look at, its vector.
    RAISES (ValueError): If a setting is out of its range.
    """
    build = partial(
        HybridDecoder,
        max_length=max_length,
        seed_rows=seed_rows,
        width=width,
        kernel_size=kernel_size,
        deconv_dilations=deconv_dilations,
        causal_dilations=causal_dilations,
        block=block,
        dropout=dropout,
    )
    build(symbols=1, memory_width=1)
    return partial(
        _build_decoder,
        "hybrid_decoder",
        build,
        mixed_precision,
        max_length,
        convert_inputs=_convert_with_auxiliary,
    )


def begin(
    model: DecoderT, sequences: int, rows: Optional[Floats2d], row_lengths: Sequence[int]
) -> Writer:
    """Begin to write sequences. Has to be called, as all that is done with what it returns, while
    the shim of the layer is `predicting`.

    model (Model[SequenceBatch, Floats2d]): The decoder.
    sequences (int): The number of sequences.
    rows (Optional[Floats2d]): The rows that they can look at, end to end. *Shape:* (rows, width)
    row_lengths (Sequence[int]): The number of rows of each sequence.
    RETURNS (Writer): The sequences, without symbols. None of those to come is unknown.
    """
    decoder = cast(Any, get_shim(model).module)
    return _KnownSymbols(decoder.begin(sequences, *_memory(model, rows, row_lengths)))


class _KnownSymbols:
    """Sequences that are written without the symbol for what is unknown, which stands for no text.
    Where training data have rare symbols that are none, a decoder has learned to expect it."""

    def __init__(self, writer: Writer):
        self._writer = writer

    def step(self, symbols: Tensor) -> Tensor:
        log_probs = self._writer.step(symbols)
        log_probs[:, UNKNOWN] = -numpy.inf
        return log_probs

    def select(self, rows: Tensor) -> None:
        self._writer.select(rows)


def check_decoder(decoder: Any) -> None:
    """Raise a ValueError if something is a layer, and not what builds a decoder."""
    if isinstance(decoder, Model):
        raise ValueError(Errors.E192.format(name=decoder.name))


def has_attention(model: DecoderT) -> bool:
    """Tell whether a decoder looks at rows, one more and another less."""
    return isinstance(get_shim(model).module, CausalDecoder)


def attention(model: DecoderT, batch: SequenceBatch) -> ndarray:
    """Tell where a decoder looks while it writes what follows each symbol.

    model (Model[SequenceBatch, Floats2d]): The decoder.
    batch (SequenceBatch): The sequences.
    RETURNS (ndarray): *Shape:* (sequences, longest, most rows)
    """
    shim = get_shim(model)
    inputs, _ = _convert_sequences(model, batch)
    with shim.predicting():
        return cast(CausalDecoder, shim.module).attention(*inputs).float().cpu().numpy()


def _convert_sequences(
    model: DecoderT, batch: SequenceBatch
) -> Tuple[List[Any], Callable[[List[Optional[Tensor]]], Optional[Floats2d]]]:
    symbols = torch.from_numpy(batch.symbols).to(get_shim(model).device)
    memory = _memory(model, batch.rows, batch.row_lengths)
    inputs = [symbols, [*batch.lengths], *memory]
    if not memory:
        return inputs, lambda d_inputs: None
    return inputs, lambda d_inputs: cast(Floats2d, torch2xp(cast(Tensor, d_inputs[2])))


def _convert_with_auxiliary(
    model: DecoderT, batch: SequenceBatch
) -> Tuple[List[Any], Callable[[List[Optional[Tensor]]], Optional[Floats2d]]]:
    inputs, convert_d_inputs = _convert_sequences(model, batch)
    return [*inputs, batch.auxiliary], convert_d_inputs


def _memory(
    model: DecoderT, rows: Optional[Floats2d], row_lengths: Sequence[int]
) -> Tuple[Tensor, ...]:
    if rows is None:
        return ()
    lengths = numpy.array(row_lengths, dtype="int64")
    return to_tensor(model, rows), torch.from_numpy(lengths).to(get_shim(model).device)


def _build_decoder(
    name: str,
    build: Callable[..., nn.Module],
    mixed_precision: bool,
    max_length: Optional[int],
    symbols: int,
    memory_width: Optional[int] = None,
    *,
    convert_inputs: ConvertInputsT = _convert_sequences,
) -> DecoderT:
    # A decoder with a bound on its length makes its rows of a vector.
    if max_length is not None and memory_width is None:
        raise ValueError(Errors.E193.format(name=name))
    return wrap_module(
        name,
        partial(build, symbols=symbols, memory_width=memory_width),
        converting(convert_inputs, tensor_to_array),
        dims={"nO": symbols, "nI": memory_width},
        # How many symbols there can be, with the end; any number if None.
        attrs={"max_length": max_length},
        mixed_precision=mixed_precision,
    )
