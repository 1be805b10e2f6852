"""The component for strings from strings."""

import pickle
import threading
import unicodedata
import warnings
from math import log

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Token
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_textconv.pipeline.strings import StringReader
from spacy_textconv.pipeline.transducer import MAX_LETTERS

from ..util import tok2vec

SMALL = {
    "@architectures": "spacy-textconv.CTCTransducer.v1",
    "width": 32,
    "slot_width": 32,
    "dilations": [1, 2, 1],
    "dropout": 0.0,
}
CAUSAL = {
    "@architectures": "spacy-textconv.CausalTransducer.v1",
    "width": 32,
    "dilations": [1, 2],
    "dropout": 0.0,
    "decoder": {
        "@architectures": "spacy-textconv.CausalConvDecoder.v1",
        "width": 32,
        "dilations": [1, 2],
        "dropout": 0.0,
    },
}
MODELS = {"one pass": SMALL, "causal": CAUSAL}
WORDS = ["walked", "walks", "talked", "talks", "jumped", "jumps", "Sees", "went"]
LEMMAS = ["walk", "walk", "talk", "talk", "jump", "jump", "see", "go"]
FORMS = {
    ("go", "V;PST"): "went",
    ("go", "V;3;SG"): "goes",
    ("walk", "V;PST"): "walked",
    ("walk", "V;3;SG"): "walks",
    ("jump", "V;PST"): "jumped",
    ("jump", "V;3;SG"): "jumps",
}


def lemma_examples(nlp, words=WORDS, lemmas=LEMMAS, **annotation):
    reference = Doc(nlp.vocab, words=words, lemmas=lemmas, **annotation)
    return [Example(Doc(nlp.vocab, words=words), reference)]


def make_lemmatizer(name="lemmatizer", model=SMALL, **config):
    nlp = spacy.blank("en")
    nlp.add_pipe("textconv_lemmatizer", name=name, config={"model": model, **config})
    return nlp


def train(nlp, examples, steps=120, rate=0.005):
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = rate
    for _ in range(steps):
        losses = nlp.update(examples, sgd=optimizer)
    return losses


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def lemmatizer(model):
    """A pipeline that has learned a few lemmas, with the network alone."""
    nlp = make_lemmatizer(model=model, memory=False)
    train(nlp, lemma_examples(nlp))
    return nlp


@pytest.fixture(scope="module")
def inflector(model):
    """A pipeline that has learned a few forms, with the network alone."""
    Token.set_extension("features", default=None, force=True)
    nlp = spacy.blank("xx")
    config = {"target": "_.form", "features": ["_.features"], "memory": False, "model": model}
    nlp.add_pipe("textconv_transducer", name="inflector", config=config)
    examples = []
    for (source, features), target in FORMS.items():
        docs = [Doc(nlp.vocab, words=[source]) for _ in range(2)]
        for doc in docs:
            doc[0]._.features = features
        docs[1][0]._.form = target
        examples.append(Example(*docs))
    train(nlp, examples)
    return nlp


def lemmas(doc):
    return [token.lemma_ for token in doc]


def test_it_learns_lemmas(lemmatizer):
    doc = lemmatizer(Doc(lemmatizer.vocab, words=WORDS))
    assert lemmas(doc) == LEMMAS
    assert lemmatizer.evaluate(lemma_examples(lemmatizer))["lemma_acc"] == 1.0


def test_it_learns_from_features(inflector):
    strings, features = zip(*FORMS, strict=True)
    assert inflector.get_pipe("inflector").transduce(strings, features) == [*FORMS.values()]


def test_documents_and_bare_strings_get_the_same(inflector):
    doc = Doc(inflector.vocab, words=["go", "walk"])
    for token in doc:
        token._.features = "V;PST"
    assert [token._.form for token in inflector(doc)] == ["went", "walked"]


def test_several_results_are_ranked(model):
    # One that has learned too little to be sure.
    nlp = make_lemmatizer(model=model, memory=False)
    train(nlp, lemma_examples(nlp), steps=10)
    [candidates] = nlp.get_pipe("lemmatizer").transduce(["walked"], n_best=3)
    texts, probabilities = zip(*candidates, strict=True)
    assert len(set(texts)) == 3
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert 0.0 < sum(probabilities) <= 1.0 + 1e-4


