import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from spacy_textconv.layers import DenseStack, DilatedStack, Packing, slice_documents
from spacy_textconv.layers.blocks import ACTIVATIONS, BLOCKS
from spacy_textconv.layers.dilated import CONNECTIONS
from spacy_textconv.layers.packing import round_rows

SMALL = {"width": 4, "kernel_size": 3, "dilations": [1, 2]}
STACKS = [
    *(lambda block=block: DilatedStack(**SMALL, block=block) for block in BLOCKS),
    *(lambda connection=c: DilatedStack(**SMALL, connection=connection) for c in CONNECTIONS),
    *(lambda block=block: DilatedStack(**SMALL, block=block, causal=True) for block in BLOCKS),
    lambda: DilatedStack(**{**SMALL, "kernel_size": 2}, causal=True),
    lambda: DilatedStack(**SMALL, iterations=2),
    lambda: DilatedStack(**SMALL, iterations=2, causal=True),
    lambda: DilatedStack(**SMALL, block="gated", connection="plain", initialization="identity"),
    lambda: DenseStack(**SMALL, growth_rate=3),
    lambda: DenseStack(**SMALL, growth_rate=3, bottleneck=None),
]


def last_rows(y, packing):
    """The last three rows of the last document."""
    stop = packing.starts[-1] + packing.lengths[-1]
    return y[stop - 3 : stop]


@pytest.mark.parametrize("build", STACKS)
def test_gradient_of_input_and_every_parameter(build):
    torch.manual_seed(0)
    stack = build().double()
    packing = Packing([9, 21], stack.gap)
    x = torch.randn(packing.rows, 4, dtype=torch.double)
    names, values = zip(*stack.named_parameters(), strict=True)

    def apply(x, *values):
        y = torch.func.functional_call(stack, dict(zip(names, values, strict=True)), (x, packing))
        # What lies in the gap is undefined.
        return y[packing.document_of_row == 0][:4], last_rows(y, packing)

    inputs = [t.detach().clone().requires_grad_() for t in (x, *values)]
    assert torch.autograd.gradcheck(apply, inputs)


