import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, fix_random_seed, set_dropout_rate

from spacy_textconv.models import encode
from spacy_textconv.models.features import hash_rows

WIDTH = 16
ROWS = 60
ENCODERS = {
    "dilated": {"@architectures": "spacy-textconv.DilatedConvEncoder.v1", "dilations": [1, 2]},
    "dense": {
        "@architectures": "spacy-textconv.DenseConvEncoder.v1",
        "dilations": [1, 2],
        "growth_rate": 8,
    },
}
TEXTS = [
    "Anna sees a red bird .",
    "",
    "  two  spaces\n\tand a tab ",
    "x",
    "שלום עולם 👩‍👧 e\u0301é 한국어 👍🏽!",
]


def config(encoder="dilated", **settings):
    return {
        "@architectures": "spacy-textconv.CharTok2Vec.v1",
        "encode": {**ENCODERS[encoder], "width": WIDTH},
        "char_rows": ROWS,
        **settings,
    }


def build(*args, seed=0, **settings):
    fix_random_seed(seed)
    return registry.resolve({"model": config(*args, **settings)})["model"]


@pytest.fixture(params=["max", "mean"])
def pooling(request):
    return request.param


@pytest.fixture(params=ENCODERS)
def model(request, pooling):
    return build(request.param, pooling=pooling)


@pytest.fixture
def docs():
    nlp = spacy.blank("xx")
    return [nlp.make_doc(text) for text in TEXTS]


def make_doc(words, spaces=None):
    return Doc(spacy.blank("xx").vocab, words=words, spaces=spaces)


def parameters(model):
    for node in model.walk():
        for shim in node.shims:
            for name, param in shim.module.named_parameters():
                yield f"{node.name} {name}", param


def directions(Ys):
    generator = numpy.random.default_rng(1)
    return [generator.standard_normal(Y.shape, dtype="f") for Y in Ys]


def naive(model, doc):
    embedding, encoder = model.layers
    table = embedding.shims[0].module.table.detach().numpy()
    codes = numpy.array([[ord(character)] for character in doc.text], dtype="uint64")
    X = numpy.array([table[rows].sum(axis=0) for rows in hash_rows(codes, [ROWS])[:, 0]])
    (encoded,) = encoder.predict([X])
    pool = {"max": numpy.max, "mean": numpy.mean}[model.attrs["pooling"]]
    return numpy.array([pool(encoded[t.idx : t.idx + len(t.text)], axis=0) for t in doc])


def test_equals_a_naive_computation(model, docs):
    for doc, Y in zip(docs, model.predict(docs), strict=True):
        assert Y.shape == (len(doc), WIDTH)
        if len(doc):
            assert_allclose(Y, naive(model, doc), atol=1e-5)


def test_parts_of_documents_and_merged_tokens(model, docs):
    part = docs[0][2:5].as_doc()
    # A span is like a document of its own.
    for span, doc in zip(model.predict([docs[0][2:5], docs[4]]), [part, docs[4]], strict=True):
        assert_allclose(span, naive(model, doc), atol=1e-5)
    with docs[0].retokenize() as retokenizer:
        retokenizer.merge(docs[0][3:5])
    assert [token.text for token in docs[0]] == ["Anna", "sees", "a", "red bird", "."]
    for doc, Y in zip([part, docs[0]], model.predict([part, docs[0]]), strict=True):
        assert_allclose(Y, naive(model, doc), atol=1e-5)


def test_training_without_dropout_equals_prediction(model, docs):
    for Y, Z in zip(model.begin_update(docs)[0], model.predict(docs), strict=True):
        assert_allclose(Y, Z, atol=1e-5)


def test_spaces_are_read(model):
    words = ["red", "bird", "house"]
    first, second = make_doc(words, [True, True, False]), make_doc(words, [True, False, False])
    (Y,), (Z,) = model.predict([first]), model.predict([second])
    assert not numpy.allclose(Y[1], Z[1], atol=1e-3)
    assert not numpy.allclose(Y[2], Z[2], atol=1e-3)


