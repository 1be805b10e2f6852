"""The memory that a prediction needs on top of the pipeline, each in a fresh process."""

import multiprocessing
from itertools import cycle, islice
from pathlib import Path

import torch
from spacy.tokens import Doc
from spacy.util import load_config, load_model_from_config
from thinc.api import require_gpu, set_gpu_allocator
from wasabi import msg

Words = list[list[str]]


def use_device(threads: int, gpu_id: int) -> None:
    """Choose the device and the number of threads that this process computes with.

    threads (int): The number of torch's threads. Thinc's own BLAS has one.
    gpu_id (int): The number of the CUDA device, or -1 for the CPU.
    """
    torch.set_num_threads(threads)
    if gpu_id >= 0:
        require_gpu(gpu_id)
        # Without it, cupy's memory is counted in a pool of its own.
        set_gpu_allocator("pytorch")


def can_measure(gpu_id: int) -> bool:
    """Say whether the device's peak can be read: the CPU's needs the /proc folder of Linux."""
    return gpu_id >= 0 or Path("/proc/self/clear_refs").exists()


def workloads(docs: list[Doc], doc_words: int, sentences: int) -> dict[str, Words]:
    """Make one long document and a batch of sentences from the words of a corpus.

    docs (list[Doc]): The sentences of the corpus, which are repeated if there are too few.
    doc_words (int): The length of the long document.
    sentences (int): The number of sentences in the batch.
    RETURNS (dict[str, Words]): The words of each document, by a name for the workload.
    """
    texts = [[token.text for token in doc] for doc in docs]
    endless = cycle(word for text in texts for word in text)
    return {
        f"one document of {doc_words:,} words": [list(islice(endless, doc_words))],
        f"{sentences:,} sentences": list(islice(cycle(texts), sentences)),
    }


def measure_peaks(
    configs: dict[str, Path], loads: dict[str, Words], threads: int, gpu_id: int
) -> dict[str, dict[str, int | None]]:
    """Measure every workload with every pipeline.

    configs (dict[str, Path]): The configs of the pipelines by name.
    loads (dict[str, Words]): The workloads by name.
    threads (int): The number of torch's threads.
    gpu_id (int): The number of the CUDA device, or -1 for the CPU.
    RETURNS (dict[str, dict[str, int | None]]): The bytes, by workload and pipeline; null is for
        a pipeline that failed.
    """
    peaks: dict[str, dict[str, int | None]] = {load: {} for load in loads}
    # What one prediction has freed, the next would find: each has a process of its own.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for load, texts in loads.items():
            for name, path in configs.items():
                arguments = (path, texts, threads, gpu_id)
                try:
                    peaks[load][name] = pool.apply(peak_of_prediction, arguments)
                # The cuDNN library refuses an LSTM over a very long document, for example.
                except RuntimeError as err:
                    msg.warn(f"{name} fails on {load}.", err)
                    peaks[load][name] = None
    return peaks


def peak_of_prediction(path: Path, texts: Words, threads: int, gpu_id: int) -> int:
    """Predict with the tok2vec of a config and measure the highest memory above what was in use.

    path (Path): The config.
    texts (Words): The words of each document.
    threads (int): The number of torch's threads.
    gpu_id (int): The number of the CUDA device, or -1 for the CPU.
    RETURNS (int): The additional bytes at the peak, the vectors that come out among them.
    """
    use_device(threads, gpu_id)
    nlp = load_model_from_config(load_config(path), auto_fill=True)
    model = nlp.get_pipe("tok2vec").model
    docs = [Doc(nlp.vocab, words=words) for words in texts]
    sample = [Doc(nlp.vocab, words=texts[0][:10])]
    model.initialize(X=sample)
    # The first prediction also loads libraries.
    model.predict(sample)
    if gpu_id >= 0:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        model.predict(docs)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    # Sets the peak to what is in use now (see proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_bytes("VmRSS")
    model.predict(docs)
    return resident_bytes("VmHWM") - before


def resident_bytes(field: str) -> int:
    """Read a memory field of this process, "VmRSS" for now or "VmHWM" for the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)
