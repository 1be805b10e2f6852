import numpy

from spacy_textconv.pipeline.biluo import BiluoTags


def test_biluo_tags():
    names = list(BiluoTags(["A", "B"]).ids)
    assert names == ["O", "B-A", "I-A", "L-A", "U-A", "B-B", "I-B", "L-B", "U-B"]


def test_biluo_entities():
    tags = BiluoTags(["A", "B"])
    names = ["O", "U-A", "B-B", "I-B", "L-B", "B-A", "L-A", "O", "U-B"]
    starts, stops, labels = tags.entities(numpy.array([tags.ids[name] for name in names]))
    found = list(zip(starts.tolist(), stops.tolist(), labels.tolist(), strict=True))
    assert found == [(1, 2, 0), (2, 5, 1), (5, 7, 0), (8, 9, 1)]
