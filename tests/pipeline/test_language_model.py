"""The component that reads and writes texts letter by letter."""

import pickle
import unicodedata
from itertools import permutations

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam

TEXTS = ["the cat sat on the mat.\n", "the dog sat on the log.\n", "", "שלום לך\n", "A" * 3 + "\n"]
MODEL = {
    "@architectures": "spacy-textconv.CausalLM.v1",
    "decoder": {
        "@architectures": "spacy-textconv.CausalConvDecoder.v1",
        "width": 16,
        "dilations": [1, 2, 4],
    },
}
# They write what a vector says.
DECONV, HYBRID = (
    {"@architectures": f"spacy-textconv.{name}.v1", "width": 16}
    for name in ("DeconvDecoder", "HybridDecoder")
)


def examples(nlp, texts=TEXTS):
    return [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in texts]


def pipeline(steps=0, texts=TEXTS, labels=None, model=MODEL, **settings):
    nlp = spacy.blank("xx")
    config = {"model": model, "min_count": 1, **settings}
    pipe = nlp.add_pipe("textconv_lm", name="lm", config=config)
    made = examples(nlp, texts)
    spacy.util.fix_random_seed(0)
    pipe.initialize(lambda: made, nlp=nlp, labels=labels)
    train(nlp, steps)
    return nlp


def train(nlp, steps):
    optimizer = Adam(0.02)
    for _ in range(steps):
        nlp.update(examples(nlp), sgd=optimizer)


def surprises(nlp, texts=TEXTS):
    return numpy.concatenate([doc._.surprise for doc in nlp.pipe(texts)])


@pytest.fixture(scope="module")
def trained():
    return pipeline(steps=60)


@pytest.mark.parametrize("symbols", ["letters", "words", "pieces"])
def test_it_learns_and_survives_disk(symbols, tmp_path):
    nlp = pipeline(steps=60, symbols=symbols, max_symbols=40)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert_allclose(surprises(loaded), surprises(nlp), atol=1e-5)
    assert loaded.get_pipe("lm").labels == nlp.get_pipe("lm").labels
    scores = loaded.evaluate(examples(nlp))
    assert scores["bits_per_character"] < 1.0
    assert scores["lm_score"] == pytest.approx(2.0 ** -scores["bits_per_character"])
    for seed in range(5):
        [text] = loaded.get_pipe("lm").generate("the cat", temperature=0.1, seed=seed)
        assert text.startswith("the cat sat")


def test_bytes_and_pickles(trained):
    for copy in (pickle.loads(pickle.dumps(trained)), pipeline().from_bytes(trained.to_bytes())):
        assert_allclose(surprises(copy), surprises(trained), atol=1e-5)


def test_what_documents_get(trained):
    docs = [*trained.pipe(TEXTS)]
    for doc, text in zip(docs, TEXTS, strict=True):
        assert doc._.surprise.shape == (len(text),) and (doc._.surprise >= 0).all()
        if text:
            assert doc._.bits_per_character == pytest.approx(doc._.surprise.mean())
    assert docs[2]._.bits_per_character is None
    total = sum(doc._.surprise.sum() for doc in docs)
    letters = sum(map(len, TEXTS))
    scores = trained.evaluate(examples(trained))
    assert scores["bits_per_character"] == pytest.approx(total / letters, rel=1e-5)
    # What is decided by a letter surprises, and what follows from it doesn't.
    surprise = trained(TEXTS[0])._.surprise
    assert 0.5 < surprise[4] < 3 and surprise[5] < 0.3 and surprise[:3].max() < 3


def test_surprise_is_the_binary_logarithm_of_a_probability(trained):
    pipe = trained.get_pipe("lm")
    text = "the mat\n"
    numbers, _ = pipe.alphabet.encode([text])
    decoder = pipe.model.layers[0].shims[0].module
    with torch.inference_mode():
        logits = decoder(torch.tensor([0, *numbers[:-1].tolist()]), [len(numbers)])
    probabilities = logits.softmax(dim=1).numpy()[range(len(numbers)), numbers]
    assert_allclose(trained(text)._.surprise, -numpy.log2(probabilities), atol=1e-4)


