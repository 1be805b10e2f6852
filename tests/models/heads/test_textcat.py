"""Text classifiers, by themselves and in spaCy's components."""

import pickle
import subprocess
import sys
import warnings

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Config, fix_random_seed, set_dropout_rate

from spacy_textconv.layers import Hidden
from spacy_textconv.models import documents

from ...util import CONVOLUTIONS, DILATED, HASHES, WIDTH, listener, tok2vec

POOL = {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH}
ATTENTION = {"@architectures": "spacy-textconv.AttentionAttend.v1", "width": WIDTH}
CONV = {"@architectures": "spacy-textconv.ConvAttend.v1", "width": WIDTH}
PYRAMID = {"@architectures": "spacy-textconv.PyramidAttend.v1", "width": WIDTH, "depth": 2}
ALL = {
    "max": POOL,
    "kmax": {"@architectures": "spacy-textconv.KMaxAttend.v1", "width": WIDTH},
    "mean": {**POOL, "pooling": "mean"},
    "logsumexp": {**POOL, "pooling": "logsumexp"},
    "attention": ATTENTION,
    "conv": CONV,
    "wide": {**CONV, "kernel_size": 4, "stride": 3, "depth": 2, "pooling": "mean"},
    "skipping": {**CONV, "kernel_size": 1, "stride": 2},
}
NGRAM = {"@architectures": "spacy-textconv.NgramLinear.v1", "rows": 500}
NGRAMS = {
    "words": {**NGRAM, "unit": "word", "sizes": [1, 2]},
    "characters": {**NGRAM, "unit": "character", "sizes": [2, 3], "scale": 0.5},
}
TEXTS = {
    "a good bird sings well": "POS",
    "so good and so well": "POS",
    "the bad bird barks": "NEG",
    "bad birds never sing": "NEG",
    "": "NEG",
    "rain": "NEG",
}

VOCAB = spacy.blank("en").vocab


def config(attend=ALL, source=None, **settings):
    return {
        "@architectures": "spacy-textconv.TextCatConv.v1",
        "tok2vec": source or tok2vec(embed=CONVOLUTIONS),
        "attend": attend,
        "exclusive_classes": True,
        **settings,
    }


def build(seed=0, **settings):
    fix_random_seed(seed)
    return registry.resolve({"model": config(**settings)})["model"]


def docs(lengths=(5, 0, 1, 40), seed=0):
    generator = numpy.random.default_rng(seed)
    words = [f"word{number}" for number in range(50)]
    return [Doc(VOCAB, words=generator.choice(words, length).tolist()) for length in lengths]


def initialized(nO=3, **settings):
    model = build(**settings)
    model.attrs["resize_output"](model, nO)
    model.initialize(X=docs())
    scramble(model)
    return model


def scramble(model):
    """Move the output layer away from zero, where it starts."""
    layer = model.get_ref("output_layer")
    shape = layer.get_param("W").shape
    layer.set_param("W", numpy.random.default_rng(0).standard_normal(shape, dtype="float32"))


def examples(nlp):
    made = []
    for text, label in TEXTS.items():
        cats = {name: float(name == label) for name in ("POS", "NEG")}
        made.append(Example.from_dict(nlp.make_doc(text), {"cats": cats}))
    return made


def pipeline(factory="textcat", shared=False, **settings):
    fix_random_seed(0)
    nlp = spacy.blank("en")
    if shared:
        nlp.add_pipe("tok2vec", config={"model": tok2vec(embed=CONVOLUTIONS)})
        settings["source"] = listener()
    model = config(exclusive_classes=factory == "textcat", **settings)
    nlp.add_pipe(factory, config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    return nlp


def train(nlp, steps=30):
    optimizer = Adam(0.01)
    for _ in range(steps):
        nlp.update(examples(nlp), sgd=False, drop=0.1)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)


def scores(nlp, texts=tuple(TEXTS)):
    return [doc.cats for doc in nlp.pipe(texts)]


