import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from spacy_textconv.layers import Convolution, GapNorm

from .util import pack


def naive(layer, document):
    """Convolve one document, tap by tap."""
    length, kernel_size = len(document), layer.weight.shape[1]
    y = layer.bias.expand(length, -1)
    for tap in range(kernel_size):
        offset = tap * layer.dilation - layer.reach.left
        if abs(offset) < length:
            seen = F.pad(document, (0, 0, max(-offset, 0), max(offset, 0)))
            seen = seen[max(offset, 0) :][:length]
            product = F.conv1d(seen.t(), layer.weight[:, tap, :, None], groups=layer.groups)
            y = y + product.t()
    return y


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.sampled_from([1, 3, 5, 31]),
    st.integers(1, 4) | st.just(10**7),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 3),
    st.booleans(),
)
def test_convolution_equals_a_naive_one(lengths, kernel_size, dilation, groups, spare, causal):
    torch.manual_seed(0)
    layer = Convolution(
        in_width=4, out_width=8, kernel_size=kernel_size + causal, dilation=dilation,
        groups=groups, causal=causal,
    )  # fmt: skip
    side = kernel_size // 2 * dilation
    assert layer.reach == ((kernel_size * dilation, 0) if causal else (side, side))
    torch.nn.init.normal_(layer.bias)
    documents = [torch.randn(length, 4) for length in lengths]
    x, packing = pack(documents, layer.reach.gap + spare)
    inside = torch.ones(packing.rows, dtype=torch.bool).index_fill(0, packing.gap_rows, False)
    y, expected = layer(x, packing)[inside], torch.cat([naive(layer, x) for x in documents])
    assert_close(y, expected, atol=1e-5, rtol=1e-5)
    direction = torch.randn(expected.shape)
    for gradient, wanted in zip(
        torch.autograd.grad((y * direction).sum(), layer.parameters()),
        torch.autograd.grad((expected * direction).sum(), layer.parameters()),
        strict=True,
    ):
        assert_close(gradient, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("settings", [{"kernel_size": 1001}, {"dilation": 10**7}])
def test_what_sees_nothing_but_zeros_is_not_computed(settings, groups):
    def count(kernel_size, dilation=1):
        layer = Convolution(
            in_width=4, out_width=4, groups=groups, kernel_size=kernel_size, dilation=dilation
        )
        x, packing = pack([torch.randn(4, 4)] * 50, layer.reach.gap)
        with FlopCounterMode(display=False) as counter:
            layer(x, packing)
        return len(x), counter.get_total_flops()

    # Of seven taps, one sees the last of four rows from the first one, and one the reverse.
    assert count(**{"kernel_size": 3, **settings}) <= count(7)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel_size, groups", [(1, 1), (3, 1), (3, 4)])
def test_convolution_gradient(kernel_size, groups, causal):
    layer = Convolution(
        in_width=4, out_width=4, kernel_size=kernel_size, dilation=2, groups=groups, causal=causal
    ).double()
    documents = [torch.randn(5, 4).double(), torch.randn(3, 4).double()]
    x, packing = pack(documents, layer.reach.gap)

    def apply(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x, packing))

    inputs = [t.detach().clone().requires_grad_() for t in (x, layer.weight, layer.bias)]
    assert torch.autograd.gradcheck(apply, inputs)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_identity_initialization_passes_the_input_on(groups, causal):
    layer = Convolution(
        in_width=4, out_width=4, kernel_size=5, groups=groups, initialization="identity",
        causal=causal,
    )  # fmt: skip
    x, packing = pack([torch.randn(6, 4)], layer.reach.gap)
    assert_close(layer(x, packing), x)


def test_kaiming_initialization_keeps_the_scale_of_rectified_input():
    torch.manual_seed(0)
    layer = Convolution(in_width=64, out_width=256, kernel_size=3)
    x, packing = pack([torch.relu(torch.randn(4096, 64))], gap=1)
    # He et al. 2015: with variance 2 / fan-in, E[y^2] = 2 E[x^2] = 1.
    assert layer(x, packing)[1:-1].square().mean().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kernel_size": 4}, "`kernel_size` is 4, but has to be odd.* Use 3 or 5"),
        ({"kernel_size": 0}, "`kernel_size` is 0"),
        ({"kernel_size": 0, "causal": True}, "`kernel_size` is 0"),
        ({"dilation": 0}, "`dilation` is 0"),
        ({"in_width": 0}, "`in_width` is 0"),
        ({"out_width": -1}, "`out_width` is -1"),
        ({"initialization": "zeros"}, "`initialization` is 'zeros'.*'kaiming', 'identity'"),
    ],
)
def test_convolution_refuses_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Convolution(**{"in_width": 4, "out_width": 4, **settings})


def test_gap_norm_normalizes_documents_and_leaves_zeros_in_the_gap():
    norm = GapNorm(8)
    torch.nn.init.normal_(norm.bias)
    documents = [torch.randn(3, 8), torch.randn(2, 8)]
    x, packing = pack(documents, gap=2)
    y = norm(x, packing)
    assert_close(y[packing.gap_rows], torch.zeros(len(packing.gap_rows), 8))
    assert_close(y[5:7], F.layer_norm(documents[1], (8,), norm.weight, norm.bias))
