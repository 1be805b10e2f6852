import io
import math
import os

import numpy
import pytest
import safetensors.torch
import torch
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Model
from torch import nn

from spacy_textconv.models import device
from spacy_textconv.models.encode import build_dilated_conv_encoder_v1
from spacy_textconv.models.shim import TorchShim

from ..util import needs_gpu


class Affine(nn.Module):
    """A module with a parameter that has no dimension."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.shift = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.scale * x + self.shift


def build_encoder():
    return build_dilated_conv_encoder_v1(width=8, dilations=[1, 2])


def documents(seed=0):
    generator = numpy.random.default_rng(seed)
    return [generator.standard_normal((length, 8), dtype="f") for length in (4, 6)]


def train(model, optimizer, steps=3):
    for step in range(steps):
        Ys, backprop = model.begin_update(documents(step))
        backprop([Y - 1.0 for Y in Ys])
        model.finish_update(optimizer)


def weights(model):
    return {name: p.detach().clone() for name, p in model.shims[0].module.named_parameters()}


def test_adam_updates_scalars_and_vectors():
    shim = TorchShim(Affine)
    y, backprop = shim.begin_update(torch.ones(2, 3))
    [dx] = backprop(torch.ones(2, 3))
    assert dx.tolist() == [[2.0] * 3] * 2
    shim.finish_update(Adam(0.1, L2=0.0, grad_clip=0.0))
    # The first step of Adam moves every parameter by the learning rate.
    assert shim.module.scale.item() == pytest.approx(1.9, abs=1e-4)
    assert shim.module.shift.tolist() == pytest.approx([0.9] * 3, abs=1e-4)
    assert shim.module.scale.grad is None


def test_weights_are_updated_in_place():
    model = build_encoder()
    before = {name: p.data_ptr() for name, p in model.shims[0].module.named_parameters()}
    train(model, Adam(0.01))
    assert before == {name: p.data_ptr() for name, p in model.shims[0].module.named_parameters()}


def test_gradients_accumulate_until_the_update():
    model = build_encoder()
    for _ in range(2):
        Ys, backprop = model.begin_update(documents())
        backprop(Ys)
    double = {n: p.grad.clone() for n, p in model.shims[0].module.named_parameters()}
    model.finish_update(Adam(0.0, L2=0.0))
    Ys, backprop = model.begin_update(documents())
    backprop(Ys)
    for name, param in model.shims[0].module.named_parameters():
        torch.testing.assert_close(double[name], 2 * param.grad)


def test_averages_are_applied_and_taken_back():
    model = build_encoder()
    optimizer = Adam(0.01, use_averages=True)
    train(model, optimizer)
    trained = weights(model)
    with pytest.raises(KeyError), model.use_params(optimizer.averages):
        averaged = weights(model)
        saved = safetensors.torch.load(model.shims[0].to_bytes())
        raise KeyError
    for name, value in averaged.items():
        expected = optimizer.averages[(model.shims[0].id, name)]
        assert_array_equal(value.flatten().numpy(), expected.flatten())
        assert_array_equal(saved[name].numpy(), value.numpy())
        assert not torch.equal(value, trained[name]), name
    for name, value in weights(model).items():
        assert torch.equal(value, trained[name])


def test_averages_of_another_model_change_nothing():
    model, other, optimizer = build_encoder(), build_encoder(), Adam(0.01, use_averages=True)
    train(other, optimizer)
    before = weights(model)
    with model.use_params(optimizer.averages):
        for name, value in weights(model).items():
            assert torch.equal(value, before[name])


def test_a_copy_has_its_own_weights_and_optimizer_state():
    model, optimizer = build_encoder(), Adam(0.01)
    copied = model.copy()
    train(model, optimizer)
    train(copied, optimizer, steps=1)
    assert copied.shims[0].id != model.shims[0].id
    updates = {key[0]: count for key, count in optimizer.nr_update.items()}
    assert updates == {model.shims[0].id: 3, copied.shims[0].id: 1}
    assert not torch.equal(
        weights(model)["norm.weight"], weights(copied)["norm.weight"]
    )  # fmt: skip


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_weights_are_refused_and_never_executed(tmp_path):
    buffer = io.BytesIO()
    torch.save({"norm.weight": Bomb(str(tmp_path / "executed"))}, buffer)
    with pytest.raises(ValueError, match="E007.*safetensors"):
        build_encoder().shims[0].from_bytes(buffer.getvalue())
    assert not (tmp_path / "executed").exists()


def tamper(data, change):
    state = safetensors.torch.load(data)
    change(state)
    return safetensors.torch.save(state)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:-8], "E007"),
        (lambda data: data[:5], "E007"),
        (lambda data: b"", "E007"),
        (lambda data: b"\xff" * 8 + data[8:], "E007"),
        (lambda data: tamper(data, lambda s: s.pop("norm.bias")), r"E008.*missing \['norm.bias'\]"),
        (lambda data: tamper(data, lambda s: s.update(x=torch.ones(1))), r"E008.*unknown \['x'\]"),
        (
            lambda data: tamper(data, lambda s: s.update({"norm.bias": torch.ones(9)})),
            r"E008.*'norm.bias' has the shape \(9,\) in the file and \(8,\) in the network",
        ),
    ],
)
def test_damaged_weights_are_refused_and_change_nothing(damage, message):
    model = build_encoder()
    before = weights(model)
    train(model, Adam(0.01))
    damaged = damage(model.shims[0].to_bytes())
    untouched = build_encoder()
    untouched.shims[0].module.load_state_dict(before, strict=False)
    with pytest.raises(ValueError, match=message):
        untouched.shims[0].from_bytes(damaged)
    for name, value in weights(untouched).items():
        assert torch.equal(value, before[name])


def test_weights_of_another_architecture_are_refused():
    narrow, wide = build_encoder(), build_dilated_conv_encoder_v1(width=8, kernel_size=5)
    with pytest.raises(ValueError, match="E008"):
        wide.from_bytes(narrow.to_bytes())


def test_mixed_precision_needs_a_cpu_with_bfloat16_units(monkeypatch):
    mixed = build_dilated_conv_encoder_v1(width=8, dilations=[1, 2], mixed_precision=True)
    plain = build_encoder()
    plain.from_bytes(mixed.to_bytes())
    expected = plain.predict(documents())
    monkeypatch.setattr(device, "CPU_HAS_BFLOAT16_UNITS", False)
    for Y, Z in zip(mixed.predict(documents()), expected, strict=True):
        assert_array_equal(Y, Z)
    monkeypatch.setattr(device, "CPU_HAS_BFLOAT16_UNITS", True)
    for X, Y, Z in zip(documents(), mixed.predict(documents()), expected, strict=True):
        assert Y.dtype == "float32"
        assert_allclose(Y, Z, atol=0.1)
        assert not len(X) or not numpy.array_equal(Y, Z)
        assert_allclose(mixed.predict([X])[0], Y, atol=1e-5)


def test_without_mixed_precision_no_lock_of_autocast_is_taken(monkeypatch):
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: pytest.fail("takes the lock"))
    Ys, backprop = build_encoder().begin_update(documents())
    backprop(Ys)
    build_encoder().predict(documents())


def test_initialize_draws_new_weights():
    model = build_encoder()
    torch.manual_seed(0)
    model.initialize()
    first = weights(model)
    train(model, Adam(0.1))
    Ys, backprop = model.begin_update(documents())
    backprop(Ys)
    old_id = model.shims[0].id
    torch.manual_seed(0)
    model.initialize()
    for name, value in weights(model).items():
        assert_array_equal(value, first[name], name)
    assert model.shims[0].id != old_id
    assert all(param.grad is None for param in model.shims[0].module.parameters())
    model.initialize()
    assert not torch.equal(
        weights(model)["blocks.0.convolution.weight"], first["blocks.0.convolution.weight"]
    )


def test_building_draws_no_random_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    build_encoder()
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_device_is_refused():
    with pytest.raises(ValueError, match="E009"):
        build_encoder().shims[0].to_device("tpu", 0)


class Mode(nn.Module):
    """A module that notes whether it is in training mode."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(self.training)
        if len(x) > 2:
            raise IndexError
        return x


