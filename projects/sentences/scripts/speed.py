"""How much longer it takes to write texts from left to right than in one pass, with decoders of the
same width that take turns."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import spacy
import srsly
import torch
import typer
from wasabi import msg

from spacy_textconv.generation.search import Hypothesis, greedy
from spacy_textconv.generation.symbols import START
from spacy_textconv.layers import CausalDecoder, DeconvDecoder
from spacy_textconv.models.wrap import get_shim

# No symbol has this number, so that all texts are equally long.
NO_END = -1


def main(
    training: Path,
    output_path: Path,
    symbols: int = 30,
    texts: int = 128,
    turns: int = 5,
    threads: int = 1,
) -> None:
    """Measure the decoder of TRAINING/model-best beside a causal one, and write OUTPUT_PATH (JSON).
    The first turn doesn't count."""
    torch.set_num_threads(threads)
    vae = spacy.load(training / "model-best").get_pipe("vae")
    one_pass = get_shim(vae.model.layers[-1]).module
    number, width = one_pass.vectors.shape
    causal = CausalDecoder(symbols=number, width=width, memory_width=vae.width).eval()
    vectors, ones = torch.randn(texts, vae.width), torch.ones(texts, dtype=torch.long)
    limits = torch.full((texts,), symbols)

    def write(decoder: CausalDecoder | DeconvDecoder) -> list[Hypothesis]:
        writer = decoder.begin(texts, vectors, ones)
        return greedy(writer, start=START, end=NO_END, max_lengths=limits)

    seconds: dict[str, list[tuple[float, float]]] = {"one pass": [], "left to right": []}
    with torch.inference_mode():
        for _ in range(turns + 1):
            for name, decoder in zip(seconds, (one_pass, causal), strict=True):
                seconds[name].append(measure(lambda decoder=decoder: write(decoder)))
    pairs = [*zip(seconds["left to right"][1:], seconds["one pass"][1:], strict=True)]
    result = {
        "threads": threads,
        "symbols": symbols,
        "texts": texts,
        **{name: median(wall for wall, _ in theirs[1:]) for name, theirs in seconds.items()},
        "ratio_wall": median(slow[0] / fast[0] for slow, fast in pairs),
        "ratio_cpu": median(slow[1] / fast[1] for slow, fast in pairs),
    }
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    msg.good(
        f"One pass is {result['ratio_wall']:.1f} times as fast ({result['ratio_cpu']:.1f} CPU)"
    )


def measure(call: Callable[[], object]) -> tuple[float, float]:
    """The seconds of a call, by the clock and of the processor."""
    begin = perf_counter(), process_time()
    call()
    return perf_counter() - begin[0], process_time() - begin[1]


if __name__ == "__main__":
    typer.run(main)
