"""What one would write with `torch.nn.Transformer`: a translator of as many parameters as ours,
which is trained on the same batches for as long."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from time import process_time

import numpy
import spacy
import srsly
import torch
import torch.nn.functional as F
import typer
from safetensors.torch import load_file, save_file
from spacy.training import Example
from spacy.training.loop import create_train_batches
from spacy.util import fix_random_seed, load_config, minibatch, registry
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from wasabi import msg

from spacy_textconv.generation.pieces import Pieces
from spacy_textconv.generation.search import beam_search, greedy
from spacy_textconv.generation.symbols import END, START
from spacy_textconv.layers.attention import sinusoids

# What F.cross_entropy leaves out
PADDING = -100
# Sentences that are translated at once, times the beam
BATCH = 128

# Sources and targets
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Options:
    """How the network learns: for how many seconds, at which rate, after how many steps of warm-up,
    and how much of the average of the weights each step keeps."""

    seconds: float
    rate: float
    warmup: int
    average: float
    label_smoothing: float


@dataclass(frozen=True)
class Sizes:
    """The sizes of the network, as `torch.nn.Transformer` has them."""

    sources: int
    targets: int
    width: int
    heads: int
    layers: int
    feedforward: int
    dropout: float


class Transformer(nn.Module):
    """Pieces to pieces (Vaswani et al. 2017, "Attention is all you need"), normalized first. The
    pieces that are read by the decoder and those that are written share their vectors."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.scale = sqrt(sizes.width)
        self.sources = nn.Embedding(sizes.sources, sizes.width)
        self.targets = nn.Embedding(sizes.targets, sizes.width)
        for embedding in (self.sources, self.targets):
            nn.init.normal_(embedding.weight, std=1 / self.scale)
        self.bias = nn.Parameter(torch.zeros(sizes.targets))
        self.dropout = nn.Dropout(sizes.dropout)
        settings = {
            "d_model": sizes.width,
            "nhead": sizes.heads,
            "dim_feedforward": sizes.feedforward,
            "dropout": sizes.dropout,
            "norm_first": True,
            "batch_first": True,
        }
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**settings),
            sizes.layers,
            nn.LayerNorm(sizes.width),
            enable_nested_tensor=False,
        )
        self.transformer = nn.Transformer(
            **settings, custom_encoder=encoder, num_decoder_layers=sizes.layers
        )

    def embed(self, embedding: nn.Embedding, pieces: Tensor, start: int = 0) -> Tensor:
        """*Shape:* (sentences, pieces) to (sentences, pieces, width)"""
        positions = torch.arange(start, start + pieces.shape[1])
        x = embedding(pieces.clamp(min=0)) * self.scale
        return self.dropout(x + sinusoids(positions, x.shape[2]))

    def encode(self, sources: Tensor) -> tuple[Tensor, Tensor]:
        """*Shape:* (sentences, pieces) to (sentences, pieces, width), (sentences, pieces)"""
        hidden = sources == PADDING
        x = self.embed(self.sources, sources)
        return self.transformer.encoder(x, src_key_padding_mask=hidden), hidden

    def score(self, x: Tensor) -> Tensor:
        return F.linear(x, self.targets.weight, self.bias)

    def forward(self, sources: Tensor, targets: Tensor) -> Tensor:
        """The logits of what follows each piece of the targets. *Shape:* (sentences, pieces of the
        source), (sentences, pieces of the target) to (sentences, pieces of the target, targets)"""
        memory, hidden = self.encode(sources)
        mask = nn.Transformer.generate_square_subsequent_mask(targets.shape[1], dtype=torch.bool)
        x = self.transformer.decoder(
            self.embed(self.targets, targets),
            memory,
            tgt_mask=mask,
            tgt_is_causal=True,
            memory_key_padding_mask=hidden,
        )
        return self.score(x)


class Decoding:
    """Sentences that the decoder writes, piece by piece. What each layer has seen is kept, so that
    only the last piece goes through the layers, as in the package causal-transformer-decoder. Keys
    and values are made of it by `nn.MultiheadAttention`, in every step."""

    def __init__(self, network: Transformer, memory: Tensor, hidden: Tensor):
        self.network = network
        self.memory, self.hidden = memory, hidden
        self.position = 0
        # Of each layer: (sentences, pieces, width)
        self.seen = [memory[:, :0]] * len(network.transformer.decoder.layers)

    def step(self, pieces: Tensor) -> Tensor:
        """*Shape:* (sentences,) to (sentences, targets)"""
        network = self.network
        x = network.embed(network.targets, pieces[:, None], start=self.position)
        self.position += 1
        for number, layer in enumerate(network.transformer.decoder.layers):
            x = self.attend_to_target(number, layer, x)
            x = self.attend_to_source(number, layer, x)
            x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
        return network.score(network.transformer.decoder.norm(x[:, 0])).log_softmax(dim=1)

    def attend_to_target(self, number: int, layer: nn.Module, x: Tensor) -> Tensor:
        query = layer.norm1(x)
        self.seen[number] = seen = torch.cat([self.seen[number], query], dim=1)
        return x + layer.self_attn(query, seen, seen, need_weights=False)[0]

    def attend_to_source(self, number: int, layer: nn.Module, x: Tensor) -> Tensor:
        arguments = {"key_padding_mask": self.hidden, "need_weights": False}
        return x + layer.multihead_attn(layer.norm2(x), self.memory, self.memory, **arguments)[0]

    def select(self, rows: Tensor) -> None:
        """Go on with some of the sentences, in this order."""
        self.memory, self.hidden = self.memory[rows], self.hidden[rows]
        self.seen = [seen[rows] for seen in self.seen]


