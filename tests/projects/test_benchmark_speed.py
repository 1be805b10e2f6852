from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.util import import_file

from ..util import examples

PROJECTS = Path(__file__).parents[2] / "projects"
measure = import_file("measure", PROJECTS / "benchmark_speed" / "scripts" / "measure.py")


def test_ratio_is_that_of_the_two_rates(tmp_path):
    corpus = tmp_path / "corpus.spacy"
    nlp = spacy.blank("en")
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(corpus)
    config = PROJECTS.parent / "configs" / "tagger.cfg"
    peer = PROJECTS / "tagging" / "configs" / "spacy_cnn.cfg"
    output = tmp_path / "metrics" / "speed.json"
    measure.main(config, peer, corpus, output, 1, rounds=2)
    result = srsly.read_json(output)
    assert result["threads"] == 1
    for task in ("train", "predict"):
        rates = result[task]
        assert rates["ratio"] == pytest.approx(rates["textconv"] / rates["spacy_cnn"])
