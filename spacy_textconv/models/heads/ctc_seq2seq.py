"""Documents to sequences of symbols in one pass: an encoder, a transposed convolution and CTC."""

from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple, cast

import numpy
import torch
from numpy import ndarray
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ...generation.search import Hypothesis
from ...generation.slots import read_sequences
from ...generation.symbols import SPECIAL, UNKNOWN
from ...layers import SlotDecoder, ctc_loss
from ..compose import check_tok2vec, replace_network, rows_width
from ..shim import gradients
from ..wrap import converting, get_shim, tensor_to_array, to_tensor, wrap_module
from .seq2seq import (
    Seq2SeqBatch,
    Seq2SeqT,
    SequenceScores,
    Targets,
    init,
    read,
    read_chosen,
)

# The rows of all documents, end to end, and how many each of them has.
RowsT = Tuple[Floats2d, List[int]]
DEFAULT_DILATIONS = [1, 2, 4, 8, 1]


def build_ctc_seq2seq_v1(
    *,
    tok2vec: Model[List[Doc], List[Floats2d]],
    width: int = 256,
    stride: int = 3,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DILATIONS,
    pad_before: int = 2,
    pad_after: int = 2,
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> Model[Seq2SeqBatch, SequenceScores]:
    """Build a model that reads a document and writes a sequence of symbols in one pass, without a
    loop over what it has written so far: a transposed convolution makes `stride` slots of each row
    of the encoder, more convolutions tell each slot what the slots around it have to write, and in
    each there is a symbol or nothing (Libovický and Helcl 2018, "End-to-end non-autoregressive
    neural machine translation with connectionist temporal classification", section 3).

    A sequence has at most `stride * (rows + pad_before + pad_after)` symbols, fewer by one for each
    that is the same as the symbol before it. Longer ones aren't learned from.

    Slots don't know what others have decided, so where several texts are right, they mix them. It
    learns best from what another model has written, which says one thing in one way (Kim and Rush
    2016, "Sequence-level knowledge distillation").

    tok2vec (Model[List[Doc], List[Floats2d]]): The encoder, as that of `spacy-textconv.Seq2Seq.v1`.
        How far words can move depends on how far it sees.
    width (int): The width of the vectors of slots.
    stride (int): The number of slots of each row.
    kernel_size (int): The number of slots that each convolution looks at. Has to be odd.
    dilations (List[int]): One number for each convolution of slots: the distance between the slots
        that it looks at.
    pad_before (int): The number of positions before the rows that have slots too.
    pad_after (int): The number of positions after them that do.
    dropout (Optional[float]): The rate of dropout after each convolution, one mask for each
        sequence and column; null follows `[training] dropout`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[Seq2SeqBatch, SequenceScores]): The model: the logarithms of the probabilities of
        the symbols in all slots.
    RAISES (ValueError): If a setting is out of its range, or `tok2vec` makes no token vectors.
    """
    check_tok2vec(tok2vec)
    build = partial(
        SlotDecoder,
        width=width,
        stride=stride,
        kernel_size=kernel_size,
        dilations=dilations,
        memory_width=rows_width(tok2vec),
        pad_before=pad_before,
        pad_after=pad_after,
        dropout=dropout,
    )
    build_network = partial(_build_network, build, mixed_precision)
    network = build_network(SPECIAL)
    return Model(
        "ctc_seq2seq",
        forward,
        init=init,
        layers=[tok2vec, network],
        dims={"nO": None},
        refs={"tok2vec": tok2vec, "decoder": network},
        attrs={
            "resize_output": partial(replace_network, build_network),
            "write": write,
            "loss": slot_loss_and_gradient,
        },
    )


def forward(
    model: Seq2SeqT, batch: Seq2SeqBatch, is_train: bool
) -> Tuple[SequenceScores, Callable[[SequenceScores], List[Doc]]]:
    tok2vec, network = model.layers
    rows, lengths, backprop_rows = read_chosen(tok2vec, batch, is_train)
    scores, backprop_network = network((rows, lengths), is_train)
    return (
        SequenceScores(scores, _number_slots(network, lengths)),
        lambda d_scores: backprop_rows(backprop_network(d_scores.rows)),
    )


def write(
    model: Seq2SeqT,
    docs: List[Doc],
    *,
    max_lengths: Sequence[int],
    beam: int,
    n_best: int,
    length_penalty: float,
) -> List[List[Hypothesis]]:
    """Find the sequences that documents become.

    model (Model[Seq2SeqBatch, SequenceScores]): The model.
    docs (List[Doc]): The documents.
    max_lengths, beam, n_best, length_penalty: As for `read_sequences`.
    RETURNS (List[List[Hypothesis]]): For each document `n_best` sequences, the best one first.
    """
    tok2vec, network = model.layers
    rows, lengths = read(tok2vec, docs)
    log_probs = model.ops.to_numpy(network.predict((rows, lengths)))
    # What is unknown stands for no text.
    log_probs[:, UNKNOWN] = -numpy.inf
    return read_sequences(
        log_probs,
        _number_slots(network, lengths),
        max_lengths=max_lengths,
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
    )


@gradients()
def slot_loss_and_gradient(
    scores: SequenceScores, targets: Targets, label_smoothing: float = 0.0
) -> Tuple[float, SequenceScores, ndarray]:
    """Compute the negative logarithm of the probability of sequences, summed over the ways to write
    them in their slots.

    scores (SequenceScores): The logarithms of the probabilities of the symbols in all slots.
    targets (Targets): The sequences.
    label_smoothing (float): The probability that is spread over all symbols, in each slot (Kim et
        al. 2018, "Improved training for online end-to-end speech recognition systems").
    RETURNS (Tuple[float, SequenceScores, ndarray]): The mean over all symbols, its gradient, and
        which sequences it is of: those for which there are enough slots.
    """
    log_probs = xp2torch(scores.rows, requires_grad=True)
    device = log_probs.device
    slots = torch.tensor(scores.lengths, device=device)
    symbols, lengths = (torch.from_numpy(numbers).to(device) for numbers in targets)
    losses, possible = ctc_loss(log_probs, slots, symbols, lengths)
    total = (1.0 - label_smoothing) * losses.sum()
    if label_smoothing > 0.0:
        spread = -log_probs[possible.repeat_interleave(slots)].mean(dim=1)
        total = total + label_smoothing * spread.sum()
    loss = total / lengths[possible].sum().clamp(min=1)
    loss.backward()
    gradient = scores._replace(rows=cast(Floats2d, torch2xp(cast(Tensor, log_probs.grad))))
    return float(loss.detach()), gradient, possible.cpu().numpy()


def _number_slots(network: Model[RowsT, Floats2d], lengths: List[int]) -> List[int]:
    decoder = cast(SlotDecoder, get_shim(network).module)
    return [decoder.number(length) for length in lengths]


def _build_network(
    build: Callable[..., SlotDecoder], mixed_precision: bool, symbols: int
) -> Model[RowsT, Floats2d]:
    return wrap_module(
        "slot_decoder",
        partial(build, symbols=symbols),
        converting(_convert_rows, tensor_to_array),
        dims={"nO": symbols},
        mixed_precision=mixed_precision,
    )


def _convert_rows(
    model: Model, batch: RowsT
) -> Tuple[List[object], Callable[[List[Optional[Tensor]]], Floats2d]]:
    rows, lengths = batch
    return (
        [to_tensor(model, rows), lengths],
        lambda d_inputs: cast(Floats2d, torch2xp(cast(Tensor, d_inputs[0]))),
    )
