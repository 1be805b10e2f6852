import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from spacy.tokens import Doc
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from thinc.api import Adam, fix_random_seed, set_dropout_rate

from spacy_textconv.models import device, embed

WIDTH = 16
CONFIG = {
    "@architectures": "spacy-textconv.CharConvEmbed.v1",
    "width": WIDTH,
    "attrs": ["NORM", "SHAPE", "PREFIX1", "SUFFIX3"],
    "rows": [50, 20, 20, 40],
    "table_width": 8,
    "char_maps": 8,
    "char_rows": 100,
    "char_width": 4,
    "word_dropout": 0.0,
}
VECTORS_WIDTH = 6
NOTHING = {"attrs": [], "rows": [], "char_maps": 0}
OPTIONS = {
    "attributes": {"char_maps": 0},
    "characters": {"attrs": [], "rows": []},
    "both": {},
    "vectors": {**NOTHING, "static_vectors_width": VECTORS_WIDTH},
    "floret": {**NOTHING, "static_vectors_width": VECTORS_WIDTH},
    "everything": {"static_vectors_width": VECTORS_WIDTH},
}
TEXTS = ["Anna sees a red bird", "", "A bird sees Anna", "x", "שלום עולם 👩‍👧"]
CACHE_SIZES = [0, 1, 7, 20000]


def table(mode="default", **settings):
    """Vectors of some words, or of any."""
    data = numpy.random.default_rng(0).standard_normal((4, VECTORS_WIDTH), dtype="f")
    if mode == "floret":
        settings |= {"mode": mode, "minn": 2, "maxn": 3, "hash_count": 2, "bow": "<", "eow": ">"}
    return Vectors(data=data, **settings)


def pipeline(mode="default"):
    nlp = spacy.blank("xx")
    vectors = table(mode, strings=nlp.vocab.strings)
    if mode == "default":
        for row, word in enumerate(["zero", "Anna", "bird", "עולם"]):
            vectors.add(word, row=row)
        vectors.data[0] = 0.0
    nlp.vocab.vectors = vectors
    return nlp


@pytest.fixture(params=OPTIONS)
def option(request):
    return request.param


@pytest.fixture
def settings(option):
    return OPTIONS[option]


@pytest.fixture
def nlp(option):
    return pipeline("floret" if option == "floret" else "default")


@pytest.fixture
def docs(nlp):
    return [nlp.make_doc(text) for text in TEXTS]


def build(seed=0, **settings):
    fix_random_seed(seed)
    return registry.resolve({"model": {**CONFIG, **settings}})["model"]


def as_docs(*batch):
    """Documents of a vocab without vectors, each from a list of words."""
    vocab = spacy.blank("xx").vocab
    return [Doc(vocab, words=words) for words in batch]


def embed_words(model, *words):
    return model.predict(as_docs(words))[0]


def assert_equal(Ys, Zs, atol=1e-6):
    for Y, Z in zip(Ys, Zs, strict=True):
        assert_allclose(Y, Z, atol=atol)


def differ(Ys, Zs):
    return not numpy.allclose(numpy.concatenate(Ys), numpy.concatenate(Zs), atol=1e-3)


def train(model, docs, optimizer, steps=1):
    for _ in range(steps):
        Ys, backprop = model.begin_update(docs)
        backprop([Y - 1.0 for Y in Ys])
        model.finish_update(optimizer)


def count_types(model):
    """Count the types that are embedded from now on: one number for each call of the module."""
    counts = []

    def count(module, inputs, output):
        counts.append(len(inputs[0]))

    model.shims[0].module.register_forward_hook(count)
    return counts


def uncached(model, settings):
    """A model with the same weights that remembers nothing."""
    return build(**settings, cache_size=0).from_bytes(model.to_bytes())


def test_equal_words_get_equal_vectors(settings, docs):
    first, empty, second, *_ = build(**settings).predict(docs)
    assert (first.shape, empty.shape) == ((5, WIDTH), (0, WIDTH))
    assert_array_equal(first[0], second[3])
    assert_array_equal(first[4], second[1])
    assert not numpy.allclose(first[4], first[0])


