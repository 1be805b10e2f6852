"""The lemmas of UDPipe 1.2 (Straka and Straková 2017, "Tokenizing, POS tagging, lemmatizing and
parsing UD 2.0 with UDPipe"), trained on the treebank. It needs `pip install ufal.udpipe`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import spacy
import typer
from corpora import predict_splits
from spacy.tokens import Doc
from ufal.udpipe import InputFormat, Model, ProcessingError, Sentence, Sentences, Trainer
from wasabi import msg

# A model for lemmas and one for everything else, as for the models that the authors have published
OPTIONS = ";".join(
    [
        *("models=2", "templates_1=lemmatizer", "templates_2=tagger"),
        *("use_lemma_1=1", "provide_lemma_1=1", "use_lemma_2=0", "provide_lemma_2=0"),
        *("use_xpostag_1=0", "provide_xpostag_1=0", "use_xpostag_2=1", "provide_xpostag_2=1"),
        *("use_feats_1=0", "provide_feats_1=0", "use_feats_2=1", "provide_feats_2=1"),
    ]
)

app = typer.Typer(help=__doc__)


def read_conllu(path: Path) -> Sentences:
    reader, error = InputFormat.newConlluInputFormat(), ProcessingError()
    reader.setText(path.read_text(encoding="utf8"))
    sentences, sentence = Sentences(), Sentence()
    while reader.nextSentence(sentence, error):
        sentences.append(sentence)
        sentence = Sentence()
    check(error)
    return sentences


def check(error: ProcessingError) -> None:
    if error.occurred():
        msg.fail(f"UDPipe: {error.message}", exits=1)


@app.command("train")
def train(conllu: Path, output_path: Path) -> None:
    """Train the taggers and the lemmatizer on a file of the treebank, and write OUTPUT_PATH."""
    error = ProcessingError()
    model = Trainer.train(
        *("morphodita_parsito", read_conllu(conllu), Sentences()),
        *(Trainer.NONE, OPTIONS, Trainer.NONE, error),
    )
    check(error)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    output_path.write_bytes(model)
    msg.good(f"{output_path}: {len(model):,} bytes")


@app.command("predict")
def predict(model_path: Path, corpus: Path, output_path: Path) -> None:
    """Write the docs of the folder CORPUS as the model analyses them to the folder OUTPUT_PATH."""
    model = Model.load(str(model_path))
    if model is None:
        msg.fail(f"UDPipe can't load {model_path}", exits=1)

    def analyse(docs: Iterable[Doc]) -> Iterator[Doc]:
        for doc in docs:
            sentence, error = Sentence(), ProcessingError()
            for token in doc:
                sentence.addWord(token.text)
            model.tag(sentence, Model.DEFAULT, error)
            check(error)
            # The first one is the root.
            for token, word in zip(doc, list(sentence.words)[1:], strict=True):
                token.lemma_, token.pos_ = word.lemma, word.upostag
                token.set_morph(word.feats)
            yield doc

    predict_splits(analyse, spacy.blank("xx").vocab, corpus, output_path)


if __name__ == "__main__":
    app()
