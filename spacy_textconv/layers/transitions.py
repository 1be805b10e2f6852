"""The scores of one tag after another, where the tags are those of `BiluoTags`.

Few pairs of tags are possible: those inside of one entity, and those of a tag that can be the last
one before a border (O, L, U) and one that can be the first one after it (O, B, U). Where one entity
follows another, the score is the sum of one for the end and one for the start. So there are no more
than a few scores for each tag, and all that is computed with them takes time and memory that grow
with the number of tags, not with its square.
"""

from functools import cache
from typing import NamedTuple, Tuple

import numpy
import torch
from numpy import ndarray

# The kinds of scores, which are the rows of the parameter. No tag has all of them.
# After O, or after the B of the same entity.
FIRST = 0
# After the L or U of any entity, or after the I of the same one.
SECOND = 1
# The score of L and U before O.
BEFORE_OUTSIDE = 2
# The score of L and U before the B or U of any entity.
BEFORE_ENTITY = 3
KINDS = 4

# Tag 0 is O.
B, I, L, U = (slice(letter, None, 4) for letter in (1, 2, 3, 4))  # noqa: E741

# What is before O and what is before entities, as an index.
_BORDERS = numpy.arange(2)[:, None]


class BiluoTransitions:
    """What can be computed with the scores of transitions:

    | From | To | Score |
    | --- | --- | --- |
    | O | y: O, B or U | `scores[FIRST, y]` |
    | x: L or U | O | `scores[BEFORE_OUTSIDE, x] + scores[SECOND, O]` |
    | x: L or U | y: B or U | `scores[BEFORE_ENTITY, x] + scores[SECOND, y]` |
    | B | y: I or L of the same label | `scores[FIRST, y]` |
    | I | y: I or L of the same label | `scores[SECOND, y]` |

    All other transitions are impossible. In the arrays that the methods take and return, the tags
    are in rows, and each column is computed by itself.

    scores (ndarray): *Shape:* (4, tags)
    """

    def __init__(self, scores: ndarray):
        self._layout = layout = _layout(scores.shape[1])
        # Each tag is reached in two ways, with a score for each, and the ends of entities have
        # scores before O and before entities.
        self._arriving = scores[:BEFORE_OUTSIDE].astype("float64")
        self._leaving = numpy.full_like(self._arriving, -numpy.inf)
        self._leaving[:, layout.ends] = scores[BEFORE_OUTSIDE:, layout.ends]
        self._exit_scores = self._leaving[:, layout.exits, None]
        # The same, read backwards.
        first, second = self._arriving
        departing = self._leaving.copy()
        departing[0] += second[0]
        departing[:, 0] = first[0], 0.0
        departing[:, B] = first[I], first[L]
        departing[:, I] = second[I], second[L]
        entering = numpy.full_like(self._arriving, -numpy.inf)
        entering[:, layout.starts] = self._arriving[:, layout.starts]
        self._forward = _Sums(self._leaving, layout.sources, self._arriving)
        self._backward = _Sums(entering, layout.targets, departing)

    def sums_after(self, values: ndarray) -> ndarray:
        """Scale the values of the tags before so that they add up to 1, multiply them by the
        exponentials of the scores of the transitions, and add up what arrives at each tag.

        values (ndarray): *Shape:* (tags, any number)
        RETURNS (ndarray): *Shape:* (tags, any number)
        """
        return self._forward.totals(values)

    def sums_before(self, values: ndarray) -> ndarray:
        """Scale the values of the tags after so that they add up to 1, multiply them by the
        exponentials of the scores of the transitions, and add up what comes from each tag.

        values (ndarray): *Shape:* (tags, any number)
        RETURNS (ndarray): *Shape:* (tags, any number)
        """
        return self._backward.totals(values)

    def counts(self, before: ndarray, after: ndarray) -> ndarray:
        """Multiply the values of each pair of tags and the exponential of the score of the
        transition, and add up for each score all products that it is part of.

        before (ndarray): The values of the tags before, which are scaled so that they add up to 1.
            *Shape:* (tags, any number)
        after (ndarray): The values of the tags after them. *Shape:* (tags, any number)
        RETURNS (ndarray): *Shape:* (4, tags)
        """
        arriving = numpy.einsum("wtn,tn->wt", self._forward.terms(before), after)
        # What comes after an end: O, and all starts.
        borders = self._backward.share(after)[:2]
        borders[0] = numpy.exp(self._arriving[1, 0]) * after[0]
        borders /= before.sum(axis=0)
        products = torch.mm(torch.from_numpy(borders), torch.from_numpy(before).T).numpy()
        return numpy.concatenate([arriving, numpy.exp(self._leaving) * products])

    def best_after(self, scores: ndarray) -> Tuple[ndarray, ndarray, ndarray]:
        """Add the scores of the transitions to those of the tags before, and find the highest sum
        for each tag.

        scores (ndarray): *Shape:* (tags, any number)
        RETURNS (Tuple[ndarray, ndarray, ndarray]): The sums, and what `best_before` takes.
            *Shapes:* (tags, any number) twice, (2, any number)
        """
        leaving = scores.take(self._layout.exits, axis=0) + self._exit_scores
        ends = leaving.argmax(axis=1)
        highest = leaving[_BORDERS, ends, numpy.arange(scores.shape[1])]
        ways = numpy.concatenate([scores, highest]).take(self._layout.sources, axis=0)
        ways += self._arriving[:, :, None]
        first, second = ways
        return numpy.maximum(first, second), second > first, ends

    def best_before(self, is_second: ndarray, ends: ndarray) -> ndarray:
        """Find the tag before each tag that gave the highest sum in `best_after`; of several, the
        first.

        is_second (ndarray): Whether a tag is best reached in the second of its two ways.
            *Shape:* (tags, any number)
        ends (ndarray): Which end of an entity is the best one before O and before entities.
            *Shape:* (2, any number)
        RETURNS (ndarray): *Shape:* (tags, any number)
        """
        ends = self._layout.exits[ends].astype("int32")
        # The first way is from O, which is 0, or from B, whose I is the tag after it. To compute
        # with this is faster than to select.
        tags = is_second.astype("int32")
        tags[0] *= ends[0]
        for starts in (B, U):
            tags[starts] *= ends[1]
        for insides in (I, L):
            tags[insides] += self._layout.sources[0, insides, None]
        return tags

    def of_pairs(self, before: ndarray, after: ndarray) -> ndarray:
        """Look the scores of transitions up; they are minus infinity for those that are impossible.

        before (ndarray): The tags before. *Shape:* (pairs,)
        after (ndarray): The tags after them. *Shape:* (pairs,)
        RETURNS (ndarray): *Shape:* (pairs,)
        """
        leaving = self._leaving[(after > 0).astype("int64"), before]
        first, second = self._layout.sources[:, after]
        leaving[second < self._leaving.shape[1]] = -numpy.inf
        leaving[before == second] = 0.0
        return numpy.where(
            before == first, self._arriving[0, after], self._arriving[1, after] + leaving
        )

    def count_pairs(self, before: ndarray, after: ndarray) -> ndarray:
        """Count how often each score has a part in transitions, which have to be possible.

        before (ndarray): The tags before. *Shape:* (pairs,)
        after (ndarray): The tags after them. *Shape:* (pairs,)
        RETURNS (ndarray): *Shape:* (4, tags)
        """
        first, second = self._layout.sources[:, after]
        is_first = before == first
        leaves = ~is_first & (second >= self._leaving.shape[1])
        parts = {
            FIRST: after[is_first],
            SECOND: after[~is_first],
            BEFORE_OUTSIDE: before[leaves & (after == 0)],
            BEFORE_ENTITY: before[leaves & (after > 0)],
        }
        number = self._leaving.shape[1]
        return numpy.stack([numpy.bincount(parts[kind], minlength=number) for kind in range(KINDS)])


