"""The weights that explain a text classifier, against what they are by definition."""

import random

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from spacy.tokens import Doc
from thinc.api import Linear, Model, chain, fix_random_seed, set_dropout_rate, with_array

from spacy_textconv.explain.maps import make_maps
from spacy_textconv.models.heads.ngrams import (
    build_ngram_linear_v1,
    find_ngrams,
    fit_vocabulary,
    share_scores,
)
from spacy_textconv.models.heads.textcat import build_text_cat_conv_v1

from ..util import CONVOLUTIONS, WIDTH, scrambled, tok2vec

VOCAB = spacy.blank("en").vocab
MEAN = {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH, "pooling": "mean"}
ATTENTION = {"@architectures": "spacy-textconv.AttentionAttend.v1", "width": WIDTH}


def doc(text="a good bird and a bad bird"):
    return Doc(VOCAB, words=text.split())


def classifier(source, attend=None, **settings):
    fix_random_seed(0)
    resolved = registry.resolve({"tok2vec": source, "attend": attend or {"mean": MEAN}})
    model = build_text_cat_conv_v1(**resolved, exclusive_classes=True, nO=3, **settings)
    model.initialize(X=[doc()])
    scrambled(model.get_ref("output_layer"))
    return model


def scaled(embed, row, factor):
    """An embedding layer with one of its vectors multiplied by a number."""

    def forward(model, docs, is_train):
        [X] = embed.predict(docs)
        X = X.copy()
        X[row] *= factor
        return [X], None

    return Model("scaled", forward)


@pytest.mark.parametrize("embed", [CONVOLUTIONS, None], ids=["words", "characters"])
def test_gradient_times_input_is_the_slope_of_the_score(embed):
    """What multiplying a vector by a little more than 1 does to the score."""
    source = tok2vec({**tok2vec()["encode"], "dropout": 0.5}, embed)
    model = classifier(source, {"a": ATTENTION, "b": MEAN}, hidden_width=16, dropout=0.5)
    maps, *_ = make_maps(model, [doc()], [1])[0]
    assert (maps.method, maps.unit) == ("gradient x input", "token" if embed else "character")
    assert len(maps.weights) == len(doc() if embed else doc().text)
    network, layer = model.layers[0], model.get_ref("tok2vec").layers[0]
    for row in (0, 3, 5):
        values = []
        for factor in (1.02, 0.98):
            replacement = scaled(layer, row, factor)
            model.replace_node(layer, replacement)
            values.append(network.predict([doc()])[0, 1])
            model.replace_node(replacement, layer)
        slope = (values[0] - values[1]) / 0.04
        assert maps.weights[row] == pytest.approx(slope, rel=0.02, abs=1e-3)


def test_parts_of_a_linear_score_add_up():
    embed = registry.resolve({"embed": CONVOLUTIONS})["embed"]
    encode = with_array(scrambled(Linear(WIDTH, WIDTH).initialize()))
    encode.layers[0].set_param("b", numpy.zeros(WIDTH, dtype="float32"))
    linear = chain(embed, encode)
    linear.set_dim("nO", WIDTH)
    model = build_text_cat_conv_v1(
        tok2vec=linear, attend=registry.resolve({"m": MEAN}), exclusive_classes=False, nO=3
    )
    model.initialize(X=[doc()])
    W = scrambled(model.get_ref("output_layer")).get_param("W")
    bias = model.get_ref("output_layer").get_param("b")[2]
    [[heat_map]] = make_maps(model, [doc()], [2])
    X = linear.layers[0].predict([doc()])[0]
    expected = X @ encode.layers[0].get_param("W").T @ W[2] / len(X)
    assert_allclose(heat_map.weights, expected, rtol=1e-3, atol=1e-5)
    score = model.layers[0].predict([doc()])[0, 2]
    assert heat_map.weights.sum() == pytest.approx(score - bias, rel=1e-3)


def test_tok2vec_without_an_encoder_is_explained_by_what_comes_out():
    model = classifier(CONVOLUTIONS)
    W = model.get_ref("output_layer").get_param("W")
    [[heat_map]] = make_maps(model, [doc()], [2])
    [X] = model.get_ref("tok2vec").predict([doc()])
    assert_allclose(heat_map.weights, X @ W[2] / len(X), rtol=1e-3, atol=1e-5)


def test_attention_adds_up_to_one():
    model = classifier(tok2vec(embed=CONVOLUTIONS), {"first": ATTENTION, "mean": MEAN})
    maps = make_maps(model, [doc(), doc("rain"), doc("")], [0, 0, 0])
    for made, length in zip(maps, (7, 1, 0), strict=True):
        attention = made[1]
        assert (attention.method, attention.layer) == ("attention", "first")
        assert attention.weights.shape == (length,)
        assert (attention.weights > 0).all()
        assert attention.weights.sum() == pytest.approx(1.0 if length else 0.0, abs=1e-6)
        assert len(made) == 2 and made[0].weights.shape == (length,)


