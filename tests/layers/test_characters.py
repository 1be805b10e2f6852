import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import CharacterEmbedding, WordCharacters

KERNEL_SIZES = (1, 2, 4)
SETTINGS = {"char_rows": 11, "char_width": 3, "maps": 5, "kernel_sizes": KERNEL_SIZES}
# The rows of six characters.
INDICES = torch.tensor(
    [[0, 1, 2, 3], [4, 4, 5, 6], [10, 9, 8, 7], [6, 0, 6, 1], [3] * 4, [2, 7, 5, 9]]
)

characters = st.integers(0, len(INDICES) - 1)
words = st.lists(st.lists(characters, min_size=max(KERNEL_SIZES), max_size=9), min_size=1)


def build():
    torch.manual_seed(0)
    return WordCharacters(**SETTINGS)


def join(words, marks=3):
    """What the layer reads of words that are lists of characters, the last of them marks."""
    lengths = torch.tensor([len(word) for word in words])
    return INDICES, torch.tensor(sum(words, [])), lengths, marks


def naive(layer, word):
    x = torch.stack([layer.embedding.table[INDICES[character]].sum(dim=0) for character in word])
    maps = []
    for size, convolution in zip(KERNEL_SIZES, layer.convolutions, strict=True):
        windows = [x[i : i + size].flatten() for i in range(len(word) - size + 1)]
        responses = [convolution.weight @ window + convolution.bias for window in windows]
        maps.append(torch.stack(responses).max(dim=0).values)
    return F.relu(torch.cat(maps))


def test_characters_are_sums_of_rows():
    layer = CharacterEmbedding(char_rows=11, width=3)
    embedded = layer(INDICES, torch.tensor([1, 0, 1]))
    expected = [layer.table[row] for row in (4, 4, 5, 6)]
    assert_close(embedded[0], torch.stack(expected).sum(dim=0))
    assert torch.equal(embedded[0], embedded[2])
    assert not torch.equal(embedded[0], embedded[1])


@given(words)
def test_word_characters_equal_naive_ones(words):
    layer = build()
    expected = torch.stack([naive(layer, word) for word in words])
    assert expected.shape == (len(words), layer.width)
    assert_close(layer(*join(words)), expected, atol=1e-6, rtol=1e-5)


@given(words)
def test_a_word_does_not_depend_on_the_others(words):
    layer = build()
    together = layer(*join(words))
    for i, word in enumerate(words):
        assert_close(layer(*join([word]))[0], together[i], atol=1e-6, rtol=1e-5)


@given(words)
def test_gradients_equal_those_of_a_naive_layer(words):
    layer = build()
    direction = torch.randn(len(words), layer.width)
    expected = torch.stack([naive(layer, word) for word in words])
    parameters = list(layer.parameters())
    for gradient, other in zip(
        torch.autograd.grad((layer(*join(words)) * direction).sum(), parameters),
        torch.autograd.grad((expected * direction).sum(), parameters),
        strict=True,
    ):
        assert_close(gradient, other, atol=1e-4, rtol=1e-4)


def test_a_word_as_short_as_the_largest_kernel_has_one_window():
    layer, word = build(), [5, 0, 3, 1]
    largest = layer.convolutions[-1](layer.embedding(INDICES, torch.tensor(word)).flatten())
    assert_close(layer(*join([word, word]))[:, -5:], F.relu(largest).expand(2, 5))


@given(st.lists(st.lists(characters, min_size=1, max_size=5), min_size=1))
def test_kernels_larger_than_all_words_see_marks(words):
    torch.manual_seed(0)
    layer = WordCharacters(**{**SETTINGS, "kernel_sizes": [2, 7, 8, 30]}).double()
    results = []
    for marks in (29, max(map(len, words)) + 1):
        y = layer(*join([word + [5] * marks for word in words], marks))
        results.append([y, *torch.autograd.grad((y**2).sum(), layer.parameters())])
    assert_close(*results)


def test_word_characters_gradient():
    layer = build().double()
    words = join([[0, 1, 2, 3], [4, 4, 5, 0, 1, 2], [2, 1, 0, 5, 3]])
    names, values = zip(*layer.named_parameters(), strict=True)

    def apply(*values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), words)

    inputs = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(apply, inputs)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"char_rows": 0}, "`char_rows` is 0"),
        ({"char_width": 0}, "`char_width` is 0"),
        ({"maps": -1}, "`char_maps` is -1"),
        ({"kernel_sizes": []}, r"E014.*`char_kernel_sizes` is \[\]"),
        ({"kernel_sizes": [2, 0]}, r"E014.*`char_kernel_sizes` is \[2, 0\]"),
    ],
)
def test_word_characters_refuse_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        WordCharacters(**{**SETTINGS, **settings})
