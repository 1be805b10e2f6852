"""Our tagger and morphologizer do what spaCy's do."""

import inspect
from types import SimpleNamespace

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from spacy.cli.debug_data import debug_data
from spacy.language import Language
from spacy.pipeline import Morphologizer, Tagger, factories
from spacy.tests.pipeline import test_morphologizer, test_tagger
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, Model, NumpyOps, fix_random_seed

from spacy_textconv.pipeline.tagger import ConvMorphologizer, ConvTagger

from ..util import Counted, examples, tok2vec

TAGS = ["A", "B", "NOUN"]
MORPHS = {"": "", "POS=NOUN": "", "Case=Nom|POS=NOUN": "Case=Nom", "Case=Acc": "Case=Acc"}
POS = {"": 0, "POS=NOUN": 92, "Case=Nom|POS=NOUN": 92, "Case=Acc": 0}
OURS = {Tagger: ConvTagger, Morphologizer: ConvMorphologizer}
VOCAB = spacy.blank("en").vocab
MODEL = SimpleNamespace(ops=NumpyOps(), name="model")


SPACY_TESTS = [
    pytest.param(
        test,
        id=f"{module.__name__.rpartition('.')[2]}-{name}",
        marks=[pytest.mark.slow] if name == "test_overfitting_IO" else [],
    )
    for module in (test_tagger, test_morphologizer)
    for name, test in vars(module).items()
    if name.startswith("test_") and inspect.isfunction(test)
]


@pytest.fixture
def in_their_place(monkeypatch):
    """Lets spaCy's factories make our components."""
    for theirs, ours in OURS.items():
        monkeypatch.setattr(factories, theirs.__name__, ours)


@pytest.mark.parametrize("test", SPACY_TESTS)
def test_passes_spacys_own_tests(test, in_their_place):
    assert isinstance(Language().add_pipe("tagger"), ConvTagger)
    assert isinstance(Language().add_pipe("morphologizer"), ConvMorphologizer)
    test()


@st.composite
def tokenizations(draw, tags):
    """The words of a text in two ways, and annotation for the second."""
    text = draw(st.text("ab ", max_size=8)).strip()
    pieces = st.lists(st.booleans(), min_size=len(text), max_size=len(text))

    def split():
        words = []
        for letter, starts in zip(text, draw(pieces), strict=True):
            if starts or not words or letter == " " or words[-1] == " ":
                words.append(letter)
            else:
                words[-1] += letter
        return words

    predicted = split()
    reference = predicted if draw(st.booleans()) else split()
    annotation = st.sampled_from(tags)
    return predicted, reference, [draw(annotation) for _ in reference]


def scores(draw, lengths, classes):
    """Random probabilities."""
    generator = numpy.random.default_rng(draw(st.integers(0, 2**16)))
    arrays = [generator.random((length, classes), dtype="f") for length in lengths]
    return [array / array.sum(axis=1, keepdims=True) for array in arrays]


def assert_same_loss(theirs, ours, examples, probabilities):
    loss, gradients = theirs.get_loss(examples, probabilities)
    our_loss, our_gradients = ours.get_loss(examples, probabilities)
    assert our_loss == pytest.approx(loss, rel=1e-5)
    for gradient, expected in zip(our_gradients, gradients, strict=True):
        assert_array_equal(gradient, expected)
        assert gradient.dtype == expected.dtype


def both(component, labels, **settings):
    """spaCy's component and ours with the same labels."""
    pair = component(VOCAB, MODEL, **settings), OURS[component](VOCAB, MODEL, **settings)
    for each in pair:
        each.cfg.update(labels)
    return pair


@given(st.data())
def test_tags_teach_the_same(data):
    prefix = data.draw(st.sampled_from(["!", "not-", "", None]))
    # spaCy can't smooth where a tag is known to be wrong.
    smoothing = data.draw(st.sampled_from([0.0, 0.1]))
    wrong = [f"{prefix}{tag}" for tag in TAGS] if prefix and not smoothing else []
    theirs, ours = both(Tagger, {"labels": TAGS}, neg_prefix=prefix, label_smoothing=smoothing)
    examples = [
        Example(Doc(VOCAB, words=predicted), Doc(VOCAB, words=reference, tags=tags))
        for predicted, reference, tags in data.draw(
            st.lists(tokenizations(["", *TAGS, *wrong]), min_size=1, max_size=4)
        )
    ]
    lengths = [len(example) for example in examples]
    assert_same_loss(theirs, ours, examples, scores(data.draw, lengths, len(TAGS)))


