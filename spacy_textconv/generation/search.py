"""Which sequences of symbols are probable, of those that are written symbol by symbol."""

from math import inf
from typing import Callable, Iterable, Iterator, List, NamedTuple, Protocol, Tuple, TypeVar, Union

import torch
from torch import Tensor

from ..checks import check_not_negative, check_positive
from ..errors import Errors

LengthsT = TypeVar("LengthsT", float, Tensor)


class Writer(Protocol):
    """Sequences that are written symbol by symbol, all at once. In the beginning, each document has
    one, with nothing in it."""

    def step(self, symbols: Tensor) -> Tensor:
        """Read the last symbol of each sequence.

        symbols (Tensor): *Shape:* (sequences,)
        RETURNS (Tensor): The logarithms of the probabilities of the next symbol. *Shape:*
            (sequences, symbols)
        """

    def select(self, rows: Tensor) -> None:
        """Go on with these sequences, in this order; one may be taken several times, or not at all.
        The sequences of one document stay together, and all documents that are left have equally
        many.

        rows (Tensor): *Shape:* (sequences that go on,)
        """


class Step(NamedTuple):
    """The symbols that are written at once, one for each document that hasn't ended.

    documents (Tensor): The documents. *Shape:* (documents left,)
    symbols (Tensor): Their symbols, the end among them. *Shape:* (documents left,)
    log_probs (Tensor): The logarithms of the probabilities of these. *Shape:* (documents left,)
    """

    documents: Tensor
    symbols: Tensor
    log_probs: Tensor


class Hypothesis(NamedTuple):
    """What may be written.

    symbols (List[int]): The symbols, without start and end.
    log_prob (float): The logarithm of their probability, with that of the end. A sequence that has
        its greatest length needs no end.
    score (float): What hypotheses are ranked by: `log_prob`, divided by the length penalty.
    """

    symbols: List[int]
    log_prob: float
    score: float


def stream(
    writer: Writer,
    choose: Callable[[Tensor], Tensor],
    *,
    start: Union[int, Tensor],
    end: int,
    max_lengths: Tensor,
) -> Iterator[Step]:
    """Write one sequence for each document, and hand out symbols as they come.

    writer (Writer): Writes them. It goes on with the documents that haven't ended.
    choose (Callable[[Tensor], Tensor]): Chooses the next symbols by the logarithms of their
        probabilities: `most_probable`, or a `Sampler`. *Shape:* (documents left, symbols) ->
        (documents left,)
    start (Union[int, Tensor]): The symbol that is read first, or one for each document, such as the
        last one of a beginning that is given.
    end (int): The symbol after which a document has ended.
    max_lengths (Tensor): How many symbols each document has at most. *Shape:* (documents,)
    YIELDS (Step): The next symbols.
    RAISES (ValueError): If a length is less than 1.
    """
    symbols = _first(start, max_lengths)
    documents = torch.arange(len(max_lengths), device=max_lengths.device)
    length = 0
    while len(documents):
        length += 1
        log_probs = writer.step(symbols)
        symbols = choose(log_probs)
        yield Step(documents, symbols, log_probs.gather(1, symbols[:, None])[:, 0])
        left = (symbols != end) & (length < max_lengths[documents])
        documents, symbols = documents[left], symbols[left]
        if len(documents):
            _select(writer, left.nonzero()[:, 0], len(left))


def collect(steps: Iterable[Step], end: int) -> List[Hypothesis]:
    """Put together what was written.

    steps (Iterable[Step]): All steps of `stream`.
    end (int): The end.
    RETURNS (List[Hypothesis]): One for each document. Its score is the logarithm of its
        probability.
    """
    steps = list(steps)
    if not steps:
        return []
    documents, symbols, log_probs = map(torch.cat, zip(*steps, strict=True))
    lengths = torch.bincount(documents)
    totals = log_probs.new_zeros(len(lengths)).index_add(0, documents, log_probs).tolist()
    texts = symbols[documents.argsort(stable=True)].split(lengths.tolist())
    return [
        Hypothesis(text[text != end].tolist(), total, total)
        for text, total in zip(texts, totals, strict=True)
    ]