def test_training_mode_lasts_as_long_as_the_forward_pass():
    shim = TorchShim(lambda: nn.Sequential(Mode()))
    (mode,) = shim.module
    shim.predict(torch.ones(2, 4))
    shim.begin_update(torch.ones(2, 4))
    assert mode.seen == [False, True] and not mode.training
    with pytest.raises(IndexError):
        shim.begin_update(torch.ones(3, 4))
    assert mode.seen == [False, True, True] and not mode.training


class Attention(nn.Module):
    """A module with two float inputs and two outputs."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, queries, index, memory, name):
        assert name == "memory"
        picked = memory.index_select(0, index)
        return self.scale * queries * picked, picked.sum(dim=1)


def test_any_number_of_inputs_and_outputs():
    shim = TorchShim(Attention)
    queries, memory = torch.randn(2, 3), torch.randn(4, 3)
    index = torch.tensor([3, 1])
    expected = 2 * queries * memory[index], memory[index].sum(dim=1)
    for y, z in zip(shim.predict(queries, index, memory, "memory"), expected, strict=True):
        torch.testing.assert_close(y, z)
    outputs, backprop = shim.begin_update(queries, index, memory, "memory")
    for y, z in zip(outputs, expected, strict=True):
        torch.testing.assert_close(y, z)
        assert not y.requires_grad
    d_products, d_sums = torch.randn(2, 3), torch.randn(2)
    d_queries, d_index, d_memory, d_name = backprop(d_products, d_sums)
    assert d_index is d_name is None
    torch.testing.assert_close(d_queries, 2 * memory[index] * d_products)
    d_picked = torch.zeros(4, 3)
    d_picked[index] = 2 * queries * d_products + d_sums[:, None]
    torch.testing.assert_close(d_memory, d_picked)
    torch.testing.assert_close(shim.module.scale.grad, (queries * memory[index] * d_products).sum())
    # The tensors of the caller stay as they are.
    assert not queries.requires_grad and not memory.requires_grad


def test_the_version_tells_whether_the_weights_changed():
    model = build_encoder()
    shim, optimizer = model.shims[0], Adam(0.01, use_averages=True)
    versions = [shim.version]

    def changed():
        versions.append(shim.version)
        return versions[-1] > max(versions[:-1])

    model.predict(documents())
    Ys, backprop = model.begin_update(documents())
    backprop(Ys)
    assert not changed()
    model.finish_update(optimizer)
    assert changed()
    with model.use_params(optimizer.averages):
        assert changed()
    assert changed()
    model.from_bytes(model.to_bytes())
    assert changed()
    model.to_cpu()
    assert changed()
    model.initialize()
    assert changed()


@needs_gpu
def test_on_a_gpu(tmp_path):
    cupy = pytest.importorskip("cupy")
    from thinc.api import NumpyOps, get_ops, use_ops

    on_cpu = build_dilated_conv_encoder_v1(width=8, dilations=[1, 2])
    expected = on_cpu.predict(documents())
    Xs = [cupy.asarray(X) for X in documents()]
    with use_ops("cupy"):
        on_gpu = build_dilated_conv_encoder_v1(width=8, dilations=[1, 2])
        on_gpu.from_bytes(on_cpu.to_bytes())
        # Torch lets convolutions round their input to the 10 bits of TF32.
        for Y, Z in zip(on_gpu.predict(Xs), expected, strict=True):
            numpy.testing.assert_allclose(Y.get(), Z, atol=0.01)
        mixed = build_dilated_conv_encoder_v1(width=8, dilations=[1, 2], mixed_precision=True)
        mixed.from_bytes(on_cpu.to_bytes())
        for Y, Z in zip(mixed.predict(Xs), expected, strict=True):
            assert Y.dtype == "float32"
            numpy.testing.assert_allclose(Y.get(), Z, atol=0.1)
        optimizer = Adam(0.01)
        losses = []
        for _ in range(20):
            Ys, backprop = mixed.begin_update(Xs)
            backprop([Y - 1.0 for Y in Ys])
            losses.append(sum(float(((Y - 1.0) ** 2).sum()) for Y in Ys))
            mixed.finish_update(optimizer)
        assert math.isfinite(losses[-1]) and losses[-1] < losses[0]
        trained, data = mixed.predict(Xs), mixed.to_bytes()
    with use_ops("numpy"):
        assert isinstance(get_ops("numpy"), NumpyOps)
        back = build_dilated_conv_encoder_v1(width=8, dilations=[1, 2]).from_bytes(data)
        for Y, Z in zip(back.predict(documents()), trained, strict=True):
            numpy.testing.assert_allclose(Y, Z.get(), atol=0.1)


def test_a_shim_is_part_of_any_model():
    model = Model("affine", lambda model, X, is_train: (X, None), shims=[TorchShim(Affine)])
    assert set(safetensors.torch.load(model.shims[0].to_bytes())) == {"scale", "shift"}
