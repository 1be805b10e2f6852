import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from spacy_textconv.layers import WordCharacters, WordEmbedding
from spacy_textconv.layers.embedding import FeatureDropout

# Two types with two features.
INDICES = torch.tensor([[[0, 6], [7, 9]], [[2, 2], [8, 8]]])
# Words of three and of two characters, of which there are three; one twice in a word.
CHARACTERS = (
    torch.tensor([[0, 1], [2, 2], [3, 1]]),
    torch.tensor([0, 2, 1, 1, 1]),
    torch.tensor([3, 2]),
    1,
)
VECTORS = torch.tensor([[0.3, -1.0], [2.0, 0.5]])
TYPE_OF_TOKEN = torch.tensor([1, 0, 1])

# What a layer reads, and how it is built.
INPUTS = {
    "features": ((INDICES, None, None), {}),
    "characters": ((INDICES[:, :0], CHARACTERS, None), {"rows": []}),
    "vectors": ((INDICES[:, :0], None, VECTORS), {"rows": []}),
    "features and characters": ((INDICES, CHARACTERS, None), {}),
    "all": ((INDICES, CHARACTERS, VECTORS), {}),
}


@pytest.fixture(params=INPUTS)
def case(request):
    """A layer with weights that are not what they begin with, and its inputs."""
    inputs, settings = INPUTS[request.param]
    torch.manual_seed(0)
    characters = WordCharacters(char_rows=4, char_width=2, maps=3, kernel_sizes=[1, 2])
    layer = WordEmbedding(
        width=5,
        table_width=4,
        maxout_pieces=3,
        characters=characters if inputs[1] else None,
        vectors_width=0 if inputs[2] is None else 2,
        **{"rows": [7, 3], **settings},
    )
    torch.nn.init.normal_(layer.norm.weight)
    torch.nn.init.normal_(layer.norm.bias)
    return layer.eval(), inputs


def naive(layer, indices, characters, vectors):
    types = []
    for i, features in enumerate(indices):
        parts = [layer.table[feature].sum(dim=0) for feature in features]
        if characters is not None:
            parts.append(layer.characters(*characters)[i])
        if vectors is not None:
            parts.append(vectors[i])
        pieces = (layer.mix.weight @ torch.cat(parts) + layer.mix.bias).view(3, 5)
        mixed = pieces.max(dim=0).values
        types.append(F.layer_norm(mixed, (5,), layer.norm.weight, layer.norm.bias))
    return types


def test_word_embedding_equals_a_naive_one(case):
    layer, inputs = case
    first, second = naive(layer, *inputs)
    assert_close(layer(*inputs), torch.stack([first, second]))
    assert_close(layer(*inputs, TYPE_OF_TOKEN), torch.stack([second, first, second]))


def test_training_without_dropout_equals_prediction(case):
    layer, inputs = case
    expected = layer(*inputs, TYPE_OF_TOKEN)
    assert torch.equal(layer.train()(*inputs, TYPE_OF_TOKEN), expected)


def test_word_embedding_gradient(case):
    layer, (indices, characters, vectors) = case
    layer = layer.double()
    vectors = None if vectors is None else vectors.double()
    names, values = zip(*layer.named_parameters(), strict=True)

    def apply(*values):
        parameters = dict(zip(names, values, strict=True))
        inputs = (indices, characters, vectors, TYPE_OF_TOKEN)
        return torch.func.functional_call(layer, parameters, inputs)

    inputs = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(apply, inputs)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "`width` is 0"),
        ({"rows": [3, 0]}, r"`rows` is \[3, 0\]"),
        ({"table_width": 0}, "`table_width` is 0"),
        ({"maxout_pieces": 0}, "`maxout_pieces` is 0"),
        ({"dropout": 1.0}, "`dropout` is 1.0"),
        ({"word_dropout": -0.1}, "`word_dropout` is -0.1"),
    ],
)
def test_word_embedding_refuses_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        WordEmbedding(**{"width": 4, "rows": [3], "table_width": 2, **settings})


def test_dropout_gives_whole_features_random_rows_of_their_own_table():
    torch.manual_seed(0)
    dropout = FeatureDropout(rows=[50, 20], p=0.25).train()
    indices = torch.tensor([[0, 0, 0], [50, 50, 50]]).expand(4000, 2, 3)
    dropped = dropout(indices)
    assert set(dropped[:, 0].flatten().tolist()) == set(range(50))
    assert set(dropped[:, 1].flatten().tolist()) == set(range(50, 70))
    changed = (dropped != indices).any(dim=2).float().mean(dim=0)
    assert changed.tolist() == pytest.approx([0.25, 0.25], abs=0.03)
    assert dropout.eval()(indices) is indices
