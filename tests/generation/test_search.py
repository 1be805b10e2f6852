import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_textconv.generation.search import (
    beam_search,
    collect,
    greedy,
    most_probable,
    search,
    stream,
)

from .writer import END, START, TableWriter, all_sequences

SEEDS = st.lists(st.integers(0, 1000), min_size=1, max_size=5)
SCALES = st.sampled_from([0.0, 0.5, 2.0])
PENALTIES = st.sampled_from([0.0, 0.6, 1.0, 2.0])


def ends(max_lengths):
    return {"start": START, "end": END, "max_lengths": torch.tensor(max_lengths, dtype=torch.long)}


@given(seeds=SEEDS, scale=SCALES, data=st.data())
def test_greedy_is_that_of_one_document(seeds, scale, data):
    max_lengths = [data.draw(st.integers(1, 6)) for _ in seeds]
    found = greedy(TableWriter(seeds, scale), **ends(max_lengths))
    table = TableWriter([], scale)
    for seed, max_length, hypothesis in zip(seeds, max_lengths, found, strict=True):
        before, total = [START], 0.0
        while len(before) <= max_length and before[1:][-1:] != [END]:
            log_probs = table.log_probs(seed, before).tolist()
            before.append(log_probs.index(max(log_probs)))
            total += max(log_probs)
        assert hypothesis.symbols == [symbol for symbol in before[1:] if symbol != END]
        assert hypothesis.log_prob == hypothesis.score == pytest.approx(total, abs=1e-5)


@given(seeds=SEEDS, scale=SCALES, length_penalty=PENALTIES)
def test_a_beam_of_one_is_greedy(seeds, scale, length_penalty):
    settings = ends([5] * len(seeds))
    expected = greedy(TableWriter(seeds, scale), **settings)
    found = beam_search(
        TableWriter(seeds, scale), **settings, beam=1, length_penalty=length_penalty
    )
    for [hypothesis], other in zip(found, expected, strict=True):
        assert hypothesis.symbols == other.symbols
        assert hypothesis.log_prob == pytest.approx(other.log_prob, abs=1e-5)


@given(
    seed=st.integers(0, 1000),
    max_length=st.integers(1, 4),
    n_best=st.integers(1, 40),
    length_penalty=PENALTIES,
)
def test_a_beam_for_all_is_exhaustive(seed, max_length, n_best, length_penalty):
    [found] = beam_search(
        TableWriter([seed]),
        **ends([max_length]),
        beam=40,
        n_best=n_best,
        length_penalty=length_penalty,
    )
    # The formula of Wu et al. (2016), equation 14.
    scored = [
        (total / ((5 + length) ** length_penalty / (5 + 1) ** length_penalty), total, symbols)
        for symbols, total, length in all_sequences(seed, max_length)
    ]
    expected = sorted(scored, reverse=True)[:n_best]
    assert len(found) == len(expected)
    for hypothesis, (score, total, symbols) in zip(found, expected, strict=True):
        assert hypothesis.symbols == symbols
        assert hypothesis.log_prob == pytest.approx(total, abs=1e-5)
        assert hypothesis.score == pytest.approx(score, abs=1e-5)


def naive_beam_search(seed, max_length, beam, n_best, length_penalty, scale):
    """One document, as the docstring has it, without an early end."""
    table, states, ended = TableWriter([], scale), [((START,), 0.0)], []
    for length in range(1, max_length + 1):
        candidates = [
            ((*before, symbol), total + log_prob)
            for before, total in states
            for symbol, log_prob in enumerate(table.log_probs(seed, before))
            if symbol != START
        ]
        candidates.sort(key=lambda candidate: -candidate[1])
        states = []
        for before, total in candidates[: beam - len(ended)]:
            if before[-1] == END or length == max_length:
                symbols = [symbol for symbol in before[1:] if symbol != END]
                score = total / ((5 + length) / 6) ** length_penalty
                ended.append((symbols, float(total), float(score)))
            else:
                states.append((before, total))
    return sorted(ended, key=lambda item: -item[2])[:n_best]


@given(seeds=SEEDS, scale=SCALES, length_penalty=PENALTIES, beam=st.integers(1, 5), data=st.data())
def test_beams_are_those_of_a_naive_search(seeds, scale, length_penalty, beam, data):
    max_lengths = [data.draw(st.integers(1, 6)) for _ in seeds]
    n_best = data.draw(st.integers(1, beam))
    found = beam_search(
        TableWriter(seeds, scale),
        **ends(max_lengths),
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
    )
    for seed, max_length, hypotheses in zip(seeds, max_lengths, found, strict=True):
        expected = naive_beam_search(seed, max_length, beam, n_best, length_penalty, scale)
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == pytest.approx([score for *_, score in expected], abs=1e-5)
        # Rounding may change the order of those that are equally good in two ways.
        if scale:
            assert [hypothesis.symbols for hypothesis in hypotheses] == [
                symbols for symbols, *_ in expected
            ]


