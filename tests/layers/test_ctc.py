from itertools import groupby, product

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spacy_textconv.layers import BLANK, CopySoftmax, beam_search, collapse, ctc_loss, needed_slots

SYMBOLS = 3
targets = st.lists(st.integers(1, SYMBOLS - 1), max_size=4)
# The number of slots of each string, and its target.
pairs = st.lists(st.tuples(st.integers(0, 5), targets), min_size=1, max_size=4)


def read(alignment):
    """Merge repeated symbols and drop blanks, in the slow and obvious way."""
    return [symbol for symbol, _ in groupby(alignment) if symbol != BLANK]


def probability(log_probs, target):
    """Sum up all alignments of a target."""
    slots, symbols = log_probs.shape
    alignments = [a for a in product(range(symbols), repeat=slots) if read(a) == target]
    return sum((log_probs[range(slots), a].sum().exp() for a in alignments), torch.zeros(()))


def random_log_probs(slots, symbols=SYMBOLS):
    torch.manual_seed(0)
    return torch.randn(slots, symbols, dtype=torch.double).log_softmax(dim=1)


def loss(log_probs, pairs):
    lengths, targets = zip(*pairs, strict=True)
    return ctc_loss(
        log_probs,
        torch.tensor(lengths),
        torch.tensor([symbol for target in targets for symbol in target], dtype=torch.long),
        torch.tensor([len(target) for target in targets]),
    )


@given(pairs)
def test_the_loss_is_the_logarithm_of_a_sum_over_alignments(pairs):
    lengths = [slots for slots, _ in pairs]
    log_probs = random_log_probs(sum(lengths))
    losses, possible = loss(log_probs, pairs)
    for i, (rows, (_, target)) in enumerate(zip(log_probs.split(lengths), pairs, strict=True)):
        expected = probability(rows, target)
        assert possible[i] == (expected > 0)
        assert_close(losses[i], -expected.log() if possible[i] else torch.zeros_like(losses[i]))


def test_repeated_symbols_are_those_of_one_target():
    targets = torch.tensor([1, 1, 2, 2, 2, 2, 1])
    assert needed_slots(targets, torch.tensor([1, 0, 3, 3])).tolist() == [1, 0, 4, 4]
    assert needed_slots(targets[:0], torch.tensor([0])).tolist() == [0]


def test_gradient_of_the_loss():
    pairs = [(4, [1, 1]), (0, []), (3, []), (2, [1, 1]), (3, [2, 1]), (0, [1])]
    scores = torch.randn(12, SYMBOLS, dtype=torch.double, requires_grad=True)
    losses, possible = loss(scores.log_softmax(dim=1), pairs)
    assert possible.tolist() == [True, True, True, False, True, False]
    gradient = torch.autograd.grad(losses.sum(), scores)[0]
    assert gradient[:7].abs().sum(dim=1).gt(0).all() and gradient[7:9].eq(0).all()
    assert torch.autograd.gradcheck(lambda x: loss(x.log_softmax(dim=1), pairs)[0], scores)


def test_a_batch_without_possible_targets_has_a_gradient_of_zero():
    scores = torch.randn(1, SYMBOLS, requires_grad=True)
    losses, possible = loss(scores.log_softmax(dim=1), [(1, [1, 2]), (0, []), (0, [1])])
    assert losses.tolist() == [0, 0, 0] and possible.tolist() == [False, True, False]
    losses.sum().backward()
    assert scores.grad.eq(0).all()


@given(pairs)
def test_a_loss_does_not_depend_on_other_strings(pairs):
    lengths = [slots for slots, _ in pairs]
    log_probs = random_log_probs(sum(lengths)).float()
    losses, possible = loss(log_probs, pairs)
    for i, (rows, pair) in enumerate(zip(log_probs.split(lengths), pairs, strict=True)):
        alone, possible_alone = loss(rows, [pair])
        assert_close(losses[i], alone[0], atol=1e-6, rtol=1e-6)
        assert possible[i] == possible_alone[0]


def test_the_loss_is_computed_in_float32():
    log_probs = random_log_probs(5).bfloat16()
    losses, _ = loss(log_probs, [(5, [1, 2])])
    assert losses.dtype == torch.float32
    assert torch.equal(losses, loss(log_probs.float(), [(5, [1, 2])])[0])


