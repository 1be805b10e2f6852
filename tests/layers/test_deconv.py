from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import DeconvDecoder
from spacy_textconv.layers.blocks import BLOCKS

from .util import pack

SYMBOLS = 7
MEMORY_WIDTH = 5
CASES = [
    {},
    {"max_length": 6},
    {"max_length": 24, "dilations": [1]},
    {"kernel_size": 5, "dilations": [1, 3]},
    *({"block": block} for block in BLOCKS),
]


def build_decoder(**settings):
    torch.manual_seed(0)
    settings = {"width": 4, "max_length": 12, "seed_rows": 3, "dilations": (1, 2), **settings}
    decoder = DeconvDecoder(symbols=SYMBOLS, memory_width=MEMORY_WIDTH, **settings)
    for param in decoder.parameters():
        torch.nn.init.normal_(param, std=0.5)
    return decoder.double().eval()


def draw_memory(sequences):
    rows = torch.randn(sequences, MEMORY_WIDTH, dtype=torch.double)
    return rows, torch.ones(sequences, dtype=torch.long)


def score(decoder, lengths, memory):
    return decoder(torch.zeros(sum(lengths), dtype=torch.long), lengths, *memory)


def naive(decoder, vector):
    """All rows of one sequence, level by level."""
    x = decoder.seeds(vector[None]).view(decoder.seed_rows, -1)
    for number, level in enumerate(decoder.levels, start=1):
        x, _ = level(*pack([x], level.gap, stride=2))
        x = x[: decoder.seed_rows * 2**number]
    return x @ decoder.vectors.t() + decoder.bias


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=20)
@given(data=st.data())
def test_a_beginning_in_a_batch_is_that_of_the_whole_sequence(case, data):
    decoder = build_decoder(**case)
    lengths = data.draw(st.lists(st.integers(1, decoder.max_length), min_size=1, max_size=4))
    memory = draw_memory(len(lengths))
    parts = score(decoder, lengths, memory).split(lengths)
    for part, vector in zip(parts, memory[0], strict=True):
        assert_close(part, naive(decoder, vector)[: len(part)])


def test_rows_that_nothing_depends_on_are_not_computed():
    decoder = build_decoder(seed_rows=12, max_length=48)
    buffers = []
    decoder.levels[-1].register_forward_hook(lambda level, x, y: buffers.append(y[1].lengths))
    score(decoder, [1, 48], draw_memory(2))
    assert buffers == [[16, 48]]


@pytest.mark.parametrize("case", CASES)
def test_step_by_step_equals_the_whole(case):
    decoder = build_decoder(**case)
    memory = draw_memory(3)
    whole = score(decoder, [decoder.max_length] * 3, memory).log_softmax(dim=1)
    whole = whole.view(3, decoder.max_length, SYMBOLS)
    spread = decoder.begin(3, *memory)
    symbols = torch.zeros(3, dtype=torch.long)
    for column in range(4):
        assert_close(spread.step(symbols), whole[:, column])
    # One sequence twice and another one once, then only the last.
    spread.select(torch.tensor([2, 2, 0]))
    assert_close(spread.step(symbols), whole[[2, 2, 0], 4])
    spread.select(torch.tensor([2]))
    assert_close(spread.step(symbols[:1]), whole[[0], 5])


@pytest.mark.parametrize("case", CASES)
def test_gradient_of_memory_and_every_parameter(case):
    decoder = build_decoder(**case)
    names, values = zip(*decoder.named_parameters(), strict=True)
    lengths = [decoder.max_length, 2, 3]
    rows, ones = draw_memory(3)
    symbols = torch.zeros(sum(lengths), dtype=torch.long)

    def apply(*values):
        params = dict(zip(names, values, strict=False))
        return torch.func.functional_call(decoder, params, (symbols, lengths, values[-1], ones))

    inputs = [t.detach().clone().requires_grad_() for t in (*values, rows)]
    assert torch.autograd.gradcheck(apply, inputs, fast_mode=True)
    assert all(g.any() for g in torch.autograd.grad((apply(*inputs) ** 3).sum(), inputs))


def test_it_learns_sequences_by_heart():
    decoder = build_decoder(width=16).train()
    lengths = [12, 1, 5, 8]
    targets = torch.randint(1, SYMBOLS, (sum(lengths),))
    targets[[stop - 1 for stop in accumulate(lengths)]] = 0
    memory = draw_memory(4)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(score(decoder, lengths, memory), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (score(decoder.eval(), lengths, memory).argmax(dim=1) == targets).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_length": 10}, "E170.*`max_length` is 10.*`max_length` to 12"),
        ({"max_length": 3}, "E170.*`max_length` to 6"),
        ({"max_length": 0}, "`max_length` is 0"),
        ({"seed_rows": 0}, "`seed_rows` is 0"),
        ({"width": 0}, "`width` is 0"),
        ({"kernel_size": 2}, "`kernel_size` is 2"),
        ({"block": "lstm"}, "`block` is 'lstm'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        build_decoder(**settings)


def test_bad_input():
    decoder = build_decoder()
    rows, _ = draw_memory(3)
    with pytest.raises(ValueError, match="E171.* 2 rows"):
        decoder.begin(2, rows, torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="E172.* 13 symbols.* 12"):
        score(decoder, [2, 13, 1], draw_memory(3))
