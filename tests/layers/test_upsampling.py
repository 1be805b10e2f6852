import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import Packing, TransposedConvolution, Upsampling

from .util import pack

lengths = st.lists(st.integers(0, 6), min_size=1, max_size=4)
# Strides and overlaps; the kernel is longer than the stride by two overlaps.
shapes = st.tuples(st.integers(1, 4), st.integers(0, 9))


def transposed_convolution(stride, overlap, in_width=3, out_width=2):
    layer = TransposedConvolution(
        in_width=in_width,
        out_width=out_width,
        kernel_size=stride + 2 * overlap,
        stride=stride,
    ).double()
    torch.nn.init.normal_(layer.bias)
    return layer


def upsampling(**settings):
    return Upsampling(**{"in_width": 3, "width": 4, "stride": 2, "kernel_size": 4, **settings})


def unpack(y, packing):
    return [
        y[start : start + length]
        for start, length in zip(packing.starts, packing.lengths, strict=True)
    ]


def naive(layer, document):
    """Add what is made of one row after the other."""
    y = layer.bias.repeat(len(document) * layer.stride, 1)
    for row, vector in enumerate(document):
        for tap in range(layer.weight.shape[1]):
            place = row * layer.stride + tap - (layer.weight.shape[1] - layer.stride) // 2
            if 0 <= place < len(y):
                y[place] += vector @ layer.weight[:, tap]
    return y


def by_torch(layer, document):
    if len(document) == 0:  # which torch refuses
        return layer.bias.repeat(0, 1)
    kernel_size = layer.weight.shape[1]
    y = F.conv_transpose1d(
        document.t(),
        layer.weight.transpose(1, 2),
        layer.bias,
        stride=layer.stride,
        padding=(kernel_size - layer.stride) // 2,
    )
    return y.t()


@given(lengths, shapes, st.integers(0, 3), st.sampled_from([naive, by_torch]))
def test_a_transposed_convolution_equals_a_reference(lengths, shape, spare, reference):
    torch.manual_seed(0)
    layer = transposed_convolution(*shape)
    documents = [torch.randn(length, 3, dtype=torch.double) for length in lengths]
    x, packing = pack(documents, layer.gap + spare)
    y, longer = layer(x, packing)
    assert longer.lengths == [length * layer.stride for length in lengths]
    assert len(y) == longer.rows
    actual = torch.cat(unpack(y, longer))
    expected = torch.cat([reference(layer, document) for document in documents])
    assert_close(actual, expected)
    direction = torch.randn_like(expected)
    for gradient, wanted in zip(
        torch.autograd.grad((actual * direction).sum(), layer.parameters()),
        torch.autograd.grad(
            (expected * direction).sum(), layer.parameters(), materialize_grads=True
        ),
        strict=True,
    ):
        assert_close(gradient, wanted)


@pytest.mark.parametrize("stride, overlap", [(3, 0), (2, 1), (2, 3)])
def test_gradient_of_a_transposed_convolution(stride, overlap):
    layer = transposed_convolution(stride, overlap)
    documents = [torch.randn(length, 3, dtype=torch.double) for length in (4, 0, 2)]
    x, packing = pack(documents, layer.gap)

    def apply(x, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, parameters, (x, packing))[0]

    inputs = [t.detach().clone().requires_grad_() for t in (x, layer.weight, layer.bias)]
    assert torch.autograd.gradcheck(apply, inputs)


def test_a_transposed_convolution_keeps_the_scale():
    torch.manual_seed(0)
    layer = transposed_convolution(3, 3, in_width=64, out_width=256)
    x, packing = pack([torch.randn(500, 64, dtype=torch.double)], layer.gap)
    y, _ = layer(x, packing)
    assert (y - layer.bias).std().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("overlap", [0, 1])
