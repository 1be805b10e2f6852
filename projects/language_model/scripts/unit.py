"""The unit of a language model that best tells whether a review is positive (Radford et al. 2017,
"Learning to generate reviews and discovering sentiment", section 4.2)."""

from pathlib import Path

import numpy
import spacy
import srsly
import typer
from numpy import ndarray
from wasabi import msg

from spacy_textconv.explain import find_language_model, read, render_readings
from spacy_textconv.pipeline.language_model import ConvLanguageModel


def read_reviews(path: Path, limit: int | None) -> tuple[list[str], ndarray]:
    """Sentences, each after a digit: 1 if it is positive."""
    lines = path.read_text(encoding="utf8").splitlines()[:limit]
    return [line[2:] for line in lines], numpy.array([int(line[0]) for line in lines])


def find_thresholds(X: ndarray, y: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """For each column, the threshold and the direction by which most rows are right, and the share
    that is."""
    order = X.argsort(axis=0, kind="stable")
    labels, zero = y[order], numpy.zeros((1, X.shape[1]), dtype="int64")
    # How many are right if all rows from one on are positive, and those before it are not.
    before = numpy.vstack([zero, (1 - labels).cumsum(axis=0)])
    right = before + labels.sum(axis=0) - numpy.vstack([zero, labels.cumsum(axis=0)])
    values = numpy.take_along_axis(X, order, axis=0)
    values = numpy.vstack([values[:1] - 1.0, values, values[-1:] + 1.0])
    # Nothing can be told between two rows that are equal.
    between = values[1:] > values[:-1]
    up, down = numpy.where(between, right, -1), numpy.where(between, len(y) - right, -1)
    rising = up.max(axis=0) >= down.max(axis=0)
    best = numpy.where(rising, up, down)
    places, columns = best.argmax(axis=0), numpy.arange(X.shape[1])
    thresholds = (values[places, columns] + values[places + 1, columns]) / 2
    return thresholds, rising, best[places, columns] / len(y)


def mean_rows(lm: ConvLanguageModel, nlp: spacy.Language, texts: list[str]) -> ndarray:
    """The activations of all units, in the mean of the letters of each text."""
    rows = lm.hidden([nlp.make_doc(text) for text in texts])
    return numpy.stack([row.mean(axis=0) for row in rows])


def main(pipeline: Path, assets: Path, output: Path, sentence: str, limit: int | None = None):
    nlp = spacy.load(pipeline)
    lm = find_language_model(nlp)
    (texts, y), (test_texts, test_y) = (
        read_reviews(assets / f"stsa.binary.{split}", limit) for split in ("train", "test")
    )
    thresholds, rising, shares = find_thresholds(mean_rows(lm, nlp, texts), y)
    unit = int(shares.argmax())
    X = mean_rows(lm, nlp, test_texts)[:, unit]
    positive = numpy.greater(X, thresholds[unit]) == rising[unit]
    accuracy = float((positive == test_y).mean())
    most = float(max(test_y.mean(), 1 - test_y.mean()))
    result = {"unit": unit, "train": float(shares[unit]), "test": accuracy, "most_frequent": most}
    srsly.write_json(output, result)
    page = render_readings(read(nlp, [sentence], units=[unit]), page=True)
    output.with_suffix(".html").write_text(page, encoding="utf8")
    msg.good(f"Unit {unit} alone is right for {accuracy:.1%} of the test reviews")
    msg.info(f"The more frequent class would be right for {most:.1%}")


if __name__ == "__main__":
    typer.run(main)
