import re
from base64 import b64decode
from io import BytesIO
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import spacy
import srsly
from matplotlib.image import imread
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import import_file, load_config, load_model_from_config
from thinc.api import Adam

from .util import ROOT, check_workflows, copy_project, run_in_process

SCRIPTS = ROOT / "projects" / "captions" / "scripts"
CONFIGS = ("attention", "one_vector")
VARS = {
    "vars.lang": "he",
    "vars.train": 128,
    "vars.other": 32,
    "vars.max_steps": 2,
    "vars.pictures": 4,
}
# What Hebrew says of one of each shape and of several.
HEBREW = {
    (1, "red", "circle"): "עיגול אדום",
    (2, "red", "circle"): "שני עיגולים אדומים",
    (1, "green", "square"): "ריבוע ירוק",
    (4, "orange", "square"): "ארבעה ריבועים כתומים",
    (1, "blue", "triangle"): "משולש כחול",
    (3, "black", "triangle"): "שלושה משולשים שחורים",
    (1, "black", "heart"): "לב שחור",
    (3, "red", "heart"): "שלושה לבבות אדומים",
    (1, "orange", "arc"): "קשת כתומה",
    (2, "blue", "arc"): "שתי קשתות כחולות",
    (1, "red", "dot"): "נקודה אדומה",
    (4, "green", "dot"): "ארבע נקודות ירוקות",
    (1, "black", "egg"): "ביצה שחורה",
    (3, "red", "egg"): "שלוש ביצים אדומות",
    (1, "green", "ring"): "טבעת ירוקה",
    (2, "orange", "ring"): "שתי טבעות כתומות",
}


@pytest.fixture(scope="module")
def scripts() -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        names = ["scenes", "functions", "draw", "evaluate"]
        modules = {name: import_file(f"captions_{name}", SCRIPTS / f"{name}.py") for name in names}
    Doc.set_extension("caption", default=None, force=True)
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project("captions", tmp_path_factory.mktemp("root"), {})
    run_in_process(project, "all", VARS)
    return project


def read_docs(project: Path, split: str) -> list[Doc]:
    docs = DocBin().from_disk(project / "corpus" / "he" / f"{split}.spacy")
    return [*docs.get_docs(spacy.blank("he").vocab)]


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_the_held_out_combinations_are_in_the_test_set_only(project: Path, scripts):
    groups = {
        split: {scripts.scenes.Group(*doc.user_data["group"]) for doc in read_docs(project, split)}
        for split in ("train", "dev", "test")
    }
    assert groups["train"] == {group for group in scripts.scenes.GROUPS if not group.held_out}
    assert groups["dev"] <= groups["train"]
    assert len(groups["test"]) == 32 and not groups["test"] & groups["train"]
    learned = " | ".join(doc._.caption for doc in read_docs(project, "train"))
    for group in groups["test"]:
        assert not re.search(rf"\b{scripts.scenes.name_in_hebrew(group)}\b", learned)


def test_the_training_data_has_all_pairs_of_number_colour_and_shape(scripts):
    groups = scripts.scenes.GROUPS
    for a, b in combinations(range(3), 2):
        known = {(group[a], group[b]) for group in groups if not group.held_out}
        assert known == {(group[a], group[b]) for group in groups}


@pytest.mark.parametrize("group", HEBREW)
def test_number_and_colour_agree_with_the_hebrew_noun(group, scripts):
    assert scripts.scenes.name_in_hebrew(scripts.scenes.Group(*group)) == HEBREW[group]


def test_a_caption_begins_where_its_language_does(scripts):
    scenes = scripts.scenes
    scene = scenes.Scene(
        scenes.Group(1, "orange", "egg"), scenes.Group(2, "red", "heart"), above=False
    )
    assert [scenes.describe_in_english(scene), scenes.describe_in_hebrew(scene)] == [
        "an orange egg to the left of two red hearts",
        "שני לבבות אדומים מימין לביצה כתומה",
    ]
    scene = scene._replace(above=True)
    assert [scenes.describe_in_english(scene), scenes.describe_in_hebrew(scene)] == [
        "an orange egg above two red hearts",
        "ביצה כתומה מעל שני לבבות אדומים",
    ]


