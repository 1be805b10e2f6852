"""Texts to the probabilities of their symbols."""

import numpy
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from spacy import registry

from spacy_textconv.generation.search import collect, most_probable
from spacy_textconv.generation.symbols import END, UNKNOWN
from spacy_textconv.models.decode import starting
from spacy_textconv.models.heads import language_model
from spacy_textconv.models.heads.language_model import slice_texts
from spacy_textconv.models.heads.seq2seq import next_symbols
from spacy_textconv.models.wrap import get_shim

SYMBOLS, WIDTH = 7, 4
LENGTHS = st.lists(st.integers(0, 60), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def model():
    config = {
        "@architectures": "spacy-textconv.CausalLM.v1",
        "decoder": {
            "@architectures": "spacy-textconv.CausalConvDecoder.v1",
            "width": WIDTH,
            "kernel_size": 2,
            "dilations": [1, 2, 1],
        },
    }
    model = registry.resolve({"model": config})["model"]
    model.attrs["resize_output"](model, SYMBOLS)
    torch.manual_seed(0)
    for param in decoder(model).parameters():
        torch.nn.init.normal_(param.data, std=0.5)
    return model


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    """Slices with room for 16 symbols, of which up to 4 are context."""
    monkeypatch.setitem(language_model.SLICE_SIZE, "cpu", 16 * 2 * WIDTH)


def decoder(model):
    return get_shim(model.layers[0]).module


def draw_texts(lengths):
    symbols = numpy.random.default_rng(0).integers(UNKNOWN, SYMBOLS, sum(lengths))
    return starting(symbols, numpy.array(lengths))


def compute_whole(model, texts):
    """The logits of all symbols, and what follows them, without slices."""
    logits = decoder(model)(torch.from_numpy(texts.symbols), [*texts.lengths])
    return logits, torch.from_numpy(next_symbols(texts))


@settings(max_examples=30, deadline=None)
@given(lengths=LENGTHS)
def test_long_texts_are_read_exactly_in_slices(model, lengths):
    texts = draw_texts(lengths)
    logits, targets = compute_whole(model, texts)
    expected = -F.cross_entropy(logits, targets, reduction="none").detach().numpy()
    assert_allclose(model.attrs["log_probs"](model, texts), expected, atol=1e-5)
    encode = decoder(model).encode(torch.from_numpy(texts.symbols), [*texts.lengths])
    hidden = encode.detach().numpy()
    assert_allclose(model.attrs["hidden"](model, texts), hidden, atol=1e-5)
    assert_allclose(model.attrs["hidden"](model, texts, [3, 1]), hidden[:, [3, 1]], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(lengths=LENGTHS)
def test_slices_are_small_and_want_each_symbol_once(model, lengths):
    texts = draw_texts(lengths)
    slices = [*slice_texts(model, texts)]
    assert all(len(part.sequences.symbols) <= 16 for part in slices)
    places = numpy.concatenate([part.places for part in slices])
    assert sorted(places) == [*range(len(texts.symbols))]
    for part in slices:
        assert (part.sequences.symbols[part.wanted] == texts.symbols[part.places]).all()


@settings(max_examples=10, deadline=None)
@given(lengths=LENGTHS)
def test_gradients_of_slices_add_up_to_those_of_the_whole(model, lengths):
    texts = draw_texts(lengths)
    params = dict(decoder(model).named_parameters())
    logits, targets = compute_whole(model, texts)
    expected = F.cross_entropy(logits, targets)
    gradients = torch.autograd.grad(expected, params.values())
    for param in params.values():
        param.grad = None
    loss = model.attrs["learn"](model, texts)
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for param, gradient in zip(params.values(), gradients, strict=True):
        assert_allclose(param.grad, gradient, atol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 3, 30])
def test_writing_goes_on_with_a_text(model, length):
    prompt = draw_texts([length]).symbols[1:]
    steps = model.attrs["write"](model, prompt, texts=2, choose=most_probable, max_length=12)
    written = [*prompt]
    for _ in range(12):
        texts = starting(numpy.array(written, dtype="int64"), numpy.array([len(written)]))
        logits, _ = compute_whole(model, texts)
        logits[-1, UNKNOWN] = -numpy.inf
        best = int(logits[-1].argmax())
        if best == END:
            break
        written.append(best)
    assert [text.symbols for text in collect(steps, END)] == [written[length:]] * 2


def test_what_is_unknown_is_never_written(model):
    chosen = []

    def choose(log_probs):
        chosen.append(log_probs)
        return torch.full((len(log_probs),), 2)

    [*model.attrs["write"](model, numpy.array([2]), texts=1, choose=choose, max_length=3)]
    assert all(scores[0, UNKNOWN] == -numpy.inf for scores in chosen) and len(chosen) == 3
