import numpy
import pytest

from spacy_textconv.generation.slots import Slots, best_strings, likely_strings
from spacy_textconv.generation.symbols import Symbols

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
    [[first], [second]] = best_strings(log_probs(best), ["xy", ""], SYMBOLS, SLOTS)
    assert first == ("axb", pytest.approx(0.9**6))
    assert second == ("a", pytest.approx(0.9**2))


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


def test_strings_are_normalized():
    symbols = Symbols(["e", "\u0301"])
    [[(text, _)]] = best_strings(log_probs([2, 3]), [""], symbols, SLOTS)
    assert text == "\u00e9"
