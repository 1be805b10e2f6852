"""Reviews that are written under a label: whether a classifier finds the label in them, how much of
a review is kept, how probable they are to a language model, and how many are known by heart.
Classifier and language model have read other reviews."""

from pathlib import Path
from typing import Any

import spacy
import srsly
import typer
from sacrebleu.metrics import BLEU
from spacy.language import Language
from spacy.tokens import DocBin
from wasabi import msg

HEADER = ["Texts", "Label %", "BLEU with the source", "Bits per character", "Known %"]


def measure_accuracy(judge: Language, texts: list[str], labels: list[str]) -> float:
    docs = judge.pipe(texts)
    found = [max(doc.cats, key=lambda label: doc.cats[label]) for doc in docs]
    return sum(one == label for one, label in zip(found, labels, strict=True)) / len(labels)


def measure_surprise(lm: Language, texts: list[str]) -> float:
    """Bits per character of all texts together, with their ends."""
    surprise = sum(float(doc._.surprise.sum()) for doc in lm.pipe(texts))
    return surprise / max(1, sum(map(len, texts)))


def rewrite(vae: Any, texts: list[str], *wanted: list[str], **settings: Any) -> list[list[str]]:
    """Write the texts of the points of texts, for each list of labels under these."""
    points = vae.encode(texts, cut=True)
    under = {label: vae.decode(points, label=label, **settings) for label in vae.conditions}
    return [[under[label][number] for number, label in enumerate(labels)] for labels in wanted]


def main(
    training: Path,
    learned: Path,
    judge: Path,
    lm: Path,
    reviews: Path,
    output_path: Path,
    number: int = 1000,
    strength: float = 1.0,
    beam: int = 1,
) -> None:
    """Measure TRAINING/model-best, which has read LEARNED, by the pipelines JUDGE and LM: what is
    made of REVIEWS, and NUMBER texts of random points, with a BEAM and under a label that counts
    STRENGTH. Write OUTPUT_PATH (JSON)."""
    nlp, judge_nlp, lm_nlp = spacy.load(training / "model-best"), spacy.load(judge), spacy.load(lm)
    vae = nlp.get_pipe("vae")
    known = {doc.text for doc in DocBin().from_disk(learned).get_docs(nlp.vocab)}
    docs = [*DocBin().from_disk(reviews).get_docs(nlp.vocab)]
    sources = [doc.text for doc in docs]
    labels = [max(doc.cats, key=lambda label: doc.cats[label]) for doc in docs]
    first, second = vae.conditions
    others = [second if label == first else first for label in labels]
    settings = {"strength": strength, "beam": beam}
    drawn = [label for label in vae.conditions for _ in range(number // 2)]
    generated = [
        text
        for seed, label in enumerate(vae.conditions)
        for text in vae.generate(number // 2, seed=seed, label=label, **settings)
    ]
    own, other = rewrite(vae, sources, labels, others, **settings)
    bleu = BLEU()
    results: dict[str, Any] = {}
    for name, texts, wanted in [
        ("the reviews themselves", sources, labels),
        ("under their own label", own, labels),
        ("under the other label", other, others),
        ("of random points", generated, drawn),
    ]:
        results[name] = {
            "accuracy": measure_accuracy(judge_nlp, texts, wanted),
            "bleu": None if texts is generated else bleu.corpus_score(texts, [sources]).score,
            "bits_per_character": measure_surprise(lm_nlp, texts),
            "known": sum(text in known for text in texts) / len(texts),
            "texts": texts[:10],
        }
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, results)
    rows = [
        (
            name,
            f"{100 * scores['accuracy']:.1f}",
            "" if scores["bleu"] is None else f"{scores['bleu']:.1f}",
            f"{scores['bits_per_character']:.2f}",
            f"{100 * scores['known']:.1f}",
        )
        for name, scores in results.items()
    ]
    msg.table(rows, header=HEADER, divider=True, aligns=["l", "r", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
