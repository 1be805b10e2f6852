"""The pipelines that take turns, each in a process of its own.

In one process, the threads of torch and those of numpy's matrix product would wait for each other.
"""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import torch
from memory import use_device
from spacy import registry
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import NumpyOps, get_current_ops, set_current_ops

Call = Callable[[], object]
# The words and the seconds that one of them took
Turn = tuple[int, float]

# Seconds before a turn. Idle threads of matrix products go on asking for work for a while, on the
# cores of whoever comes next.
REST = 0.2
MATRIX_SHAPE = (4096, 384, 128)
MATRIX_PRODUCTS = 20


@dataclass(frozen=True)
class Device:
    """What pipelines compute with.

    threads (int): The number of threads of torch and of numpy's matrix product.
    gpu_id (int): The number of the CUDA device, or -1 for the CPU.
    numpy_product (bool): Whether Thinc's layers multiply matrices with numpy, and not with the
        library of their own. That one has one thread in any case, and no fast kernel for some CPUs.
    """

    threads: int
    gpu_id: int = -1
    numpy_product: bool = False

    def use(self) -> None:
        """Let this process compute so."""
        use_device(self.threads, self.gpu_id)
        if self.numpy_product:
            set_current_ops(NumpyOps(use_blis=False))


class Contestant:
    """A pipeline that goes over a corpus, batch by batch.

    path (Path): Its config, which also says how it is trained.
    corpus (Path): Annotated documents, in a .spacy file, which it is initialized with.
    lang (str): The language of the pipeline.
    device (Device): What it computes with.
    """

    def __init__(self, path: Path, corpus: Path, lang: str, device: Device):
        device.use()
        overrides = {"paths.train": str(corpus), "paths.dev": str(corpus), "nlp.lang": lang}
        self.nlp = init_nlp(load_config(path, overrides=overrides))
        settings = self.nlp.config.interpolate()["training"]
        training = registry.resolve(settings, schema=ConfigSchemaTraining)
        self.optimizer, self.dropout = training["optimizer"], training["dropout"]
        self.docs = list(DocBin().from_disk(corpus).get_docs(self.nlp.vocab))
        self.calls: Iterator[tuple[int, Call]] = iter(())

    def start_pass(self, part: str, words: int) -> None:
        """Go to the start of the corpus. Caches of words are empty for a pass of prediction.

        part (str): What the turns are to time, a key of `PARTS`.
        words (int): The words of a batch.
        """
        if part != "train":
            # Loading empties all caches of words, ours and the tokenizer's.
            self.nlp.from_bytes(self.nlp.to_bytes())
        self.calls = (
            (sum(map(len, docs)), PARTS[part](self, docs))
            for docs in minibatch_by_words(self.docs, size=words, get_length=len)
        )

    def take_turn(self) -> Turn | None:
        """Time the next batch. None if the pass is over."""
        for words, call in self.calls:
            time.sleep(REST)
            return words, seconds(call)
        return None

    def keep(self, names: list[str]) -> None:
        """Remove all components but these. Removed rather than disabled: the tok2vec would wait for
        what its last listener sends."""
        for name in set(self.nlp.pipe_names) - set(names):
            self.nlp.remove_pipe(name)

    def product_rate(self) -> float:
        """The floating-point operations per second of a matrix product of Thinc's layers."""
        ops = get_current_ops()
        n, k, m = MATRIX_SHAPE
        left, right = (
            ops.asarray(numpy.random.default_rng(0).random(shape, dtype="f"))
            for shape in ((n, k), (k, m))
        )

        def multiply() -> None:
            for _ in range(MATRIX_PRODUCTS):
                ops.gemm(left, right)

        return 2 * n * k * m * MATRIX_PRODUCTS / median(seconds(multiply) for _ in range(10))

    def without_annotation(self, docs: list[Doc]) -> list[Doc]:
        """Make new documents of the same words."""
        return [
            Doc(
                self.nlp.vocab,
                words=[token.text for token in doc],
                spaces=[bool(token.whitespace_) for token in doc],
            )
            for doc in docs
        ]