@pytest.mark.parametrize("build", STACKS)
def test_bfloat16_is_close_to_float32(build):
    torch.manual_seed(0)
    stack = build()
    packing = Packing([9, 21], stack.gap)
    x = torch.randn(packing.rows, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = stack(x, packing)
    expected = last_rows(stack(x, packing), packing)
    assert_close(last_rows(y.float(), packing), expected, atol=0.2, rtol=0.2)


@pytest.mark.parametrize("build", STACKS)
def test_gap_content_does_not_matter(build):
    stack = build()
    packing = Packing([9, 21], stack.gap)
    x = torch.randn(packing.rows, 4)
    disturbed = x.clone()
    disturbed[packing.gap_rows] = 100.0
    expected = last_rows(stack(x, packing), packing)
    assert_close(last_rows(stack(disturbed, packing), packing), expected)


@pytest.mark.parametrize("build", STACKS)
def test_an_output_row_sees_as_far_as_is_stated(build):
    torch.manual_seed(0)
    stack, row = build().double(), 30
    for param in stack.parameters():
        torch.nn.init.normal_(param)
    x = torch.randn(64, 4, dtype=torch.double, requires_grad=True)
    y = stack(x, Packing([64], stack.gap))
    (dx,) = torch.autograd.grad((y[row] ** 3).sum(), x)
    seen = dx.any(dim=1).nonzero().flatten() - row
    assert (-seen.min(), seen.max()) == stack.reach


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_no_row_of_a_causal_stack_changes_with_a_later_one(kernel_size):
    stack = DilatedStack(width=4, kernel_size=kernel_size, dilations=[1, 2], causal=True)
    assert stack.reach == (3 * (kernel_size - 1), 0)
    packing = Packing([20, 30], stack.gap)
    x = torch.randn(packing.rows, 4)
    before = stack(x, packing)
    for row in (0, 5, 19, packing.starts[1] + 7):
        changed = x.clone()
        changed[row:] += 1.0
        assert torch.equal(stack(changed, packing)[:row], before[:row])


@pytest.mark.parametrize("build", STACKS)
def test_the_widest_buffer_is_the_stated_one(build):
    stack, widths = build(), []
    for module in stack.modules():
        module.register_forward_hook(
            lambda module, args, y: widths.extend([args[0].shape[1], y.shape[1]])
        )
    packing = Packing([9, 21], stack.gap)
    stack(torch.randn(packing.rows, 4), packing)
    assert max(widths) == stack.buffer_width


@pytest.mark.parametrize("build", STACKS)
def test_slices_equal_the_whole(build):
    torch.manual_seed(0)
    stack = build().double()
    document = torch.randn(200, 4, dtype=torch.double)
    whole = stack(torch.cat([document, torch.zeros(8, 4)]), Packing([200], stack.gap))[:200]
    groups = slice_documents([200], max_rows=40, gap=stack.gap, reach=stack.reach)
    assert len(groups) > 2
    for [part] in groups:
        packing = Packing([part.read], stack.gap)
        x = torch.zeros(packing.rows, 4, dtype=torch.double)
        x[: part.read] = document[part.context_start : part.context_stop]
        y = stack(x, packing)[part.start - part.context_start :]
        assert_close(y[: part.stop - part.start], whole[part.start : part.stop])


def naive_block(block, x, block_name, dilation):
    """A block over one document, written with conv1d."""

    def norm(layer, x):
        return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias)

    def convolve(layer, x):
        padding = layer.weight.shape[1] // 2 * layer.dilation
        weight, groups = layer.weight.transpose(1, 2), layer.groups
        y = F.conv1d(
            x.t(), weight, layer.bias, padding=padding, dilation=layer.dilation, groups=groups
        )
        return y.t()

    if block_name == "conv":
        return F.gelu(convolve(block.convolution, norm(block.norm, x)))
    if block_name == "gated":
        values, gates = convolve(block.convolution, norm(block.norm, x)).chunk(2, dim=1)
        return values * torch.sigmoid(gates)
    if block_name == "bytenet":
        y = convolve(block.reduce, F.gelu(norm(block.norm_reduce, x)))
        y = convolve(block.convolution, F.gelu(norm(block.norm_convolution, y)))
        return convolve(block.expand, F.gelu(norm(block.norm_expand, y)))
    y = convolve(block.depthwise, norm(block.norm, x))
    return F.gelu(convolve(block.pointwise, y))


@pytest.mark.parametrize("block_name", BLOCKS)
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_dilated_stack_equals_a_naive_one(block_name, connection):
    torch.manual_seed(0)
    # In float64, because layer normalization of 4 columns amplifies how processors round float32.
    stack = DilatedStack(**SMALL, block=block_name, connection=connection, iterations=2).double()
    document = torch.randn(32, 4, dtype=torch.float64)
    x = document
    for _ in range(2):
        for block, connect, dilation in zip(stack.blocks, stack.connections, [1, 2], strict=True):
            y = naive_block(block, x, block_name, dilation)
            if connection == "residual":
                y = x + y
            elif connection == "highway":
                gate = torch.sigmoid(connect.gate(x))
                y = gate * y + (1 - gate) * x
            x = y
    expected = F.layer_norm(x, (4,), stack.norm.weight, stack.norm.bias)
    assert_close(stack(document, Packing([32], stack.gap)), expected)


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_dense_stack_equals_a_naive_one(bottleneck):
    torch.manual_seed(0)
    stack = DenseStack(**SMALL, growth_rate=3, bottleneck=bottleneck)
    document = torch.randn(32, 4)
    x = document
    for layer, dilation in zip(stack.layers, [1, 2], strict=True):
        y = x
        if bottleneck:
            y = F.gelu(F.layer_norm(y, y.shape[-1:]))
            y = F.linear(y, layer.reduce.weight[:, 0], layer.reduce.bias)
            assert y.shape[1] == 6
        y = F.gelu(F.layer_norm(y, y.shape[-1:]))
        weight = layer.convolution.weight.transpose(1, 2)
        bias = layer.convolution.bias
        y = F.conv1d(y.t(), weight, bias, padding=dilation, dilation=dilation).t()
        x = torch.cat([x, y], dim=1)
    assert x.shape[1] == 4 + 2 * 3
    x = F.linear(x, stack.project.weight, stack.project.bias)
    expected = F.layer_norm(x, (4,), stack.norm.weight, stack.norm.bias)
    assert_close(stack(document, Packing([32], stack.gap)), expected)


