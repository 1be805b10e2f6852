from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.util import import_file, load_config, load_model_from_config

PROJECT = Path(__file__).parents[2] / "projects" / "quickstart"
make_corpus = import_file("make_corpus", PROJECT / "scripts" / "make_corpus.py")


@pytest.fixture(scope="module")
def documents():
    return make_corpus.make_documents(PROJECT / "assets")


@pytest.fixture(scope="module")
def docs(documents):
    nlp = spacy.blank("xx")
    return [document.to_doc(nlp) for document in documents]


@pytest.fixture(params=make_corpus.SPLITS)
def split(request, documents):
    return [document for document in documents if document.split == request.param]


def words(pieces):
    return " ".join(piece.form.text for piece in pieces)


def best_accuracy(split, key):
    """The accuracy of always choosing the more frequent category of a key."""
    categories = defaultdict(Counter)
    for document in split:
        categories[key(document)][document.category] += 1
    return sum(max(counts.values()) for counts in categories.values()) / len(split)


def test_the_same_documents_every_time(documents):
    again = make_corpus.make_documents(PROJECT / "assets")
    assert again == documents


def test_both_languages_are_present_equally(split):
    english = [document for document in split if document.language == "en"]
    hebrew = [document for document in split if document.language == "he"]
    assert len(english) == len(hebrew) == len(split) / 2
    assert all(words(document.body).isascii() for document in english)
    for document in hebrew:
        letters = filter(str.isalpha, words(document.body + document.ending))
        assert all("\u05d0" <= letter <= "\u05ea" for letter in letters)


def test_a_cue_meets_a_noun_in_one_split_only(documents):
    splits = defaultdict(set)
    bodies = defaultdict(set)
    for document in documents:
        splits[document.cue.name, document.noun.name].add(document.split)
        bodies[words(document.body)].add(document.split)
    assert all(len(names) == 1 for names in splits.values())
    assert all(len(names) == 1 for names in bodies.values())


def test_no_document_occurs_twice(docs):
    assert len({doc.text for doc in docs}) == len(docs)


def test_the_categories_are_balanced(split):
    assert best_accuracy(split, lambda document: None) == 0.5


@pytest.mark.parametrize("n_before", [0, 1, 2])
def test_the_final_words_alone_tell_nothing(split, n_before):
    def final_words(document):
        return words(document.body[len(document.body) - n_before :] + document.ending)

    assert best_accuracy(split, final_words) == 0.5


def test_the_cue_alone_is_wrong_about_turns(split):
    assert best_accuracy(split, lambda document: document.find("cue").form.text) == 2 / 3
    turns = [document for document in split if document.ending_kind == "turn"]
    assert len(turns) == len(split) / 3
    assert all(document.category != document.cue.category for document in turns)


def test_the_cue_and_the_ending_together_decide(split):
    accuracy = best_accuracy(split, lambda d: (d.find("cue").form.text, words(d.ending)))
    assert accuracy == 1.0


def test_turns_are_far_from_their_cues(split):
    distances = {document.distance for document in split}
    assert min(distances) >= make_corpus.MIN_DISTANCE
    assert max(distances) <= make_corpus.MAX_DISTANCE
    assert len(distances) >= 5


def test_the_distance_is_the_number_of_tokens_between(documents, docs):
    for document, doc in zip(documents, docs, strict=True):
        if document.ending_kind == "turn":
            texts = [token.text for token in doc]
            cue = texts.index(document.find("cue").form.text)
            turn = texts.index(document.ending[1].form.text, cue)
            assert turn - cue - 1 == document.distance


def test_the_encoder_sees_the_cue_from_the_turn(docs):
    config = load_config(PROJECT / "configs" / "config.cfg")
    nlp = load_model_from_config(config, auto_fill=False)
    encoder = next(
        node for node in nlp.get_pipe("tok2vec").model.walk() if "receptive_field" in node.attrs
    )
    assert encoder.attrs["receptive_field"] // 2 > make_corpus.MAX_DISTANCE


def test_every_token_is_annotated(docs):
    for doc in docs:
        for annotation in ("TAG", "POS", "ENT_IOB"):
            assert doc.has_annotation(annotation, require_complete=True), annotation
        assert sorted(doc.cats.values()) == [0.0, 1.0]
    assert {ent.label_ for doc in docs for ent in doc.ents} == {"PERSON", "ORG", "GPE"}
    inflected = ("ADJ", "NOUN", "PRON", "VERB")
    assert all(token.morph for doc in docs for token in doc if token.pos_ in inflected)


def test_hebrew_adjectives_agree_with_their_nouns(documents, docs):
    n_pairs = 0
    for document, doc in zip(documents, docs, strict=True):
        if document.language == "he":
            for noun, adjective in pairwise(doc):
                if noun.pos_ == "NOUN" and adjective.pos_ == "ADJ":
                    n_pairs += 1
                    for feature in ("Gender", "Number", "Definite"):
                        assert noun.morph.get(feature) == adjective.morph.get(feature), doc.text
    assert n_pairs >= len(docs) / 2


def test_the_project_uses_files_that_exist():
    project = srsly.read_yaml(PROJECT / "project.yml")
    names = {command["name"] for command in project["commands"]}
    made = {output for command in project["commands"] for output in command["outputs"]}
    assert set(project["workflows"]["all"]) == names
    for command in project["commands"]:
        assert command["help"]
        for line in command["script"]:
            program, argument, *_ = line.split()
            assert program == "python"
            assert argument == "-m" or argument in command["deps"], line
        for path in set(command["deps"]) - made:
            assert (PROJECT / path).is_file(), path
