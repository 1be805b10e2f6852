"""What predictions remember of earlier ones."""

import os
from threading import RLock
from typing import Optional, Tuple

import numpy
import torch
from torch import Tensor

# One for all tables. A process forks only while no other thread holds it: no child waits for a
# thread that it doesn't have, or finds a table half written.
LOCK = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )


class TypeCache:
    """A table of embedded word types, of bounded size, which threads can share.

    Each type has one place, given by its key; where two types have the same place, the newer one
    takes it. Only hashes and vectors are stored, no strings, so nothing in here depends on the
    memory zone of a vocab. Copies and pickles are empty.

    Each time that everything is forgotten begins a new version.

    size (int): The number of places.
    width (int): The width of a vector.
    """

    def __init__(self, size: int, width: int):
        self.size = size
        self.width = width
        self.version = 0
        self.clear()

    def __reduce__(self) -> Tuple:
        return TypeCache, (self.size, self.width)

    def clear(self) -> None:
        """Forget everything."""
        with LOCK:
            self.version += 1
            self.keys: Optional[numpy.ndarray] = None
            self.values: Optional[Tensor] = None

    def get(self, keys: numpy.ndarray, device: torch.device) -> Tuple[Tensor, numpy.ndarray]:
        """Look types up.

        keys (numpy.ndarray): 64-bit hashes, none of them 0. *Shape:* (types,)
        device (torch.device): Where the vectors are.
        RETURNS (Tuple[Tensor, numpy.ndarray]): A new tensor with the vectors of the known types,
            of shape (types, width), and the indices of the types that are unknown, whose rows hold
            nothing of use.
        """
        places = keys % numpy.uint64(self.size)
        with LOCK:
            if self.keys is None or self.values is None:
                nothing = torch.empty(len(keys), self.width, dtype=torch.float32, device=device)
                return nothing, numpy.arange(len(keys))
            unknown = (self.keys[places] != keys).nonzero()[0]
            index = torch.from_numpy(places.astype("int64")).to(device)
            return self.values.index_select(0, index), unknown

    def put(self, keys: numpy.ndarray, values: Tensor, version: int) -> None:
        """Remember types, unless everything has been forgotten since.

        keys (numpy.ndarray): 64-bit hashes, none of them 0. *Shape:* (types,)
        values (Tensor): Their vectors. *Shape:* (types, width)
        version (int): The version of the cache before the vectors were computed.
        """
        places, first = numpy.unique(keys % numpy.uint64(self.size), return_index=True)
        index = torch.from_numpy(places.astype("int64")).to(values.device)
        chosen = values.index_select(0, torch.from_numpy(first).to(values.device))
        with LOCK:
            if version != self.version:
                return
            if self.keys is None or self.values is None:
                self.keys = numpy.zeros(self.size, dtype="uint64")
                self.values = values.new_empty(self.size, self.width)
            self.keys[places] = keys[first]
            self.values.index_copy_(0, index, chosen)
