"""Columns of words and entity tags (IOB2 or BIOES) to .spacy."""

import re
from collections.abc import Iterator
from pathlib import Path

import typer
from spacy.tokens import Doc, DocBin
from spacy.training import biluo_tags_to_spans, iob_to_biluo
from spacy.util import minibatch
from spacy.vocab import Vocab
from wasabi import msg

BILUO = {"S": "U", "E": "L"}  # What BIOES calls S and E
TAG = re.compile("O|[BIESLU]-.+")


def split_columns(line: str) -> list[str]:
    """Without tabs, all but the last column is the word, which may contain spaces."""
    return line.split("\t") if "\t" in line else line.rsplit(" ", 1)


def read_sentence(lines: list[str], word_column: int) -> tuple[list[str], list[str]]:
    """The words of a sentence and their tags in the BILUO scheme."""
    words, tags = [], []
    for line in lines:
        columns = split_columns(line)
        if len(columns) < word_column + 2:
            raise ValueError(
                f"No word and tag from column {word_column} on (--word-column): {line}"
            )
        word, tag = columns[word_column : word_column + 2]
        if not TAG.fullmatch(tag):
            raise ValueError(f"No tag in the scheme IOB2 or BIOES, such as O or B-PER: {tag!r}")
        words.append(word)
        tags.append(BILUO.get(tag[0], tag[0]) + tag[1:])
    return words, iob_to_biluo(tags)


def read_docs(path: Path, word_column: int, n_sents: int) -> Iterator[Doc]:
    """N_SENTS sentences in a row make a doc, and where the file says that a text begins, so does a
    doc. Sentence starts are not marked, because `gold_preproc` would cut the docs there."""
    vocab = Vocab()
    for text in re.split(r"^# newdoc\b.*$", path.read_text(encoding="utf8"), flags=re.MULTILINE):
        blocks = [block.split("\n") for block in re.split(r"\n\s*\n", text.strip("\n"))]
        if word_column > 0:
            # Words in the first column may begin with #, as hashtags do; numbers don't.
            blocks = [[line for line in block if not line.startswith("#")] for block in blocks]
        for group in minibatch(filter(any, blocks), n_sents):
            sentences = [read_sentence(block, word_column) for block in group]
            doc = Doc(vocab, words=[word for words, _ in sentences for word in words])
            doc.ents = biluo_tags_to_spans(doc, [tag for _, tags in sentences for tag in tags])
            yield doc


def main(input_path: Path, output_path: Path, word_column: int = 0, n_sents: int = 1) -> None:
    """Write a .spacy file with N_SENTS sentences in each doc. Columns count from 0, and the tag
    stands in the column after WORD_COLUMN. If that is not the first, lines with # are comments."""
    docs = list(read_docs(input_path, word_column, n_sents))
    if not docs:
        raise ValueError(f"No sentences in {input_path}")
    output_path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs).to_disk(output_path)
    n_words = sum(len(doc) for doc in docs)
    n_entities = sum(len(doc.ents) for doc in docs)
    msg.good(f"{output_path}: {len(docs):,} docs, {n_words:,} words, {n_entities:,} entities")


if __name__ == "__main__":
    typer.run(main)
