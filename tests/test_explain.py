"""Explanations of pipelines, as data, as a page and on the command line."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli import app
from spacy.cli._util import import_code
from spacy.training import Example
from thinc.api import fix_random_seed
from typer.testing import CliRunner

import spacy_textconv.cli  # noqa: F401
from spacy_textconv.explain import Explanation, explain
from spacy_textconv.models.explain import HeatMap
from spacy_textconv.render import render

from .util import CONVOLUTIONS, WIDTH, listener, tok2vec

TEXTS = {"a good bird sings well": "GOOD", "the bad bird barks": "BAD", "rain & <b>sun</b>": "BAD"}
MODEL = {
    "@architectures": "spacy-textconv.TextCatConv.v1",
    "attend": {
        "attention": {"@architectures": "spacy-textconv.AttentionAttend.v1", "width": WIDTH}
    },
    "ngrams": {
        "words": {
            "@architectures": "spacy-textconv.NgramLinear.v1",
            **{"unit": "word", "sizes": [1, 2], "rows": 500},
        }
    },
}


def pipeline(lang="en", factory="textcat", shared=True, embed=CONVOLUTIONS):
    fix_random_seed(0)
    nlp = spacy.blank(lang)
    source = tok2vec(embed=embed)
    if shared:
        nlp.add_pipe("tok2vec", config={"model": source})
    model = {
        **MODEL,
        "tok2vec": listener() if shared else source,
        "exclusive_classes": factory == "textcat",
    }
    nlp.add_pipe(factory, name="topic", config={"model": model})
    examples = [
        Example.from_dict(
            nlp.make_doc(text), {"cats": {name: float(name == label) for name in ("GOOD", "BAD")}}
        )
        for text, label in TEXTS.items()
    ]
    nlp.initialize(lambda: examples)
    optimizer = nlp.create_optimizer()
    for _ in range(5):
        nlp.update(examples, sgd=False, drop=0.1)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return nlp


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects the texts of the heat maps."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.maps, self.inside = [], [], [], False
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag != "meta":
            self.open.append(tag)
        if attrs.get("class") == "heat-map":
            self.maps.append("")
            self.inside = True

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.inside = self.inside and tag != "div"

    def handle_data(self, data):
        if self.inside:
            self.maps[-1] += data


def page_maps(page):
    return [attrs for _, attrs in page.tags if attrs.get("class") == "heat-map"]


@pytest.mark.parametrize("factory", ["textcat", "textcat_multilabel"])
def test_a_listener_is_explained_as_a_tok2vec_of_its_own(factory):
    nlp = pipeline(factory=factory)
    before = nlp.to_bytes()
    docs = list(TEXTS)
    heard = explain(nlp, docs)
    assert nlp.to_bytes() == before
    for explanation, text in zip(heard, docs, strict=True):
        cats = nlp(text).cats
        assert explanation.doc.text == text
        assert explanation.probabilities == pytest.approx(cats, abs=1e-5)
        assert explanation.label == max(cats, key=cats.get)
        assert [heat_map.layer for heat_map in explanation.maps] == ["", "attention", "words"]
        assert numpy.abs(explanation.maps[0].weights).max() > 0
    nlp.replace_listeners("tok2vec", "topic", ["model.tok2vec"])
    for one, other in zip(heard, explain(nlp, docs), strict=True):
        for first, second in zip(one.maps, other.maps, strict=True):
            assert_allclose(first.weights, second.weights, atol=1e-6)


def test_the_label_can_be_chosen():
    nlp = pipeline()
    good, bad = (explain(nlp, ["a bird"], label=label)[0] for label in ("GOOD", "BAD"))
    assert (good.label, bad.label) == ("GOOD", "BAD")
    assert_array_equal(good.maps[1].weights, bad.maps[1].weights)
    assert not numpy.array_equal(good.maps[2].weights, bad.maps[2].weights)


def test_what_cannot_be_explained_is_named():
    nlp = pipeline()
    nlp.add_pipe("textcat", name="other").add_label("X")
    for settings, message in (
        ({"component": "textcat"}, "E042.*'textcat'.*tok2vec, topic, other"),
        ({"component": "other"}, "E041.*'other'"),
        ({"label": "UGLY"}, "E043.*'topic'.*'UGLY'.*GOOD"),
    ):
        with pytest.raises(ValueError, match=message):
            explain(nlp, ["a bird"], **settings)
    nlp.disable_pipe("topic")
    with pytest.raises(ValueError, match="E040.*tok2vec, other"):
        explain(nlp, ["a bird"])


def test_a_page_shows_the_text_and_nothing_else_of_it():
    text = "rain & <script>alert('sun')</script>\n\n\"snow\"\x00 </mark>"
    page = Page(render(explain(pipeline(), [text, "rain"]), page=True))
    assert not any(tag == "script" for tag, _ in page.tags)
    shown = text.replace("\x00", "\ufffd")
    assert page.maps[:3] == [shown] * 3 and page.maps[3:] == ["rain"] * 3
    assert ("meta", {"charset": "utf-8"}) in page.tags
    assert all(attrs["dir"] == "ltr" for attrs in page_maps(page))


@pytest.mark.parametrize("lang, direction", [("he", "rtl"), ("ar", "rtl"), ("en", "ltr")])
def test_a_page_runs_in_the_direction_of_the_language(lang, direction):
    page = Page(render(explain(pipeline(lang), ["גשם"])))
    for attrs in page_maps(page):
        assert (attrs["lang"], attrs["dir"]) == (lang, direction)


def test_letters_and_their_marks_are_drawn_as_one():
    nlp = pipeline("he", shared=False, embed=None)
    [explanation] = explain(nlp, ["שָׁלוֹם, עולם"])
    assert explanation.maps[0].unit == "character"
    html = render([explanation])
    assert ">שָׁ</mark>" in html and ">ל</mark>" in html and ">וֹ</mark>" in html
    assert Page(html).maps[0] == explanation.doc.text


def test_colours():
    doc = spacy.blank("en")("so bad a day")
    weights = numpy.array([2.0, -2.0, 0.0, 0.5])
    maps = [
        HeatMap("gradient x input", "", "token", weights),
        HeatMap("attention", "a", "token", abs(weights) / 4.5),
        HeatMap("n-grams", "none", "token", weights * 0),
    ]
    probabilities = {f"class{number}": 0.02 * (9 - number) for number in range(9)}
    html = render([Explanation(doc, "class8", probabilities, maps)])
    assert 'title="−2" style="background: #2166ac; color: #ffffff' in html
    assert 'title="+2" style="background: #b2182b; color: #ffffff' in html
    assert "against −2" in html and "+2 for" in html
    assert 'title="0.444" style="background: #542788; color: #ffffff' in html
    assert html.count('title="+0" style="background: #ffffff; color: #1a1a1a') == 5
    assert ">class8<" in html and ">class5<" not in html and "and 3 more" in html
    assert html.index(">class0<") < html.index(">class4<") < html.rindex(">class8<")
    assert ">18.0 %</td>" in html and html.count('<tr style="font-weight: bold">') == 1


@pytest.mark.parametrize("shared", [True, False])
def test_empty_documents(shared):
    nlp = pipeline(shared=shared)
    assert explain(nlp, []) == []
    [empty, other] = explain(nlp, ["", "a"])
    assert all(heat_map.weights.shape == (0,) for heat_map in empty.maps)
    assert "The document is empty." in render([empty])
    assert len(Page(render([empty, other])).maps) == 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "model"
    pipeline().to_disk(path)
    return str(path)


def run(*args):
    result = CliRunner().invoke(app, ["textconv", "explain", *map(str, args)])
    return result.exit_code, " ".join(result.output.split())


def test_command_writes_a_page_and_never_over_another(model, tmp_path):
    output, texts = tmp_path / "page.html", tmp_path / "texts.txt"
    # With a mark in front that is no part of the text, as editors on Windows write it.
    texts.write_text("a bird\n\nגשם\n", encoding="utf-8-sig")
    assert run(model, "--text", "a bird", "--output", output)[0] == 0
    first = output.read_text(encoding="utf8")
    assert Page(first).maps == ["a bird"] * 3
    code, message = run(model, "--input", texts, "--output", output)
    assert code == 1 and "E044" in message and output.read_text(encoding="utf8") == first
    assert run(model, "--input", texts, "--output", output, "--force", "--label", "BAD")[0] == 0
    page = output.read_text(encoding="utf8")
    assert Page(page).maps == ["a bird"] * 3 + ["גשם"] * 3
    assert page.startswith("<!DOCTYPE html>") and page.count("Why <bdi>BAD</bdi>?") == 2


def narrowed(model, path):
    """The pipeline with a config that doesn't fit its weights."""
    copied = shutil.copytree(model, path / "narrow")
    config = (copied / "config.cfg").read_text(encoding="utf8")
    changed = config.replace("rows = 500", "rows = 400").replace(f"width = {WIDTH}", "width = 8")
    (copied / "config.cfg").write_text(changed, encoding="utf8")
    return copied


