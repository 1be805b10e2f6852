import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from spacy_textconv.layers import (
    AttentionPooling,
    ConvPooling,
    DPCNNPooling,
    FlattenPooling,
    KMaxPooling,
    LogMeanExpPooling,
    MeanPooling,
    ShrinkingConvolution,
)

WIDTH = 4
POOLINGS = {
    "max": (KMaxPooling, {}),
    "kmax": (KMaxPooling, {"k": 3}),
    "mean": (MeanPooling, {}),
    "logsumexp": (LogMeanExpPooling, {}),
    "attention": (AttentionPooling, {"heads": 2}),
    "conv": (ConvPooling, {}),
    "conv_strided": (
        ConvPooling,
        {"kernel_size": 4, "stride": 2, "depth": 2, "pooling": "mean", "activation": "tanh"},
    ),
    "conv_skipping": (ConvPooling, {"kernel_size": 2, "stride": 3}),
}
# Those that need all rows at once.
WHOLE = {
    "flatten": (FlattenPooling, {"out_width": WIDTH, "max_length": 8}),
    "pyramid": (DPCNNPooling, {"depth": 2}),
    "pyramid_mean": (
        DPCNNPooling,
        {"depth": 1, "kernel_size": 5, "pooling": "mean", "activation": "tanh"},
    ),
}
EVERY = {**POOLINGS, **WHOLE}
LENGTHS = torch.tensor([0, 5, 1, 0, 9, 2, 0])
lengths = st.lists(st.integers(0, 12), min_size=1, max_size=6)


def build(name):
    torch.manual_seed(0)
    pooling, options = EVERY[name]
    module = pooling(width=WIDTH, **options).double().eval()
    for param in module.parameters():
        param.data += 0.1 * torch.randn_like(param)
    return module


def rows(lengths, seed=0):
    """Rows with many ties, and gradients."""
    generator = torch.Generator().manual_seed(seed)
    shape = int(sum(lengths)), WIDTH
    return torch.randint(-5, 6, shape, generator=generator).double().requires_grad_()


def naive_shrink(convolution, x, kernel_size, stride, activation):
    if len(x) == 0:
        return x
    x = F.pad(x, (0, 0, 0, max(0, kernel_size - len(x))))
    linear = convolution.convolution
    weight = linear.weight.view(WIDTH, kernel_size, WIDTH).transpose(1, 2)
    y = F.conv1d(x.t()[None], weight, linear.bias, stride=stride)
    return activation(y[0].t())


def naive_pool(pooling, x, k=1):
    """Pool one document with one of the poolings without weights, in the plainest way."""
    if pooling is MeanPooling:
        return x.mean(dim=0)
    if pooling is LogMeanExpPooling:
        return x.exp().mean(dim=0).log()
    top = x.argsort(dim=0, descending=True, stable=True)[:k].sort(dim=0).values
    return F.pad(x.gather(0, top), (0, 0, 0, k - len(top))).flatten()


def naive(name, module, x):
    """Pool one document, in the plainest way. Of the module, only the weights are looked at."""
    pooling, options = EVERY[name]
    if len(x) == 0:
        return x.new_zeros(WIDTH * options.get("k", 1))
    last = MeanPooling if options.get("pooling") == "mean" else KMaxPooling
    if pooling is ConvPooling:
        activation = torch.tanh if "activation" in options else F.gelu
        sizes = options.get("kernel_size", 3), options.get("stride", 1)
        assert len(module.convolutions) == options.get("depth", 1)
        for convolution in module.convolutions:
            x = naive_shrink(convolution, x, *sizes, activation)
        return naive_pool(last, x)
    if pooling is DPCNNPooling:
        activation = torch.tanh if "activation" in options else F.gelu
        assert len(module.levels) == options["depth"]
        for level in module.levels:
            x = torch.stack([x[row : row + 3].amax(dim=0) for row in range(0, len(x), 2)])
            y = x
            for block in level.blocks:
                kernel = block.convolution.weight.transpose(1, 2)
                y = F.layer_norm(y, (WIDTH,), block.norm.weight, block.norm.bias)
                y = F.conv1d(y.t()[None], kernel, block.convolution.bias, padding="same")
                y = activation(y[0].t())
            x = x + y
        return naive_pool(last, module.norm(x))
    if pooling is FlattenPooling:
        window = F.pad(x[:8], (0, 0, 0, max(0, 8 - len(x))))
        return torch.einsum("rc,orc->o", window, module.linear.weight.view(WIDTH, 8, WIDTH))
    if pooling is not AttentionPooling:
        return naive_pool(pooling, x, **options)
    weights = module.queries(module.keys(x).tanh()).softmax(dim=0)
    heads = x.chunk(options["heads"], dim=1)
    return torch.cat([(weights[:, i, None] * head).sum(dim=0) for i, head in enumerate(heads)])


