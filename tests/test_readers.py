import pytest
import spacy
import srsly

from spacy_textconv.readers import create_pairs_corpus_v1

ROWS = [("go", "went", "V;PST"), ("go", "goes", "V;3;SG"), ("look up", "looked up", "V;PST")]


def read(path, target="_.form", features="_.features"):
    corpus = create_pairs_corpus_v1(path=path, target=target, features=features)
    return list(corpus(spacy.blank("xx")))


def rows(examples):
    return [(eg.x.text, eg.y[0]._.form, eg.x[0]._.features) for eg in examples]


def test_tables(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes("\r\n".join("\t".join(row) for row in ROWS).encode() + b"\r\n\r\n")
    examples = read(path)
    assert rows(examples) == ROWS
    assert [eg.y[0]._.features for eg in examples] == [row[2] for row in ROWS]
    assert [eg.x[0]._.form for eg in examples] == [None] * 3


def test_objects(tmp_path):
    path = tmp_path / "pairs.jsonl"
    columns = ("source", "target", "features")
    pairs = [dict(zip(columns, row, strict=True)) for row in ROWS]
    pairs[1]["features"] = ["V", "3", "SG"]
    srsly.write_jsonl(path, pairs)
    assert rows(read(path)) == ROWS


@pytest.mark.parametrize(
    "name, line", [("a.tsv", "go\twent"), ("a.jsonl", '{"source": "go", "target": "went"}')]
)
def test_the_mark_of_an_encoding_is_no_letter(tmp_path, name, line):
    path = tmp_path / name
    path.write_text(line, encoding="utf-8-sig")
    [example] = read(path, target="LEMMA")
    assert (example.x.text, example.y[0].lemma_) == ("go", "went")


def test_pairs_without_features(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("walks\twalk\ncat\t\n", encoding="utf8")
    [first, second] = read(path, target="LEMMA", features=None)
    assert (first.x[0].text, first.x[0].lemma_, first.y[0].lemma_) == ("walks", "", "walk")
    assert second.y[0].lemma_ == ""
    assert [eg.x[0]._.features for eg in read(path)] == ["", ""]


@pytest.mark.parametrize("line", ["go", "\twent", "a\tb\tc\td", ""])
def test_a_bad_line_of_a_table_is_named(tmp_path, line):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"go\twent\n\n{line}", encoding="utf8")
    if line:
        with pytest.raises(ValueError, match="E122.*Line 3 of .*pairs.tsv"):
            read(path)
    else:
        assert len(read(path)) == 1


@pytest.mark.parametrize(
    "line", ["[1]", "{", '{"source": "go"}', '{"source": 1, "target": "a"}', "go\twent"]
)
def test_a_bad_object_is_named(tmp_path, line):
    path = tmp_path / "pairs.jsonl"
    path.write_text(line, encoding="utf8")
    with pytest.raises(ValueError, match="E122.*Line 1"):
        read(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "pairs.tsv"
    with pytest.raises(ValueError, match="E121.*pairs.tsv"):
        read(path)
    with pytest.raises(ValueError, match="E121.*--paths"):
        read(None)
    path.write_bytes("é\té".encode("latin1"))
    with pytest.raises(ValueError, match="E048.*pairs.tsv"):
        read(path)


def test_bad_names_are_refused():
    with pytest.raises(ValueError, match="target"):
        create_pairs_corpus_v1(path=None, target="form")
    with pytest.raises(ValueError, match="E120"):
        create_pairs_corpus_v1(path=None, target="LEMMA", features="MORPH")
