"""Texts from texts: the component that writes sequences."""

import pickle
from itertools import groupby, product

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy import registry
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam, Model

from spacy_textconv.generation.symbols import UNKNOWN
from spacy_textconv.models import device
from spacy_textconv.models.heads.seq2seq import Seq2SeqBatch

from ..util import listener, tok2vec

PAIRS = [
    ("red cat", "cat red"),
    ("green dog", "dog green"),
    ("big red dog", "dog red big"),
    ("cat", "cat"),
    ("big cat", "cat big"),
]
SMALL = {
    "tok2vec": tok2vec(),
    "decoder": {
        "@architectures": "spacy-textconv.CausalConvDecoder.v1",
        "width": 16,
        "dilations": [1, 2],
    },
}
MODEL = {"@architectures": "spacy-textconv.Seq2Seq.v1", **SMALL}
CTC = {
    "@architectures": "spacy-textconv.CTCSeq2Seq.v1",
    "tok2vec": tok2vec(),
    "width": 32,
    "dilations": [1, 2, 4, 8],
}
both_models = pytest.mark.parametrize("model", [MODEL, CTC], ids=["causal", "one pass"])


def examples(nlp, pairs=PAIRS):
    made = []
    for source, target in pairs:
        predicted, reference = nlp.make_doc(source), nlp.make_doc(source)
        reference._.reverse = target
        made.append(Example(predicted, reference))
    return made


def pipeline(*, shared=False, pairs=PAIRS, labels=None, model=MODEL, **settings):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    if shared:
        nlp.add_pipe("tok2vec", config={"model": tok2vec()})
        model = {**model, "tok2vec": listener()}
    config = {"model": model, "target": "_.reverse", "label_smoothing": 0.0, **settings}
    pipe = nlp.add_pipe("textconv_seq2seq", name="reverser", config=config)
    made = examples(nlp, pairs)
    if shared:
        nlp.initialize(lambda: made)
    else:
        pipe.initialize(lambda: made, nlp=nlp, labels=labels)
    return nlp


