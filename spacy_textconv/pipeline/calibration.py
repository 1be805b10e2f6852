"""Numbers that are fitted to other documents than those of the training: a temperature and biases,
for probabilities that are those to be expected, and an offset, for the highest F1."""

from typing import Callable, Iterable, List, Optional, Sequence, Tuple, cast

import numpy
import torch
from numpy import ndarray
from torch import Tensor

from ..layers import LinearChains
from .biluo import BiluoTags

# No more is fitted than can be told from a small dev set. The temperature stays in this range.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 4.0
# So many times its square is what a label's bias has to gain in log-probability.
BIAS_COST = 20.0
# The search for both ends when the loss of a token changes by less than this.
MIN_CHANGE = 1e-8
# The offsets to choose from, and what each unit of them has to gain in F1.
OFFSETS = numpy.linspace(-1.0, 2.0, 13).tolist()
OFFSET_COST = 0.02


def fit_probabilities(
    groups: Sequence[Tuple[ndarray, ndarray, List[int]]],
    make_chains: Callable[[ndarray, List[int], float, ndarray], LinearChains],
    tags: BiluoTags,
    transitions: ndarray,
) -> Optional[Tuple[float, ndarray]]:
    """Find the temperature and the biases with the lowest loss (Guo et al. 2017, "On calibration of
    modern neural networks", section 4.2).

    groups (Sequence[Tuple[ndarray, ndarray, List[int]]]): The scores and the gold tags of some
        documents, and their lengths. *Shape:* (tokens, tags) and (tokens,)
    make_chains (Callable): Turns scores, lengths, a temperature and the biases of the labels into
        the CRF over all valid sequences.
    tags (BiluoTags): The tags.
    transitions (ndarray): The scores of transitions. *Shape:* (4, tags)
    RETURNS (Optional[Tuple[float, ndarray]]): The temperature, and the biases, of shape (labels,);
        None if the search leads nowhere.
    """
    # The logarithm of the temperature, and the biases.
    numbers = torch.zeros(1 + len(tags.labels), dtype=torch.float64, device="cpu")
    numbers.grad = torch.zeros_like(numbers)

    def settings() -> Tuple[float, ndarray]:
        temperature = numbers[0].exp().clamp(MIN_TEMPERATURE, MAX_TEMPERATURE)
        return float(temperature), numbers[1:].numpy()

    def loss() -> float:
        temperature, biases = settings()
        total = BIAS_COST * float((biases**2).sum())
        slope, d_biases = 0.0, 2 * BIAS_COST * biases
        for emissions, gold, lengths in groups:
            chains = make_chains(emissions, lengths, temperature, biases)
            part, d_scores, d_transitions = chains.log_loss(gold)
            total += part
            slope -= numpy.multiply(d_scores, emissions, dtype="float64").sum()
            slope -= (d_transitions * transitions).sum()
            d_biases += tags.of_labels(d_scores.sum(axis=0, dtype="float64"))
        is_free = MIN_TEMPERATURE < temperature < MAX_TEMPERATURE
        gradient = cast(Tensor, numbers.grad)
        gradient[0] = slope / temperature if is_free else 0.0
        gradient[1:] = torch.from_numpy(d_biases)
        return total

    tokens = sum(len(gold) for _, gold, _ in groups)
    search = torch.optim.LBFGS(
        [numbers],
        max_iter=50,
        tolerance_change=MIN_CHANGE * tokens,
        line_search_fn="strong_wolfe",
    )
    search.step(loss)
    return settings() if numbers.isfinite().all() else None


def best_tags(chains: LinearChains, tags: BiluoTags, offset: float) -> ndarray:
    """Find the best sequence of tags of each document, O being less likely by the offset.
    *Shape:* (tokens,)"""
    return chains.best_paths(-offset * tags.outside)


def choose_offset(groups: Iterable[Tuple[LinearChains, ndarray]], tags: BiluoTags) -> float:
    """Choose the offset with the highest F1: the most probable sequence of tags leaves out every
    entity that is less probable than not, which costs recall where entities are hard to find.

    groups (Iterable[Tuple[LinearChains, ndarray]]): The calibrated CRF over some documents, and
        their gold tags. *Shape:* (tokens,)
    tags (BiluoTags): The tags.
    RETURNS (float): One of `OFFSETS`.
    """
    found, known = [], []
    for chains, gold in groups:
        found.append([best_tags(chains, tags, offset) for offset in OFFSETS])
        known.append(gold)
    gold = numpy.concatenate(known)
    gains = [
        f_score(path, gold, tags) - OFFSET_COST * abs(offset)
        for path, offset in zip(numpy.concatenate(found, axis=1), OFFSETS, strict=True)
    ]
    return OFFSETS[gains.index(max(gains))]


def f_score(found: ndarray, gold: ndarray, tags: BiluoTags) -> float:
    """Compute the F1 of entities. Those with a token of which nothing is known are left out.

    found (ndarray): The tags that were found. *Shape:* (tokens,)
    gold (ndarray): The right ones, and -1 where they are unknown. *Shape:* (tokens,)
    tags (BiluoTags): The tags.
    """
    unknown = numpy.concatenate([[0], (gold < 0).cumsum()])
    entities, wanted = (
        {
            (start, stop, label)
            for start, stop, label in numpy.transpose(tags.entities(sequence)).tolist()
            if unknown[start] == unknown[stop]
        }
        for sequence in (found, numpy.maximum(gold, 0))
    )
    return 2 * len(entities & wanted) / max(len(entities) + len(wanted), 1)
