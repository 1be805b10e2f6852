"""Words per second of two pipelines that take turns, and of their lemmatizers alone, from docs with
words to lemmas. What counts are seconds of the processor, on one thread."""

from pathlib import Path
from statistics import median
from time import process_time

import spacy
import srsly
import torch
import typer
from corpora import copy_words, read_docs
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from spacy_textconv.models.attributes import read
from spacy_textconv.pipeline.transducer import ConvTransducer

LEMMATIZER = "lemmatizer"
# Of the whole pipeline, and of the lemmatizer
Seconds = tuple[float, float]


def time_pass(nlp: Language, docs: list[Doc]) -> Seconds:
    """Analyse docs that have nothing but words."""
    docs = [copy_words(doc) for doc in docs]
    start = process_time()
    docs = list(nlp.pipe(docs, disable=[LEMMATIZER]))
    middle = process_time()
    for _ in nlp.get_pipe(LEMMATIZER).pipe(docs, batch_size=nlp.batch_size):
        pass
    end = process_time()
    return end - start, end - middle


def time_network(lemmatizer: ConvTransducer, docs: list[Doc]) -> tuple[int, float]:
    """How many words the network makes lemmas of, and the seconds that it takes, where neither the
    training data nor earlier results are looked up: all words of docs, or, if it doesn't read what
    stands around them, those that differ in their form or features."""
    memory, lemmatizer.memory = lemmatizer.memory, False
    if lemmatizer.reads_context:
        number = sum(map(len, docs))
        start = process_time()
        lemmatizer.predict(docs)
    else:
        words = {
            (t.text, *(read(t, name) for name in lemmatizer.features)) for d in docs for t in d
        }
        strings, features = zip(*((form, values) for form, *values in sorted(words)), strict=True)
        number = len(words)
        start = process_time()
        lemmatizer.transduce(strings, features)
    seconds = process_time() - start
    lemmatizer.memory = memory
    return number, seconds


def main(ours: Path, peer: Path, corpus: Path, output_path: Path, turns: int = 5) -> None:
    """Measure the pipelines OURS and PEER on CORPUS, and write OUTPUT_PATH (JSON). The first turn,
    which fills caches, doesn't count."""
    torch.set_num_threads(1)
    pipelines = {path: spacy.load(path) for path in (ours, peer)}
    docs = {path: read_docs(corpus, nlp.vocab) for path, nlp in pipelines.items()}
    seconds: dict[Path, list[Seconds]] = {ours: [], peer: []}
    network = []
    for _ in range(turns + 1):
        for path, nlp in pipelines.items():
            seconds[path].append(time_pass(nlp, docs[path]))
        lemmatizer = pipelines[ours].get_pipe(LEMMATIZER)
        analysed = pipelines[ours].pipe(map(copy_words, docs[ours]), disable=[LEMMATIZER])
        network.append(time_network(lemmatizer, list(analysed)))
    n_words = sum(map(len, docs[ours]))
    result = {}
    for part, name in enumerate(["pipeline", "lemmatizer"]):
        own, others = ([turn[part] for turn in seconds[path][1:]] for path in (ours, peer))
        result[name] = {
            "ours": n_words / median(own),
            "peer": n_words / median(others),
            "ratio": median(b / a for a, b in zip(own, others, strict=True)),
        }
    result["network_words"] = network[0][0]
    result["network_words_per_second"] = median(n / time for n, time in network[1:])
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    rows = [
        (name, f"{cell['ours']:,.0f}", f"{cell['peer']:,.0f}", f"{cell['ratio']:.2f}")
        for name, cell in result.items()
        if isinstance(cell, dict)
    ]
    header = ["Words per second", "Ours", "Peer", "Ratio"]
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r"])
    rate, number = result["network_words_per_second"], result["network_words"]
    msg.text(f"{rate:,.0f} words per second, of {number:,}, from the network alone")


if __name__ == "__main__":
    typer.run(main)