def ngrams(unit, sizes, rows=5000, **settings):
    model = build_ngram_linear_v1(unit=unit, sizes=sizes, rows=rows, scale=0.5, nO=2, **settings)
    return scrambled(model.initialize())


# In a table of 3 rows, many n-grams share one.
@pytest.mark.parametrize("rows", [3, 5000])
@pytest.mark.parametrize("text", ["a good bird and a bad bird", "rain", ""])
@pytest.mark.parametrize(
    "unit, sizes, settings",
    [
        ("word", [1, 2, 4], {}),
        ("word", [3], {}),
        ("word", [9], {}),
        ("word", [2, 3], {"attrs": ["PREFIX2", "NORM", "SUFFIX1"], "normalize": True}),
        ("character", [3, 1], {}),
        ("character", [2], {"normalize": True}),
    ],
)
def test_parts_of_ngrams_add_up_to_the_score(unit, sizes, settings, text, rows):
    model = ngrams(unit, sizes, rows, **settings)
    weights, rest = share_scores(model, doc(text), 1)
    assert weights.shape == (len(doc(text)),)
    score = model.predict([doc(text)])[0, 1]
    assert weights.sum() + rest == pytest.approx(score, abs=1e-4)
    if rows == 5000 and text and 1 not in sizes:
        assert rest == pytest.approx(model.get_param("b")[1])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("unit, sizes", [("word", [1, 2]), ("character", [2, 3])])
def test_ngrams_without_a_row_have_no_part_in_the_score(unit, sizes, normalize):
    model = ngrams(unit, sizes, normalize=normalize)
    fit_vocabulary([model], [[doc("a good bird")]])
    scrambled(model)
    text = doc("a xyz bird")
    weights, rest = share_scores(model, text, 1)
    assert weights.sum() + rest == pytest.approx(model.predict([text])[0, 1], abs=1e-4)
    assert weights[0] != 0 and weights[1] == 0 and weights[2] != 0


def test_ngrams_are_shared_among_their_words():
    model = ngrams("word", [2])
    first, last, both = ({*find_ngrams(model, [doc(t)])[0]} for t in ("a", "b", "a b"))
    W, ratios = (model.get_param(name)[:, 0] for name in ("W", "ratios"))

    def part(found):
        [row] = found
        return W[row] * ratios[row] * 0.5

    middle = part(both - first - last) / 2
    weights, _ = share_scores(model, doc("a b"), 0)
    assert_allclose(weights, [part(both & first) + middle, part(both & last) + middle], rtol=1e-5)


@pytest.mark.parametrize("unit", ["word", "character"])
def test_ngrams_are_shared_among_the_places_where_they_occur(unit):
    model = ngrams(unit, [1])
    alone, _ = share_scores(model, doc("bird"), 0)
    weights, _ = share_scores(model, doc("bird bird bird"), 0)
    assert_allclose(weights, [alone[0] / 3] * 3, rtol=1e-5)


def state(model):
    grads = [
        node.get_grad(name).tolist() for node in model.walk() for name in sorted(node.grad_names)
    ]
    modules = [shim.module for node in model.walk() for shim in node.shims]
    weights = [p for module in modules for p in module.parameters()]
    return {
        "weights": model.to_bytes(),
        "gradients": grads + [None if p.grad is None else p.grad.tolist() for p in weights],
        "modes": [part.training for module in modules for part in module.modules()],
        "rates": [node.attrs.get("dropout_rate") for node in model.walk()],
        "random": (random.getstate(), torch.get_rng_state().tolist()),
        "numpy": [numpy.asarray(part).tolist() for part in numpy.random.get_state()],
    }


# With dropout of Thinc's own.
WINDOW = {
    **{"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": WIDTH},
    **{"depth": 1, "window_size": 1, "maxout_pieces": 2},
}


@pytest.mark.parametrize(
    "source",
    [
        tok2vec(embed={**CONVOLUTIONS, "word_dropout": 0.9}),
        tok2vec(embed=None),
        tok2vec(WINDOW, CONVOLUTIONS),
    ],
    ids=["words", "characters", "spacy"],
)
def test_nothing_is_dropped_and_the_model_stays_as_it_is(source):
    model = classifier(source, {"a": ATTENTION}, hidden_width=8, dropout=0.5)
    set_dropout_rate(model, 0.5)
    # Gradients that an update is still to be made with.
    Y, backprop = model.begin_update([doc()])
    backprop(Y)
    before = state(model)
    first, second = (make_maps(model, [doc(), doc("")], [0, 1]) for _ in range(2))
    assert state(model) == before
    for one, other in zip(first[0] + first[1], second[0] + second[1], strict=True):
        assert_array_equal(one.weights, other.weights)