@given(seeds=SEEDS, scale=SCALES, data=st.data())
def test_alone_is_as_in_a_batch(seeds, scale, data):
    max_lengths = [data.draw(st.integers(1, 6)) for _ in seeds]
    settings = {"beam": 3, "n_best": 2, "length_penalty": 0.6}
    together = beam_search(TableWriter(seeds, scale), **ends(max_lengths), **settings)
    for seed, max_length, hypotheses in zip(seeds, max_lengths, together, strict=True):
        [alone] = beam_search(TableWriter([seed], scale), **ends([max_length]), **settings)
        for hypothesis, other in zip(hypotheses, alone, strict=True):
            assert hypothesis.symbols == other.symbols
            assert hypothesis.score == pytest.approx(other.score, abs=1e-5)


def test_equal_sequences_are_found_in_the_order_of_their_symbols():
    # With 3 symbols of 1/3 each: the end, then the two that begin with the first other symbol.
    [found] = beam_search(TableWriter([0], scale=0.0), **ends([2]), beam=3, n_best=3)
    assert [hypothesis.symbols for hypothesis in found] == [[], [2], [2, 2]]


def test_a_document_ends_when_nothing_can_be_better():
    class Certain(TableWriter):
        """Ends at once, most probably; all else would be certain."""

        def log_probs(self, seed, before):
            first = [0.0, 0.5, 0.3, 0.2] if len(before) == 1 else [0.0, 0.0, 1.0, 0.0]
            return torch.tensor(first).log()

    writer = Certain([0])
    [[hypothesis]] = beam_search(writer, **ends([50]), beam=4)
    assert hypothesis.symbols == [] and writer.steps == 1
    # 0.3 in 50 symbols is better than 0.5 in one.
    writer = Certain([0])
    [[hypothesis]] = beam_search(writer, **ends([50]), beam=4, length_penalty=1.0)
    assert hypothesis.symbols == [2] * 50 and writer.steps == 50


def test_documents_that_have_ended_leave_the_batch():
    for beam in (1, 2):
        writer = TableWriter(range(6))
        search(writer, **ends([1, 1, 1, 1, 1, 9]), beam=beam)
        assert {seed for seed, _ in writer.sequences} == {5}
        assert len(writer.sequences) <= 2 and writer.most == 6


def test_each_document_has_its_own_start():
    settings = {"start": torch.tensor([2, 3]), "end": END, "max_lengths": torch.tensor([3, 3])}
    together = greedy(TableWriter([7, 7]), **settings)
    beams = beam_search(TableWriter([7, 7]), **settings, beam=1)
    for start, hypothesis, [best] in zip([2, 3], together, beams, strict=True):
        [alone] = greedy(TableWriter([7]), start=start, end=END, max_lengths=torch.tensor([3]))
        assert hypothesis == alone and best.log_prob == pytest.approx(alone.log_prob)
    assert together[0].log_prob != together[1].log_prob


@given(seeds=SEEDS, scale=SCALES, beam=st.integers(1, 4), length_penalty=PENALTIES)
def test_search_gives_what_a_beam_gives(seeds, scale, beam, length_penalty):
    settings = {**ends([5] * len(seeds)), "beam": beam, "length_penalty": length_penalty}
    found = search(TableWriter(seeds, scale), **settings)
    expected = beam_search(TableWriter(seeds, scale), **settings)
    for [hypothesis], [best] in zip(found, expected, strict=True):
        assert hypothesis.symbols == best.symbols
        assert hypothesis.log_prob == pytest.approx(best.log_prob, abs=1e-5)


def test_symbols_are_handed_out_as_they_come():
    writer = TableWriter([1, 2, 3])
    steps = stream(writer, most_probable, **ends([4, 4, 4]))
    first = next(steps)
    assert writer.steps == 1
    assert first.documents.tolist() == [0, 1, 2] and first.symbols.shape == (3,)
    assert collect([first, *steps], END) == greedy(TableWriter([1, 2, 3]), **ends([4, 4, 4]))


def test_no_documents():
    assert greedy(TableWriter([]), **ends([])) == []
    assert beam_search(TableWriter([]), **ends([]), beam=2) == []


@pytest.mark.parametrize(
    "setting, code",
    [
        ({"beam": 0}, "E001"),
        ({"beam": 2, "n_best": 0}, "E001"),
        ({"beam": 2, "n_best": 3}, "E151"),
        ({"beam": 2, "length_penalty": -0.1}, "E150"),
    ],
)
def test_settings_out_of_range(setting, code):
    for find in (search, beam_search):
        with pytest.raises(ValueError, match=code):
            find(TableWriter([0]), **ends([3]), **{"beam": 1, **setting})


def test_no_room_for_a_symbol():
    with pytest.raises(ValueError, match="E152"):
        greedy(TableWriter([0, 1]), **ends([3, 0]))
    with pytest.raises(ValueError, match="E152"):
        beam_search(TableWriter([0, 1]), **ends([3, 0]), beam=2)
