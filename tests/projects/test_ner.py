import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Corpus
from spacy.util import import_file
from weasel.util import load_project_config

from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "ner" / "scripts"

# Numbered words with comments, a tag with or without its annotator, and the start of a second text
UNER = """\
# newdoc id = a
# sent_id = a-1
# text = Ada Lovelace met
1\tAda\tB-PER\t-\tsomeone
2\tLovelace\tI-PER\t-\tsomeone
3\tmet\tO

# sent_id = a-2
# text = #1 Bob
1\t#1\tO
2\tBob\tB-PER

# sent_id = a-3
1\tEnd\tO\t-\tsomeone

# newdoc
# sent_id = b-1
1\tRome\tB-LOC
2\tParis\tB-LOC

"""
# Words that begin with #, and a lone tab between the sentences
WNUT = """\
#ada\tB-person
lovelace\tI-person
#\tO
\t
Empire\tB-location
State\tI-location
ESB\tB-location
"""
# BIOES, and a word with spaces
NEMO = """\
הקהל O
מג"ב S-ORG
ו ה 60 O

אדה B-PER
בת E-PER
רומא B-LOC
אל I-LOC
פריז E-LOC
"""
VARS = {"vars.data": "tiny", "vars.n_sents": 2, "vars.seed": 3}

# What the toy pipeline finds, with probabilities that floats hold exactly
FOUND = {
    "Ada": ("PER", 0.9375),
    "Rome": ("LOC", 0.640625),
    "May": ("PER", 0.625),
    "Ural": ("LOC", 0.5),
}
GOLD = [
    ("Ada saw Rome", {0: "PER", 2: "LOC"}),
    ("May <b> met Bob Eve", {3: "PER", 4: "PER"}),
    ("Rome rests", {0: "PER"}),
    ("On the Ural", {2: "LOC"}),
]


@Language.component("project_ner_toy")
def find_toy_entities(doc: Doc) -> Doc:
    names = [token.i for token in doc if token.text in FOUND]
    doc.ents = [Span(doc, i, i + 1, label=FOUND[doc[i].text][0]) for i in names]
    scores = numpy.array([FOUND[doc[i].text][1] for i in names], dtype="float32")
    doc.spans["ner"] = SpanGroup(doc, spans=list(doc.ents), attrs={"scores": scores})
    return doc


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    """The scripts, one of which imports a third."""
    names = ["convert", "errors"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        modules = {name: import_file(f"ner_{name}", SCRIPTS / f"{name}.py") for name in names}
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = {f"tiny/{split}.txt": UNER for split in ["train", "dev", "test"]}
    return copy_project("ner", tmp_path_factory.mktemp("root"), assets)


@pytest.fixture(scope="module", params=["en", "he"])
def lang(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, lang: str) -> SimpleNamespace:
    """The folders of a pipeline, of one without probabilities, and a corpus."""
    folder = tmp_path_factory.mktemp("toy")
    nlp = spacy.blank(lang)
    docs = [Doc(nlp.vocab, words=text.split()) for text, _ in GOLD]
    for doc, (_, names) in zip(docs, GOLD, strict=True):
        doc.ents = [Span(doc, i, i + 1, label=label) for i, label in names.items()]
    DocBin(docs=docs).to_disk(folder / "test.spacy")
    nlp.add_pipe("project_ner_toy")
    nlp.to_disk(folder / "toy")
    plain = spacy.blank(lang)
    patterns = [{"label": label, "pattern": name} for name, (label, _) in FOUND.items()]
    plain.add_pipe("entity_ruler").add_patterns(patterns)
    plain.to_disk(folder / "plain")
    return SimpleNamespace(
        pipeline=folder / "toy", plain=folder / "plain", corpus=folder / "test.spacy"
    )


def read(scripts, tmp_path: Path, text: str, word_column: int, n_sents: int):
    """The words of each doc and its entities, as texts and labels."""
    path = tmp_path / "columns.txt"
    path.write_text(text, encoding="utf8")
    docs = scripts.convert.read_docs(path, word_column, n_sents)
    return [
        ([token.text for token in doc], [(ent.text, ent.label_) for ent in doc.ents])
        for doc in docs
    ]


def test_convert_reads_numbered_words(scripts, tmp_path):
    assert read(scripts, tmp_path, UNER, word_column=1, n_sents=1) == [
        (["Ada", "Lovelace", "met"], [("Ada Lovelace", "PER")]),
        (["#1", "Bob"], [("Bob", "PER")]),
        (["End"], []),
        (["Rome", "Paris"], [("Rome", "LOC"), ("Paris", "LOC")]),
    ]


def test_convert_keeps_words_that_look_like_comments(scripts, tmp_path):
    assert read(scripts, tmp_path, WNUT, word_column=0, n_sents=1) == [
        (["#ada", "lovelace", "#"], [("#ada lovelace", "person")]),
        (["Empire", "State", "ESB"], [("Empire State", "location"), ("ESB", "location")]),
    ]


def test_convert_reads_bioes_and_words_with_spaces(scripts, tmp_path):
    assert read(scripts, tmp_path, NEMO, word_column=0, n_sents=1) == [
        (["הקהל", 'מג"ב', "ו ה 60"], [('מג"ב', "ORG")]),
        (["אדה", "בת", "רומא", "אל", "פריז"], [("אדה בת", "PER"), ("רומא אל פריז", "LOC")]),
    ]


def test_docs_have_several_sentences_of_one_text(scripts, tmp_path):
    docs = read(scripts, tmp_path, UNER, word_column=1, n_sents=2)
    assert [words for words, _ in docs] == [
        ["Ada", "Lovelace", "met", "#1", "Bob"],
        ["End"],
        ["Rome", "Paris"],
    ]


def test_an_entity_ends_with_its_sentence(scripts, tmp_path):
    text = "Ada\tB-PER\n\nBob\tI-PER\n"
    assert read(scripts, tmp_path, text, word_column=0, n_sents=2) == [
        (["Ada", "Bob"], [("Ada", "PER"), ("Bob", "PER")])
    ]


def test_a_wrong_column_is_reported(scripts, tmp_path):
    with pytest.raises(ValueError, match="--word-column"):
        read(scripts, tmp_path, WNUT, word_column=1, n_sents=1)


@pytest.mark.parametrize("text", ["Anna\tPER\n", "Anna\t\n", "Anna\tM-PER\n", "\n"])
def test_what_is_no_tag_or_no_sentence_is_reported(scripts, tmp_path, text):
    (tmp_path / "corpus.txt").write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match="IOB2 or BIOES|No sentences"):
        scripts.convert.main(tmp_path / "corpus.txt", tmp_path / "corpus.spacy")
    assert not (tmp_path / "corpus.spacy").exists()


