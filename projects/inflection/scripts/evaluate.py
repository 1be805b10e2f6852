"""Exact match, of all lemmas and of unseen ones, and the letter error rate: of a pipeline, or of
forms that another system has written."""

from pathlib import Path
from typing import Any

import spacy
import srsly
import typer
from spacy.language import Language
from spacy.training import Example
from wasabi import msg

from spacy_textconv.scorers import transducer_score

TARGET, FEATURES = "_.inflection", "_.features"

app = typer.Typer(help=__doc__)


def read_pairs(path: Path, nlp: Language) -> list[Example]:
    """One example for each pair: the lemma, and the form that is right."""
    create_reader = spacy.registry.readers.get("spacy-textconv.PairsCorpus.v1")
    return list(create_reader(path=path, target=TARGET, features=FEATURES)(nlp))


def score_forms(forms: list[str], examples: list[Example], known: set[str]) -> dict[str, Any]:
    """Score a form for each example. KNOWN are the lemmas that the training data has."""
    for form, example in zip(forms, examples, strict=True):
        example.predicted[0]._.inflection = form
    return transducer_score(examples, source="ORTH", target=TARGET, known=known)


def save(scores: dict[str, Any], output_path: Path) -> None:
    """Write the scores of forms under names without that of the attribute, such as `acc`."""
    prefix = "inflection_"
    kept = {key.removeprefix(prefix): scores[key] for key in scores if key.startswith(prefix)}
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, kept)
    msg.good(f"{output_path}: exact match {100 * kept['acc']:.2f} %")


@app.command("pipeline")
def evaluate_pipeline(pipeline: Path, pairs: Path, output_path: Path, gpu_id: int = -1) -> None:
    """Inflect the lemmas of PAIRS with PIPELINE, and write the scores to OUTPUT_PATH (JSON)."""
    if gpu_id >= 0:
        spacy.require_gpu(gpu_id)
    nlp = spacy.load(pipeline)
    save(nlp.evaluate(read_pairs(pairs, nlp)), output_path)


@app.command("forms")
def evaluate_forms(forms: Path, pairs: Path, train: Path, output_path: Path) -> None:
    """Score the lines of FORMS, one for each of PAIRS, of a system that has learned from TRAIN."""
    nlp = spacy.blank("xx")
    known = {example.text for example in read_pairs(train, nlp)}
    lines = forms.read_text(encoding="utf8").removesuffix("\n").split("\n")
    save(score_forms(lines, read_pairs(pairs, nlp), known), output_path)


if __name__ == "__main__":
    app()
