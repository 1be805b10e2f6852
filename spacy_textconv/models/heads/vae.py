"""Documents to points of a latent space, and points to texts."""

from dataclasses import replace
from functools import partial
from math import log
from typing import Any, Callable, List, NamedTuple, Optional, Tuple, cast

import torch
import torch.nn.functional as F
from numpy import ndarray
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import to_numpy, torch2xp, xp2torch
from torch import Tensor

from ...checks import check_natural
from ...generation.sampling import Sampler, sample
from ...generation.search import Hypothesis, search
from ...generation.symbols import END, SPECIAL, START
from ...layers import GaussianLatent, free_bits, kl_divergence
from ..attend import check_pooling
from ..compose import check_tok2vec
from ..decode import BuildDecoderT, SequenceBatch, begin, check_decoder
from ..documents import document_vectors
from ..shim import gradients
from ..types import AttendT, EmbedT
from ..wrap import array_to_tensor, converting, get_shim, to_tensor, wrap_module
from .seq2seq import next_symbols


class TextBatch(NamedTuple):
    """Documents, and what is to be written for each of them.

    docs (List[Doc]): The documents.
    sequences (SequenceBatch): One for each document.
    conditions (Floats2d): What the texts are known to be. *Shape:* (documents, conditions)
    """

    docs: List[Doc]
    sequences: SequenceBatch
    conditions: Floats2d


class Reconstruction(NamedTuple):
    """What is found out about documents, or the gradients of that.

    logits (Floats2d): Those of what follows each symbol of all sequences. *Shape:* (symbols, number
        of symbols)
    means (Floats2d): The point of each document. *Shape:* (documents, latent)
    log_variances (Floats2d): The logarithms of the variances around it; those of a plain
        autoencoder have no columns. *Shape:* (documents, latent)
    auxiliary (Floats2d): Logits like the first ones, which a hybrid decoder gives out in training
        for the sake of its deconvolutions; otherwise, there are no rows. *Shape:* (symbols, number
        of symbols)
    """

    logits: Floats2d
    means: Floats2d
    log_variances: Floats2d
    auxiliary: Floats2d


TextVAET = Model[TextBatch, Reconstruction]
LatentT = Model[Floats2d, Tuple[Floats2d, Floats2d, Floats2d]]


def build_text_vae_v1(
    *, tok2vec: EmbedT, pooling: AttendT, decoder: BuildDecoderT, latent: int = 0
) -> Model[TextBatch, Reconstruction]:
    """Build a model that squeezes a document into a point and writes its text again: a pooling of
    its token vectors, a latent space, and a decoder (of deconvolutions: Zhang et al. 2017,
    "Deconvolutional paragraph representation learning"; a variational autoencoder of texts: Bowman
    et al. 2016, "Generating sentences from a continuous space").

    tok2vec (Model[List[Doc], List[Floats2d]]): The token vectors.
    pooling (Model[List[Floats2d], Floats2d]): What makes one vector of those of a document. Of the
        poolings here, `spacy-textconv.FlattenAttend.v1` knows the order of tokens best.
    decoder (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): What writes a text for
        a vector, such as `spacy-textconv.DeconvDecoder.v1`.
    latent (int): The number of columns of a Gaussian latent space. With 0 there is none, and the
        vectors of the pooling are the points of a plain autoencoder.
    RETURNS (Model[TextBatch, Reconstruction]): The model.
    RAISES (ValueError): If a setting is out of its range, or the layers don't fit each other.
    """
    check_decoder(decoder)
    check_tok2vec(tok2vec)
    check_natural("latent", latent)
    check_pooling("pooling", pooling, tok2vec)
    vectors = document_vectors(tok2vec, [pooling])
    width = vectors.get_dim("nO")
    between = [_build_latent(width, latent)] if latent else []
    network = decoder(SPECIAL, latent or width)
    return Model(
        "text_vae",
        forward,
        init=init,
        layers=[vectors, *between, network],
        dims={"nO": None, "nI": None},
        refs={"tok2vec": tok2vec, "decoder": network},
        attrs={
            "latent": latent,
            "width": latent or width,
            "max_length": network.attrs["max_length"],
            "resize_output": partial(resize_output, decoder),
            "encode": encode,
            "write": write,
            "loss": loss_and_gradient,
            "log_likelihoods": log_likelihoods,
            # How many numbers tell what a text is known to be, beside its point.
            "conditions": 0,
        },
    )


