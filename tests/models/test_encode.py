"""What every registered encoder has to do, from one table."""

import pickle
import threading

import numpy
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from thinc.api import Adam, fix_random_seed, set_dropout_rate

from spacy_textconv.models import encode

WIDTH = 16
DILATED = {"@architectures": "spacy-textconv.DilatedConvEncoder.v1", "width": WIDTH}
DENSE = {"@architectures": "spacy-textconv.DenseConvEncoder.v1", "width": WIDTH}
ENCODERS = {
    "conv": DILATED,
    "gated": {**DILATED, "block": "gated", "dilations": [1, 2]},
    "bytenet": {**DILATED, "block": "bytenet", "activation": "silu"},
    "separable": {**DILATED, "block": "separable", "kernel_size": 5},
    "highway": {**DILATED, "connection": "highway"},
    "idcnn": {
        **DILATED,
        "connection": "plain",
        "dilations": [1, 2, 1],
        "iterations": 2,
        "activation": "mish",
        "initialization": "identity",
    },
    "pointwise": {**DILATED, "kernel_size": 1, "dilations": [1]},
    "dense": {**DENSE, "growth_rate": 4},
    "dense_direct": {**DENSE, "growth_rate": 8, "bottleneck": None, "dilations": [1, 2, 4]},
}
LENGTHS = [7, 1, 0, 23, 2]


@pytest.fixture(params=ENCODERS)
def config(request):
    return ENCODERS[request.param]


def build(config, seed=0):
    fix_random_seed(seed)
    return registry.resolve({"model": config})["model"]


def documents(lengths=LENGTHS, seed=0):
    generator = numpy.random.default_rng(seed)
    return [generator.standard_normal((length, WIDTH), dtype="float32") for length in lengths]


def scramble(model):
    """Move the weights away from where they start, which for "identity" sees no context."""
    for param in model.shims[0].module.parameters():
        param.data += 0.5 * torch.randn_like(param)
    return model


def test_table_has_every_encoder():
    ours = {name for name in registry.architectures.get_entry_points() if "Encoder" in name}
    ours = {name for name in ours if name.startswith("spacy-textconv.")}
    assert ours == {config["@architectures"] for config in ENCODERS.values()}


def test_shapes(config):
    model = build(config)
    model.initialize(documents())
    Ys = model.predict(documents())
    assert [Y.shape for Y in Ys] == [(length, WIDTH) for length in LENGTHS]
    assert {Y.dtype for Y in Ys} == {numpy.dtype("float32")}
    assert (model.get_dim("nI"), model.get_dim("nO")) == (WIDTH, WIDTH)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_batches_without_tokens(config, lengths):
    model = build(config)
    Xs = documents(lengths)
    shapes = [(0, WIDTH)] * len(lengths)
    assert [Y.shape for Y in model.predict(Xs)] == shapes
    Ys, backprop = model.begin_update(Xs)
    assert [Y.shape for Y in Ys] == shapes
    assert [dX.shape for dX in backprop(Ys)] == shapes
    model.finish_update(Adam(0.001))


def test_alone_equals_batched(config):
    model = build(config)
    Xs = documents()
    for X, Y in zip(Xs, model.predict(Xs), strict=True):
        assert_allclose(model.predict([X])[0], Y, atol=1e-5)


def test_training_without_dropout_equals_prediction(config):
    model = build(config)
    for Y, expected in zip(
        model.begin_update(documents())[0], model.predict(documents()), strict=True
    ):
        assert_allclose(Y, expected, atol=1e-5)


def test_slices_equal_the_whole(config, monkeypatch):
    model = build(config)
    Xs = documents([150, 3, 0, 400, 1])
    whole = model.predict(Xs)
    monkeypatch.setitem(encode.SLICE_SIZE, "cpu", 1)
    calls = []
    predict = model.shims[0].predict
    monkeypatch.setattr(model.shims[0], "predict", lambda *a: (calls.append(1), predict(*a))[1])
    sliced = model.predict(Xs)
    assert len(calls) > 4
    for Y, expected in zip(sliced, whole, strict=True):
        assert_allclose(Y, expected, atol=1e-5)


