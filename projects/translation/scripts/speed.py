"""Pieces per second that translators write, which take turns, from text to text. One of the peers
keeps what its layers have seen, and another one the keys and values of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, cast

import spacy
import srsly
import torch
import torch.nn.functional as F
import typer
from peer import BATCH, Decoding, Transformer, Translator
from tables import read_table
from torch import Tensor, nn
from wasabi import msg

from spacy_textconv.generation.symbols import START
from spacy_textconv.layers import CausalDecoder
from spacy_textconv.models.wrap import get_shim

SYMBOLS = 200


class KeyValueDecoding(Decoding):
    """Keys and values are made once, with weights taken out of `nn.MultiheadAttention`."""

    def __init__(self, network: Transformer, memory: Tensor, hidden: Tensor):
        super().__init__(network, memory, hidden)
        self.shown = ~hidden[:, None, None]
        layers = network.transformer.decoder.layers
        self.past = [self.project(layer.self_attn, memory[:, :0], 1, 3) for layer in layers]
        self.sources = [self.project(layer.multihead_attn, memory, 1, 3) for layer in layers]

    def project(
        self, attention: nn.MultiheadAttention, x: Tensor, start: int, stop: int
    ) -> list[Tensor]:
        """Some of queries, keys and values. *Shape:* (sentences, heads, pieces, width of a head)"""
        width = slice(start * attention.embed_dim, stop * attention.embed_dim)
        y = F.linear(x, attention.in_proj_weight[width], attention.in_proj_bias[width])
        parts = y.unflatten(2, (stop - start, attention.num_heads, -1)).unbind(2)
        return [part.transpose(1, 2) for part in parts]

    def attend_to_target(self, number: int, layer: nn.Module, x: Tensor) -> Tensor:
        query, *new = self.project(layer.self_attn, layer.norm1(x), 0, 3)
        past = [torch.cat(pair, dim=2) for pair in zip(self.past[number], new, strict=True)]
        self.past[number] = past
        y = F.scaled_dot_product_attention(query, *past)
        return x + layer.self_attn.out_proj(y.transpose(1, 2).flatten(2))

    def attend_to_source(self, number: int, layer: nn.Module, x: Tensor) -> Tensor:
        [query] = self.project(layer.multihead_attn, layer.norm2(x), 0, 1)
        y = F.scaled_dot_product_attention(query, *self.sources[number], attn_mask=self.shown)
        return x + layer.multihead_attn.out_proj(y.transpose(1, 2).flatten(2))

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self.shown = self.shown[rows]
        for pairs in (self.past, self.sources):
            pairs[:] = [[part[rows] for part in pair] for pair in pairs]


def measure(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, and its seconds, by the clock and of the processor."""
    begin = perf_counter(), process_time()
    result = call()
    return result, perf_counter() - begin[0], process_time() - begin[1]


def compare_steps(decoder: CausalDecoder, sentences: int = 8, rows: int = 20) -> float:
    """How much longer it takes to compute a sequence anew for each of its symbols, in seconds of
    the processor."""
    memory = torch.randn(sentences * rows, decoder.memorize.keys.in_features)
    row_lengths = torch.full((sentences,), rows)
    symbols = torch.randint(START + 2, len(decoder.vectors), (SYMBOLS, sentences))

    def step() -> None:
        writing = decoder.begin(sentences, memory, row_lengths)
        for column in symbols:
            writing.step(column)

    def compute_anew() -> None:
        for length in range(1, SYMBOLS + 1):
            prefix = symbols[:length].T.flatten()
            decoder(prefix, [length] * sentences, memory, row_lengths).log_softmax(dim=1)

    with torch.inference_mode():
        measure(step)
        return measure(compute_anew)[2] / measure(step)[2]


def main(
    training: Path, peer: Path, pairs: Path, output_path: Path, turns: int = 5, threads: int = 1
) -> None:
    """Measure TRAINING/model-best and PEER on the sources of the table PAIRS, in batches of equal
    size, and write OUTPUT_PATH (JSON). The first turn, which fills caches, doesn't count."""
    torch.set_num_threads(threads)
    texts = [pair.source for pair in read_table(pairs)]
    nlp = spacy.load(training / "model-best")
    translator = nlp.get_pipe("translator")
    translator.beam = 1
    cached_outputs, cached_keys = Translator.load(peer), Translator.load(peer)
    cached_keys.decoding = KeyValueDecoding

    def translate() -> list[str]:
        return [doc._.translation for doc in nlp.pipe(texts, batch_size=BATCH)]

    contestants: dict[str, Callable[[], list[str]]] = {
        "ours": translate,
        "peer, cached outputs": partial(cached_outputs.translate, texts, 1, 1.0),
        "peer, cached keys": partial(cached_keys.translate, texts, 1, 1.0),
    }
    # Seconds for each piece, by the clock and of the processor
    seconds: dict[str, list[tuple[float, ...]]] = {name: [] for name in contestants}
    for _ in range(turns + 1):
        for name, call in contestants.items():
            found, *spent = measure(call)
            # After each text, an end is written.
            pieces = len(translator.alphabet.encode(found)[0]) + len(found)
            seconds[name].append(tuple(part / pieces for part in spent))
    result: dict[str, Any] = {"threads": threads}
    for name, theirs in seconds.items():
        result[name] = {"pieces_per_second": 1 / median(wall for wall, _ in theirs[1:])}
        for part, clock in enumerate(["wall", "cpu"]):
            turns_taken = zip(theirs[1:], seconds["ours"][1:], strict=True)
            result[name][f"ratio_{clock}"] = median(b[part] / a[part] for b, a in turns_taken)
    decoder = cast(CausalDecoder, get_shim(translator.model.layers[-1]).module)
    result["step_against_prefix"] = compare_steps(decoder)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    rows = [(name, *(f"{value:,.2f}" for value in result[name].values())) for name in contestants]
    header = ["Greedy", "Pieces per second", "Time, ratio", "CPU time, ratio"]
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r"])
    msg.text(f"A prefix computed anew, {SYMBOLS} times: {result['step_against_prefix']:.1f} times")


if __name__ == "__main__":
    typer.run(main)
