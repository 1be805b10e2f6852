"""Characters to vectors."""

from typing import List, Sequence, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from ..checks import check_positive, check_positives
from .autocast import without_autocast


class CharacterEmbedding(nn.Module):
    """Embed characters by hashes of their code points, so that no alphabet has to be known
    (Svenstrup et al. 2017, "Hash embeddings for efficient word representations", section 3).

    char_rows (int): The number of rows of the table.
    width (int): The width of a character's vector.
    """

    def __init__(self, *, char_rows: int, width: int):
        super().__init__()
        check_positive("char_rows", char_rows)
        check_positive("width", width)
        self.table = Parameter(torch.empty(char_rows, width).uniform_(-0.5, 0.5))

    def forward(self, indices: Tensor, character_of_position: Tensor) -> Tensor:
        """
        indices (Tensor): For each distinct character, some rows of the table. *Shape:*
            (characters, hashes)
        character_of_position (Tensor): Which of them stands at each position of the text.
            *Shape:* (positions,)
        RETURNS (Tensor): *Shape:* (positions, width)
        """
        characters = F.embedding_bag(indices, self.table, mode="sum")
        return characters.index_select(0, character_of_position)


class WordCharacters(nn.Module):
    """Turn the characters of each word into one vector: narrow convolutions, which learn
    n-grams, and for each of their maps the maximum over the word (dos Santos and Zadrozny 2014,
    section 2.1.2; several kernel sizes: Kim et al. 2016, section 2.2).

    char_rows (int): The number of rows of the table of characters.
    char_width (int): The width of a character's vector.
    maps (int): The number of feature maps of each convolution.
    kernel_sizes (Sequence[int]): The number of characters that each convolution looks at.
    """

    def __init__(self, *, char_rows: int, char_width: int, maps: int, kernel_sizes: Sequence[int]):
        super().__init__()
        check_positive("char_width", char_width)
        check_positive("char_maps", maps)
        check_positives("char_kernel_sizes", kernel_sizes)
        self.embedding = CharacterEmbedding(char_rows=char_rows, width=char_width)
        self.convolutions = nn.ModuleList(
            nn.Linear(size * char_width, maps) for size in kernel_sizes
        )
        self.kernel_sizes = tuple(kernel_sizes)
        self.maps = maps
        self.width = maps * len(kernel_sizes)

    def forward(
        self, indices: Tensor, character_of_position: Tensor, lengths: Tensor, marks: int
    ) -> Tensor:
        """
        indices (Tensor): For each distinct character, some rows of the table. *Shape:*
            (characters, hashes)
        character_of_position (Tensor): Which of them stands at each position of the words, one
            word after the other. *Shape:* (positions,)
        lengths (Tensor): The number of positions of each word. *Shape:* (words,)
        marks (int): How many of them, at the end of each word, are marks of its end: one less than
            the largest kernel size, or one more than the longest word has positions before them.
            Kernels that are larger still see nothing but more of these marks.
        RETURNS (Tensor): *Shape:* (words, width)
        """
        x = self.embedding(indices, character_of_position)
        # How many positions there are from each one to the end of its word.
        ends = torch.repeat_interleave(lengths.cumsum(0), lengths)
        remaining = ends - torch.arange(len(x), device=x.device)
        pooled = []
        largest = max(self.kernel_sizes)
        for size, convolution in zip(
            self.kernel_sizes, cast(List[nn.Linear], self.convolutions), strict=True
        ):
            # All kernels but the largest have a window with nothing but marks.
            taps = min(size, marks + (size == largest))
            last = len(x) - taps + 1
            # These products are too narrow for bfloat16 to save more than the conversion costs.
            with without_autocast(x.device):
                weight = convolution.weight.view(self.maps, size, -1)
                bias = convolution.bias + F.linear(x[-1], weight[:, taps:].sum(dim=1))
                windows = torch.cat([x[i : last + i] for i in range(taps)], dim=1)
                windows = F.linear(windows, weight[:, :taps].flatten(1), bias)
            # Not the windows that begin in one word and end in another.
            inside = (remaining[:last] >= taps).nonzero().squeeze(1)
            counts = lengths - taps + 1
            # Of equal windows, as in "banana", one gets the gradient. (torch.segment_reduce would
            # give all of it to each of them.)
            starts = counts.cumsum(0) - counts
            pooled.append(F.embedding_bag(inside, windows, starts, mode="max"))
        return F.relu(torch.cat(pooled, dim=1))
