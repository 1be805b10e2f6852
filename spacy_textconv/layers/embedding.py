"""Word types to vectors, by hashed features."""

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from .checks import check_dropout, check_positive


class HashEmbedding(nn.Module):
    """Embed the features of word types, mix them to one vector each, and give every token the
    vector of its type.

    A feature's vector is the sum of a few rows of a table, picked by hashes of its value, so that
    two values rarely share all of them (Svenstrup et al. 2017, "Hash embeddings for efficient
    word representations", section 3; Serrà and Karatzoglou 2017, "Getting deep recommenders fit:
    Bloom embeddings", section 3). The mix is a maxout layer (Goodfellow et al. 2013, section 2)
    with layer normalization.

    width (int): The width of a word's vector.
    rows (Sequence[int]): The number of rows of each feature's table.
    table_width (int): The width of the tables.
    pieces (int): The number of linear maps that maxout chooses from.
    dropout (float): The probability that a word type lacks a feature.
    """

    def __init__(
        self,
        *,
        width: int,
        rows: Sequence[int],
        table_width: int,
        pieces: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_positive("width", width)
        check_positive("table_width", table_width)
        check_positive("pieces", pieces)
        for number in rows:
            check_positive("rows", number)
        check_dropout(dropout)
        self.table = Parameter(torch.empty(sum(rows), table_width).uniform_(-0.1, 0.1))
        self.dropout = nn.Dropout1d(dropout)
        self.mix = nn.Linear(len(rows) * table_width, width * pieces)
        self.norm = nn.LayerNorm(width)
        self.width = width

    def forward(self, hashes: Tensor, type_of_token: Tensor) -> Tensor:
        """
        hashes (Tensor): For each word type and feature, some rows of the table of all features.
            *Shape:* (types, features, hashes)
        type_of_token (Tensor): The type of each token. *Shape:* (tokens,)
        RETURNS (Tensor): *Shape:* (tokens, width)
        """
        features = F.embedding_bag(hashes.flatten(0, 1), self.table, mode="sum")
        features = features.view(*hashes.shape[:2], -1)  # (types, features, table_width)
        pieces = self.mix(self.dropout(features).flatten(1))
        types = self.norm(pieces.view(len(hashes), self.width, -1).amax(dim=2))
        return types.index_select(0, type_of_token)