def test_defaults_embed_any_script():
    model = registry.resolve({"model": {"@architectures": CONFIG["@architectures"], "width": 16}})
    vectors = embed_words(
        model["model"], "שלום", "עולם", "👩‍👧", "👩", "👧", "e\u0301", "é", "e", "한국어"
    )
    assert numpy.isfinite(vectors).all()
    assert len({row.tobytes() for row in vectors}) == len(vectors)


@pytest.mark.parametrize(
    "attr, equal, other",
    [
        ("NORM", ["Anna", "anna"], "annas"),
        ("SHAPE", ["Anna", "Bert"], "bert"),
        ("LENGTH", ["Anna", "👩‍👧x"], "Ann"),
        ("PREFIX2", ["Walking", "wading", "WA"], "King"),
        ("SUFFIX3", ["Walking", "KING", "ing"], "kin"),
        ("SUFFIX9", ["ox", "OX"], "fox"),
        ("PREFIX1", ["e\u0301", "e"], "é"),
        ("PREFIX2", ["👩‍👧", "👩‍👦"], "👩"),
    ],
)
def test_an_attribute_is_all_that_is_read(attr, equal, other):
    model = build(attrs=[attr], rows=[50], char_maps=0)
    first, *same, different = embed_words(model, *equal, other)
    for vector in same:
        assert_allclose(vector, first, atol=1e-6)
    assert not numpy.allclose(different, first, atol=1e-3)


@pytest.mark.parametrize(
    "word, other",
    [("abc", "cba"), ("abc", "Abc"), ("ab", "abb"), ("é", "e\u0301"), ("👩‍👧", "👩‍👦"), ("a", "b")],
)
def test_characters_are_read_in_order_and_case(word, other):
    first, second = embed_words(build(attrs=[], rows=[]), word, other)
    assert not numpy.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("sizes", [[1], [5], [1, 2, 9]])
def test_words_shorter_than_the_kernel(sizes):
    vectors = embed_words(build(attrs=[], rows=[], char_kernel_sizes=sizes), "a", "b", "ab", "abcd")
    assert len({row.tobytes() for row in vectors}) == 4


def test_words_are_not_filled_up_to_a_kernel_larger_than_all_of_them():
    model, positions = build(attrs=[], rows=[], char_kernel_sizes=[2, 64]), []
    model.shims[0].module.characters.register_forward_pre_hook(
        lambda module, inputs: positions.append(len(inputs[1]))
    )
    embed_words(model, "a", "bird", "sings")
    assert positions[0] <= (1 + 4 + 5) + 3 * (1 + 6 + 1)


def test_only_the_beginning_of_a_very_long_word_is_read():
    model, lengths = build(attrs=[], rows=[]), []
    model.shims[0].module.characters.register_forward_pre_hook(
        lambda module, inputs: lengths.append(inputs[2].max().item())
    )
    long = "ab" * 50_000
    vectors = embed_words(model, long, long[: embed.MAX_CHARACTERS], "x" + long, long[:20])
    assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert not numpy.allclose(vectors[0], vectors[2], atol=1e-3)
    assert max(lengths) < 100
    long, other = embed_words(build(), long, long + "s")
    assert not numpy.allclose(long, other, atol=1e-3)  # in the suffix


def test_documents_of_two_vocabs():
    docs = [*as_docs(["a", "red", "bird"]), *as_docs(["the", "bluish", "bird"])]
    assert docs[0].vocab is not docs[1].vocab
    model = build()
    together = model.predict(docs)
    assert_array_equal(together[0][2], together[1][2])
    for doc, Y in zip(docs, together, strict=True):
        assert_allclose(uncached(model, {}).predict([doc])[0], Y, atol=1e-6)


def test_a_norm_set_on_a_token_is_seen():
    (doc,) = as_docs(["n't", "n't", "not"])
    doc[0].norm_ = "not"
    first, second, third = build(attrs=["NORM"], rows=[50], char_maps=0).predict([doc])[0]
    assert_allclose(first, third, atol=1e-6)
    assert not numpy.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_batches_without_tokens(texts, settings, nlp):
    model = build(**settings)
    docs = [nlp.make_doc(text) for text in texts]
    assert [Y.shape for Y in model.predict(docs)] == [(0, WIDTH)] * len(texts)
    Ys, backprop = model.begin_update(docs)
    assert [Y.shape for Y in Ys] == [(0, WIDTH)] * len(texts)
    backprop(Ys)
    model.finish_update(Adam(0.001))