def test_command_says_what_is_wrong(model, tmp_path):
    output, texts = ["--output", tmp_path / "page.html"], tmp_path / "texts.txt"
    texts.write_text("\n", encoding="utf8")
    latin = tmp_path / "latin.txt"
    latin.write_text("ein schöner Tag", encoding="latin1")
    for args, message in (
        ([model, "--text", "a", "--output", tmp_path / "no" / "page.html"], "E045"),
        ([model, *output], "E046"),
        ([model, "--text", "", *output], "E046"),
        ([model, "--input", texts, *output], "E046"),
        ([model, "--input", texts, "--text", "a", *output], "E046"),
        ([model, "--input", latin, *output], "E048"),
        ([tmp_path, "--text", "a", *output], "E047"),
        ([narrowed(model, tmp_path), "--text", "a", *output], "E047"),
        ([model, "--text", "a", "--component", "ner", *output], "E042"),
        ([model, "--text", "a", "--label", "UGLY", *output], "E043"),
    ):
        code, printed = run(*args)
        assert code == 1 and message in printed
    assert not (tmp_path / "page.html").exists()


def test_components_before_the_classifier_are_applied():
    nlp = pipeline()
    nlp.add_pipe("sentencizer", before="topic")
    nlp.add_pipe("entity_ruler", after="topic").add_patterns([{"label": "X", "pattern": "bird"}])
    [explanation] = explain(nlp, ["A bird. A bird."])
    assert len(list(explanation.doc.sents)) == 2
    assert not explanation.doc.ents