@pytest.mark.parametrize("margin, preferred", [(0.1, 1), (-0.1, 0)])
def test_results_of_other_strings_are_preferred(model, margin, preferred):
    nlp = make_lemmatizer(model=model, lexicon_bonus=0.0)
    train(nlp, lemma_examples(nlp), steps=30)
    component = nlp.get_pipe("lemmatizer")
    [candidates] = component.transduce(["walking"], n_best=4)
    assert component.transduce(["walking"]) == [candidates[0][0]]
    # The second one becomes known, and a bonus makes up for its lower probability, or hardly.
    component.cfg["memory"] = {"other": [candidates[1][0]]}
    bonus = log(candidates[0][1] / candidates[1][1]) + margin
    again = make_lemmatizer(model=model, lexicon_bonus=bonus)
    again.get_pipe("lemmatizer").from_bytes(component.to_bytes())
    [found] = again.get_pipe("lemmatizer").transduce(["walking"], n_best=4)
    assert [text for text, _ in found][0] == candidates[preferred][0]
    # A wider search finds more alignments of each.
    for text, probability in candidates[:2]:
        assert dict(found)[text] == pytest.approx(probability, abs=0.02)
    assert again.get_pipe("lemmatizer").transduce(["walking"]) == [candidates[preferred][0]]
    assert lemmas(again("walking other")) == [candidates[preferred][0], candidates[1][0]]
    again.get_pipe("lemmatizer").memory = False
    assert again.get_pipe("lemmatizer").transduce(["walking"]) == [candidates[0][0]]


@pytest.mark.parametrize("repeats, preferred", [(1, 1), (20, 0)])
def test_known_results_are_not_preferred_where_none_is_probable(repeats, preferred):
    nlp = make_lemmatizer(lexicon_bonus=0.0)
    train(nlp, lemma_examples(nlp), steps=10)
    component = nlp.get_pipe("lemmatizer")
    [candidates] = component.transduce(["walking" * repeats], n_best=2)
    component.cfg["memory"] = {"other": [candidates[1][0]]}
    again = make_lemmatizer(lexicon_bonus=100.0)
    again.get_pipe("lemmatizer").from_bytes(component.to_bytes())
    assert lemmas(again("walking" * repeats)) == [candidates[preferred][0]]


def test_of_several_known_results_the_most_probable_is_taken():
    nlp = make_lemmatizer(model={**SMALL, "tok2vec": tok2vec()}, lexicon_bonus=0.0, n_best=8)
    words, targets = ["walking", "walking", "walking"], ["walking", "walking", "walk"]
    train(nlp, lemma_examples(nlp, words, targets), steps=10)
    component = nlp.get_pipe("lemmatizer")
    component.memory = False
    candidates = [text for text, _ in nlp("walking")[0]._.lemma_n_best]
    # The most frequent one is none of them, and the other one is the last.
    component.cfg["memory"] = {"walking": ["unlikely", candidates[-1]]}
    component.memory, component.n_best = True, 1
    assert lemmas(nlp("walking")) == [candidates[-1]]


def test_a_change_of_settings_counts_for_what_was_remembered():
    nlp = make_lemmatizer(memory=True)
    train(nlp, lemma_examples(nlp, ["left"], ["leave"]), steps=1)
    component = nlp.get_pipe("lemmatizer")
    assert lemmas(nlp("left")) == ["leave"]
    component.memory = False
    assert lemmas(nlp("left")) == component.transduce(["left"]) != ["leave"]


def test_several_results_are_on_the_tokens():
    nlp = make_lemmatizer(n_best=2, memory=False)
    train(nlp, lemma_examples(nlp), steps=10)
    doc = nlp("walks")
    assert len(doc[0]._.lemma_n_best) == 2
    assert doc[0]._.lemma_n_best[0][0] == doc[0].lemma_


def test_memory_knows_the_most_frequent_target():
    nlp = make_lemmatizer()
    words = ["left", "left", "left"]
    nlp.initialize(lambda: lemma_examples(nlp, words, ["leave", "left", "leave"]))
    assert lemmas(nlp(Doc(nlp.vocab, words=words))) == ["leave"] * 3


