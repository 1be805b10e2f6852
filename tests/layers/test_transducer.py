import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import StringEncoder, StringTransducer

SYMBOLS = 7
SETTINGS = {
    "symbols": SYMBOLS,
    "width": 6,
    "kernel_size": 3,
    "dilations": [1, 2],
    "stride": 2,
    "slot_width": 4,
    "slot_dilations": [1],
    "feature_rows": 5,
    "context_width": None,
    "pad_before": 2,
    "pad_after": 1,
    "dropout": 0.0,
}
strings = st.lists(st.integers(1, SYMBOLS - 1), max_size=5)


def build(**options):
    torch.manual_seed(0)
    return StringTransducer(**{**SETTINGS, **options}).double().eval()


def apply(layer, strings, features=None, context=None):
    """Apply a layer to strings, each with features of two hashes."""
    features = features or [[] for _ in strings]
    letters = torch.tensor([letter for string in strings for letter in string], dtype=torch.long)
    parts = [part for some in features for part in some]
    return layer(
        letters,
        letters.clamp(max=3),
        [len(string) for string in strings],
        torch.tensor(parts, dtype=torch.long).view(-1, 2),
        torch.tensor([len(some) for some in features]),
        context,
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(strings, min_size=1, max_size=4))
def test_a_string_alone_and_in_a_batch_gets_the_same(strings):
    layer = build()
    features = [[[0, 1], [2, 3]][: len(string) % 3] for string in strings]
    together = apply(layer, strings, features)
    alone = [apply(layer, [a], [b]) for a, b in zip(strings, features, strict=True)]
    assert_close(together, torch.cat(alone))
    slots = [2 * (2 + len(string) + 1) for string in strings]
    assert [len(part) for part in alone] == slots
    assert_close(together.exp().sum(dim=1), torch.ones(sum(slots), dtype=torch.double))


def test_an_untrained_network_copies():
    layer = build(stride=3)
    best = apply(layer, [[3, 5, 5]]).argmax(dim=1).tolist()
    assert best == [0] * 6 + [3, 0, 0, 5, 0, 0, 5, 0, 0] + [0] * 3


def test_features_and_context_count():
    layer = build(context_width=3)
    context = torch.randn(1, 3, dtype=torch.double)
    plain = apply(layer, [[3]], context=torch.zeros(1, 3, dtype=torch.double))
    assert not torch.allclose(apply(layer, [[3]], context=context), plain)
    assert not torch.allclose(apply(layer, [[3]], [[[0, 1]]], context * 0), plain)
    # In whichever order.
    ordered = apply(layer, [[3]], [[[0, 1], [2, 3]]], context)
    assert_close(apply(layer, [[3]], [[[2, 3], [0, 1]]], context), ordered)


def test_every_parameter_gets_the_right_gradient():
    layer = build(context_width=3)
    names, values = zip(*layer.named_parameters(), strict=True)
    context = torch.randn(2, 3, dtype=torch.double)

    def function(context, *values):
        parameters = dict(zip(names, values, strict=True))
        inputs = (torch.tensor([1, 4, 5, 6]), torch.tensor([1, 3, 3, 3]), [1, 3])
        features = (torch.tensor([[0, 1], [2, 3], [4, 0]]), torch.tensor([2, 1]))
        return torch.func.functional_call(layer, parameters, (*inputs, *features, context))

    inputs = [t.detach().clone().requires_grad_() for t in (context, *values)]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    output = function(*inputs)
    gradients = torch.autograd.grad((output * torch.randn_like(output)).sum(), inputs)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@settings(max_examples=25, deadline=None)
@given(st.lists(strings, min_size=1, max_size=4))
def test_an_encoder_reads_a_string_alone_as_in_a_batch(strings):
    slots = ("stride", "slot_width", "slot_dilations")
    options = {key: value for key, value in SETTINGS.items() if key not in slots}
    torch.manual_seed(0)
    encoder = StringEncoder(**options).double().eval()
    features = [[[0, 1], [2, 3]][: len(string) % 3] for string in strings]

    def read(strings, features):
        parts = [part for some in features for part in some]
        return encoder(
            torch.tensor([letter for string in strings for letter in string], dtype=torch.long),
            [len(string) for string in strings],
            torch.tensor(parts, dtype=torch.long).view(-1, 2),
            torch.tensor([len(some) for some in features]),
        )

    alone = [read([a], [b]) for a, b in zip(strings, features, strict=True)]
    assert [len(rows) for rows in alone] == [2 + len(string) + 1 for string in strings]
    assert_close(read(strings, features), torch.cat(alone))


@pytest.mark.parametrize(
    "setting, value",
    [("symbols", 0), ("width", 0), ("feature_rows", 0), ("pad_before", -1), ("pad_after", -1)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"`{setting}` is {value}"):
        build(**{setting: value})
