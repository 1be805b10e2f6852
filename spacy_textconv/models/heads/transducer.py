"""Strings to the scores of the symbols of other strings, by transposed convolution and CTC."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, cast

import numpy
import torch
from numpy import ndarray
from spacy.strings import get_string_id
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ...generation.slots import CandidatesT, Slots, best_strings, likely_strings
from ...generation.symbols import SPECIAL, Lexicon, Symbols, lower
from ...layers import StringTransducer, ctc_loss, needed_slots
from ..compose import check_tok2vec, check_vectors, replace_network, rows_width
from ..features import hash_rows
from ..rows import Rows, flatten_rows
from ..shim import gradients
from ..types import EmbedT
from ..wrap import converting, get_shim, tensor_to_array, to_tensor, wrap_module
from .seq2seq import Targets

DEFAULT_DILATIONS = [1, 2, 4, 8, 1]
DEFAULT_SLOT_DILATIONS = [1, 1]


@dataclass(frozen=True)
class StringBatch:
    """Strings, and what is known about them.

    letters (ndarray): The numbers of the letters of all strings, end to end. *Shape:* (letters,)
    lowered (ndarray): Those of the same letters in lower case. *Shape:* (letters,)
    lengths (ndarray): The number of letters of each string. *Shape:* (strings,)
    features (Sequence[Sequence[str]]): The features of each string.
    docs (Sequence[Doc]): The documents that the strings stand in, for a model that reads them.
    tokens (Sequence[int]): The token of each string, among all tokens of these documents.
    vectors (Optional[Floats2d]): The vectors of these tokens. *Shape:* (strings, width)
    targets (Optional[Targets]): What the strings become, where it is known.
    """

    letters: ndarray
    lowered: ndarray
    lengths: ndarray
    features: Sequence[Sequence[str]]
    docs: Sequence[Doc] = ()
    tokens: Sequence[int] = ()
    vectors: Optional[Floats2d] = None
    targets: Optional[Targets] = None

    @classmethod
    def from_strings(
        cls, strings: Sequence[str], features: Sequence[Sequence[str]], symbols: Symbols
    ) -> "StringBatch":
        """Turn strings into numbers."""
        letters, lengths = symbols.encode(strings)
        lowered, _ = symbols.encode(["".join(map(lower, string)) for string in strings])
        return cls(letters, lowered, lengths, features)

    def in_context(self, docs: Sequence[Doc], tokens: Sequence[int]) -> "StringBatch":
        """Tell which tokens the strings belong to."""
        return replace(self, docs=docs, tokens=tokens)

    def with_vectors(self, vectors: Floats2d) -> "StringBatch":
        """Give each string the vector of its token."""
        return replace(self, vectors=vectors)

    def becoming(self, strings: Sequence[str], symbols: Symbols) -> "StringBatch":
        """Tell what the strings become."""
        return replace(self, targets=Targets(*symbols.encode(strings)))


class Room(NamedTuple):
    """Whether there is room for what strings become.

    needed (ndarray): The number of places that each target needs. *Shape:* (strings,)
    available (ndarray): The number of places that there are for it. *Shape:* (strings,)
    settings (str): The settings that more of them depend on, for messages.
    """

    needed: ndarray
    available: ndarray
    settings: str


TransducerT = Model[StringBatch, Floats2d]
BuildNetworkT = Callable[[int], TransducerT]


def build_ctc_transducer_v1(
    *,
    tok2vec: Optional[Model[List[Doc], List[Floats2d]]] = None,
    width: int = 128,
    kernel_size: int = 3,
    dilations: List[int] = DEFAULT_DILATIONS,
    stride: int = 3,
    slot_width: int = 64,
    slot_dilations: List[int] = DEFAULT_SLOT_DILATIONS,
    pad_before: int = 5,
    pad_after: int = 4,
    feature_rows: int = 2000,
    dropout: Optional[float] = None,
    mixed_precision: bool = False,
) -> Model[StringBatch, Floats2d]:
    """Build the model of a transducer, which writes all letters of all strings in one pass: an
    encoder of dilated convolutions over the letters of a string, a transposed convolution that
    makes `stride` slots of each letter, and more convolutions over these. In each slot there is a
    symbol or nothing (CTC: Graves et al. 2006, "Connectionist temporal classification", section 3;
    with more slots than letters: Libovický and Helcl 2018, "End-to-end non-autoregressive neural
    machine translation with connectionist temporal classification", section 3). A letter can also
    be copied, as it is or in lower case (See et al. 2017, "Get to the point", section 2.2).

    A result has at most `stride * (length + pad_before + pad_after)` letters, fewer by one for each
    that is the same as the letter before it.

    tok2vec (Optional[Model[List[Doc], List[Floats2d]]]): Token vectors, for strings that depend on
        the tokens around them; null if they don't.
    width (int): The width of the vectors of letters.
    kernel_size (int): The number of letters, or slots, that each convolution looks at. Has to be
        odd.
    dilations (List[int]): One number for each convolution of letters: the distance between the
        letters that it looks at.
    stride (int): The number of slots of each letter.
    slot_width (int): The width of the vectors of slots.
    slot_dilations (List[int]): One number for each convolution of slots.
    pad_before (int): The number of positions before the letters that have slots too.
    pad_after (int): The number of positions after them that do.
    feature_rows (int): The number of rows of the table of features, which are hashed.
    dropout (Optional[float]): The rate of dropout after each convolution, one mask for each string
        and column; null follows `[training] dropout`.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model[StringBatch, Floats2d]): The model: the logarithms of the probabilities of the
        symbols in all slots of all strings.
    RAISES (ValueError): If a setting is out of its range, or `tok2vec` makes no token vectors.
    """
    if tok2vec is not None:
        check_tok2vec(tok2vec)
    build = partial(
        StringTransducer,
        width=width,
        kernel_size=kernel_size,
        dilations=dilations,
        stride=stride,
        slot_width=slot_width,
        slot_dilations=slot_dilations,
        feature_rows=feature_rows,
        context_width=None if tok2vec is None else rows_width(tok2vec),
        pad_before=pad_before,
        pad_after=pad_after,
        dropout=dropout,
    )
    slots = Slots(stride, pad_before, pad_after)
    return build_transducer(
        "ctc_transducer",
        tok2vec,
        partial(_build_network, build, feature_rows, mixed_precision),
        {
            **slots._asdict(),
            "transduce": partial(transduce, slots),
            "loss": partial(slot_loss_and_gradient, slots),
            "room": partial(find_room, slots),
        },
    )


def build_transducer(
    name: str,
    tok2vec: Optional[Model[List[Doc], List[Floats2d]]],
    build_network: BuildNetworkT,
    attrs: Dict[str, Any],
) -> TransducerT:
    """Build the model of a transducer around a network that needs no documents.

    name (str): The name of the model.
    tok2vec (Optional[Model[List[Doc], List[Floats2d]]]): Token vectors, for strings that depend on
        the tokens around them.
    build_network (Callable[[int], Model[StringBatch, Floats2d]]): Builds the network, for a number
        of symbols.
    attrs (Dict[str, Any]): What is asked of the model: `transduce`, `loss` and `room`.
    RETURNS (Model[StringBatch, Floats2d]): The model.
    """
    network = build_network(SPECIAL)
    return Model(
        name,
        forward,
        init=init,
        layers=[network] if tok2vec is None else [tok2vec, network],
        dims={"nO": None},
        # Without one that is unset, which nodes can't be replaced beside.
        refs={"network": network} if tok2vec is None else {"network": network, "tok2vec": tok2vec},
        attrs={**attrs, "resize_output": partial(replace_network, build_network)},
    )


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[Floats2d] = None) -> None:
    *tok2vec, network = model.layers
    for layer in tok2vec:
        layer.initialize(X=X)
    network.initialize()


def forward(
    model: Model, batch: StringBatch, is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], List[Doc]]]:
    # Not by their references, which a copied model doesn't have.
    *tok2vec, network = model.layers
    if not tok2vec:
        scores, backprop_network = network(batch, is_train)
        return scores, lambda d_scores: backprop_network(d_scores) or []
    [embed] = tok2vec
    docs = [*batch.docs]
    Xs, backprop_tok2vec = embed(docs, is_train)
    check_vectors(embed, docs, Xs)
    tokens = model.ops.asarray1i(list(batch.tokens), dtype="int64")
    X = flatten_rows(model.ops, Xs, embed.get_dim("nO"))
    scores, backprop_network = network(batch.with_vectors(X[tokens]), is_train)

    def backprop(d_scores: Floats2d) -> List[Doc]:
        d_vectors = model.ops.xp.zeros_like(X)
        d_vectors[tokens] = backprop_network(d_scores)
        return backprop_tok2vec(Rows(d_vectors, [len(X) for X in Xs]))

    return scores, backprop


def token_vectors(model: TransducerT, docs: List[Doc]) -> Floats2d:
    """Read the vectors of the tokens around strings.

    model (Model[StringBatch, Floats2d]): A model with a tok2vec.
    docs (List[Doc]): The documents.
    RETURNS (Floats2d): The vectors of all tokens, end to end. *Shape:* (tokens, width)
    """
    tok2vec: EmbedT = model.get_ref("tok2vec")
    Xs = tok2vec.predict(docs)
    check_vectors(tok2vec, docs, Xs)
    return flatten_rows(tok2vec.ops, Xs, tok2vec.get_dim("nO"))


def _build_network(
    build: Callable[..., StringTransducer], feature_rows: int, mixed_precision: bool, symbols: int
) -> Model[StringBatch, Floats2d]:
    return wrap_module(
        "string_transducer",
        partial(build, symbols=symbols),
        converting(_convert_copied_strings, tensor_to_array),
        dims={"nO": symbols},
        attrs={"feature_rows": feature_rows},
        mixed_precision=mixed_precision,
    )


def _convert_copied_strings(
    model: Model, batch: StringBatch
) -> Tuple[List[object], Callable[[List[Optional[Tensor]]], Optional[Floats2d]]]:
    (letters, *others), convert_d_inputs = convert_strings(model, batch)
    lowered = torch.from_numpy(batch.lowered).to(get_shim(model).device)
    return [letters, lowered, *others], convert_d_inputs


def convert_strings(
    model: Model, batch: StringBatch
) -> Tuple[List[object], Callable[[List[Optional[Tensor]]], Optional[Floats2d]]]:
    """Convert strings to the arguments of a `StringEncoder`."""
    device = get_shim(model).device
    parts = [get_string_id(part) for features in batch.features for part in features]
    hashes = numpy.array(parts, dtype="uint64")[:, None]
    arrays = (
        batch.letters,
        hash_rows(hashes, [model.attrs["feature_rows"]])[:, 0],
        numpy.array([len(features) for features in batch.features], dtype="int64"),
    )
    letters, features, counts = (torch.from_numpy(x).to(device) for x in arrays)
    inputs = [letters, batch.lengths.tolist(), features, counts]
    if batch.vectors is None:
        return inputs, lambda d_inputs: None
    inputs.append(to_tensor(model, batch.vectors))
    return inputs, lambda d_inputs: cast(Floats2d, torch2xp(cast(Tensor, d_inputs[-1])))


def transduce(
    slots: Slots,
    network: TransducerT,
    batch: StringBatch,
    strings: Sequence[str],
    symbols: Symbols,
    n_best: int,
    lexicon: Optional[Lexicon] = None,
) -> List[CandidatesT]:
    """Find the best strings.

    slots (Slots): The slots that strings have.
    network (Model[StringBatch, Floats2d]): The network, without what reads documents.
    batch (StringBatch): The strings to begin with.
    strings (Sequence[str]): The same strings as they are.
    symbols (Symbols): The symbols.
    n_best (int): The number of results.
    lexicon (Optional[Lexicon]): The strings to choose from; None for any strings.
    RETURNS (List[List[Tuple[str, float]]]): For each string up to `n_best` strings, with their
        probabilities.
    """
    inputs = (network.ops.to_numpy(network.predict(batch)), strings, symbols, slots)
    if n_best == 1:
        return best_strings(*inputs)
    return likely_strings(*inputs, n_best, lexicon)


def find_room(slots: Slots, lengths: ndarray, targets: Targets) -> Room:
    """Count the slots that targets need, and those that there are.

    slots (Slots): The slots that strings have.
    lengths (ndarray): The number of letters of each string. *Shape:* (strings,)
    targets (Targets): What they become.
    RETURNS (Room): The numbers of slots.
    """
    needed = needed_slots(*map(torch.from_numpy, targets)).numpy()
    settings = f"`stride` (now {slots.stride}), `pad_before` or `pad_after`"
    return Room(needed, slots.number(lengths), settings)


@gradients()
def slot_loss_and_gradient(
    slots: Slots, scores: Floats2d, batch: StringBatch
) -> Tuple[float, Floats2d]:
    """Compute the negative logarithms of the probabilities of strings, added up. Strings that need
    more slots than there are count nothing.

    slots (Slots): The slots that strings have.
    scores (Floats2d): The logarithms of the probabilities of symbols. *Shape:* (slots, symbols)
    batch (StringBatch): The strings, and what they become.
    RETURNS (Tuple[float, Floats2d]): The loss and its gradient.
    """
    log_probs = xp2torch(scores, requires_grad=True)
    arrays = (slots.number(batch.lengths), *cast(Targets, batch.targets))
    losses, _ = ctc_loss(log_probs, *(torch.from_numpy(x).to(log_probs.device) for x in arrays))
    loss = losses.sum()
    loss.backward()
    return float(loss.detach()), cast(Floats2d, torch2xp(cast(Tensor, log_probs.grad)))
