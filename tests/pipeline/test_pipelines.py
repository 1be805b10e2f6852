"""Our encoders inside spaCy pipelines."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import spacy
import srsly
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import DEFAULT_CONFIG_PRETRAIN_PATH
from spacy.training.pretrain import pretrain
from thinc.api import Adam

from ..util import (
    CHARACTERS,
    CONVOLUTIONS,
    DILATED,
    HASHES,
    SENTENCES,
    WIDTH,
    examples,
    tagger_pipeline,
    train,
)

DENSE = {**DILATED, "@architectures": "spacy-textconv.DenseConvEncoder.v1"}
# None is for `CharTok2Vec`, which has no embedding layer to choose.
EMBEDS = {"conv": CONVOLUTIONS, "hash": HASHES, "text": None}


@pytest.mark.parametrize("encode", [DILATED, DENSE], ids=["dilated", "dense"])
@pytest.mark.parametrize("embed", [*EMBEDS.values(), CHARACTERS], ids=[*EMBEDS, "char"])
@pytest.mark.parametrize("shared", [True, False], ids=["listener", "inline"])
def test_tagger_learns_and_survives_disk(shared, embed, encode, tmp_path):
    nlp = tagger_pipeline(shared=shared, encode=encode, embed=embed)
    train(nlp, Adam(0.01), steps=60)
    nlp.to_disk(tmp_path / "model")
    for pipeline in (nlp, spacy.load(tmp_path / "model")):
        for words, tags in SENTENCES:
            doc = pipeline(spacy.tokens.Doc(pipeline.vocab, words=words))
            assert [token.tag_ for token in doc] == tags


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_empty_documents_in_a_pipeline(embed):
    nlp = tagger_pipeline(embed=embed)
    assert [len(doc) for doc in nlp.pipe(["", "Anna sings", ""])] == [0, 2, 0]
    assert nlp("").tensor.shape == (0, WIDTH)
    docs = [nlp.make_doc(""), nlp.make_doc("")]
    nlp.update([spacy.training.Example(doc, doc.copy()) for doc in docs], drop=0.1)


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_averages_are_evaluated_and_saved(embed, tmp_path):
    nlp = tagger_pipeline(embed=embed)
    optimizer = Adam(0.01, use_averages=True)
    train(nlp, optimizer, steps=10)
    doc = nlp("Anna sees a bird")
    with nlp.use_params(optimizer.averages):
        averaged = nlp("Anna sees a bird")
        nlp.to_disk(tmp_path / "averaged")
    assert not numpy.allclose(doc.tensor, averaged.tensor, atol=1e-3)
    assert_array_equal(nlp("Anna sees a bird").tensor, doc.tensor)
    loaded = spacy.load(tmp_path / "averaged")
    assert_allclose(loaded("Anna sees a bird").tensor, averaged.tensor, atol=1e-5)


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_replaced_listeners_train_on_their_own(embed):
    nlp = tagger_pipeline(embed=embed)
    optimizer = Adam(0.01)
    train(nlp, optimizer, steps=3)
    nlp.replace_listeners("tok2vec", "tagger", ["model.tok2vec"])
    first, second = nlp.get_pipe("tok2vec"), nlp.get_pipe("tagger")
    ids = [
        {shim.id for node in pipe.model.walk() for shim in node.shims} for pipe in (first, second)
    ]
    assert all(ids) and not ids[0] & ids[1]
    shims = [shim for node in first.model.walk() for shim in node.shims]
    before = [shim.to_bytes() for shim in shims]
    train(nlp, optimizer, steps=40)
    assert [shim.to_bytes() for shim in shims] == before
    for words, tags in SENTENCES:
        doc = nlp(spacy.tokens.Doc(nlp.vocab, words=words))
        assert [token.tag_ for token in doc] == tags


def test_training_dropout_reaches_the_encoder():
    def trained(drop):
        spacy.util.fix_random_seed(0)
        nlp = tagger_pipeline()
        embed = nlp.get_pipe("tok2vec").model.get_ref("embed")
        for node in embed.walk():
            if "dropout_rate" in node.attrs:
                node.attrs["is_enabled"] = False
        encode = nlp.get_pipe("tok2vec").model.get_ref("encode")
        train(nlp, Adam(0.01), steps=1, drop=drop)
        return encode.to_bytes()

    assert trained(0.0) == trained(0.0)
    assert trained(0.5) != trained(0.0)


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_tagger_learns_from_a_frozen_tok2vec(embed):
    nlp = tagger_pipeline(embed=embed)
    before = nlp("Anna sees a red bird").tensor
    losses = []
    for _ in range(20):
        frozen = {"exclude": ["tok2vec"], "annotates": ["tok2vec"]}
        losses.append(nlp.update(examples(nlp), sgd=Adam(0.01), drop=0.5, **frozen)["tagger"])
    assert losses[-1] < 0.5 * losses[0]
    assert_array_equal(nlp("Anna sees a red bird").tensor, before)


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_sourced_component_predicts_the_same(embed):
    nlp = tagger_pipeline(shared=False, embed=embed)
    train(nlp, Adam(0.01), steps=5)
    other = spacy.blank("en", vocab=nlp.vocab)
    other.add_pipe("tagger", source=nlp)
    assert [t.tag_ for t in other("Anna sees birds")] == [t.tag_ for t in nlp("Anna sees birds")]


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_eight_threads_share_one_pipeline(embed):
    nlp = tagger_pipeline(embed=embed)
    train(nlp, Adam(0.01), steps=5, drop=0.5)
    texts = [" ".join(words) for words, _ in SENTENCES] * 40
    expected = [nlp(text).tensor for text in texts]
    with ThreadPoolExecutor(8) as threads:
        for tensor, doc in zip(expected, threads.map(nlp, texts), strict=True):
            assert_allclose(doc.tensor, tensor, atol=1e-5)


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
@pytest.mark.parametrize("shared", [True, False], ids=["listener", "inline"])
def test_memory_zones(shared, embed):
    nlp = tagger_pipeline(shared=shared, embed=embed)
    train(nlp, Adam(0.01), steps=5)
    component = nlp.get_pipe("tagger")
    texts = ["Anna sees a transient zebra", "a zebra sings", "passing birds"] * 2
    inside = []
    for text in texts:
        with nlp.memory_zone():
            inside.append(component.model.predict([nlp(text)])[0])
        assert "zebra" not in nlp.vocab.strings
    for text, scores in zip(texts, inside, strict=True):
        assert_allclose(component.model.predict([nlp(text)])[0], scores, atol=1e-5)


@pytest.mark.parametrize("embed", [CONVOLUTIONS, None], ids=["conv", "text"])
def test_strings_that_another_memory_zone_has_freed(embed):
    nlp = tagger_pipeline(embed=embed)
    with nlp.memory_zone():
        doc = nlp.make_doc("a transient zebra")
        # The end of a zone of another thread does the same.
        with nlp.memory_zone():
            pass
        with pytest.raises(ValueError, match="E060.*memory_zone"):
            nlp(doc)
        with pytest.raises(ValueError, match="E060.*memory_zone"):
            list(nlp.pipe([doc]))


FORK_SCRIPT = """
import os, signal, sys, threading, time, spacy

