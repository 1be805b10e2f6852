import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from thinc.api import Adam

from spacy_textconv.models import ngrams as ngrams_module
from spacy_textconv.models.heads.ngrams import (
    build_ngram_linear_v1,
    find_ngrams,
    fit_ratios,
    fit_vocabulary,
    resize_output,
)

from ...util import scrambled

VOCAB = spacy.blank("en").vocab
# So many that no two n-grams share one.
ROWS = 10**8
UNITS = [("word", [1, 2]), ("character", [2, 3])]
AFFIXES = {"PREFIX2": lambda word: word[:2], "SUFFIX2": lambda word: word[-2:]}
words = st.lists(st.text("abאב", min_size=1, max_size=4), max_size=6)


def doc(*words):
    return Doc(VOCAB, words=words)


def layer(unit="word", sizes=(1, 2), rows=2**20, nO=2, **settings):
    model = build_ngram_linear_v1(unit=unit, sizes=list(sizes), rows=rows, nO=nO, **settings)
    return model.initialize()


def found(model, *docs):
    rows, counts = find_ngrams(model, list(docs))
    return [set(part.tolist()) for part in numpy.split(rows, counts.cumsum()[:-1])]


def ngrams(unit, sizes, words):
    """A naive reference: the n-grams themselves."""
    texts = [["<", *words, ">"]] if unit == "word" else [["<", *word, ">"] for word in words]
    return {
        tuple(text[i : i + size])
        for text in texts
        for size in sizes
        for i in range(len(text) - size + 1)
    }


@pytest.mark.parametrize("unit, sizes", UNITS)
@given(words, words)
def test_documents_share_the_rows_of_the_ngrams_that_they_share(unit, sizes, first, second):
    model = build_ngram_linear_v1(unit=unit, sizes=sizes, rows=ROWS)
    a, b = found(model, doc(*first), doc(*second))
    one, other = (ngrams(unit, sizes, words) for words in (first, second))
    assert (len(a), len(b), len(a & b)) == (len(one), len(other), len(one & other))


@given(words, words)
def test_each_attribute_has_ngrams_of_its_own(first, second):
    model = build_ngram_linear_v1(unit="word", sizes=[1, 2], attrs=["NORM", *AFFIXES], rows=ROWS)
    a, b = found(model, doc(*first), doc(*second))
    one, other = (
        {
            # The marks of start and end are those of all attributes.
            ngram if set(ngram) <= {"<", ">"} else (attr, *ngram)
            for attr, cut in {"NORM": str, **AFFIXES}.items()
            for ngram in ngrams("word", [1, 2], map(cut, words))
        }
        for words in (first, second)
    )
    assert (len(a), len(b), len(a & b)) == (len(one), len(other), len(one & other))


def test_affixes_join_the_forms_of_a_word():
    stems, endings = (layer(sizes=[2], attrs=[attr]) for attr in ("PREFIX4", "SUFFIX4"))
    for model, first, second in (
        (stems, ("They", "Worked"), ("they", "workers")),
        (endings, ("ספר", "וילדים"), ("ספר", "הילדים")),
    ):
        one, other = found(model, doc(*first), doc(*second))
        assert one == other and len(one) == 3


@pytest.mark.parametrize("unit, sizes", UNITS)
def test_a_document_alone_has_the_rows_that_it_has_in_a_batch(unit, sizes):
    model = layer(unit, sizes)
    docs = [doc("a", "bird"), doc(), doc("bird"), doc("a", "a", "a")]
    assert found(model, *docs) == [found(model, one)[0] for one in docs]
    assert model.predict([]).shape == (0, 2)
    Y, backprop = model.begin_update([doc(), doc()])
    assert Y.shape == (2, 2) and backprop(Y) == []


def test_slices_find_the_same_ngrams(monkeypatch):
    model = layer("character", [1, 2, 3])
    docs = [doc(), doc("a", "bird", "or", "two"), doc("two", "birds"), doc("bird", "bird")]
    whole = found(model, *docs)
    monkeypatch.setattr(ngrams_module, "WORDS_PER_SLICE", 2)
    assert found(model, *docs) == whole