def most_probable(log_probs: Tensor) -> Tensor:
    """Choose the most probable symbols, of equal ones the first. *Shape:* (documents, symbols) ->
    (documents,)"""
    return log_probs.argmax(dim=1)


def greedy(
    writer: Writer, *, start: Union[int, Tensor], end: int, max_lengths: Tensor
) -> List[Hypothesis]:
    """Write the most probable next symbol again and again. Arguments and errors are those of
    `stream`.

    RETURNS (List[Hypothesis]): One for each document.
    """
    steps = stream(writer, most_probable, start=start, end=end, max_lengths=max_lengths)
    return collect(steps, end)


def check_beam(beam: int, n_best: int, length_penalty: float) -> None:
    """Raise a ValueError if a setting of `beam_search` is out of its range."""
    check_positive("beam", beam)
    check_positive("n_best", n_best)
    check_not_negative("length_penalty", length_penalty)
    if n_best > beam:
        raise ValueError(Errors.E151.format(n_best=n_best, beam=beam))


def penalize_length(lengths: LengthsT, length_penalty: float) -> LengthsT:
    """Compute what the logarithms of the probabilities of sequences are divided by:
    `((5 + length) / 6) ** length_penalty` (Wu et al. 2016, "Google's neural machine translation
    system", section 7, equation 14)."""
    return ((5 + lengths) / 6) ** length_penalty


def beam_search(
    writer: Writer,
    *,
    start: Union[int, Tensor],
    end: int,
    max_lengths: Tensor,
    beam: int,
    n_best: int = 1,
    length_penalty: float = 0.0,
) -> List[List[Hypothesis]]:
    """Search for the most probable sequences, from left to right: of all sequences that are longer
    by a symbol, the `beam` most probable ones are kept, and one that ends leaves its place in the
    beam for good (Sutskever et al. 2014, "Sequence to sequence learning with neural networks",
    section 3.2). A document ends when nothing that is left in its beam can get a better score than
    its `n_best` hypotheses, even if all that follows were certain.

    Scores are divided by the length penalty, where the end counts as a symbol.

    writer (Writer): Writes the sequences. It goes on with the documents that haven't ended.
    start (Union[int, Tensor]): The symbol that is read first, or one for each document.
    end (int): The symbol after which a sequence has ended.
    max_lengths (Tensor): How many symbols each document has at most. With so many, a sequence is
        taken as it is. *Shape:* (documents,)
    beam (int): How many sequences are kept of each document. With 1, it is `greedy`.
    n_best (int): How many hypotheses are wanted for each document.
    length_penalty (float): How much longer sequences are preferred: 0 for not at all.
    RETURNS (List[List[Hypothesis]]): For each document up to `n_best` hypotheses, the best one
        first.
    RAISES (ValueError): If a setting is out of its range, or a length is less than 1.
    """
    check_beam(beam, n_best, length_penalty)
    # Rows are documents that are left, and columns are their sequences.
    symbols = _first(start, max_lengths)[:, None]
    documents = torch.arange(len(max_lengths), device=max_lengths.device)
    written = symbols[:, :, None][:, :, :0]
    totals = torch.zeros(symbols.shape, dtype=torch.float32, device=max_lengths.device)
    places = torch.full_like(documents, beam)
    best = totals.new_full((len(documents), n_best), -inf)
    longest = int(max_lengths.max()) + 1 if len(documents) else 0
    lengths = torch.arange(longest, device=max_lengths.device)
    penalties = penalize_length(lengths, length_penalty).to(totals)
    found: List[List[Hypothesis]] = [[] for _ in range(len(documents))]
    length = 0
    while len(documents):
        length += 1
        log_probs = writer.step(symbols.flatten())
        longer = totals[:, :, None] + log_probs.view(*totals.shape, -1)
        width = totals.shape[1]
        totals, indices = largest(longer.flatten(1), beam)
        parents, symbols = indices // longer.shape[2], indices % longer.shape[2]
        written = torch.cat([_take(written, parents), symbols[:, :, None]], dim=2)

        ranks = torch.arange(totals.shape[1], device=totals.device)
        kept = (ranks < places[:, None]) & (totals > -inf)
        ended = kept & ((symbols == end) | (max_lengths[documents] == length)[:, None])
        scores = totals / penalties[length]
        owners = documents[ended.nonzero()[:, 0]]
        columns = (owners, written[ended], totals[ended], scores[ended])
        for owner, text, log_prob, score in zip(*(x.tolist() for x in columns), strict=True):
            text = text[:-1] if text[-1] == end else text
            found[owner].append(Hypothesis(text, log_prob, score))

        best = torch.cat([best, scores.masked_fill(~ended, -inf)], dim=1).topk(n_best)[0]
        places = places - ended.sum(dim=1)
        totals = totals.masked_fill(ended | ~kept, -inf)
        reachable = totals.amax(dim=1) / penalties[max_lengths[documents]]
        left = reachable > best[:, -1]
        documents, places, best = documents[left], places[left], best[left]
        if len(documents):
            # The sequences that go on come first, and no document has more of them than `most`.
            most = int((totals[left] > -inf).sum(dim=1).max())
            totals, order = totals[left].sort(dim=1, descending=True, stable=True)
            totals, order = totals[:, :most], order[:, :most]
            symbols, written = symbols[left].gather(1, order), _take(written[left], order)
            rows = left.nonzero() * width + parents[left].gather(1, order)
            _select(writer, rows.flatten(), len(left) * width)
    return [
        sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:n_best]
        for hypotheses in found
    ]


