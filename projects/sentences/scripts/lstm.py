"""What one would write with `torch.nn.LSTM`: an autoencoder of as many parameters as ours, with the
same pieces, batches and latent space, which is trained for as long (Bowman et al. 2016, "Generating
sentences from a continuous space")."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import shuffle
from time import process_time
from typing import Any

import numpy
import spacy
import srsly
import torch
import torch.nn.functional as F
import typer
from numpy import ndarray
from safetensors.torch import load_file, save_file
from spacy.tokens import DocBin
from spacy.util import fix_random_seed, minibatch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from wasabi import msg

from spacy_textconv.generation.pieces import Pieces
from spacy_textconv.generation.search import greedy
from spacy_textconv.generation.symbols import END, START, UNKNOWN
from spacy_textconv.layers import GaussianLatent, free_bits, kl_divergence

# What F.cross_entropy leaves out
PADDING = -100
BATCH = 128
MAX_HIDDEN = 4096


@dataclass(frozen=True)
class Sizes:
    """The sizes of the network. Without a latent space, `latent` is 0, and the vector has `vector`
    columns."""

    symbols: int
    width: int
    hidden: int
    vector: int
    latent: int
    max_length: int


class Network(nn.Module):
    """One LSTM reads a text, and its last state is the vector. Another one writes the text, with
    the vector as its first state and beside each piece that it reads."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        vector = sizes.latent or sizes.vector
        self.vectors = nn.Embedding(sizes.symbols, sizes.width)
        self.encoder = nn.LSTM(sizes.width, sizes.hidden, batch_first=True)
        self.to_vector: nn.Module = nn.Linear(sizes.hidden, vector)
        if sizes.latent:
            self.to_vector = GaussianLatent(in_width=sizes.hidden, width=vector)
        self.to_state = nn.Linear(vector, sizes.hidden)
        self.decoder = nn.LSTM(sizes.width + vector, sizes.hidden, batch_first=True)
        self.score = nn.Linear(sizes.hidden, sizes.symbols)

    def encode(self, texts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Points, and the parameters of their distributions: *Shape:* (texts, vector), three times;
        the logarithms of the variances of a plain autoencoder have no columns."""
        # Of an empty text, there is its end.
        texts = [torch.cat([text, torch.tensor([END])]) for text in texts]
        x = self.vectors(pad_sequence(texts, batch_first=True))
        lengths = torch.tensor([*map(len, texts)])
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (states, _) = self.encoder(packed)
        found = self.to_vector(states[-1])
        return found if isinstance(found, tuple) else (found, found, found[:, :0])

    def start(self, points: Tensor) -> tuple[Tensor, Tensor]:
        state = self.to_state(points).tanh()[None]
        return state, torch.zeros_like(state)

    def step(
        self, pieces: Tensor, points: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits of what follows pieces. *Shape:* (texts, pieces), (texts, vector) to (texts,
        pieces, symbols)"""
        beside = points[:, None].expand(-1, pieces.shape[1], -1)
        y, state = self.decoder(torch.cat([self.vectors(pieces), beside], dim=2), state)
        return self.score(y), state

    def forward(self, points: Tensor, read: Tensor) -> Tensor:
        return self.step(read.clamp(min=0), points, self.start(points))[0]


class Writing:
    """Texts that the network writes, piece by piece."""

    def __init__(self, network: Network, points: Tensor):
        self.network, self.points = network, points
        self.state = network.start(points)

    def step(self, symbols: Tensor) -> Tensor:
        logits, self.state = self.network.step(symbols[:, None], self.points, self.state)
        return logits[:, 0].log_softmax(dim=1)

    def select(self, rows: Tensor) -> None:
        """Go on with some of the texts, in this order."""
        self.points = self.points[rows]
        self.state = (self.state[0][:, rows], self.state[1][:, rows])


class Autoencoder:
    """The network, with the pieces that it reads and writes."""

    def __init__(self, sizes: Sizes, pieces: Pieces):
        self.sizes, self.pieces = sizes, pieces
        self.network = Network(sizes)

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        srsly.write_json(path / "sizes.json", asdict(self.sizes))
        (path / "pieces.model").write_bytes(self.pieces.model)
        save_file(self.network.state_dict(), path / "model.safetensors")

    @classmethod
    def load(cls, path: Path) -> "Autoencoder":
        pieces = Pieces((path / "pieces.model").read_bytes())
        autoencoder = cls(Sizes(**srsly.read_json(path / "sizes.json")), pieces)
        autoencoder.network.load_state_dict(load_file(path / "model.safetensors"))
        autoencoder.network.eval()
        return autoencoder

    def split(self, texts: list[str]) -> list[Tensor]:
        """The numbers of pieces, of long texts as many as can be written with an end."""
        numbers, lengths = self.pieces.encode(texts)
        rows = numpy.split(numbers, lengths.cumsum()[:-1])
        return [torch.from_numpy(row[: self.sizes.max_length - 1]) for row in rows]

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> tuple[ndarray, ndarray | None]:
        """The points of texts, and how far their distributions are from the prior one."""
        found = [self.network.encode(self.split(batch)) for batch in minibatch(texts, BATCH)]
        _, means, log_variances = map(torch.cat, zip(*found, strict=True))
        if not self.sizes.latent:
            return means.numpy(), None
        return means.numpy(), kl_divergence(means, log_variances).sum(dim=1).numpy()

    @torch.inference_mode()
    def decode(self, points: ndarray) -> list[str]:
        """The texts of points."""
        texts = []
        for batch in torch.from_numpy(points).split(BATCH):
            limits = torch.full((len(batch),), self.sizes.max_length)
            writing = Writing(self.network, batch)
            found = greedy(writing, start=START, end=END, max_lengths=limits)
            texts += [self.pieces.decode(one.symbols) for one in found]
        return texts

    @torch.inference_mode()
    def log_likelihoods(self, texts: list[str], samples: int, seed: int = 0) -> ndarray:
        """How probable texts are, in nats, by importance sampling (Burda et al. 2016)."""
        generator = torch.Generator().manual_seed(seed)
        found = []
        for batch in minibatch(texts, BATCH):
            rows = self.split(batch)
            _, means, log_variances = self.network.encode(rows)
            drawn = []
            for _ in range(samples):
                noise = torch.randn(means.shape, generator=generator)
                points = means + noise * (log_variances / 2).exp()
                prior = -points.square().sum(dim=1) / 2
                posterior = -(noise.square() + log_variances).sum(dim=1) / 2
                lost = cross_entropy(self.network(points, starting(rows)), rows).sum(dim=1)
                drawn.append(prior - posterior - lost)
            found.append(torch.stack(drawn).logsumexp(dim=0) - numpy.log(samples))
        return torch.cat(found).numpy()


def starting(rows: list[Tensor]) -> Tensor:
    """What is read before each piece and the end. *Shape:* (texts, pieces + 1)"""
    texts = [torch.cat([torch.tensor([START]), row]) for row in rows]
    return pad_sequence(texts, batch_first=True, padding_value=PADDING)


def cross_entropy(logits: Tensor, rows: list[Tensor]) -> Tensor:
    """What each piece, and the end, costs. *Shape:* (texts, pieces + 1, symbols) to (texts, pieces
    + 1)"""
    texts = [torch.cat([row, torch.tensor([END])]) for row in rows]
    targets = pad_sequence(texts, batch_first=True, padding_value=PADDING)
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


def create_batches(texts: list[str], size: int) -> Iterator[list[str]]:
    """Texts in a new order for each epoch, without an end."""
    while True:
        shuffle(texts)
        yield from minibatch(texts, size)


def learn(
    autoencoder: Autoencoder,
    batches: Iterator[list[str]],
    seconds: float,
    rate: float,
    component: dict[str, Any],
    annealing: float = 0.0,
) -> int:
    """Learn for some seconds of the processor, with the loss of the settings of a component, a rate
    that falls to zero, and a divergence whose weight rises in a share of the time. Returns the
    steps."""
    network = autoencoder.network.train()
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.98))
    begin = process_time()
    for steps in count(1):
        share = (process_time() - begin) / seconds
        if share >= 1:
            break
        rows = autoencoder.split(next(batches))
        points, means, log_variances = network.encode(rows)
        read = starting(rows)
        hidden = (torch.rand(read.shape) < component["word_dropout"]) & (read > START)
        symbols = sum(map(len, rows)) + len(rows)
        lost = cross_entropy(network(points, read.masked_fill(hidden, UNKNOWN)), rows)
        loss = lost.sum() / symbols
        if log_variances.shape[1]:
            weight = component["kl_weight"] * (share / annealing if share < annealing else 1.0)
            divergence = free_bits(kl_divergence(means, log_variances), component["free_bits"])
            loss = loss + weight * divergence * len(rows) / symbols
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(steps / 200, 1 - share)
        optimizer.step()
        if steps % 100 == 0:
            msg.text(f"{share:4.0%}  step {steps:6,}  loss {loss:.3f}")
    network.eval()
    return steps - 1


