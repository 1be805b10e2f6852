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
TARGETS = ["cba", "a", "", "bbbb"]
FEATURES = [["POS NOUN"], [], ["POS VERB", "TAG x"], ["POS NOUN"]]
CTC = {
    "@architectures": "spacy-textconv.CTCTransducer.v1",
    "width": 8,
    "slot_width": 8,
    "dilations": [1, 2],
    "dropout": 0.0,
}
CAUSAL = {
    "@architectures": "spacy-textconv.CausalTransducer.v1",
    "width": 8,
    "dilations": [1, 2],
    "dropout": 0.0,
    "decoder": {
        "@architectures": "spacy-textconv.CausalConvDecoder.v1",
        "width": 8,
        "dilations": [1, 2],
        "dropout": 0.0,
    },
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


def build(config=CTC, **options):
    fix_random_seed(0)
    model = registry.resolve({"model": {**config, **options}})["model"]
    model.attrs["resize_output"](model, len(SYMBOLS))
    return model


@pytest.fixture(params=[CTC, CAUSAL], ids=["one pass", "causal"])
def config(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["strings", "strings in context"])
def model_and_batch(config, request):
    batch = StringBatch.from_strings(STRINGS, FEATURES, SYMBOLS).becoming(TARGETS, SYMBOLS)
    if not request.param:
        model = build(config)
        model.initialize()
        return model, batch
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["a", "b"]), Doc(vocab), Doc(vocab, words=["c", "d", "e"])]
    model = build(config, tok2vec=TOK2VEC)
    model.initialize(X=docs)
    return model, batch.in_context(docs, [4, 0, 1, 2])


@pytest.mark.parametrize("config", [CTC], indirect=True, ids=["one pass"])
def test_all_slots_have_probabilities(model_and_batch):
    model, batch = model_and_batch
    scores = model.predict(batch)
    slots = sum(3 * (5 + len(string) + 4) for string in STRINGS)
    assert scores.shape == (slots, len(SYMBOLS))
    numpy.testing.assert_allclose(numpy.exp(scores).sum(axis=1), 1.0, rtol=1e-4)


@pytest.mark.parametrize("config", [CAUSAL], indirect=True, ids=["causal"])
def test_all_letters_and_ends_have_scores(model_and_batch):
    model, batch = model_and_batch
    scores = model.predict(batch)
    assert scores.shape == (sum(len(target) + 1 for target in TARGETS), len(SYMBOLS))
    loss, gradient = model.attrs["loss"](scores, batch)
    log_probs = scores - numpy.log(numpy.exp(scores).sum(axis=1, keepdims=True))
    following = [number for target in TARGETS for number in (*SYMBOLS.encode([target])[0], 0)]
    chosen = log_probs[range(len(following)), following]
    assert loss == pytest.approx(-chosen.sum(), rel=1e-5)
    numpy.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-5)


@pytest.mark.parametrize("config", [CAUSAL], indirect=True, ids=["causal"])
def test_what_is_written_is_as_probable_as_it_seems(model_and_batch):
    model, batch = model_and_batch
    network = model.get_ref("network")
    if model.has_ref("tok2vec"):
        batch = batch.with_vectors(numpy.zeros((len(STRINGS), 8), dtype="float32"))
    for n_best in (1, 3):
        found = model.attrs["transduce"](network, batch, STRINGS, SYMBOLS, n_best)
        assert [len(candidates) for candidates in found] == [n_best] * len(STRINGS)
        for string, candidates in zip(STRINGS, found, strict=True):
            assert len({text for text, _ in candidates}) == n_best
            assert all(len(text) <= len(string) + 30 for text, _ in candidates)
            probabilities = [probability for _, probability in candidates]
            assert probabilities == sorted(probabilities, reverse=True)
    texts = [candidates[0][0] for candidates in found]
    scores = network.predict(batch.becoming(texts, SYMBOLS))
    for text, candidates in zip(texts, found, strict=True):
        own, scores = scores[: len(text) + 1], scores[len(text) + 1 :]
        loss, _ = model.attrs["loss"](own, batch.becoming([text], SYMBOLS))
        assert candidates[0][1] >= numpy.exp(-loss) * (1 - 1e-4)


def test_an_update_predicts_the_same(model_and_batch):
    model, batch = model_and_batch
    scores, backprop = model.begin_update(batch)
    numpy.testing.assert_allclose(scores, model.predict(batch), atol=1e-5)
    backprop(scores)


def test_a_copy_predicts_the_same(model_and_batch):
    model, batch = model_and_batch
    numpy.testing.assert_array_equal(model.copy().predict(batch), model.predict(batch))


def test_bytes_predict_the_same(config, model_and_batch):
    model, batch = model_and_batch
    options = {} if len(model.layers) == 1 else {"tok2vec": TOK2VEC}
    loaded = build(config, **options).from_bytes(model.to_bytes())
    numpy.testing.assert_array_equal(loaded.predict(batch), model.predict(batch))


def test_equal_seeds_give_equal_weights(config):
    models = [build(config), build(config)]
    for model in models:
        fix_random_seed(0)
        model.initialize()
    assert models[0].to_bytes() == models[1].to_bytes()


def test_the_gradient_reaches_the_tokens(config):
    # Against a small change of the embedding of one token.
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["a", "b"])]
    model = build(config, tok2vec=TOK2VEC)
    model.initialize(X=docs)
    batch = StringBatch.from_strings(["ab"], [[]], SYMBOLS).in_context(docs, [1])
    batch = batch.becoming(["ba"], SYMBOLS)
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


@pytest.mark.parametrize("options", [{"width": 0}, {"dilations": []}, {"max_added": -1}], ids=str)
def test_bad_settings_of_a_causal_transducer_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        build(CAUSAL, **options)