@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=5))
def test_collapse_merges_repeated_symbols_and_drops_blanks(alignments):
    best = numpy.array(sum(alignments, []), dtype="int64")
    lengths = numpy.array([len(alignment) for alignment in alignments], dtype="int64")
    symbols, slots, counts = collapse(best, lengths)
    assert counts.tolist() == [len(read(alignment)) for alignment in alignments]
    assert symbols.tolist() == sum(map(read, alignments), [])
    firsts = [
        slot
        for alignment in alignments
        for slot, symbol in enumerate(alignment)
        if symbol != BLANK and (slot == 0 or alignment[slot - 1] != symbol)
    ]
    assert slots.tolist() == firsts


def all_readings(log_probs):
    """The probability of each reading, and where its symbols begin in its best alignment."""
    probabilities, best = {}, {}
    slots, symbols = log_probs.shape
    for alignment in product(range(symbols), repeat=slots):
        log_prob = log_probs[range(slots), alignment].sum()
        reading = tuple(read(alignment))
        probabilities[reading] = probabilities.get(reading, 0.0) + numpy.exp(log_prob)
        firsts = collapse(numpy.array(alignment, dtype="int64"), numpy.array([slots]))[1]
        best[reading] = max(best.get(reading, (-numpy.inf,)), (log_prob, tuple(firsts.tolist())))
    return {reading: (best[reading][1], probabilities[reading]) for reading in best}


@pytest.mark.parametrize("slots, symbols", [(0, 3), (1, 3), (4, 3), (5, 2), (3, 5)])
def test_a_wide_beam_finds_all_readings(slots, symbols):
    log_probs = random_log_probs(slots, symbols).numpy()
    expected = all_readings(log_probs)
    found = beam_search(log_probs, beam=1000)
    assert {reading for reading, _, _ in found} == set(expected)
    for reading, firsts, log_prob in found:
        assert firsts == expected[reading][0]
        assert numpy.exp(log_prob) == pytest.approx(expected[reading][1])
    probabilities = [numpy.exp(log_prob) for _, _, log_prob in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0)


def test_a_reading_with_many_alignments_wins_over_the_best_alignment():
    log_probs = numpy.log([[0.6, 0.4], [0.55, 0.45]])
    assert collapse(log_probs.argmax(axis=1), numpy.array([2]))[0].tolist() == []
    assert beam_search(log_probs, beam=2)[0] == ((1,), (1,), pytest.approx(numpy.log(0.67)))


@pytest.mark.parametrize("beam", [1, 2, 3])
def test_a_narrow_beam_finds_few_readings_and_no_higher_probability(beam):
    log_probs = random_log_probs(5).numpy()
    expected = all_readings(log_probs)
    found = beam_search(log_probs, beam)
    assert len(found) == beam
    for reading, _, log_prob in found:
        assert 0 < numpy.exp(log_prob) <= expected[reading][1] * (1 + 1e-9)


def test_a_beam_of_one_reads_what_is_certain():
    torch.manual_seed(0)
    best = torch.tensor([0, 2, 2, 0, 2, 1, 1, 0])
    log_probs = (torch.randn(8, 3) + 20 * torch.eye(3)[best]).log_softmax(dim=1)
    ((reading, firsts, log_prob),) = beam_search(log_probs.numpy(), beam=1)
    symbols, slots, _ = collapse(best.numpy(), numpy.array([8]))
    assert (reading, firsts) == (tuple(symbols), tuple(slots))
    assert log_prob == pytest.approx(0.0, abs=1e-4)


def test_a_beam_search_leaves_rare_symbols_out():
    log_probs = numpy.log([[0.89999, 0.1, 0.00001]])
    assert [reading for reading, _, _ in beam_search(log_probs, beam=9)] == [(), (1,)]


def test_a_beam_search_keeps_to_beginnings():
    log_probs = random_log_probs(4).numpy()
    expected = all_readings(log_probs)
    beginnings = {(1,), (1, 2), (2,), (2, 1), (2, 1, 2)}
    found = beam_search(log_probs, beam=99, beginnings=beginnings)
    assert {reading for reading, _, _ in found} == {(), *beginnings}
    for reading, firsts, log_prob in found:
        assert firsts == expected[reading][0]
        assert numpy.exp(log_prob) == pytest.approx(expected[reading][1])


def test_a_beam_of_a_long_string_has_a_probability():
    log_probs = random_log_probs(2500).numpy()
    log_prob = beam_search(log_probs, beam=2)[0][2]
    # That of a probability which is 0 in floating point.
    assert -numpy.inf < log_prob < -800


