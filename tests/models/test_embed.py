import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from spacy.tokens import Doc
from thinc.api import Adam, fix_random_seed, set_dropout_rate

from spacy_textconv.models.embed import distinct_features, hash_rows

WIDTH = 16
CONFIG = {
    "@architectures": "spacy-textconv.LexicalEmbed.v1",
    "width": WIDTH,
    "attrs": ["NORM", "SHAPE", "PREFIX1", "SUFFIX3"],
    "rows": [50, 20, 20, 40],
    "table_width": 8,
}
TEXTS = ["Anna sees a red bird", "", "A bird sees Anna", "x", "שלום עולם 👩‍👧"]


@pytest.fixture
def docs():
    nlp = spacy.blank("en")
    return [nlp.make_doc(text) for text in TEXTS]


def build(seed=0, **settings):
    fix_random_seed(seed)
    return registry.resolve({"model": {**CONFIG, **settings}})["model"]


def test_equal_words_get_equal_vectors(docs):
    first, empty, second, *_ = build().predict(docs)
    assert (first.shape, empty.shape) == ((5, WIDTH), (0, WIDTH))
    assert_array_equal(first[0], second[3])
    assert not numpy.allclose(first[2], second[0])  # "a" and "A" differ in shape


def test_defaults_embed_any_script(docs):
    model = registry.resolve({"model": {"@architectures": CONFIG["@architectures"], "width": 16}})
    vectors = model["model"].predict(docs)[-1]
    assert len({row.tobytes() for row in vectors}) == len(docs[-1])


def test_affixes_are_those_of_the_lower_cased_form():
    nlp = spacy.blank("en")
    docs = [Doc(nlp.vocab, words=["Walking", "wading", "King", "ox"])]
    features, inverse = distinct_features(docs, ["PREFIX2", "SUFFIX3", "SUFFIX9"])
    rows = features[inverse]
    assert rows[0, 0] == rows[1, 0] != rows[2, 0]  # wa-
    assert rows[0, 1] == rows[1, 1] == rows[2, 1] != rows[3, 1]  # -ing
    assert rows[2, 2] == nlp.vocab.strings["king"]  # all of a word that is shorter


def test_a_norm_set_on_a_token_is_seen():
    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, words=["n't", "n't"])
    doc[0].norm_ = "not"
    features, inverse = distinct_features([doc], ["NORM"])
    assert features[inverse][:, 0].tolist() == [nlp.vocab.strings["not"], nlp.vocab.strings["n't"]]


def test_documents_of_two_vocabs():
    first, second = spacy.blank("en"), spacy.blank("en")
    docs = [first.make_doc("a red bird"), second.make_doc("the bluish tree")]
    model = build()
    for doc, Y in zip(docs, model.predict(docs), strict=True):
        assert_allclose(model.predict([doc])[0], Y, atol=1e-6)


def test_rows_stay_in_their_own_part_of_the_table():
    features = numpy.arange(4000, dtype="uint64").reshape(1000, 4)
    rows = hash_rows(features, [10, 1, 500, 20])
    parts = [(0, 10), (10, 11), (11, 511), (511, 531)]
    for column, (start, stop) in enumerate(parts):
        assert set(rows[:, column].flatten().tolist()) == set(range(start, stop))
    # Evenly spread: 1,000 values with 4 rows each over 10 rows.
    counts = numpy.bincount(rows[:, 0].flatten())
    assert counts.min() > 300 and counts.max() < 500


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_batches_without_tokens(texts):
    nlp, model = spacy.blank("en"), build()
    docs = [nlp.make_doc(text) for text in texts]
    assert [Y.shape for Y in model.predict(docs)] == [(0, WIDTH)] * len(texts)
    Ys, backprop = model.begin_update(docs)
    assert [Y.shape for Y in Ys] == [(0, WIDTH)] * len(texts)
    backprop(Ys)
    model.finish_update(Adam(0.001))


def test_alone_equals_batched(docs):
    model = build()
    for doc, Y in zip(docs, model.predict(docs), strict=True):
        assert_allclose(model.predict([doc])[0], Y, atol=1e-6)


def test_learns_a_vector_for_each_word(docs):
    model = build()
    distinct, inverse = distinct_features(docs, CONFIG["attrs"])
    targets = numpy.random.default_rng(0).standard_normal((len(distinct), WIDTH))[inverse]
    targets = numpy.split(targets.astype("f"), numpy.cumsum([len(doc) for doc in docs])[:-1])
    optimizer = Adam(0.02, L2=0.0, use_averages=False)
    for _ in range(300):
        Ys, backprop = model.begin_update(docs)
        backprop([Y - target for Y, target in zip(Ys, targets, strict=True)])
        model.finish_update(optimizer)
    errors = numpy.concatenate(model.predict(docs)) - numpy.concatenate(targets)
    assert (errors**2).mean() < 0.2


def test_every_parameter_gets_a_gradient(docs):
    model = build()
    Ys, backprop = model.begin_update(docs)
    backprop([numpy.random.default_rng(1).standard_normal(Y.shape, dtype="f") for Y in Ys])
    for name, param in model.shims[0].module.named_parameters():
        assert param.grad is not None and param.grad.abs().sum() > 0, name


def test_dropout_follows_training_unless_it_has_its_own(docs):
    for settings, rate in (({}, 0.5), ({"dropout": 0.5}, 0.0)):
        model = build(**settings)
        set_dropout_rate(model, rate)
        first, second = (model.begin_update(docs)[0][0] for _ in range(2))
        assert not numpy.allclose(first, second)
        assert_array_equal(model.predict(docs)[0], model.predict(docs)[0])


def test_bytes_and_copy(docs):
    model = build()
    expected = model.predict(docs)
    for other in (build(seed=1).from_bytes(model.to_bytes()), model.copy()):
        for Y, Z in zip(expected, other.predict(docs), strict=True):
            assert_array_equal(Y, Z)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attrs": []}, "E012"),
        ({"attrs": ["", "SHAPE", "PREFIX1", "SUFFIX3"]}, "E013"),
        ({"rows": [10]}, "E012.*`attrs` has 4 names and `rows` has 1"),
        ({"attrs": ["NORM", "SHAPE", "PREFIX1", "SUFIX3"]}, "E013.*'SUFIX3'"),
        ({"attrs": ["NORM", "SHAPE", "PREFIX1", "SUFFIX12"]}, "E013.*'SUFFIX12'"),
        ({"rows": [10, 10, 0, 10]}, "`rows` is 0"),
        ({"width": 0}, "`width` is 0"),
        ({"table_width": 0}, "`table_width` is 0"),
        ({"dropout": 1.0}, "`dropout` is 1.0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build(**settings)