class Translator:
    """The network, with the pieces that it reads and writes."""

    def __init__(self, sizes: Sizes, sources: Pieces, targets: Pieces):
        self.sizes, self.sources, self.targets = sizes, sources, targets
        self.network = Transformer(sizes)
        self.decoding = Decoding

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        srsly.write_json(path / "sizes.json", asdict(self.sizes))
        (path / "sources.model").write_bytes(self.sources.model)
        (path / "targets.model").write_bytes(self.targets.model)
        save_file(self.network.state_dict(), path / "model.safetensors")

    @classmethod
    def load(cls, path: Path) -> "Translator":
        pieces = [Pieces((path / f"{name}.model").read_bytes()) for name in ("sources", "targets")]
        translator = cls(Sizes(**srsly.read_json(path / "sizes.json")), *pieces)
        translator.network.load_state_dict(load_file(path / "model.safetensors"))
        translator.network.eval()
        return translator

    @torch.inference_mode()
    def translate(self, texts: list[str], beam: int, length_penalty: float) -> list[str]:
        """Translate texts, those of similar length together."""
        written = [""] * len(texts)
        rows = encode(self.sources, texts)
        order = sorted(range(len(texts)), key=lambda i: len(rows[i]))
        for batch in minibatch(order, max(1, BATCH // beam)):
            memory = self.network.encode(pad([rows[i] for i in batch]))
            decoding = self.decoding(self.network, *memory)
            arguments = {
                "start": START,
                "end": END,
                "max_lengths": torch.tensor([2 * len(rows[i]) + 10 for i in batch]),
            }
            if beam == 1:
                best = greedy(decoding, **arguments)
            else:
                penalty = {"n_best": 1, "length_penalty": length_penalty}
                best = [one for [one] in beam_search(decoding, **arguments, beam=beam, **penalty)]
            for i, hypothesis in zip(batch, best, strict=True):
                written[i] = self.targets.decode(hypothesis.symbols)
        return written


def read_pair(example: Example) -> tuple[str, str]:
    return example.text, example.reference._.translation


def encode(pieces: Pieces, texts: list[str]) -> list[Tensor]:
    numbers, lengths = pieces.encode(texts)
    return [torch.from_numpy(part) for part in numpy.split(numbers, lengths.cumsum()[:-1])]


def pad(rows: list[Tensor]) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=PADDING)


def learn(translator: Translator, batches: Iterable[Pairs], options: Options) -> int:
    """Learn from batches for some seconds of the processor, as `spacy train` does: with a warm-up
    and a linear decay, and a moving average of the weights, which is kept. Returns the steps."""
    network = translator.network.train()
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.98))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.average))
    begin = process_time()
    steps = 0
    for batch in batches:
        share = (process_time() - begin) / options.seconds
        if share >= 1:
            break
        steps += 1
        sources, targets = zip(*batch, strict=True)
        written = encode(translator.targets, targets)
        start, end = torch.tensor([START]), torch.tensor([END])
        logits = network(
            pad(encode(translator.sources, sources)),
            pad([torch.cat([start, row]) for row in written]),
        )
        following = pad([torch.cat([row, end]) for row in written])
        loss = F.cross_entropy(
            logits.flatten(0, 1), following.flatten(), label_smoothing=options.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(steps / options.warmup, 1 - share)
        optimizer.step()
        average.update_parameters(network)
        if steps % 100 == 0:
            msg.text(f"{share:4.0%}  step {steps:6,}  loss {loss:.3f}")
    network.load_state_dict(average.module.state_dict())
    network.eval()
    return steps


def main(
    train: Path,
    output_path: Path,
    config: Path,
    seconds: float,
    lang: str = "en",
    width: int = 256,
    heads: int = 4,
    layers: int = 3,
    feedforward: int = 592,
    rate: float = 0.001,
    warmup: int = 400,
    average: float = 0.999,
    seed: int = 0,
) -> None:
    """Learn from the pairs of TRAIN for SECONDS of the processor, and write the translator to
    OUTPUT_PATH. Number of pieces, batches, dropout and label smoothing are those of CONFIG."""
    fix_random_seed(seed)
    settings = load_config(config)
    component, training = settings["components"]["translator"], settings["training"]
    nlp = spacy.blank(lang)
    create_corpus = registry.readers.get("spacy-textconv.PairsCorpus.v1")
    corpus = create_corpus(path=train, target="_.translation", level="doc")
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    batches = create_train_batches(nlp, corpus, batcher, max_epochs=0)
    sides = zip(*map(read_pair, corpus(nlp)), strict=True)
    pieces = [Pieces.learn(side, max_symbols=component["max_symbols"]) for side in sides]
    sizes = Sizes(*map(len, pieces), width, heads, layers, feedforward, training["dropout"])
    translator = Translator(sizes, *pieces)
    parameters = sum(part.numel() for part in translator.network.parameters())
    msg.info(f"{parameters:,} parameters")
    options = Options(seconds, rate, warmup, average, component["label_smoothing"])
    steps = learn(translator, ([*map(read_pair, batch)] for _, batch in batches), options)
    translator.save(output_path)
    results = {"seconds": seconds, "steps": steps, "parameters": parameters}
    srsly.write_json(output_path / "training.json", results)
    msg.good(f"{output_path}: {steps:,} steps")


if __name__ == "__main__":
    typer.run(main)
