from configparser import ConfigParser
from importlib.metadata import distribution
from inspect import Parameter, signature
from pathlib import Path

import numpy
import pytest
import spacy
from spacy import registry
from spacy.cli import app
from thinc.api import fix_random_seed

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = list(distribution("spacy-textconv").entry_points)

# With its first pipeline, spaCy looks for the factories of other packages.
spacy.blank("en")


COMMANDS = [entry_point for entry_point in ENTRY_POINTS if entry_point.group == "spacy_cli"]
FUNCTIONS = [entry_point for entry_point in ENTRY_POINTS if entry_point not in COMMANDS]
ARCHITECTURES = [
    entry_point for entry_point in ENTRY_POINTS if entry_point.group == "spacy_architectures"
]

DILATED, DENSE, CONV, PYRAMID = (
    {"@architectures": f"spacy-textconv.{name}.v1", "width": 8}
    for name in ("DilatedConvEncoder", "DenseConvEncoder", "ConvAttend", "PyramidAttend")
)


@pytest.mark.parametrize("entry_point", COMMANDS, ids=lambda ep: ep.name)
def test_every_command_is_one_of_spacys(entry_point):
    commands = entry_point.load()
    assert registry.cli.get_all()[entry_point.name] is commands
    assert commands in [group.typer_instance for group in app.registered_groups]


@pytest.mark.parametrize("entry_point", FUNCTIONS, ids=lambda ep: ep.name)
def test_every_name_resolves_to_a_documented_function(entry_point):
    group = entry_point.group.removeprefix("spacy_")
    function = getattr(registry, group).get(entry_point.name)
    assert function is entry_point.load()
    parameters = signature(function).parameters.values()
    for parameter in parameters:
        assert parameter.kind is Parameter.KEYWORD_ONLY
        assert f"{parameter.name} (" in function.__doc__


def test_installed_names_are_those_of_the_metadata():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf8")
    listed = {
        (group, line.split("=")[0].strip())
        for group, lines in config["options.entry_points"].items()
        for line in lines.strip().splitlines()
    }
    assert listed == {(ep.group, ep.name) for ep in ENTRY_POINTS}


@pytest.mark.parametrize(
    "settings, option",
    [
        ({**DILATED, "block": "conv"}, {"activation": "tanh"}),
        ({**DILATED, "block": "bytenet"}, {"activation": "tanh"}),
        ({**DILATED, "block": "separable"}, {"activation": "tanh"}),
        (DILATED, {"initialization": "identity"}),
        (DILATED, {"connection": "highway"}),
        (DILATED, {"iterations": 2}),
        (DENSE, {"activation": "tanh"}),
        (DENSE, {"bottleneck": None}),
        (DENSE, {"growth_rate": 2}),
        (CONV, {"activation": "tanh"}),
        (CONV, {"stride": 2}),
        (CONV, {"depth": 2}),
        (CONV, {"pooling": "mean"}),
        (PYRAMID, {"activation": "tanh"}),
        (PYRAMID, {"depth": 1}),
        ({**PYRAMID, "depth": 2}, {"pooling": "mean"}),
    ],
    ids=str,
)
def test_option_reaches_the_network(settings, option):
    X = numpy.random.default_rng(0).standard_normal((9, 8), dtype="float32")
    outputs = []
    for config in (settings, {**settings, **option}):
        fix_random_seed(0)
        outputs.append(registry.resolve({"model": config})["model"].predict([X])[0])
    assert not numpy.allclose(*outputs, atol=1e-3)