def test_letters_are_those_of_the_normal_form():
    text = "caf\u00e9\n"
    nlp = pipeline(steps=5, texts=[text])
    doc = nlp(unicodedata.normalize("NFD", text))
    assert len(doc.text) == 6
    assert_allclose(doc._.surprise, nlp(text)._.surprise)
    assert doc._.bits_per_character == pytest.approx(nlp(text)._.bits_per_character)
    scores = [nlp.evaluate(examples(nlp, [one])) for one in (text, doc.text)]
    assert scores[0]["lm_score"] == pytest.approx(scores[1]["lm_score"])
    assert nlp.get_pipe("lm").split(doc.text) == [*text]


def test_alone_as_in_a_batch(trained):
    alone = numpy.concatenate([trained(text)._.surprise for text in TEXTS])
    assert_allclose(alone, surprises(trained), atol=1e-5)


def test_rare_letters_are_unknown():
    nlp = pipeline(texts=["aaab", "abbc"], min_count=2)
    assert nlp.get_pipe("lm").labels == ("a", "b")
    rare, other = nlp("abc")._.surprise, nlp("ab\u2603")._.surprise
    assert_allclose(rare, other)


def test_texts_are_written(trained):
    pipe = trained.get_pipe("lm")
    texts = pipe.generate("the ", n=4, temperature=0.5, seed=1)
    assert len(texts) == 4 and all(text.startswith("the ") for text in texts)
    assert {*texts} <= {TEXTS[0], TEXTS[1]}
    assert pipe.generate("the ", n=4, temperature=0.5, seed=1) == texts
    assert len({*pipe.generate(n=20, seed=2)}) > 1
    # With one candidate, there is nothing to draw.
    assert len({*pipe.generate(n=5, top_k=1), *pipe.generate(n=5, top_p=1e-6)}) == 1
    assert pipe.generate("the ", max_length=2, temperature=0.01)[0] in ("the ca", "the do")


def test_a_text_is_written_part_by_part(trained):
    pipe = trained.get_pipe("lm")
    stream = pipe.stream("the ", seed=3)
    assert next(stream) == "the "
    parts = [*stream]
    assert all(len(part) <= 1 for part in parts)
    assert ["the " + "".join(parts)] == pipe.generate("the ", seed=3)
    assert "".join(pipe.stream(seed=4)) == pipe.generate(seed=4)[0]


def test_other_code_may_run_between_two_parts(trained):
    stream = trained.get_pipe("lm").stream("the ", seed=3)
    for _ in range(3):
        next(stream)
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
        trained("the cat")


@pytest.mark.parametrize("symbols", ["words", "pieces"])
def test_words_and_pieces_are_joined(symbols):
    nlp = pipeline(steps=60, symbols=symbols, max_symbols=40)
    pipe = nlp.get_pipe("lm")
    for text in pipe.generate(n=5, temperature=0.1, seed=0):
        assert text.startswith(("the cat sat on", "the dog sat on", "שלום", "AAA"))
    parts = [*pipe.stream("the cat", temperature=0.1, seed=0)]
    assert "".join(parts).startswith("the cat sat on")


def test_unknown_letters_of_a_prompt_stay(trained):
    for prompt in ("\u2603", "the \U0001f408 ", "\x00"):
        [text] = trained.get_pipe("lm").generate(prompt, seed=0)
        assert text.startswith(prompt) and "\u2603" not in text[len(prompt) :]


def test_units_of_the_last_layer(trained):
    pipe = trained.get_pipe("lm")
    docs = [trained.make_doc(text) for text in TEXTS]
    rows = pipe.hidden(docs)
    assert [x.shape for x in rows] == [(len(text), 16) for text in TEXTS]
    assert_allclose(pipe.hidden(docs, [5])[1], rows[1][:, [5]])
    [alone] = pipe.hidden(docs[1])
    assert_allclose(alone, rows[1], atol=1e-5)
    # A unit knows what it has read, and nothing of what follows.
    changed = pipe.hidden([trained.make_doc("the cat was")])[0]
    assert_allclose(changed[:8], rows[0][:8], atol=1e-5)
    assert numpy.abs(changed[8] - rows[0][8]).max() > 0.1
    with pytest.raises(ValueError, match="E182.*unit 16.*0 to 15"):
        pipe.hidden(docs, [16])


def test_user_data_is_stored(trained):
    stored = DocBin(docs=trained.pipe(["the cat"]), store_user_data=True).to_bytes()
    [doc] = DocBin().from_bytes(stored).get_docs(trained.vocab)
    assert_allclose(doc._.surprise, trained("the cat")._.surprise)


