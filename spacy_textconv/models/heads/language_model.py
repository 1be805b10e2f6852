"""Texts to the probabilities of what follows each of their symbols."""

from functools import partial
from typing import Callable, Iterator, NamedTuple, Optional, Sequence, Tuple, cast

import numpy
import torch
import torch.nn.functional as F
from numpy import ndarray
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ...errors import Errors
from ...generation.search import Step, stream
from ...generation.symbols import END, SPECIAL, START
from ...layers import CausalDecoder, slice_documents
from ...layers.packing import ranges
from ..decode import BuildDecoderT, DecoderT, SequenceBatch, begin, check_decoder
from ..encode import SLICE_SIZE
from ..shim import gradients
from ..wrap import get_shim
from .seq2seq import next_symbols


class TextSlices(NamedTuple):
    """Slices of texts, each with the symbols before it that the network looks back at.

    sequences (SequenceBatch): The symbols of the slices.
    wanted (ndarray): Which of these are no such context. *Shape:* (wanted,)
    places (ndarray): Where they are among the symbols of all texts. *Shape:* (wanted,)
    targets (ndarray): What follows each of them. *Shape:* (wanted,)
    """

    sequences: SequenceBatch
    wanted: ndarray
    places: ndarray
    targets: ndarray


LanguageModelT = Model[TextSlices, Floats2d]


def build_causal_lm_v1(*, decoder: BuildDecoderT) -> Model[TextSlices, Floats2d]:
    """Build a language model, which tells how probable each symbol of a text is after those before
    it (with convolutions: van den Oord et al. 2016, "WaveNet"; Dauphin et al. 2017, "Language
    modeling with gated convolutional networks"; Bai et al. 2018, "An empirical evaluation of
    generic convolutional and recurrent networks for sequence modeling").

    As the network looks back at a limited number of symbols, a text of any length is read in slices
    with the same result, in bounded memory.

    decoder (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): The network, such as
        `spacy-textconv.CausalConvDecoder.v1`.
    RETURNS (Model[TextSlices, Floats2d]): The model: the logits of what follows each symbol.
    RAISES (ValueError): If the network needs vectors to look at.
    """
    check_decoder(decoder)
    network = decoder(SPECIAL, None)
    return Model(
        "causal_lm",
        forward,
        init=init,
        layers=[network],
        dims={"nO": None},
        refs={"decoder": network},
        attrs={
            "resize_output": partial(resize_output, decoder),
            "learn": learn,
            "log_probs": log_probs,
            "hidden": hidden,
            "write": write,
        },
    )


def resize_output(decoder: BuildDecoderT, model: Model, nO: int) -> None:
    """Set the number of symbols, with a new network.

    decoder (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): Builds it.
    model (Model): The model.
    nO (int): The number of symbols.
    """
    model.replace_node(model.layers[0], decoder(nO, None))
    model.set_dim("nO", nO, force=True)


def init(model: LanguageModelT, X: Optional[TextSlices] = None, Y: object = None) -> None:
    # Not by its reference, which a copied model doesn't have.
    model.layers[0].initialize()


def forward(
    model: LanguageModelT, slices: TextSlices, is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], None]]:
    scores, backprop_network = model.layers[0](slices.sequences, is_train)

    def backprop(d_wanted: Floats2d) -> None:
        d_scores = model.ops.xp.zeros_like(scores)
        d_scores[slices.wanted] = d_wanted
        backprop_network(d_scores)

    return scores[slices.wanted], backprop


def slice_texts(model: LanguageModelT, texts: SequenceBatch) -> Iterator[TextSlices]:
    """Cut texts into slices, in groups with a limited number of symbols.

    model (Model[TextSlices, Floats2d]): The model that is to read them.
    texts (SequenceBatch): The texts.
    YIELDS (TextSlices): The slices. Each symbol is wanted once.
    """
    stack = _decoder(model).stack
    size = SLICE_SIZE["cpu" if get_shim(model.layers[0]).device.type == "cpu" else "gpu"]
    starts = numpy.cumsum([0, *texts.lengths])
    targets = next_symbols(texts)
    for group in slice_documents(
        texts.lengths, max_rows=size // stack.buffer_width, gap=stack.gap, reach=stack.reach
    ):
        document, start, _, context_start, context_stop = numpy.array(group).T
        read = context_stop - context_start
        rows = ranges(starts[document] + context_start, read)
        chosen = (rows >= numpy.repeat(starts[document] + start, read)).nonzero()[0]
        sequences = SequenceBatch(texts.symbols[rows], read.tolist())
        yield TextSlices(sequences, chosen, rows[chosen], targets[rows[chosen]])


