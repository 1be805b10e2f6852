import copy
import os
import re
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from math import prod
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest
import spacy
import srsly
import torch
from spacy.tokens import DocBin, Span
from spacy.util import load_config
from thinc.api import get_current_ops, set_current_ops
from weasel.util import load_project_config

from ..util import examples
from .util import ROOT

SCRIPTS = ROOT / "projects" / "benchmark_speed" / "scripts"
PEERS = ROOT / "projects" / "tagging" / "configs"
NER_PEER = ROOT / "projects" / "ner" / "configs" / "spacy_ner.cfg"
TEXT_PEERS = sorted((ROOT / "projects" / "textcat" / "configs").glob("*.cfg"))
CONTESTANTS = ["textconv", "spacy_cnn", "spacy_bilstm"]
RECOGNIZERS = ["textconv_ner", "spacy_ner"]
ENCODERS = [
    *("DilatedConvEncoder", "DilatedConvEncoder, mixed precision"),
    *("MaxoutWindowEncoder", "TorchBiLSTMEncoder"),
]


@pytest.fixture(scope="module")
def scripts():
    """The scripts, which import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        names = ["contestants", "measure", "memory", "plots", "report", "pipelines"]
        yield SimpleNamespace(**{name: import_module(name) for name in names})


@pytest.fixture(scope="module")
def in_process(scripts):
    """Lets all pipelines be in this process, because others start slowly."""

    @contextmanager
    def enter(paths, corpus, lang, device, ours):
        ops = get_current_ops()
        contestant = scripts.contestants.Contestant
        yield {name: contestant(path, corpus, lang, device) for name, path in paths.items()}
        set_current_ops(ops)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts.measure, "enter", enter)
        patch.setattr(scripts.pipelines, "enter", enter)
        patch.setattr(scripts.measure, "measure_peaks", made_up_peaks)
        yield


@pytest.fixture(scope="module")
def metrics(scripts, in_process, tmp_path_factory):
    """What one measurement at toy size has written."""
    folder = tmp_path_factory.mktemp("speed")
    nlp = spacy.blank("en")
    docs = [example.reference for example in examples(nlp)]
    DocBin(docs=docs).to_disk(folder / "corpus.spacy")
    for doc in docs:
        doc.ents = [Span(doc, t.i, t.i + 1, label="PER") for t in doc if t.text == "Anna"]
    DocBin(docs=docs).to_disk(folder / "entities.spacy")
    scripts.measure.main(
        folder / "corpus.spacy",
        folder / "metrics" / "speed-1.json",
        ours=[f"textconv={ROOT / 'configs' / 'tagger.cfg'}"],
        peer=[f"{name}={PEERS / name}.cfg" for name in ("spacy_cnn", "spacy_bilstm")],
        ner_corpus=folder / "entities.spacy",
        ner=[f"textconv_ner={ROOT / 'configs' / 'ner.cfg'}"],
        ner_peer=f"spacy_ner={NER_PEER}",
        quick=True,
    )
    return folder / "metrics" / "speed-1.json"


def made_up_peaks(configs, loads, threads, gpu_id):
    return {load: {name: 10**6 * len(load + name) for name in configs} for load in loads}


@pytest.fixture
def result(metrics):
    return srsly.read_json(metrics)


def write_report(scripts, metrics, folder, accuracy):
    scripts.report.main(metrics, output=folder, accuracy=accuracy)
    return (folder / "speed.md").read_text(encoding="utf8")


def test_every_contestant_takes_part_in_everything(scripts, result):
    assert set(result["parts"]) == set(scripts.report.PARTS)
    for cells in [*result["parts"].values(), *result["memory"].values()]:
        assert list(cells) == CONTESTANTS
    assert set(result["entities"]) == set(scripts.report.ENTITIES)
    for cells in result["entities"].values():
        assert list(cells) == RECOGNIZERS
    assert list(result["encoders"]) == ENCODERS
    assert set(result["scaling"]) == set(scripts.report.AXES)
    for axis in result["scaling"].values():
        assert list(axis["rates"]) == ENCODERS
        for rates in axis["rates"].values():
            assert len(rates) == len(axis["values"]) and all(rates)


def test_ratios_are_those_of_the_rates(result):
    compared = [(cells, "spacy_cnn") for cells in result["parts"].values()]
    compared += [(cells, "spacy_ner") for cells in result["entities"].values()]
    for cells, peer in [*compared, (result["encoders"], "MaxoutWindowEncoder")]:
        for cell in cells.values():
            assert cell["rate"] == pytest.approx(median(cell["turns"]))
            assert cell["ratio"] == pytest.approx(cell["rate"] / cells[peer]["rate"])
            assert min(cell["turns"]) <= cell["overall"] <= max(cell["turns"])
            assert cell["first"] == cell["turns"][0]


def test_shares_are_those_of_the_matrix_product(scripts, result):
    for name, cell in result["encoders"].items():
        share = cell["rate"] * scripts.measure.FLOP[name] / result["ceilings"]["torch_product"]
        assert cell["share"] == pytest.approx(share)


@pytest.mark.parametrize("name", ENCODERS)
def test_operations_are_twice_the_weights(scripts, name):
    nodes = list(scripts.measure.make_encoder(name).walk())
    shapes = [node.get_param("W").shape for node in nodes if node.has_param("W")]
    for node in nodes:
        for shim in node.shims:
            shapes += [weights.shape for weights in shim._model.parameters()]
    matrices = [prod(shape) for shape in shapes if len(shape) > 1]
    assert scripts.measure.FLOP[name] == 2 * sum(matrices)


def test_no_word_comes_twice_in_a_pass(scripts, tmp_path):
    nlp = spacy.blank("en")
    docs = [example.reference for example in examples(nlp)] * 3
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    contestant = scripts.contestants.Contestant(
        ROOT / "configs" / "tagger_small.cfg",
        tmp_path / "corpus.spacy",
        "en",
        scripts.contestants.Device(threads=1),
    )
    for _ in range(2):
        turns = scripts.measure.measure_pass({"a": contestant}, "tokenizer", 5, 100)["a"]
        assert sum(words for words, _ in turns) == sum(map(len, docs))
        assert len(turns) > 1 and all(seconds > 0 for _, seconds in turns)
    assert len(scripts.measure.measure_pass({"a": contestant}, "train", 5, 2)["a"]) == 2


def test_an_encoder_that_is_too_slow_sits_out(scripts):
    sizes = replace(scripts.measure.QUICK, too_slow=0.0)
    for axis in scripts.measure.measure_scaling([3, 5], sizes).values():
        for first, *rest in axis["rates"].values():
            assert first and not any(rest)


def test_an_encoder_that_fails_sits_out(scripts, monkeypatch):
    def prepare(lengths, name, **size):
        def fail():
            raise RuntimeError("too long for the device")

        return fail if name == "TorchBiLSTMEncoder" and len(lengths) > 1 else lambda: None

    monkeypatch.setattr(scripts.measure, "prepare_encoder", prepare)
    rates = scripts.measure.measure_scaling([5], scripts.measure.QUICK)["batch"]["rates"]
    # The batches have one document, and then two.
    first, second = rates["TorchBiLSTMEncoder"]
    assert first and second is None
    assert all(map(all, (rates[name] for name in ENCODERS if name != "TorchBiLSTMEncoder")))


def test_an_encoder_that_always_fails_is_not_drawn(scripts, result):
    changed = copy.deepcopy(result)
    for axis in changed["scaling"].values():
        axis["rates"]["TorchBiLSTMEncoder"] = [None] * len(axis["values"])
    figure = scripts.plots.draw_scaling(changed)
    assert [len(axes.lines) for axes in figure.axes] == [len(ENCODERS) - 1] * len(figure.axes)


def test_lengths_make_the_number_of_words(scripts):
    assert scripts.measure.lengths_up_to(10, [3, 4]) == [3, 4, 3]
    assert scripts.measure.lengths_up_to(4, [3]) == [3, 1]


@pytest.mark.slow
def test_each_pipeline_has_a_process_of_its_own(scripts, tmp_path):
    nlp = spacy.blank("en")
    docs = [example.reference for example in examples(nlp)]
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    paths = {"ours": ROOT / "configs" / "tagger_small.cfg", "theirs": PEERS / "spacy_cnn.cfg"}
    device = scripts.contestants.Device(threads=2, numpy_product=True)
    arguments = (paths, tmp_path / "corpus.spacy", "en", device, ["ours"])
    with scripts.contestants.enter(*arguments) as contestants:
        pids = {
            contestant.executor.submit(os.getpid).result() for contestant in contestants.values()
        }
        assert len(pids | {os.getpid()}) == 3
        for contestant in contestants.values():
            assert contestant.executor.submit(torch.get_num_threads).result() == 2
            assert contestant.product_rate() > 0
        products = {
            name: contestant.executor.submit(get_current_ops).result().use_blis
            for name, contestant in contestants.items()
        }
        assert products == {"ours": True, "theirs": False}
        parts = scripts.measure.measure_parts(contestants, "theirs", scripts.measure.QUICK, 1)
    assert parts["pipe_docs"]["theirs"]["ratio"] == 1.0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc")
def test_the_peak_holds_the_vectors_at_least(scripts):
    config = ROOT / "configs" / "tagger.cfg"
    load = {"one document": [["bird"] * 50_000]}
    peaks = scripts.memory.measure_peaks({"textconv": config}, load, threads=1, gpu_id=-1)
    width = load_config(config)["components"]["tok2vec"]["model"]["encode"]["width"]
    assert peaks["one document"]["textconv"] > 50_000 * width * 4 * 0.9


def test_the_report_has_the_same_numbers(scripts, metrics, result, tmp_path):
    with_two = tmp_path / "speed-2.json"
    machine = {**result["machine"], "threads": 2}
    srsly.write_json(with_two, {**result, "machine": machine})
    accuracy = tmp_path / "accuracy"
    accuracy.mkdir()
    for name in CONTESTANTS:
        srsly.write_json(accuracy / f"{name}-seed0.json", {"tag_acc": 0.9, "pos_acc": 0.8})
    text = write_report(scripts, [metrics, with_two], tmp_path / "report", accuracy)
    for key, titles in {"parts": scripts.report.PARTS, "entities": scripts.report.ENTITIES}.items():
        for part, title in titles.items():
            for name, cell in result[key][part].items():
                numbers = f"{cell['rate']:,.0f} | {cell['ratio']:.2f}"
                assert f"| {title} | {name} | {numbers} | {numbers} |" in text
    assert "| textconv_ner | `ner.cfg` |" in text and "the ratio to spacy_ner." in text
    for name, cell in result["encoders"].items():
        numbers = f"{cell['rate']:,.0f} | {cell['ratio']:.2f} | {cell['share']:.0%}"
        assert f"| {name} | {numbers} | {numbers} |" in text
    for axis in result["scaling"].values():
        for i, value in enumerate(axis["values"]):
            rates = [f"{axis['rates'][name][i]:,.0f}" for name in ENCODERS for _ in range(2)]
            assert f"| {value:,} | {' | '.join(rates)} |" in text
    for load, cells in result["memory"].items():
        for name, size in cells.items():
            assert f"| {load} | {name} | {size / 1e6:,.0f} | {size / 1e6:,.0f} |" in text
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(pictures) == 6
    assert all((tmp_path / "report" / path).is_file() for path in pictures)


def test_the_report_has_a_column_with_numpys_matrix_product(scripts, metrics, result, tmp_path):
    # Of pipelines alone.
    other = {key: result[key] for key in result if key not in ("encoders", "scaling", "memory")}
    other["machine"] = {**result["machine"], "numpy_product": True}
    other["ceilings"] = {"tokenizer": 10.0, "thinc_product": 2e9}
    srsly.write_json(tmp_path / "numpy.json", other)
    text = write_report(scripts, [metrics, tmp_path / "numpy.json"], tmp_path, tmp_path)
    text = re.sub(" +", " ", text)
    assert "| 1 thread | ratio | 1 thread with numpy | ratio |" in text
    products = [result["ceilings"][key] / 1e9 for key in ("thinc_product", "torch_product")]
    assert f"| Matrix product of Thinc's layers, GFLOP/s | {products[0]:,.0f} | 2 |" in text
    assert f"| Matrix product of torch, GFLOP/s | {products[1]:,.0f} | – |" in text


@pytest.mark.parametrize("with_numpy", [False, True])
def test_thinc_multiplies_with_numpy_if_asked_to(scripts, with_numpy):
    ops = get_current_ops()
    scripts.contestants.Device(threads=1, numpy_product=with_numpy).use()
    used, _ = get_current_ops(), set_current_ops(ops)
    assert used.use_blis is not with_numpy


def test_accuracies_are_means_and_who_has_none_is_left_out_and_named(scripts, tmp_path, capsys):
    for seed, tag_acc in enumerate([0.875, 0.625]):
        scores = {"tag_acc": tag_acc, "pos_acc": 0.5}
        srsly.write_json(tmp_path / f"textconv-seed{seed}.json", scores)
    accuracies = scripts.report.read_accuracies(tmp_path, CONTESTANTS)
    assert accuracies == {"textconv": {"tag_acc": 75, "pos_acc": 50}}
    printed = capsys.readouterr().out
    assert "spacy_cnn" in printed and "spacy_bilstm" in printed


def test_the_report_does_without_accuracies(scripts, metrics, tmp_path):
    text = write_report(scripts, [metrics], tmp_path, tmp_path)
    assert "No pipeline has been evaluated yet." in text


def test_the_report_has_a_dash_for_what_failed(scripts, result, tmp_path):
    load = next(iter(result["memory"]))
    result["memory"][load]["spacy_bilstm"] = None
    srsly.write_json(tmp_path / "speed.json", result)
    text = write_report(scripts, [tmp_path / "speed.json"], tmp_path, tmp_path)
    assert f"| {load} | spacy_bilstm | – |" in text


def test_the_project_uses_files_that_exist():
    benchmark = load_project_config(ROOT / "projects" / "benchmark_speed")
    made = {path for command in benchmark["commands"] for path in command["outputs"]}
    for name in ("tagging", "ner", "textcat"):
        for command in load_project_config(ROOT / "projects" / name)["commands"]:
            made |= {f"../{name}/{path}" for path in command.get("outputs", [])}
    # With another data set than the project's first.
    made |= {path.replace("sst2", "polarity") for path in made}
    for command in benchmark["commands"]:
        for path in command["deps"]:
            assert path in made or (SCRIPTS.parent / path).is_file(), path
        for path in re.findall(r"\S+\.(?:cfg|py|spacy|json)\b", " ".join(command["script"])):
            assert path.split("=")[-1] in {*command["deps"], *command["outputs"]}, path


def test_every_pipeline_that_is_compared_is_evaluated_by_the_tagging_project():
    benchmark, tagging = (
        load_project_config(ROOT / "projects" / name) for name in ("benchmark_speed", "tagging")
    )
    compared = dict(re.findall(r"(\w+)=(\S+\.cfg)", benchmark["vars"]["contestants"]))
    assert list(compared) == ["textconv", "textconv_small", "spacy_cnn", "spacy_bilstm"]
    assert compared["textconv"] == tagging["vars"]["config"]
    assert compared[tagging["vars"]["peer"]] == f"../tagging/configs/{tagging['vars']['peer']}.cfg"


def test_the_recognizers_that_are_compared_are_those_of_the_ner_project():
    benchmark, ner = (
        load_project_config(ROOT / "projects" / name) for name in ("benchmark_speed", "ner")
    )
    compared = dict(re.findall(r"(\w+)=(\S+\.cfg)", benchmark["vars"]["ner_contestants"]))
    peer = ner["vars"]["peer"]
    assert compared == {"textconv_ner": ner["vars"]["config"], peer: f"../ner/configs/{peer}.cfg"}


def test_the_classifiers_that_are_compared_are_those_of_the_textcat_project():
    benchmark, textcat = (
        load_project_config(ROOT / "projects" / name) for name in ("benchmark_speed", "textcat")
    )
    peers = dict(re.findall(r"(\w+)=(\S+\.cfg)", benchmark["vars"]["text_peers"]))
    assert next(iter(peers)) == textcat["vars"]["peer"]
    assert peers == {path.stem: f"../textcat/configs/{path.name}" for path in TEXT_PEERS}
    commands = {command["name"]: command["script"][0] for command in benchmark["commands"]}
    assert f"textconv={textcat['vars']['config']}" in commands["measure_sentences"]
    # The config that `projects/textcat` names for the reviews.
    assert "--vars.data polarity --vars.config ../../configs/textcat_long.cfg" in (
        ROOT / "projects" / "textcat" / "project.yml"
    ).read_text(encoding="utf8")
    assert "textconv=../../configs/textcat_long.cfg" in commands["measure_reviews"]


def test_text_classifiers_take_turns(scripts, in_process, tmp_path, capsys):
    nlp = spacy.blank("en")
    docs = [example.reference for example in examples(nlp)]
    for i, doc in enumerate(docs):
        doc.cats = {"even": float(i % 2 == 0), "odd": float(i % 2 == 1)}
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    scripts.pipelines.main(
        tmp_path / "corpus.spacy",
        tmp_path / "metrics" / "texts.json",
        ours=f"textconv={ROOT / 'configs' / 'textcat.cfg'}",
        peer=[f"{path.stem}={path}" for path in TEXT_PEERS],
        threads=[1],
        quick=True,
    )
    results = srsly.read_json(tmp_path / "metrics" / "texts.json")
    assert [result["machine"]["numpy_product"] for result in results] == [False, True]
    text = (tmp_path / "metrics" / "texts.md").read_text(encoding="utf8")
    assert text.strip() in capsys.readouterr().out
    for part, title in scripts.pipelines.PARTS.items():
        for name in [*(path.stem for path in TEXT_PEERS), "textconv"]:
            cells = [result["parts"][part][name] for result in results]
            numbers = " | ".join(f"{cell['rate']:,.0f} | {cell['ratio']:.2f}" for cell in cells)
            assert f"| {title} | {name} | {numbers} |" in re.sub(" +", " ", text)