@pytest.mark.parametrize("far", [{"dilations": [1, 10**7]}, {"kernel_size": 501}])
@pytest.mark.parametrize("encoder", [DILATED, DENSE])
def test_buffers_are_as_small_as_the_documents(encoder, far):
    model = build({**encoder, **far})
    rows = []
    model.shims[0].module.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    Xs = documents([6] * 300 + [100] + [6] * 300)
    Ys = model.predict(Xs)
    assert sum(rows) < 1.5 * sum(len(X) + 5 for X in Xs)
    rows.clear()
    trained, backprop = model.begin_update(Xs)
    assert sum(rows) < 1.5 * sum(len(X) + 5 for X in Xs)
    dXs = backprop(trained)
    for i in (0, 300, 600):
        assert_allclose(Ys[i], model.predict([Xs[i]])[0], atol=1e-5)
        assert_allclose(trained[i], Ys[i], atol=1e-5)
        (Y,), backprop = model.begin_update([Xs[i]])
        assert_allclose(dXs[i], backprop([Y])[0], atol=1e-4)


def test_receptive_field_is_the_stated_one(config):
    model = scramble(build(config))
    half, position = model.attrs["receptive_field"] // 2, 60
    (X,) = documents([121])
    disturbed = X.copy()
    disturbed[position] += 10.0
    (before,), (after,) = model.predict([X]), model.predict([disturbed])
    changed = (before != after).any(axis=1).nonzero()[0]
    assert changed[0] >= position - half and changed[-1] <= position + half
    # A change at the very edge can be lost to rounding; a gradient can't.
    (Y,), backprop = model.begin_update([X])
    dY = numpy.zeros_like(Y)
    dY[position] = Y[position] + 1.0
    seen = backprop([dY])[0].any(axis=1).nonzero()[0]
    assert (seen[0], seen[-1]) == (position - half, position + half)


def test_gradient_of_the_input(config):
    model = scramble(build(config))
    Xs = documents([4, 0, 3], seed=1)
    direction = documents([4, 0, 3], seed=2)
    dYs = documents([4, 0, 3], seed=3)
    _, backprop = model.begin_update(Xs)
    step = 3e-3
    ahead = model.predict([X + step * D for X, D in zip(Xs, direction, strict=True)])
    behind = model.predict([X - step * D for X, D in zip(Xs, direction, strict=True)])
    measured = sum(float((dY * (Y - Z)).sum()) for dY, Y, Z in zip(dYs, ahead, behind, strict=True))
    computed = sum(float((dX * D).sum()) for dX, D in zip(backprop(dYs), direction, strict=True))
    assert computed == pytest.approx(measured / (2 * step), rel=0.02, abs=0.02)


def test_every_parameter_gets_a_gradient(config):
    model = build(config)
    Ys, backprop = model.begin_update(documents())
    backprop([numpy.random.default_rng(1).standard_normal(Y.shape, dtype="f") for Y in Ys])
    for name, param in model.shims[0].module.named_parameters():
        assert param.grad is not None and param.grad.abs().sum() > 0, name


def test_overfits_two_documents(config):
    model = build(config)
    Xs, targets = documents([6, 3]), documents([6, 3], seed=1)
    optimizer = Adam(0.01, L2=0.0, use_averages=False)
    for _ in range(250):
        Ys, backprop = model.begin_update(Xs)
        backprop([Y - target for Y, target in zip(Ys, targets, strict=True)])
        model.finish_update(optimizer)
    losses = [((Y - T) ** 2).mean() for Y, T in zip(model.predict(Xs), targets, strict=True)]
    start = [(T**2).mean() for T in targets]
    limit = 0.6 if config.get("kernel_size") == 1 else 0.15
    assert numpy.mean(losses) < limit * numpy.mean(start)


