import gzip
from inspect import signature
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
import spacy
import srsly
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.util import import_file, load_config, load_model_from_config

from spacy_textconv.generation.symbols import SPECIAL

from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "translation" / "scripts"

ENGLISH = ["A dog\truns.", 'A "big" dog sleeps.', "Two men talk.", "A man  sleeps."]
GERMAN = [
    "Ein Hund rennt.",
    'Ein "großer" Hund schläft.',
    "Zwei Männer reden.",
    "Ein Mann schläft.",
]
VERSES = """\
ref\thebrew\thebrew_niqqud\tenglish
Genesis 1:1\tבראשית ברא אלהים\t-\tIn the beginning God created
Genesis 1:2\tוהארץ היתה תהו ובהו\t-\tNow the earth was unformed
Genesis 2:1\tויכלו השמים והארץ\t-\tAnd the heaven was finished
Genesis 2:2\tבראשית ברא אלהים\t-\tAt first, He made
Genesis 2:3\tאלה תולדות\t-\tand there was the earth: the earth was unformed, He said
Genesis 8:1\tויזכר אלהים את־נח\t-\tAnd God remembered Noah
Genesis 19:1\tויבאו שני המלאכים\t-\tAnd the two angels came
"""
VARS = {
    "vars.seed": 1,
    "vars.max_steps": 40,
    "vars.seconds": 0.3,
    "vars.threads": torch.get_num_threads(),
}
BIBLE = {**VARS, "vars.data": "bible", "vars.lang": "he"}


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        names = ["tables", "train", "peer", "evaluate", "report", "speed", "attention"]
        modules = {n: import_file(f"translation_{n}", SCRIPTS / f"{n}.py") for n in names}
    return SimpleNamespace(**modules)


def shrink(path: Path) -> None:
    """Let a config learn fast."""
    config = load_config(path)
    config["training"]["eval_frequency"] = 20
    config["training"]["optimizer"]["learn_rate"].update(initial_rate=0.01, warmup_steps=5)
    component = config["components"]["translator"]
    component["max_symbols"] = 60
    tok2vec = component["model"]["tok2vec"]
    tok2vec["embed"].update(table_width=16, rows=[100, 50], char_maps=8, char_rows=100)
    for part in [tok2vec["encode"], component["model"].get("decoder", component["model"])]:
        part.update(width=32, dilations=[1])
    config.to_disk(path)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(
        "translation", tmp_path_factory.mktemp("root"), {"bible/verses.tsv": VERSES}
    )
    for name in ("train", "val", "test_2016_flickr"):
        for lang, lines in (("en", ENGLISH), ("de", GERMAN)):
            path = project / "assets" / "multi30k" / f"{name}.{lang}.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    for path in [project.parents[1] / "configs" / "seq2seq.cfg", project / "configs/onepass.cfg"]:
        shrink(path)
    for name in ["all", "compare", "onepass", "inspect"]:
        run_in_process(project, name, VARS)
    return project


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_tables_keep_texts_but_for_their_white_space(project, scripts):
    pairs = scripts.tables.read_table(project / "corpus" / "multi30k" / "train.tsv")
    assert [pair.source for pair in pairs][::3] == ["A dog runs.", "A man sleeps."]
    assert [pair.target for pair in pairs] == GERMAN


def test_all_systems_are_scored_with_the_setting_that_is_best_on_dev(project: Path, scripts):
    results = project / "results" / "multi30k"
    names = ["onepass-seed1", "textconv-seed1", "transformer-seed1"]
    report = (results / "report-test.md").read_text(encoding="utf8")
    for name in names:
        dev, test = (
            srsly.read_json(results / "metrics" / split / f"{name}.json")
            for split in ("dev", "test")
        )
        assert (dev["beam"], dev["length_penalty"]) in scripts.evaluate.SETTINGS
        assert all(test[key] == dev[key] for key in ("beam", "length_penalty"))
        # It is the same text here.
        assert test["bleu"] == dev["bleu"]
        assert f"| {name} | {test['bleu']:.2f} |" in report
    assert "case:lc|eff:no|tok:13a" in report


def test_scores_are_those_of_sacrebleu_with_and_without_case(scripts):
    gold = ["Ein großer Hund rennt schnell."]
    scores = scripts.evaluate.score(["ein großer Hund rennt schnell."], gold)
    assert scores["bleu_lowercased"] == pytest.approx(100)
    assert scores["bleu"] < 99


def test_trainings_say_how_long_they_were(project: Path):
    ours, peers = (
        srsly.read_json(project / "training" / "multi30k" / f"{name}-seed1" / "training.json")
        for name in ("textconv", "transformer")
    )
    assert ours["steps"] == 40 and ours["seconds"] > 0
    assert peers["steps"] >= 1 and peers["seconds"] == pytest.approx(VARS["vars.seconds"])