def count_parameters(sizes: Sizes) -> int:
    with torch.device("meta"):
        return sum(part.numel() for part in Network(sizes).parameters())


def choose_sizes(parameters: int, **sizes: int) -> Sizes:
    """The sizes of a network with about so many parameters."""
    candidates = [Sizes(hidden=hidden, **sizes) for hidden in range(1, MAX_HIDDEN + 1)]
    # The more units, the more parameters.
    return candidates[bisect_left(candidates, parameters, hi=MAX_HIDDEN - 1, key=count_parameters)]


def main(
    ours: Path,
    train: Path,
    output_path: Path,
    width: int = 256,
    rate: float = 0.002,
    seed: int = 0,
) -> None:
    """Learn from the texts of TRAIN for as long as OURS, a folder of a training, and with as many
    parameters, and write the autoencoder to OUTPUT_PATH."""
    fix_random_seed(seed)
    nlp = spacy.load(ours / "model-best")
    vae, training = nlp.get_pipe("vae"), srsly.read_json(ours / "training.json")
    texts = [doc.text for doc in DocBin().from_disk(train).get_docs(nlp.vocab)]
    latent = vae.model.attrs["latent"]
    sizes = choose_sizes(
        training["parameters"],
        symbols=len(vae.alphabet),
        width=width,
        vector=vae.width,
        latent=latent,
        max_length=vae.max_length,
    )
    autoencoder = Autoencoder(sizes, vae.alphabet)
    parameters = count_parameters(sizes)
    msg.info(f"{parameters:,} parameters, {sizes.hidden} units")
    batches = create_batches(texts, nlp.config["training"]["batcher"]["size"])
    component = nlp.config["components"]["vae"]
    # They take other numbers of steps, but the same time.
    annealing = component["kl_annealing"] / training["steps"]
    steps = learn(autoencoder, batches, training["seconds"], rate, component, annealing)
    autoencoder.save(output_path)
    results = {"seconds": training["seconds"], "steps": steps, "parameters": parameters}
    srsly.write_json(output_path / "training.json", results)
    msg.good(f"{output_path}: {steps:,} steps")


if __name__ == "__main__":
    typer.run(main)
