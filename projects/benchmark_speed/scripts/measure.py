"""Words per second of pipelines, their parts and encoders, which take turns on the same words.

Everything is written to one JSON file, which report.py makes tables and pictures of.
"""

import platform
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, cycle, islice, pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy
import spacy
import srsly
import torch
import typer
from contestants import (
    MATRIX_PRODUCTS,
    MATRIX_SHAPE,
    PREDICTION,
    Call,
    Contestant,
    Device,
    Turn,
    enter,
    seconds,
)
from memory import can_measure, measure_peaks, workloads
from spacy import registry
from spacy.tokens import DocBin
from thinc.api import Model, get_current_ops
from thinc.types import Floats2d
from wasabi import msg

# Parts of prediction that entity recognizers are timed with
ENTITIES = ["pipe_docs", "pipe_text"]

# The encoders by themselves: the first two are ours, the third is what the others are compared to.
DILATED, BFLOAT16 = "DilatedConvEncoder", "DilatedConvEncoder, mixed precision"
MAXOUT, BILSTM = "MaxoutWindowEncoder", "TorchBiLSTMEncoder"
DILATIONS = [1, 2, 4, 1]
ENCODERS: dict[str, dict[str, Any]] = {
    DILATED: {
        "@architectures": "spacy-textconv.DilatedConvEncoder.v1",
        "width": 128,
        "dilations": DILATIONS,
    },
    BFLOAT16: {
        "@architectures": "spacy-textconv.DilatedConvEncoder.v1",
        "width": 128,
        "dilations": DILATIONS,
        "mixed_precision": True,
    },
    MAXOUT: {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 96,
        "depth": 4,
        "window_size": 1,
        "maxout_pieces": 3,
    },
    BILSTM: {
        "@architectures": "spacy.TorchBiLSTMEncoder.v1",
        "width": 128,
        "depth": 2,
        "dropout": 0.0,
    },
}
# Floating-point operations for each word: two, a multiplication and an addition, for each weight.
FLOP = {
    # Kernel size x width x width, in 4 layers
    DILATED: 2 * 3 * 128 * 128 * 4,
    BFLOAT16: 2 * 3 * 128 * 128 * 4,
    # Window x width x maxout pieces of that width, in 4 layers
    MAXOUT: 2 * 3 * 96 * (3 * 96) * 4,
    # Gates of half the width x the input and the state, in 2 directions and 2 layers
    BILSTM: 2 * (4 * 64) * (128 + 64) * 2 * 2,
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    turns (int): The most turns of a pass over the corpus.
    predict_words (int): The words of a batch for prediction.
    train_turns (int): The number of training steps.
    train_words (int): The words of a batch for training.
    rounds (int): How often an encoder is measured.
    scaling_rounds (int): How often it is measured at the least with each setting.
    scaling_words (int): The words that it is measured with at the least with each setting.
    too_slow (float): Seconds. An encoder that takes longer sits out what follows on an axis.
    lengths (tuple[int, ...]): Tokens of a document. A batch has as many as the longest.
    batches (tuple[int, ...]): Words of a batch of sentences.
    depths (tuple[int, ...]): Numbers of layers.
    widths (tuple[int, ...]): Widths of the vectors.
    doc_words (int): The words of the long document whose memory is measured.
    sentences (int): The sentences of the batch whose memory is measured.
    """

    turns: int = 20
    predict_words: int = 10_000
    train_turns: int = 40
    train_words: int = 1000
    rounds: int = 20
    scaling_rounds: int = 3
    scaling_words: int = 50_000
    too_slow: float = 10.0
    lengths: tuple[int, ...] = (16, 64, 256, 1024, 4096, 16_384, 131_072)
    batches: tuple[int, ...] = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
    depths: tuple[int, ...] = (1, 2, 4, 8)
    widths: tuple[int, ...] = (32, 64, 96, 128, 256)
    doc_words: int = 100_000
    sentences: int = 1000


FULL = Sizes()
# Everything once, to see whether it runs; the numbers mean nothing.
QUICK = Sizes(
    turns=2,
    predict_words=10,
    train_turns=2,
    train_words=10,
    rounds=2,
    scaling_rounds=1,
    scaling_words=1,
    lengths=(4, 8),
    batches=(5, 10),
    depths=(1, 2),
    widths=(4, 8),
    doc_words=20,
    sentences=2,
)


def take_turns(words: int, calls: dict[str, Call], rounds: int) -> dict[str, list[Turn]]:
    """Let all encoders have their turn in each round, so that what else the machine does slows all
    of them.

    words (int): The words of a round.
    calls (dict[str, Call]): What is timed.
    rounds (int): The number of turns of each.
    RETURNS (dict[str, list[Turn]]): The words and seconds of each turn.
    """
    turns: dict[str, list[Turn]] = defaultdict(list)
    for _ in range(rounds):
        for name, call in calls.items():
            turns[name].append((words, seconds(call)))
    return turns


def median_rate(turns: list[Turn]) -> float:
    """The median of the words per second."""
    return median(words / taken for words, taken in turns)


def compare(turns: dict[str, list[Turn]], peer: str) -> dict[str, dict[str, Any]]:
    """Give every contestant's rate, and its ratio to that of the peer.

    turns (dict[str, list[Turn]]): The words and seconds of each turn.
    peer (str): The contestant that the others are compared to.
    RETURNS (dict[str, dict[str, Any]]): For each contestant, words per second: the median
        ("rate"), the first turn ("first"), all turns together ("overall") and each ("turns").
    """
    denominator = median_rate(turns[peer])
    results = {}
    for name, pairs in turns.items():
        all_words, all_seconds = (sum(column) for column in zip(*pairs, strict=True))
        rates = [words / taken for words, taken in pairs]
        results[name] = {
            "rate": median_rate(pairs),
            "ratio": median_rate(pairs) / denominator,
            "first": rates[0],
            "overall": all_words / all_seconds,
            "turns": rates,
        }
    return results


def measure_pass(
    contestants: dict[str, Contestant], part: str, words: int, most_turns: int
) -> dict[str, list[Turn]]:
    """Let all contestants go over the corpus once, so that no words are seen again.

    contestants (dict[str, Contestant]): Who takes part, with the same corpus.
    part (str): What is timed.
    words (int): The words of a batch.
    most_turns (int): The most turns.
    RETURNS (dict[str, list[Turn]]): The words and seconds of each turn.
    """
    turns: dict[str, list[Turn]] = defaultdict(list)
    for contestant in contestants.values():
        contestant.start_pass(part, words)
    for _ in range(most_turns):
        for name, contestant in contestants.items():
            turn = contestant.take_turn()
            if turn is None:
                return turns
            turns[name].append(turn)
    return turns


def measure_training(
    contestants: dict[str, Contestant], peer: str, sizes: Sizes
) -> dict[str, dict[str, Any]]:
    """Time training steps, which also change the weights.

    contestants (dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    sizes (Sizes): How much is measured.
    RETURNS (dict[str, dict[str, Any]]): The results by contestant.
    """
    turns = measure_pass(contestants, "train", sizes.train_words, sizes.train_turns)
    return compare(turns, peer)


def measure_prediction(
    contestants: dict[str, Contestant], peer: str, part: str, sizes: Sizes, passes: int
) -> dict[str, dict[str, Any]]:
    """Time a part of prediction.

    contestants (dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    part (str): Which part.
    sizes (Sizes): How much is measured.
    passes (int): How often prediction goes over the corpus.
    RETURNS (dict[str, dict[str, Any]]): The results by contestant.
    """
    turns: dict[str, list[Turn]] = defaultdict(list)
    for _ in range(passes):
        one_pass = measure_pass(contestants, part, sizes.predict_words, sizes.turns)
        for name, pairs in one_pass.items():
            turns[name] += pairs
    return compare(turns, peer)


def measure_parts(
    contestants: dict[str, Contestant], peer: str, sizes: Sizes, passes: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Time taggers. The pipelines keep no component but the tagger and its tok2vec.

    contestants (dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    sizes (Sizes): How much is measured.
    passes (int): How often prediction goes over the corpus.
    RETURNS (dict[str, dict[str, dict[str, Any]]]): The results by part and contestant.
    """
    parts = {}
    msg.info("Training")
    parts["train_both"] = measure_training(contestants, peer, sizes)
    for contestant in contestants.values():
        contestant.keep(["tok2vec", "tagger"])
    parts["train_tagger"] = measure_training(contestants, peer, sizes)
    for part in PREDICTION:
        msg.info(f"Prediction: {part}")
        parts[part] = measure_prediction(contestants, peer, part, sizes, passes)
    return parts


def measure_pipelines(
    contestants: dict[str, Contestant], peer: str, predictions: list[str], sizes: Sizes, passes: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Time whole pipelines, such as those that recognize named entities.

    contestants (dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    predictions (list[str]): Which parts of prediction to time, beside training.
    sizes (Sizes): How much is measured.
    passes (int): How often prediction goes over the corpus.
    RETURNS (dict[str, dict[str, dict[str, Any]]]): The results by part and contestant.
    """
    msg.info("Whole pipelines: training")
    # First, because without any training entities would be predicted at random.
    parts = {"train": measure_training(contestants, peer, sizes)}
    for part in predictions:
        msg.info(f"Whole pipelines: {part}")
        parts[part] = measure_prediction(contestants, peer, part, sizes, passes)
    return parts


def make_encoder(name: str, width: int | None = None, depth: int | None = None) -> Model:
    """Build one of the encoders, by default at its usual size.

    name (str): Which one.
    width (int | None): Another width.
    depth (int | None): Another number of layers.
    RETURNS (Model[list[Floats2d], list[Floats2d]]): The encoder, initialized.
    """
    config = dict(ENCODERS[name])
    if width is not None:
        config["width"] = width
    if depth is not None and "dilations" in config:
        config["dilations"] = list(islice(cycle(DILATIONS), depth))
    elif depth is not None:
        config["depth"] = depth
    model = registry.resolve({"encoder": config})["encoder"]
    model.initialize(X=random_arrays([1], config["width"]))
    return model


def random_arrays(lengths: list[int], width: int) -> list[Floats2d]:
    """Make vectors for documents of these lengths."""
    random = numpy.random.default_rng(0)
    rows = random.standard_normal((sum(lengths), width), dtype="float32")
    on_device = get_current_ops().asarray(rows)
    return [on_device[start:stop] for start, stop in pairwise([0, *accumulate(lengths)])]


def lengths_up_to(words: int, lengths: list[int]) -> list[int]:
    """Take as many of the lengths, over and over, as make this number of words."""
    taken: list[int] = []
    endless = cycle(lengths)
    while words:
        taken.append(min(next(endless), words))
        words -= taken[-1]
    return taken


def prepare_encoder(lengths: list[int], name: str, **size: int) -> Call:
    """From vectors of documents of these lengths to vectors in context."""
    model = make_encoder(name, **size)
    width = size.get("width", ENCODERS[name]["width"])
    return partial(model.predict, random_arrays(lengths, width))


def measure_encoders(lengths: list[int], sizes: Sizes) -> tuple[dict[str, dict[str, Any]], float]:
    """Time the encoders by themselves, and a matrix product beside them.

    lengths (list[int]): The lengths of the corpus' sentences.
    sizes (Sizes): How much is measured.
    RETURNS (tuple[dict[str, dict[str, Any]], float]): The results by encoder, with the share of the
        matrix product's rate that it reaches; and that rate, in operations per second.
    """
    n, k, m = MATRIX_SHAPE
    device = "cuda" if get_current_ops().device_type == "gpu" else "cpu"
    left, right = torch.rand(n, k, device=device), torch.rand(k, m, device=device)

    def multiply() -> None:
        for _ in range(MATRIX_PRODUCTS):
            torch.mm(left, right)

    batch = lengths_up_to(sizes.predict_words, lengths)
    calls = {name: prepare_encoder(batch, name) for name in ENCODERS}
    turns = take_turns(sum(batch), {**calls, "mm": multiply}, sizes.rounds)
    product_seconds = median(taken for _, taken in turns.pop("mm"))
    flop_rate = 2 * n * k * m * MATRIX_PRODUCTS / product_seconds
    results = compare(turns, MAXOUT)
    for name, result in results.items():
        result["share"] = result["rate"] * FLOP[name] / flop_rate
    return results, flop_rate


def measure_scaling(lengths: list[int], sizes: Sizes) -> dict[str, dict[str, Any]]:
    """Time the encoders by themselves with other sizes, of the input and of the network.

    lengths (list[int]): The lengths of the corpus' sentences.
    sizes (Sizes): How much is measured.
    RETURNS (dict[str, dict[str, Any]]): For each axis the "values", and the "rates" of each encoder
        with each value, where null is for an encoder that failed, or was too slow to go on.
    """
    usual = lengths_up_to(sizes.predict_words, lengths)
    most = max(sizes.lengths)
    # What to encode, and the size of the network
    axes: dict[str, dict[int, tuple[list[int], dict[str, int]]]] = {
        "length": {value: ([value] * (most // value), {}) for value in sizes.lengths},
        "batch": {value: (lengths_up_to(value, lengths), {}) for value in sizes.batches},
        "depth": {value: (usual, {"depth": value}) for value in sizes.depths},
        "width": {value: (usual, {"width": value}) for value in sizes.widths},
    }
    results = {}
    for axis, settings in axes.items():
        msg.info(f"Scaling: {axis}")
        active = list(ENCODERS)
        rates: dict[str, list[float | None]] = {name: [] for name in ENCODERS}
        for value, (batch, size) in settings.items():
            calls = {name: prepare_encoder(batch, name, **size) for name in active}
            for name, call in list(calls.items()):
                # The cuDNN library refuses an LSTM over a document of 131,072 tokens, for example.
                try:
                    call()
                except RuntimeError as err:
                    msg.warn(f"{name} fails at {axis} {value}, and sits out what follows.", err)
                    active.remove(name)
                    del calls[name]
            rounds = max(sizes.scaling_rounds, sizes.scaling_words // sum(batch))
            turns = take_turns(sum(batch), calls, rounds)
            for name, column in rates.items():
                column.append(median_rate(turns[name]) if name in active else None)
            for name in list(active):
                if max(taken for _, taken in turns[name]) > sizes.too_slow:
                    msg.warn(f"{name} takes too long at {axis} {value}, and sits out what follows.")
                    active.remove(name)
        results[axis] = {"values": list(settings), "rates": rates}
    return results


def machine_facts(device: Device) -> dict[str, Any]:
    """What has been measured on and with."""
    cpu_info = Path("/proc/cpuinfo")
    cpu = platform.processor()
    if cpu_info.exists():
        fields = (line.split(":") for line in cpu_info.read_text().splitlines() if ":" in line)
        cpu = {name.strip(): value.strip() for name, value in fields}.get("model name", cpu)
    return {
        "cpu": cpu,
        "gpu": torch.cuda.get_device_name(device.gpu_id) if device.gpu_id >= 0 else None,
        "threads": device.threads,
        "numpy_product": device.numpy_product,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "spacy": spacy.__version__,
    }


def named_paths(items: list[str]) -> dict[str, Path]:
    """Read NAME=PATH."""
    pairs = (item.partition("=") for item in items)
    return {name: Path(path) for name, _, path in pairs}


def main(
    corpus: Path,
    output: Path,
    ours: Annotated[list[str], typer.Option(help="NAME=CONFIG of a pipeline of ours")],
    peer: Annotated[list[str], typer.Option(help="NAME=CONFIG of another, the first for ratios")],
    ner_corpus: Annotated[Path, typer.Option(help="A .spacy file with named entities")],
    ner: Annotated[list[str], typer.Option(help="NAME=CONFIG of an entity recognizer of ours")],
    ner_peer: Annotated[str, typer.Option(help="NAME=CONFIG of another, for ratios")],
    threads: int = 1,
    gpu_id: int = -1,
    numpy_product: Annotated[
        bool, typer.Option(help="Measure the pipelines alone, and let peers multiply with numpy")
    ] = False,
    lang: str = "en",
    ner_lang: str = "en",
    passes: Annotated[int, typer.Option(help="How often prediction goes over the corpus")] = 1,
    quick: Annotated[bool, typer.Option(help="Try everything at toy size")] = False,
) -> None:
    """Measure taggers on CORPUS, a .spacy file, and entity recognizers on another, and write all
    numbers to OUTPUT."""
    sizes = QUICK if quick else FULL
    device = Device(threads, gpu_id, numpy_product)
    own, peers = named_paths(ours), named_paths(peer)
    paths = {**own, **peers}
    first_peer = next(iter(peers))
    ner_paths = named_paths([*ner, ner_peer])
    ner_peer_name = list(ner_paths)[-1]
    result: dict[str, Any] = {
        "machine": machine_facts(device),
        "contestants": {name: path.name for name, path in paths.items()},
        "ours": [*own, DILATED, BFLOAT16],
        "peer": first_peer,
        "recognizers": {name: path.name for name, path in ner_paths.items()},
        "ner_peer": ner_peer_name,
    }
    with enter(paths, corpus, lang, device, own) as contestants:
        product_rate = contestants[first_peer].product_rate()
        result["parts"] = measure_parts(contestants, first_peer, sizes, passes)
    own_ner = named_paths(ner)
    with enter(ner_paths, ner_corpus, ner_lang, device, own_ner) as recognizers:
        result["entities"] = measure_pipelines(recognizers, ner_peer_name, ENTITIES, sizes, passes)
    tokenizer_rate = result["parts"]["tokenizer"][first_peer]["rate"]
    result["ceilings"] = {"tokenizer": tokenizer_rate, "thinc_product": product_rate}
    if not numpy_product:
        device.use()
        sentences = list(DocBin().from_disk(corpus).get_docs(spacy.blank(lang).vocab))
        lengths = [len(doc) for doc in sentences if len(doc)]
        result["encoders"], result["ceilings"]["torch_product"] = measure_encoders(lengths, sizes)
        result["scaling"] = measure_scaling(lengths, sizes)
        result["memory"] = {}
        if can_measure(gpu_id):
            msg.info("Memory")
            loads = workloads(sentences, sizes.doc_words, sizes.sentences)
            result["memory"] = measure_peaks(paths, loads, threads, gpu_id)
        else:
            msg.warn("The memory of the CPU is measured on Linux only.")
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, result)
    msg.good(str(output))


if __name__ == "__main__":
    typer.run(main)
