import numpy
import pytest
import spacy
from spacy import registry
from spacy.tokens import Doc
from spacy.util import fix_random_seed

from spacy_textconv.generation.symbols import Symbols
from spacy_textconv.models.heads.transducer import StringBatch

SYMBOLS = Symbols([*"abc"])
STRINGS = ["abc", "", "Cab", "xxxx"]
FEATURES = [["POS NOUN"], [], ["POS VERB", "TAG x"], ["POS NOUN"]]
CONFIG = {
    "@architectures": "spacy-textconv.CTCTransducer.v1",
    "width": 8,
    "slot_width": 8,
    "dilations": [1, 2],
    "dropout": 0.0,
}
TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 8,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
    "pretrained_vectors": None,
}


def build(**options):
    fix_random_seed(0)
    model = registry.resolve({"model": {**CONFIG, **options}})["model"]
    model.attrs["resize_output"](model, len(SYMBOLS))
    return model


@pytest.fixture(params=[False, True], ids=["strings", "strings in context"])
def model_and_batch(request):
    batch = StringBatch.from_strings(STRINGS, FEATURES, SYMBOLS)
    if not request.param:
        model = build()
        model.initialize()
        return model, batch
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["a", "b"]), Doc(vocab), Doc(vocab, words=["c", "d", "e"])]
    model = build(tok2vec=TOK2VEC)
    model.initialize(X=docs)
    return model, batch.in_context(docs, [4, 0, 1, 2])


def test_all_slots_have_probabilities(model_and_batch):
    model, batch = model_and_batch
    scores = model.predict(batch)
    slots = sum(3 * (5 + len(string) + 4) for string in STRINGS)
    assert scores.shape == (slots, len(SYMBOLS))
    numpy.testing.assert_allclose(numpy.exp(scores).sum(axis=1), 1.0, rtol=1e-4)


def test_an_update_predicts_the_same(model_and_batch):
    model, batch = model_and_batch
    scores, backprop = model.begin_update(batch)
    numpy.testing.assert_allclose(scores, model.predict(batch), atol=1e-5)
    backprop(scores)


def test_a_copy_predicts_the_same(model_and_batch):
    model, batch = model_and_batch
    numpy.testing.assert_array_equal(model.copy().predict(batch), model.predict(batch))


def test_bytes_predict_the_same(model_and_batch):
    model, batch = model_and_batch
    options = {} if len(model.layers) == 1 else {"tok2vec": TOK2VEC}
    loaded = build(**options).from_bytes(model.to_bytes())
    numpy.testing.assert_array_equal(loaded.predict(batch), model.predict(batch))


def test_equal_seeds_give_equal_weights():
    models = [build(), build()]
    for model in models:
        fix_random_seed(0)
        model.initialize()
    assert models[0].to_bytes() == models[1].to_bytes()


def test_the_gradient_reaches_the_tokens():
    # Against a small change of the embedding of one token.
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["a", "b"])]
    model = build(tok2vec=TOK2VEC)
    model.initialize(X=docs)
    batch = StringBatch.from_strings(["ab"], [[]], SYMBOLS).in_context(docs, [1])
    generator = numpy.random.default_rng(0)
    scores, backprop = model.begin_update(batch)
    direction = generator.standard_normal(scores.shape, dtype="float32")
    backprop(direction)
    checked = 0
    for node in model.layers[0].walk():
        for name in node.param_names:
            if not node.has_grad(name) or not node.get_grad(name).any():
                continue
            weights, gradient = node.get_param(name), node.get_grad(name)
            place = numpy.unravel_index(abs(gradient).argmax(), gradient.shape)
            values = []
            for step in (2e-3, -2e-3):
                weights[place] += step
                values.append((model.predict(batch) * direction).sum(dtype="float64"))
                weights[place] -= step
            assert (values[0] - values[1]) / 4e-3 == pytest.approx(gradient[place], rel=0.05)
            checked += 1
    assert checked > 3


@pytest.mark.parametrize(
    "options",
    [{"stride": 0}, {"width": 0}, {"dilations": []}, {"pad_before": -1}, {"kernel_size": 2}],
    ids=str,
)
def test_bad_settings_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        build(**options)
