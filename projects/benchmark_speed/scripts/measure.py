"""Words per second of two pipelines that take turns on the same batches."""

import time
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Dict, Iterator, List

import srsly
import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import Adam, fix_random_seed
from wasabi import msg

BATCH_WORDS = 1000  # what the batches of `spacy init config` grow to
WARM_UP = 5


def build(config_path: Path, corpus: Path, lang: str) -> Language:
    """Initialize the pipeline of a config on the corpus."""
    overrides = {"paths.train": str(corpus), "paths.dev": str(corpus), "nlp.lang": lang}
    return init_nlp(load_config(config_path, overrides=overrides))


def copy_words(doc: Doc, nlp: Language) -> Doc:
    """Make a document of the same words, without annotation."""
    spaces = [bool(token.whitespace_) for token in doc]
    return Doc(nlp.vocab, words=[token.text for token in doc], spaces=spaces)


class Runner:
    """A pipeline, and the seconds that each round took it."""

    def __init__(self, nlp: Language, optimizer: Adam):
        self.nlp = nlp
        self.optimizer = optimizer
        self.rates: Dict[str, List[float]] = {"train": [], "predict": []}

    def train(self, docs: List[Doc]) -> None:
        """Time an update, as `spacy train` makes it, with a batch."""
        examples = [Example(copy_words(doc, self.nlp), doc) for doc in docs]
        start = time.perf_counter()
        self.nlp.update(examples, sgd=False, drop=0.1)
        for _, pipe in self.nlp.pipeline:
            pipe.finish_update(self.optimizer)
        self.rates["train"].append(sum(map(len, docs)) / (time.perf_counter() - start))

    def predict(self, docs: List[Doc]) -> None:
        """Time the whole pipeline on a batch, from documents to tags."""
        words = [copy_words(doc, self.nlp) for doc in docs]
        start = time.perf_counter()
        for _ in self.nlp.pipe(words):
            pass
        self.rates["predict"].append(sum(map(len, docs)) / (time.perf_counter() - start))


def batches(corpus: Path, nlp: Language, words: int) -> Iterator[List[Doc]]:
    """Yield batches of about the same number of words, without end."""
    docs = list(DocBin().from_disk(corpus).get_docs(nlp.vocab))
    return cycle(list(minibatch_by_words(docs, size=words, get_length=len)))


def main(
    config: Path,
    peer: Path,
    corpus: Path,
    output: Path,
    threads: int = 2,
    rounds: int = 60,
    lang: str = "en",
) -> None:
    """Measure CONFIG against PEER on CORPUS, and write words per second to OUTPUT."""
    torch.set_num_threads(threads)
    fix_random_seed(0)
    runners = {
        name: Runner(build(path, corpus, lang), Adam(0.001, use_averages=name == "textconv"))
        for name, path in {"textconv": config, "spacy_cnn": peer}.items()
    }
    first = runners["textconv"].nlp
    for task, words in (("train", BATCH_WORDS), ("predict", 10 * BATCH_WORDS)):
        turns = batches(corpus, first, words)
        for _ in range(WARM_UP + rounds):
            docs = next(turns)
            for runner in runners.values():
                getattr(runner, task)(docs)
    result = {
        task: {name: median(runner.rates[task][WARM_UP:]) for name, runner in runners.items()}
        for task in ("train", "predict")
    }
    for rates in result.values():
        rates["ratio"] = rates["textconv"] / rates["spacy_cnn"]
    rows = [
        [task, f"{rates['textconv']:,.0f}", f"{rates['spacy_cnn']:,.0f}", f"{rates['ratio']:.2f}"]
        for task, rates in result.items()
    ]
    msg.divider(f"Words per second, {threads} thread(s)")
    header = ["Task", "textconv", "spaCy's CNN", "Ratio"]
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r"])
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, {"threads": threads, **result})


if __name__ == "__main__":
    typer.run(main)