nlp = spacy.load(sys.argv[1])
# Not the tagger's own layer: the lock that BLIS has for its memory doesn't survive a fork.
model = nlp.get_pipe("tok2vec").model

def predict():
    while True:
        model.predict([nlp.make_doc(f"Anna sees bird {time.perf_counter_ns()}") for _ in range(3)])

for _ in range(2):
    threading.Thread(target=predict, daemon=True).start()
for _ in range(30):
    time.sleep(0.01)
    child = os.fork()
    if not child:
        model.predict([nlp.make_doc("Birds see Anna")])
        os._exit(0)
    end = time.monotonic() + 10
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os._exit(1)
        time.sleep(0.005)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_can_be_forked_while_threads_predict(tmp_path):
    tagger_pipeline(embed=CONVOLUTIONS).to_disk(tmp_path / "model")
    command = [sys.executable, "-c", FORK_SCRIPT, tmp_path / "model"]
    assert subprocess.run(command, timeout=120).returncode == 0


MEMORY_SCRIPT = """
import resource, numpy
from spacy_textconv.models.encode import build_dilated_conv_encoder_v1

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

model = build_dilated_conv_encoder_v1(width=96)
model.predict([numpy.ones((100, 96), dtype="float32")])
X = numpy.ones((1_000_000, 96), dtype="float32")
before = peak()
(Y,) = model.predict([X])
print(peak() - before - Y.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_million_tokens_need_little_memory():
    command = [sys.executable, "-c", MEMORY_SCRIPT]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(result.stdout) < 256


@pytest.mark.parametrize("embed", EMBEDS.values(), ids=EMBEDS)
def test_pretrained_weights_can_be_loaded(embed, tmp_path):
    nlp = tagger_pipeline(embed=embed)
    fresh = nlp("Anna sees birds").tensor
    texts = [{"text": " ".join(words)} for words, _ in SENTENCES]
    srsly.write_jsonl(tmp_path / "texts.jsonl", texts)
    config = nlp.config.merge(spacy.util.load_config(DEFAULT_CONFIG_PRETRAIN_PATH))
    config["paths"]["raw_text"] = str(tmp_path / "texts.jsonl")
    config["pretraining"]["max_epochs"] = 1
    config = config.interpolate()
    pretrain(config, tmp_path)
    config["initialize"]["init_tok2vec"] = str(tmp_path / "model0.bin")
    nlp = spacy.util.load_model_from_config(config)
    nlp.initialize(lambda: examples(nlp))
    trained = nlp("Anna sees birds").tensor
    nlp.get_pipe("tok2vec").model.from_bytes((tmp_path / "model0.bin").read_bytes())
    assert_allclose(nlp("Anna sees birds").tensor, trained, atol=1e-5)
    assert not numpy.allclose(trained, fresh, atol=1e-3)
