import numpy
import pytest
import spacy
from spacy.tokens import Doc

from spacy_textconv.models.ngrams import word_ngrams

VOCAB = spacy.blank("en").vocab


@pytest.mark.parametrize("attrs", [["LENGTH"], ["IS_ALPHA"], ["IS_ALPHA", "IS_LOWER"]])
def test_small_numbers_are_not_taken_for_the_ends_of_the_text(attrs):
    rows, counts = word_ngrams([Doc(VOCAB), Doc(VOCAB, words=["a"])], attrs, [1])
    ends, word = (set(part.tolist()) for part in numpy.split(rows, counts.cumsum()[:-1]))
    assert len(word - ends) == len(attrs)