class Remote:
    """A contestant in a process of its own, with the same methods.

    executor (Executor): That process.
    """

    def __init__(self, executor: Executor):
        self.executor = executor

    def __getattr__(self, method: str) -> Callable:
        return lambda *args: self.executor.submit(_call, method, args).result()


_contestant: Contestant


def _enter(*args: Any) -> None:
    global _contestant
    _contestant = Contestant(*args)


def _call(method: str, args: tuple) -> Any:
    return getattr(_contestant, method)(*args)


@contextmanager
def enter(
    paths: dict[str, Path], corpus: Path, lang: str, device: Device, ours: Collection[str]
) -> Iterator[dict[str, Remote]]:
    """Start a process for each contestant, and end it afterwards.

    paths (dict[str, Path]): The configs by name.
    corpus (Path): Annotated documents, in a .spacy file.
    lang (str): The language of the pipelines.
    device (Device): What they compute with.
    ours (Collection[str]): The names of those that keep Thinc's own matrix product: most of theirs
        are torch's, and its threads and numpy's disturb each other in one process.
    YIELDS (dict[str, Remote]): The contestants by name.
    """
    # Libraries of matrix products read it when they are loaded.
    os.environ["OMP_NUM_THREADS"] = str(device.threads)
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        remotes = {}
        for name, path in paths.items():
            own = replace(device, numpy_product=device.numpy_product and name not in ours)
            executor = ProcessPoolExecutor(
                1, spawn, initializer=_enter, initargs=(path, corpus, lang, own)
            )
            remotes[name] = Remote(stack.enter_context(executor))
        yield remotes


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


def exhaust(items: Iterable[object]) -> None:
    """Consume what a generator yields."""
    deque(items, maxlen=0)


# What can be timed. Each of these functions prepares a batch, outside of the time, and returns a
# call to be timed once.


def prepare_training(contestant: Contestant, docs: list[Doc]) -> Call:
    """An update as `spacy train` makes it, which also changes the weights."""
    new = contestant.without_annotation(docs)
    examples = [Example(doc, reference) for doc, reference in zip(new, docs, strict=True)]

    def update() -> None:
        contestant.nlp.update(examples, sgd=False, drop=contestant.dropout)
        for _, pipe in contestant.nlp.pipeline:
            pipe.finish_update(contestant.optimizer)
        contestant.optimizer.step_schedules()

    return update


def prepare_tokenizer(contestant: Contestant, docs: list[Doc]) -> Call:
    """From text to documents."""
    return partial(exhaust, map(contestant.nlp.make_doc, [doc.text for doc in docs]))


def prepare_embed(contestant: Contestant, docs: list[Doc]) -> Call:
    """From documents to the vectors of words by themselves."""
    embed, _ = contestant.nlp.get_pipe("tok2vec").model.layers
    return partial(embed.predict, contestant.without_annotation(docs))


def prepare_encode(contestant: Contestant, docs: list[Doc]) -> Call:
    """From there to the vectors of words in context."""
    embed, encode = contestant.nlp.get_pipe("tok2vec").model.layers
    return partial(encode.predict, embed.predict(contestant.without_annotation(docs)))


def prepare_tok2vec(contestant: Contestant, docs: list[Doc]) -> Call:
    """Both of these steps."""
    model = contestant.nlp.get_pipe("tok2vec").model
    return partial(model.predict, contestant.without_annotation(docs))


def prepare_pipe_docs(contestant: Contestant, docs: list[Doc]) -> Call:
    """From documents to annotated documents."""
    return partial(exhaust, contestant.nlp.pipe(contestant.without_annotation(docs)))


def prepare_pipe_text(contestant: Contestant, docs: list[Doc]) -> Call:
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
PARTS = {"train": prepare_training, **PREDICTION}