def test_the_peer_has_as_many_parameters(scripts):
    config = load_config(ROOT / "configs" / "seq2seq.cfg")
    nlp = load_model_from_config(config, auto_fill=True)
    model = nlp.get_pipe("translator").model
    symbols = config["components"]["translator"]["max_symbols"] + SPECIAL
    model.attrs["resize_output"](model, symbols)
    model.initialize(X=[nlp.make_doc("A dog runs.")])
    defaults = signature(scripts.peer.main).parameters
    sizes = [defaults[name].default for name in ("width", "heads", "layers", "feedforward")]
    network = scripts.peer.Transformer(scripts.peer.Sizes(symbols, symbols, *sizes, dropout=0.0))
    peers = sum(parameter.numel() for parameter in network.parameters())
    assert peers == pytest.approx(scripts.train.count_parameters(model), rel=0.01)


@pytest.mark.parametrize("cached", ["outputs", "keys"])
def test_cached_decoding_is_the_network_step_by_step(scripts, cached: str):
    torch.manual_seed(0)
    sizes = scripts.peer.Sizes(9, 8, width=8, heads=2, layers=2, feedforward=8, dropout=0.5)
    network = scripts.peer.Transformer(sizes).eval()
    padding = scripts.peer.PADDING
    sources = torch.tensor([[2, 3, 4], [5, padding, padding], [6, 7, padding]])
    targets = torch.tensor([[0, 2, 3, 4], [0, 5, 6, 7], [0, 7, 2, 2]])
    create = scripts.peer.Decoding if cached == "outputs" else scripts.speed.KeyValueDecoding
    with torch.inference_mode():
        expected = network(sources, targets).log_softmax(dim=2)
        decoding = create(network, *network.encode(sources))
        for step in range(2):
            found = decoding.step(targets[:, step])
            torch.testing.assert_close(found, expected[:, step])
        rows = torch.tensor([2, 0, 0])
        decoding.select(rows)
        for step in range(2, 4):
            found = decoding.step(targets[rows, step])
            torch.testing.assert_close(found, expected[rows, step])


def test_the_peer_learns_a_few_sentences(scripts):
    torch.manual_seed(0)
    peer = scripts.peer
    pieces = [peer.Pieces.learn(side, max_symbols=60) for side in (ENGLISH, GERMAN)]
    sizes = peer.Sizes(*map(len, pieces), 32, heads=2, layers=1, feedforward=64, dropout=0.0)
    translator = peer.Translator(sizes, *pieces)
    options = peer.Options(60.0, rate=0.01, warmup=10, average=0.5, label_smoothing=0.0)
    batch = [*zip(ENGLISH, GERMAN, strict=True)]
    assert peer.learn(translator, [batch] * 60, options) == 60
    for beam in (1, 3):
        assert translator.translate(ENGLISH, beam, 1.0) == GERMAN


def test_training_of_the_peer_ends_with_its_time(scripts):
    pieces = [scripts.peer.Pieces.learn(side, max_symbols=60) for side in (ENGLISH, GERMAN)]
    sizes = scripts.peer.Sizes(*map(len, pieces), 8, heads=2, layers=1, feedforward=8, dropout=0.0)
    translator = scripts.peer.Translator(sizes, *pieces)
    options = scripts.peer.Options(1e-9, rate=0.01, warmup=10, average=0.5, label_smoothing=0.0)
    assert scripts.peer.learn(translator, repeat([("A", "B")]), options) == 0


def test_what_was_distilled_is_what_the_model_writes(project: Path, scripts):
    corpus = project / "corpus" / "multi30k"
    distilled = scripts.tables.read_table(corpus / "distilled-seed1.tsv")
    dev = srsly.read_json(project / "results" / "multi30k" / "metrics/dev/textconv-seed1.json")
    config = {f"components.translator.{key}": dev[key] for key in ("beam", "length_penalty")}
    model = project / "training" / "multi30k" / "textconv-seed1" / "model-best"
    nlp = spacy.load(model, config=config)
    assert distilled
    for pair in distilled:
        assert pair.target == " ".join(nlp(pair.source)._.translation.split())


def test_the_config_of_one_pass_differs_in_the_model_only():
    causal = load_config(ROOT / "configs" / "seq2seq.cfg")
    onepass = load_config(ROOT / "projects" / "translation" / "configs" / "onepass.cfg")
    models = [config["components"]["translator"].pop("model") for config in (causal, onepass)]
    assert causal == onepass
    assert models[0]["tok2vec"] == models[1]["tok2vec"]


