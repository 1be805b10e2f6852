"""Texts as points, and points as texts: the component with a latent space."""

import pickle
from math import pi

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.training import Example
from thinc.api import Adam

from spacy_textconv.generation.sampling import Sampler
from spacy_textconv.generation.symbols import UNKNOWN
from spacy_textconv.models.wrap import get_shim

from ..util import WIDTH, listener, tok2vec

TEXTS = ["a red cat", "the green dog sings", "a big red dog", "cats", "", "the cat sees a dog"]
POSITIVE = ("a good cat", "the good dog sings", "good dogs")
NEGATIVE = ("a bad cat", "the bad dog sings", "bad dogs")
DECONV = {
    "@architectures": "spacy-textconv.DeconvDecoder.v1",
    "max_length": 12,
    "seed_rows": 6,
    "width": 32,
}
CAUSAL = {
    "@architectures": "spacy-textconv.CausalConvDecoder.v1",
    "width": 32,
    "dilations": [1, 2],
}
HYBRID = {
    "@architectures": "spacy-textconv.HybridDecoder.v1",
    "max_length": 12,
    "seed_rows": 6,
    "width": 32,
    "causal_dilations": [1, 2],
}
FLATTEN = {
    "@architectures": "spacy-textconv.FlattenAttend.v1",
    "width": WIDTH,
    "out_width": 24,
    "max_length": 8,
}
MODEL = {
    "@architectures": "spacy-textconv.TextVAE.v1",
    "tok2vec": tok2vec(),
    "pooling": FLATTEN,
    "decoder": DECONV,
    "latent": 8,
}
PLAIN = {**MODEL, "latent": 0}


def examples(nlp, texts=TEXTS, cats=None):
    made = []
    for i, text in enumerate(texts):
        predicted, reference = nlp.make_doc(text), nlp.make_doc(text)
        if cats:
            reference.cats = cats[i]
        made.append(Example(predicted, reference))
    return made


def pipeline(*, model=MODEL, shared=False, texts=TEXTS, cats=None, **settings):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    if shared:
        nlp.add_pipe("tok2vec", config={"model": tok2vec()})
        model = {**model, "tok2vec": listener()}
    config = {"model": model, "max_length": 12, **settings}
    nlp.add_pipe("textconv_vae", name="vae", config=config)
    made = examples(nlp, texts, cats)
    nlp.initialize(lambda: made)
    return nlp