def test_memory_keeps_features_apart():
    nlp = make_lemmatizer(features=["POS"])
    words, targets, pos = ["left", "left"], ["leave", "left"], ["VERB", "ADJ"]
    nlp.initialize(lambda: lemma_examples(nlp, words, targets, pos=pos))
    doc = nlp.get_pipe("lemmatizer")(Doc(nlp.vocab, words=words, pos=pos))
    assert lemmas(doc) == targets


def test_unknown_letters_are_copied():
    nlp = make_lemmatizer(memory=False)
    words = ["ab", "ba", "aab", "bba", "abab", "baab", "bab", "aba"]
    train(nlp, lemma_examples(nlp, words, words), steps=60)
    assert lemmas(nlp(Doc(nlp.vocab, words=["aß", "世b"]))) == ["aß", "世b"]


def test_what_is_set_stays_unless_it_is_overwritten():
    for overwrite, expected in ((False, "mine"), (True, "walk")):
        nlp = make_lemmatizer(overwrite=overwrite)
        nlp.initialize(lambda nlp=nlp: lemma_examples(nlp))
        doc = Doc(nlp.vocab, words=["walks", "talks"], lemmas=["mine", ""])
        assert lemmas(nlp(doc)) == [expected, "talk"]


def test_an_extension_that_is_an_empty_text_by_default():
    Token.set_extension("past", default="", force=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("textconv_transducer", config={"model": SMALL, "target": "_.past"})
    reference = nlp.make_doc("go it")
    reference[0]._.past = "went"
    nlp.initialize(lambda: [Example(nlp.make_doc("go it"), reference)])
    assert nlp.get_pipe("textconv_transducer").cfg["memory"] == {"go": ["went"]}
    assert nlp("go")[0]._.past == "went"


@pytest.mark.parametrize("features", [[], ["POS"]])
def test_nothing_is_learned_where_nothing_is_annotated(features):
    nlp = make_lemmatizer(features=features)
    examples = lemma_examples(nlp, ["walks", "unknown"], ["walk", ""])
    optimizer = nlp.initialize(lambda: examples)
    component = nlp.get_pipe("lemmatizer")
    assert set(component.labels) == set("walks")
    assert list(component.cfg["memory"]) == ["walks"]
    bare = lemma_examples(nlp, ["walks", "unknown"], ["", ""])
    before = nlp.to_bytes()
    assert nlp.update(bare, sgd=optimizer) == {"lemmatizer": 0.0}
    assert nlp.to_bytes() == before


def test_loss_counts_pairs_once(model):
    nlp = make_lemmatizer(model=model)
    nlp.initialize(lambda: lemma_examples(nlp))
    once = nlp.update(lemma_examples(nlp), losses={}, sgd=False)
    twice = nlp.update(lemma_examples(nlp) * 2, losses={}, sgd=False)
    assert once["lemmatizer"] == pytest.approx(twice["lemmatizer"], rel=1e-4)


def test_features_come_from_the_reference_where_no_component_sets_them():
    nlp = make_lemmatizer(features=["POS"], memory=False)
    words, targets, pos = ["left", "left"], ["leave", "left"], ["VERB", "ADJ"]
    examples = lemma_examples(nlp, words, targets, pos=pos)
    train(nlp, examples)
    doc = nlp.get_pipe("lemmatizer")(Doc(nlp.vocab, words=words, pos=pos))
    assert lemmas(doc) == targets


def test_features_that_nothing_sets_are_an_error():
    nlp = make_lemmatizer(features=["POS"])
    optimizer = nlp.initialize(lambda: lemma_examples(nlp))
    with pytest.raises(ValueError, match="E117"):
        nlp.update(lemma_examples(nlp), sgd=optimizer)
    with pytest.warns(UserWarning, match="W030"):
        nlp("walks")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp("talks")


def test_all_features_that_nothing_sets_are_named():
    nlp = make_lemmatizer(features=["POS", "MORPH", "TAG"])
    nlp.initialize(lambda: lemma_examples(nlp, tags=["X"] * len(WORDS)))
    with pytest.warns(UserWarning, match="W030.* POS, MORPH in") as warned:
        nlp.get_pipe("lemmatizer")(Doc(nlp.vocab, words=["walks"], tags=["X"]))
    assert len(warned) == 1


def test_training_goes_on_after_loading():
    nlp = make_lemmatizer(features=["POS"])
    bare = lemma_examples(nlp)
    annotated = lemma_examples(nlp, ["left"], ["leave"], pos=["VERB"])
    nlp.initialize(lambda: [*annotated, *bare])
    again = make_lemmatizer(features=["POS"]).from_bytes(nlp.to_bytes())
    assert again.update(bare, sgd=again.resume_training())["lemmatizer"] > 0.0


def test_some_batches_may_have_no_features():
    nlp = make_lemmatizer(features=["POS"])
    annotated, bare = lemma_examples(nlp, ["left"], ["leave"], pos=["VERB"]), lemma_examples(nlp)
    optimizer = nlp.initialize(lambda: [*bare, *annotated])
    assert nlp.update(bare, sgd=optimizer)["lemmatizer"] > 0.0
    optimizer = nlp.initialize(lambda: bare)
    # What a component of the pipeline sets is in no reference.
    nlp.update(annotated, sgd=optimizer)
    assert nlp.update(bare, sgd=optimizer)["lemmatizer"] > 0.0
    optimizer = nlp.initialize(lambda: bare)
    with pytest.raises(ValueError, match="E117"):
        nlp.update(bare, sgd=optimizer)


def test_morphology_is_split():
    nlp = make_lemmatizer(features=["MORPH"])
    morphs = ["Number=Sing|Person=3", "Tense=Past"]
    nlp.initialize(lambda: lemma_examples(nlp, ["is", "was"], ["be", "be"], morphs=morphs))
    memory = nlp.get_pipe("lemmatizer").cfg["memory"]
    assert memory == {
        "is\x1fMORPH Number=Sing\x1fMORPH Person=3": ["be"],
        "was\x1fMORPH Tense=Past": ["be"],
    }


def test_labels_are_the_symbols(tmp_path):
    nlp = make_lemmatizer()
    examples = lemma_examples(nlp)
    nlp.initialize(lambda: examples)
    data = nlp.get_pipe("lemmatizer").label_data
    assert list(data) == sorted({*"".join(WORDS + LEMMAS), "s"})
    other = make_lemmatizer()
    other.get_pipe("lemmatizer").initialize(lambda: examples, nlp=other, labels=data)
    assert other.get_pipe("lemmatizer").labels == data
    with pytest.raises(ValueError, match="E113"):
        nlp.get_pipe("lemmatizer").add_label("ß")


@pytest.mark.parametrize("how", ["bytes", "disk"])
def test_it_is_saved(lemmatizer, model, tmp_path, how):
    if how == "bytes":
        loaded = make_lemmatizer(model=model, memory=False).from_bytes(lemmatizer.to_bytes())
    else:
        lemmatizer.to_disk(tmp_path)
        loaded = spacy.load(tmp_path)
    assert lemmas(loaded(" ".join(WORDS))) == LEMMAS


def test_a_damaged_file_is_named(lemmatizer, tmp_path):
    lemmatizer.to_disk(tmp_path)
    cfg = tmp_path / "lemmatizer" / "cfg"
    cfg.write_text(cfg.read_text().replace('"a",', ""))
    with pytest.raises(ValueError, match=r"E090.*model"):
        spacy.load(tmp_path)
    cfg.unlink()
    with pytest.raises(ValueError, match=r"E090.*cfg"):
        spacy.load(tmp_path)


def test_a_sourced_component_keeps_working(lemmatizer):
    nlp = spacy.blank("en")
    nlp.add_pipe("lemmatizer", source=lemmatizer)
    assert lemmas(nlp(" ".join(WORDS))) == LEMMAS


def test_other_processes_find_the_same(inflector):
    docs = []
    for source, features in FORMS:
        docs.append(Doc(inflector.vocab, words=[source]))
        docs[-1][0]._.features = features
    found = [doc[0]._.form for doc in inflector.pipe(docs, n_process=2, batch_size=2)]
    assert found == [*FORMS.values()]


def test_threads_find_the_same(lemmatizer):
    # Different words, so that nothing is remembered when a thread gets to them.
    texts = [f"{word}{i}" for i in range(5) for word in WORDS]
    expected = [lemmas(lemmatizer(text)) for text in texts]
    component = lemmatizer.get_pipe("lemmatizer")
    component.from_bytes(component.to_bytes())
    found = {}

    def work(thread):
        found[thread] = [lemmas(lemmatizer(text)) for text in texts]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(8), expected)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=6))
