from pathlib import Path
from types import SimpleNamespace

import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.util import import_file

from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "inflection" / "scripts"

TRAIN = """\
schielen\tgeschielt\tV.PTCP;PST
schauen\tgeschaut\tV.PTCP;PST
hören\tgehört\tV.PTCP;PST
schauen\tschaut\tV;3;SG
gehen\tgeht\tV;3;SG
malen\tmalt\tV;3;SG
lernen\tlernt\tV;3;SG
"""
# Three of the four can be known from rules, and one lemma is in the training set.
TEST = """\
kaufen\tgekauft\tV.PTCP;PST
hören\thört\tV;3;SG
laufen\tgelaufen\tV.PTCP;PST
Haus\tHaus\tN;SG
"""
VARS = {
    "vars.language": "tiny",
    "vars.seed": 1,
    "vars.max_steps": 3,
    "vars.words": "'hören=V.PTCP;PST' 'gehen=V;3;SG'",
}
LETTERS = st.text("abc", max_size=6)


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    names = ["baseline", "evaluate", "report", "slots"]
    modules = {name: import_file(f"inflection_{name}", SCRIPTS / f"{name}.py") for name in names}
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = {"tiny/train.tsv": TRAIN, "tiny/dev.tsv": TEST, "tiny/test.tsv": TEST}
    project = copy_project("inflection", tmp_path_factory.mktemp("root"), assets)
    for name in ["all", "compare", "pictures"]:
        run_in_process(project, name, VARS)
    return project


def read_scores(project: Path, name: str) -> dict[str, float]:
    return srsly.read_json(project / "metrics" / "tiny" / "test" / f"{name}.json")


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_rules_are_scored_as_they_are(project: Path):
    forms = (project / "predictions" / "tiny" / "rules" / "test.txt").read_text(encoding="utf8")
    # Nothing is known about nouns, so they are left as they are.
    assert forms.splitlines() == ["gekauft", "hört", "gelauft", "Haus"]
    scores = read_scores(project, "rules")
    assert scores["acc"] == 3 / 4
    assert scores["acc_unseen"] == pytest.approx(2 / 3)
    # One letter more and one other, for the letters of all four
    assert scores["cer"] == pytest.approx(2 / len("gekaufthörtgelaufenHaus"))


def test_the_pipeline_is_scored_in_the_same_way(project: Path):
    assert set(read_scores(project, "textconv-seed1")) == set(read_scores(project, "rules"))


def test_the_report_has_a_column_for_each_system(project: Path):
    report = (project / "metrics" / "report-test.md").read_text(encoding="utf8")
    assert "|  | rules | textconv |" in report
    assert "| tiny | 75.00 |" in report


def test_the_report_takes_the_mean_of_seeds(scripts, tmp_path, capsys):
    for language, name, acc in [
        ("a", "ours-seed0", 0.5),
        ("a", "ours-seed12", 0.75),
        ("a", "rules", 0.25),
        ("b", "rules", 0.125),
    ]:
        (tmp_path / language / "dev").mkdir(parents=True, exist_ok=True)
        srsly.write_json(tmp_path / language / "dev" / f"{name}.json", {"acc": acc, "cer": None})
    scripts.report.main(tmp_path, split="dev")
    out = capsys.readouterr().out
    assert "| a | 62.50 ± 17.68 | 25.00 |" in out
    assert "| b | – | 12.50 |" in out
    # A table of nothing is left out.
    assert out.count("###") == 1


def test_rules_are_those_of_the_published_example(scripts):
    prefixes, suffixes = scripts.baseline.find_rules("schielen", "geschielt")
    ends = ["schielen", "chielen", "hielen", "ielen", "elen", "len", "en", "n", ""]
    assert suffixes == {
        (f"{end}>", f"{end.removesuffix('en')}t>" if len(end) > 1 else ">") for end in ends
    }
    assert ("<", "<ge") in prefixes and ("<sch", "<gesch") in prefixes


@given(LETTERS, LETTERS)
def test_alignments_are_complete_and_cheapest(lemma, form):
    baseline = import_file("inflection_baseline", SCRIPTS / "baseline.py")
    pairs = baseline.align(lemma, form)
    assert baseline.join(pairs) == (lemma, form)
    assert ("", "") not in pairs
    cost = sum(0 if a == b else baseline.CHANGE if a and b else baseline.INSERT for a, b in pairs)
    assert cost == cheapest(lemma, form, baseline)


def cheapest(lemma: str, form: str, baseline) -> int:
    """The cost, by the definition."""
    if not lemma or not form:
        return baseline.INSERT * len(lemma + form)
    return min(
        baseline.CHANGE * (lemma[0] != form[0]) + cheapest(lemma[1:], form[1:], baseline),
        baseline.INSERT + cheapest(lemma, form[1:], baseline),
        baseline.DELETE + cheapest(lemma[1:], form, baseline),
    )


def test_prefixing_languages_are_read_backwards(scripts, tmp_path):
    (tmp_path / "train.tsv").write_text("kitabu\tavitabu\tPL\nkisu\tavisu\tPL\n", encoding="utf8")
    (tmp_path / "test.tsv").write_text("kikapu\tavikapu\tPL\n", encoding="utf8")
    assert scripts.baseline.is_prefixing([("go", "ago", ""), ("go", "going-on", "")])
    assert not scripts.baseline.is_prefixing([("go", "going", ""), ("go", "togo to", "")])
    files = [tmp_path / name for name in ("train.tsv", "test.tsv", "out.txt")]
    scripts.baseline.main(*files)
    assert files[-1].read_text(encoding="utf8") == "avikapu\n"


def test_slots_hold_the_form_that_the_component_writes(scripts, project):
    nlp = spacy.load(project / "training" / "tiny" / "textconv-seed1" / "model-best")
    inflector = nlp.get_pipe("inflector")
    inflector.memory = False
    stride = inflector.model.attrs["stride"]
    for lemma in ("hören", "x"):
        letters = scripts.slots.find_letters(inflector, lemma, "V;3;SG")
        form = "".join(letter.text for letter in letters)
        assert [form] == inflector.transduce([lemma], ["V;3;SG"])
        # After so few steps, letters are copied, from where their slots stand.
        assert [lemma[letter.slot // stride] for letter in letters] == [*lemma]
        assert all(0 < letter.probability <= 1 for letter in letters)


def test_the_picture_has_a_panel_for_each_word(project: Path):
    [picture] = (project / "metrics" / "tiny").glob("*.svg")
    text = picture.read_text(encoding="utf8")
    assert text.startswith("<?xml")
    assert text.count('id="axes_') == 2