def test_a_transposed_convolution_gives_float32_under_autocast(overlap):
    torch.manual_seed(0)
    layer = transposed_convolution(2, overlap).float()
    x, packing = pack([torch.randn(5, 3)], layer.gap)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x, packing)
    assert y.dtype == torch.float32
    assert_close(y, layer(x, packing)[0], atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    "kernel_size, stride, fix", [(2, 3, "3 or 5"), (4, 3, "3 or 5"), (7, 2, "6 or 8")]
)
def test_a_kernel_without_a_middle_is_refused(kernel_size, stride, fix):
    message = f"`kernel_size` is {kernel_size} and `stride` is {stride}.* `kernel_size` to {fix}"
    with pytest.raises(ValueError, match=message):
        TransposedConvolution(in_width=3, out_width=2, kernel_size=kernel_size, stride=stride)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"in_width": 0}, "`in_width` is 0"),
        ({"width": 0}, "`out_width` is 0"),
        ({"stride": 0}, "`stride` is 0"),
        ({"kernel_size": 0}, "`kernel_size` is 0"),
        ({"stack_kernel_size": 2}, "`kernel_size` is 2, but has to be odd"),
        ({"dilations": []}, r"`dilations` is \[\]"),
        ({"block": "lstm"}, "`block` is 'lstm'"),
        ({"dropout": 1.0}, "`dropout` is 1.0"),
    ],
)
def test_upsampling_refuses_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        upsampling(**settings)


@given(lengths, shapes, st.sampled_from([[1], [1, 5], [10**7]]))
def test_upsampling_alone_equals_upsampling_in_a_batch(lengths, shape, dilations):
    torch.manual_seed(0)
    stride, overlap = shape
    layer = upsampling(
        stride=stride, kernel_size=stride + 2 * overlap, dilations=dilations
    ).double()
    documents = [torch.randn(length, 3, dtype=torch.double) for length in lengths]
    x, packing = pack(documents, layer.gap, stride)
    x[packing.gap_rows] = 100.0  # what comes from other layers
    y, longer = layer(x, packing)
    for document, rows in zip(documents, unpack(y, longer), strict=True):
        alone, _ = layer(*pack([document], layer.gap, stride))
        assert_close(rows, alone[: len(rows)])


def test_upsampling_refuses_a_gap_that_is_too_short():
    layer = upsampling(dilations=[3])
    message = r"gap of 1 rows, but this upsampling needs 2.*stride=stride"
    with pytest.raises(ValueError, match=message):
        layer(*pack([torch.randn(5, 3)] * 2, gap=1))
    with pytest.raises(ValueError, match=r"gap of 0 rows, but this upsampling needs 1"):
        layer(*pack([torch.randn(1, 3)] * 2, gap=2))  # made without the stride


@given(lengths, st.integers(0, 4), st.integers(0, 4))
def test_one_upsampling_after_another(lengths, first_overlap, second_overlap):
    torch.manual_seed(0)
    first = upsampling(kernel_size=2 + 2 * first_overlap).double()
    second = upsampling(
        in_width=4, width=5, stride=3, kernel_size=3 + 2 * second_overlap, dilations=[4]
    ).double()
    gap = max(first.gap, -(-second.gap // first.stride))
    documents = [torch.randn(length, 3, dtype=torch.double) for length in lengths]

    def apply(documents):
        y, packing = second(*first(*pack(documents, gap, stride=2 * 3)))
        return unpack(y, packing)

    batched = apply(documents)
    assert [len(rows) for rows in batched] == [2 * 3 * length for length in lengths]
    for document, rows in zip(documents, batched, strict=True):
        assert_close(rows, apply([document])[0])


def test_upsampling_is_a_transposed_convolution_and_a_stack():
    torch.manual_seed(0)
    layer = upsampling(stride=3, kernel_size=5).double()
    document = torch.randn(6, 3, dtype=torch.double)
    y, longer = layer(*pack([document], layer.gap, stride=3))
    x = naive(layer.transposed, F.layer_norm(document, (3,)))
    expected = layer.stack(*pack([x], layer.stack.gap))
    assert_close(y[:18], expected[:18])


def test_gradient_of_upsampling():
    torch.manual_seed(0)
    layer = upsampling(block="conv", dropout=0.5).double().eval()
    packing = Packing([2, 3], layer.gap, stride=2)
    x = torch.randn(packing.rows, 3, dtype=torch.double)
    names, values = zip(*layer.named_parameters(), strict=True)

    def apply(x, *values):
        parameters = dict(zip(names, values, strict=True))
        return tuple(unpack(*torch.func.functional_call(layer, parameters, (x, packing))))

    inputs = [t.detach().clone().requires_grad_() for t in (x, *values)]
    assert torch.autograd.gradcheck(apply, inputs)


def test_dropout_is_that_of_the_stack():
    torch.manual_seed(0)
    layer = upsampling(dropout=0.5).train()
    x, packing = pack([torch.randn(4, 3)], layer.gap, stride=2)
    assert not torch.equal(layer(x, packing)[0], layer(x, packing)[0])
    layer.eval()
    assert torch.equal(layer(x, packing)[0], layer(x, packing)[0])
