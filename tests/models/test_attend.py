"""What every registered pooling has to do, from one table."""

import pickle

import numpy
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from thinc.api import Adam, fix_random_seed

from spacy_textconv.models import device
from spacy_textconv.models.attend import attention_weights

WIDTH = 8
POOL = {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH}
KMAX = {"@architectures": "spacy-textconv.KMaxAttend.v1", "width": WIDTH}
ATTENTION = {"@architectures": "spacy-textconv.AttentionAttend.v1", "width": WIDTH}
CONV = {"@architectures": "spacy-textconv.ConvAttend.v1", "width": WIDTH}
FLATTEN = {"@architectures": "spacy-textconv.FlattenAttend.v1", "width": WIDTH}
PYRAMID = {"@architectures": "spacy-textconv.PyramidAttend.v1", "width": WIDTH}
ATTENDS = {
    "max": POOL,
    "mean": {**POOL, "pooling": "mean"},
    "logsumexp": {**POOL, "pooling": "logsumexp"},
    "kmax": {**KMAX, "k": 2},
    "attention": ATTENTION,
    "conv": CONV,
    "conv_deep": {**CONV, "kernel_size": 2, "stride": 2, "depth": 2, "pooling": "mean"},
    "flatten": {**FLATTEN, "out_width": WIDTH, "max_length": 20},
    "pyramid": PYRAMID,
    "pyramid_mean": {**PYRAMID, "depth": 2, "kernel_size": 5, "pooling": "mean"},
}
LENGTHS = [7, 1, 0, 23, 2]


@pytest.fixture(params=ATTENDS)
def config(request):
    return ATTENDS[request.param]


def build(config, seed=0):
    fix_random_seed(seed)
    return registry.resolve({"model": config})["model"]


def documents(lengths=LENGTHS, seed=0):
    generator = numpy.random.default_rng(seed)
    return [generator.standard_normal((length, WIDTH), dtype="float32") for length in lengths]


def test_table_has_every_pooling():
    names = {name for name in registry.architectures.get_entry_points() if "Attend" in name}
    ours = {name for name in names if name.startswith("spacy-textconv.")}
    assert ours == {config["@architectures"] for config in ATTENDS.values()}


def test_shapes(config):
    model = build(config)
    model.initialize(documents())
    Y = model.predict(documents())
    width = config.get("k", 1) * WIDTH
    assert (Y.shape, Y.dtype) == ((len(LENGTHS), width), numpy.dtype("float32"))
    assert (model.get_dim("nI"), model.get_dim("nO")) == (WIDTH, width)
    assert_array_equal(Y[2], numpy.zeros(width))


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_batches_without_tokens(config, lengths):
    model = build(config)
    Xs = documents(lengths)
    zeros = numpy.zeros((len(lengths), model.get_dim("nO")))
    assert_array_equal(model.predict(Xs), zeros)
    Y, backprop = model.begin_update(Xs)
    assert_array_equal(Y, zeros)
    assert [dX.shape for dX in backprop(Y)] == [(0, WIDTH)] * len(lengths)
    model.finish_update(Adam(0.001))


def test_alone_equals_batched(config):
    model = build(config)
    for X, Y in zip(documents(), model.predict(documents()), strict=True):
        assert_allclose(model.predict([X])[0], Y, atol=1e-5)


def test_training_equals_prediction(config):
    model = build(config)
    Y, _ = model.begin_update(documents())
    assert_allclose(Y, model.predict(documents()), atol=1e-5)


@pytest.mark.parametrize("name", ["attention", "conv", "conv_deep", "flatten", "pyramid"])
def test_mixed_precision_is_close_to_float32(name, monkeypatch):
    monkeypatch.setattr(device, "CPU_HAS_BFLOAT16_UNITS", True)
    model = build({**ATTENDS[name], "mixed_precision": True})
    for param in model.shims[0].module.parameters():
        param.data += torch.randn_like(param) / 4
    exact = build(ATTENDS[name]).from_bytes(model.to_bytes())
    expected = exact.predict(documents())
    assert not numpy.array_equal(model.predict(documents()), expected)
    (Y, backprop), (_, exact_backprop) = (m.begin_update(documents()) for m in (model, exact))
    for got in (model.predict(documents()), Y):
        assert got.dtype == numpy.dtype("float32")
        assert_allclose(got, expected, atol=0.1)
    for dX, wanted in zip(backprop(Y), exact_backprop(Y), strict=True):
        assert dX.dtype == numpy.dtype("float32")
        assert_allclose(dX, wanted, atol=0.1 * max(1.0, abs(wanted).max(initial=0.0)))