def test_alone_equals_batched(settings, docs):
    model = build(**settings, cache_size=0)
    for doc, Y in zip(docs, model.predict(docs), strict=True):
        assert_allclose(model.predict([doc])[0], Y, atol=1e-6)


def test_training_without_dropout_equals_prediction(settings, docs):
    model = build(**settings)
    assert_equal(model.begin_update(docs)[0], model.predict(docs))


def test_slices_of_types_equal_the_whole(settings, docs, monkeypatch):
    model = build(**settings, cache_size=0)
    whole = model.predict(docs)
    monkeypatch.setattr(embed, "TYPES_PER_SLICE", 3)
    counts = count_types(model)
    assert_equal(model.predict(docs), whole)
    assert len(counts) > 1 and set(counts[:-1]) == {3}


@pytest.mark.parametrize("name", ["attributes", "characters", "both"])
def test_learns_a_vector_for_each_word(name):
    docs = as_docs(*(text.split() for text in TEXTS))
    model = build(**OPTIONS[name])
    generator = numpy.random.default_rng(0)
    words = sorted({token.text for doc in docs for token in doc})
    vector = {word: generator.standard_normal(WIDTH, dtype="f") for word in words}
    targets = [
        numpy.array([vector[token.text] for token in doc], dtype="f").reshape(-1, WIDTH)
        for doc in docs
    ]
    optimizer = Adam(0.02, L2=0.0, use_averages=False)
    for _ in range(200):
        Ys, backprop = model.begin_update(docs)
        backprop([Y - target for Y, target in zip(Ys, targets, strict=True)])
        model.finish_update(optimizer)
    errors = numpy.concatenate(model.predict(docs)) - numpy.concatenate(targets)
    assert (errors**2).mean() < 0.2


def test_every_parameter_gets_a_gradient(settings, docs):
    docs = docs * 5
    model = build(**settings, word_dropout=0.5)
    generator = numpy.random.default_rng(1)
    Ys, backprop = model.begin_update(docs)
    backprop([generator.standard_normal(Y.shape, dtype="f") for Y in Ys])
    for name, param in model.shims[0].module.named_parameters():
        assert param.grad is not None and param.grad.abs().sum() > 0, name


def test_no_gradient_for_a_prediction(settings, docs):
    Ys, backprop = build(**settings)(docs, is_train=False)
    with pytest.raises(ValueError, match="E011"):
        backprop(Ys)


def test_dropout_follows_training_unless_it_has_its_own(settings, docs):
    for own, rate in (({}, 0.5), ({"dropout": 0.5}, 0.0)):
        model = build(**settings, **own)
        set_dropout_rate(model, rate)
        first, second = (model.begin_update(docs)[0] for _ in range(2))
        assert differ(first, second)
        assert_equal(model.predict(docs), model.predict(docs))


def test_a_dropout_of_0_is_one_of_its_own(settings, docs):
    model = build(**settings, dropout=0.0)
    set_dropout_rate(model, 0.5)
    assert_equal(model.begin_update(docs)[0], model.predict(docs))


def test_bytes_copy_and_pickle(settings, docs):
    model = build(**settings)
    expected = model.predict(docs)
    others = [
        build(seed=1, **settings).from_bytes(model.to_bytes()),
        model.copy(),
        pickle.loads(pickle.dumps(model)),
    ]
    for other in others:
        assert_equal(other.predict(docs), expected)


def test_equal_seeds_give_equal_weights(settings):
    assert build(**settings).to_bytes() == build(**settings).to_bytes()
    assert build(**settings).to_bytes() != build(seed=1, **settings).to_bytes()