@pytest.mark.parametrize("above", [True, False])
def test_groups_lie_as_the_caption_says(above, scripts):
    rng = numpy.random.default_rng(0)
    first, second = scripts.scenes.Group(3, "red", "square"), scripts.scenes.Group(2, "blue", "dot")
    for _ in range(20):
        pixels = scripts.draw.draw(scripts.scenes.Scene(first, second, above), rng).astype(int)
        red, blue = (
            numpy.argwhere(abs(pixels - scripts.draw.COLOURS[colour]).sum(axis=2) < 60)
            for colour in ("red", "blue")
        )
        along, across = (0, 1) if above else (1, 0)
        assert red[:, along].max() < blue[:, along].min()
        # They are not beside each other as well: their cells overlap.
        cell = scripts.functions.SIZE // scripts.draw.CELLS
        starts, stops = ([f(part[:, across]) // cell for part in (red, blue)] for f in (min, max))
        assert max(starts) <= min(stops)


@pytest.mark.parametrize("shape", ["circle", "square", "heart", "arc", "dot", "ring"])
def test_as_many_shapes_are_drawn_as_there_are(shape, scripts):
    rng = numpy.random.default_rng(0)
    inks = []
    for count in (1, 2, 3, 4):
        group = scripts.scenes.Group(count, "black", shape)
        scene = scripts.scenes.Scene(group, scripts.scenes.Group(1, "red", "dot"), above=True)
        # Red is nearly white where only red is seen.
        inks.append((255.0 - scripts.draw.draw(scene, rng)[..., 0]).sum())
    assert inks == pytest.approx([inks[0] * count for count in (1, 2, 3, 4)], rel=0.15)


@pytest.mark.parametrize("name", CONFIGS)
def test_both_decoders_learn_a_few_captions(project: Path, scripts, name):
    spacy.util.fix_random_seed(0)
    corpus = project / "corpus" / "he" / "dev.spacy"
    overrides = {"paths.train": str(corpus), "paths.dev": str(corpus)}
    config = load_config(ROOT / f"projects/captions/configs/{name}.cfg", overrides=overrides)
    nlp = load_model_from_config(config, auto_fill=True)
    examples = [*scripts.functions.create_picture_corpus(corpus)(nlp)][:4]
    nlp.get_pipe("captioner").initialize(lambda: examples, nlp=nlp)
    optimizer = Adam(0.002)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    docs = nlp.pipe(eg.predicted for eg in examples)
    assert [doc._.caption for doc in docs] == [eg.reference._.caption for eg in examples]


def test_the_configs_differ_in_the_model_only():
    configs = [load_config(ROOT / "projects/captions/configs" / f"{name}.cfg") for name in CONFIGS]
    for config in configs:
        config["components"]["captioner"].pop("model")
        config["components"]["captioner"].pop("attention", None)
    assert configs[0] == configs[1]


def test_captions_are_scored_by_what_is_held_out(scripts):
    examples = []
    for count, caption in ((1, "a"), (2, "b"), (2, "c")):
        docs = [Doc(spacy.blank("en").vocab, words=["picture"]) for _ in range(2)]
        docs[1].user_data["group"] = [count, "red", "dot"]
        for doc, text in zip(docs, ("b", caption), strict=True):
            doc._.caption = text
        examples.append(Example(*docs))
    keys = scripts.evaluate.KEYS
    found = {name: scripts.evaluate.share_right(examples, key) for name, key in keys.items()}
    assert found == {
        "combination": {"1 red dot": 0.0, "2 red dot": 0.5},
        "count": {"1": 0.0, "2": 0.5},
        "colour": {"red": pytest.approx(1 / 3)},
        "shape": {"dot": pytest.approx(1 / 3)},
    }


def test_the_page_has_pictures_and_what_was_written_for_them(project: Path):
    page = (project / "metrics" / "report.html").read_text(encoding="utf8")
    docs = read_docs(project, "test")[:4]
    drawn = re.findall(r'<div class="card"><img src="data:image/png;base64,([^"]+)"', page)
    assert len(drawn) == len(docs)
    for picture, doc in zip(drawn, docs, strict=True):
        pixels = imread(BytesIO(b64decode(picture)))[..., :3] * 255
        numpy.testing.assert_array_equal(pixels.round(), doc.user_data["pixels"])
    for name in CONFIGS:
        scores = srsly.read_json(project / "metrics" / "he" / f"{name}.json")
        assert set(scores) == {"dev", "test"}
        assert len(scores["test"]["combination"]) == 32
        nlp = spacy.load(project / "training" / "he" / name / "model-best")
        for doc in docs:
            assert f">{nlp(doc)._.caption}<small" in page
