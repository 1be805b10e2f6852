import numpy
import pytest
import spacy

from spacy_textconv.explain import Explanation, HeatMap, explain, render

from .util import Page, pipeline


def page_maps(page):
    return [attrs for _, attrs in page.tags if attrs.get("class") == "heat-map"]


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
    [explanation] = explain(nlp, ["שָׁלוֹם, 👩\u200d👧"])
    assert explanation.maps[0].unit == "character"
    html = render([explanation])
    assert ">שָׁ</mark>" in html and ">ל</mark>" in html and ">וֹ</mark>" in html
    assert ">👩\u200d👧</mark>" in html
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