def train(nlp, steps=80, texts=TEXTS, cats=None):
    optimizer = Adam(0.01)
    for _ in range(steps):
        losses = nlp.update(examples(nlp, texts, cats), losses={}, sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return losses["vae"]


@pytest.fixture(scope="module")
def plain():
    nlp = pipeline(model=PLAIN)
    train(nlp)
    return nlp


@pytest.fixture(scope="module")
def variational():
    nlp = pipeline(kl_weight=0.01)
    train(nlp, steps=120)
    return nlp


@pytest.mark.parametrize("decoder", [DECONV, CAUSAL, HYBRID], ids=["deconv", "causal", "hybrid"])
def test_rare_words_are_unknown_and_never_written(decoder):
    model = {**PLAIN, "decoder": decoder}
    nlp = pipeline(model=model, symbols="words", max_symbols=2, texts=["a red cat"] * 3)
    train(nlp, texts=["a red cat"] * 3)
    vae = nlp.get_pipe("vae")
    vectors = vae.encode([nlp.make_doc("a red cat")])
    # "a ? cat", or one of the others unknown.
    for sampler in (None, Sampler(seed=0)):
        write = vae.model.attrs["write"]
        [text] = write(vae.model, vectors, max_length=12, sampler=sampler)
        assert UNKNOWN not in text.symbols


@pytest.fixture(scope="module")
def controlled():
    texts = [*POSITIVE, *NEGATIVE]
    cats = [{"GOOD": 1.0, "BAD": 0.0}] * 3 + [{"GOOD": 0.0, "BAD": 1.0}] * 3
    settings = {"texts": texts, "cats": cats}
    nlp = pipeline(conditions=["GOOD", "BAD"], kl_weight=0.3, **settings)
    train(nlp, steps=200, **settings)
    return nlp


def test_conditions_keep_their_order(controlled, tmp_path):
    controlled.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("vae").conditions == ("GOOD", "BAD")
    with pytest.raises(ValueError, match=r"E126.*\['GOOD', 'BAD'\].*\['BAD', 'GOOD'\]"):
        spacy.load(tmp_path, config={"components.vae.conditions": ["BAD", "GOOD"]})


def vae(nlp):
    return nlp.get_pipe("vae")


def rewritten(nlp):
    docs = list(nlp.pipe(TEXTS))
    return vae(nlp).decode(numpy.stack([doc._.latent for doc in docs]))


@pytest.mark.parametrize("decoder", [DECONV, CAUSAL, HYBRID], ids=["deconv", "causal", "hybrid"])
@pytest.mark.parametrize("shared", [False, True], ids=["inline", "listener"])
def test_a_plain_autoencoder_learns_and_survives_disk(shared, decoder, tmp_path):
    nlp = pipeline(model={**PLAIN, "decoder": decoder}, shared=shared)
    train(nlp, steps=60)
    nlp.to_disk(tmp_path)
    assert rewritten(nlp) == rewritten(spacy.load(tmp_path)) == TEXTS


@pytest.mark.parametrize("symbols", ["letters", "pieces"])
def test_other_symbols(symbols):
    decoder = {**DECONV, "max_length": 24}
    nlp = pipeline(
        model={**PLAIN, "decoder": decoder}, symbols=symbols, max_symbols=30, max_length=24
    )
    train(nlp)
    assert rewritten(nlp) == TEXTS


@pytest.mark.parametrize("symbols", ["letters", "words", "pieces"])
def test_what_is_written_can_also_be_read(symbols, tmp_path):
    flatten = {**FLATTEN, "max_length": 24}
    decoder = {**DECONV, "max_length": 24}
    nlp = pipeline(
        model={**PLAIN, "pooling": flatten, "decoder": decoder},
        symbols=symbols,
        reads="symbols",
        max_symbols=30,
        max_length=24,
    )
    read = []
    embed = vae(nlp).model.get_ref("tok2vec").layers[0]
    forward = embed._func

    def spy(model, docs, is_train):
        read.extend([token.text for token in doc] for doc in docs)
        return forward(model, docs, is_train)

    embed._func = spy
    doc = nlp("a red cat")
    assert read == [[part or " " for part in vae(nlp).alphabet.split("a red cat")]]
    assert [token.text for token in doc] == ["a", "red", "cat"]
    embed._func = forward
    train(nlp, steps=60)
    nlp.to_disk(tmp_path)
    assert rewritten(nlp) == rewritten(spacy.load(tmp_path)) == TEXTS


def test_a_latent_space_learns(variational):
    assert rewritten(variational) == TEXTS


def test_bytes_and_pickles(variational):
    loaded = pipeline().from_bytes(variational.to_bytes())
    for copy in (loaded, pickle.loads(pickle.dumps(variational))):
        assert rewritten(copy) == TEXTS


def test_points_alone_as_in_a_batch(variational):
    batch = vae(variational).encode(TEXTS)
    assert batch.shape == (len(TEXTS), 8)
    for text, point in zip(TEXTS, batch, strict=True):
        assert_allclose(vae(variational).encode(text)[0], point, atol=1e-5)
        assert_allclose(variational(text)._.latent, point, atol=1e-5)
    assert vae(variational).encode([]).shape == (0, 8)
    assert vae(variational).decode(numpy.zeros((0, 8))) == []


def test_the_loss_is_the_evidence_lower_bound():
    """With the mean of a distribution in the place of a point that is drawn."""
    nlp = pipeline()
    pipe = vae(nlp)
    made = examples(nlp)
    batch = pipe._batch([eg.predicted for eg in made], [eg.reference for eg in made])
    outputs = pipe.model.predict(batch)
    total, row = 0.0, 0
    for text in TEXTS:
        for number in (*pipe.alphabet.encode([text])[0].tolist(), 0):
            total -= torch.tensor(outputs.logits[row]).log_softmax(dim=0)[number].item()
            row += 1
    variances = numpy.exp(outputs.log_variances)
    divergence = (outputs.means**2 + variances - outputs.log_variances - 1).sum() / 2
    loss, gradients = pipe.model.attrs["loss"](outputs, batch.sequences, 0.5, 0.0, 0.0)
    assert loss == pytest.approx((total + 0.5 * divergence) / row, rel=1e-5)
    assert_allclose(gradients.means, 0.5 * outputs.means / row, atol=1e-6)
    assert_allclose(gradients.log_variances, 0.25 * (variances - 1) / row, atol=1e-6)


def test_annealing_and_free_bits():
    seen = []
    nlp = pipeline(kl_weight=2.0, kl_annealing=4, free_bits=0.5)
    attrs = vae(nlp).model.attrs
    loss = attrs["loss"]

    def spy(outputs, sequences, weight, bits, auxiliary_weight):
        seen.append((weight, bits))
        return loss(outputs, sequences, weight, bits, auxiliary_weight)

    attrs["loss"] = spy
    train(nlp, steps=5)
    assert seen == [(0.5, 0.5), (1.0, 0.5), (1.5, 0.5), (2.0, 0.5), (2.0, 0.5)]
    made = examples(nlp)
    nlp.initialize(lambda: made)
    train(nlp, steps=1)
    assert seen[-1] == (0.5, 0.5)
    # Batches whose gradients are added up are one update.
    for batch in (made[:3], made[3:]):
        nlp.update(batch, sgd=False)
    vae(nlp).finish_update(Adam(0.01))
    train(nlp, steps=1)
    assert seen[-3:] == [(1.0, 0.5), (1.0, 0.5), (1.5, 0.5)]


def test_hidden_words_are_learned_all_the_same():
    nlp = pipeline(model={**PLAIN, "decoder": CAUSAL}, word_dropout=1.0)
    train(nlp)
    pipe = vae(nlp)
    batch = pipe._batch([nlp.make_doc("a red cat")], [nlp.make_doc("a red cat")])
    # The start is seen, and all else is unknown.
    assert pipe._drop_words(batch.sequences).symbols.tolist() == [0, 1, 1, 1]
    # What has seen no word before knows their order from the point alone.
    assert train(nlp, steps=1) < 0.3


def test_what_the_deconvolutions_of_a_hybrid_decoder_tell_counts():
    nlp = pipeline(model={**PLAIN, "decoder": HYBRID})
    pipe = vae(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    batch = pipe._batch(docs, docs)
    assert not len(pipe.model.predict(batch).auxiliary)
    outputs, backprop = pipe.model.begin_update(batch)
    loss = pipe.model.attrs["loss"]
    none, _ = loss(outputs, batch.sequences, 0.0, 0.0, 0.0)
    half, gradients = loss(outputs, batch.sequences, 0.0, 0.0, 0.5)
    deconv = get_shim(pipe.model.layers[-1]).module.deconv
    vectors = torch.from_numpy(pipe.encode(TEXTS))
    sequences = batch.sequences
    ones = torch.ones(len(TEXTS), dtype=torch.long)
    logits = deconv(torch.from_numpy(sequences.symbols), sequences.lengths, vectors, ones)
    texts = pipe.alphabet.encode(TEXTS)[0].tolist()
    targets = [0 if after == 0 else texts.pop(0) for after in (*sequences.symbols[1:].tolist(), 0)]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(targets)).item()
    assert half - none == pytest.approx(0.5 * expected, rel=1e-4)
    # They learn from that alone.
    backprop(gradients._replace(logits=numpy.zeros_like(gradients.logits)))
    assert deconv.bias.grad.abs().max() > 0 and deconv.vectors.grad.abs().max() > 0


def test_a_hybrid_decoder_keeps_several_texts_in_mind():
    nlp = pipeline(model={**PLAIN, "decoder": HYBRID}, word_dropout=0.3)
    train(nlp, steps=60)
    points = vae(nlp).encode(TEXTS)
    assert vae(nlp).decode(points) == vae(nlp).decode(points, beam=3) == TEXTS
    cold = Sampler(temperature=0.01, seed=0)
    assert vae(nlp).decode(points, sampler=cold) == TEXTS


def test_scores_tell_reconstruction_from_collapse(variational, plain):
    scores = vae(variational).score(examples(variational))
    assert scores["latent_exact"] == 1.0 == pytest.approx(scores["latent_bleu"])
    assert scores["latent_kl"] > 5.0 and 1 <= scores["latent_active"] <= 8
    means = vae(variational).encode(TEXTS)
    assert scores["latent_active"] == (means.var(axis=0) > 0.01).sum()
    collapsed = pipeline(kl_weight=100.0)
    train(collapsed)
    scores = vae(collapsed).score(examples(collapsed))
    assert scores["latent_exact"] < 0.5 and scores["latent_kl"] < 0.1
    assert scores["latent_active"] == 0
    scores = vae(plain).score(examples(plain))
    assert scores["latent_kl"] is None and scores["latent_nll"] < 0.5
    assert set(vae(plain).score([]).values()) == {None}


def test_the_likelihood_equals_an_integral():
    """Of a latent space with one column, over which one can integrate."""
    nlp = pipeline(model={**MODEL, "latent": 1})
    train(nlp, steps=10)
    pipe = vae(nlp)
    # Other points than those of the prior, so that it matters how they are weighed.
    latent = get_shim(pipe.model.layers[1]).module
    torch.nn.init.constant_(latent.mean.bias, 0.7)
    torch.nn.init.constant_(latent.log_variance.bias, 1.0)
    texts = TEXTS[:2]
    found = pipe.log_likelihoods(texts, samples=400, seed=1)
    grid = numpy.linspace(-6, 6, 301, dtype="float32")
    for text, estimate in zip(texts, found, strict=True):
        doc = nlp.make_doc(text)
        batch = pipe._batch([doc] * len(grid), [doc] * len(grid)).sequences
        sequences = batch.with_rows(grid[:, None], [1] * len(grid))
        logits = torch.tensor(pipe.model.layers[-1].predict(sequences))
        targets = torch.tensor([*pipe.alphabet.encode([text])[0], 0])
        log_probs = logits.view(len(grid), len(targets), -1).log_softmax(dim=2)
        of_text = log_probs[:, torch.arange(len(targets)), targets].sum(dim=1).exp().numpy()
        density = numpy.exp(-(grid**2) / 2) / (2 * pi) ** 0.5
        integral = (of_text * density).sum() * (grid[1] - grid[0])
        assert estimate == pytest.approx(numpy.log(integral), abs=0.2)
    assert (pipe.log_likelihoods(texts, samples=3) == pipe.log_likelihoods(texts, samples=3)).all()


def test_long_texts_are_cut_in_training():
    text = "a b c d e f g h i j k l m n"
    with pytest.warns(UserWarning, match="W043.* 1 of the 7 .*`max_length` .12."):
        nlp = pipeline(model=PLAIN, texts=[*TEXTS, text])
    train(nlp, texts=[*TEXTS, text])
    with pytest.raises(ValueError, match="E172.* 15 symbols.*`max_length` is 12.*cut=True"):
        vae(nlp).encode(text)
    assert vae(nlp).decode(vae(nlp).encode(text, cut=True)) == ["a b c d e f g h i j k"]
    assert nlp(text)._.latent.shape == (24,)


def test_points_between_two_texts(plain):
    first, second = TEXTS[:2]
    texts = vae(plain).interpolate(first, plain(second), steps=5)
    assert len(texts) == 5 and texts[0] == first and texts[-1] == second
    start, end = vae(plain).encode([first, second])
    assert texts[2] == vae(plain).decode((start + end)[None] / 2)[0]


def test_beams_and_samples(plain):
    points = vae(plain).encode(TEXTS)
    assert vae(plain).decode(points, beam=3) == TEXTS
    cold = Sampler(temperature=0.01, seed=0)
    assert vae(plain).decode(points, sampler=cold) == TEXTS
    hot = Sampler(temperature=50.0, seed=0)
    assert vae(plain).decode(points, sampler=hot) != TEXTS


def test_texts_are_drawn(variational):
    pipe = vae(variational)
    texts = pipe.generate(20, seed=1)
    assert len(texts) == 20 and len({*texts}) > 1
    assert texts == pipe.generate(20, seed=1) != pipe.generate(20, seed=2)
    assert pipe.generate(0) == []


def test_texts_under_a_condition(controlled):
    pipe = vae(controlled)
    for text, other in zip(POSITIVE, NEGATIVE, strict=True):
        assert pipe.rewrite(text, "GOOD") == pipe.rewrite(other, "GOOD") == text
        assert pipe.rewrite(text, "BAD") == pipe.rewrite(controlled(other), "BAD") == other
    good, bad = (pipe.generate(20, seed=0, label=label) for label in ("GOOD", "BAD"))
    assert sum("bad" in text for text in bad) >= 15 > 5 >= sum("bad" in text for text in good)


def test_a_condition_counts_by_its_strength(controlled):
    pipe = vae(controlled)
    points = pipe.encode(NEGATIVE)
    assert pipe.decode(points, label="GOOD", strength=0.0) == pipe.decode(points)
    assert pipe.decode(points, label="GOOD", strength=1.0) == pipe.decode(points, label="GOOD")
    weak, strong = (
        sum("bad" in text for text in pipe.generate(40, seed=0, label="BAD", strength=strength))
        for strength in (0.2, 3.0)
    )
    assert strong > weak
    with pytest.raises(ValueError, match="`strength` is -1"):
        pipe.decode(points, label="GOOD", strength=-1)


def test_a_listener_needs_documents_of_the_pipeline():
    nlp = pipeline(shared=True)
    with pytest.raises(ValueError, match="E177.*'tok2vec'.*'cats'"):
        vae(nlp).encode("cats")
    assert_allclose(vae(nlp).encode(nlp("cats"))[0], nlp("cats")._.latent)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"symbols": "syllables"}, "`symbols`.*'syllables'"),
        ({"max_length": 0}, "`max_length`"),
        ({"max_length": 13}, "E174.*`max_length` of 'vae' is 13.* 12 symbols"),
        ({"kl_weight": -1.0}, "`kl_weight`"),
        ({"kl_annealing": -1}, "`kl_annealing`"),
        ({"free_bits": -1.0}, "`free_bits`"),
        ({"reads": "letters"}, "`reads` is 'letters'.*'tokens'.*'symbols'"),
        ({"reads": "symbols", "shared": True}, "E123.*`reads` of 'vae'.*'tok2vec'"),
        ({"word_dropout": 1.5}, "`word_dropout`"),
        ({"auxiliary_weight": -0.1}, "`auxiliary_weight`"),
        ({"conditions": ["GOOD"]}, "E176.*GOOD.*`conditions`"),
        ({"model": {**MODEL, "latent": -1}}, "`latent` is -1"),
        ({"model": {"@architectures": "spacy-textconv.CTCTransducer.v1"}}, "E173"),
        ({"texts": ["", " "]}, "E176.*a text"),
    ],
)
def test_bad_settings_and_data(settings, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**settings)


