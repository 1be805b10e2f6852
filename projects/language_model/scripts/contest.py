"""A convolutional language model and an LSTM of as many parameters, which take turns on the same
batches until both have learned for as long."""

import time
from collections.abc import Iterable, Iterator
from itertools import count
from math import log
from pathlib import Path

import numpy
import spacy
import srsly
import torch
import torch.nn.functional as F
import typer
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed, load_config
from thinc.api import Adam
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from wasabi import msg

from spacy_textconv.pipeline.language_model import ConvLanguageModel

BETA2, CLIP, WARMUP = 0.99, 1.0, 50


class Convolutions:
    """The pipeline of a config, with one component."""

    name = "textconv"

    def __init__(self, nlp: Language, rate: float):
        self.nlp, self.rate = nlp, rate
        self.optimizer = Adam(rate, beta2=BETA2, grad_clip=CLIP, use_averages=False)

    @property
    def lm(self) -> ConvLanguageModel:
        (_, pipe) = self.nlp.pipeline[0]
        return pipe

    def parameters(self) -> int:
        modules = [shim._model for node in self.lm.model.walk() for shim in node.shims]
        return sum(param.numel() for module in modules for param in module.parameters())

    def learn(self, texts: list[str], share: float) -> None:
        docs = [self.nlp.make_doc(text) for text in texts]
        self.optimizer.learn_rate = self.rate * share
        self.nlp.update([Example(doc, doc) for doc in docs], sgd=self.optimizer)

    def bits(self, texts: list[str]) -> float:
        docs = [self.nlp.make_doc(text) for text in texts]
        return sum(float(bits.sum()) for bits in self.lm.predict(docs))


class LSTM(nn.Module):
    """Letters, one LSTM, and what comes next, as one writes it in torch."""

    name = "LSTM"

    def __init__(self, lm: ConvLanguageModel, embed_width: int, width: int, rate: float):
        super().__init__()
        self.alphabet, self.rate = lm.alphabet, rate
        symbols = len(lm.alphabet)
        self.embed = nn.Embedding(symbols, embed_width)
        self.lstm = nn.LSTM(embed_width, width, batch_first=True)
        self.output = nn.Linear(width, symbols)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=rate, betas=(0.9, BETA2))

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(self.embed(x))
        return self.output(y)

    def losses(self, texts: list[str]) -> Tensor:
        """The surprise of all letters and ends, in nats. *Shape:* (texts, longest)"""
        numbers = [torch.from_numpy(self.alphabet.encode([text])[0]) for text in texts]
        x = pad_sequence([F.pad(text, (1, 0)) for text in numbers], batch_first=True)
        y = pad_sequence(
            [F.pad(text, (0, 1)) for text in numbers], batch_first=True, padding_value=-100
        )
        return F.cross_entropy(self(x).transpose(1, 2), y, reduction="none")

    def learn(self, texts: list[str], share: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share
        losses = self.losses(texts)
        self.optimizer.zero_grad()
        (losses.sum() / sum(len(text) + 1 for text in texts)).backward()
        nn.utils.clip_grad_norm_(self.parameters(), CLIP)
        self.optimizer.step()

    @torch.no_grad()
    def bits(self, texts: list[str]) -> float:
        losses = self.losses(texts)
        return sum(
            float(row[: len(text)].sum()) for row, text in zip(losses, texts, strict=True)
        ) / log(2)


def lstm_width(parameters: int, symbols: int, embed_width: int) -> int:
    """The greatest width of an LSTM that has no more parameters."""
    for width in count(1):
        lstm = 4 * (width + 1) * (width + 1 + embed_width + 1)
        if lstm + symbols * (embed_width + width + 2) > parameters:
            return width


def read_texts(path: Path) -> list[str]:
    docs = DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    return [doc.text for doc in docs]


def batches(texts: list[str], size: int, seed: int) -> Iterator[list[str]]:
    """Batches of texts in random order, again and again."""
    generator = numpy.random.default_rng(seed)
    while True:
        order = generator.permutation(len(texts))
        for start in range(0, len(texts), size):
            yield [texts[i] for i in order[start : start + size]]


def measure_bits(contestant, texts: list[str], size: int) -> float:
    """Bits per letter."""
    groups: Iterable[list[str]] = (texts[i : i + size] for i in range(0, len(texts), size))
    return sum(map(contestant.bits, groups)) / sum(map(len, texts))


def main(
    config: Path,
    corpus: Path,
    output: Path,
    seconds: float = 600.0,
    batch_size: int = 8,
    rate: float = 0.004,
    lstm_rate: float = 0.004,
    embed_width: int = 128,
    threads: int = 2,
    seed: int = 0,
):
    torch.set_num_threads(threads)
    fix_random_seed(seed)
    paths = {f"paths.{split}": str(corpus / f"{split}.spacy") for split in ("train", "dev")}
    nlp = init_nlp(load_config(config, overrides=paths))
    ours = Convolutions(nlp, rate)
    parameters, symbols = ours.parameters(), len(ours.lm.alphabet)
    lstm = LSTM(ours.lm, embed_width, lstm_width(parameters, symbols, embed_width), lstm_rate)
    numbers = {"textconv": parameters, "LSTM": sum(map(Tensor.numel, lstm.parameters()))}
    train = read_texts(corpus / "train.spacy")
    learned = {}
    contestants = {one.name: (one, batches(train, batch_size, seed)) for one in (ours, lstm)}
    clocks, letters, steps = (dict.fromkeys(contestants, 0) for _ in range(3))
    while (name := min(clocks, key=clocks.get)) and clocks[name] < seconds:
        contestant, source = contestants[name]
        texts = next(source)
        share = min((steps[name] + 1) / WARMUP, 1.0) * (1.0 - clocks[name] / seconds)
        start = time.perf_counter()
        contestant.learn(texts, share)
        clocks[name] += time.perf_counter() - start
        letters[name] += sum(map(len, texts))
        steps[name] += 1
    for name, (contestant, _) in contestants.items():
        learned[name] = {
            "parameters": numbers[name],
            "letters_per_second": letters[name] / clocks[name],
            **{
                f"bits_{split}": measure_bits(
                    contestant, read_texts(corpus / f"{split}.spacy"), batch_size
                )
                for split in ("dev", "test")
            },
        }
    output.mkdir(parents=True, exist_ok=True)
    nlp.to_disk(output / "pipeline")
    srsly.write_json(output / "contest.json", learned)
    rows = [
        (name, f"{x['parameters']:,}", f"{x['letters_per_second']:,.0f}")
        + tuple(f"{x[f'bits_{split}']:.3f}" for split in ("dev", "test"))
        for name, x in learned.items()
    ]
    header = ("", "Parameters", "Letters/s", "Bits per letter, dev", "test")
    msg.table(rows, header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
