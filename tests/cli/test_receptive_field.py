import re
import sys

import pytest
import spacy
import torch
from spacy.cli import app
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401
from spacy_textconv.cli._fields import effective_field, find_encoders, list_layers, measure_fields
from spacy_textconv.layers.dilated import DilatedStack
from spacy_textconv.layers.packing import Packing

from ..test_configs import CONFIGS, skip_without_transformers
from ..util import DILATED, WIDTH, examples, tagger_pipeline


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "receptive-field", *map(str, args)])
    return result.exit_code, result.output


def table(output):
    """The rows of the first table, below its header."""
    lines = [line.split() for line in output.splitlines() if line.strip()]
    dividers = [i for i, line in enumerate(lines) if set("".join(line)) == {"-"}]
    return lines[dividers[0] + 1 : dividers[1]], lines[dividers[1] + 1]


@pytest.fixture
def saved(tmp_path):
    def save(encode=DILATED):
        tagger_pipeline(encode=encode).to_disk(tmp_path / "model")
        return tmp_path / "model"

    return save


def test_layers_have_their_shapes_fields_and_costs(saved):
    encode = {**DILATED, "block": "separable", "kernel_size": 5, "dilations": [1, 3]}
    exit_code, output = run(saved(encode) / "config.cfg")
    rows, footer = table(output)
    depthwise, pointwise = 5 * WIDTH, WIDTH * WIDTH
    assert exit_code == 0 and "tok2vec: dilated_conv_encoder" in output
    assert [[column.replace(",", "") for column in row] for row in rows] == [
        ["blocks.0.depthwise", "5", "1", "1", "5", str(depthwise + WIDTH), str(depthwise)],
        ["blocks.0.pointwise", "1", "1", "1", "5", str(pointwise + WIDTH), str(pointwise)],
        ["blocks.1.depthwise", "5", "3", "1", "17", str(depthwise + WIDTH), str(depthwise)],
        ["blocks.1.pointwise", "1", "1", "1", "17", str(pointwise + WIDTH), str(pointwise)],
    ]
    total = [17, 2 * (depthwise + pointwise + 2 * WIDTH), 2 * (depthwise + pointwise)]
    assert footer == [f"{number:,}" for number in total]


def test_iterations_see_further_with_the_same_parameters(saved):
    once, twice = (
        table(run(saved({**DILATED, "iterations": iterations}) / "config.cfg")[1])
        for iterations in (1, 2)
    )
    assert len(twice[0]) == 2 * len(once[0])
    # Field, parameters, multiply-adds.
    (field, parameters, adds), (field_twice, parameters_twice, adds_twice) = (
        [int(number.replace(",", "")) for number in footer] for _, footer in (once, twice)
    )
    assert (field, field_twice) == (7, 13)
    assert parameters_twice == parameters and adds_twice == 2 * adds


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_has_an_encoder(path):
    skip_without_transformers(path)
    if path.stem == "transformer":
        pytest.skip("downloads a transformer")
    assert run(path)[0] == 0


def test_fields_are_those_of_the_encoders():
    nlp = tagger_pipeline(encode={**DILATED, "dilations": [1, 2, 4, 8], "connection": "highway"})
    [encoder] = find_encoders(nlp).values()
    layers = list_layers(encoder)
    assert layers[-1].field.size == encoder.reach.size == 31
    outside = sum(p.numel() for name, p in encoder.named_parameters() if "norm" in name)
    assert sum(layer.parameters for layer in layers) + outside == sum(
        p.numel() for p in encoder.parameters()
    )


def test_effective_field_is_the_size_of_the_gradient():
    torch.manual_seed(0)
    stack = DilatedStack(width=6, dilations=(1, 2), dropout=0.0)
    document = torch.randn(9, 6)
    # So many that random signs see all columns.
    lengths = [9] * 2000
    packing = Packing(lengths, stack.gap)
    x = torch.zeros(packing.rows, 6)
    for start in packing.starts:
        x[start : start + 9] = document
    alone = Packing([9], stack.gap)
    padded = torch.zeros(alone.rows, 6)
    padded[:9] = document
    jacobian = torch.autograd.functional.jacobian(lambda y: stack(y, alone)[4], padded)
    sizes = jacobian.square().sum(dim=(0, 2)).sqrt()[1:8].numpy()
    measured = effective_field([(stack, x, packing)])
    assert list(measured) == [-3, -2, -1, 0, 1, 2, 3]
    assert list(measured.values()) == pytest.approx(sizes / sizes.sum(), rel=0.05)
    assert sum(measured.values()) == pytest.approx(1)


