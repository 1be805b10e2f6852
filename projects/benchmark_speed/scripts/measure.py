"""Words per second of pipelines, their parts and encoders, which take turns on the same words.

Everything is written to one JSON file, which report.py makes tables and pictures of.
"""

import platform
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, cycle, islice, pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import numpy
import spacy
import srsly
import torch
import typer
from memory import can_measure, measure_peaks, use_device, workloads
from spacy import registry
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import Model, Optimizer, get_current_ops
from thinc.types import Floats2d
from wasabi import msg

Call = Callable[[], object]
# The words of a round, and what each contestant is to do with them
Round = Tuple[int, Dict[str, Call]]
# The words and the seconds that one of them took
Turn = Tuple[int, float]

# The encoders by themselves: the first two are ours, the third is what the others are compared to.
DILATED, BFLOAT16 = "DilatedConvEncoder", "DilatedConvEncoder, mixed precision"
MAXOUT, BILSTM = "MaxoutWindowEncoder", "TorchBiLSTMEncoder"
DILATIONS = [1, 2, 4, 1]
ENCODERS: Dict[str, Dict[str, Any]] = {
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
MATRIX_SHAPE = (4096, 384, 128)
MATRIX_PRODUCTS = 20


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
    lengths (Tuple[int, ...]): Tokens of a document. A batch has as many as the longest.
    batches (Tuple[int, ...]): Words of a batch of sentences.
    depths (Tuple[int, ...]): Numbers of layers.
    widths (Tuple[int, ...]): Widths of the vectors.
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
    lengths: Tuple[int, ...] = (16, 64, 256, 1024, 4096, 16_384, 131_072)
    batches: Tuple[int, ...] = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
    depths: Tuple[int, ...] = (1, 2, 4, 8)
    widths: Tuple[int, ...] = (32, 64, 96, 128, 256)
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


@dataclass(frozen=True)
class Contestant:
    """A pipeline, the annotated corpus in its vocabulary, and how its config trains it."""

    nlp: Language
    docs: List[Doc]
    optimizer: Optimizer
    dropout: float


def build(path: Path, corpus: Path, lang: str) -> Contestant:
    """Initialize the pipeline of a config on a corpus.

    path (Path): The config.
    corpus (Path): Annotated documents, in a .spacy file.
    lang (str): The language of the pipeline.
    RETURNS (Contestant): What takes part.
    """
    overrides = {"paths.train": str(corpus), "paths.dev": str(corpus), "nlp.lang": lang}
    nlp = init_nlp(load_config(path, overrides=overrides))
    settings = nlp.config.interpolate()["training"]
    training = registry.resolve(settings, schema=ConfigSchemaTraining)
    docs = list(DocBin().from_disk(corpus).get_docs(nlp.vocab))
    return Contestant(nlp, docs, training["optimizer"], training["dropout"])


def seconds(call: Call) -> float:
    """Time a call, with all that it leaves to a GPU."""
    synchronize()
    start = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for the GPU, if it is in use."""
    if get_current_ops().device_type == "gpu":
        torch.cuda.synchronize()


def take_turns(rounds: Iterable[Round]) -> Dict[str, List[Turn]]:
    """Let all contestants have their turn in each round, so that what else the machine does slows
    all of them.

    rounds (Iterable[Round]): What is to be timed; it is prepared when the one before is over.
    RETURNS (Dict[str, List[Turn]]): The words and seconds of each turn.
    """
    turns: Dict[str, List[Turn]] = defaultdict(list)
    for words, calls in rounds:
        for name, call in calls.items():
            turns[name].append((words, seconds(call)))
    return turns


def median_rate(turns: List[Turn]) -> float:
    """The median of the words per second."""
    return median(words / taken for words, taken in turns)


def compare(turns: Dict[str, List[Turn]], peer: str) -> Dict[str, Dict[str, Any]]:
    """Give every contestant's rate, and its ratio to that of the peer.

    turns (Dict[str, List[Turn]]): The words and seconds of each turn.
    peer (str): The contestant that the others are compared to.
    RETURNS (Dict[str, Dict[str, Any]]): For each contestant, words per second: the median
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


def without_annotation(contestant: Contestant, docs: List[Doc]) -> List[Doc]:
    """Make new documents of the same words."""
    return [
        Doc(
            contestant.nlp.vocab,
            words=[token.text for token in doc],
            spaces=[bool(token.whitespace_) for token in doc],
        )
        for doc in docs
    ]


def exhaust(items: Iterable[object]) -> None:
    """Consume what a generator yields."""
    deque(items, maxlen=0)


# What can be timed. Each of these functions prepares a batch, outside of the time, and returns a
# call to be timed once.


def prepare_training(contestant: Contestant, docs: List[Doc]) -> Call:
    """An update as `spacy train` makes it."""
    new = without_annotation(contestant, docs)
    examples = [Example(doc, reference) for doc, reference in zip(new, docs, strict=True)]

    def update() -> None:
        contestant.nlp.update(examples, sgd=False, drop=contestant.dropout)
        for _, pipe in contestant.nlp.pipeline:
            pipe.finish_update(contestant.optimizer)
        contestant.optimizer.step_schedules()

    return update


def prepare_tokenizer(contestant: Contestant, docs: List[Doc]) -> Call:
    """From text to documents."""
    return partial(exhaust, map(contestant.nlp.make_doc, [doc.text for doc in docs]))


def prepare_embed(contestant: Contestant, docs: List[Doc]) -> Call:
    """From documents to the vectors of words by themselves."""
    embed, _ = contestant.nlp.get_pipe("tok2vec").model.layers
    return partial(embed.predict, without_annotation(contestant, docs))


def prepare_encode(contestant: Contestant, docs: List[Doc]) -> Call:
    """From there to the vectors of words in context."""
    embed, encode = contestant.nlp.get_pipe("tok2vec").model.layers
    return partial(encode.predict, embed.predict(without_annotation(contestant, docs)))


def prepare_tok2vec(contestant: Contestant, docs: List[Doc]) -> Call:
    """Both of these steps."""
    model = contestant.nlp.get_pipe("tok2vec").model
    return partial(model.predict, without_annotation(contestant, docs))


def prepare_pipe_docs(contestant: Contestant, docs: List[Doc]) -> Call:
    """From documents to annotated documents."""
    return partial(exhaust, contestant.nlp.pipe(without_annotation(contestant, docs)))


def prepare_pipe_text(contestant: Contestant, docs: List[Doc]) -> Call:
    """From text to annotated documents."""
    return partial(exhaust, contestant.nlp.pipe([doc.text for doc in docs]))


PREDICTION = {
    "tokenizer": prepare_tokenizer,
    "embed": prepare_embed,
    "encode": prepare_encode,
    "tok2vec": prepare_tok2vec,
    "pipe_docs": prepare_pipe_docs,
    "pipe_text": prepare_pipe_text,
}
ENTITIES = ["pipe_docs", "pipe_text"]


def one_pass(
    contestants: Dict[str, Contestant],
    prepare: Callable[[Contestant, List[Doc]], Call],
    words: int,
    turns: int,
) -> Iterator[Round]:
    """Go over the corpus once, so that no words are seen again.

    contestants (Dict[str, Contestant]): Who takes part.
    prepare (Callable[[Contestant, List[Doc]], Call]): What is to be timed.
    words (int): The words of a batch.
    turns (int): The most turns.
    YIELDS (Round): The same batch for everyone.
    """
    batches = [
        minibatch_by_words(contestant.docs, size=words, get_length=len)
        for contestant in contestants.values()
    ]
    for same_batch in islice(zip(*batches, strict=True), turns):
        calls = {
            name: prepare(contestant, docs)
            for (name, contestant), docs in zip(contestants.items(), same_batch, strict=True)
        }
        yield sum(map(len, same_batch[0])), calls


def measure_training(
    contestants: Dict[str, Contestant], peer: str, sizes: Sizes
) -> Dict[str, Dict[str, Any]]:
    """Time training steps, which also change the weights.

    contestants (Dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    sizes (Sizes): How much is measured.
    RETURNS (Dict[str, Dict[str, Any]]): The results by contestant.
    """
    rounds = one_pass(contestants, prepare_training, sizes.train_words, sizes.train_turns)
    return compare(take_turns(rounds), peer)


def measure_prediction(
    contestants: Dict[str, Contestant], peer: str, part: str, sizes: Sizes, passes: int
) -> Dict[str, Dict[str, Any]]:
    """Time a part of prediction.

    contestants (Dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    part (str): Which part.
    sizes (Sizes): How much is measured.
    passes (int): How often prediction goes over the corpus.
    RETURNS (Dict[str, Dict[str, Any]]): The results by contestant.
    """
    turns: Dict[str, List[Turn]] = defaultdict(list)
    for _ in range(passes):
        for contestant in contestants.values():
            # Loading empties all caches of words, ours and the tokenizer's.
            contestant.nlp.from_bytes(contestant.nlp.to_bytes())
        rounds = one_pass(contestants, PREDICTION[part], sizes.predict_words, sizes.turns)
        for name, pairs in take_turns(rounds).items():
            turns[name] += pairs
    return compare(turns, peer)


def measure_parts(
    contestants: Dict[str, Contestant], peer: str, sizes: Sizes, passes: int
) -> Dict[str, Dict[str, Dict[str, Any]]]:
    """Time taggers. The pipelines keep no component but the tagger and its tok2vec.

    contestants (Dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    sizes (Sizes): How much is measured.
    passes (int): How often prediction goes over the corpus.
    RETURNS (Dict[str, Dict[str, Dict[str, Any]]]): The results by part and contestant.
    """
    parts = {}
    msg.info("Training")
    parts["train_both"] = measure_training(contestants, peer, sizes)
    for contestant in contestants.values():
        # Removed rather than disabled: the tok2vec would wait for what its last listener sends.
        for name in set(contestant.nlp.pipe_names) - {"tok2vec", "tagger"}:
            contestant.nlp.remove_pipe(name)
    parts["train_tagger"] = measure_training(contestants, peer, sizes)
    for part in PREDICTION:
        msg.info(f"Prediction: {part}")
        parts[part] = measure_prediction(contestants, peer, part, sizes, passes)
    return parts


def measure_pipelines(
    contestants: Dict[str, Contestant], peer: str, predictions: List[str], sizes: Sizes, passes: int
) -> Dict[str, Dict[str, Dict[str, Any]]]:
    """Time whole pipelines, such as those that recognize named entities.

    contestants (Dict[str, Contestant]): Who takes part.
    peer (str): The contestant that the others are compared to.
    predictions (List[str]): Which parts of prediction to time, beside training.
    sizes (Sizes): How much is measured.
    passes (int): How often prediction goes over the corpus.
    RETURNS (Dict[str, Dict[str, Dict[str, Any]]]): The results by part and contestant.
    """
    msg.info("Whole pipelines: training")
    # First, because without any training entities would be predicted at random.
    parts = {"train": measure_training(contestants, peer, sizes)}
    for part in predictions:
        msg.info(f"Whole pipelines: {part}")
        parts[part] = measure_prediction(contestants, peer, part, sizes, passes)
    return parts


def make_encoder(name: str, width: Optional[int] = None, depth: Optional[int] = None) -> Model:
    """Build one of the encoders, by default at its usual size.

    name (str): Which one.
    width (Optional[int]): Another width.
    depth (Optional[int]): Another number of layers.
    RETURNS (Model[List[Floats2d], List[Floats2d]]): The encoder, initialized.
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


def random_arrays(lengths: List[int], width: int) -> List[Floats2d]:
    """Make vectors for documents of these lengths."""
    random = numpy.random.default_rng(0)
    rows = random.standard_normal((sum(lengths), width), dtype="float32")
    on_device = get_current_ops().asarray(rows)
    return [on_device[start:stop] for start, stop in pairwise([0, *accumulate(lengths)])]


def lengths_up_to(words: int, lengths: List[int]) -> List[int]:
    """Take as many of the lengths, over and over, as make this number of words."""
    taken: List[int] = []
    endless = cycle(lengths)
    while words:
        taken.append(min(next(endless), words))
        words -= taken[-1]
    return taken


def prepare_encoder(lengths: List[int], name: str, **size: int) -> Call:
    """From vectors of documents of these lengths to vectors in context."""
    model = make_encoder(name, **size)
    width = size.get("width", ENCODERS[name]["width"])
    return partial(model.predict, random_arrays(lengths, width))


def measure_encoders(lengths: List[int], sizes: Sizes) -> Tuple[Dict[str, Dict[str, Any]], float]:
    """Time the encoders by themselves, and a matrix product beside them.

    lengths (List[int]): The lengths of the corpus' sentences.
    sizes (Sizes): How much is measured.
    RETURNS (Tuple[Dict[str, Dict[str, Any]], float]): The results by encoder, with the share of the
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
    turns = take_turns([(sum(batch), {**calls, "mm": multiply})] * sizes.rounds)
    product_seconds = median(taken for _, taken in turns.pop("mm"))
    flop_rate = 2 * n * k * m * MATRIX_PRODUCTS / product_seconds
    results = compare(turns, MAXOUT)
    for name, result in results.items():
        result["share"] = result["rate"] * FLOP[name] / flop_rate
    return results, flop_rate


def measure_scaling(lengths: List[int], sizes: Sizes) -> Dict[str, Dict[str, Any]]:
    """Time the encoders by themselves with other sizes, of the input and of the network.

    lengths (List[int]): The lengths of the corpus' sentences.
    sizes (Sizes): How much is measured.
    RETURNS (Dict[str, Dict[str, Any]]): For each axis the "values", and the "rates" of each encoder
        with each value, where null is for an encoder that failed, or was too slow to go on.
    """
    usual = lengths_up_to(sizes.predict_words, lengths)
    most = max(sizes.lengths)
    # What to encode, and the size of the network
    axes: Dict[str, Dict[int, Tuple[List[int], Dict[str, int]]]] = {
        "length": {value: ([value] * (most // value), {}) for value in sizes.lengths},
        "batch": {value: (lengths_up_to(value, lengths), {}) for value in sizes.batches},
        "depth": {value: (usual, {"depth": value}) for value in sizes.depths},
        "width": {value: (usual, {"width": value}) for value in sizes.widths},
    }
    results = {}
    for axis, settings in axes.items():
        msg.info(f"Scaling: {axis}")
        active = list(ENCODERS)
        rates: Dict[str, List[Optional[float]]] = {name: [] for name in ENCODERS}
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
            turns = take_turns([(sum(batch), calls)] * rounds)
            for name, column in rates.items():
                column.append(median_rate(turns[name]) if name in active else None)
            for name in list(active):
                if max(taken for _, taken in turns[name]) > sizes.too_slow:
                    msg.warn(f"{name} takes too long at {axis} {value}, and sits out what follows.")
                    active.remove(name)
        results[axis] = {"values": list(settings), "rates": rates}
    return results


def machine_facts(threads: int, gpu_id: int) -> Dict[str, Any]:
    """What has been measured on and with."""
    cpu_info = Path("/proc/cpuinfo")
    cpu = platform.processor()
    if cpu_info.exists():
        fields = (line.split(":") for line in cpu_info.read_text().splitlines() if ":" in line)
        cpu = {name.strip(): value.strip() for name, value in fields}.get("model name", cpu)
    return {
        "cpu": cpu,
        "gpu": torch.cuda.get_device_name(gpu_id) if gpu_id >= 0 else None,
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "spacy": spacy.__version__,
    }


def named_paths(items: List[str]) -> Dict[str, Path]:
    """Read NAME=PATH."""
    pairs = (item.partition("=") for item in items)
    return {name: Path(path) for name, _, path in pairs}


def main(
    corpus: Path,
    output: Path,
    ours: Annotated[List[str], typer.Option(help="NAME=CONFIG of a pipeline of ours")],
    peer: Annotated[List[str], typer.Option(help="NAME=CONFIG of another, the first for ratios")],
    ner_corpus: Annotated[Path, typer.Option(help="A .spacy file with named entities")],
    ner: Annotated[List[str], typer.Option(help="NAME=CONFIG of an entity recognizer of ours")],
    ner_peer: Annotated[str, typer.Option(help="NAME=CONFIG of another, for ratios")],
    threads: int = 1,
    gpu_id: int = -1,
    lang: str = "en",
    ner_lang: str = "en",
    passes: Annotated[int, typer.Option(help="How often prediction goes over the corpus")] = 1,
    quick: Annotated[bool, typer.Option(help="Try everything at toy size")] = False,
) -> None:
    """Measure taggers on CORPUS, a .spacy file, and entity recognizers on another, and write all
    numbers to OUTPUT."""
    sizes = QUICK if quick else FULL
    use_device(threads, gpu_id)
    own, peers = named_paths(ours), named_paths(peer)
    paths = {**own, **peers}
    first_peer = next(iter(peers))
    contestants = {name: build(path, corpus, lang) for name, path in paths.items()}
    sentences = contestants[first_peer].docs
    lengths = [len(doc) for doc in sentences if len(doc)]
    ner_paths = named_paths([*ner, ner_peer])
    ner_peer_name = list(ner_paths)[-1]
    recognizers = {name: build(path, ner_corpus, ner_lang) for name, path in ner_paths.items()}
    encoders, flop_rate = measure_encoders(lengths, sizes)
    result: Dict[str, Any] = {
        "machine": machine_facts(threads, gpu_id),
        "contestants": {name: path.name for name, path in paths.items()},
        "ours": [*own, DILATED, BFLOAT16],
        "peer": first_peer,
        "encoders": encoders,
        "scaling": measure_scaling(lengths, sizes),
        "parts": measure_parts(contestants, first_peer, sizes, passes),
        "recognizers": {name: path.name for name, path in ner_paths.items()},
        "ner_peer": ner_peer_name,
        "entities": measure_pipelines(recognizers, ner_peer_name, ENTITIES, sizes, passes),
        "memory": {},
    }
    result["ceilings"] = {
        "flop_rate": flop_rate,
        "tokenizer": result["parts"]["tokenizer"][first_peer]["rate"],
    }
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
