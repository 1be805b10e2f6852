import torch
import torch.nn.functional as F
from torch.testing import assert_close

from spacy_textconv.layers import HashEmbedding


def test_hash_embedding_equals_a_naive_one():
    torch.manual_seed(0)
    layer = HashEmbedding(width=5, rows=[7, 3], table_width=4, pieces=3).eval()
    hashes = torch.tensor([[[0, 6], [7, 9]], [[2, 2], [8, 8]]])
    type_of_token = torch.tensor([1, 0, 1])
    types = []
    for features in hashes:
        vector = torch.cat([layer.table[feature].sum(dim=0) for feature in features])
        pieces = (layer.mix.weight @ vector + layer.mix.bias).view(5, 3)
        types.append(F.layer_norm(pieces.max(dim=1).values, (5,)))
    assert_close(layer(hashes, type_of_token), torch.stack([types[1], types[0], types[1]]))


def test_hash_embedding_gradient():
    torch.manual_seed(0)
    layer = HashEmbedding(width=3, rows=[5, 4], table_width=2).double()
    hashes = torch.tensor([[[0, 1], [5, 8]], [[1, 1], [6, 7]]])
    type_of_token = torch.tensor([0, 1, 0])
    names, values = zip(*layer.named_parameters(), strict=True)

    def apply(*values):
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, parameters, (hashes, type_of_token))

    inputs = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(apply, inputs)


def test_dropout_takes_whole_features():
    torch.manual_seed(0)
    layer = HashEmbedding(width=4, rows=[9, 9], table_width=3, dropout=0.5).train()
    dropped = layer.dropout(torch.ones(500, 2, 3))
    assert set(dropped.flatten(0, 1).unique(dim=0).flatten().tolist()) == {0.0, 2.0}