def test_a_beam_search_refuses_a_beam_of_zero():
    with pytest.raises(ValueError, match="`beam` is 0"):
        beam_search(random_log_probs(1).numpy(), beam=0)


def copy_softmax(stride=2, scale=1.0, copies=1):
    torch.manual_seed(0)
    layer = CopySoftmax(width=4, symbols=5, stride=stride, copies=copies).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return layer


SOURCE = torch.tensor([[3], [3], [BLANK], [BLANK], [1], [1]])


def naive_copy_softmax(layer, x, source):
    """Compute probabilities, slot by slot."""
    rows = []
    for slot, (vector, symbols) in enumerate(zip(x, source, strict=True)):
        scores = layer.scores.weight @ vector + layer.bias[slot % len(layer.bias)]
        chances = list(scores.softmax(dim=0).unbind())
        written, copied = chances[:5], chances[5:]
        for symbol, chance in zip(symbols, copied, strict=True):
            written[symbol] = written[symbol] + chance
        rows.append(torch.stack(written))
    return torch.stack(rows)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_symbol_is_written_or_copied(stride):
    layer = copy_softmax(stride)
    x = torch.randn(6, 4, dtype=torch.double)
    log_probs = layer(x, SOURCE)
    assert_close(log_probs.exp(), naive_copy_softmax(layer, x, SOURCE))
    assert_close(log_probs.exp().sum(dim=1), torch.ones(6, dtype=torch.double))


def test_a_symbol_is_copied_in_several_ways():
    layer = copy_softmax(copies=2)
    x = torch.randn(6, 4, dtype=torch.double)
    # As two symbols, and as one in both ways.
    source = torch.tensor([[3, 4], [3, 3], [BLANK, BLANK], [1, 2], [2, 1], [1, BLANK]])
    log_probs = layer(x, source)
    assert_close(log_probs.exp(), naive_copy_softmax(layer, x, source))


@pytest.mark.parametrize("copies", [1, 2])
def test_gradient_of_a_copy_softmax(copies):
    layer = copy_softmax(copies=copies)
    names, values = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(6, 4, dtype=torch.double)

    def apply(x, *values):
        parameters = dict(zip(names, values, strict=True))
        source = SOURCE.expand(-1, copies)
        return torch.func.functional_call(layer, parameters, (x, source))

    inputs = [t.detach().clone().requires_grad_() for t in (x, *values)]
    assert torch.autograd.gradcheck(apply, inputs)


def test_extreme_scores_have_finite_logarithms_and_gradients():
    layer = copy_softmax(scale=1e4).float()
    x = torch.randn(6, 4, requires_grad=True)
    log_probs = layer(x, SOURCE)
    assert log_probs.isfinite().all() and log_probs.min() < -1000
    log_probs.sum().backward()
    assert all(t.grad.isfinite().all() for t in (x, *layer.parameters()))


def test_a_string_is_read_as_itself_at_first():
    torch.manual_seed(0)
    layer = CopySoftmax(width=64, symbols=5000, stride=3)
    string = [7, 4999, 4999, BLANK, 7]
    source = torch.tensor(string).repeat_interleave(3).unsqueeze(1)
    log_probs = layer(torch.randn(15, 64), source)
    symbols, slots, _ = collapse(log_probs.argmax(dim=1).numpy(), numpy.array([15]))
    assert symbols.tolist() == [7, 4999, 4999, 7] and slots.tolist() == [0, 3, 6, 12]
    assert log_probs.amax(dim=1).exp().min() > 0.6 and log_probs.amax() < numpy.log(0.9)


def test_a_copy_softmax_computes_in_float32_under_autocast():
    layer = copy_softmax().float()
    x = torch.randn(6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        log_probs = layer(x, SOURCE)
        assert torch.equal(layer(x.bfloat16(), SOURCE), layer(x.bfloat16().float(), SOURCE))
    assert torch.equal(log_probs, layer(x, SOURCE))


def test_no_slots_have_no_probabilities():
    layer = copy_softmax()
    x, source = torch.zeros(0, 4, dtype=torch.double), torch.zeros(0, 1, dtype=torch.long)
    assert layer(x, source).shape == (0, 5)


@pytest.mark.parametrize("setting", ["width", "symbols", "stride", "copies"])
def test_a_copy_softmax_refuses_bad_settings(setting):
    with pytest.raises(ValueError, match=f"`{setting}` is 0"):
        CopySoftmax(**{"width": 4, "symbols": 5, "stride": 2, setting: 0})
