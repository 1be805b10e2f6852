"""CoNLL-U to .spacy: words, spaces, lemmas and the three columns of tags."""

from collections.abc import Iterator
from pathlib import Path

import typer
from spacy.tokens import Doc, DocBin
from spacy.training.converters import conllu_to_docs
from wasabi import msg


def without_parse(doc: Doc) -> Doc:
    """Copy all but the tree. The tree also marks where sentences begin, and a corpus read with
    `gold_preproc = true` would be cut there, whatever the number of sentences in a doc. What is
    marked as having no lemma ("_") gets none."""
    return Doc(
        doc.vocab,
        words=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
        lemmas=["" if token.lemma_ == "_" != token.text else token.lemma_ for token in doc],
        tags=[token.tag_ for token in doc],
        pos=[token.pos_ for token in doc],
        morphs=[str(token.morph) for token in doc],
    )


def read_conllu(path: Path, n_sents: int) -> Iterator[Doc]:
    """A token is a syntactic word: the segments of a multiword token, not its surface form;
    empty nodes are left out."""
    text = path.read_text(encoding="utf8")
    for doc in conllu_to_docs(text, n_sents=n_sents, no_print=True):
        yield without_parse(doc)


def main(input_path: Path, output_path: Path, n_sents: int = 1) -> None:
    """Write a .spacy file with N_SENTS sentences in each doc."""
    docs = list(read_conllu(input_path, n_sents))
    output_path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs).to_disk(output_path)
    n_words = sum(len(doc) for doc in docs)
    msg.good(f"{output_path}: {len(docs):,} docs of {n_sents} sentence(s), {n_words:,} words")


if __name__ == "__main__":
    typer.run(main)
