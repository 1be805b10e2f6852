"""CoNLL-U to .spacy: words, spaces, lemmas, the three columns of tags, and trees of sentences."""

from collections.abc import Iterator
from pathlib import Path

import typer
from spacy.tokens import Doc, DocBin
from spacy.training.converters import conllu_to_docs
from wasabi import msg


def clean(doc: Doc, trees: bool) -> Doc:
    """Copy what is wanted, with the trees or without. What is marked as having no lemma ("_") gets
    none."""
    return Doc(
        doc.vocab,
        words=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
        lemmas=["" if token.lemma_ == "_" != token.text else token.lemma_ for token in doc],
        tags=[token.tag_ for token in doc],
        pos=[token.pos_ for token in doc],
        morphs=[str(token.morph) for token in doc],
        heads=[token.head.i for token in doc] if trees else None,
        deps=[token.dep_ for token in doc] if trees else None,
    )


def read_conllu(path: Path, n_sents: int) -> Iterator[Doc]:
    """A token is a syntactic word: the segments of a multiword token, not its surface form;
    empty nodes are left out. Trees also mark where sentences begin, and a corpus read with
    `gold_preproc = true` would be cut there, so docs of several sentences have none."""
    text = path.read_text(encoding="utf8")
    for doc in conllu_to_docs(text, n_sents=n_sents, no_print=True):
        yield clean(doc, trees=n_sents == 1)


def main(input_path: Path, output_path: Path, n_sents: int = 1) -> None:
    """Write a .spacy file with N_SENTS sentences in each doc."""
    docs = list(read_conllu(input_path, n_sents))
    output_path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs).to_disk(output_path)
    n_words = sum(len(doc) for doc in docs)
    msg.good(f"{output_path}: {len(docs):,} docs of {n_sents} sentence(s), {n_words:,} words")


if __name__ == "__main__":
    typer.run(main)
