from pathlib import Path
from types import SimpleNamespace

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import import_file, load_config
from spacy.vocab import Vocab

from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "lemmas" / "scripts"
PEER = ROOT / "projects" / "lemmas" / "configs" / "spacy_lemmatizer.cfg"

# The last word is the second part of the one before it, and has no lemma of its own.
CONLLU = """\
1\tDogs\tdog\tNOUN\tNNS\tNumber=Plur\t2\tnsubj\t_\t_
2\tbarked\tbark\tVERB\tVBD\tTense=Past\t0\troot\t_\t_
3\twith\twithout\tADP\tIN\t_\t2\tadvmod\t_\t_
4\tout\t_\tX\tGW\t_\t3\tgoeswith\t_\t_

1\tCats\tcat\tNOUN\tNNS\tNumber=Plur\t2\tnsubj\t_\t_
2\tbarked\tbark\tVERB\tVBD\tTense=Past\t0\troot\t_\t_

"""
VARS = {
    "vars.treebank": "UD_Tiny",
    "vars.prefix": "en_tiny-ud",
    "vars.seed": 1,
    "vars.max_steps": 2,
}


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    """The scripts, which import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        names = ["score", "errors", "speed"]
        modules = {name: import_file(f"lemmas_{name}", SCRIPTS / f"{name}.py") for name in names}
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # spaCy's lemmatizer learns what it has seen three times.
    assets = {f"UD_Tiny/en_tiny-ud-{name}.conllu": CONLLU * 3 for name in ["train", "dev", "test"]}
    root = tmp_path_factory.mktemp("root")
    project = copy_project("lemmas", root, assets, borrowed=["tagging", "inflection"])
    for name in ["all", "compare", "inspect"]:
        run_in_process(project, name, VARS)
    return project


def make_doc(words: str, lemmas: str, **annotation: list[str]) -> Doc:
    """A doc of words and lemmas, where "_" stands for none."""
    texts = ["" if lemma == "_" else lemma for lemma in lemmas.split()]
    return Doc(Vocab(), words=words.split(), lemmas=texts, **annotation)


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_words_without_a_lemma_have_none(project: Path):
    docs = DocBin().from_disk(project / "corpus" / "UD_Tiny" / "train.spacy").get_docs(Vocab())
    lemmas = [[token.lemma_ for token in doc] for doc in docs]
    assert lemmas == [["dog", "bark", "without", ""], ["cat", "bark"]] * 3


def test_both_systems_are_in_the_report(project: Path):
    report = (project / "metrics" / "report-test.md").read_text(encoding="utf8")
    assert "|  | spacy_lemmatizer | textconv |" in report
    # Everything is in the training data.
    assert report.count("| UD_Tiny |") == 2


def test_the_speed_is_that_of_both_systems(project: Path):
    result = srsly.read_json(project / "metrics" / "UD_Tiny" / "speed-seed1.json")
    # Three times the two sentences of the test set
    assert result["network_words"] == 18
    rates = [result["network_words_per_second"]]
    rates += [rate for part in ("pipeline", "lemmatizer") for rate in result[part].values()]
    assert all(rate > 0 for rate in rates)


def test_scores_are_those_counted_by_hand(scripts):
    gold = make_doc("Dogs barked with out Cats", "dog bark without _ cat")
    found = make_doc("Dogs barked with out Cats", "dog barked without out Cats")
    scores = scripts.score.score_lemmas([Example(found, gold)], {"Dogs", "barked", "out"})
    assert scores == {"acc": 2 / 4, "acc_seen": 1 / 2, "acc_unseen": 1 / 2}
    scores = scripts.score.score_lemmas([Example(found, gold)], set(CONLLU.split()))
    assert scores["acc"] == scores["acc_seen"] and scores["acc_unseen"] is None


def test_a_missing_lemma_is_wrong(scripts):
    gold, found = make_doc("Dogs", "dog"), make_doc("Dogs", "_")
    assert scripts.score.score_lemmas([Example(found, gold)], set())["acc"] == 0


def test_errors_are_counted(scripts, tmp_path, capsys):
    gold = [make_doc("saw saw out", "see see _"), make_doc("Cats saw", "cat saw")]
    annotation = {"pos": ["VERB"] * 3, "morphs": ["Tense=Past"] * 3}
    found = [make_doc("saw saw out", "saw saw out", **annotation), make_doc("Cats saw", "cat see")]
    for name, docs in {"gold": gold, "found": found}.items():
        DocBin(docs=docs).to_disk(tmp_path / f"{name}.spacy")
    scripts.errors.main(tmp_path / "found.spacy", tmp_path / "gold.spacy")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", "saw", "VERB", "Tense=Past", "see", "saw"] in rows
    assert ["1", "saw", "saw", "see"] in rows
    assert ["3", "wrong", "lemmas,", "2", "different", "ones"] in rows


@pytest.mark.parametrize("in_context", [False, True])
def test_the_network_is_measured_without_what_it_remembers(scripts, project, in_context):
    path = project / "training" / "UD_Tiny" / "textconv-seed1" / "model-best"
    nlp = spacy.load(path)
    doc = Doc(nlp.vocab, words=["Dogs", "barked", "Dogs"], pos=["NOUN", "VERB", "NOUN"])
    method = "predict"
    if not in_context:
        nlp = spacy.blank("en", vocab=nlp.vocab)
        nlp.add_pipe("textconv_lemmatizer", name="lemmatizer", config={"features": ["POS"]})
        reference = Doc(nlp.vocab, words=["Dogs"], lemmas=["dog"], pos=["NOUN"])
        nlp.initialize(lambda: [Example(doc, reference)])
        method = "transduce"
    lemmatizer = nlp.get_pipe("lemmatizer")
    asked = []
    function = getattr(lemmatizer, method)
    setattr(lemmatizer, method, lambda *args: asked.append(lemmatizer.memory) or function(*args))
    number, seconds = scripts.speed.time_network(
        lemmatizer, [nlp.get_pipe("tok2vec")(doc) if in_context else doc]
    )
    assert number == (3 if in_context else 2) and seconds > 0
    assert asked == [False] and lemmatizer.memory


def test_the_peer_differs_in_the_lemmatizer_alone():
    ours, peer = (load_config(path) for path in (ROOT / "configs" / "lemmatizer.cfg", PEER))
    assert peer["components"].pop("lemmatizer")["factory"] == "trainable_lemmatizer"
    assert ours["components"].pop("lemmatizer")["factory"] == "textconv_lemmatizer"
    assert ours == peer


def test_udpipe_learns_and_predicts(project: Path):
    pytest.importorskip("ufal.udpipe")
    run_in_process(project, "udpipe", VARS)
    scores = srsly.read_json(project / "metrics" / "UD_Tiny" / "test" / "udpipe.json")
    assert scores["acc"] == 1.0