@pytest.mark.parametrize("factory, hidden_width", [("textcat", 16), ("textcat_multilabel", None)])
@pytest.mark.parametrize("shared", [True, False], ids=["listener", "inline"])
def test_learns_and_survives_disk(factory, shared, hidden_width, tmp_path):
    settings = {"attend": {**ALL, "pyramid": PYRAMID}, "ngrams": NGRAMS if shared else None}
    nlp = pipeline(factory, shared, hidden_width=hidden_width, **settings)
    train(nlp)
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert nlp.get_pipe(factory).model.get_dim("nO") == 2
    for cats, same, label in zip(scores(nlp), scores(loaded), TEXTS.values(), strict=True):
        assert max(cats, key=cats.get) == label
        assert same == pytest.approx(cats, abs=1e-5)
        assert factory != "textcat" or sum(cats.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("factory", ["textcat", "textcat_multilabel"])
def test_a_new_label_leaves_the_scores_of_the_others(factory, tmp_path):
    nlp = pipeline(factory, attend={"max": POOL, "attention": ATTENTION}, ngrams=NGRAMS)
    train(nlp, steps=10)
    before = scores(nlp)
    nlp.get_pipe(factory).add_label("NEUTRAL")
    nlp.to_disk(tmp_path / "model")
    for other in (nlp, spacy.load(tmp_path / "model")):
        for old, new in zip(before, scores(other), strict=True):
            assert new.pop("NEUTRAL") < 1e-6
            assert new == pytest.approx(old, abs=1e-5)
    example = Example.from_dict(
        nlp.make_doc("a neutral cat"), {"cats": {"POS": 0.0, "NEG": 0.0, "NEUTRAL": 1.0}}
    )
    optimizer = Adam(0.01)
    for _ in range(200):
        nlp.update([example], sgd=optimizer)
    assert nlp("a neutral cat").cats["NEUTRAL"] > 0.5


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("factory", ["textcat", "textcat_multilabel"])
def test_nothing_is_learned_of_documents_without_annotation(factory, counted):
    cats = []
    unknown = {"textcat": ({}, {"POS": 0.0}, {"POS": 0.0, "NEG": 0.0})}.get(factory, ({},))
    for mixed in (False, True):
        source = tok2vec(embed={**CONVOLUTIONS, "word_dropout": 0.0})
        nlp = pipeline(factory, source=source, attend={"max": POOL}, ngrams=NGRAMS)
        data = examples(nlp)
        if mixed:
            data += [
                Example.from_dict(nlp.make_doc(text + " unseen"), {"cats": known})
                for text in TEXTS
                for known in unknown
            ]
        if counted:
            callback = registry.callbacks.get("spacy-textconv.naive_bayes.v1")
            callback(component=factory, corpus=lambda nlp, data=data: data)(nlp)
        optimizer = Adam(0.01)
        for _ in range(10):
            nlp.update(data, sgd=optimizer)
        cats += scores(nlp, ["a good bird", "never seen", "rain"])
    for one, other in zip(cats[:3], cats[3:], strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_classes_that_are_unknown_one_by_one():
    nlp = pipeline("textcat_multilabel", attend={"max": POOL}, ngrams=NGRAMS)
    known = [Example.from_dict(nlp.make_doc("fog"), {"cats": {"POS": 1.0}})]
    model = nlp.get_pipe("textcat_multilabel").model
    before = model.get_ref("ngrams.words").get_param("b").copy()
    nlp.update(known, sgd=Adam(0.01))
    after = model.get_ref("ngrams.words").get_param("b")
    assert (after > before).tolist() == [
        name == "POS" for name in nlp.pipe_labels[nlp.pipe_names[0]]
    ]
    assert (after == before).sum() == 1


def test_what_a_sure_expert_knows_is_learned_by_the_others():
    for exclusive in (True, False):
        model = initialized(attend={"max": POOL}, ngrams=NGRAMS, exclusive_classes=exclusive)
        model.get_ref("output_layer").get_param("b")[:] = [1000.0, -1000.0, -1000.0]
        P, backprop = model.begin_update(docs())
        backprop(P - numpy.eye(3, dtype="float32")[[0, 0, 0, 0]])
        gradient = model.get_ref("ngrams.words").get_grad("b")
        assert gradient[0] < 0 < gradient[1]


@pytest.mark.parametrize(
    "cats", [{"POS": 1.0, "NEG": 1.0}, {"POS": 1.0}], ids=["several classes", "one unknown"]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_exclusive_classes_of_a_component_that_has_none(cats, at_once):
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat_multilabel", config={"model": config(attend={"max": POOL})})
    clear = {"POS": 1.0, "NEG": 0.0}
    good = [Example.from_dict(nlp.make_doc("a bird"), {"cats": clear})] * 2
    bad = [Example.from_dict(nlp.make_doc("a bird"), {"cats": cats})]
    with pytest.raises(ValueError, match="E065.*`exclusive_classes` is true.*`textcat_multilabel`"):
        nlp.initialize(lambda: good + bad if at_once else good)
        nlp.update(bad, sgd=Adam(0.01))


@pytest.mark.parametrize("several", [True, False])
def test_a_warning_if_classes_seem_to_be_exclusive(several):
    nlp = spacy.blank("en")
    model = config(attend={"max": POOL}, exclusive_classes=False)
    nlp.add_pipe("textcat_multilabel" if several else "textcat", config={"model": model})
    data = examples(nlp)
    if several:
        data[1].reference.cats = {"POS": 1.0, "NEG": 1.0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp.initialize(lambda: data)
    messages = [str(warning.message) for warning in caught if "W020" in str(warning.message)]
    assert len(messages) == (0 if several else 1)
    assert all("`exclusive_classes` is false" in message for message in messages)


def test_rehearsal():
    nlp = pipeline(attend={"max": POOL}, ngrams=NGRAMS)
    train(nlp, steps=10)
    optimizer = nlp.resume_training()
    before = scores(nlp)
    for _ in range(5):
        losses = nlp.rehearse(examples(nlp), sgd=optimizer)
    assert losses["textcat"] < 0.1
    for old, new in zip(before, scores(nlp), strict=True):
        assert new == pytest.approx(old, abs=0.2)


def test_labels_can_be_added_to_a_copy():
    model = initialized().copy()
    before = model.predict(docs())
    model = pickle.loads(pickle.dumps(model.attrs["resize_output"](model, 5)))
    after = model.predict(docs())
    assert_allclose(after[:, :3], before, atol=1e-5)
    assert (after[:, 3:] < 1e-6).all()
    # As if it had had them from the beginning.
    assert_allclose(model.initialize(X=docs()).predict(docs()), 0.2, atol=1e-5)


@pytest.mark.parametrize("attend", [ALL, {"pyramid": PYRAMID}], ids=["slices", "whole"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_alone_equals_batched_and_training(attend, exclusive):
    model = initialized(attend=attend, hidden_width=8, exclusive_classes=exclusive)
    Y = model.predict(docs())
    for doc, y in zip(docs(), Y, strict=True):
        assert_allclose(model.predict([doc])[0], y, atol=1e-5)
    assert_allclose(model.begin_update(docs())[0], Y, atol=1e-5)


@pytest.mark.parametrize("lengths", [(), (0,), (0, 0)])
def test_batches_without_tokens(lengths):
    for attend in (ALL, {"pyramid": PYRAMID}):
        model = initialized(attend=attend)
        assert model.predict(docs(lengths)).shape == (len(lengths), 3)
        Y, backprop = model.begin_update(docs(lengths))
        assert Y.shape == (len(lengths), 3)
        backprop(Y)
        model.finish_update(Adam(0.001))


@pytest.mark.parametrize("exclusive", [True, False])
def test_gradients_are_those_of_the_cross_entropy_of_each_expert(exclusive):
    model = initialized(attend={"max": POOL}, ngrams=NGRAMS, exclusive_classes=exclusive)
    truth = numpy.eye(3, dtype="float32")[[0, 1, 2, 0]]
    experts = {"output_layer": model.layers[0]}
    experts.update((f"ngrams.{name}", model.get_ref(f"ngrams.{name}")) for name in NGRAMS)
    for ref in experts:
        rng = numpy.random.default_rng(0)
        layer = model.get_ref(ref)
        layer.set_param("W", rng.normal(size=layer.get_param("W").shape).astype("float32") / 9)
    P, backprop = model.begin_update(docs())
    backprop(P - truth)
    activate = model.ops.softmax if exclusive else model.ops.sigmoid
    for ref, expert in experts.items():
        layer = model.get_ref(ref)
        losses = []
        for shift in (1e-2, -1e-2):
            layer.get_param("b")[0] += shift
            Y = activate(expert.predict(docs()))
            layer.get_param("b")[0] -= shift
            chosen = (Y * truth).sum(axis=1) if exclusive else numpy.abs(Y - 1 + truth)
            losses.append(-numpy.log(chosen).sum())
        slope = (losses[0] - losses[1]) / 2e-2
        assert layer.get_grad("b")[0] == pytest.approx(slope, rel=0.02, abs=0.01)
    mean = sum(expert.predict(docs()) for expert in experts.values()) / len(experts)
    assert_allclose(model.predict(docs()), activate(mean), atol=1e-6)


def test_nothing_is_learned_of_unknown_classes():
    model = initialized(attend={"max": POOL}, ngrams=NGRAMS, exclusive_classes=False)
    P, backprop = model.begin_update(docs())
    gradient = P - 1
    gradient[:, 1] = 0
    backprop(gradient)
    for ref in ("output_layer", *(f"ngrams.{name}" for name in NGRAMS)):
        assert (model.get_ref(ref).get_grad("b")[[0, 2]] < 0).all()
        assert model.get_ref(ref).get_grad("b")[1] == 0


@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("name", [*ALL, "all"])
def test_slices_equal_the_whole(name, rows, monkeypatch):
    attend = ALL if name == "all" else {name: ALL[name]}
    model = initialized(attend=attend)
    batch = docs([150, 3, 0, 401, 1, 33, 0])
    whole = model.layers[0].layers[0].predict(batch)
    monkeypatch.setattr(documents, "TOKENS_PER_SLICE", rows)
    calls = []
    embed, encode = model.get_ref("tok2vec").layers
    predict = encode.shims[0].predict
    monkeypatch.setattr(
        encode.shims[0], "predict", lambda x, packing: (calls.append(1), predict(x, packing))[1]
    )
    assert_allclose(model.layers[0].layers[0].predict(batch), whole, atol=1e-5)
    assert len(calls) > 4
    assert_array_equal(model.predict(batch[2:3]), model.predict(batch[6:7]))


@pytest.mark.parametrize("attend", [POOL, {**CONV, "kernel_size": 501}])
def test_slices_are_small_however_far_a_network_sees(attend, monkeypatch):
    monkeypatch.setattr(documents, "TOKENS_PER_SLICE", 64)
    far = {**DILATED, "dilations": [1, 10**7]}
    model = initialized(source=tok2vec(far, CONVOLUTIONS), attend={"only": attend})
    rows = []
    encoder = model.get_ref("tok2vec").layers[1].shims[0].module
    encoder.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    batch = docs([6] * 50 + [100])
    together = model.predict(batch)
    assert max(rows) <= 112 and sum(rows) < 2 * (50 * (6 + 5) + 100)
    for i in (0, 50):
        assert_allclose(model.predict([batch[i]])[0], together[i], atol=1e-5)


def test_what_cannot_be_sliced_is_read_whole(monkeypatch):
    monkeypatch.setattr(documents, "TOKENS_PER_SLICE", 8)
    window = {
        **{"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": WIDTH},
        **{"depth": 2, "window_size": 1, "maxout_pieces": 2},
    }
    batch = docs([60, 0, 5])
    for settings in (
        {"source": tok2vec(embed=HASHES)},
        {"source": tok2vec(encode=window, embed=CONVOLUTIONS)},
        {"source": tok2vec(embed=None)},
        {"attend": {"max": POOL, "pyramid": PYRAMID}},
    ):
        model = initialized(**settings)
        together = model.predict(batch)
        for doc, y in zip(batch, together, strict=True):
            assert_allclose(model.predict([doc])[0], y, atol=1e-5)


def test_bytes_copy_and_pickle():
    model = initialized(hidden_width=8)
    expected = model.predict(docs())
    others = [
        build(seed=1, hidden_width=8).from_bytes(model.to_bytes()),
        model.copy(),
        pickle.loads(pickle.dumps(model)),
    ]
    for other in others:
        assert_array_equal(other.predict(docs()), expected)


def test_dropout_follows_training_or_is_its_own():
    table = [({}, 0.5, True), ({}, 0.0, False), ({"dropout": 0.5}, 0.0, True)]
    for settings, rate, differ in table:
        model = initialized(hidden_width=8, **settings)
        set_dropout_rate(model, rate)
        vectors, hidden, _ = model.layers[0].layers
        X = vectors.predict(docs())
        first, second = (hidden.begin_update(X)[0] for _ in range(2))
        assert numpy.allclose(first, second) != differ


def test_config_is_filled_and_keeps_the_order():
    filled = Config(registry.fill({"model": config(attend={"z": POOL, "a": ATTENTION})}))
    text = filled.to_str()
    assert "[model.attend.z]" in text and "heads = 4" in text and "nO = null" in text
    assert list(Config().from_str(text)["model"]["attend"]) == ["z", "a"]
    model = registry.resolve(Config().from_str(text))["model"]
    assert [layer.name for layer in model.layers[0].layers[0].layers[1:]] == [
        "pool_attend",
        "attention_attend",
    ]
    assert model.get_ref("attend.a").name == "attention_attend"
    assert model.has_dim("nO") is None


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attend": {}}, "E032.*`attend`"),
        ({"attend": {"max": 3}}, "E032.*`attend`"),
        ({"attend": POOL}, "E032.*`attend`"),
        ({"ngrams": NGRAMS["words"]}, "E023.*`ngrams`"),
        ({"attend": {"max": {**POOL, "width": 7}}}, f"E033.*`attend.max`.*7.*{WIDTH} columns"),
        ({"hidden_width": 0}, "`hidden_width` is 0"),
        ({"dropout": 1.0}, "`dropout` is 1.0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


SCRIPT = """
import resource, sys, numpy, spacy, torch
from spacy.attrs import ORTH
from spacy.tokens import Doc
from spacy_textconv.models.attend import *
from spacy_textconv.models.embed import build_char_conv_embed_v1
from spacy_textconv.models.encode import build_dilated_conv_encoder_v1
from spacy_textconv.models.heads.textcat import build_text_cat_conv_v1
from spacy.ml.models.tok2vec import build_Tok2Vec_model

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

tokens, train = int(sys.argv[1]), sys.argv[2] == "train"
vocab = spacy.blank("en").vocab
words = [f"word{number}" for number in range(300_000)]
keys = numpy.array([vocab.strings.add(word) for word in words], dtype="uint64")
for key in keys.tolist():
    vocab[key]
numbers = numpy.random.default_rng(0).integers(0, len(words), tokens)
doc = Doc(vocab, words=[words[number] for number in numbers])
model = build_text_cat_conv_v1(
    tok2vec=build_Tok2Vec_model(
        build_char_conv_embed_v1(width=128), build_dilated_conv_encoder_v1(width=128)
    ),
    attend={
        "max": build_pool_attend_v1(width=128),
        "attention": build_attention_attend_v1(width=128),
        "conv": build_conv_attend_v1(width=128, kernel_size=5),
    },
    exclusive_classes=True,
    hidden_width=128,
    nO=2,
)
model.initialize(X=[doc[:10].as_doc()])
model.predict([doc[:100].as_doc()])
before = peak()
if train:
    Y, backprop = model.begin_update([doc] * 16)
    backprop(Y)
else:
    model.predict([doc])
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
@pytest.mark.parametrize(
    "tokens, mode, limit", [(1_000_000, "predict", 512), (3000, "train", 2048)]
)
def test_long_documents_need_little_memory(tokens, mode, limit):
    command = [sys.executable, "-c", SCRIPT, str(tokens), mode]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(result.stdout) < limit


def test_device_is_that_of_the_model_whatever_the_thread(monkeypatch):
    model = initialized(attend={**ALL, "pyramid": PYRAMID}, hidden_width=16)
    expected = model.predict(docs())
    # What Thinc takes for the device is up to the thread. On this one, nothing can be computed.
    monkeypatch.setattr("thinc.util.get_torch_default_device", lambda: torch.device("meta"))
    assert_allclose(model.predict(docs()), expected, atol=1e-6)
    Y, backprop = model.begin_update(docs())
    assert backprop(Y) == []


@pytest.mark.parametrize("kept", [0, -1], ids=["before", "after"])
def test_dropout_is_before_and_after_the_hidden_layer(kept):
    hidden = Hidden(in_width=4, width=3, dropout=0.5).train()
    rates = [module for module in hidden if isinstance(module, torch.nn.Dropout)]
    for module in rates:
        module.p *= module is rates[kept]
    first, second = (hidden(torch.ones(20, 4)) for _ in range(2))
    assert len(rates) == 2 and not torch.equal(first, second)
