from importlib import import_module
from types import SimpleNamespace

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.util import load_config

from spacy_textconv.layers.blocks import BLOCKS

from ..util import examples
from .util import ROOT

PROJECT = ROOT / "projects" / "ablation"
CONFIGS = {"tagging": "tagger.cfg", "textcat": "textcat.cfg"}


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "scripts")
        names = ["ablate", "draw_frontier"]
        yield SimpleNamespace(**{name: import_module(name) for name in names})


def plans():
    for name, config in CONFIGS.items():
        plan = srsly.read_yaml(PROJECT / "variants" / f"{name}.yml")
        for members in plan["groups"].values():
            for variant, changes in members.items():
                yield pytest.param(config, plan, changes, id=f"{name}-{variant}")


@pytest.mark.parametrize("config, plan, changes", list(plans()))
def test_each_variant_can_be_built(scripts, config, plan, changes):
    paths = {f"{plan['section']}.{path}": value for path, value in changes.items()}
    changed = scripts.ablate.change(
        load_config(ROOT / "configs" / config), {**plan.get("common", {}), **paths}
    )
    nlp = spacy.util.load_model_from_config(changed, auto_fill=True)
    assert nlp.pipe_names == load_config(ROOT / "configs" / config)["nlp"]["pipeline"]


def test_all_blocks_connections_and_poolings_are_among_the_variants():
    text = "".join(path.read_text(encoding="utf8") for path in PROJECT.glob("variants/*.yml"))
    assert all(f"block: {block}" in text or block == "gated" for block in BLOCKS)
    for name in spacy.registry.architectures.get_all():
        if name.startswith("spacy-textconv.") and ("Attend" in name or "Encoder" in name):
            assert name in text or name == "spacy-textconv.DilatedConvEncoder.v1", name


def test_variants_are_trained_and_drawn(scripts, tmp_path):
    docs = [example.reference for example in examples(spacy.blank("en"))]
    for split in ("train", "dev"):
        DocBin(docs=docs).to_disk(tmp_path / f"{split}.spacy")
    plan = srsly.read_yaml(PROJECT / "variants" / "tagging.yml")
    # The documents have no features.
    del plan["scores"]["morph_acc"]
    plan["groups"] = {"Width": {"8": {"model.encode.width": 8}, "16": {"model.encode.width": 16}}}
    srsly.write_yaml(tmp_path / "plan.yml", plan)
    arguments = [ROOT / "configs" / "tagger.cfg", tmp_path / "plan.yml", tmp_path]
    output = tmp_path / "metrics" / "tagging.json"
    # As an interrupted training leaves it.
    (tmp_path / "training" / "2000" / "8-unfinished" / "model-last").mkdir(parents=True)
    scripts.ablate.main(*arguments, tmp_path / "training", output, words=2000, rounds=1)
    variants = srsly.read_json(output)["variants"]
    assert list(variants) == ["8", "16"]
    assert variants["8"]["parameters"] < variants["16"]["parameters"]
    for variant in variants.values():
        assert variant["rate"] > 0 and set(variant["scores"]) == set(plan["scores"])
    scripts.draw_frontier.main(output)
    table = output.with_suffix(".md").read_text(encoding="utf8")
    assert "| Width | **16**" in table or "| Width | **8**" in table
    assert output.with_suffix(".svg").exists()
    trained = [path.stat().st_mtime_ns for path in tmp_path.glob("training/2000/*/model-last")]
    scripts.ablate.main(*arguments, tmp_path / "training", output, words=2000, rounds=1)
    again = [path.stat().st_mtime_ns for path in tmp_path.glob("training/2000/*/model-last")]
    assert again == trained and len(trained) == 2


def test_the_frontier_has_no_variant_that_another_one_beats(scripts):
    points = {"a": (4.0, 0.8), "b": (3.0, 0.7), "c": (2.0, 0.9), "d": (1.0, 0.9)}
    variants = {
        name: {"rate": rate, "scores": {"score": score}} for name, (rate, score) in points.items()
    }
    assert scripts.draw_frontier.frontier(variants) == ["a", "c"]


def test_each_group_has_a_panel(scripts):
    groups = ["Depth", "Width", "Block", "Others"]
    variants = {
        name: {"group": name, "unchanged": False, "rate": rate, "scores": {"score": 0.9}}
        for rate, name in enumerate(groups, 1)
    }
    figure = scripts.draw_frontier.draw(variants, [], ["Score"])
    shown = [panel.get_title() for panel in figure.axes if panel.get_visible()]
    assert shown == groups
