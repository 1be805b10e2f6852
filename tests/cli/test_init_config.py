from pathlib import Path

import numpy
import pytest
import spacy
from spacy.cli import app
from spacy.cli.train import train
from spacy.util import load_config, load_model_from_config
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401
from spacy_textconv.cli.init_config import COMPONENTS

from ..test_configs import OVERRIDES

CONFIGS = Path(__file__).parents[2] / "configs"
TEXTCAT = ("--pipeline", "textcat")
LENGTH = {"training.max_steps", "training.optimizer.learn_rate.total_steps"}
# How each config is written, and the sections and settings in which it differs.
OUTPUTS = {
    "tagger": (("--pipeline", "tagger,morphologizer"), set()),
    "tagger_small": (("--pipeline", "tagger,morphologizer", "--optimize", "speed"), set()),
    "lemmatizer": (("--pipeline", "tagger,morphologizer,lemmatizer"), set()),
    "parser": (("--pipeline", "parser"), set()),
    "ner": (("--pipeline", "ner"), set()),
    "ner_noisy": (
        ("--pipeline", "ner"),
        {
            *LENGTH,
            "training.eval_frequency",
            "components.ner.loss",
            *(f"components.tok2vec.model.embed.{name}" for name in ("attrs", "rows")),
            "components.tok2vec.model.embed.word_dropout",
        },
    ),
    "spancat": (("--pipeline", "spancat"), set()),
    "textcat": (TEXTCAT, set()),
    "textcat_morphology": (TEXTCAT, {"components.textcat.model.ngrams"}),
}


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "init-config", *map(str, args)])
    return result.exit_code, " ".join(result.output.split())


def settings(config, path=""):
    """The settings of a config by the path to them."""
    found = {}
    for name, value in config.items():
        if isinstance(value, dict) and value:
            found.update(settings(value, f"{path}{name}."))
        else:
            found[path + name] = value
    return found


@pytest.mark.parametrize("name", OUTPUTS)
def test_configs_are_written_by_the_command(name, tmp_path):
    args, different = OUTPUTS[name]
    assert run(tmp_path / "config.cfg", *args)[0] == 0
    written, shipped = (
        settings(load_config(path)) for path in (tmp_path / "config.cfg", CONFIGS / f"{name}.cfg")
    )
    for path in {*written, *shipped}:
        same = written.get(path, "missing") == shipped.get(path, "missing")
        covered = [prefix for prefix in different if f"{path}.".startswith(f"{prefix}.")]
        assert same or covered, path
        # What is listed does differ.
        assert not same or path not in different, path


def test_command_writes_to_stdout_by_default():
    result = CliRunner().invoke(app, ["textconv", "init-config", "--lang", "he"])
    config = spacy.util.load_config_from_str(result.output)
    assert config["nlp"]["lang"] == "he"
    assert config["nlp"]["pipeline"] == ["tok2vec", "tagger", "morphologizer"]


@pytest.mark.parametrize("optimize", ["speed", "accuracy"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_config_is_complete(component, optimize, tmp_path):
    path = tmp_path / "config.cfg"
    args = ("--pipeline", component, "--optimize", optimize, "--gpu", "--lang", "he")
    assert run(path, *args)[0] == 0
    config = load_config(path)
    assert load_model_from_config(config, auto_fill=True).config.to_str() == config.to_str()
    assert config["nlp"]["pipeline"] == ["tok2vec", component]
    tok2vec = config["components"]["tok2vec"]["model"]
    assert tok2vec["embed"]["mixed_precision"] and tok2vec["encode"]["mixed_precision"]
    assert (tok2vec["embed"]["char_maps"] == 0) == (optimize == "speed")


def test_components_train_together_with_vectors(corpus, tmp_path):  # noqa: F811
    pipeline = ["morphologizer", "ner", "textcat"]
    nlp = spacy.blank("en")
    nlp.vocab.set_vector("Anna", numpy.ones(7, dtype="float32"))
    nlp.to_disk(tmp_path / "vectors")
    vectors = ("--vectors", tmp_path / "vectors")
    assert run(tmp_path / "config.cfg", "--pipeline", ",".join(pipeline), *vectors)[0] == 0
    overrides = {**OVERRIDES, "paths.train": corpus, "paths.dev": corpus}
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=overrides)
    trained = spacy.load(tmp_path / "out" / "model-last")
    assert trained.pipe_names == ["tok2vec", *pipeline]
    embed = trained.config["components"]["tok2vec"]["model"]["embed"]
    assert embed["static_vectors_width"] == 7 and trained.vocab.vectors_length == 7
    weights = trained.config["training"]["score_weights"]
    assert sum(filter(None, weights.values())) == pytest.approx(1, abs=0.05)


def test_command_says_what_is_wrong(tmp_path):
    (tmp_path / "config.cfg").write_text("mine")
    spacy.blank("en").to_disk(tmp_path / "model")
    for args, message in (
        ((tmp_path / "config.cfg",), "E044"),
        (("--pipeline", "ner,tager"), "tager"),
        (("--pipeline", ""), "E149"),
        (("--pipeline", "ner,tagger,ner"), "E198"),
        (("--lang", "qq"), "qq"),
        (("--vectors", tmp_path / "model"), "E049"),
        (("--vectors", tmp_path / "missing"), "E050"),
    ):
        exit_code, printed = run(*args)
        assert exit_code == 1 and message in printed
    assert (tmp_path / "config.cfg").read_text() == "mine"
    assert run(tmp_path / "config.cfg", "--force")[0] == 0
    assert load_config(tmp_path / "config.cfg")["nlp"]["lang"] == "en"
