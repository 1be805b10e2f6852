import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import SlotDecoder

SYMBOLS, WIDTH = 5, 3
SETTINGS = {
    "symbols": SYMBOLS,
    "width": 4,
    "stride": 2,
    "kernel_size": 3,
    "dilations": [1, 2],
    "memory_width": WIDTH,
    "pad_before": 2,
    "pad_after": 1,
    "dropout": 0.0,
}


def build(**options):
    torch.manual_seed(0)
    return SlotDecoder(**{**SETTINGS, **options}).double().eval()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_a_document_alone_and_in_a_batch_gets_the_same(lengths):
    layer = build()
    rows = torch.randn(sum(lengths), WIDTH, dtype=torch.double)
    together = layer(rows, lengths)
    alone = [layer(part, [len(part)]) for part in rows.split(lengths)]
    assert_close(together, torch.cat(alone))
    assert [len(part) for part in alone] == [layer.number(length) for length in lengths]
    assert [layer.number(length) for length in lengths] == [2 * (3 + length) for length in lengths]
    assert_close(together.exp().sum(dim=1), torch.ones(len(together), dtype=torch.double))


def test_a_row_is_seen_by_its_slots_and_those_around():
    layer = build(pad_before=0, pad_after=0)
    rows = torch.randn(20, WIDTH, dtype=torch.double)
    scores = layer(rows, [20])
    rows[10] += 1.0
    changed = (layer(rows, [20]) != scores).any(dim=1).nonzero().squeeze(1).tolist()
    # Two layers look at 1 and 2 slots to either side.
    assert changed == [*range(20 - 3, 22 + 3)]


def test_rows_of_padding_have_slots_of_their_own():
    layer = build()
    scores = layer(torch.zeros(0, WIDTH, dtype=torch.double), [0, 0])
    assert_close(scores[:6], scores[6:])
    assert len({*scores[:6, 0].tolist()}) == 6


def test_every_parameter_gets_the_right_gradient():
    layer = build()
    names, values = zip(*layer.named_parameters(), strict=True)

    def function(rows, *values):
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, parameters, (rows, [2, 0, 1]))

    rows = torch.randn(3, WIDTH, dtype=torch.double)
    inputs = [t.detach().clone().requires_grad_() for t in (rows, *values)]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    output = function(*inputs)
    gradients = torch.autograd.grad((output * torch.randn_like(output)).sum(), inputs)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize(
    "setting, value",
    [("symbols", 0), ("width", 0), ("stride", 0), ("dilations", []), ("pad_before", -1)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"`{setting}` is"):
        build(**{setting: value})
