"""Strings to strings, letter by letter: an encoder, and a decoder that looks at its letters."""

from functools import partial
from math import exp
from typing import Callable, Dict, List, Optional, Sequence, Tuple, cast

import numpy
import torch
import torch.nn.functional as F
from numpy import ndarray
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ...checks import check_natural
from ...generation.search import search
from ...generation.slots import BEAMS, CandidatesT
from ...generation.symbols import END, START, Lexicon, Symbols, normalize
from ...layers import StringEncoder
from ..compose import check_tok2vec, rows_width
from ..decode import BuildDecoderT, begin, check_decoder, starting
from ..shim import gradients
from ..wrap import converting, get_shim, tensor_to_array, wrap_module
from .seq2seq import Targets, next_symbols
from .transducer import Room, StringBatch, TransducerT, build_transducer, convert_strings

DEFAULT_DILATIONS = [1, 2, 4, 1]
# A row before the letters and one after them tell where a string begins and ends.
PADDING = 1


def build_causal_transducer_v1(
    *,
    decoder: BuildDecoderT,
    tok2vec: Optional[Model[List[Doc], List[Floats2d]]] = None,
    width: int = 128,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DILATIONS,
    max_added: int = 30,
    feature_rows: int = 2000,
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> Model[StringBatch, Floats2d]:
    """Build the model of a transducer that writes strings from left to right, for languages where
    parts of a word move: an encoder of dilated convolutions over the letters of a string, as that
    of `spacy-textconv.CTCTransducer.v1`, and a decoder that looks at them (inflection with
    convolutions and attention: Östling 2016, "Morphological reinflection with convolutional neural
    networks").

    Letters that aren't in the training data can't be written.

    decoder (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): The decoder, such as
        `spacy-textconv.CausalConvDecoder.v1`.
    tok2vec (Optional[Model[List[Doc], List[Floats2d]]]): Token vectors, for strings that depend on
        the tokens around them; null if they don't.
    width (int): The width of the vectors of letters.
    kernel_size (int): The number of letters that each convolution looks at. Has to be odd.
    dilations (List[int]): One number for each convolution: the distance between the letters that it
        looks at.
    max_added (int): How many letters more than the string a result has at most.
    feature_rows (int): The number of rows of the table of features, which are hashed.
    dropout (Optional[float]): The rate of dropout after each convolution, one mask for each string
        and column; null follows `[training] dropout`.
    mixed_precision (bool): Whether the encoder computes in bfloat16 where the device has units for
        it.
    RETURNS (Model[StringBatch, Floats2d]): The model: the logits of what follows each letter of
        what strings become.
    RAISES (ValueError): If a setting is out of its range, or `tok2vec` makes no token vectors.
    """
    if tok2vec is not None:
        check_tok2vec(tok2vec)
    check_decoder(decoder)
    check_natural("max_added", max_added)
    build = partial(
        StringEncoder,
        width=width,
        kernel_size=kernel_size,
        dilations=dilations,
        feature_rows=feature_rows,
        context_width=None if tok2vec is None else rows_width(tok2vec),
        pad_before=PADDING,
        pad_after=PADDING,
        dropout=dropout,
    )

    return build_transducer(
        "causal_transducer",
        tok2vec,
        partial(_build_network, build, decoder, width, feature_rows, mixed_precision),
        {
            "transduce": partial(transduce, max_added),
            "loss": letter_loss_and_gradient,
            "room": partial(find_room, max_added),
        },
    )


def transduce(
    max_added: int,
    network: TransducerT,
    batch: StringBatch,
    strings: Sequence[str],
    symbols: Symbols,
    n_best: int,
    lexicon: Optional[Lexicon] = None,
) -> List[CandidatesT]:
    """Search for the best strings: of a single one, always the most probable next letter is
    written; more of them are found by a beam.

    max_added (int): How many letters more than its string a result has at most.
    network (Model[StringBatch, Floats2d]): The network, without what reads documents.
    batch (StringBatch): The strings to begin with.
    strings (Sequence[str]): The same strings as they are.
    symbols (Symbols): The symbols.
    n_best (int): The number of results.
    lexicon (Optional[Lexicon]): Not used: a beam finds known strings among the others.
    RETURNS (List[List[Tuple[str, float]]]): For each string `n_best` strings, with their
        probabilities.
    """
    encoder, decoder = network.layers
    rows = encoder.predict(batch)
    shim = get_shim(decoder)
    limits = torch.from_numpy(batch.lengths + max(max_added, 1)).to(shim.device)
    beam = 1 if n_best == 1 else BEAMS * n_best
    with shim.predicting():
        writing = begin(decoder, len(strings), rows, _count_rows(batch))
        found = search(writing, start=START, end=END, max_lengths=limits, beam=beam, n_best=beam)
    candidates = []
    for hypotheses in found:
        texts: Dict[str, float] = {}
        # Two sequences of letters can have one normal form.
        for one in hypotheses:
            text = normalize(symbols.decode(one.symbols, [""] * len(one.symbols)))
            texts[text] = texts.get(text, 0.0) + exp(one.log_prob)
        candidates.append(sorted(texts.items(), key=lambda item: -item[1])[:n_best])
    return candidates


def find_room(max_added: int, lengths: ndarray, targets: Targets) -> Room:
    """Count the letters that targets have, and those that they can have.

    max_added (int): How many letters more than its string a result has at most.
    lengths (ndarray): The number of letters of each string. *Shape:* (strings,)
    targets (Targets): What they become.
    RETURNS (Room): The numbers of letters.
    """
    return Room(targets.lengths, lengths + max_added, f"`max_added` (now {max_added})")


@gradients()
def letter_loss_and_gradient(scores: Floats2d, batch: StringBatch) -> Tuple[float, Floats2d]:
    """Compute the negative logarithms of the probabilities of strings, each up to its end, added
    up.

    scores (Floats2d): The logits of what follows each letter. *Shape:* (letters, symbols)
    batch (StringBatch): The strings, and what they become.
    RETURNS (Tuple[float, Floats2d]): The loss and its gradient.
    """
    logits = xp2torch(scores, requires_grad=True)
    following = next_symbols(starting(*cast(Targets, batch.targets)))
    targets = torch.from_numpy(following).to(logits.device)
    loss = F.cross_entropy(logits, targets, reduction="sum")
    loss.backward()
    return float(loss.detach()), cast(Floats2d, torch2xp(cast(Tensor, logits.grad)))


def _build_network(
    build: Callable[..., StringEncoder],
    decoder: BuildDecoderT,
    width: int,
    feature_rows: int,
    mixed_precision: bool,
    symbols: int,
) -> TransducerT:
    encoder = wrap_module(
        "string_encoder",
        partial(build, symbols=symbols),
        converting(convert_strings, tensor_to_array),
        dims={"nO": width},
        attrs={"feature_rows": feature_rows},
        mixed_precision=mixed_precision,
    )
    return Model("string_decoder", _forward, init=_init, layers=[encoder, decoder(symbols, width)])


def _init(model: TransducerT, X: object = None, Y: object = None) -> None:
    for layer in model.layers:
        layer.initialize()


def _forward(
    model: TransducerT, batch: StringBatch, is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], StringBatch]]:
    encoder, decoder = model.layers
    rows, backprop_rows = encoder(batch, is_train)
    sequences = starting(*cast(Targets, batch.targets)).with_rows(rows, _count_rows(batch))
    scores, backprop_scores = decoder(sequences, is_train)
    return scores, lambda d_scores: backprop_rows(backprop_scores(d_scores))


def _count_rows(batch: StringBatch) -> List[int]:
    return (numpy.array(batch.lengths) + 2 * PADDING).tolist()