def test_batch_mates_do_not_matter(lemmatizer, strings):
    component = lemmatizer.get_pipe("lemmatizer")
    assert component.transduce(strings) == [component.transduce([text])[0] for text in strings]


def test_empty_documents(lemmatizer):
    docs = list(lemmatizer.pipe(["", "walks", ""]))
    assert [lemmas(doc) for doc in docs] == [[], ["walk"], []]
    assert lemmatizer("").text == ""
    assert lemmatizer.get_pipe("lemmatizer").transduce([]) == []


def test_very_long_tokens_are_left_as_they_are(lemmatizer):
    long = "a" * (MAX_LETTERS + 1)
    assert lemmas(lemmatizer(Doc(lemmatizer.vocab, words=[long, "walks"]))) == [long, "walk"]
    # Nor is anything learned from them.
    assert lemmatizer.update(lemma_examples(lemmatizer, [long], ["a"]), sgd=False) == {
        "lemmatizer": 0.0
    }


def test_where_no_string_is_none_is_made(inflector):
    component = inflector.get_pipe("inflector")
    assert component.transduce(["", "go"], ["V;PST"] * 2) == ["", "went"]
    # Nor is anything learned there.
    Token.set_extension("form", default=None, force=True)
    nlp = spacy.blank("xx")
    config = {"source": "_.form", "target": "LEMMA", "model": SMALL}
    nlp.add_pipe("textconv_transducer", name="transducer", config=config)
    made = [lemma_examples(nlp, ["a", "b"], ["x", "y"])[0] for _ in range(2)]
    made[0].reference[0]._.form = "z"
    nlp.initialize(lambda: made)
    assert nlp.get_pipe("transducer").cfg["memory"] == {"z": ["x"]}
    losses = [nlp.update([example], sgd=False)["transducer"] for example in made]
    assert losses[0] > losses[1] == 0.0


