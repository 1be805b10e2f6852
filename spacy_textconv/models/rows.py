"""The rows of all documents of a batch: one array for a layer, a list where documents matter."""

from itertools import accumulate
from operator import is_
from typing import List, Optional, Sequence, cast

from thinc.api import Ops
from thinc.types import Floats2d


class Rows(List[Floats2d]):
    """A list of the rows of each document, which remembers the array that it was split from: the
    next layer needs no copy to bring them together again. Other layers see a list like any other.

    flat (Floats2d): The rows of all documents, end to end. *Shape:* (rows, width)
    lengths (Sequence[int]): How many of them each document has.
    """

    def __init__(self, flat: Floats2d, lengths: Sequence[int]):
        stops = accumulate(lengths)
        super().__init__(
            flat[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)
        )
        self._flat = flat
        self._views = tuple(self)

    @property
    def flat(self) -> Optional[Floats2d]:
        """The array, or None if the list has been given other items since."""
        unchanged = len(self) == len(self._views) and all(map(is_, self, self._views))
        return self._flat if unchanged else None


def flatten_rows(ops: Ops, Xs: Sequence[Floats2d], width: int) -> Floats2d:
    """Lay the rows of documents end to end.

    ops (Ops): What to compute with.
    Xs (Sequence[Floats2d]): The rows of each document.
    width (int): The number of columns, for when there are no rows.
    RETURNS (Floats2d): All rows, which may be those of the documents themselves rather than a copy.
        *Shape:* (rows, width)
    """
    flat = Xs.flat if isinstance(Xs, Rows) else None
    if flat is not None:
        return flat
    # Some embedding layers give an empty document no columns.
    filled = [X for X in Xs if len(X)]
    return cast(Floats2d, ops.xp.concatenate(filled)) if filled else ops.alloc2f(0, width)