@pytest.mark.parametrize("distance", range(1, 7))
def test_letters_are_seen_as_far_as_the_receptive_field(model, distance):
    half = model.layers[1].attrs["receptive_field"] // 2
    assert half == 3
    letters = list("a" * 10 + "x" + "a" * 10)
    (before,) = model.predict([make_doc(letters, [False] * 21)])
    letters[10 - distance] = letters[10 + distance] = "b"
    (after,) = model.predict([make_doc(letters, [False] * 21)])
    assert numpy.allclose(before[10], after[10], atol=1e-6) == (distance > half)


def test_a_neighbour_changes_a_word():
    first, second = make_doc(["red", "bird"]), make_doc(["rad", "bird"])
    third = make_doc(["bird", "red", "bird", "red", "bird"])
    (Y,), (Z,), (X,) = (build().predict([doc]) for doc in (first, second, third))
    assert not numpy.allclose(Y[1], Z[1], atol=1e-3)
    assert not numpy.allclose(X[0], X[2], atol=1e-3)


def test_any_script_gets_vectors_of_its_own(model):
    words = ["שלום", "עולם", "👩‍👧", "👩", "👧", "👩‍👦", "e\u0301", "é", "e", "한국어", "한국"]
    (Y,) = model.predict([make_doc(words)])
    assert numpy.isfinite(Y).all()
    assert len({row.tobytes() for row in Y}) == len(words)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_batches_without_tokens(texts, model):
    docs = [make_doc([]) for _ in texts]
    model.initialize(X=docs)
    assert [Y.shape for Y in model.predict(docs)] == [(0, WIDTH)] * len(texts)
    Ys, backprop = model.begin_update(docs)
    assert [Y.shape for Y in Ys] == [(0, WIDTH)] * len(texts)
    backprop(Ys)
    model.finish_update(Adam(0.001))


def test_alone_equals_batched(model, docs):
    for doc, Y in zip(docs, model.predict(docs), strict=True):
        assert_allclose(model.predict([doc])[0], Y, atol=1e-5)


def test_every_parameter_gets_a_gradient(model, docs):
    Ys, backprop = model.begin_update(docs)
    backprop(directions(Ys))
    for name, param in parameters(model):
        assert param.grad is not None and param.grad.abs().sum() > 0, name


def test_gradient_of_the_parameters(model, docs):
    Ys, backprop = model.begin_update(docs)
    dYs = directions(Ys)
    backprop(dYs)

    def weighted():
        pairs = zip(model.predict(docs), dYs, strict=True)
        return sum(float((Y.astype("float64") * dY).sum()) for Y, dY in pairs)

    torch.manual_seed(0)
    step = 1e-3
    for name, param in parameters(model):
        # Partly along the gradient, where the change is far larger than what rounding makes of it.
        random = torch.randn_like(param)
        direction = param.grad / param.grad.norm() + random / random.norm()
        param.data += step * direction
        ahead = weighted()
        param.data -= 2 * step * direction
        measured = (ahead - weighted()) / (2 * step)
        param.data += step * direction
        computed = float((param.grad * direction).sum())
        assert computed == pytest.approx(measured, rel=0.03), name


def test_no_gradient_for_a_prediction(model, docs):
    Ys, backprop = model(docs, is_train=False)
    with pytest.raises(ValueError, match="E011"):
        backprop(Ys)


def test_learns_a_vector_for_each_token(model, docs):
    targets = directions(model.predict(docs))
    optimizer = Adam(0.02, L2=0.0, use_averages=False)
    for _ in range(150):
        Ys, backprop = model.begin_update(docs)
        backprop([Y - target for Y, target in zip(Ys, targets, strict=True)])
        model.finish_update(optimizer)
    errors = numpy.concatenate(model.predict(docs)) - numpy.concatenate(targets)
    assert (errors**2).mean() < 0.2


def test_dropout_reaches_the_encoder(model, docs):
    set_dropout_rate(model, 0.5)
    first, second = (model.begin_update(docs)[0][0] for _ in range(2))
    assert not numpy.allclose(first, second)
    assert_array_equal(model.predict(docs)[0], model.predict(docs)[0])


