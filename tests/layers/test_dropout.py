import pytest
import torch
from torch import nn
from torch.testing import assert_close

from spacy_textconv.layers import Dropout, LockedDropout, Packing, WordDropout, set_dropout


def test_locked_dropout_drops_a_column_of_a_whole_document():
    torch.manual_seed(0)
    dropout = LockedDropout(p=0.25).train()
    packing = Packing([5, 7], gap=1)
    y = dropout(torch.ones(packing.rows, 2000), packing)
    first, second = y[:5], y[6:13]
    assert_close(first, first[:1].expand_as(first))
    assert_close(second, second[:1].expand_as(second))
    assert not torch.equal(first[0], second[0])
    assert first.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (first[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_locked_dropout_does_nothing_in_prediction_or_at_rate_0():
    packing = Packing([5], gap=0)
    x = torch.randn(packing.rows, 8)
    assert LockedDropout(p=0.5).eval()(x, packing) is x
    assert LockedDropout(p=0.0).train()(x, packing) is x


def test_word_dropout_replaces_whole_words():
    torch.manual_seed(0)
    dropout = WordDropout(width=3, p=0.25).train()
    torch.nn.init.constant_(dropout.replacement, 7.0)
    x = torch.zeros(4000, 3)
    y = dropout(x)
    assert y.unique(dim=0).tolist() == [[0.0] * 3, [7.0] * 3]
    assert (y[:, 0] == 7.0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert dropout.eval()(x) is x


def test_only_a_rate_that_is_left_open_is_that_of_the_training():
    layers = [Dropout(None), Dropout(0.1), LockedDropout(None), LockedDropout(0.0)]
    layers += [WordDropout(width=2, p=None), WordDropout(width=2, p=0.3), nn.Dropout(0.2)]
    module = nn.Sequential(*layers)
    assert [layer.p for layer in layers] == [0.0, 0.1, 0.0, 0.0, 0.0, 0.3, 0.2]
    set_dropout(module, 0.5)
    assert [layer.p for layer in layers] == [0.5, 0.1, 0.5, 0.0, 0.5, 0.3, 0.2]


@pytest.mark.parametrize("rate", [1.0, -0.1, True])
def test_bad_rates_are_refused(rate):
    with pytest.raises(ValueError, match=f"E005.*`dropout` is {rate}"):
        Dropout(rate)
    with pytest.raises(ValueError, match=f"E005.*`word_dropout` is {rate}"):
        WordDropout(width=2, p=rate)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_is_none_changes_nothing(rate):
    layer = Dropout(None)
    set_dropout(layer, 0.5)
    with pytest.raises(ValueError, match=f"E129.* {rate}.*dropout"):
        set_dropout(layer, rate)
    assert layer.p == 0.5