class _Layout(NamedTuple):
    """What can be reached from where.

    sources (ndarray): The two tags that can come before each tag. The number of tags stands for
        all ends of entities before O, the one above it for those before entities.
        *Shape:* (2, tags)
    targets (ndarray): The two tags that can come after each tag. The number of tags stands for all
        starts of entities after O, the one above it for those after entities. *Shape:* (2, tags)
    starts (ndarray): All B and U. *Shape:* (2 * labels,)
    ends (ndarray): All L and U. *Shape:* (2 * labels,)
    exits (ndarray): The same after O, so that there is one at least. *Shape:* (1 + 2 * labels,)
    """

    sources: ndarray
    targets: ndarray
    starts: ndarray
    ends: ndarray
    exits: ndarray


@cache
def _layout(number: int) -> _Layout:
    tags = numpy.arange(number)
    starts, ends = (numpy.union1d(tags[x], tags[y]) for x, y in ((B, U), (L, U)))
    sources, targets = numpy.zeros((2, 2, number), dtype="int64")
    sources[1, 0] = targets[1, 0] = number
    sources[1, starts] = targets[1, ends] = number + 1
    sources[:, I] = sources[:, L] = tags[B], tags[I]
    targets[:, B] = targets[:, I] = tags[I], tags[L]
    return _Layout(sources, targets, starts, ends, numpy.append(0, ends))


