"""Documents to sequences of symbols: an encoder, and a decoder that looks at what it gives out."""

from functools import partial
from itertools import accumulate
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, cast

import numpy
import torch
import torch.nn.functional as F
from numpy import ndarray
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ...generation.search import Hypothesis, search
from ...generation.symbols import END, SPECIAL, START
from ..compose import check_tok2vec, check_width, replace_network, rows_width
from ..decode import (
    BuildDecoderT,
    DecoderT,
    SequenceBatch,
    attention,
    begin,
    check_decoder,
    has_attention,
    starting,
)
from ..rows import flatten_rows
from ..shim import gradients
from ..wrap import get_shim


class Targets(NamedTuple):
    """Sequences that are to be written.

    symbols (ndarray): The symbols of all sequences, end to end. *Shape:* (symbols,)
    lengths (ndarray): The number of symbols of each sequence. *Shape:* (sequences,)
    """

    symbols: ndarray
    lengths: ndarray


class Seq2SeqBatch(NamedTuple):
    """Documents, and what some of them become.

    docs (List[Doc]): The documents.
    chosen (Sequence[int]): Which of them become a sequence, in their order.
    targets (Targets): What these become.
    """

    docs: List[Doc]
    chosen: Sequence[int]
    targets: Targets


class SequenceScores(NamedTuple):
    """Scores of symbols, wherever a model writes one.

    rows (Floats2d): Those of all sequences, end to end. *Shape:* (rows, symbols)
    lengths (Sequence[int]): The number of rows of each sequence.
    """

    rows: Floats2d
    lengths: Sequence[int]


Seq2SeqT = Model[Seq2SeqBatch, SequenceScores]


def build_seq2seq_v1(
    *, tok2vec: Model[List[Doc], List[Floats2d]], decoder: BuildDecoderT
) -> Model[Seq2SeqBatch, SequenceScores]:
    """Build a model that reads a document and writes a sequence of symbols (Sutskever et al. 2014,
    "Sequence to sequence learning with neural networks"; with convolutions on both sides Gehring et
    al. 2017, "Convolutional sequence to sequence learning").

    tok2vec (Model[List[Doc], List[Floats2d]]): The encoder: what gives each document rows for the
        decoder to look at. Token vectors, inline or by a listener, a transformer, or a model of
        your own that gives vectors of what lies in `doc.user_data`, such as an image.
    decoder (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): The decoder, such as
        `spacy-textconv.CausalConvDecoder.v1`.
    RETURNS (Model[Seq2SeqBatch, SequenceScores]): The model: the logits of what follows
        each symbol of all sequences.
    RAISES (ValueError): If `tok2vec` makes no vectors of documents.
    """
    check_decoder(decoder)
    check_tok2vec(tok2vec)
    build_network = partial(_build_network, decoder, rows_width(tok2vec))
    network = build_network(SPECIAL)
    return Model(
        "seq2seq",
        forward,
        init=init,
        layers=[tok2vec, network],
        dims={"nO": None},
        refs={"tok2vec": tok2vec, "decoder": network},
        attrs={
            "max_length": network.attrs["max_length"],
            "resize_output": partial(replace_network, build_network),
            "write": write,
            **({"attend": attend} if has_attention(network) else {}),
            "loss": sequence_loss_and_gradient,
        },
    )


def _build_network(decoder: BuildDecoderT, memory_width: int, symbols: int) -> DecoderT:
    return decoder(symbols, memory_width)


def init(model: Seq2SeqT, X: Optional[List[Doc]] = None, Y: Optional[Floats2d] = None) -> None:
    # Not by their references, which a copied model doesn't have.
    tok2vec, network = model.layers
    tok2vec.initialize(X=X)
    network.initialize()


def forward(
    model: Seq2SeqT, batch: Seq2SeqBatch, is_train: bool
) -> Tuple[SequenceScores, Callable[[SequenceScores], List[Doc]]]:
    tok2vec, network = model.layers
    rows, lengths, backprop_rows = read_chosen(tok2vec, batch, is_train)
    sequences = starting(*batch.targets).with_rows(rows, lengths)
    scores, backprop_network = network(sequences, is_train)
    return (
        SequenceScores(scores, sequences.lengths),
        lambda d_scores: backprop_rows(backprop_network(d_scores.rows)),
    )