def _build_latent(in_width: int, width: int) -> LatentT:
    return wrap_module(
        "gaussian_latent",
        partial(GaussianLatent, in_width=in_width, width=width),
        converting(array_to_tensor, _tensors_to_arrays),
        dims={"nI": in_width, "nO": width},
    )


def _tensors_to_arrays(
    model: Model, X: Any, Ys: Tuple[Tensor, ...]
) -> Tuple[Tuple[Floats2d, ...], Callable[[Tuple[Floats2d, ...]], List[Tensor]]]:
    arrays = tuple(cast(Floats2d, torch2xp(Y)) for Y in Ys)
    return arrays, lambda dYs: [to_tensor(model, dY) for dY in dYs]


def resize_output(decoder: BuildDecoderT, model: TextVAET, nO: int) -> None:
    """Set the number of symbols, with a new decoder.

    decoder (Callable[[int, Optional[int]], Model[SequenceBatch, Floats2d]]): Builds it.
    model (Model[TextBatch, Reconstruction]): The model.
    nO (int): The number of symbols.
    """
    width = model.attrs["width"] + model.attrs["conditions"]
    model.replace_node(model.layers[-1], decoder(nO, width))
    model.set_dim("nO", nO, force=True)


def init(model: TextVAET, X: Optional[List[Doc]] = None, Y: Any = None) -> None:
    vectors, *others = model.layers
    vectors.initialize(X=X)
    for layer in others:
        layer.initialize()


def forward(
    model: TextVAET, batch: TextBatch, is_train: bool
) -> Tuple[Reconstruction, Callable[[Reconstruction], List[Doc]]]:
    # Not by their references, which a copied model doesn't have.
    vectors, *between, decoder = model.layers
    xp = model.ops.xp
    X, backprop_vectors = vectors(batch.docs, is_train)
    points, means, log_variances = X, X, X[:, :0]
    for latent in between:
        (points, means, log_variances), backprop_latent = latent(X, is_train)
    memory = xp.hstack([points, batch.conditions])
    sequences = replace(_from_vectors(batch.sequences, memory), auxiliary=is_train)
    logits, backprop_decoder = decoder(sequences, is_train)
    symbols = len(sequences.symbols)

    def backprop(d: Reconstruction) -> List[Doc]:
        d_points = backprop_decoder(xp.vstack([d.logits, d.auxiliary]))[:, : points.shape[1]]
        if not between:
            return backprop_vectors(d_points + d.means)
        return backprop_vectors(backprop_latent((d_points, d.means, d.log_variances)))

    return Reconstruction(logits[:symbols], means, log_variances, logits[symbols:]), backprop


def _from_vectors(sequences: SequenceBatch, vectors: Floats2d) -> SequenceBatch:
    """Let each sequence look at one row, its vector."""
    return sequences.with_rows(vectors, [1] * len(vectors))


def encode(model: TextVAET, docs: List[Doc]) -> Tuple[Floats2d, Floats2d]:
    """Find the points of documents.

    model (Model[TextBatch, Reconstruction]): The model.
    docs (List[Doc]): The documents.
    RETURNS (Tuple[Floats2d, Floats2d]): `means` and `log_variances`, as in `Reconstruction`.
    """
    vectors, *between, _ = model.layers
    X = vectors.predict(docs)
    for latent in between:
        _, means, log_variances = latent.predict(X)
        return means, log_variances
    return X, X[:, :0]


