import pytest
import spacy
import torch
from hypothesis import settings
from spacy.tokens import Doc, DocBin

# The first call of a torch function is slow, and so is a busy machine.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

# For tensors as small as those of the tests, a second thread only waits.
torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A file of documents with every annotation that configs train on."""
    nlp = spacy.blank("en")
    docs = []
    for i in range(20):
        tags = ["PROPN", "VERB", "DET", "NOUN", "PUNCT"]
        doc = Doc(
            nlp.vocab,
            words=[["Anna", "Ben"][i % 2], "sees", "a", ["bird", "tree"][i // 2 % 2], "."],
            tags=tags,
            pos=tags,
            morphs=["Number=Sing", "Tense=Pres", "", "Number=Sing", ""],
            lemmas=[["Anna", "Ben"][i % 2], "see", "a", ["bird", "tree"][i // 2 % 2], "."],
            heads=[1, 1, 3, 1, 1],
            deps=["nsubj", "ROOT", "det", "dobj", "punct"],
            ents=["B-PERSON", "O", "O", "O", "O"],
        )
        doc.spans["sc"] = [doc.char_span(0, len(doc[0]), label="PERSON")]
        doc.cats = {"ANNA": float(i % 2 == 0), "BEN": float(i % 2 == 1)}
        docs.append(doc)
    path = tmp_path_factory.mktemp("corpus") / "docs.spacy"
    DocBin(docs=docs).to_disk(path)
    return str(path)


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A file of pairs of strings."""
    path = tmp_path_factory.mktemp("table") / "pairs.tsv"
    path.write_text("go\twent\tV;PST\nwalk\twalked\tV;PST\nsee\tsees\tV;3;SG\n", encoding="utf8")
    return str(path)
