from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.layers import ConvolutionShape, convolution_reach, receptive_fields

LENGTH = 160


@st.composite
def shapes(draw, transposed=None):
    kernel_size = draw(st.integers(1, 5))
    dilation = draw(st.integers(1, 3))
    stride = draw(st.integers(1, 3))
    is_transposed = draw(st.booleans()) if transposed is None else transposed
    padding = draw(st.integers(0, (kernel_size - 1) * dilation))
    return ConvolutionShape(kernel_size, stride, dilation, padding, is_transposed)


def seen_inputs(layers):
    """For each output of the stack, the first and the last input that it depends on."""
    y = torch.eye(LENGTH).unsqueeze(1)  # as a batch: input i is 1, all others are 0
    for layer in layers:
        function = F.conv_transpose1d if layer.transposed else F.conv1d
        weight = torch.ones(1, 1, layer.kernel_size)
        y = function(y, weight, stride=layer.stride, dilation=layer.dilation, padding=layer.padding)
    seen = []
    for column in y.squeeze(1).t():
        positions = column.nonzero().flatten().tolist()
        seen.append((positions[0], positions[-1]) if positions else None)
    return seen


@given(st.lists(shapes(transposed=False), min_size=1, max_size=3))
def test_ordinary_convolutions_see_what_is_stated(layers):
    field = receptive_fields(layers)[-1]
    for i, positions in enumerate(seen_inputs(layers)):
        middle = field.start + i * field.jump
        first, last = middle - Fraction(field.size - 1, 2), middle + Fraction(field.size - 1, 2)
        if positions is not None and first >= 0 and last < LENGTH:
            # A layer with a stride above 1 on a dilated one may skip inputs between.
            assert positions == (first, last)


@given(st.lists(shapes(), min_size=1, max_size=3))
def test_no_output_sees_more_than_is_stated(layers):
    field = receptive_fields(layers)[-1]
    for positions in seen_inputs(layers):
        if positions is not None:
            assert positions[1] - positions[0] + 1 <= field.size


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 2, False), (4, 2, True)],
        [(3, 2, False), (2, 2, True)],
        [(1, 2, False), (2, 2, True)],
        [(3, 2, False), (3, 2, False), (4, 2, True), (4, 2, True)],
        [(4, 2, True), (3, 1, False)],
        [(5, 3, True), (3, 2, True), (3, 2, False)],
    ],
)
def test_size_after_transposed_convolutions_is_the_largest_seen(shapes):
    layers = [ConvolutionShape(k, stride=s, transposed=t) for k, s, t in shapes]
    sizes = [last - first + 1 for first, last in filter(None, seen_inputs(layers))]
    assert receptive_fields(layers)[-1].size == max(sizes)


@given(st.integers(1, 7), st.integers(1, 4))
def test_one_transposed_convolution_sees_kernel_over_stride(kernel_size, stride):
    layer = ConvolutionShape(kernel_size, stride=stride, transposed=True)
    sizes = [last - first + 1 for first, last in filter(None, seen_inputs([layer]))]
    assert receptive_fields([layer])[0].size == max(sizes) == -(-kernel_size // stride)


def test_every_layer_of_a_known_stack():
    # The first layers of AlexNet (Araujo et al. 2019, table 1): convolution 11/4, pooling 3/2,
    # convolution 5/1 with padding 2.
    layers = [ConvolutionShape(11, 4), ConvolutionShape(3, 2), ConvolutionShape(5, 1, padding=2)]
    fields = receptive_fields(layers)
    assert [field.size for field in fields] == [11, 19, 51]
    assert [field.jump for field in fields] == [4, 8, 8]
    assert [field.start for field in fields] == [5, 9, 9]


def test_transposed_convolution_undoes_the_jump_of_a_stride():
    layers = [ConvolutionShape(2, 2), ConvolutionShape(2, 2, transposed=True)]
    down, up = receptive_fields(layers)
    assert (down.jump, up.jump) == (2, 1)


@pytest.mark.parametrize("kernel_size, dilation", [(1, 1), (3, 1), (5, 2), (3, 10**9)])
def test_reach_of_a_convolution(kernel_size, dilation):
    both, causal = (convolution_reach(kernel_size, dilation, causal) for causal in (False, True))
    assert both.left == both.right == both.gap
    assert causal == (both.left + both.right, 0)
    [field] = receptive_fields([ConvolutionShape(kernel_size, dilation=dilation)])
    assert both.size == causal.size == field.size
    assert causal.gap == causal.left


def test_size_needs_no_list_of_all_that_is_seen():
    layers = [ConvolutionShape(3, dilation=3**i) for i in range(19)]
    assert receptive_fields(layers)[-1].size == 3**19
    assert receptive_fields([ConvolutionShape(9999, stride=2)] * 9)[-1].size == 9998 * 511 + 1


@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation", "padding"])
def test_shapes_refuse_bad_settings(name):
    with pytest.raises(ValueError, match=f"`{name}` is -1"):
        ConvolutionShape(**{"kernel_size": 3, name: -1})
