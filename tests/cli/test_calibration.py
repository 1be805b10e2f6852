import sys

import numpy
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.cli import app
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401
from spacy_textconv.cli.calibration import measure_calibration

# What the toy pipeline finds, with probabilities that floats hold exactly.
ENTITIES = {
    "Ada": ("PER", 0.9375),
    "Rome": ("LOC", 0.640625),
    "May": ("PER", 0.625),
    "Ural": ("LOC", 0.5),
}
GOLD_ENTITIES = [
    ("Ada saw Rome", {0: "PER", 2: "LOC"}),
    ("May <b> met Bob Eve", {3: "PER", 4: "PER"}),
    ("Rome rests", {0: "PER"}),
    ("On the Ural", {2: "LOC"}),
]
# What it thinks of a text: the probabilities of R, G and B.
CLASSES = {
    "red": [0.75, 0.25, 0],
    "scarlet": [0.71875, 0.25, 0.03125],
    "green": [0.25, 0.625, 0.125],
    "blue": [0.375, 0.125, 0.5],
    "teal": [0, 0, 1],
}
GOLD_CLASSES = [
    ("red", "R"),
    ("scarlet", "G"),
    ("green", "G"),
    ("blue", "B"),
    ("teal", "G"),
    ("red", "R"),
]
KEYS = ["lower", "upper", "n", "probability", "accuracy"]


@Language.component("test_calibration_toy")
def guess(doc: Doc) -> Doc:
    names = [token.i for token in doc if token.text in ENTITIES]
    doc.ents = [Span(doc, i, i + 1, label=ENTITIES[doc[i].text][0]) for i in names]
    scores = numpy.array([ENTITIES[doc[i].text][1] for i in names], dtype="float32")
    doc.spans["ner"] = SpanGroup(doc, spans=list(doc.ents), attrs={"scores": scores})
    doc.cats = dict(zip("RGB", CLASSES.get(doc.text, [0, 0, 0]), strict=True))
    return doc


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    nlp = spacy.blank("en")
    nlp.add_pipe("test_calibration_toy")
    nlp.to_disk(folder / "toy")
    spacy.blank("en").to_disk(folder / "blank")
    docs = []
    for text, names in GOLD_ENTITIES:
        doc = Doc(nlp.vocab, words=text.split())
        doc.ents = [Span(doc, i, i + 1, label=label) for i, label in names.items()]
        docs.append(doc)
    DocBin(docs=docs).to_disk(folder / "entities.spacy")
    docs = []
    for text, gold in GOLD_CLASSES:
        doc = nlp.make_doc(text)
        doc.cats = {label: float(label == gold) for label in "BGR"}
        docs.append(doc)
    DocBin(docs=docs).to_disk(folder / "classes.spacy")
    return folder


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "calibration", *map(str, args)])
    return result.exit_code, result.output


def test_entities_equal_those_computed_by_hand(toy, tmp_path):
    path = tmp_path / "metrics" / "calibration.json"
    args = (toy / "toy", toy / "entities.spacy", path, "--spans-key", "ner", "--gold-preproc")
    assert run(*args)[0] == 0
    result = srsly.read_json(path)
    assert result["n"] == 5
    # Ural; May and Rome twice, one of which is correct; Ada.
    assert [[b[key] for key in KEYS] for b in result["bins"]] == [
        pytest.approx([0.4, 0.5, 1, 0.5, 1]),
        pytest.approx([0.6, 0.7, 3, (0.640625 * 2 + 0.625) / 3, 1 / 3]),
        pytest.approx([0.9, 1, 1, 0.9375, 1]),
    ]
    assert result["ece"] == pytest.approx((0.5 + (0.640625 * 2 + 0.625 - 1) + 0.0625) / 5)
    scores = {
        round(row["threshold"], 2): [row["p"], row["r"], row["f"]] for row in result["thresholds"]
    }
    # Nothing is left from 0.95 on.
    assert list(scores) == [round(0.05 * i, 2) for i in range(19)]
    # Ural, right on the threshold, is kept; six entities are gold.
    assert scores[0] == scores[0.5] == pytest.approx([3 / 5, 3 / 6, 6 / 11])
    assert scores[0.55] == pytest.approx([2 / 4, 2 / 6, 4 / 10])
    assert scores[0.9] == pytest.approx([1, 1 / 6, 2 / 7])
    assert path.with_suffix(".svg").read_text(encoding="utf8").startswith("<?xml")


