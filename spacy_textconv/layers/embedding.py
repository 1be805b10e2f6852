"""Word types to vectors."""

from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive, check_positives
from .characters import WordCharacters
from .dropout import Dropout, WordDropout
from .packing import PaddedLinear


class FeatureDropout(Dropout):
    """Give some features random rows of their tables instead of their own. So look the features
    of a word that was never seen, which a network has to learn to live with.

    rows (Sequence[int]): The number of rows of each feature's table.
    p (Optional[float]): The probability that a feature of a word gets random rows; None for that
        of the training.
    """

    rows: Tensor
    starts: Tensor

    def __init__(self, *, rows: Sequence[int], p: Optional[float]):
        super().__init__(p)
        stops = torch.tensor(rows).cumsum(0)
        self.register_buffer("rows", torch.tensor(rows)[:, None], persistent=False)
        self.register_buffer("starts", (stops - torch.tensor(rows))[:, None], persistent=False)

    def forward(self, indices: Tensor) -> Tensor:
        """
        indices (Tensor): For each word type and feature, some rows of the table of all features.
            *Shape:* (types, features, hashes)
        RETURNS (Tensor): *Shape:* (types, features, hashes)
        """
        if not self.training or self.p == 0.0:
            return indices
        random = torch.rand(indices.shape, dtype=torch.float32, device=indices.device)
        dice = torch.rand(*indices.shape[:2], 1, dtype=torch.float32, device=indices.device)
        others = (random * self.rows).long() + self.starts
        return torch.where(dice < self.p, others, indices)


class WordEmbedding(nn.Module):
    """Embed the features of word types, mix them to one vector each, and give every token the
    vector of its type.

    A feature's vector is the sum of a few rows of a table, picked by hashes of its value, so that
    two values rarely share all of them (Svenstrup et al. 2017, "Hash embeddings for efficient
    word representations", section 3; Serrà and Karatzoglou 2017, "Getting deep recommenders fit:
    Bloom embeddings", section 3). The mix is a maxout layer (Goodfellow et al. 2013, section 2)
    with layer normalization.

    width (int): The width of a word's vector.
    rows (Sequence[int]): The number of rows of each feature's table; may be empty.
    table_width (int): The width of the tables.
    characters (Optional[WordCharacters]): What reads the characters of a word.
    vectors_width (int): The width of the vectors that come with a word, or 0.
    maxout_pieces (int): The number of linear maps that maxout chooses from.
    dropout (Optional[float]): In training, the probability that a hashed feature of a word type
        gets random rows, and that a column of the other features is dropped; None for that of the
        training.
    word_dropout (Optional[float]): The probability that a token's vector is replaced in training;
        None for that of the training.
    """

    def __init__(
        self,
        *,
        width: int,
        rows: Sequence[int],
        table_width: int,
        characters: Optional[WordCharacters] = None,
        vectors_width: int = 0,
        maxout_pieces: int = 3,
        dropout: Optional[float] = 0.0,
        word_dropout: Optional[float] = 0.0,
    ):
        super().__init__()
        check_positive("width", width)
        check_positive("table_width", table_width)
        check_positive("maxout_pieces", maxout_pieces)
        if rows:
            check_positives("rows", rows)
        table = torch.empty(sum(rows), table_width).uniform_(-0.1, 0.1)
        self.table = Parameter(table) if rows else None
        self.characters = characters
        self.feature_dropout = FeatureDropout(rows=rows, p=dropout)
        self.dropout = Dropout(dropout)
        in_width = len(rows) * table_width + vectors_width
        in_width += characters.width if characters else 0
        self.mix = PaddedLinear(in_width, width * maxout_pieces)
        self.norm = nn.LayerNorm(width)
        self.word_dropout = WordDropout(width=width, p=word_dropout)
        self.width = width

    def forward(
        self,
        indices: Tensor,
        characters: Optional[Tuple[Tensor, Tensor, Tensor, int]] = None,
        vectors: Optional[Tensor] = None,
        type_of_token: Optional[Tensor] = None,
    ) -> Tensor:
        """
        indices (Tensor): For each word type and feature, some rows of the table of all features.
            *Shape:* (types, features, hashes)
        characters (Optional[Tuple[Tensor, Tensor, Tensor, int]]): The characters of the types, as
            `WordCharacters` reads them.
        vectors (Optional[Tensor]): The vectors that come with the types. *Shape:* (types,
            vectors_width)
        type_of_token (Optional[Tensor]): The type of each token; None if each is one by itself.
            *Shape:* (tokens,)
        RETURNS (Tensor): *Shape:* (tokens, width)
        """
        parts = []
        if self.table is not None:
            rows = self.table.index_select(0, self.feature_dropout(indices).flatten())
            features = rows.view(*indices.shape, -1).sum(dim=2)  # (types, features, table_width)
            parts.append(features.flatten(1))
        if self.characters is not None and characters is not None:
            parts.append(self.dropout(self.characters(*characters)))
        if vectors is not None:
            parts.append(self.dropout(vectors))
        x = torch.cat(parts, dim=1)
        pieces = self.mix(x).view(len(indices), -1, self.width)
        types = self.norm(pieces.amax(dim=1).to(x.dtype))
        if type_of_token is not None:
            types = types.index_select(0, type_of_token)
        return self.word_dropout(types)