class _Sums:
    """Sums over the tags before each tag, or over those after it: two terms, each with its own
    factor, of which one can be a sum that many tags share.

    shared (ndarray): The logarithms of the factors in the shared sums. *Shape:* (2, tags)
    others (ndarray): The two others of each tag. *Shape:* (2, tags)
    scores (ndarray): The logarithms of their factors. *Shape:* (2, tags)
    """

    def __init__(self, shared: ndarray, others: ndarray, scores: ndarray):
        # One more sum, of all values.
        factors = numpy.exp(numpy.append(shared, numpy.zeros_like(shared[:1]), axis=0))
        self._shared = torch.from_numpy(factors)
        self._others = others
        self._factors = numpy.exp(scores)[:, :, None]

    def share(self, values: ndarray) -> ndarray:
        """Compute the shared sums, and the sum of all values. *Shape:* (3, columns)"""
        # With torch: threads of numpy's own would wait for those of torch, which stay busy for a
        # while after their work.
        return torch.mm(self._shared, torch.from_numpy(values)).numpy()

    def terms(self, values: ndarray) -> ndarray:
        """Compute both terms of each tag, of values that are scaled to add up to 1.
        *Shape:* (2, tags, columns)"""
        sums = self.share(values)
        extended = numpy.concatenate([values, sums])
        extended /= sums[2]
        terms = extended.take(self._others, axis=0)
        terms *= self._factors
        return terms

    def totals(self, values: ndarray) -> ndarray:
        """Add both terms of each tag up. *Shape:* (tags, columns)"""
        first, second = self.terms(values)
        return first + second


def extend_transitions(scores: ndarray, number: int) -> ndarray:
    """Make scores for more tags. New tags start as copies of O, or lower where O is no start or end
    of an entity: no transition from or to a new tag has a higher score than the one from or to O.

    scores (ndarray): *Shape:* (4, tags)
    number (int): The new number of tags.
    RETURNS (ndarray): *Shape:* (4, number)
    """
    old = scores.shape[1]
    extended = numpy.pad(scores, ((0, 0), (0, number - old)))
    # Views
    starts, ends = _layout(number).starts, _layout(number).ends
    new_starts, new_ends = starts[starts >= old], ends[ends >= old]
    first, second, before_outside, before_entity = extended
    first[old:] = second[old:] = first[0]
    ends = ends[ends < old]
    second[new_starts] = second[0] + (before_outside - before_entity)[ends].min(initial=0.0)
    before_outside[new_ends] = first[0] - second[0]
    before_entity[new_ends] = (first - second)[starts].min(initial=0.0)
    return extended