def test_words_are_compared_by_their_norm_and_marked_at_the_ends():
    model = layer(sizes=[2])
    upper, lower, turned = found(model, doc("A", "B"), doc("a", "b"), doc("b", "a"))
    assert upper == lower and not upper & turned
    assert len(upper) == 3


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("unit, sizes", UNITS)
def test_scores_and_gradients(unit, sizes, normalize, fitted):
    model = layer(unit, sizes, scale=0.5, normalize=normalize)
    docs = [doc("a", "good", "bird"), doc(), doc("good", "good")]
    if fitted:
        fit_vocabulary([model], [[doc("a", "good", "boy")]])
    scrambled(model)
    rng = numpy.random.default_rng(1)
    W, ratios, b = (model.get_param(name) for name in ("W", "ratios", "b"))
    expected = []
    for picked in found(model, *docs):
        factor = 0.5 / max(len(picked), 1) ** 0.5 if normalize else 0.5
        expected.append(factor * (W * ratios)[sorted(picked)].sum(axis=0) + b)
    Y, backprop = model.begin_update(docs)
    assert_allclose(Y, expected, rtol=1e-4, atol=1e-5)
    dY = rng.normal(size=Y.shape).astype("float32")
    assert backprop(dY) == []
    for name in ("W", "b"):
        entry = (sorted(found(model, docs[0])[0])[0], 1)[-model.get_param(name).ndim :]
        changed = []
        for step in (0.5, -0.5):
            model.get_param(name)[entry] += step
            changed.append((model.predict(docs) * dY).sum())
            model.get_param(name)[entry] -= step
        assert model.get_grad(name)[entry] == pytest.approx(changed[0] - changed[1], abs=1e-3)
    assert not model.has_grad("ratios")
    model.finish_update(Adam(0.1))
    assert_array_equal(model.get_param("ratios"), ratios)


@pytest.mark.parametrize("unit, sizes", UNITS)
@given(words, words, words)
def test_ngrams_of_the_training_have_rows_of_their_own_and_others_none(
    unit, sizes, first, second, third
):
    model = layer(unit, sizes)
    fit_vocabulary([model], [[doc(*first)], [doc(*second)]])
    known = ngrams(unit, sizes, first) | ngrams(unit, sizes, second)
    assert model.get_param("W").shape == model.get_param("ratios").shape == (len(known), 2)
    a, b, c = found(model, doc(*first), doc(*second), doc(*third))
    assert a | b == set(range(len(known)))
    assert len(c) == len(known & ngrams(unit, sizes, third))


def test_ngrams_of_the_most_documents_get_a_row():
    model = layer(sizes=[1], rows=4)
    # More often, but in one document.
    docs = [doc("a", "rare", "rare", "rare"), doc("bird", "a"), doc("a", "bird")]
    fit_vocabulary([model], [docs[:2], docs[2:]])
    assert len(model.get_param("W")) == 4
    marks, both, rare = found(model, doc(), doc("a", "bird"), doc("rare"))
    assert len(marks) == 2 and len(both) == 4 and rare == marks


@given(st.permutations(range(12)), st.integers(1, 5))
def test_the_order_of_the_documents_does_not_matter(order, size):
    docs = [doc("a", chr(97 + i % 9), chr(110 + i)) for i in range(12)]
    expected, model = layer(rows=20), layer(rows=20)
    fit_vocabulary([expected], [docs])
    shuffled = [docs[i] for i in order]
    fit_vocabulary([model], [shuffled[i : i + size] for i in range(0, 12, size)])
    assert len(model.get_param("W")) == 20
    assert_array_equal(model.attrs["vocabulary"], expected.attrs["vocabulary"])


def test_each_layer_gets_ngrams_of_its_own():
    layers = [layer(sizes=[1]), layer("character", [1])]
    docs = [doc("bad", "bad"), doc("ab")]
    fit_vocabulary(layers, [docs])
    fit_ratios(layers, [(docs, numpy.eye(2))], exclusive=True)
    # Two words and two marks; three letters and two marks.
    assert [len(model.get_param("ratios")) for model in layers] == [4, 5]
    for model in layers:
        (bad,) = found(model, doc("bad"))
        (ab,) = found(model, doc("ab"))
        ratios = model.get_param("ratios")
        assert (ratios[sorted(bad - ab)] * [1, -1] > 0.1).all()


def test_keys_and_rows_are_enough():
    many = doc(*map(str, range(100_000)))
    model = layer(sizes=[1])
    fit_vocabulary([model], [[many]])
    assert len(model.get_param("W")) == 100_002
    # Hashing reaches all rows.
    assert found(layer(sizes=[1], rows=1000), many) == [set(range(1000))]


@pytest.mark.parametrize("normalize", [False, True])
def test_without_a_known_ngram_the_score_is_the_bias(normalize):
    model = layer("character", [2], normalize=normalize)
    for docs in ([doc("bird")], []):
        fit_vocabulary([model], [docs])
        scrambled(model)
        b = model.get_param("b")
        assert_allclose(model.predict([doc("cat"), doc()]), [b, b])


