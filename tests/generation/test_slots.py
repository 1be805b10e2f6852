import numpy
import pytest

from spacy_textconv.generation.slots import Slots, best_strings, likely_strings, read_sequences
from spacy_textconv.generation.symbols import Lexicon, Symbols

SYMBOLS = Symbols(["a", "b"])
BLANK, UNKNOWN, A, B = range(4)
SLOTS = Slots(stride=2, pad_before=1, pad_after=0)


def log_probs(best, probability=0.9):
    """Give each slot's best symbol a probability, and the others what is left."""
    rest = (1 - probability) / (len(SYMBOLS) - 1)
    rows = numpy.full((len(best), len(SYMBOLS)), rest)
    rows[numpy.arange(len(best)), best] = probability
    return numpy.log(rows)


def test_the_best_symbols_are_read():
    # Slots before "xy", and two for each of its letters; then those of an empty string.
    best = [A, A, UNKNOWN, BLANK, B, B] + [BLANK, A]
    [[(first, _)], [second]] = best_strings(log_probs(best), ["xy", ""], SYMBOLS, SLOTS)
    assert first == "axb"
    rest = 0.1 / 3
    # _a, aa and a_
    assert second == ("a", pytest.approx(0.9 * 0.9 + rest * 0.9 + rest * rest))


def test_likely_strings_are_those_of_all_alignments():
    rows = log_probs([A, BLANK], probability=0.7)
    [found] = likely_strings(rows, [""], SYMBOLS, SLOTS, 4)
    probabilities = dict(found)
    # Nothing is copied over the padding, so an unknown letter is none: a_, aa, _a, a? and ?a.
    assert probabilities["a"] == pytest.approx(0.7 * 0.7 + 2 * 0.7 * 0.1 + 2 * 0.1 * 0.1)
    assert found[0][0] == "a" and len(found) == 4
    # __, ?_, _? and ??.
    assert probabilities[""] == pytest.approx(2 * 0.1 * 0.7 + 2 * 0.1 * 0.1)


def test_what_is_written_and_what_is_copied_is_one_string():
    rows = log_probs([BLANK, BLANK, A, BLANK])
    rows[2] = numpy.log([0.1, 0.4, 0.4, 0.1])
    [[best, *_]] = likely_strings(rows, ["a"], SYMBOLS, SLOTS, 2)
    assert best[0] == "a" and best[1] > 0.5


def test_strings_are_searched_for_in_a_lexicon():
    rows = log_probs([A, BLANK, B, BLANK], probability=0.7)
    rows[:, UNKNOWN] = -99.0
    strings = dict(likely_strings(rows, ["x"], SYMBOLS, SLOTS, 99)[0])
    lexicon = Lexicon(["ba", "bab", "abba", "axb"], SYMBOLS)
    [found] = likely_strings(rows, ["x"], SYMBOLS, SLOTS, 99, lexicon)
    # "abba" needs five slots, and no x is written.
    assert dict(found) == {text: pytest.approx(strings[text]) for text in ("ba", "bab")}


def test_strings_are_normalized():
    symbols = Symbols(["e", "\u0301"])
    [[(text, _)]] = best_strings(log_probs([2, 3]), [""], symbols, SLOTS)
    assert text == "\u00e9"


def read(rows, slots, max_lengths, beam=1, n_best=1, length_penalty=0.0):
    return read_sequences(
        rows,
        slots,
        max_lengths=max_lengths,
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
    )


def test_sequences_are_the_best_symbols_of_their_slots():
    # One of them has no slots.
    rows = log_probs([A, A, BLANK, A] + [B, A, B])
    first, none, cut = read(rows, [4, 0, 3], [9, 9, 2])
    assert first == [([A, A], pytest.approx(numpy.log(0.9**4)), first[0].score)]
    assert [one.symbols for one in none] == [[]] and none[0].log_prob == 0.0
    assert [one.symbols for one in cut] == [[B, A]]


def test_what_is_equal_after_it_is_cut_is_one_sequence():
    rows = log_probs([A, B, A], probability=0.5)
    [hypotheses] = read(rows, [3], [1], beam=99, n_best=99, length_penalty=1.0)
    # Each of the three symbols, or none at all.
    assert sorted(one.symbols for one in hypotheses) == [[], [UNKNOWN], [A], [B]]
    assert sum(numpy.exp(one.log_prob) for one in hypotheses) == pytest.approx(1.0)
    scores = [one.score for one in hypotheses]
    assert scores == sorted(scores, reverse=True)


def test_a_beam_adds_up_alignments():
    # Nothing is the best symbol of each slot, but less probable than the ways to one A.
    rows = numpy.log([[0.6, 0.0 + 1e-9, 0.4 - 2e-9, 1e-9], [0.55, 1e-9, 0.45 - 2e-9, 1e-9]])
    assert read(rows, [2], [9])[0][0].symbols == []
    [[best, second]] = read(rows, [2], [9], beam=4, n_best=2)
    assert best.symbols == [A] and best.log_prob == pytest.approx(numpy.log(0.67))
    assert second.symbols == [] and second.score == second.log_prob == pytest.approx(
        numpy.log(0.33)
    )


def test_a_length_penalty_prefers_longer_sequences():
    rows = numpy.log([[0.7, 1e-9, 0.3, 1e-9]])
    [[plain]] = read(rows, [1], [9], beam=4)
    [[one, _]] = read(rows, [1], [9], beam=4, n_best=2, length_penalty=9.0)
    assert plain.symbols == [] and one.symbols == [A]
    assert one.score == pytest.approx(numpy.log(0.3)) and one.log_prob == one.score