def train(nlp, steps=50):
    optimizer = Adam(0.01)
    for _ in range(steps):
        losses = nlp.update(examples(nlp), losses={}, sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return losses["reverser"]


def texts(nlp):
    return [doc._.reverse for doc in nlp.pipe([source for source, _ in PAIRS])]


@pytest.fixture(scope="module")
def attending():
    nlp = pipeline(beam=3, attention=True)
    train(nlp)
    return nlp


@pytest.fixture(scope="module", params=[MODEL, CTC], ids=["causal", "one pass"])
def trained(request):
    nlp = pipeline(beam=3, model=request.param)
    train(nlp)
    return nlp


@both_models
@pytest.mark.parametrize("symbols", ["letters", "words", "pieces"])
@pytest.mark.parametrize("shared", [False, True], ids=["inline", "listener"])
def test_it_learns_and_survives_disk(shared, symbols, model, tmp_path):
    nlp = pipeline(shared=shared, symbols=symbols, max_symbols=25, model=model)
    train(nlp)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert texts(nlp) == texts(loaded) == [target for _, target in PAIRS]
    assert loaded.get_pipe("reverser").labels == nlp.get_pipe("reverser").labels


def test_bytes_and_pickles(trained):
    model = trained.get_pipe_config("reverser")["model"]
    loaded = pipeline(beam=3, model=model).from_bytes(trained.to_bytes())
    for copy in (loaded, pickle.loads(pickle.dumps(trained))):
        assert texts(copy) == [target for _, target in PAIRS]


def test_a_document_alone_as_in_a_batch(trained):
    assert [trained(source)._.reverse for source, _ in PAIRS] == texts(trained)


def test_empty_and_long_documents(trained):
    pipe = trained.get_pipe("reverser")
    docs = list(trained.pipe(["", "red cat", ""]))
    assert [doc._.reverse for doc in docs] == ["", "cat red", ""]
    pipe.max_length = 8
    try:
        with pytest.warns(UserWarning, match="W036"):
            docs = list(trained.pipe(["red cat", "cat " * 9]))
        assert [doc._.reverse for doc in docs] == ["cat red", None]
    finally:
        pipe.max_length = 400
    trained.update([Example(trained.make_doc(""), trained.make_doc(""))])


@both_models
def test_several_results_with_their_scores(model):
    nlp = pipeline(beam=4, n_best=3, model=model)
    train(nlp)
    doc = nlp("big red dog")
    texts, scores = zip(*doc._.reverse_n_best, strict=True)
    assert texts[0] == doc._.reverse == "dog red big" and len({*texts}) == 3
    assert 0 > scores[0] > scores[1] > scores[2]


@both_models
@pytest.mark.parametrize("beam", [1, 3])
def test_rare_words_are_unknown_and_never_written(model, beam):
    nlp = pipeline(symbols="words", max_symbols=2, beam=beam, model=model)
    train(nlp)
    # The targets are "cat ?", "dog ?" and the like.
    written = nlp.get_pipe("reverser").predict([nlp.make_doc(source) for source, _ in PAIRS])
    assert written and all(UNKNOWN not in best.symbols for [best] in written)


def test_where_the_decoder_looked(attending):
    doc = attending("big red dog")
    attention = doc._.reverse_attention
    assert "".join(attention["symbols"]) == "dog red big"
    # One row more for the end.
    assert attention["weights"].shape == (len("dog red big") + 1, len(doc))
    assert (attention["weights"] >= 0).all() and (attention["weights"].sum(axis=1) <= 1).all()
    assert attending("")._.reverse_attention is None


def test_where_the_decoder_looked_in_mixed_precision(monkeypatch):
    monkeypatch.setattr(device, "CPU_HAS_BFLOAT16_UNITS", True)
    model = {**MODEL, "decoder": {**SMALL["decoder"], "mixed_precision": True}}
    nlp = pipeline(model=model, attention=True)
    train(nlp)
    weights = nlp("big red dog")._.reverse_attention["weights"]
    assert weights.dtype == numpy.dtype("float32")
    assert (weights >= 0).all() and (weights.sum(axis=1) <= 1.01).all() and weights.sum() > 1


def test_user_data_is_stored(attending):
    stored = DocBin(docs=attending.pipe(["red cat"]), store_user_data=True).to_bytes()
    [doc] = DocBin().from_bytes(stored).get_docs(attending.vocab)
    assert doc._.reverse == "cat red" and doc._.reverse_attention["symbols"][0] == "c"


def predict(nlp, made):
    """What the model gives for the targets of examples."""
    pipe = nlp.get_pipe("reverser")
    pairs, targets = pipe._targets(made)
    docs = [eg.predicted for eg in made]
    return pipe.model.predict(Seq2SeqBatch(docs, [pair.document for pair in pairs], targets))


def test_the_loss_is_the_mean_negative_log_likelihood():
    nlp = pipeline()
    pipe = nlp.get_pipe("reverser")
    made = examples(nlp)
    scores = predict(nlp, made)
    loss, gradient = pipe.get_loss(made, scores)
    assert [*scores.lengths] == [*gradient.lengths] == [len(target) + 1 for _, target in PAIRS]
    expected, row = [], 0
    probabilities = numpy.exp(scores.rows) / numpy.exp(scores.rows).sum(axis=1, keepdims=True)
    for _, target in PAIRS:
        numbers = pipe.alphabet.encode([target])[0].tolist()
        for number in (*numbers, 0):
            expected.append(-numpy.log(probabilities[row, number]))
            probabilities[row, number] -= 1
            row += 1
    assert_allclose(loss, numpy.mean(expected), rtol=1e-5)
    assert_allclose(gradient.rows, probabilities / row, atol=1e-6)


def alignments(symbols, slots):
    """All ways to write symbols into slots: each at least once, and nothing (0) between two that
    are equal, and wherever there is room."""
    for alignment in product({0, *symbols}, repeat=slots):
        read = [symbol for symbol, _ in groupby(alignment) if symbol]
        if read == symbols:
            yield alignment


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_the_loss_of_one_pass_is_that_of_all_alignments(label_smoothing):
    model = {**CTC, "stride": 2, "pad_before": 1, "pad_after": 1}
    pairs = [("a", "ab"), ("a a", "aab"), ("a", "abababa")]
    nlp = pipeline(model=model, pairs=pairs, label_smoothing=label_smoothing)
    pipe = nlp.get_pipe("reverser")
    made = examples(nlp, pairs)
    scores = predict(nlp, made)
    assert [*scores.lengths] == [6, 8, 6]
    # The last one needs more slots than there are.
    with pytest.warns(UserWarning, match="W047.* 1 of the 3 targets"):
        loss, gradient = pipe.get_loss(made, scores)
    assert gradient.rows[:14].any() and not gradient.rows[14:].any()
    expected = 0.0
    for (_, target), start, slots in zip(pairs, [0, 6], scores.lengths, strict=False):
        rows = scores.rows[start : start + slots]
        assert_allclose(numpy.exp(rows).sum(axis=1), 1.0, rtol=1e-5)
        ways = alignments(pipe.alphabet.encode([target])[0].tolist(), slots)
        probability = sum(numpy.exp(rows[range(slots), way].sum()) for way in ways)
        expected -= (1 - label_smoothing) * numpy.log(probability)
        expected -= label_smoothing * rows.mean(axis=1).sum()
    assert_allclose(loss, expected / 5, rtol=1e-5)


def test_a_batch_of_targets_without_enough_slots_teaches_nothing():
    nlp = pipeline(model={**CTC, "stride": 1, "pad_before": 0, "pad_after": 0})
    before = nlp.to_bytes()
    with pytest.warns(UserWarning, match="W047.* 5 of the 5 targets"):
        losses = nlp.update(examples(nlp), losses={}, sgd=Adam(0.01))
    assert losses["reverser"] == 0.0 and nlp.to_bytes() == before


@both_models
def test_documents_without_a_target_teach_nothing(model):
    nlp = pipeline(shared=True, model=model)
    made = examples(nlp)
    made[1].reference._.reverse = None
    losses = nlp.update(made, losses={}, sgd=False)
    assert losses["reverser"] > 0
    for eg in made:
        eg.reference._.reverse = None
    assert nlp.update(made, losses={}, sgd=False)["reverser"] == 0


@both_models
def test_the_longest_output_follows_from_the_data(model):
    nlp = pipeline(model=model)
    # Of untrained weights, no end comes: 3 letters for the 1 token of "cat", 11 for the 3 of
    # "big red dog", and an end each.
    pipe = nlp.get_pipe("reverser")
    docs = [nlp.make_doc("cat"), nlp.make_doc("cat cat cat")]
    ratio = max((len(target) + 1) / (len(source.split()) + 1) for source, target in PAIRS)
    limits = [round(ratio * 2), round(ratio * 4)]
    for [hypothesis], limit in zip(pipe.predict(docs), limits, strict=True):
        assert len(hypothesis.symbols) <= limit
    pipe.max_ratio = 0.5
    assert [len(best.symbols) <= 2 for [best] in pipe.predict(docs)] == [True, True]


def test_labels_are_given_or_found():
    nlp = pipeline()
    data = nlp.get_pipe("reverser").label_data
    assert nlp.get_pipe("reverser").labels == tuple(" abcdeginort")
    again = pipeline(labels={"letters": ["x", *data["letters"]]})
    assert again.get_pipe("reverser").labels == ("x", *data["letters"])


@both_models
def test_initialize_twice_is_new(model):
    nlp = pipeline(model=model)
    pipe = nlp.get_pipe("reverser")
    weights = []
    for _ in range(2):
        spacy.util.fix_random_seed(0)
        pipe.initialize(lambda: examples(nlp), nlp=nlp)
        weights.append(pipe.model.to_bytes())
        train(nlp, steps=2)
    assert weights[0] == weights[1] != pipe.model.to_bytes()


@registry.architectures("test_pixels")
def build_pixels():
    return Model("pixels", read_pixels, init=lambda model, X, Y: None, dims={"nO": 3})


def read_pixels(model, docs, is_train):
    return [doc.user_data["pixels"] for doc in docs], lambda d_rows: docs


DECONV = {
    **MODEL,
    "decoder": {
        "@architectures": "spacy-textconv.DeconvDecoder.v1",
        "max_length": 8,
        "seed_rows": 4,
        "width": 16,
    },
}


@pytest.mark.parametrize("model", [MODEL, CTC, DECONV], ids=["causal", "one pass", "one vector"])
def test_the_rows_can_be_those_of_a_picture(model):
    """An encoder of one's own gives as many rows as it has, whatever the tokens, or a single one to
    a decoder that makes a text of one."""
    colours = ["red", "green", "blue"]
    nlp, made = painter(model, colours)
    assert paint(nlp, made) == colours


def test_a_text_that_is_too_long_for_the_decoder_is_left_out():
    with pytest.warns(UserWarning, match="W035.* 1 of the 3.* more than 7 symbols"):
        nlp, made = painter(DECONV, ["red", "dark green", "magenta"])
    assert paint(nlp, made)[::2] == ["red", "magenta"]
    with pytest.raises(ValueError, match="E162.* more than 7 symbols"):
        painter(DECONV, ["dark green"])


def painter(model, colours):
    """A pipeline that is to name the colours of pictures, and its examples."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    config = {
        "model": {**model, "tok2vec": {"@architectures": "test_pixels"}},
        "target": "_.colour",
        "label_smoothing": 0.0,
    }
    nlp.add_pipe("textconv_seq2seq", name="painter", config=config)
    made = []
    for i, colour in enumerate(colours):
        docs = [nlp.make_doc("picture") for _ in range(2)]
        pixels = numpy.zeros((4 + i, 3), dtype="float32")
        pixels[1 + i, i] = 1.0
        if model is DECONV:
            pixels = pixels.sum(axis=0, keepdims=True)
        for doc in docs:
            doc.user_data["pixels"] = pixels
        docs[1]._.colour = colour
        made.append(Example(*docs))
    nlp.initialize(lambda: made)
    return nlp, made


def paint(nlp, made):
    """What a pipeline writes for its examples after it has learned them."""
    optimizer = Adam(0.01)
    for _ in range(60):
        nlp.update(made, sgd=optimizer)
    return [doc._.colour for doc in nlp.pipe(eg.predicted for eg in made)]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"symbols": "syllables"}, "`symbols`.*'syllables'"),
        ({"beam": 0}, "`beam`"),
        ({"n_best": 2, "beam": 1}, "`n_best`"),
        ({"max_ratio": -1.0}, "`max_ratio`"),
        ({"max_length": 0}, "`max_length`"),
        ({"label_smoothing": 2.0}, "`label_smoothing`"),
        ({"model": {"@architectures": "spacy-textconv.CTCTransducer.v1"}}, "E160"),
        ({"model": CTC, "attention": True}, "E190.*`attention`.*'ctc_seq2seq'"),
        ({"model": DECONV, "attention": True}, "E190.*`attention`"),
        ({"model": {**MODEL, "decoder": MODEL}}, "E192.*`decoder`.*'seq2seq'"),
        ({"model": {**CTC, "stride": 0}}, "`stride`"),
        ({"model": {**CTC, "width": 0}}, "`width`"),
        ({"model": {**CTC, "kernel_size": 2}}, "`kernel_size`"),
        ({"model": {**CTC, "pad_after": -1}}, "`pad_after`"),
    ],
)
def test_settings_that_are_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**settings)


def test_bad_training_data():
    with pytest.raises(ValueError, match="E161.*level"):
        pipeline(pairs=[("red cat", None)])
    with pytest.raises(ValueError, match="E163.*'red cat'"):
        pipeline(pairs=[*PAIRS, ("red cat", " ")])
    with pytest.warns(UserWarning, match="W035.* 2 of the 5"):
        pipeline(max_length=8)
    with pytest.raises(ValueError, match="E162.*max_length"):
        pipeline(max_length=1)
    with pytest.raises(ValueError, match="E109"):
        nlp = spacy.blank("en")
        nlp.add_pipe("textconv_seq2seq", config={"model": MODEL, "target": "_.reverse"})
        nlp("red cat")
