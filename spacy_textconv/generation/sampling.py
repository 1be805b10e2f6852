"""Sequences of symbols that are drawn by their probabilities."""

from typing import List, Optional, Tuple, Union

import torch
from torch import Tensor

from ..checks import check_factor, check_positive, check_seed
from .search import Hypothesis, Writer, collect, largest, stream


class Sampler:
    """Draws symbols, on the CPU, so that a seed means the same on all devices.

    temperature (float): What the logarithms of probabilities are divided by. Below 1, the more
        probable symbols become even more probable; near 0, it is the most probable one.
    top_k (Optional[int]): Only this many of the most probable symbols are drawn from (Fan et al.
        2018, "Hierarchical neural story generation", section 5.3).
    top_p (Optional[float]): Only the most probable symbols are drawn from, the fewest that together
        have this probability (nucleus sampling: Holtzman et al. 2020, "The curious case of neural
        text degeneration", section 3.1). It counts after temperature and `top_k`.
    seed (Optional[int]): Equal seeds draw the same. None for another one each time.
    RAISES (ValueError): If a setting is out of its range.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        seed: Optional[int] = None,
    ):
        check_factor("temperature", temperature)
        if top_k is not None:
            check_positive("top_k", top_k)
        if top_p is not None:
            check_factor("top_p", top_p)
        check_seed(seed)
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self._generator = torch.Generator("cpu")
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, log_probs: Tensor) -> Tensor:
        """Draw one symbol for each row.

        log_probs (Tensor): The logarithms of the probabilities. *Shape:* (documents, symbols)
        RETURNS (Tensor): *Shape:* (documents,)
        """
        probabilities, symbols = self.candidates(log_probs)
        sums = probabilities.cumsum(dim=1)
        drawn = sums.new_empty(len(sums), 1).uniform_(generator=self._generator)
        # The first whose sum is greater, which is none that is impossible.
        places = torch.searchsorted(sums, drawn * sums[:, -1:], right=True)
        return symbols.gather(1, places)[:, 0].to(log_probs.device)

    def candidates(self, log_probs: Tensor) -> Tuple[Tensor, Tensor]:
        """List what is drawn from.

        log_probs (Tensor): The logarithms of the probabilities. *Shape:* (documents, symbols)
        RETURNS (Tuple[Tensor, Tensor]): The probabilities of the candidates, which are 0 for those
            that are left out, and which symbols they are. If some are left out, the most probable
            one is the first; of equal ones, that with the lower number. *Shapes:* (documents,
            candidates)
        """
        scores = log_probs.cpu()
        number = scores.shape[1]
        if self.top_k is None and self.top_p is None:
            symbols = torch.arange(number, device=scores.device).expand(scores.shape)
        else:
            scores, symbols = largest(scores, self.top_k or number)
        # Without the greatest one, nothing is too large, however low the temperature.
        scores = scores.double() - scores.amax(dim=1, keepdim=True)
        probabilities = (scores / self.temperature).softmax(dim=1)
        if self.top_p is not None:
            before = probabilities.cumsum(dim=1) - probabilities
            probabilities = probabilities.masked_fill(before >= self.top_p, 0.0)
            probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)
        return probabilities, symbols


def sample(
    writer: Writer,
    sampler: Sampler,
    *,
    start: Union[int, Tensor],
    end: int,
    max_lengths: Tensor,
) -> List[Hypothesis]:
    """Draw one sequence for each document. `stream` with a sampler hands them out symbol by symbol.
    Its arguments and errors are those of `stream`.

    sampler (Sampler): Draws the symbols.
    RETURNS (List[Hypothesis]): One for each document, with the logarithm of the probability that it
        has for the writer, whatever the temperature.
    """
    return collect(stream(writer, sampler, start=start, end=end, max_lengths=max_lengths), end)
