"""New sentences, each with the beginning of one and the end of another. To squeeze a sentence into
a vector and to write it again has to be learned for any words in any places, and the sentences
alone are soon known by heart."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example


def splice(first: Doc, second: Doc) -> str:
    """Go on with the second text at about the place where the first one is left."""
    place = random.randint(0, len(first))
    start = min(max(place + random.randint(-2, 2), 0), len(second))
    space = second[start - 1].whitespace_ if start else " "
    return f"{first[:place].text}{space}{second[start:].text}".strip()


@spacy.registry.readers("sentences.SplicedCorpus.v1")
def create_spliced_corpus(path: Path, share: float) -> Callable[[Language], Iterator[Example]]:
    """Read a .spacy file in another order each time, with a share of new sentences. It is for
    `max_epochs = -1`, with which `spacy train` reads a corpus anew for each epoch."""

    def read(nlp: Language) -> Iterator[Example]:
        docs = [*DocBin().from_disk(path).get_docs(nlp.vocab)]
        random.shuffle(docs)
        for doc in docs:
            spliced = random.random() < share
            text = splice(doc, random.choice(docs)) if spliced else doc.text
            yield Example(nlp.make_doc(text), nlp.make_doc(text))

    return read