def search(
    writer: Writer,
    *,
    start: Union[int, Tensor],
    end: int,
    max_lengths: Tensor,
    beam: int,
    n_best: int = 1,
    length_penalty: float = 0.0,
) -> List[List[Hypothesis]]:
    """Search with `beam_search`, or in the same way, but faster, with `greedy` if the beam is 1:
    then scores are not divided by the length penalty. Arguments and errors are those of
    `beam_search`.

    RETURNS (List[List[Hypothesis]]): For each document up to `n_best` hypotheses, the best one
        first.
    """
    check_beam(beam, n_best, length_penalty)
    if beam == 1:
        found = greedy(writer, start=start, end=end, max_lengths=max_lengths)
        return [[hypothesis] for hypothesis in found]
    return beam_search(
        writer,
        start=start,
        end=end,
        max_lengths=max_lengths,
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
    )


def largest(x: Tensor, number: int) -> Tuple[Tensor, Tensor]:
    """Find the largest numbers of each row, of equal ones the first.

    x (Tensor): *Shape:* (rows, columns)
    number (int): How many of each row. If there are fewer, it is all of them.
    RETURNS (Tuple[Tensor, Tensor]): The numbers, the largest first, and their columns. *Shapes:*
        (rows, number)
    """
    values, columns = x.topk(min(number + 1, x.shape[1]))
    # `topk` takes any of equal numbers, which would depend on what else is in the batch.
    if bool((values[:, 1:] == values[:, :-1]).any()):
        values, columns = x.sort(dim=1, descending=True, stable=True)
    return values[:, :number], columns[:, :number]


def _first(start: Union[int, Tensor], max_lengths: Tensor) -> Tensor:
    """Give each document the symbol that it starts with. *Shape:* (documents,)"""
    if len(max_lengths) and int(max_lengths.min()) < 1:
        raise ValueError(Errors.E152.format(length=int(max_lengths.min())))
    return torch.as_tensor(start, device=max_lengths.device).expand(len(max_lengths))


def _select(writer: Writer, rows: Tensor, sequences: int) -> None:
    """Let the writer go on with these rows, unless they are all that it has."""
    if not torch.equal(rows, torch.arange(sequences, device=rows.device)):
        writer.select(rows)


def _take(written: Tensor, columns: Tensor) -> Tensor:
    """Take sequences of each document. *Shape:* (documents, sequences, length), (documents,
    sequences taken) -> (documents, sequences taken, length)"""
    return written.gather(1, columns[:, :, None].expand(-1, -1, written.shape[2]))
