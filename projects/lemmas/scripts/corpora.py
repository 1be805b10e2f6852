"""The docs of a treebank, as other scripts read and write them."""

from collections.abc import Callable, Iterable
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from wasabi import msg

# What systems are evaluated on
SPLITS = ["dev", "test"]


def read_docs(path: Path, vocab: Vocab) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(vocab))


def copy_words(doc: Doc) -> Doc:
    """A doc with the same words, and nothing that is known about them."""
    words, spaces = [t.text for t in doc], [bool(t.whitespace_) for t in doc]
    return Doc(doc.vocab, words=words, spaces=spaces)


def predict_splits(
    predict: Callable[[list[Doc]], Iterable[Doc]], vocab: Vocab, corpus: Path, output_path: Path
) -> None:
    """Write what is predicted for the words of each SPLIT.spacy of the folder CORPUS to a file of
    the same name in OUTPUT_PATH."""
    output_path.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        docs = [copy_words(doc) for doc in read_docs(corpus / f"{split}.spacy", vocab)]
        DocBin(docs=predict(docs)).to_disk(output_path / f"{split}.spacy")
        msg.good(f"{output_path / split}.spacy: {len(docs):,} docs")