def test_another_process_knows_the_extensions_that_are_read():
    Token.set_extension("note", default=None, force=True)
    reader = pickle.dumps(StringReader("_.note", "LEMMA", ["_.note"]))
    # As there, where nobody has registered it.
    Token.remove_extension("note")
    pickle.loads(reader).check_registered()


def test_new_weights_are_used_at_once(lemmatizer, model):
    nlp = make_lemmatizer(model=model, memory=False).from_bytes(lemmatizer.to_bytes())
    assert lemmas(nlp("walks")) == ["walk"]
    train(nlp, lemma_examples(nlp, ["walks"], ["w"]), steps=60)
    assert lemmas(nlp("walks")) == ["w"]


def test_strings_in_context(model):
    # Of "left", only the words around tell what it is.
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 32,
        "depth": 1,
        "embed_size": 100,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    }
    nlp = make_lemmatizer(model={**model, "tok2vec": tok2vec}, memory=False)
    words, targets = ["she", "left", "his", "left"], ["she", "leave", "his", "left"]
    examples = [
        example
        for part in (slice(0, 2), slice(2, 4))
        for example in lemma_examples(nlp, words[part], targets[part])
    ]
    train(nlp, examples)
    docs = [Doc(nlp.vocab, words=words[part]) for part in (slice(2, 4), slice(0, 2))]
    assert [lemmas(doc) for doc in nlp.pipe(docs)] == [targets[2:], targets[:2]]
    with pytest.raises(ValueError, match="E115"):
        nlp.get_pipe("lemmatizer").transduce(["left"])


def test_what_only_the_context_tells_is_known_but_not_decided():
    nlp = make_lemmatizer(model={**SMALL, "tok2vec": tok2vec()})
    words, targets = ["she", "left", "his", "left"], ["she", "leave", "his", "left"]
    examples = lemma_examples(nlp, words, targets)
    nlp.initialize(lambda: examples)
    memory = nlp.get_pipe("lemmatizer").cfg["memory"]
    assert memory == {"she": ["she"], "his": ["his"], "left": ["leave", "left"]}
    # Before anything is learned, the network copies.
    assert lemmas(nlp(" ".join(words))) == words
    scores = nlp.evaluate(examples)
    assert (scores["lemma_acc"], scores["lemma_acc_unseen"]) == (0.75, None)
    # Equal words in different places are different ones.
    once, twice = (nlp.update(examples * n, sgd=False)["lemmatizer"] for n in (1, 2))
    assert twice == pytest.approx(2 * once, rel=1e-4)