@pytest.mark.parametrize("build", STACKS)
def test_no_document_reaches_further_than_its_length(build, monkeypatch):
    lengths, results = [9, 3, 0, 10], []
    for dilation in (10, 10**7):
        monkeypatch.setitem(SMALL, "dilations", [1, dilation])
        torch.manual_seed(0)
        stack = build().double()
        packing = Packing(lengths, stack.gap)
        assert packing.rows <= round_rows(sum(lengths) + 3 * max(lengths))
        x = torch.randn(packing.rows, 4, dtype=torch.double).requires_grad_()
        inside = packing.clear_gap_(torch.ones(packing.rows, dtype=torch.double)).bool()
        y = stack(x, packing)[inside]
        dx, *gradients = torch.autograd.grad((y**3).sum(), [x, *stack.parameters()])
        results.append([y, dx[inside], *gradients])
    assert_close(*results)


def test_iterations_share_weights():
    once, thrice = DilatedStack(**SMALL), DilatedStack(**SMALL, iterations=3)
    count = [sum(p.numel() for p in stack.parameters()) for stack in (once, thrice)]
    assert count[0] == count[1]
    assert thrice.reach.size - 1 == 3 * (once.reach.size - 1)


def test_identity_initialization_of_a_plain_stack_keeps_the_input():
    stack = DilatedStack(
        width=4, dilations=[1, 2, 4], connection="plain", activation="relu",
        initialization="identity",
    )  # fmt: skip
    positive = torch.rand(32, 4)
    packing = Packing([32], stack.gap)
    order = stack(positive, packing).argsort(dim=1)
    assert_close(order[:, -1], positive.argmax(dim=1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_the_gap_at_zero(name):
    assert ACTIVATIONS[name]()(torch.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "`width` is 0"),
        ({"kernel_size": 2}, "`kernel_size` is 2, but has to be odd"),
        ({"dilations": []}, r"`dilations` is \[\]"),
        ({"dilations": [1, 0]}, r"`dilations` is \[1, 0\]"),
        ({"block": "lstm"}, "`block` is 'lstm'.*'conv', 'gated', 'bytenet', 'separable'"),
        ({"connection": "skip"}, "`connection` is 'skip'.*'residual', 'highway', 'plain'"),
        ({"iterations": 0}, "`iterations` is 0"),
        ({"activation": "step"}, "`activation` is 'step'"),
        ({"initialization": "zero"}, "`initialization` is 'zero'"),
        ({"dropout": 1.0}, "`dropout` is 1.0"),
    ],
)
def test_dilated_stack_refuses_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DilatedStack(**{**SMALL, **settings})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "`width` is 0"),
        ({"growth_rate": 0}, "`growth_rate` is 0"),
        ({"kernel_size": 2}, "`kernel_size` is 2, but has to be odd"),
        ({"dilations": [-1]}, r"`dilations` is \[-1\]"),
        ({"bottleneck": 0}, "`bottleneck` is 0"),
        ({"activation": "step"}, "`activation` is 'step'"),
        ({"dropout": -0.1}, "`dropout` is -0.1"),
    ],
)
def test_dense_stack_refuses_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DenseStack(**{**SMALL, **settings})