def test_bad_input(plain, controlled):
    pipe = vae(plain)
    with pytest.raises(ValueError, match=r"E175.*\(2, 23\).*\(texts, 24\).*`latent`"):
        pipe.decode(numpy.zeros((2, 23)))
    with pytest.raises(ValueError, match=r"E175.*\(24,\)"):
        pipe.decode(numpy.zeros(24))
    with pytest.raises(ValueError, match="E175.*1 numbers that are not finite"):
        pipe.decode(numpy.full((1, 24), [numpy.nan] + [0.0] * 23))
    with pytest.raises(ValueError, match="`steps` is 1.*from 2"):
        pipe.interpolate("cats", "a red cat", steps=1)
    with pytest.raises(ValueError, match="E179.*`latent`"):
        pipe.generate(2)
    with pytest.raises(ValueError, match="E179"):
        pipe.log_likelihoods(["cats"])
    with pytest.raises(ValueError, match=r"E125.*\['cats'\]"):
        vae(controlled).rewrite(["cats"], "GOOD")
    with pytest.raises(ValueError, match="`seed` is 1.5"):
        vae(controlled).generate(seed=1.5)
    with pytest.raises(ValueError, match="E178.*'UGLY'.*GOOD.*BAD"):
        vae(controlled).rewrite("a bad cat", "UGLY")
    nlp = spacy.blank("en")
    nlp.add_pipe("textconv_vae")
    with pytest.raises(ValueError, match="E109"):
        nlp("cats")