def learn(model: LanguageModelT, texts: SequenceBatch) -> float:
    """Compute the loss of texts, and add up the gradients of the model's parameters, slice by
    slice.

    model (Model[TextSlices, Floats2d]): The model.
    texts (SequenceBatch): The texts.
    RETURNS (float): The negative logarithm of the probability of a symbol, or an end: the mean.
    """
    total = 0.0
    for slices in slice_texts(model, texts):
        logits, backprop = model.begin_update(slices)
        loss, d_logits = _loss_and_gradient(logits, slices.targets, len(texts.symbols))
        backprop(d_logits)
        total += loss
    return total


def log_probs(model: LanguageModelT, texts: SequenceBatch) -> ndarray:
    """Compute how probable texts are.

    model (Model[TextSlices, Floats2d]): The model.
    texts (SequenceBatch): The texts.
    RETURNS (ndarray): The logarithm of the probability of what follows each symbol. *Shape:*
        (symbols,)
    """
    found = numpy.empty(len(texts.symbols), dtype="float32")
    for slices in slice_texts(model, texts):
        scores = xp2torch(model.predict(slices))
        targets = torch.from_numpy(slices.targets).to(scores.device)
        found[slices.places] = -F.cross_entropy(scores, targets, reduction="none").cpu().numpy()
    return found


def hidden(
    model: LanguageModelT, texts: SequenceBatch, units: Optional[Sequence[int]] = None
) -> ndarray:
    """Compute the activations of the last layer.

    model (Model[TextSlices, Floats2d]): The model.
    texts (SequenceBatch): The texts.
    units (Optional[Sequence[int]]): The units that are wanted; None for all.
    RETURNS (ndarray): Those after each symbol. *Shape:* (symbols, units)
    RAISES (ValueError): If there is no such unit.
    """
    decoder, shim = _decoder(model), get_shim(model.layers[0])
    width = decoder.vectors.shape[1]
    columns = numpy.arange(width) if units is None else numpy.array(units, dtype="int64")
    for unit in columns:
        if not 0 <= unit < width:
            raise ValueError(Errors.E182.format(unit=unit, last=width - 1))
    found = numpy.empty((len(texts.symbols), len(columns)), dtype="float32")
    for slices in slice_texts(model, texts):
        symbols = torch.from_numpy(slices.sequences.symbols).to(shim.device)
        with shim.predicting():
            rows = decoder.encode(symbols, [*slices.sequences.lengths]).float().cpu().numpy()
        found[slices.places] = rows[slices.wanted][:, columns]
    return found


def write(
    model: LanguageModelT,
    prompt: ndarray,
    *,
    texts: int,
    choose: Callable[[Tensor], Tensor],
    max_length: int,
) -> Iterator[Step]:
    """Go on with a text.

    model (Model[TextSlices, Floats2d]): The model.
    prompt (ndarray): The symbols of its beginning. *Shape:* (symbols,)
    texts (int): How many texts are written.
    choose (Callable[[Tensor], Tensor]): Chooses the next symbols, as for `stream`.
    max_length (int): How many symbols follow the beginning at most.
    YIELDS (Step): The next symbols.
    """
    writer = _TextWriter(model, texts)
    # What lies further back makes no difference.
    *read, last = [START, *prompt.tolist()][-_decoder(model).reach.size :]
    device = get_shim(model.layers[0]).device
    for symbol in read:
        writer.step(torch.full((texts,), symbol, device=device))
    limits = torch.full((texts,), max_length, device=device)
    return stream(writer, choose, start=last, end=END, max_lengths=limits)


class _TextWriter:
    """Texts that a model writes. The state of torch that predictions need doesn't last from one
    symbol to the next, since other code runs in between."""

    def __init__(self, model: LanguageModelT, texts: int):
        network = cast(DecoderT, model.layers[0])
        self._shim = get_shim(network)
        with self._shim.predicting():
            self._writing = begin(network, texts, None, ())

    def step(self, symbols: Tensor) -> Tensor:
        with self._shim.predicting():
            return self._writing.step(symbols)

    def select(self, rows: Tensor) -> None:
        with self._shim.predicting():
            self._writing.select(rows)


@gradients()
def _loss_and_gradient(logits: Floats2d, targets: ndarray, total: int) -> Tuple[float, Floats2d]:
    """The negative logarithms of probabilities, added up and divided by `total`."""
    scores = xp2torch(logits, requires_grad=True)
    loss = F.cross_entropy(scores, torch.from_numpy(targets).to(scores.device), reduction="sum")
    loss = loss / total
    loss.backward()
    return float(loss.detach()), cast(Floats2d, torch2xp(cast(Tensor, scores.grad)))


def _decoder(model: LanguageModelT) -> CausalDecoder:
    return cast(CausalDecoder, get_shim(model.layers[0]).module)
