import numpy
import pytest
import spacy
from numpy.testing import assert_allclose
from thinc.api import Model

from spacy_textconv.models.decode import build_causal_conv_decoder_v1, starting
from spacy_textconv.models.heads.seq2seq import (
    Seq2SeqBatch,
    Targets,
    attend,
    build_seq2seq_v1,
    next_symbols,
    sequence_loss_and_gradient,
    write,
)

WIDTH = 3
ROWS = [4, 0, 2]
SYMBOLS = 6


def build(rows):
    """A model whose encoder gives out these rows, and keeps their gradients."""
    tok2vec = Model("rows", forward_rows, init=lambda model, X, Y: None, dims={"nO": WIDTH})
    tok2vec.attrs["rows"] = rows
    decoder = build_causal_conv_decoder_v1(width=8, dilations=[1, 2], dropout=0.0)
    model = build_seq2seq_v1(tok2vec=tok2vec, decoder=decoder)
    model.attrs["resize_output"](model, SYMBOLS)
    return model


def forward_rows(model, docs, is_train):
    def backprop(d_rows):
        model.attrs["d_rows"] = d_rows
        return docs

    return model.attrs["rows"], backprop


@pytest.fixture
def rows():
    generator = numpy.random.default_rng(0)
    return [generator.normal(size=(n, WIDTH)).astype("float32") for n in ROWS]


def make_batch():
    docs = [spacy.blank("en").make_doc("any text") for _ in ROWS]
    # The second document becomes nothing.
    targets = Targets(numpy.array([2, 3, 4, 5, 2]), numpy.array([3, 2]))
    return Seq2SeqBatch(docs, [0, 2], targets)


def test_targets_are_what_comes_next():
    assert next_symbols(starting(*make_batch().targets)).tolist() == [2, 3, 4, 0, 5, 2, 0]


def test_gradient_of_the_rows(rows):
    model, batch = build(rows), make_batch()
    scores, backprop = model.begin_update(batch)
    _, d_scores, _ = sequence_loss_and_gradient(scores, batch.targets, 0.1)
    backprop(d_scores)
    d_rows = model.layers[0].attrs["d_rows"]
    assert [d.shape for d in d_rows] == [row.shape for row in rows]

    def loss():
        return sequence_loss_and_gradient(model.predict(batch), batch.targets, 0.1)[0]

    for document in (0, 2):
        direction = numpy.sign(d_rows[document])
        rows[document] += 1e-2 * direction
        above = loss()
        rows[document] -= 2e-2 * direction
        below = loss()
        rows[document] += 1e-2 * direction
        assert_allclose((above - below) / 2e-2, abs(d_rows[document]).sum(), rtol=0.05)


def test_label_smoothing_spreads_probability(rows):
    model, batch = build(rows), make_batch()
    scores = model.predict(batch)
    logits = scores.rows
    log_probs = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
    targets = next_symbols(starting(*batch.targets))
    right = -log_probs[numpy.arange(len(targets)), targets].mean()
    loss, gradient, _ = sequence_loss_and_gradient(scores, batch.targets, 0.3)
    assert_allclose(loss, 0.7 * right - 0.3 * log_probs.mean(), rtol=1e-5)
    assert_allclose(gradient.rows.sum(axis=1), 0.0, atol=1e-6)


def test_what_is_written_looks_where_it_did(rows):
    """Attention while writing is that of the same sequence as a whole."""
    model = build(rows)
    docs = make_batch().docs
    found = write(model, docs, max_lengths=[4, 4, 4], beam=1, n_best=1, length_penalty=1.0)
    written = [best.symbols for [best] in found]
    lengths = numpy.array([*map(len, written)])
    targets = Targets(numpy.array(sum(written, []), dtype="int64"), lengths)
    looks = attend(model, docs, targets)
    assert [look.shape for look in looks] == [
        (length + 1, n) for length, n in zip(lengths, ROWS, strict=True)
    ]
    assert_allclose(looks[0].sum(axis=1) < 1.0, True)
    # As many symbols as there may be, or an end before.
    scores = model.predict(Seq2SeqBatch(docs, [0, 1, 2], targets))
    best, start = scores.rows.argmax(axis=1), 0
    for symbols in written:
        assert best[start : start + len(symbols)].tolist() == symbols
        start += len(symbols) + 1


def test_settings_of_the_decoder():
    for settings, message in (
        ({"width": 0}, "`width`"),
        ({"dilations": []}, "`dilations`"),
        ({"kernel_size": 0}, "`kernel_size`"),
        ({"block": "dense"}, "`block`"),
        ({"dropout": 1.5}, "`dropout`"),
    ):
        with pytest.raises(ValueError, match=message):
            build_causal_conv_decoder_v1(**settings)