def test_equal_seeds_give_equal_weights(config):
    assert build(config).to_bytes() == build(config).to_bytes()
    if config.get("initialization") != "identity":
        assert build(config).to_bytes() != build(config, seed=1).to_bytes()


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
        for Y, Z in zip(expected, other.predict(documents()), strict=True):
            assert_array_equal(Y, Z)


def test_dropout_follows_training(config):
    model = build(config)
    set_dropout_rate(model, 0.5)
    first, second = (model.begin_update(documents())[0][0] for _ in range(2))
    assert not numpy.allclose(first, second)
    assert_array_equal(model.predict(documents())[0], model.predict(documents())[0])
    set_dropout_rate(model, 0.0)
    first, second = (model.begin_update(documents())[0][0] for _ in range(2))
    assert_array_equal(first, second)


def test_dropout_of_its_own(config):
    model = build({**config, "dropout": 0.5})
    set_dropout_rate(model, 0.0)
    first, second = (model.begin_update(documents())[0][0] for _ in range(2))
    assert not numpy.allclose(first, second)


def test_eight_threads_predict_the_serial_result(config):
    model = build(config)
    set_dropout_rate(model, 0.5)
    expected = model.predict(documents())
    wrong = []

    def predict():
        for _ in range(20):
            for Y, Z in zip(model.predict(documents()), expected, strict=True):
                if not numpy.allclose(Y, Z, atol=1e-5):
                    wrong.append(numpy.abs(Y - Z).max())

    threads = [threading.Thread(target=predict) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_loaded_weights_leave_a_dropout_of_its_own():
    following, fixed = build(DILATED), build({**DILATED, "dropout": 0.0})
    set_dropout_rate(following, 0.5)
    fixed.from_bytes(following.to_bytes())
    first, second = (fixed.begin_update(documents())[0][0] for _ in range(2))
    assert_array_equal(first, second)


def test_weights_of_other_dilations_are_refused():
    model = build({**DILATED, "dilations": [1, 1]})
    with pytest.raises(ValueError, match=r"E008.*`dilations` is \[4, 8\].*\[1, 1\]"):
        model.from_bytes(build({**DILATED, "dilations": [4, 8]}).to_bytes())


def test_empty_documents_without_columns():
    X = documents([3])[0]
    empty = numpy.zeros((0, 0), dtype="f")
    model = build(DILATED)
    for Ys in (model.predict([empty, X, empty]), model.begin_update([empty, X])[0]):
        assert Ys[0].shape == (0, WIDTH)
        assert_allclose(Ys[1], model.predict([X])[0], atol=1e-5)


def test_half_precision_input():
    for lengths in ([5], [5, 3]):
        Xs = [X.astype("float16") for X in documents(lengths)]
        expected = build(DILATED).predict([X.astype("float32") for X in Xs])
        for Y, Z in zip(build(DILATED).predict(Xs), expected, strict=True):
            assert_array_equal(Y, Z)


def test_wrong_input_width_names_the_setting(config):
    model = build(config)
    Xs = [numpy.zeros((3, WIDTH + 1), dtype="f")]
    with pytest.raises(ValueError, match=f"E006.*`width` = {WIDTH}.*{WIDTH + 1} columns"):
        model.predict(Xs)


def test_no_gradient_for_a_prediction():
    _, backprop = build(DILATED)(documents(), is_train=False)
    with pytest.raises(ValueError, match="E011"):
        backprop(documents())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kernel_size": 4}, "`kernel_size` is 4, but has to be odd"),
        ({"dilations": []}, "`dilations` is"),
        ({"width": 0}, "`width` is 0"),
        ({"iterations": 0}, "`iterations` is 0"),
        ({"dropout": 1.5}, "`dropout` is 1.5"),
        ({"block": "lstm"}, "block.*'conv'"),
        ({"connection": "none"}, "connection.*'residual'"),
        ({"activation": "step"}, "activation.*'gelu'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build({**DILATED, **settings})