def write(
    model: TextVAET,
    vectors: Floats2d,
    *,
    max_length: int,
    beam: int = 1,
    length_penalty: float = 1.0,
    sampler: Optional[Sampler] = None,
) -> List[Hypothesis]:
    """Search for the texts of points, or draw them.

    model (Model[TextBatch, Reconstruction]): The model.
    vectors (Floats2d): The points, with their conditions. *Shape:* (texts, latent + conditions)
    max_length (int): How many symbols each text has at most.
    beam (int), length_penalty (float): As for `beam_search`.
    sampler (Optional[Sampler]): Draws the symbols, instead of a search.
    RETURNS (List[Hypothesis]): One for each point.
    """
    decoder = model.layers[-1]
    shim = get_shim(decoder)
    limits = torch.full((len(vectors),), max_length, device=shim.device)
    with shim.predicting():
        writer = begin(decoder, len(vectors), vectors, [1] * len(vectors))
        if sampler is not None:
            return sample(writer, sampler, start=START, end=END, max_lengths=limits)
        found = search(
            writer,
            start=START,
            end=END,
            max_lengths=limits,
            beam=beam,
            length_penalty=length_penalty,
        )
        return [best for [best] in found]


@gradients()
def loss_and_gradient(
    outputs: Reconstruction,
    sequences: SequenceBatch,
    kl_weight: float,
    bits: float,
    auxiliary_weight: float,
) -> Tuple[float, Reconstruction]:
    """Compute the negative lower bound of the log likelihood, for each symbol of the texts with
    their ends (Kingma and Welling 2014, "Auto-encoding variational Bayes", section 2.2).

    outputs (Reconstruction): What the model gives out.
    sequences (SequenceBatch): The texts.
    kl_weight (float): How much the divergence of the points counts.
    bits (float): How many bits of each column of the latent space are free.
    auxiliary_weight (float): How much it counts what the deconvolutions of a hybrid decoder tell
        of the texts (Semeniuta et al. 2017, section 3.4).
    RETURNS (Tuple[float, Reconstruction]): The loss in nats, and its gradients.
    """
    inputs = [xp2torch(Y, requires_grad=True) for Y in outputs]
    logits, means, log_variances, auxiliary = inputs
    targets = torch.from_numpy(next_symbols(sequences)).to(logits.device)
    loss = F.cross_entropy(logits, targets)
    if log_variances.shape[1]:
        divergence = free_bits(kl_divergence(means, log_variances), bits)
        loss = loss + kl_weight * divergence * len(means) / len(targets)
    if len(auxiliary):
        loss = loss + auxiliary_weight * F.cross_entropy(auxiliary, targets)
    grads = torch.autograd.grad(loss, inputs, materialize_grads=True)
    return float(loss.detach()), Reconstruction(*(cast(Floats2d, torch2xp(grad)) for grad in grads))


def log_likelihoods(model: TextVAET, batch: TextBatch, samples: int, seed: int) -> ndarray:
    """Estimate how probable texts are, with points that are drawn around those of the documents
    (importance sampling: Burda et al. 2016, "Importance weighted autoencoders", section 3).

    model (Model[TextBatch, Reconstruction]): The model, with a latent space.
    batch (TextBatch): The texts.
    samples (int): How many points are drawn for each text.
    seed (int): Equal seeds draw the same.
    RETURNS (ndarray): The logarithms of the probabilities, in nats. *Shape:* (documents,)
    """
    decoder = model.layers[-1]
    ops = model.ops
    targets = torch.from_numpy(next_symbols(batch.sequences))
    texts = torch.arange(len(batch.docs)).repeat_interleave(torch.tensor(batch.sequences.lengths))
    means, log_variances = (_on_cpu(Y) for Y in encode(model, batch.docs))
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(samples):
        noise = torch.randn(means.shape, generator=generator)
        points = means + noise * (log_variances / 2).exp()
        memory = ops.xp.hstack([ops.asarray(cast(Any, points.numpy())), batch.conditions])
        logits = _on_cpu(decoder.predict(_from_vectors(batch.sequences, memory)))
        found = -F.cross_entropy(logits, targets, reduction="none")
        # What both densities have in common cancels out.
        prior = -points.square().sum(dim=1) / 2
        posterior = -(noise.square() + log_variances).sum(dim=1) / 2
        drawn.append((prior - posterior).index_add(0, texts, found))
    return (torch.stack(drawn).logsumexp(dim=0) - log(samples)).numpy()


def _on_cpu(array: Floats2d) -> Tensor:
    return torch.from_numpy(to_numpy(array))