def test_chapters_are_held_out_and_their_duplicates_are_not_learned(project, scripts):
    run_in_process(project, "prepare", BIBLE)
    corpus = project / "corpus" / "bible"
    found = {
        split: [pair.place for pair in scripts.tables.read_table(corpus / f"{split}.tsv")]
        for split in ("train", "dev", "test")
    }
    # One verse has the Hebrew of Genesis 1:1, and one half of the English n-grams of the next one.
    assert found == {
        "train": ["Genesis 2:1"],
        "dev": ["Genesis 8:1"],
        "test": ["Genesis 1:1", "Genesis 1:2", "Genesis 19:1"],
    }
    removed = srsly.read_json(corpus / "removed.json")
    assert removed == {"verses": 3, "near_duplicates_removed": 2}
    [dev] = scripts.tables.read_table(corpus / "dev.tsv")
    assert dev.source.split() == ["ויזכר", "אלהים", "את", "נח"]


WORDS = st.lists(st.sampled_from("ab"), max_size=5).map(" ".join)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4), st.sampled_from([0.3, 0.5, 1.0]))
def test_duplicates_share_ngrams_with_one_text(texts, others, threshold):
    tables = import_file("translation_tables", SCRIPTS / "tables.py")
    expected = set()
    for i, text in enumerate(texts):
        for other in others:
            a, b = tables.find_ngrams(text, 2), tables.find_ngrams(other, 2)
            shared = len(a & b) / min(len(a), len(b))
            if shared > 0 and shared >= threshold:
                expected.add(i)
    assert tables.find_duplicates(texts, others, 2, threshold) == expected


def test_the_report_opens_with_the_first_verses(scripts, tmp_path: Path, capsys):
    pairs = [
        scripts.tables.Pair("ויאמר", "And said", "Exodus 1:1"),
        scripts.tables.Pair("בראשית", "In the beginning", "Genesis 1:1"),
    ]
    scripts.tables.write_table(tmp_path / "corpus" / "test.tsv", pairs)
    (tmp_path / "predictions" / "test").mkdir(parents=True)
    (tmp_path / "predictions" / "test" / "ours.txt").write_text("And\nAt first\n", "utf8")
    scores = scripts.evaluate.score(["And", "At first"], [pair.target for pair in pairs])
    extra = {"beam": 5, "length_penalty": 1.0, "parameters": 1234, "seconds": 1.5}
    (tmp_path / "metrics" / "test").mkdir(parents=True)
    srsly.write_json(tmp_path / "metrics" / "test" / "ours.json", {**scores, **extra})
    capsys.readouterr()
    scripts.report.main(tmp_path / "corpus", tmp_path)
    lines = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines()[:5]]
    cells = [[cell.strip() for cell in line] for line in lines]
    del cells[1]
    assert cells == [
        ["Genesis 1:1", ""],
        ["Source", "בראשית"],
        ["ours", "At first"],
        ["Reference", "In the beginning"],
    ]


def test_speeds_are_compared_to_ours(project: Path):
    [path] = (project / "results" / "multi30k").glob("speed-*.json")
    speeds = srsly.read_json(path)
    assert speeds["ours"]["ratio_wall"] == speeds["ours"]["ratio_cpu"] == 1
    for name in ("peer, cached outputs", "peer, cached keys"):
        assert speeds[name]["pieces_per_second"] > 0 and speeds[name]["ratio_cpu"] > 0
    assert speeds["step_against_prefix"] > 0


def test_hebrew_is_drawn_from_right_to_left(scripts):
    from matplotlib.figure import Figure

    from spacy_textconv.pipeline.sequences import DocExtensions

    DocExtensions(["translation_attention"]).register()
    nlp = spacy.blank("xx")
    for text, first in (("ברא אלהים", "ארב"), ("God created", "God")):
        doc = nlp(text)
        weights = torch.tensor([[0.9, 0.1], [0.2, 0.7], [0.0, 0.1]]).numpy()
        doc._.translation_attention = {"symbols": [" a", " b"], "weights": weights}
        axes = Figure().subplots()
        scripts.attention.draw(axes, doc)
        assert axes.get_xticklabels()[0].get_text() == first
        assert axes.xaxis_inverted() == (first == "ארב")
        assert [label.get_text() for label in axes.get_yticklabels()] == [" a", " b", "(end)"]
        assert axes.images[0].get_array().tolist() == weights.tolist()


def test_the_picture_has_a_panel_for_each_sentence(project: Path):
    [picture] = (project / "results" / "multi30k").glob("*.svg")
    text = picture.read_text(encoding="utf8")
    assert text.startswith("<?xml")
    assert text.count('id="axes_') == 3