def test_equal_seeds_give_equal_weights(docs):
    assert build().to_bytes() == build().to_bytes()
    assert build().to_bytes() != build(seed=1).to_bytes()


def test_bytes_copy_and_pickle(docs, pooling):
    model = build(pooling=pooling)
    expected = model.predict(docs)
    others = [
        build(seed=1, pooling=pooling).from_bytes(model.to_bytes()),
        model.copy(),
        pickle.loads(pickle.dumps(model)),
    ]
    for other in others:
        for Y, Z in zip(other.predict(docs), expected, strict=True):
            assert_array_equal(Y, Z)


def test_a_document_of_100_000_characters(pooling, monkeypatch):
    words = ["Anna", "sees", "a", "red", "bird", "."]
    model, doc = build(pooling=pooling), make_doc(words * 4400)
    assert len(doc.text) > 100_000
    (period,) = model.predict([make_doc(words * 3)])
    monkeypatch.setitem(encode.SLICE_SIZE, "cpu", 2**16)
    (Y,) = model.predict([doc])
    middle = Y.reshape(4400, 6, WIDTH)[1:-1]
    assert_allclose(middle, numpy.broadcast_to(period[6:12], middle.shape), atol=1e-5)
    assert_allclose(Y[:6], period[:6], atol=1e-5)
    assert_allclose(Y[-6:], period[-6:], atol=1e-5)


def test_eight_threads_predict_the_serial_result(model, docs):
    set_dropout_rate(model, 0.5)
    expected = model.predict(docs)
    with ThreadPoolExecutor(8) as threads:
        for Ys in threads.map(model.predict, [docs] * 40):
            for Y, Z in zip(Ys, expected, strict=True):
                assert_allclose(Y, Z, atol=1e-5)


def test_an_encoder_of_spacy(docs):
    encoder = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": WIDTH, "depth": 2}
    model = build(encode={**encoder, "window_size": 1, "maxout_pieces": 2})
    model.initialize(X=docs)
    assert [Y.shape for Y in model.predict(docs)] == [(len(doc), WIDTH) for doc in docs]
    Ys, backprop = model.begin_update(docs)
    backprop(Ys)
    model.finish_update(Adam(0.01))


NER = {
    "@architectures": "spacy.TransitionBasedParser.v2",
    "state_type": "ner",
    "extra_state_tokens": False,
    "hidden_width": 16,
    "maxout_pieces": 2,
    "use_upper": True,
}
TEXTCAT = {"@architectures": "spacy.TextCatReduce.v1", "exclusive_classes": True}
TEXTCAT |= {"use_reduce_first": True, "use_reduce_last": True}
TEXTCAT |= {"use_reduce_max": True, "use_reduce_mean": True}


@pytest.mark.parametrize("pipe, architecture", [("ner", NER), ("textcat", TEXTCAT)])
def test_other_components_learn_with_it(pipe, architecture, pooling):
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(pipe, config={"model": {**architecture, "tok2vec": config(pooling=pooling)}})
    examples = []
    for name, label in (("Anna", "PERSON"), ("Berlin", "PLACE")):
        words = ["We", "saw", name, "today"]
        annotations = {"entities": [(7, 7 + len(name), label)]}
        annotations["cats"] = {"PERSON": label == "PERSON", "PLACE": label == "PLACE"}
        examples.append(Example.from_dict(Doc(nlp.vocab, words=words), annotations))
    nlp.initialize(lambda: examples)
    for _ in range(40):
        nlp.update(examples, sgd=Adam(0.01))
    doc = nlp("We saw Berlin today")
    if pipe == "ner":
        assert [(ent.text, ent.label_) for ent in doc.ents] == [("Berlin", "PLACE")]
    else:
        assert doc.cats["PLACE"] > 0.9 > 0.1 > doc.cats["PERSON"]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"pooling": "sum"}, "pooling.*'max'"),
        ({"char_rows": 0}, "`char_rows` is 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build(**settings)
