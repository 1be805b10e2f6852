"""Every shipped config: complete, and it trains."""

import copy
from inspect import signature
from pathlib import Path

import pytest
import spacy
from spacy import registry
from spacy.cli.debug_config import debug_config
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.util import load_config, load_model_from_config

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.cfg"))
OVERRIDES = {"training.max_steps": 2, "training.eval_frequency": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A file of documents with every annotation that the configs train on."""
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


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A tiny transformer with random weights."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("transformer")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", ".", "anna", "ben", "sees"]
    (path / "vocab.txt").write_text("\n".join(pieces), encoding="utf8")
    transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(pieces), intermediate_size=24, **sizes)
    transformers.BertModel(config).save_pretrained(path)
    return str(path)


def skip_without_transformers(path):
    if path.stem == "transformer":
        pytest.importorskip("spacy_transformers")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_is_complete(path):
    skip_without_transformers(path)
    config = load_config(path)
    filled = load_model_from_config(config, auto_fill=True).config
    assert filled.to_str() == config.to_str()


@pytest.mark.parametrize("name", ["DilatedConvEncoder", "DenseConvEncoder", "CharConvEmbed"])
def test_defaults_are_filled_in(name):
    model = {"@architectures": f"spacy-textconv.{name}.v1", "width": 8}
    filled = copy.deepcopy(registry.fill({"model": model})["model"])
    assert registry.resolve({"model": model})["model"].get_dim("nO") == 8
    function = registry.architectures.get(model["@architectures"])
    assert set(filled) == {"@architectures", *signature(function).parameters}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_saves_and_loads(path, corpus, tmp_path, request):
    skip_without_transformers(path)
    overrides = {**OVERRIDES, "paths.train": corpus, "paths.dev": corpus}
    if path.stem == "transformer":
        overrides["components.transformer.model.name"] = request.getfixturevalue("transformer")
        overrides["components.tok2vec.model.encode.width"] = 24
    debug_config(path, overrides=overrides)
    train(path, tmp_path, overrides=overrides)
    nlp = spacy.load(tmp_path / "model-last")
    doc = nlp("Anna sees a bird.")
    assert nlp.pipe_names == load_config(path)["nlp"]["pipeline"]
    assert [len(doc) for doc in nlp.pipe(["", "Anna sees"])] == [0, 2]
    assert len(doc) == 5 and doc.has_annotation("TAG") == nlp.has_pipe("tagger")