def test_distances_beyond_documents_count_with_those_that_have_them():
    torch.manual_seed(0)
    stack = DilatedStack(width=6, dilations=(1, 2), dropout=0.0)
    packing = Packing([1, 0, 2], stack.gap)
    measured = effective_field([(stack, torch.randn(packing.rows, 6), packing)])
    assert [distance for distance, share in measured.items() if share] == [-1, 0]


def test_measured_field_of_a_pipeline(saved, tmp_path):
    model = saved()
    DocBin(docs=[example.reference for example in examples(tagger_pipeline())]).to_disk(
        tmp_path / "docs.spacy"
    )
    pytest.importorskip("matplotlib")
    args = (model / "config.cfg", "--measure", model, tmp_path / "docs.spacy")
    exit_code, output = run(*args, "--plot", tmp_path / "fields.svg")
    assert exit_code == 0
    shares = dict(re.findall(r"^ *([+-]\d) +([\d.]+)$", output, re.MULTILINE))
    assert [*map(int, shares)] == [-3, -2, -1, 0, 1, 2, 3]
    assert sum(map(float, shares.values())) == pytest.approx(100, abs=0.5)
    assert max(shares, key=lambda distance: float(shares[distance])) == "+0"
    picture = (tmp_path / "fields.svg").read_text()
    assert picture.count("measured") >= 1 and "blocks.1.convolution" in picture


def test_measured_fields_of_a_lemmatizer(tmp_path):
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-textconv.CTCTransducer.v1", "width": 8, "dilations": [1]}
    nlp.add_pipe("textconv_lemmatizer", config={"model": model})
    known = Doc(nlp.vocab, words=["sings", "sees"], lemmas=["sing", "see"])
    nlp.initialize(lambda: [Example(nlp.make_doc(known.text), known)])
    nlp.to_disk(tmp_path / "model")
    for docs, code in (([nlp.make_doc("walks talk")], 0), ([known], 1)):
        DocBin(docs=docs).to_disk(tmp_path / "docs.spacy")
        args = ("--measure", tmp_path / "model", tmp_path / "docs.spacy")
        exit_code, output = run(tmp_path / "model" / "config.cfg", *args)
        assert exit_code == code
        assert output.count(", measured") == 2 * (1 - code) and ("E155" in output) == bool(code)


def test_measured_fields_of_a_language_model(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("textconv_lm", config={"min_count": 1})
    nlp.initialize(lambda: [Example(nlp.make_doc("Birds"), nlp.make_doc("Birds"))])
    assert measure_fields(nlp, [nlp.make_doc("Birds see")]) == {}


def test_command_says_what_is_wrong(saved, tmp_path):
    Config({"nlp": {"lang": "en", "pipeline": []}}).to_disk(tmp_path / "empty.cfg")
    exit_code, output = run(tmp_path / "empty.cfg")
    assert exit_code == 1 and "E148" in output
    exit_code, output = run(saved() / "config.cfg", "--measure", tmp_path, tmp_path)
    assert exit_code == 1 and "E047" in output
    (tmp_path / "damaged.spacy").write_text("no DocBin")
    for data in ("damaged.spacy", "missing.spacy"):
        exit_code, output = run(
            saved() / "config.cfg", "--measure", tmp_path / "model", tmp_path / data
        )
        assert exit_code == 1 and "E142" in output


def test_matplotlib_is_missing(saved, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "spacy_textconv.cli._plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    exit_code, output = run(saved() / "config.cfg", "--plot", tmp_path / "fields.svg")
    assert exit_code == 1 and "E199" in output and "pip install matplotlib" in output