def test_of_several_results_one_is_taken():
    nlp = make_lemmatizer(model={**SMALL, "tok2vec": tok2vec()})
    words, targets = ["bore"] * 3, ["bear", "born", "bear"]
    nlp.initialize(lambda: lemma_examples(nlp, words, targets))
    component = nlp.get_pipe("lemmatizer")
    # The network copies, which is none of them.
    assert lemmas(nlp("bore bore")) == ["bear", "bear"]
    component.memory = False
    assert lemmas(nlp("bore bore")) == words[:2]


def test_a_listener_is_replaced(model):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    width = nlp.get_pipe("tok2vec").model.get_dim("nO")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": width}
    model = {**model, "tok2vec": {**listener, "upstream": "tok2vec"}}
    nlp.add_pipe("textconv_lemmatizer", name="lemmatizer", config={"model": model, "memory": False})
    train(nlp, lemma_examples(nlp))
    expected = lemmas(nlp(" ".join(WORDS)))
    nlp.replace_listeners("tok2vec", "lemmatizer", ["model.tok2vec"])
    nlp.remove_pipe("tok2vec")
    assert lemmas(nlp(" ".join(WORDS))) == expected
    assert expected[:7] == LEMMAS[:7]


def test_targets_that_are_too_long_are_reported():
    model = {**SMALL, "stride": 1, "pad_before": 0, "pad_after": 0}
    nlp = make_lemmatizer(model=model)
    with pytest.warns(UserWarning, match=r"W032.*1 of the 2.*'abcd' needs 4 places.* 2 for 'ab'"):
        optimizer = nlp.initialize(lambda: lemma_examples(nlp, ["ab", "cd"], ["abcd", "c"]))
    losses = nlp.update(lemma_examples(nlp, ["ab"], ["abcd"]), sgd=optimizer)
    assert losses["lemmatizer"] == 0.0
    with pytest.raises(ValueError, match=r"E118.*`stride` \(now 1\)"):
        nlp.initialize(lambda: lemma_examples(nlp, ["ab"], ["abcd"]))


def test_room_for_letters_is_reported_as_well():
    nlp = make_lemmatizer(model={**CAUSAL, "max_added": 1}, memory=False)
    with pytest.warns(UserWarning, match=r"W032.*1 of the 2.*'abcd' needs 4.* 3 for 'ab'"):
        optimizer = nlp.initialize(lambda: lemma_examples(nlp, ["ab", "cd"], ["abcd", "c"]))
    optimizer.learn_rate = 0.01
    for _ in range(30):
        nlp.update(lemma_examples(nlp, ["ab"], ["abcd"]), sgd=optimizer)
    assert lemmas(nlp("ab")) == ["abc"]
    with pytest.raises(ValueError, match=r"E118.*`max_added` \(now 1\)"):
        nlp.initialize(lambda: lemma_examples(nlp, ["ab"], ["abcd"]))


def test_parts_that_move():
    """What one pass with few slots can't do: the first letter goes to the end."""
    words = ["ankommen", "aufgehen", "zulassen", "abholen"]
    lemmas_ = ["kommen an", "gehen auf", "lassen zu", "holen ab"]
    nlp = make_lemmatizer(model=CAUSAL, memory=False)
    train(nlp, lemma_examples(nlp, words, lemmas_))
    assert lemmas(nlp(" ".join(words))) == lemmas_


def test_strings_are_compared_in_one_normal_form():
    decomposed = unicodedata.normalize("NFD", "café")
    nlp = make_lemmatizer()
    nlp.initialize(lambda: lemma_examples(nlp, ["cafés"], ["café"]))
    words = [unicodedata.normalize("NFD", "cafés"), "cafés"]
    assert lemmas(nlp(Doc(nlp.vocab, words=words))) == ["café", "café"]
    with pytest.warns(UserWarning, match="W031"):
        nlp.initialize(lambda: lemma_examples(nlp, ["cafés"], [decomposed]))


