"""The rows of a batch lie in one array, as long as nobody has changed the list of them."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from thinc.api import NumpyOps

from spacy_textconv.models.rows import Rows, flatten_rows

OPS = NumpyOps()


@given(st.lists(st.integers(0, 3), max_size=5))
def test_rows_are_views_of_one_array(lengths):
    flat = numpy.random.default_rng(0).random((sum(lengths), 2), dtype="f")
    rows = Rows(flat, lengths)
    assert [len(X) for X in rows] == lengths
    assert flatten_rows(OPS, rows, 2) is flat
    copied = flatten_rows(OPS, list(rows), 2)
    assert_array_equal(copied, flat)
    assert copied.shape == flat.shape and copied is not flat


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.__setitem__(0, rows[0] + 1.0),
        lambda rows: rows.append(rows[0]),
        lambda rows: rows.reverse(),
        lambda rows: rows.pop(),
    ],
)
def test_a_list_that_was_changed_is_read_anew(change):
    rows = Rows(numpy.arange(6, dtype="f").reshape(3, 2), [1, 2])
    change(rows)
    assert_array_equal(flatten_rows(OPS, rows, 2), numpy.concatenate(rows))


def test_rows_that_were_changed_in_place_are_those_of_the_array():
    rows = Rows(numpy.zeros((3, 2), dtype="f"), [1, 2])
    rows[1] += 1.0
    assert_array_equal(flatten_rows(OPS, rows, 2), [[0, 0], [1, 1], [1, 1]])


def test_documents_without_rows_may_have_no_columns():
    rows = [numpy.zeros((0, 0), dtype="f"), numpy.ones((1, 2), dtype="f")]
    assert_array_equal(flatten_rows(OPS, rows, 2), [[1, 1]])
    assert flatten_rows(OPS, rows[:1], 2).shape == (0, 2)