@given(st.data())
def test_morphology_teaches_the_same(data):
    smoothing = data.draw(st.sampled_from([0.0, 0.1]))
    labels = {"labels_morph": MORPHS, "labels_pos": POS}
    theirs, ours = both(Morphologizer, labels, label_smoothing=smoothing)
    # "_" is known to have no features; "Case=Dat" and "VERB" are none of the labels.
    values = [(pos, morph) for pos in ("", "NOUN", "VERB")
              for morph in ("", "_", "Case=Nom", "Case=Acc", "Case=Dat")]  # fmt: skip
    examples = []
    for predicted, reference, annotation in data.draw(
        st.lists(tokenizations(values), min_size=1, max_size=4)
    ):
        pos, morphs = [pos for pos, _ in annotation], [morph for _, morph in annotation]
        gold = Doc(VOCAB, words=reference, pos=pos, morphs=morphs)
        examples.append(Example(Doc(VOCAB, words=predicted), gold))
    lengths = [len(example) for example in examples]
    assert_same_loss(theirs, ours, examples, scores(data.draw, lengths, len(MORPHS)))


def write(component, docs, classes):
    """What the tokens of documents have after a component has written into them."""
    docs = [doc.copy() for doc in docs]
    component.set_annotations(docs, classes)
    return [doc.to_array(["TAG", "POS", "MORPH"]).tolist() for doc in docs]


@given(st.data(), st.booleans())
def test_tags_are_written_the_same(data, overwrite):
    theirs, ours = both(Tagger, {"labels": TAGS}, overwrite=overwrite)
    before = data.draw(st.lists(st.lists(st.sampled_from(["", *TAGS]), max_size=4), max_size=4))
    docs = [Doc(VOCAB, words=["a"] * len(tags), tags=tags) for tags in before]
    classes = [numpy.array([data.draw(st.integers(0, 2)) for _ in doc], dtype=int) for doc in docs]
    assert write(ours, docs, classes) == write(theirs, docs, classes)


@given(st.data(), st.booleans(), st.booleans())
def test_morphology_is_written_the_same(data, overwrite, extend):
    labels = {"labels_morph": MORPHS, "labels_pos": POS}
    theirs, ours = both(Morphologizer, labels, overwrite=overwrite, extend=extend)
    before = st.tuples(
        st.sampled_from(["", "NOUN", "VERB"]),
        st.sampled_from(["", "_", "Case=Dat", "Case=Dat|Number=Sing", "Number=Plur,Sing"]),
    )
    docs = [
        Doc(
            VOCAB,
            words=["a"] * len(tokens),
            pos=[p for p, _ in tokens],
            morphs=[m for _, m in tokens],
        )
        for tokens in data.draw(st.lists(st.lists(before, max_size=4), max_size=4))
    ]
    classes = [numpy.array([data.draw(st.integers(0, 3)) for _ in doc], dtype=int) for doc in docs]
    assert write(ours, docs, classes) == write(theirs, docs, classes)