def test_gradient_of_the_input(config):
    model = build(config)
    Xs, direction = documents([4, 0, 9], seed=1), documents([4, 0, 9], seed=2)
    Y, backprop = model.begin_update(Xs)
    dY = numpy.random.default_rng(3).standard_normal(Y.shape, dtype="float32")
    step = 1e-3
    ahead = model.predict([X + step * D for X, D in zip(Xs, direction, strict=True)])
    behind = model.predict([X - step * D for X, D in zip(Xs, direction, strict=True)])
    measured = float((dY * (ahead - behind)).sum()) / (2 * step)
    computed = sum(float((dX * D).sum()) for dX, D in zip(backprop(dY), direction, strict=True))
    assert computed == pytest.approx(measured, rel=0.02, abs=0.02)


def test_every_parameter_gets_a_gradient(config):
    model = build(config)
    Y, backprop = model.begin_update(documents())
    backprop(numpy.random.default_rng(1).standard_normal(Y.shape, dtype="float32"))
    for name, param in model.shims[0].module.named_parameters():
        assert param.grad is not None and param.grad.abs().sum() > 0, name


def test_bytes_disk_copy_and_pickle(config, tmp_path):
    model = build(config)
    expected = model.predict(documents())
    model.to_disk(tmp_path / "model")
    others = [
        build(config, seed=1).from_bytes(model.to_bytes()),
        build(config, seed=2).from_disk(tmp_path / "model"),
        model.copy(),
        pickle.loads(pickle.dumps(model)),
    ]
    for other in others:
        assert_array_equal(other.predict(documents()), expected)


def test_equal_seeds_give_equal_weights(config):
    assert build(config).to_bytes() == build(config).to_bytes()


def test_attention_weights():
    model = build(ATTENTION)
    for param in model.shims[0].module.parameters():
        param.data += torch.randn_like(param)
    weights = attention_weights(model, documents())
    assert [W.shape for W in weights] == [(length, 4) for length in LENGTHS]
    for X, W, Y in zip(documents(), weights, model.predict(documents()), strict=True):
        assert_allclose((numpy.repeat(W, WIDTH // 4, axis=1) * X).sum(axis=0), Y, atol=1e-5)
        if len(X):
            assert_allclose(W.sum(axis=0), numpy.ones(4), atol=1e-5)
    assert attention_weights(model, []) == []


def test_only_attention_has_weights():
    with pytest.raises(ValueError, match="E034.*'pool_attend'"):
        attention_weights(build(POOL), documents())


def test_wrong_input_width_names_the_setting(config):
    Xs = [numpy.zeros((3, WIDTH + 1), dtype="f")]
    with pytest.raises(ValueError, match=f"E031.*`width` = {WIDTH}.*{WIDTH + 1} columns"):
        build(config).predict(Xs)


def test_empty_documents_without_columns(config):
    X = documents([3])[0]
    empty = numpy.zeros((0, 0), dtype="f")
    model = build(config)
    for Y in (model.predict([empty, X, empty]), model.begin_update([empty, X])[0]):
        assert_allclose(Y[1], model.predict([X])[0], atol=1e-5)


def test_no_gradient_for_a_prediction(config):
    Y, backprop = build(config)(documents(), is_train=False)
    with pytest.raises(ValueError, match="E011"):
        backprop(Y)


@pytest.mark.parametrize(
    "config, message",
    [
        ({**POOL, "width": 0}, "`width` is 0"),
        ({**KMAX, "k": 0}, "`k` is 0"),
        ({**POOL, "pooling": "sum"}, "pooling.*'logsumexp'"),
        ({**ATTENTION, "heads": 3}, "`heads` is 3"),
        ({**CONV, "kernel_size": 0}, "`kernel_size` is 0"),
        ({**CONV, "pooling": "kmax"}, "pooling.*'logsumexp'"),
        ({**PYRAMID, "depth": 0}, "`depth` is 0"),
    ],
)
def test_bad_settings_are_named(config, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build(config)