@pytest.mark.parametrize("mode", ["default", "floret"])
def test_static_vectors_are_those_of_the_vocab(mode):
    nlp = pipeline(mode)
    model = build(**OPTIONS["vectors"])
    words = ["Anna", "sees", "bird", "Anna"]
    (Y,) = model.predict([Doc(nlp.vocab, words=words)])
    vectors = numpy.array([nlp.vocab.get_vector(word) for word in words])
    assert (vectors[1] == 0.0).all() == (mode == "default")
    module = model.shims[0].module
    pieces = vectors @ module.mix.weight.detach().numpy().T + module.mix.bias.detach().numpy()
    mixed = pieces.reshape(4, -1, WIDTH).max(axis=1)
    mixed -= mixed.mean(axis=1, keepdims=True)
    assert_allclose(Y, mixed / numpy.sqrt(mixed.var(axis=1, keepdims=True) + 1e-5), atol=1e-5)


def test_strings_of_floret_vectors_that_another_memory_zone_has_freed():
    nlp = pipeline("floret")
    with nlp.memory_zone():
        doc = nlp.make_doc("a transient zebra")
        with nlp.memory_zone():
            pass
        with pytest.raises(ValueError, match="E060.*memory_zone"):
            build(**OPTIONS["floret"]).predict([doc])


def test_a_word_without_a_vector_has_zeros():
    model, nlp = build(**OPTIONS["vectors"]), pipeline()
    docs = [Doc(nlp.vocab, words=["unknown", "zero", "unheard", "עולם"])]
    for Y in (model.predict(docs)[0], model.begin_update(docs)[0][0]):
        assert_allclose(Y[:3], Y[[1, 2, 0]], atol=1e-6)
        assert not numpy.allclose(Y[3], Y[0], atol=1e-3)


def test_vectors_of_another_attribute():
    nlp = spacy.blank("xx")
    keys = [nlp.vocab.strings.add(word) for word in ("anna", "bird", "a", "b")]
    nlp.vocab.vectors = table(strings=nlp.vocab.strings, keys=keys, attr="LOWER")
    words = ["Anna", "anna", "BIRD", "Bird", "unknown"]
    (Y,) = build(**OPTIONS["vectors"]).predict([Doc(nlp.vocab, words=words)])
    assert_allclose(Y[[0, 2]], Y[[1, 3]], atol=1e-6)
    assert len(numpy.unique(Y.round(3), axis=0)) == 3


@pytest.mark.parametrize("mode", ["default", "floret"])
@pytest.mark.parametrize("cache_size", CACHE_SIZES)
def test_a_vector_that_changes_is_seen(mode, cache_size):
    nlp = pipeline(mode)
    docs = [nlp.make_doc(text) for text in TEXTS]
    model = build(**OPTIONS["everything"], cache_size=cache_size)
    before = model.predict(docs)
    nlp.vocab.vectors.data *= -2.0
    changed = model.predict(docs)
    assert differ(before, changed)
    assert_equal(changed, uncached(model, OPTIONS["everything"]).predict(docs))
    nlp.vocab.vectors.data /= -2.0
    assert_equal(model.predict(docs), before)


@pytest.mark.parametrize("columns", [0, 7])
def test_wrong_vectors_name_the_setting(columns):
    vocab = Vocab()
    vocab.vectors = Vectors(shape=(3, columns), strings=vocab.strings)
    docs = [Doc(vocab, words=["Anna"])]
    model = build(**OPTIONS["everything"])
    message = f"E016.*`static_vectors_width` is 6.*{columns} columns"
    for apply in (model.predict, model.begin_update):
        with pytest.raises(ValueError, match=message):
            apply(docs)


@pytest.mark.parametrize("cache_size", CACHE_SIZES)
def test_predictions_do_not_depend_on_the_cache(cache_size, settings, docs):
    expected = build(**settings, cache_size=0).predict(docs)
    model = build(**settings, cache_size=cache_size)
    for _ in range(2):
        assert_equal(model.predict(docs), expected)
    for doc, Y in zip(docs, expected, strict=True):
        assert_allclose(model.predict([doc])[0], Y, atol=1e-6)
    assert_equal(model.predict(docs[::-1]), expected[::-1])


