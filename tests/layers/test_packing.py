import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spacy_textconv.layers import Packing, slice_documents
from spacy_textconv.layers.packing import MIN_ROWS, PaddedLinear, ranges, round_rows

lengths = st.lists(st.integers(0, 40), min_size=1, max_size=12)


@given(lengths, st.integers(0, 9))
def test_packing_places_documents_and_gaps(lengths, gap):
    packing = Packing(lengths, gap)
    # As long as the longest document is, less the row that sees furthest into it.
    gap = min(gap, max(0, max(lengths) - 1))
    assert packing.gap == gap
    owners = []
    for i, length in enumerate(lengths):
        owners += [(i, True)] * length
        if i < len(lengths) - 1:
            owners += [(i, False)] * gap
    owners += [(len(lengths) - 1, False)] * (round_rows(len(owners)) - len(owners))
    assert packing.rows == len(owners)
    assert packing.document_of_row.tolist() == [document for document, _ in owners]
    assert packing.gap_rows.tolist() == [
        row for row, (_, inside) in enumerate(owners) if not inside
    ]
    for i, (start, length) in enumerate(zip(packing.starts, lengths, strict=True)):
        assert owners[start : start + length] == [(i, True)] * length


def test_a_small_buffer_ends_with_rows_of_gap():
    packing = Packing([2, 0, 3], gap=2)
    assert packing.rows == MIN_ROWS == 16
    assert packing.gap_rows.tolist() == [2, 3, 4, 5, *range(9, 16)]
    assert packing.document_of_row.tolist() == [0] * 4 + [1] * 2 + [2] * 10


def test_a_large_buffer_ends_with_its_last_document():
    packing = Packing([20, 9], gap=3)
    assert packing.rows == 32
    assert packing.gap_rows.tolist() == [20, 21, 22]
    assert packing.document_of_row.tolist() == [0] * 23 + [1] * 9


@given(lengths, st.integers(0, 9), st.integers(1, 5))
def test_a_stretched_packing_has_more_rows_for_each_row(lengths, gap, stride):
    packing = Packing(lengths, gap, stride=stride)
    longer = packing.stretch(stride)
    # All that a network with a gap of `gap * stride` needs.
    assert longer.gap >= Packing(longer.lengths, gap * stride).gap
    assert longer.rows == stride * packing.rows
    assert longer.lengths == [stride * length for length in lengths]
    assert longer.longest == max(longer.lengths)
    assert longer.starts == [stride * start for start in packing.starts]
    assert longer.gap == stride * packing.gap
    owners = packing.document_of_row.repeat_interleave(stride)
    assert longer.document_of_row.tolist() == owners.tolist()
    between = torch.zeros(packing.rows).index_fill(0, packing.gap_rows, 1.0)
    between = between.repeat_interleave(stride)
    assert longer.gap_rows.tolist() == between.nonzero().flatten().tolist()


@given(st.integers(0, 10**6))
def test_rounding_wastes_a_sixteenth_at_most(rows):
    rounded = round_rows(rows)
    assert rows <= rounded <= max(16, rows + 15, rows * 17 / 16)
    assert round_rows(rounded) == rounded


@pytest.mark.parametrize("power", [4, 7, 8, 10, 13])
def test_numbers_of_rows_are_rounded_to_few_sizes(power):
    sizes = {round_rows(rows) for rows in range(2**power + 1, 2 ** (power + 1) + 1)}
    assert len(sizes) == min(16, 2**power // MIN_ROWS)


@pytest.mark.parametrize("rows", [0, 1, 16, 17, 40])
def test_a_padded_linear_map_is_a_linear_map(rows):
    torch.manual_seed(0)
    padded, plain = PaddedLinear(3, 5), nn.Linear(3, 5)
    plain.load_state_dict(padded.state_dict())
    inputs = [torch.arange(rows * 3.0).view(rows, 3).requires_grad_() for _ in range(2)]
    outputs = [layer(x) for layer, x in zip((padded, plain), inputs, strict=True)]
    torch.testing.assert_close(*outputs)
    for y in outputs:
        (y**2).sum().backward()
    torch.testing.assert_close(*(x.grad for x in inputs))
    torch.testing.assert_close(padded.weight.grad, plain.weight.grad)
    torch.testing.assert_close(padded.bias.grad, plain.bias.grad)


def test_clear_gap_only_touches_the_gap():
    packing = Packing([2, 0, 3], gap=2)
    cleared = packing.clear_gap_(torch.ones(packing.rows, 4))
    assert cleared[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 1] + [0] * 7


@given(
    lengths,
    st.integers(1, 30),
    st.integers(0, 9),
    st.integers(0, 9) | st.just(10**9),
    st.integers(0, 9),
    st.integers(1, 5),
)
def test_slices_want_every_row_once_with_full_context(lengths, max_rows, gap, left, right, stride):
    wanted = [[0] * length for length in lengths]
    for group in slice_documents(
        lengths, max_rows=max_rows, gap=gap, reach=(left, right), stride=stride
    ):
        packing = Packing([part.read for part in group], gap)
        used = packing.starts[-1] + packing.lengths[-1]
        assert len(group) == 1 or used <= max_rows
        for part in group:
            length = lengths[part.document]
            assert part.read <= max(max_rows, 2 * (left + right)) + stride - 1
            assert part.start % stride == 0
            if length <= 2 * (left + right):
                assert (part.start, part.stop) == (0, length)
            assert part.context_start == max(0, part.start - left)
            assert part.context_stop == min(length, part.stop + right)
            for row in range(part.start, part.stop):
                wanted[part.document][row] += 1
    assert wanted == [[1] * length for length in lengths]


def test_a_long_document_does_not_set_the_gap_of_many_short_ones():
    lengths = [6] * 500 + [900] + [6] * 500
    groups = slice_documents(lengths, max_rows=1000, gap=800, reach=(800, 800))
    rows = [Packing([part.read for part in group], 800).rows for group in groups]
    assert sum(rows) < 1.1 * (900 + 1000 * (6 + 5))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4))))
def test_ranges_are_counted_one_after_the_other(given_ranges):
    starts, sizes = numpy.array(given_ranges, dtype="int64").reshape(-1, 2).T
    expected = [number for start, size in given_ranges for number in range(start, start + size)]
    assert ranges(starts, sizes).tolist() == expected