def read_chosen(
    tok2vec: Model[List[Doc], List[Floats2d]], batch: Seq2SeqBatch, is_train: bool
) -> Tuple[Floats2d, List[int], Callable[[Floats2d], List[Doc]]]:
    """Read the documents that become a sequence.

    tok2vec (Model[List[Doc], List[Floats2d]]): The encoder.
    batch (Seq2SeqBatch): The documents.
    is_train (bool): Whether it is for an update.
    RETURNS (Tuple[Floats2d, List[int], Callable]): The rows of these documents, end to end, how
        many each of them has, and what takes the gradient of the rows back to the documents.
    """
    xp = tok2vec.ops.xp
    # A listener asks for all documents of its batch.
    Xs, backprop_tok2vec = tok2vec(batch.docs, is_train)
    check_width(tok2vec.maybe_get_dim("nO"), Xs)
    chosen = [Xs[i] for i in batch.chosen]
    lengths = [len(X) for X in chosen]

    def backprop(d_rows: Floats2d) -> List[Doc]:
        dXs = [xp.zeros_like(X) for X in Xs]
        parts = xp.split(d_rows, [*accumulate(lengths)][:-1])
        for i, dX in zip(batch.chosen, parts, strict=True):
            dXs[i] = dX
        return backprop_tok2vec(dXs)

    return flatten_rows(tok2vec.ops, chosen, tok2vec.get_dim("nO")), lengths, backprop


def read(tok2vec: Model[List[Doc], List[Floats2d]], docs: List[Doc]) -> Tuple[Floats2d, List[int]]:
    """Read documents.

    tok2vec (Model[List[Doc], List[Floats2d]]): The encoder.
    docs (List[Doc]): The documents.
    RETURNS (Tuple[Floats2d, List[int]]): The rows of the documents, end to end, and how many each
        of them has.
    """
    Xs = tok2vec.predict(docs)
    check_width(tok2vec.maybe_get_dim("nO"), Xs)
    return flatten_rows(tok2vec.ops, Xs, tok2vec.get_dim("nO")), [len(X) for X in Xs]


def write(
    model: Seq2SeqT,
    docs: List[Doc],
    *,
    max_lengths: Sequence[int],
    beam: int,
    n_best: int,
    length_penalty: float,
) -> List[List[Hypothesis]]:
    """Search for the sequences that documents become.

    model (Model[Seq2SeqBatch, SequenceScores]): The model.
    docs (List[Doc]): The documents.
    max_lengths (Sequence[int]): How many symbols each sequence has at most.
    beam, n_best, length_penalty: As for `beam_search`.
    RETURNS (List[List[Hypothesis]]): For each document `n_best` sequences, the best one first.
    """
    tok2vec, network = model.layers
    rows, lengths = read(tok2vec, docs)
    shim = get_shim(network)
    longest = network.attrs["max_length"] or max(max_lengths)
    limits = torch.tensor(max_lengths, device=shim.device).clamp(max=longest)
    with shim.predicting():
        return search(
            begin(network, len(docs), rows, lengths),
            start=START,
            end=END,
            max_lengths=limits,
            beam=beam,
            n_best=n_best,
            length_penalty=length_penalty,
        )


def attend(model: Seq2SeqT, docs: List[Doc], targets: Targets) -> List[ndarray]:
    """Tell where the decoder looks while it writes sequences.

    model (Model[Seq2SeqBatch, SequenceScores]): The model.
    docs (List[Doc]): The documents.
    targets (Targets): The sequence that each of them becomes.
    RETURNS (List[ndarray]): For each document, how much the decoder looks at each of its rows when
        it writes each symbol, the last one the end. *Shape:* (symbols, rows)
    """
    tok2vec, network = model.layers
    rows, row_lengths = read(tok2vec, docs)
    sequences = starting(*targets).with_rows(rows, row_lengths)
    weights = attention(network, sequences)
    return [
        looks[:symbols, :rows]
        for looks, symbols, rows in zip(weights, sequences.lengths, row_lengths, strict=True)
    ]


@gradients()
def sequence_loss_and_gradient(
    scores: SequenceScores, targets: Targets, label_smoothing: float = 0.0
) -> Tuple[float, SequenceScores, ndarray]:
    """Compute the negative logarithm of the probability of sequences, each up to its end.

    scores (SequenceScores): The logits of what follows each symbol.
    targets (Targets): The sequences.
    label_smoothing (float): The probability that is spread over all symbols (Szegedy et al. 2016,
        "Rethinking the inception architecture for computer vision", section 7).
    RETURNS (Tuple[float, SequenceScores, ndarray]): The mean over all symbols, its gradient, and
        which sequences it is of: all.
    """
    logits = xp2torch(scores.rows, requires_grad=True)
    following = torch.from_numpy(next_symbols(starting(*targets))).to(logits.device)
    loss = F.cross_entropy(logits, following, label_smoothing=label_smoothing)
    loss.backward()
    gradient = scores._replace(rows=cast(Floats2d, torch2xp(cast(Tensor, logits.grad))))
    return float(loss.detach()), gradient, numpy.ones(len(targets.lengths), dtype=bool)


def next_symbols(batch: SequenceBatch) -> ndarray:
    """List what follows each symbol: the next one of its sequence, or the end."""
    following = numpy.roll(batch.symbols, -1)
    following[numpy.cumsum(batch.lengths, dtype="int64") - 1] = END
    return following
