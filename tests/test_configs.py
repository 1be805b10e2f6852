"""Every shipped config: complete, and it trains."""

import copy
from inspect import signature
from pathlib import Path

import pytest
import spacy
from spacy import registry
from spacy.cli.debug_config import debug_config
from spacy.cli.train import train
from spacy.util import load_config, load_model_from_config
from thinc.api import require_cpu, require_gpu

from .util import needs_gpu

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.cfg"))
OVERRIDES = {"training.max_steps": 2, "training.eval_frequency": 1}


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


@pytest.fixture
def overrides(corpus, request):
    """What makes the config of the test train on the tiny corpus."""
    path = request.getfixturevalue("path")
    skip_without_transformers(path)
    data = request.getfixturevalue("table") if path.stem in ("inflector", "seq2seq") else corpus
    overrides = {**OVERRIDES, "paths.train": data, "paths.dev": data}
    if path.stem == "transformer":
        overrides["components.transformer.model.name"] = request.getfixturevalue("transformer")
        overrides["components.tok2vec.model.encode.width"] = 24
    return overrides


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_saves_and_loads(path, overrides, tmp_path):
    debug_config(path, overrides=overrides)
    train(path, tmp_path, overrides=overrides)
    nlp = spacy.load(tmp_path / "model-last")
    doc = nlp("Anna sees a bird.")
    assert nlp.pipe_names == load_config(path)["nlp"]["pipeline"]
    assert [len(doc) for doc in nlp.pipe(["", "Anna sees"])] == [0, 2]
    assert len(doc) == 5 and doc.has_annotation("TAG") == nlp.has_pipe("tagger")


@needs_gpu
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_on_a_gpu_and_loads_on_both(path, overrides, tmp_path):
    texts = ["Anna sees a bird.", "", "Ben sees", "A tree. " * 50]
    try:
        train(path, tmp_path, use_gpu=0, overrides={**overrides, "training.max_steps": 20})
        on_gpu = annotations(tmp_path / "model-last", texts)
        require_cpu()
        on_cpu = annotations(tmp_path / "model-last", texts)
        # What was saved on the CPU loads on the GPU.
        spacy.load(tmp_path / "model-last").to_disk(tmp_path / "again")
        require_gpu()
        again = annotations(tmp_path / "again", texts)
    finally:
        require_cpu()
    assert again[0] == on_gpu[0] == on_cpu[0]
    # A bfloat16 number has 8 bits, so rounding changes it by up to 0.4%.
    assert on_gpu[1] == pytest.approx(on_cpu[1], abs=0.02)
    assert again[1] == pytest.approx(on_gpu[1], abs=1e-5)


def annotations(path, texts):
    """What a saved pipeline finds in texts, and the probabilities that it gives to classes."""
    docs = list(spacy.load(path).pipe(texts))
    found = [(token.tag_, token.dep_, token.ent_iob_) for doc in docs for token in doc]
    return found, [probability for doc in docs for probability in doc.cats.values()]
