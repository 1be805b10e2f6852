import pytest
import spacy
from spacy.tokens import Doc, Token
from spacy.training import Example

from spacy_textconv.models.attributes import (
    aligned,
    check_registered,
    has_values,
    is_set,
    read,
    register_target,
    split_features,
    value_keys,
    write,
)


@pytest.fixture
def doc():
    Token.set_extension("note", default=None, force=True)
    yield Doc(
        spacy.blank("en").vocab,
        words=["She", "left", "left"],
        pos=["PRON", "VERB", "ADJ"],
        morphs=["Number=Sing|Person=3", "Tense=Past", ""],
        lemmas=["she", "leave", ""],
    )
    Token.remove_extension("note")


def test_values_are_read_and_written(doc):
    assert [read(doc[0], name) for name in ("ORTH", "POS", "LEMMA")] == ["She", "PRON", "she"]
    assert read(doc[0], "MORPH") == "Number=Sing|Person=3"
    assert read(doc[0], "_.note") is None
    write(doc[0], "_.note", "x")
    assert read(doc[0], "_.note") == "x"
    doc[0]._.note = ["x", 1]
    assert read(doc[0], "_.note") == "x;1"
    for value in (0, 2.5, True):
        doc[0]._.note = value
        assert read(doc[0], "_.note") == str(value)
    write(doc[2], "LEMMA", "left")
    assert doc[2].lemma_ == "left"


def test_what_is_set(doc):
    assert [is_set(token, "LEMMA") for token in doc] == [True, True, False]
    assert not is_set(doc[1], "NORM")
    doc[1].norm_ = "LEFT"
    assert is_set(doc[1], "NORM")
    assert not is_set(doc[1], "_.note")
    doc[1]._.note = ""
    assert is_set(doc[1], "_.note")


def test_an_empty_text_by_default_is_no_value(doc):
    Token.set_extension("note", default="", force=True)
    assert not has_values(doc, "_.note") and not is_set(doc[0], "_.note")
    assert read(doc[0], "_.note") is None
    write(doc[0], "_.note", "")
    assert has_values(doc, "_.note") and is_set(doc[0], "_.note")
    assert [read(token, "_.note") for token in doc] == ["", None, None]


def test_features():
    assert split_features("MORPH", "Number=Sing|Person=3") == [
        "MORPH Number=Sing",
        "MORPH Person=3",
    ]
    assert split_features("_.note", "V;PST") == ["_.note V", "_.note PST"]
    assert split_features("TAG", "a|b;c") == ["TAG a|b;c"]
    assert split_features("POS", "") == split_features("_.note", None) == []


def test_keys_are_equal_where_values_are(doc):
    doc[1]._.note = doc[2]._.note = "x"
    same = value_keys(doc, ["ORTH", "_.note"])
    assert same.shape == (3, 2)
    assert (same[1] == same[2]).all() and (same[0] != same[1]).all()
    assert (value_keys(doc, ["ORTH", "POS"])[1] != value_keys(doc, ["ORTH", "POS"])[2]).any()
    # No value is not an empty one.
    doc[2]._.note = ""
    assert value_keys(doc, ["_.note"])[0] != value_keys(doc, ["_.note"])[2]


def test_which_documents_have_values(doc):
    bare = Doc(doc.vocab, words=["a"])
    for name in ("POS", "MORPH", "LEMMA"):
        assert has_values(doc, name) and not has_values(bare, name)
    assert has_values(bare, "SHAPE")
    assert not has_values(doc, "ENT_TYPE")
    doc.set_ents([])
    assert has_values(doc, "ENT_TYPE")
    assert not has_values(doc, "_.note")
    doc[2]._.note = "x"
    assert has_values(doc, "_.note")


def test_only_equal_tokens_are_aligned(doc):
    doc[0]._.note = ""
    other = Doc(doc.vocab, words=["She", "le", "ft", "left"], spaces=[True, False, True, False])
    example = Example(other, doc)
    assert aligned(example, "POS") == ["PRON", None, None, "ADJ"]
    assert aligned(example, "LEMMA") == ["she", None, None, None]
    assert aligned(example, "_.note") == ["", None, None, None]
    joined = Doc(doc.vocab, words=["Sheleft", "left"], spaces=[True, False])
    reference = Doc(doc.vocab, words=["She", "left", "left"], spaces=[False, True, False])
    reference[2].lemma_ = "leave"
    assert aligned(Example(joined, reference), "LEMMA") == [None, "leave"]


def test_unregistered_extensions_are_named(doc):
    check_registered("_.note")
    check_registered("POS")
    with pytest.raises(ValueError, match=r"E110.*set_extension\('unheard_of'"):
        check_registered("_.unheard_of")


@pytest.mark.parametrize("owner", [Token, Doc])
def test_what_other_code_computes_is_no_target(owner):
    store = {}
    found = {"getter": lambda item: store.get("x")}
    for kind, settings in (
        ("default", {"default": "x"}),
        ("setter", {**found, "setter": lambda item, value: store.update(x=value)}),
        ("getter", found),
        ("method", {"method": lambda item: "x"}),
    ):
        owner.set_extension(f"test_{kind}", **settings, force=True)
    for name in ("_.test_default", "_.test_setter", "_.test_new", "LEMMA"):
        register_target(name, owner)
    assert owner.has_extension("test_new")
    for kind in ("getter", "method"):
        with pytest.raises(ValueError, match=f"E196.*`_.test_{kind}`"):
            register_target(f"_.test_{kind}", owner)
