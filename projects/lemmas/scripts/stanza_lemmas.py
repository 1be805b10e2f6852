"""The lemmas of Stanza (Qi et al. 2020, "Stanza: a Python natural language processing toolkit for
many human languages"), as its authors have trained it. It needs `pip install stanza`, and a network
for the models."""

from collections.abc import Iterator
from pathlib import Path

import spacy
import stanza
import typer
from corpora import predict_splits
from spacy.tokens import Doc


def main(lang: str, package: str, corpus: Path, output_path: Path, gpu_id: int = -1) -> None:
    """Write the docs of the folder CORPUS as the models of PACKAGE, such as `ewt`, analyse them to
    the folder OUTPUT_PATH."""
    pipeline = stanza.Pipeline(
        lang,
        package=package,
        processors="tokenize,pos,lemma",
        tokenize_pretokenized=True,
        use_gpu=gpu_id >= 0,
    )

    def analyse(docs: list[Doc]) -> Iterator[Doc]:
        analysed = pipeline([[token.text for token in doc] for doc in docs])
        for doc, sentence in zip(docs, analysed.sentences, strict=True):
            for token, word in zip(doc, sentence.words, strict=True):
                token.lemma_, token.pos_ = word.lemma or "", word.upos
                token.set_morph(word.feats)
            yield doc

    predict_splits(analyse, spacy.blank("xx").vocab, corpus, output_path)


if __name__ == "__main__":
    typer.run(main)
