import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy
import pytest
import spacy
import srsly
from matplotlib.figure import Figure
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import import_file, load_config, load_model_from_config
from weasel.util import load_project_config

from .util import ROOT, check_workflows, copy_project, run_in_process

PROJECT = ROOT / "projects" / "textcat"
SPLITS = ["train", "dev", "test"]
VARS = {"vars.data": "tiny", "vars.seed": 3, "vars.max_steps": 2, "vars.peer_max_steps": 2}

# A text with quotes and a tab, and lines that end in two ways
TSV = 'text\tlabel\r\n"good  film\tyes"\tpos\r\n\r\nbad film\tneg\nno film\toff\n'

# What the toy pipeline thinks of a text: the probabilities of R, G and B, which floats hold exactly
THOUGHTS = {
    "red": [0.75, 0.25, 0],
    "scarlet": [0.71875, 0.25, 0.03125],
    "green": [0.25, 0.625, 0.125],
    "blue": [0.375, 0.125, 0.5],
    "teal": [0, 0, 1],
}
GOLD = [("red", "R"), ("scarlet", "G"), ("green", "G"), ("blue", "B"), ("teal", "G"), ("red", "R")]


@Language.component("project_textcat_toy")
def think_of_colours(doc: Doc) -> Doc:
    doc.cats = dict(zip("RGB", THOUGHTS[doc.text], strict=True))
    return doc


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    """The scripts, one of which imports another."""
    names = ["classify", "convert", "evaluate", "confusion"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "scripts")
        modules = {
            name: import_file(f"textcat_{name}", PROJECT / "scripts" / f"{name}.py")
            for name in names
        }
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = {f"tiny/{split}.tsv": TSV for split in SPLITS}
    return copy_project("textcat", tmp_path_factory.mktemp("root"), assets)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The folder of a pipeline, and a corpus."""
    folder = tmp_path_factory.mktemp("toy")
    nlp = spacy.blank("en")
    docs = []
    for text, gold in GOLD:
        doc = nlp.make_doc(text)
        doc.cats = {label: float(label == gold) for label in "BGR"}
        docs.append(doc)
    DocBin(docs=docs).to_disk(folder / "test.spacy")
    nlp.add_pipe("project_textcat_toy")
    nlp.to_disk(folder / "toy")
    return SimpleNamespace(pipeline=folder / "toy", corpus=folder / "test.spacy")


def convert(scripts, assets: Path, data: str, **options) -> dict[str, list[tuple[str, str]]]:
    """The texts and labels of each split, as they stand in the files."""
    output_dir = assets / "corpus"
    scripts.convert.main(data, assets, output_dir, **options)
    splits = {}
    for split in SPLITS:
        docs = DocBin().from_disk(output_dir / f"{split}.spacy").get_docs(spacy.blank("en").vocab)
        splits[split] = [(doc.text, max(doc.cats, key=doc.cats.__getitem__)) for doc in docs]
    return splits


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    with ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def number_lines(word: str, n_lines: int) -> bytes:
    return "".join(f"{word} {i} \n" for i in range(n_lines)).encode()


def test_convert_reads_sst(scripts, tmp_path):
    for split in SPLITS:
        text = f"1 a {split}  set , n't it ?\n0 1 caf\u00e9\n"
        (tmp_path / f"stsa.binary.{split}").write_text(text, encoding="utf8")
    for split, texts in convert(scripts, tmp_path, "sst2").items():
        assert texts == [(f"a {split} set , n't it ?", "1"), ("1 caf\u00e9", "0")]


def test_convert_takes_every_tenth_question_of_trec_for_dev(scripts, tmp_path):
    train = "".join(f"{'HUM:ind' if i % 3 else 'NUM:date'} Q: {i} ?\n" for i in range(12))
    test = "LOC:city Where is D\u00e6dalus ?\n".encode("latin1")
    write_zip(tmp_path / "qc.zip", {"qc/train.txt": train.encode(), "qc/test.txt": test})
    splits = convert(scripts, tmp_path, "trec")
    assert splits["dev"] == [("Q: 0 ?", "NUM"), ("Q: 10 ?", "HUM")]
    kept = [(f"Q: {i} ?", "HUM" if i % 3 else "NUM") for i in range(12) if i % 10]
    assert splits["train"] == kept
    assert splits["test"] == [("Where is D\u00e6dalus ?", "LOC")]


@pytest.mark.parametrize(
    "data,archive,files",
    [
        ("mr", "sentence_polarity", {"rt-polarity.neg": "neg", "rt-polarity.pos": "pos"}),
        (
            "subj",
            "subjectivity",
            {"plot.tok.gt9.5000": "objective", "quote.tok.gt9.5000": "subjective"},
        ),
    ],
)
def test_convert_deals_out_the_sentences_of_each_label(scripts, tmp_path, data, archive, files):
    members = {f"{archive}/{name}": number_lines(label, 20) for name, label in files.items()}
    write_zip(tmp_path / f"{archive}.zip", members)
    splits = convert(scripts, tmp_path, data)
    labels = list(files.values())
    assert splits["dev"] == [(f"{label} {i}", label) for label in labels for i in (8, 18)]
    assert splits["test"] == [(f"{label} {i}", label) for label in labels for i in (9, 19)]
    rest = [(f"{label} {i}", label) for label in labels for i in range(20) if i % 10 < 8]
    assert splits["train"] == rest


def test_convert_splits_polarity_by_fold(scripts, tmp_path):
    members = {"movie_reviews/": b"", "movie_reviews/README": b"Read me"}
    for label in ["pos", "neg"]:
        for number in ["000", "799", "800", "999"]:
            name = f"movie_reviews/{label}/cv{number}_12.txt"
            members[name] = f"{label} {number} . \nthe end .\n".encode()
    write_zip(tmp_path / "movie_reviews.zip", members)
    numbers = {"train": ["000", "799"], "dev": ["800"], "test": ["999"]}
    assert convert(scripts, tmp_path, "polarity") == {
        split: [(f"{x} {i} . the end .", x) for x in ["neg", "pos"] for i in numbers[split]]
        for split in SPLITS
    }


def test_convert_reads_columns(scripts, tmp_path):
    for split in SPLITS:
        (tmp_path / f"{split}.tsv").write_bytes(TSV.encode())
    expected = [('"good film yes"', "pos"), ("bad film", "neg"), ("no film", "off")]
    for data in ["hebrew_sentiment", "mine"]:
        assert convert(scripts, tmp_path, data, lang="he")["test"] == expected


def test_convert_gives_every_doc_all_labels(scripts, tmp_path):
    for split, text in zip(SPLITS, ["a\tx\nb\ty\n", "a\tz\n", "b\tx\n"], strict=True):
        (tmp_path / f"{split}.tsv").write_text(f"text\tlabel\n{text}", encoding="utf8")
    convert(scripts, tmp_path, "mine")
    docs = DocBin().from_disk(tmp_path / "corpus" / "dev.spacy").get_docs(spacy.blank("en").vocab)
    assert [doc.cats for doc in docs] == [{"x": 0.0, "y": 0.0, "z": 1.0}]


@pytest.mark.parametrize("line", ["no tab", "no label\t", "\tno text"])
def test_a_line_without_a_text_or_a_label_is_reported(scripts, tmp_path, line):
    for split in SPLITS:
        (tmp_path / f"{split}.tsv").write_text(f"text\tlabel\n{line}\n", encoding="utf8")
    with pytest.raises(ValueError, match=re.escape(f"train.tsv: {line!r}")):
        convert(scripts, tmp_path, "mine")


def test_lines_of_older_files_are_latin1(scripts):
    assert scripts.convert.read_lines("caf\u00e9 \x85 \u2028\n\n \nb".encode()) == [
        "caf\u00e9 \x85 \u2028",
        "b",
    ]
    assert scripts.convert.read_lines(b"caf\xe9 \x96\nb\n") == ["caf\u00e9 \x96", "b"]


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_every_data_set_has_its_files(scripts, project: Path):
    config: dict[str, Any] = load_project_config(project)
    names = {
        "sst2": [f"stsa.binary.{split}" for split in SPLITS],
        "trec": ["qc.zip"],
        "mr": ["sentence_polarity.zip"],
        "subj": ["subjectivity.zip"],
        "polarity": ["movie_reviews.zip"],
        "hebrew_sentiment": [f"{split}.tsv" for split in SPLITS],
    }
    assert {*scripts.convert.READERS, "hebrew_sentiment"} == set(names)
    files = [f"assets/{data}/{name}" for data in names for name in names[data]]
    assert [asset["dest"] for asset in config["assets"]] == files


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("*.cfg")), ids=lambda p: p.stem)
def test_peers_are_built_from_their_configs(path):
    nlp = load_model_from_config(load_config(path), auto_fill=True)
    assert nlp.pipe_names[-1] == "textcat"
    assert nlp.config["training"]["max_steps"] == 2000


def test_the_project_runs_from_columns_to_pictures(project: Path, capsys):
    for name in ["convert", "train", "evaluate", "confusion", "calibration", "compare"]:
        run_in_process(project, name, VARS)
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["textconv", "1"] in rows and ["spacy_bow", "1"] in rows
    folder = project / "metrics" / "tiny" / "textconv-seed3"
    names = ["calibration.json", "calibration.svg", "confusion.json", "confusion.svg"]
    assert sorted(path.name for path in folder.iterdir()) == names
    result = srsly.read_json(folder / "confusion.json")
    assert result["labels"] == ["neg", "off", "pos"]
    assert [sum(row) for row in result["counts"]] == [1, 1, 1]
    scores = srsly.read_json(folder.with_suffix(".json"))
    assert scores["cats_micro_f"] == pytest.approx(result["accuracy"])


def test_evaluation_measures_accuracy(scripts, tmp_path):
    nlp = spacy.blank("en")
    textcat = nlp.add_pipe("textcat")
    docs = [nlp.make_doc(text) for text in ["a b c", "d", "e f"]]
    for doc, gold in zip(docs, "XYX", strict=True):
        doc.cats = {label: float(label == gold) for label in "XY"}
    DocBin(docs=docs).to_disk(tmp_path / "test.spacy")
    for label in "XY":
        textcat.add_label(label)
    nlp.initialize()
    nlp.to_disk(tmp_path / "nlp")
    found = [max(doc.cats, key=doc.cats.__getitem__) for doc in nlp.pipe(["a b c", "d", "e f"])]
    scripts.evaluate.main(tmp_path / "nlp", tmp_path / "test.spacy", tmp_path / "out" / "m.json")
    scores = srsly.read_json(tmp_path / "out" / "m.json")
    n_correct = sum(a == b for a, b in zip(found, "XYX", strict=True))
    assert scores["cats_micro_f"] == pytest.approx(n_correct / 3)
    assert scores["speed"] > 0 and "token_acc" not in scores


def test_predictions_are_in_the_order_of_labels(scripts, toy):
    predictions = scripts.classify.classify_corpus(toy.pipeline, toy.corpus)
    assert predictions.labels == ["B", "G", "R"]
    assert predictions.gold.tolist() == ["BGR".index(gold) for _, gold in GOLD]
    expected = [THOUGHTS[text][::-1] for text, _ in GOLD]
    assert predictions.probabilities.tolist() == expected


def test_confusion_equals_the_one_counted_by_hand(scripts, toy, tmp_path):
    path = tmp_path / "metrics" / "confusion.json"
    scripts.confusion.main(toy.pipeline, toy.corpus, path)
    result = srsly.read_json(path)
    assert result["labels"] == ["B", "G", "R"]
    # Scarlet is taken for red, and teal for blue
    assert result["counts"] == [[1, 0, 0], [1, 1, 1], [0, 0, 2]]
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert path.with_suffix(".svg").read_text(encoding="utf8").startswith("<?xml")


def test_confusion_has_its_numbers_in_the_right_places(scripts):
    axes = Figure().subplots()
    counts = numpy.array([[3, 1200], [0, 0]])
    scripts.confusion.draw_counts(axes, ["no", "yes"], counts, "title")
    texts = {annotation.xy: annotation.get_text() for annotation in axes.texts}
    assert texts == {(0, 0): "3", (1, 0): "1,200", (0, 1): "0", (1, 1): "0"}
    numpy.testing.assert_allclose(axes.images[0].get_array(), [[3 / 1203, 1200 / 1203], [0, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no", "yes"]
    assert axes.yaxis_inverted() and axes.get_ylabel() == "Gold"