def test_converted_docs_stay_whole(project: Path):
    run_in_process(project, "convert", VARS)
    corpus = Corpus(project / "corpus" / "tiny" / "train.spacy", gold_preproc=True)
    examples = list(corpus(spacy.blank("en")))
    assert [len(example.predicted) for example in examples] == [5, 1, 2]
    # Words outside of entities are known to be outside
    assert examples[0].get_aligned_ner() == ["B-PER", "L-PER", "O", "O", "U-PER"]


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_every_data_set_has_its_three_files(project: Path):
    config: dict[str, Any] = load_project_config(project)
    names = {
        f"assets/{data}/{split}.txt"
        for data in ["uner_english_ewt", "wnut17", "hebrew_nemo"]
        for split in ["train", "dev", "test"]
    }
    assert {asset["dest"] for asset in config["assets"]} == names


def test_errors_page_shows_docs_with_errors_only(scripts, toy, lang, tmp_path):
    page = draw_errors(scripts, toy.pipeline, toy.corpus, tmp_path)
    assert re.findall(r"<h2.*?>(.*?)</h2>", page) == ["Docs with errors: 2 of 4", "Doc 2", "Doc 3"]
    assert f'lang="{lang}"' in page
    assert page.count(f"direction: {'rtl' if lang == 'he' else 'ltr'}") == 4
    colors = scripts.errors.COLORS
    assert find_marks(page) == [
        *((color, name, "") for name, color in colors.items()),
        (colors["missed"], "Bob", "PER"),
        (colors["missed"], "Eve", "PER"),
        (colors["wrong"], "May", "PER 0.62"),
        (colors["missed"], "Rome", "PER"),
        (colors["wrong"], "Rome", "LOC 0.64"),
    ]


def test_errors_page_escapes_words(scripts, toy, tmp_path):
    page = draw_errors(scripts, toy.pipeline, toy.corpus, tmp_path)
    assert page.count("&lt;b&gt;") == 2
    assert "<b>" not in page


def test_errors_page_without_probabilities(scripts, toy, tmp_path):
    page = draw_errors(scripts, toy.plain, toy.corpus, tmp_path)
    assert [label for _, _, label in find_marks(page)[3:]] == ["PER", "PER", "PER", "PER", "LOC"]


def draw_errors(scripts, pipeline: Path, corpus: Path, tmp_path: Path) -> str:
    scripts.errors.main(pipeline, corpus, tmp_path / "pages" / "errors.html")
    return (tmp_path / "pages" / "errors.html").read_text(encoding="utf8")


def find_marks(page: str) -> list[tuple[str, str, str]]:
    """The color, the text and the label of every entity."""
    pattern = r"<mark[^>]*background: (#\w+).*?>\s*(\S+)\s*<span[^>]*>(.*?)</span>"
    return re.findall(pattern, page, flags=re.DOTALL)