def test_each_type_is_embedded_once():
    docs = as_docs(["Anna", "sees", "Anna"], [], ["a", "bird", "sees", "a", "bird"])
    model = build()
    counts = count_types(model)
    model.predict(docs)
    assert counts == [4]
    model.predict(docs)
    assert counts == [4]
    model.predict(as_docs(["bird", "tree", "Anna", "tree"]))
    assert counts == [4, 1]
    model.begin_update(docs)
    assert counts == [4, 1, 4]


def test_without_a_cache_each_type_is_embedded_in_every_prediction():
    docs = as_docs(["Anna", "sees", "Anna"])
    model = build(cache_size=0)
    counts = count_types(model)
    for _ in range(2):
        model.predict(docs)
    assert counts == [2, 2]


def test_types_agree_in_what_the_model_reads():
    docs = as_docs(["Anna", "anna", "Bert"])
    for settings, expected in (
        ({"attrs": ["NORM"], "rows": [9], "char_maps": 0}, 2),
        ({"attrs": ["SHAPE"], "rows": [9], "char_maps": 0}, 2),
        ({"attrs": ["NORM", "SHAPE"], "rows": [9, 9], "char_maps": 0}, 3),
    ):
        model = build(**settings)
        counts = count_types(model)
        model.predict(docs)
        assert counts == [expected]


def test_an_update_empties_the_cache(settings, docs):
    model = build(**settings)
    before = model.predict(docs)
    train(model, docs, Adam(0.1))
    assert differ(model.predict(docs), before)
    assert_equal(model.predict(docs), uncached(model, settings).predict(docs))


def test_averages_empty_the_cache(settings, docs):
    model, optimizer = build(**settings), Adam(0.1, use_averages=True)
    train(model, docs, optimizer, steps=3)
    trained = model.predict(docs)
    with model.use_params(optimizer.averages):
        averaged = model.predict(docs)
        assert_equal(averaged, uncached(model, settings).predict(docs))
    assert differ(averaged, trained)
    assert_equal(model.predict(docs), trained)


def test_loaded_weights_empty_the_cache(settings, docs):
    model, other = build(**settings), build(seed=1, **settings)
    model.predict(docs)
    model.from_bytes(other.to_bytes())
    assert_equal(model.predict(docs), other.predict(docs))


def test_a_copy_has_a_cache_of_its_own(settings, docs):
    model = build(**settings)
    before = model.predict(docs)
    copied = model.copy()
    train(copied, docs, Adam(0.1))
    assert differ(copied.predict(docs), before)
    assert_equal(model.predict(docs), before)


def test_a_move_empties_the_cache():
    model, docs = build(), as_docs(["Anna", "sees", "Anna"])
    counts = count_types(model)
    before = model.predict(docs)
    model.to_cpu()
    assert_equal(model.predict(docs), before)
    assert counts == [2, 2]


def test_training_is_unaffected_by_the_cache(docs, settings):
    def trained(cache_size):
        model = build(**settings, cache_size=cache_size, dropout=0.2)
        optimizer = Adam(0.05)
        for _ in range(4):
            model.predict(docs)
            train(model, docs, optimizer)
        return model.to_bytes()

    assert trained(0) == trained(2) == trained(20000)


@pytest.mark.parametrize("cache_size", CACHE_SIZES)
def test_memory_zones(cache_size, settings, nlp):
    model = build(**settings, cache_size=cache_size)
    plain = build(**settings, cache_size=0)
    texts = ["Anna sees a transient zebra", "a zebra , a ghoul and a bird", "passing words"]
    expected = {}
    for text in texts:
        with nlp.memory_zone():
            expected[text] = plain.predict([nlp.make_doc(text)])[0]
    for text in texts * 2:
        with nlp.memory_zone():
            for _ in range(2):
                assert_allclose(model.predict([nlp.make_doc(text)])[0], expected[text], atol=1e-6)
        assert "zebra" not in nlp.vocab.strings
    for text in texts:
        assert_allclose(model.predict([nlp.make_doc(text)])[0], expected[text], atol=1e-6)


