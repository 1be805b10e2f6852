"""What annotates shards: this process, several of this machine, or those of a Ray cluster."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional

from spacy import util
from spacy.cli._util import import_code, setup_gpu

from ..errors import Errors
from ._shards import Shard, read_docs, write_docs


class Worker(NamedTuple):
    """What a worker needs to load its pipeline.

    model (str): The name or path of the pipeline.
    code (Optional[str]): The path of a Python file with additional code.
    gpu_id (int): The GPU, or -1 for the CPU.
    batch_size (Optional[int]): The batch size, or None for that of the pipeline.
    """

    model: str
    code: Optional[str]
    gpu_id: int
    batch_size: Optional[int]


class Annotator:
    """Annotates shards, with a pipeline that it loads once."""

    def __init__(self, worker: Worker) -> None:
        import_code(worker.code)
        setup_gpu(worker.gpu_id, silent=True)
        self.nlp = util.load_model(worker.model)
        self.batch_size = worker.batch_size

    def __call__(self, shard: Shard) -> Shard:
        try:
            # So that the strings of one shard are forgotten before the next.
            with self.nlp.memory_zone():
                docs = self.nlp.pipe(read_docs(shard, self.nlp), batch_size=self.batch_size)
                write_docs(docs, Path(shard["output"]))
        except Exception as err:
            raise ValueError(Errors.E146.format(reason=err, **shard)) from err
        return shard


_annotator: Annotator


def annotate_in_processes(shards: List[Shard], worker: Worker, n_process: int) -> Iterator[Shard]:
    """Annotate shards in processes. They are spawned, because a forked one may wait forever for a
    lock that a thread held at the time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_process, context, _start_process, (worker,)) as pool:
        try:
            yield from pool.map(_annotate, shards)
        except BrokenProcessPool as err:
            raise ValueError(Errors.E128) from err


def _start_process(worker: Worker) -> None:
    import torch

    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    global _annotator
    _annotator = Annotator(worker)


def _exit_with_parent() -> None:
    """Without this, a process waits for more work forever when its parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _annotate(shard: Shard) -> Shard:
    return _annotator(shard)


def annotate_with_ray(shards: List[Shard], worker: Worker, n_process: int) -> Iterator[Shard]:
    """Annotate shards in actors of Ray Data, which gives the shards of a lost machine to others.
    All machines need the same paths, for example of a shared file system."""
    try:
        import ray.data
    except ImportError as err:
        raise ValueError(Errors.E147.format(reason=err)) from err
    gpus = None
    if worker.gpu_id >= 0:
        # Ray gives each actor a GPU of its own, which is the only one that it sees.
        worker, gpus = worker._replace(gpu_id=0), 1
    # A block is what an actor gets at once, and what Ray repeats.
    dataset = ray.data.from_items(shards, override_num_blocks=len(shards))
    actors = ray.data.ActorPoolStrategy(size=n_process)
    annotator: Any = Annotator
    annotated: Any = dataset.map(
        annotator, fn_constructor_args=(worker,), compute=actors, num_gpus=gpus
    )
    yield from annotated.iter_rows()
