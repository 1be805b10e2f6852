from pathlib import Path
from zipfile import ZipFile

import numpy
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.util import import_file

from ..explain.util import Page
from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "language_model" / "scripts"
REVIEWS = "1 good and long\n0 bad\n1 a good one\n0 a bad one\n"
SPLITS = ("train", "dev", "test")
VARS = {
    "vars.language": "he",
    "vars.pattern": "books/.",
    "vars.limit": 25,
    "vars.length": 30,
    "vars.seconds": 0.5,
    "vars.threads": 1,
    "vars.letters": 20,
    "vars.sentence": "a good one",
}


def load(name):
    return import_file(f"language_model_{name}", SCRIPTS / f"{name}.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = {f"sst2/stsa.binary.{split}": REVIEWS for split in ("train", "test")}
    project = copy_project("language_model", tmp_path_factory.mktemp("root"), assets)
    (project / "assets" / "he").mkdir()
    with ZipFile(project / "assets" / "he" / "books.zip", "w") as archive:
        archive.writestr("root/README.md", "no book")
        for i in range(30):
            archive.writestr(
                f"root/books/{i:02}.txt",
                f"book  {i:02}\n\n \u05e9\u05c1\u05dc\u05d5\u05dd good a bad one\n" * 3,
            )
    for name in ("all", "sentiment"):
        run_in_process(project, name, VARS)
    return project


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_no_book_is_in_two_splits(project: Path):
    vocab, texts = spacy.blank("he").vocab, {}
    for split in SPLITS:
        docs = [*DocBin().from_disk(project / "corpus" / "he" / f"{split}.spacy").get_docs(vocab)]
        assert all(len(doc.text) >= 30 for doc in docs[:1])
        texts[split] = "".join(doc.text for doc in docs)
    book = "book {}\n\u05e9\u05dc\u05d5\u05dd good a bad one\n" * 3
    assert texts["dev"] == book.format("18", "18", "18")
    assert texts["test"] == book.format("19", "19", "19")
    assert len(texts["train"]) == 23 * len(texts["dev"])


def test_both_are_compared_with_as_many_parameters(project: Path):
    contest = srsly.read_json(project / "training" / "he" / "contest.json")
    assert set(contest) == {"textconv", "LSTM"}
    ours, peer = (contest[name]["parameters"] for name in ("textconv", "LSTM"))
    assert 0.99 * ours < peer <= ours
    for values in contest.values():
        assert values["letters_per_second"] > 0
        assert 0 < values["bits_dev"] < 100 and 0 < values["bits_test"] < 100
    nlp = spacy.load(project / "training" / "he" / "pipeline")
    docs = DocBin().from_disk(project / "corpus" / "he" / "dev.spacy").get_docs(nlp.vocab)
    texts = [doc.text for doc in docs]
    bits = sum(doc._.surprise.sum() for doc in nlp.pipe(texts)) / sum(map(len, texts))
    assert contest["textconv"]["bits_dev"] == pytest.approx(bits, rel=1e-4)
    steps = srsly.read_json(project / "metrics" / "he" / "steps.json")
    assert 0 < steps["step"] < steps["anew"]


def test_the_unit_that_tells_most_is_drawn(project: Path):
    result = srsly.read_json(project / "metrics" / "he" / "unit.json")
    assert result["most_frequent"] == 0.5 <= result["train"] == result["test"]
    html = (project / "metrics" / "he" / "unit.html").read_text(encoding="utf8")
    assert Page(html).maps == ["a good one"] * 2
    assert f"Unit · {result['unit']}<" in html


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=8))
def test_thresholds_are_the_best_ones(rows):
    X = numpy.array([[float(x)] for x, _ in rows])
    y = numpy.array([int(label) for _, label in rows])
    [threshold], [rising], [share] = load("unit").find_thresholds(X, y)
    assert (((X[:, 0] > threshold) == rising) == y).mean() == share
    cuts = [x + 0.5 for x in range(-1, 6)]
    assert share == max(
        (((X[:, 0] > cut) == up) == y).mean() for cut in cuts for up in (True, False)
    )


@given(st.text("ab \n", max_size=30), st.integers(1, 8))
def test_texts_are_cut_at_white_space(text, length):
    parts = [*load("convert").cut(text, length)]
    assert "".join(parts) == text
    assert all(len(part) > length and part[-1].isspace() for part in parts[:-1])
