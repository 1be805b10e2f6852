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

    Each type has two places where it can be, given by its key, so that few types are in each
    other's way (Pagh and Rodler 2004, "Cuckoo hashing"; but nothing is moved here): if both are
    taken, it replaces what is in the second. Only hashes and vectors are stored, no strings, so
    nothing in here depends on the memory zone of a vocab. Copies and pickles are empty.

    All that is in it was computed with one version of the weights. What is looked up for another
    one is unknown, and what was known before is forgotten then.

    size (int): The number of places; with 0, nothing is ever known.
    width (int): The width of a vector.
    """

    def __init__(self, size: int, width: int):
        self.size = size
        self.width = width
        self.version: Optional[int] = None
        self.keys: Optional[numpy.ndarray] = None
        self.values: Optional[Tensor] = None

    def __reduce__(self) -> Tuple:
        return TypeCache, (self.size, self.width)

    def get(
        self, keys: numpy.ndarray, version: int, device: torch.device
    ) -> Tuple[Tensor, numpy.ndarray]:
        """Look types up.

        keys (numpy.ndarray): 64-bit hashes, none of them 0. *Shape:* (types,)
        version (int): The version of the weights.
        device (torch.device): Where the vectors are.
        RETURNS (Tuple[Tensor, numpy.ndarray]): A new tensor with the vectors of the known types,
            of shape (types, width), and the indices of the types that are unknown, whose rows hold
            nothing of use.
        """
        with LOCK:
            if version != self.version:
                self.version, self.keys, self.values = version, None, None
            if self.keys is None or self.values is None:
                nothing = torch.empty(len(keys), self.width, dtype=torch.float32, device=device)
                return nothing, numpy.arange(len(keys))
            first, second = self._places(keys)
            places = numpy.where(self.keys[first] == keys, first, second)
            unknown = (self.keys[places] != keys).nonzero()[0]
            index = torch.from_numpy(places).to(device)
            return self.values.index_select(0, index), unknown

    def put(self, keys: numpy.ndarray, values: Tensor, version: int) -> None:
        """Remember types, unless another version of the weights has been asked for since.

        keys (numpy.ndarray): 64-bit hashes, none of them 0. *Shape:* (types,)
        values (Tensor): Their vectors. *Shape:* (types, width)
        version (int): The version of the weights before the vectors were computed, which was
            asked for.
        """
        with LOCK:
            if version != self.version:
                return
            if self.keys is None or self.values is None:
                self.keys = numpy.zeros(self.size, dtype="uint64")
                self.values = values.new_empty(self.size, self.width)
            first, second = self._places(keys)
            free = (self.keys[first] == 0) | (self.keys[first] == keys)
            places, chosen = numpy.unique(numpy.where(free, first, second), return_index=True)
            self.keys[places] = keys[chosen]
            rows, index = (torch.from_numpy(x).to(values.device) for x in (chosen, places))
            self.values.index_copy_(0, index, values.index_select(0, rows))

    def _places(self, keys: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
        size = numpy.uint64(self.size)
        first, second = keys % size, (keys >> numpy.uint64(32)) % size
        return first.astype("int64"), second.astype("int64")
