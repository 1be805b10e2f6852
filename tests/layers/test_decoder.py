from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import (
    CausalDecoder,
    CrossAttention,
    DeconvDecoder,
    DilatedStack,
    HybridDecoder,
    Memorize,
    Packing,
)
from spacy_textconv.layers.blocks import BLOCKS
from spacy_textconv.layers.dilated import CONNECTIONS
from spacy_textconv.layers.steps import Steps

SYMBOLS = 7
MEMORY_WIDTH = 5
CASES = [
    {},
    {"memory_width": MEMORY_WIDTH},
    {"kernel_size": 1, "memory_width": MEMORY_WIDTH},
    {"kernel_size": 2, "dilations": [4], "width": 5},
    *({"block": block, "memory_width": MEMORY_WIDTH} for block in BLOCKS),
]
HYBRID = {"seed_rows": 4, "max_length": 32, "memory_width": MEMORY_WIDTH}
ALL = [(CausalDecoder, case) for case in CASES]
ALL += [(HybridDecoder, HYBRID)]
ALL += [(HybridDecoder, {**HYBRID, "block": "conv", "deconv_dilations": [2]})]


def build_decoder(kind=CausalDecoder, width=8, dilations=(1, 2), **case):
    torch.manual_seed(0)
    key = "causal_dilations" if kind is HybridDecoder else "dilations"
    decoder = kind(symbols=SYMBOLS, width=width, **{key: dilations}, **case)
    for param in decoder.parameters():
        torch.nn.init.normal_(param, std=0.5)
    return decoder.double()


def draw_memory(decoder, lengths):
    """Rows of memory for documents, a single one for each, or nothing for a decoder without a
    memory."""
    if isinstance(decoder, (DeconvDecoder, HybridDecoder)):
        lengths = [1] * len(lengths)
    elif decoder.memorize is None:
        return ()
    rows = torch.randn(sum(lengths), MEMORY_WIDTH, dtype=torch.double)
    return rows, torch.tensor(lengths)


def of_document(memory, i):
    """The memory of a single document."""
    if not memory:
        return ()
    rows, lengths = memory
    return rows.split(lengths.tolist())[i], lengths[i : i + 1]


@pytest.mark.parametrize("kind, case", ALL)
@settings(max_examples=20)
@given(lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), min_size=1, max_size=4))
def test_step_by_step_alone_equals_the_whole_batch(kind, case, lengths):
    decoder = build_decoder(kind, **case)
    written, remembered = map(list, zip(*lengths, strict=True))
    symbols = torch.randint(SYMBOLS, (sum(written),))
    memory = draw_memory(decoder, remembered)
    whole = decoder(symbols, written, *memory).log_softmax(dim=1)
    for i, (sequence, expected) in enumerate(
        zip(symbols.split(written), whole.split(written), strict=True)
    ):
        writing = decoder.begin(1, *of_document(memory, i))
        steps = torch.cat([writing.step(symbol[None]) for symbol in sequence])
        assert_close(steps, expected)