def test_marks_in_any_order_are_the_same():
    shin = ["\u05e9\u05c1\u05b8", "\u05e9\u05b8\u05c1"]
    nlp = make_lemmatizer()
    nlp.initialize(lambda: lemma_examples(nlp, shin[:1], ["\u05e9"]))
    assert lemmas(nlp(Doc(nlp.vocab, words=shin))) == ["\u05e9", "\u05e9"]


def test_an_unregistered_extension_is_named():
    nlp = make_lemmatizer(features=["_.unheard_of"])
    with pytest.raises(ValueError, match="E110.*unheard_of"):
        nlp.initialize(lambda: lemma_examples(nlp))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"target": "POS"}, "target"),
        ({"source": "HEAD"}, "source"),
        ({"features": ["POS", "SPAM"]}, "features"),
        ({"n_best": 0}, "n_best"),
        ({"lexicon_bonus": -1.0}, "lexicon_bonus"),
        ({"lexicon_bonus": 1e6}, "lexicon_bonus"),
    ],
)
def test_bad_settings_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("textconv_transducer", config=config)


def test_without_targets_there_is_nothing_to_learn():
    nlp = make_lemmatizer()
    with pytest.raises(ValueError, match="E114"):
        nlp.initialize(lambda: lemma_examples(nlp, ["a"], [""]))


def test_features_of_strings_are_checked(inflector):
    component = inflector.get_pipe("inflector")
    with pytest.raises(ValueError, match="E116"):
        component.transduce(["go", "walk"], ["V;PST"])
    with pytest.raises(ValueError, match="E116"):
        component.transduce(["go"], [["V", "PST"]])


def test_a_single_string_has_to_be_in_a_list(inflector):
    with pytest.raises(ValueError, match=r"E124.*\['go'\]"):
        inflector.get_pipe("inflector").transduce("go", ["V;PST"])


def test_documents_without_user_data(lemmatizer):
    stored = DocBin(docs=[lemmatizer("walks talked")]).to_bytes()
    [doc] = DocBin().from_bytes(stored).get_docs(lemmatizer.vocab)
    assert lemmas(doc) == ["walk", "talk"]


def test_an_untrained_component_says_so():
    with pytest.raises(ValueError, match="E109"):
        make_lemmatizer()("walks")


def test_initializing_again_forgets(model):
    nlp = make_lemmatizer(model=model)
    examples = lemma_examples(nlp)
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    new = nlp.get_pipe("lemmatizer").to_bytes(exclude=["vocab"])
    train(nlp, examples, steps=2)
    assert nlp.get_pipe("lemmatizer").to_bytes(exclude=["vocab"]) != new
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    assert nlp.get_pipe("lemmatizer").to_bytes(exclude=["vocab"]) == new


def test_rare_pairs_are_drawn_more_often():
    nlp = make_lemmatizer(max_pairs=1)
    nlp.initialize(lambda: lemma_examples(nlp, ["walks"] * 20 + ["talked"], ["walk"] * 21))
    component = nlp.get_pipe("lemmatizer")

    def loss(*words):
        return component.update(lemma_examples(nlp, words, ["walk"] * len(words)))["lemmatizer"]

    fix_random_seed(0)
    losses = [loss("walks", "talked") for _ in range(30)]
    rare = sum(one == pytest.approx(loss("talked"), rel=1e-4) for one in losses)
    frequent = sum(one == pytest.approx(loss("walks"), rel=1e-4) for one in losses)
    assert rare + frequent == 30
    assert rare > 20


def test_rare_readings_of_a_word_are_not_drawn_more_often():
    nlp = make_lemmatizer(max_pairs=1)
    nlp.initialize(lambda: lemma_examples(nlp, ["saw"] * 21, [*["see"] * 20, "saw"]))
    component = nlp.get_pipe("lemmatizer")

    def loss(*lemmas):
        return component.update(lemma_examples(nlp, ["saw"] * len(lemmas), lemmas))["lemmatizer"]

    fix_random_seed(0)
    losses = [loss("see", "saw") for _ in range(30)]
    rare = sum(one == pytest.approx(loss("saw"), rel=1e-4) for one in losses)
    frequent = sum(one == pytest.approx(loss("see"), rel=1e-4) for one in losses)
    assert rare + frequent == 30
    assert 5 < rare < 25