def test_the_first_classifier_is_explained():
    nlp = pipeline()
    model = {**MODEL, "tok2vec": tok2vec(), "exclusive_classes": True}
    nlp.add_pipe("textcat", name="second", config={"model": model})
    train = [Example.from_dict(nlp.make_doc("a"), {"cats": {"X": 1.0, "Y": 0.0}})]
    nlp.get_pipe("second").initialize(lambda: train)
    assert set(explain(nlp, ["a bird"])[0].probabilities) == {"GOOD", "BAD"}
    assert set(explain(nlp, ["a bird"], component="second")[0].probabilities) == {"X", "Y"}


def test_command_imports_code(tmp_path):
    code, output = tmp_path / "code.py", tmp_path / "page.html"
    code.write_text(
        "from spacy import Language\n"
        "@Language.component('test_explain_shout')\n"
        "def shout(doc):\n"
        "    return doc\n",
        encoding="utf8",
    )
    import_code(code)
    nlp = pipeline()
    nlp.add_pipe("test_explain_shout", first=True)
    nlp.to_disk(tmp_path / "model")
    command = [sys.executable, "-m", "spacy", "textconv", "explain", tmp_path / "model"]
    command += ["--text", "a bird", "--output", output, "--code", code]
    # In a process of its own, which knows nothing of the component.
    subprocess.run(command, check=True, capture_output=True)
    assert Page(output.read_text(encoding="utf8")).maps == ["a bird"] * 3