@pytest.mark.parametrize("cache_size", CACHE_SIZES)
def test_eight_threads_predict_the_serial_result(cache_size):
    words = [f"{first}{last}" for first in ("Anna", "bird", "s", "👩‍👧") for last in "abcdefgh"]
    generator = numpy.random.default_rng(0)
    docs = as_docs(*(generator.choice(words, 6).tolist() for _ in range(60)))
    expected = build(cache_size=0).predict(docs)
    model = build(cache_size=cache_size)
    set_dropout_rate(model, 0.5)
    for _ in range(3):
        with ThreadPoolExecutor(8) as threads:
            for (Y,), Z in zip(
                threads.map(lambda doc: model.predict([doc]), docs), expected, strict=True
            ):
                assert_allclose(Y, Z, atol=1e-6)


def test_outputs_can_be_changed_without_harm(settings, docs):
    model = build(**settings)
    expected = [Y.copy() for Y in model.predict(docs)]
    for Y in model.predict(docs):
        Y += 100.0
    assert_equal(model.predict(docs), expected)


def test_mixed_precision_is_close_to_float32(settings, docs, monkeypatch):
    monkeypatch.setattr(device, "CPU_HAS_BFLOAT16_UNITS", True)
    model = build(**settings, mixed_precision=True)
    expected = build(**settings)
    assert not all(map(numpy.array_equal, model.predict(docs), expected.predict(docs)))
    for Ys in (model.predict(docs), model.predict(docs), model.begin_update(docs)[0]):
        assert {Y.dtype for Y in Ys} == {numpy.dtype("float32")}
        assert_equal(Ys, expected.predict(docs), atol=0.1)
    train(model, docs, Adam(0.01))
    assert {param.dtype for param in model.shims[0].module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attrs": []}, "E012"),
        ({"rows": [10]}, "E012.*`attrs` has 4 names and `rows` has 1"),
        ({"attrs": ["", "SHAPE", "PREFIX1", "SUFFIX3"]}, "E013.*''"),
        ({"attrs": ["NORM", "SHAPE", "PREFIX1", "SUFIX3"]}, "E013.*'SUFIX3'"),
        ({"attrs": ["NORM", "SHAPE", "PREFIX1", "SUFFIX12"]}, "E013.*'SUFFIX12'"),
        ({"attrs": ["NORM", "SHAPE", "PREFIX1", "SUFFIX0"]}, "E013.*'SUFFIX0'"),
        ({"char_kernel_sizes": []}, r"E014.*`char_kernel_sizes` is \[\]"),
        ({"char_kernel_sizes": [3, 0]}, r"E014.*`char_kernel_sizes` is \[3, 0\]"),
        (NOTHING, "E015"),
        ({"char_maps": -1}, "E017.*`char_maps` is -1"),
        ({"cache_size": -1}, "E017.*`cache_size` is -1"),
        ({"char_rows": 0}, "`char_rows` is 0"),
        ({"char_width": 0}, "`char_width` is 0"),
        ({"rows": [10, 10, 0, 10]}, r"`rows` is \[10, 10, 0, 10\]"),
        ({"width": 0}, "`width` is 0"),
        ({"table_width": 0}, "`table_width` is 0"),
        ({"dropout": 1.0}, "`dropout` is 1.0"),
        ({"word_dropout": 1.0}, "`word_dropout` is 1.0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build(**settings)


def test_word_dropout_is_on_in_training_only():
    docs = as_docs(["Anna", "sees", "a", "red", "bird"] * 4)
    model = build(word_dropout=0.5)
    torch.nn.init.constant_(model.shims[0].module.word_dropout.replacement, 9.0)
    replaced = (model.begin_update(docs)[0][0] == 9.0).all(axis=1)
    assert 0 < replaced.sum() < len(docs[0])
    assert not (model.predict(docs)[0] == 9.0).any()


def test_word_dropout_follows_training_unless_it_has_its_own():
    docs = as_docs(["Anna", "sees", "a", "red", "bird"] * 4)
    for own, rate, is_noisy in ((None, 0.5, True), (None, 0.0, False), (0.0, 0.5, False)):
        model = build(word_dropout=own, dropout=0.0)
        set_dropout_rate(model, rate)
        Ys, _ = model.begin_update(docs)
        assert (Ys[0] != model.predict(docs)[0]).any() == is_noisy