def test_vocabulary_is_saved_and_kept_when_classes_are_added():
    model = layer()
    fit_vocabulary([model], [[doc("a", "good", "bird")]])
    scrambled(model)
    docs = [doc("a", "bird"), doc("good", "cat")]
    loaded = layer().from_bytes(model.to_bytes())
    resized = resize_output(model, 3)
    for other in (loaded, resized):
        assert_array_equal(other.predict(docs)[:, :2], model.predict(docs))
    # A new start forgets it.
    assert len(model.initialize().get_param("W")) == 2**20
    assert found(model, docs[0]) == found(layer(), docs[0])


def test_ratios_are_those_of_naive_bayes():
    model = layer(sizes=[1], nO=2)
    batches = [
        ([doc("good", "bird"), doc("bad")], numpy.array([[1, 0], [0, 1]])),
        ([doc("good", "good")], numpy.array([[1, numpy.nan]])),
    ]
    fit_ratios([model], batches, exclusive=True)
    ratios = model.get_param("ratios")
    # Beside the words there are the marks of start and end, as n-grams of size 1: both are in all
    # three documents. Of class 0: good 2, bird 1, bad 0 and the marks 2 each.
    row = {
        word: (found(model, doc(word))[0] - found(model, doc())[0]).pop()
        for word in ("good", "bird", "bad", "ugly")
    }
    inside = {"good": 3, "bird": 2, "bad": 1, "marks": 2 * 3}
    outside = {"good": 1, "bird": 1, "bad": 2, "marks": 2 * 2}
    for word in ("good", "bird", "bad"):
        shares = [counts[word] / sum(counts.values()) for counts in (inside, outside)]
        assert ratios[row[word], 0] == pytest.approx(numpy.log(shares[0] / shares[1]), rel=1e-5)
    assert ratios[row["ugly"], 0] == 0
    # Nothing is known of the third document's class 1.
    inside, outside = (
        {"bad": 2, "good": 1, "bird": 1, "m": 4},
        {"bad": 1, "good": 2, "bird": 2, "m": 4},
    )
    share = (inside["bad"] / sum(inside.values())) / (outside["bad"] / sum(outside.values()))
    assert ratios[row["bad"], 1] == pytest.approx(numpy.log(share), rel=1e-5)


@pytest.mark.parametrize("exclusive", [True, False])
def test_biases_begin_with_the_frequencies_of_the_classes(exclusive):
    model = layer(sizes=[1], nO=2)
    truths = numpy.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype="float64")
    if not exclusive:
        truths[0, 1] = numpy.nan
    fit_ratios([model], [([doc("a")] * 4, truths)], exclusive=exclusive)
    right, wrong = numpy.array([4, 2]), numpy.array([2, 4 if exclusive else 3])
    expected = numpy.log(right / (6 if exclusive else wrong))
    assert_allclose(model.get_param("b"), expected, rtol=1e-6)


def test_strings_that_another_memory_zone_has_freed():
    nlp = spacy.blank("en")
    with nlp.memory_zone():
        text = nlp.make_doc("a transient zebra")
        with nlp.memory_zone():
            pass
        with pytest.raises(ValueError, match="E060.*memory_zone"):
            layer("character").predict([text])


@pytest.mark.parametrize("unit", ["word", "character"])
def test_ngrams_longer_than_all_texts_are_not_searched_for(unit, monkeypatch):
    short, long, mixed = layer(unit, [1, 2]), layer(unit, [1, 2, 64]), []
    mix_bits = ngrams_module.mix_bits
    monkeypatch.setattr(ngrams_module, "mix_bits", lambda x: (mixed.append(1), mix_bits(x))[1])
    assert found(long, doc("a", "bird")) == found(short, doc("a", "bird"))
    assert len(mixed) < 20


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"unit": "letter"}, "`unit` is 'letter'"),
        ({"sizes": []}, "`sizes` is "),
        ({"sizes": [0]}, "`sizes` is "),
        ({"rows": 0}, "`rows` is 0"),
        ({"scale": 0.0}, "E024.*`scale` is 0.0"),
        ({"attrs": ["STEM"]}, "E013.*'STEM'"),
        ({"attrs": []}, "E025.*`attrs` is .*'word'"),
        ({"unit": "character", "attrs": ["PREFIX4"]}, "E025.*`attrs` is .*'character'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build_ngram_linear_v1(**{"unit": "word", "sizes": [1], **settings})


def test_ratios_are_1_until_they_are_counted():
    layer = build_ngram_linear_v1(unit="word", sizes=[1], rows=10, nO=2)
    layer.initialize()
    assert (layer.get_param("ratios") == 1.0).all()
