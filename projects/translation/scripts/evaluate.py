"""Choose how to search on the dev set, translate the test set in the same way, and score both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import srsly
import typer
from peer import Translator
from sacrebleu.metrics import BLEU, CHRF
from tables import read_table
from wasabi import msg

app = typer.Typer(help=__doc__)

# Beams and length penalties to choose from; the latter means nothing to a beam of 1.
SETTINGS = [(1, 1.0), (5, 0.6), (5, 1.0), (5, 1.4)]
# Texts, a beam and a length penalty to translations
Translate = Callable[[list[str], int, float], list[str]]


def score(found: list[str], gold: list[str]) -> dict[str, Any]:
    """Score texts as they are and, beside it, in lower case; sacrebleu tokenizes both by the rules
    of WMT 2013 (13a)."""
    metrics = {"bleu": BLEU(), "bleu_lowercased": BLEU(lowercase=True), "chrf": CHRF()}
    scores = {name: metric.corpus_score(found, [gold]).score for name, metric in metrics.items()}
    signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return {**scores, "signatures": signatures}


def evaluate(translate: Translate, training: Path, corpus: Path, output: Path, name: str) -> None:
    """Write predictions/SPLIT/NAME.txt and metrics/SPLIT/NAME.json of the folder OUTPUT."""
    results: list[tuple[dict[str, Any], list[str]]] = []
    pairs = {split: read_table(corpus / f"{split}.tsv") for split in ("dev", "test")}

    def run(split: str, beam: int, length_penalty: float) -> tuple[dict[str, Any], list[str]]:
        found = translate([pair.source for pair in pairs[split]], beam, length_penalty)
        scores = score(found, [pair.target for pair in pairs[split]])
        return {"beam": beam, "length_penalty": length_penalty, **scores}, found

    for beam, length_penalty in SETTINGS:
        results.append(run("dev", beam, length_penalty))
        bleu = results[-1][0]["bleu"]
        msg.text(f"dev, beam {beam}, length penalty {length_penalty}: {bleu:.2f} BLEU")
    best = max(results, key=lambda result: result[0]["bleu"])
    chosen = best[0]["beam"], best[0]["length_penalty"]
    for split, (scores, found) in {"dev": best, "test": run("test", *chosen)}.items():
        text_path = output / "predictions" / split / f"{name}.txt"
        scores_path = output / "metrics" / split / f"{name}.json"
        for path in (text_path, scores_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        text_path.write_text("".join(f"{text}\n" for text in found), encoding="utf8")
        srsly.write_json(scores_path, {**scores, **srsly.read_json(training)})
        msg.good(f"{scores_path}: {scores['bleu']:.2f} BLEU")
        for signature in scores["signatures"].values():
            msg.text(signature)


@app.command("pipeline")
def evaluate_pipeline(training: Path, corpus: Path, output: Path, name: str) -> None:
    """Evaluate TRAINING/model-best on the tables of CORPUS."""
    nlp = spacy.load(training / "model-best")
    translator = nlp.get_pipe("translator")

    def translate(texts: list[str], beam: int, length_penalty: float) -> list[str]:
        translator.beam, translator.length_penalty = beam, length_penalty
        return [doc._.translation for doc in nlp.pipe(texts)]

    evaluate(translate, training / "training.json", corpus, output, name)


@app.command("peer")
def evaluate_peer(training: Path, corpus: Path, output: Path, name: str) -> None:
    """Evaluate the peer in TRAINING on the tables of CORPUS."""
    translate = Translator.load(training).translate
    evaluate(translate, training / "training.json", corpus, output, name)


if __name__ == "__main__":
    app()
