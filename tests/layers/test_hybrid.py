"""What a hybrid decoder has beside the others, whose tests are in `test_decoder.py`."""

import pytest
import torch
from torch.testing import assert_close

from spacy_textconv.layers import HybridDecoder

from .test_decoder import HYBRID, MEMORY_WIDTH, build_decoder

LENGTHS = [4, 7]
SYMBOLS = torch.tensor([0, 3, 2, 5, 0, 1, 6, 2, 4, 4, 1])


def draw_vectors(sequences):
    rows = torch.randn(sequences, MEMORY_WIDTH, dtype=torch.double)
    return rows, torch.ones(sequences, dtype=torch.long)


def test_the_auxiliary_scores_are_those_of_the_deconvolutions():
    decoder = build_decoder(HybridDecoder, **HYBRID)
    vectors = draw_vectors(2)
    logits = decoder(SYMBOLS, LENGTHS, *vectors)
    both = decoder(SYMBOLS, LENGTHS, *vectors, auxiliary=True)
    assert_close(both[: len(SYMBOLS)], logits)
    assert_close(both[len(SYMBOLS) :], decoder.deconv(SYMBOLS, LENGTHS, *vectors))


def test_each_symbol_gets_the_row_of_the_next_one():
    """A row of the deconvolutions changes the scores of the symbol that is written there, and of
    those after it, as far as the causal stack looks back."""
    decoder = build_decoder(HybridDecoder, **HYBRID)
    symbols, vectors = torch.zeros(20, dtype=torch.long), draw_vectors(1)
    before = decoder(symbols, [20], *vectors)
    spread = decoder.deconv.spread

    def change(*arguments):
        x = spread(*arguments)
        return x.index_add(0, torch.tensor([5]), torch.ones_like(x[:1]))

    decoder.deconv.spread = change
    difference = (decoder(symbols, [20], *vectors) - before).abs().amax(dim=1)
    changed = difference.nonzero()[:, 0]
    assert changed.min() == 5 and changed.max() == 5 + decoder.reach.left


def test_the_vectors_and_the_symbols_are_made_use_of():
    decoder = build_decoder(HybridDecoder, **HYBRID)
    rows, ones = draw_vectors(2)
    logits = decoder(SYMBOLS, LENGTHS, rows, ones)
    others = decoder(SYMBOLS, LENGTHS, rows.flip(0), ones)
    assert ((logits - others).abs().amax(dim=1) > 1e-3).all()
    others = decoder((SYMBOLS + 1) % 7, LENGTHS, rows, ones)
    assert ((logits - others).abs().amax(dim=1) > 1e-3).all()


def test_bad_settings_and_input():
    for settings, message in [
        ({"max_length": 10}, "E170.*`max_length` is 10"),
        ({"kernel_size": 2}, "`kernel_size` is 2"),
        ({"deconv_dilations": [0]}, "`deconv_dilations`"),
        ({"block": "lstm"}, "`block` is 'lstm'"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_decoder(HybridDecoder, **{**HYBRID, **settings})
    decoder = build_decoder(HybridDecoder, **HYBRID)
    rows, _ = draw_vectors(3)
    with pytest.raises(ValueError, match="E171.* 2 rows"):
        decoder.begin(2, rows, torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="E172.* 33 symbols.* 32"):
        decoder(torch.zeros(33, dtype=torch.long), [33], *draw_vectors(1))