def pipeline(factory, **settings):
    """A pipeline that is ready for training, with its examples; one of them has no tokens."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec()}
    nlp.add_pipe(factory, name="pipe", config={"model": model, **settings})
    made = examples(nlp)
    made.insert(1, Example(Doc(nlp.vocab), Doc(nlp.vocab)))
    nlp.initialize(lambda: made)
    return nlp, made


def train(factory):
    nlp, made = pipeline(factory, label_smoothing=0.1)
    optimizer = Adam(0.01)
    losses = [nlp.update(made, drop=0.1, sgd=optimizer, losses={})["pipe"] for _ in range(6)]
    assert losses[-1] < losses[0]
    return nlp, losses


@pytest.mark.parametrize("factory", ["tagger", "morphologizer"])
def test_training_and_files_are_those_of_spacy(factory, tmp_path):
    theirs, losses = train(factory)
    ours, our_losses = train(f"textconv_{factory}")
    assert our_losses == pytest.approx(losses, rel=1e-4)
    saved = theirs.get_pipe("pipe").to_bytes(exclude=["vocab"])
    loaded = pipeline(f"textconv_{factory}", label_smoothing=0.1)[0].get_pipe("pipe")
    loaded.from_bytes(saved, exclude=["vocab"])
    assert loaded.to_bytes(exclude=["vocab"]) == saved
    back = pipeline(factory, label_smoothing=0.1)[0].get_pipe("pipe")
    back.from_bytes(loaded.to_bytes())
    ours.to_disk(tmp_path)
    words = [["The", "red", "bird"], [], ["sings"]]
    found = []
    trained = [nlp.get_pipe("pipe") for nlp in (theirs, ours, spacy.load(tmp_path))]
    for pipe in (*trained, loaded, back):
        docs = list(pipe.pipe(Doc(theirs.vocab, words=each) for each in words))
        found.append([[(token.tag_, token.pos_) for token in doc] for doc in docs])
    assert all(each == found[0] for each in found) and any(found[0][0][0])


@pytest.mark.parametrize("factory", ["textconv_tagger", "textconv_morphologizer"])
def test_examples_can_be_read_one_by_one(factory):
    nlp, made = pipeline(factory)
    pipe = nlp.get_pipe("pipe")
    assert pipe.update(iter(made)) == pipe.update(made) != {"pipe": 0.0}
    scores = pipe.model.predict([example.predicted for example in made])
    assert pipe.get_loss(iter(made), scores)[0] == pipe.get_loss(made, scores)[0]


def test_settings_and_scores_are_those_of_spacy():
    nlp = spacy.blank("en")
    for factory in ("tagger", "morphologizer"):
        theirs = nlp.get_factory_meta(factory)
        ours = nlp.get_factory_meta(f"textconv_{factory}")
        assert ours.default_config == theirs.default_config
        assert ours.default_score_weights == theirs.default_score_weights
        assert ours.assigns == theirs.assigns


def test_bad_scores_are_refused():
    nlp, made = pipeline("textconv_tagger")
    tagger = nlp.get_pipe("pipe")
    good = tagger.model.begin_update([example.predicted for example in made])[0]
    tagger.get_loss(made, good)
    with pytest.raises(ValueError, match="E910"):
        tagger.get_loss(made, [scores * numpy.nan for scores in good])
    with pytest.raises(ValueError, match=r"E130.*'pipe'.*spacy\.Tagger\.v2"):
        tagger.get_loss(made, [scores * 9 for scores in good])
    softmax = tagger.model.get_ref("softmax")
    softmax.set_param("b", softmax.get_param("b") * numpy.nan)
    with pytest.raises(ValueError, match="E940"):
        nlp.update(made)


def test_more_outputs_than_labels_are_refused():
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec(), "nO": 7}
    nlp, made = pipeline("textconv_tagger", model=model)
    with pytest.raises(ValueError, match="E066.*`nO` is 7.* 5 outputs"):
        nlp.update(made)


@pytest.mark.parametrize("tag", ["NEW", "!NEW"])
def test_unknown_tags_are_refused(tag):
    nlp, made = pipeline("textconv_tagger")
    made[0].reference[2].tag_ = tag
    with pytest.raises(ValueError, match=r"E131.*'NEW'.*\[initialize\.components\.pipe\.labels\]"):
        nlp.update(made)


@pytest.mark.parametrize("factory", ["textconv_tagger", "textconv_morphologizer"])
def test_documents_without_tokens(factory):
    nlp, made = pipeline(factory)
    pipe = nlp.get_pipe("pipe")
    assert [len(doc) for doc in pipe.pipe([Doc(nlp.vocab)] * 2)] == [0, 0]
    assert nlp.update(made[1:2])["pipe"] == 0.0
    loss, [gradient] = pipe.get_loss(made[1:2], [numpy.zeros((0, len(pipe.labels)), "f")])
    assert loss == 0.0 and gradient.shape == (0, len(pipe.labels))


def count_calls(component, labels, copies):
    """How much a training step, and a prediction, ask for, with so many documents."""

    def forward(model, docs, is_train):
        number = len(component.labels)
        rows = [numpy.full((len(doc), number), 0.1, dtype="f").view(Counted) for doc in docs]
        return rows, lambda d_rows: []

    component = component(VOCAB, Model("scores", forward))
    component.cfg.update(labels)
    words, tags = ["a", "bird"], ["A", "NOUN"]
    docs = [Doc(VOCAB, words=words) for _ in range(copies)]
    reference = Doc(VOCAB, words=words, tags=tags, pos=["", "NOUN"], morphs=["Case=Acc", ""])
    counts = []
    for ask in (
        lambda: component.update([Example(doc, reference) for doc in docs]),
        lambda: component.predict(docs),
    ):
        Counted.calls = 0
        ask()
        counts.append(Counted.calls)
    return counts


@pytest.mark.parametrize(
    "component, labels",
    [(Tagger, {"labels": TAGS}), (Morphologizer, {"labels_morph": MORPHS, "labels_pos": POS})],
)
def test_more_documents_ask_no_more_of_the_device(component, labels):
    ours = count_calls(OURS[component], labels, copies=2)
    assert ours == count_calls(OURS[component], labels, copies=20)
    assert max(ours) < 20
    theirs = count_calls(component, labels, copies=20)
    assert theirs[0] > 20 * 8 and theirs[1] >= 20


@pytest.mark.filterwarnings("ignore:.*W006")
def test_debug_data_knows_the_components(tmp_path, capsys):
    nlp, made = pipeline("textconv_tagger")
    nlp.add_pipe("textconv_morphologizer")
    assert nlp.config["components"]["pipe"]["factory"] == "textconv_tagger"
    nlp.initialize(lambda: made)
    nlp.to_disk(tmp_path / "model")
    DocBin(docs=[example.reference for example in made]).to_disk(tmp_path / "data.spacy")
    paths = {f"paths.{name}": str(tmp_path / "data.spacy") for name in ("train", "dev")}
    # So few documents are an error.
    with pytest.raises(SystemExit):
        debug_data(tmp_path / "model" / "config.cfg", config_overrides=paths, silent=False)
    said = capsys.readouterr().out
    assert "Part-of-speech Tagging" in said and "Morphologizer" in said