def test_classes_equal_those_computed_by_hand(toy, tmp_path):
    path = tmp_path / "calibration.json"
    exit_code, output = run(toy / "toy", toy / "classes.spacy", path)
    assert exit_code == 0
    result = srsly.read_json(path)
    assert result["n"] == 6
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["probability"] == pytest.approx((2 * 0.75 + 0.71875 + 0.625 + 0.5 + 1) / 6)
    # Blue; green; red twice and scarlet, which is wrong; teal, which is wrong too.
    assert [[b[key] for key in KEYS] for b in result["bins"]] == [
        pytest.approx([0.4, 0.5, 1, 0.5, 1]),
        pytest.approx([0.6, 0.7, 1, 0.625, 1]),
        pytest.approx([0.7, 0.8, 3, 2.21875 / 3, 2 / 3]),
        pytest.approx([0.9, 1, 1, 1, 0]),
    ]
    assert result["ece"] == pytest.approx((0.5 + 0.375 + 0.21875 + 1) / 6)
    assert f"{result['ece']:.3f}" in output
    # Red twice and scarlet, and teal, are left.
    [kept] = [row for row in result["thresholds"] if round(row["threshold"], 2) == 0.7]
    assert [kept["p"], kept["r"]] == pytest.approx([2 / 4, 2 / 6])


def test_no_class_may_be_right(toy, tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp.make_doc("red"), nlp.make_doc("green")]
    docs[0].cats, docs[1].cats = {"R": 1.0, "G": 0.0}, {"R": 0.0, "G": 0.0}
    DocBin(docs=docs).to_disk(tmp_path / "docs.spacy")
    assert run(toy / "toy", tmp_path / "docs.spacy", tmp_path / "calibration.json")[0] == 0
    everything = srsly.read_json(tmp_path / "calibration.json")["thresholds"][0]
    assert [everything["p"], everything["r"]] == pytest.approx([1 / 2, 1 / 1])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_calibration_error_equals_its_definition(found):
    probabilities, correct = numpy.array(found, dtype=float).T
    result = measure_calibration(probabilities, correct, n_gold=len(found))
    expected = 0.0
    for m in range(1, 11):
        members = [
            (score, right)
            for score, right in found
            if (m - 1) / 10 < score <= m / 10 or (m == 1 and score == 0)
        ]
        gap = sum(right for _, right in members) - sum(score for score, _ in members)
        expected += abs(gap) / len(found)
    assert result["ece"] == pytest.approx(expected)
    assert sum(b["n"] for b in result["bins"]) == len(found)


@pytest.mark.parametrize("data", ["entities", "classes"])
def test_command_needs_probabilities(toy, tmp_path, data):
    args = ("--spans-key", "ner") if data == "entities" else ()
    exit_code, output = run(toy / "blank", toy / f"{data}.spacy", tmp_path / "c.json", *args)
    assert exit_code == 1 and "E195" in output
    assert not list(tmp_path.iterdir())
    exit_code, output = run(tmp_path, toy / f"{data}.spacy", tmp_path / "c.json")
    assert exit_code == 1 and "E047" in output
    (tmp_path / "damaged.spacy").write_text("no DocBin")
    exit_code, output = run(toy / "blank", tmp_path / "damaged.spacy", tmp_path / "c.json")
    assert exit_code == 1 and "E142" in output


def test_the_output_is_no_picture(toy, tmp_path):
    exit_code, output = run(toy / "blank", toy / "classes.spacy", tmp_path / "c.svg")
    assert exit_code == 1 and "E127" in output and not list(tmp_path.iterdir())


def test_matplotlib_is_missing(toy, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "spacy_textconv.cli._plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    exit_code, output = run(toy / "blank", toy / "classes.spacy", tmp_path / "c.json")
    assert exit_code == 1 and "E199" in output