@pytest.mark.parametrize("name", EVERY)
def test_values_and_gradients_are_those_of_each_document_by_itself(name):
    module, x = build(name), rows(LENGTHS)
    y = module(x, LENGTHS)
    documents = x.split(LENGTHS.tolist())
    expected = torch.stack([naive(name, module, document) for document in documents])
    assert_close(y, expected)
    direction = torch.randn(y.shape, dtype=torch.double)
    (got,) = torch.autograd.grad((y * direction).sum(), x)
    (wanted,) = torch.autograd.grad((expected * direction).sum(), x)
    assert_close(got, wanted)


@pytest.mark.parametrize("name", EVERY)
def test_gradient_of_input_and_every_parameter(name):
    module = build(name)
    x = torch.randn(int(LENGTHS.sum()), WIDTH, dtype=torch.double)
    names, values = zip(*[("x", x), *module.named_parameters()], strict=True)

    def apply(x, *values):
        params = dict(zip(names[1:], values, strict=True))
        return torch.func.functional_call(module, params, (x, LENGTHS))

    inputs = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(apply, inputs)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=10)
@given(lengths=lengths)
def test_alone_equals_batched(name, lengths):
    module, x = build(name), rows(lengths)
    together = module(x, torch.tensor(lengths))
    for document, y in zip(x.split(lengths), together, strict=True):
        assert_close(module(document, torch.tensor([len(document)]))[0], y)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("lengths", [[0], [0, 0]])
def test_no_rows_give_zeros(name, lengths):
    module, x = build(name), rows([])
    y = module(x, torch.tensor(lengths))
    assert_close(y, torch.zeros(len(lengths), module.out_width, dtype=torch.double))
    y.sum().backward()