@pytest.mark.parametrize("kind, other", [*permutations(["letters", "words", "pieces"], 2)])
def test_symbols_have_to_be_of_the_kind_that_is_set(kind, other, tmp_path):
    pipe, another = (
        pipeline(symbols=symbols, max_symbols=40).get_pipe("lm") for symbols in (kind, other)
    )
    with pytest.raises(ValueError, match=f"E194.*'lm'.* no {kind}.*`symbols`"):
        pipe.initialize(lambda: examples(spacy.blank("xx")), labels=another.label_data)
    another.to_disk(tmp_path)
    with pytest.raises(ValueError, match=f"E194.*'lm'.* no {kind}"):
        pipe.from_disk(tmp_path)


def test_labels_are_given_or_found():
    nlp = pipeline()
    data = nlp.get_pipe("lm").label_data
    assert nlp.get_pipe("lm").labels == tuple(sorted(set("".join(TEXTS))))
    again = pipeline(labels={"letters": ["x", *data["letters"]]})
    assert again.get_pipe("lm").labels == ("x", *data["letters"])


def test_initialize_twice_is_new():
    nlp = pipeline()
    pipe = nlp.get_pipe("lm")
    first = pipe.to_bytes()
    train(nlp, 2)
    assert pipe.to_bytes() != first
    spacy.util.fix_random_seed(0)
    pipe.initialize(lambda: examples(nlp, TEXTS))
    assert pipe.to_bytes() == first
    pipe.initialize(lambda: examples(nlp, ["abc"]))
    assert pipe.labels == ("a", "b", "c") and len(nlp("abd")._.surprise) == 3


def test_equal_seeds_train_equally():
    assert_allclose(surprises(pipeline(steps=3)), surprises(pipeline(steps=3)))


def test_documents_without_a_text_teach_nothing():
    nlp = pipeline()
    before = nlp.get_pipe("lm").to_bytes()
    losses = nlp.update(examples(nlp, ["", ""]), sgd=Adam(0.1), losses={})
    assert losses == {"lm": 0.0} and nlp.get_pipe("lm").to_bytes() == before
    assert nlp.evaluate(examples(nlp, [""]))["bits_per_character"] is None
    assert [*nlp.get_pipe("lm").pipe([])] == []


def test_it_annotates_while_other_components_train():
    nlp = pipeline()
    seen = []

    class Reader:
        def update(self, examples, **kwargs):
            seen.extend(eg.predicted._.surprise.shape for eg in examples)

        def __call__(self, doc):
            return doc

    Language.component("test_lm_reader", func=Reader())
    nlp.add_pipe("test_lm_reader")
    before = nlp.get_pipe("lm").to_bytes()
    nlp.update(examples(nlp), annotates=["lm"], exclude=["lm"])
    assert seen == [(len(text),) for text in TEXTS]
    assert nlp.get_pipe("lm").to_bytes() == before


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"symbols": "syllables"}, "`symbols`.*'syllables'"),
        ({"min_count": 0}, "`min_count`"),
        ({"max_symbols": 0}, "`max_symbols`"),
        ({"model": {"@architectures": "spacy-textconv.CTCTransducer.v1"}}, "E180.*'lm'"),
        ({"texts": ["", " "]}, "E181.*empty"),
        ({"min_count": 100}, "E181.*`min_count`"),
        ({"model": {**MODEL, "decoder": DECONV}}, "E193.*`decoder`.*'deconv_decoder'"),
        ({"model": {**MODEL, "decoder": HYBRID}}, "E193.*`decoder`.*'hybrid_decoder'"),
    ],
)
def test_settings_that_are_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**settings)


@pytest.mark.parametrize(
    "name, value",
    [
        ("temperature", 0),
        ("temperature", -1.0),
        ("n", 0),
        ("max_length", 0),
        ("top_k", 0),
        ("seed", -1),
    ],
)
def test_texts_that_cannot_be_written(trained, name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        trained.get_pipe("lm").generate("the", **{name: value})


def test_it_has_to_be_initialized():
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("textconv_lm", config={"model": MODEL})
    assert pipe.labels == ()
    with pytest.raises(ValueError, match="E109"):
        pipe.generate()
    with pytest.raises(ValueError, match="E109"):
        pipe(Doc(nlp.vocab, words=["a"]))
