"""Documents in rows, as several tests of layers need them."""

from typing import List, Tuple

import torch
from torch import Tensor

from spacy_textconv.layers import Packing


def pack(documents: List[Tensor], gap: int, stride: int = 1) -> Tuple[Tensor, Packing]:
    """Lay documents end to end, in the slow and obvious way."""
    packing = Packing([len(document) for document in documents], gap, stride=stride)
    x = torch.zeros(packing.rows, documents[0].shape[1], dtype=documents[0].dtype)
    for start, document in zip(packing.starts, documents, strict=True):
        x[start : start + len(document)] = document
    return x, packing