@pytest.mark.parametrize("name", POOLINGS)
@settings(max_examples=10)
@given(lengths=lengths, size=st.integers(1, 5))
def test_slices_give_the_whole(name, lengths, size):
    module, x = build(name), rows(lengths)
    size = size * module.jump
    pieces, sizes, counts = [], [], []
    for document in x.split(lengths):
        counts.append(-(-len(document) // size))
        for start in range(0, len(document), size):
            piece = document[start : start + size + module.receptive_field - module.jump]
            if start and len(piece) < module.receptive_field:
                piece = piece[:0]
            pieces.append(piece)
            sizes.append(len(piece))
    states = module.summarize(torch.cat([x[:0], *pieces]), torch.tensor(sizes, dtype=torch.long))
    merged = module.merge(states, torch.tensor(counts))
    y = module.finish(merged, torch.tensor(lengths))
    expected = module(x, torch.tensor(lengths))
    assert_close(y, expected)
    direction = torch.randn(y.shape, dtype=torch.double)
    (got,) = torch.autograd.grad((y * direction).sum(), x)
    (wanted,) = torch.autograd.grad((expected * direction).sum(), x)
    assert not got.isnan().any()
    assert_close(got, wanted)


def test_no_step_is_taken_for_values_that_are_missing():
    class Count(TorchDispatchMode):
        operations = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.operations += 1
            return function(*args, **(kwargs or {}))

    counts = []
    for k in (9, 700):
        module = KMaxPooling(width=WIDTH, k=k)
        with Count() as count:
            states = module.summarize(rows(LENGTHS).detach(), LENGTHS)
            module.merge(states, torch.ones_like(LENGTHS))
        counts.append(count.operations)
    assert counts[1] <= counts[0] + 10


def test_of_equal_rows_one_gets_the_gradient():
    x = torch.ones(3, WIDTH, requires_grad=True)
    KMaxPooling(width=WIDTH, k=2)(x, torch.tensor([3])).sum().backward()
    assert x.grad.tolist() == [[1.0] * WIDTH, [1.0] * WIDTH, [0.0] * WIDTH]


def test_large_values_do_not_overflow():
    x = torch.tensor([[1000.0] * WIDTH, [-1000.0] * WIDTH])
    y = LogMeanExpPooling(width=WIDTH)(x, torch.tensor([2]))
    assert_close(y, torch.full((1, WIDTH), 1000.0) - torch.tensor(2.0).log())


def test_attention_weights_add_up_to_one():
    module, x = build("attention"), rows(LENGTHS)
    weights = module.weights(x, LENGTHS)
    assert weights.shape == (len(x), 2)
    for part in weights.split(LENGTHS.tolist()):
        if len(part):
            assert_close(part.sum(dim=0), torch.ones(2, dtype=torch.double))
    y = torch.stack(
        [
            (weight[:, [0, 0, 1, 1]] * part).sum(dim=0)
            for weight, part in zip(
                weights.split(LENGTHS.tolist()), x.split(LENGTHS.tolist()), strict=True
            )
        ]
    )
    assert_close(module(x, LENGTHS), y)


@settings(max_examples=10)
@given(lengths=lengths, kernel_size=st.integers(1, 5) | st.just(40), stride=st.integers(1, 4))
def test_shrinking_is_an_unpadded_convolution(lengths, kernel_size, stride):
    torch.manual_seed(0)
    convolution = ShrinkingConvolution(
        width=WIDTH, kernel_size=kernel_size, stride=stride, activation="tanh"
    ).double()
    x = rows(lengths)
    y, left = convolution(x, torch.tensor(lengths))
    shrunk = [
        naive_shrink(convolution, document, kernel_size, stride, torch.tanh)
        for document in x.split(lengths)
    ]
    assert left.tolist() == [len(document) for document in shrunk]
    expected = torch.cat(shrunk)
    assert_close(y, expected)
    if any(lengths):
        inputs = [x, *convolution.parameters()]
        direction = torch.randn(y.shape, dtype=torch.double)
        for gradient, wanted in zip(
            torch.autograd.grad((y * direction).sum(), inputs),
            torch.autograd.grad((expected * direction).sum(), inputs),
            strict=True,
        ):
            assert_close(gradient, wanted)


@pytest.mark.parametrize("pooling", [ConvPooling, DPCNNPooling])
def test_what_sees_nothing_but_zeros_is_not_computed(pooling):
    def count(kernel_size):
        module = pooling(width=WIDTH, kernel_size=kernel_size)
        with FlopCounterMode(display=False) as counter:
            module(torch.randn(50 * 4, WIDTH), torch.tensor([4] * 50))
        return counter.get_total_flops()

    assert count(1001) <= count(7)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: AttentionPooling(width=4, heads=3), "E030.*`width` is 4 and `heads` is 3"),
        (lambda: AttentionPooling(width=4, heads=0), "`heads` is 0"),
        (lambda: KMaxPooling(width=4, k=0), "`k` is 0"),
        (lambda: MeanPooling(width=0), "`width` is 0"),
        (lambda: LogMeanExpPooling(width=0), "`width` is 0"),
        (lambda: ConvPooling(width=4, stride=0), "`stride` is 0"),
        (lambda: ConvPooling(width=4, depth=0), "`depth` is 0"),
        (lambda: ConvPooling(width=4, pooling="sum"), "`pooling` is 'sum'.*'logsumexp'"),
        (lambda: ConvPooling(width=4, activation="step"), "`activation` is 'step'"),
        (lambda: FlattenPooling(width=4, out_width=0, max_length=2), "`out_width` is 0"),
        (lambda: FlattenPooling(width=4, out_width=3, max_length=0), "`max_length` is 0"),
        (lambda: DPCNNPooling(width=4, depth=0), "`depth` is 0"),
        (lambda: DPCNNPooling(width=4, kernel_size=2), "`kernel_size` is 2, but has to be odd"),
    ],
)
def test_bad_settings_are_named(build, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build()