@pytest.mark.parametrize("kind, case", [*ALL, (DeconvDecoder, HYBRID)])
def test_probabilities_add_up_to_one_under_autocast(kind, case):
    decoder = build_decoder(kind, **case).float()
    memory = draw_memory(decoder, [3, 1])
    memory = (memory[0].float(), memory[1]) if memory else ()
    with torch.autocast("cpu", torch.bfloat16):
        log_probs = decoder.begin(2, *memory).step(torch.tensor([0, 1]))
    assert_close(log_probs.exp().sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("kind, case", ALL)
def test_no_score_depends_on_what_follows(kind, case):
    decoder = build_decoder(kind, **case)
    memory = draw_memory(decoder, [3, 2])
    symbols = torch.randint(SYMBOLS, (14,))
    before = decoder(symbols, [6, 8], *memory)
    for i in (0, 3, 5, 6, 10):
        changed = symbols.clone()
        stop = 6 if i < 6 else 14
        changed[i:stop] = (changed[i:stop] + 1) % SYMBOLS
        after = decoder(changed, [6, 8], *memory)
        start = 0 if i < 6 else 6
        assert_close(after[start:i], before[start:i])
        assert (after[i] - before[i]).abs().max() > 1e-3


@pytest.mark.parametrize("kind, case", ALL)
def test_scores_depend_on_as_many_symbols_as_is_stated(kind, case):
    decoder = build_decoder(kind, **case)
    reach, memory = decoder.reach.left, draw_memory(decoder, [3])
    symbols = torch.randint(SYMBOLS, (30,))
    changed = symbols.clone()
    changed[4] = (changed[4] + 1) % SYMBOLS
    difference = decoder(changed, [30], *memory) - decoder(symbols, [30], *memory)
    assert difference.abs().amax(dim=1).nonzero().max() == 4 + reach


@pytest.mark.parametrize("kind, case", ALL)
def test_sequences_are_reordered_and_left_out(kind, case):
    decoder = build_decoder(kind, **case)
    memory = draw_memory(decoder, [2, 3, 1])
    beginnings = torch.tensor([[1, 2, 3], [4, 5, 6], [0, 1, 2]])
    writing = decoder.begin(3, *memory)
    for column in beginnings.t():
        writing.step(column)
    # Two sequences for each of the first and the last document.
    writing.select(torch.tensor([0, 0, 2, 2]))
    writing.step(torch.tensor([1, 2, 3, 4]))
    # Only the last one, in the other order.
    writing.select(torch.tensor([3, 2]))
    scores = writing.step(torch.tensor([5, 6]))
    for row, ending in ((0, [4, 5]), (1, [3, 6])):
        symbols = torch.tensor([*beginnings[2], *ending])
        whole = decoder(symbols, [5], *of_document(memory, 2))
        assert_close(scores[row], whole[-1].log_softmax(dim=0))


@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_causal_stack_step_by_step(block, connection):
    torch.manual_seed(0)
    stack = DilatedStack(
        width=4,
        kernel_size=3,
        dilations=[1, 3],
        block=block,
        connection=connection,
        iterations=2,
        causal=True,
    ).double()
    x = torch.randn(20, 4, dtype=torch.double)
    packing = Packing([20], stack.gap)
    whole = stack(torch.cat([x, x.new_zeros(packing.rows - 20, 4)]), packing)[:20]
    steps = Steps(1)
    rows = []
    for row in x:
        rows.append(stack(row[None], steps))
        steps.advance()
    assert_close(torch.cat(rows), whole)


@pytest.mark.parametrize("kind, case", ALL)
def test_gradient_of_memory_and_every_parameter(kind, case):
    decoder = build_decoder(kind, **case)
    symbols = torch.randint(SYMBOLS, (9,))
    names, values = zip(*decoder.named_parameters(), strict=True)
    memory = draw_memory(decoder, [2, 0, 3])

    # What the deconvolutions of a hybrid decoder tell by themselves has parameters as well.
    auxiliary = (True,) if kind is HybridDecoder else ()

    def apply(*values):
        values, rows = values[: len(names)], values[len(names) :]
        arguments = (symbols, [4, 2, 3], *rows, *memory[1:], *auxiliary)
        return torch.func.functional_call(decoder, dict(zip(names, values, strict=True)), arguments)

    inputs = [t.detach().clone().requires_grad_() for t in (*values, *memory[:1])]
    assert torch.autograd.gradcheck(apply, inputs, fast_mode=True)
    assert all(g.any() for g in torch.autograd.grad((apply(*inputs) ** 3).sum(), inputs))


def test_attention_is_a_weighted_mean_of_values():
    torch.manual_seed(0)
    memorize = Memorize(memory_width=3, width=4).double()
    attention = CrossAttention(width=4).double()
    documents = torch.randn(2, 3, dtype=torch.double), torch.randn(4, 3, dtype=torch.double)
    memory = memorize(torch.cat(documents), torch.tensor([2, 4]))
    packing = Packing([3, 2], 2)
    x = torch.randn(packing.rows, 4, dtype=torch.double)
    y, weights = attention(x, packing, memory)
    for document, rows in enumerate(documents):
        start, length = packing.starts[document], packing.lengths[document]
        rows = torch.cat([memorize.nothing, rows])
        positions = torch.arange(len(rows))
        angles = torch.stack([positions, positions / 100], dim=1)
        keys = memorize.keys(rows) + torch.cat([angles.sin(), angles.cos()], dim=1)
        for i in range(length):
            query = attention.query(attention.norm(x[start + i]))
            expected = torch.softmax(keys @ query / sqrt(4), dim=0)
            assert_close(weights[document, i, : len(rows)], expected, atol=1e-6, rtol=1e-6)
            told = attention.output(expected @ memorize.values(rows))
            assert_close(y[start + i], told, atol=1e-6, rtol=1e-6)
    assert (weights[0, :, 3:] == 0).all()
    assert (y[packing.gap_rows] == 0).all()


def test_where_a_decoder_looks():
    decoder = build_decoder(memory_width=MEMORY_WIDTH)
    symbols = torch.randint(SYMBOLS, (9,))
    memory = draw_memory(decoder, [2, 0, 3])
    looks = decoder.attention(symbols, [4, 2, 3], *memory)
    assert looks.shape == (3, 4, 3)
    assert (looks[0, :, 2:] == 0).all() and (looks[1] == 0).all()
    assert (looks[2, :3].sum(dim=1) < 1).all() and (looks[2, :3] > 0).all()
