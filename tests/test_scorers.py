import pytest
import spacy
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from spacy_textconv.scorers import transducer_score

WORDS = ["walks", "talks", "is", "Oslo", "new"]


def example(found, gold, words=WORDS):
    vocab = spacy.blank("en").vocab
    return Example(Doc(vocab, words=words, lemmas=found), Doc(vocab, words=words, lemmas=gold))


def score(examples, known=()):
    return transducer_score(examples, source="ORTH", target="LEMMA", known=known)


def test_scores_are_those_counted_by_hand():
    gold = ["walk", "talk", "be", "Oslo", ""]
    eg = example(["walk", "talks", "is", "Oslo", "any"], gold)
    scores = score([eg], known={"walks", "is"})
    assert scores == {
        "lemma_acc": 0.5,
        # Of walk, talk and be.
        "lemma_acc_changed": pytest.approx(1 / 3),
        # Of talk and Oslo.
        "lemma_acc_unseen": 0.5,
        # One letter too many, and two wrong ones.
        "lemma_cer": pytest.approx(3 / 14),
    }
    assert scores["lemma_acc"] == Scorer.score_token_attr([eg], "lemma")["lemma_acc"]


def test_nothing_to_score():
    empty = {"lemma_acc": None, "lemma_acc_changed": None}
    assert score([]) == {**empty, "lemma_acc_unseen": None, "lemma_cer": None}
    unannotated = example(WORDS, [""] * 5)
    assert score([unannotated])["lemma_acc_changed"] is None
    unchanged = example(WORDS, WORDS)
    assert score([unchanged], known={"walks"})["lemma_acc_changed"] is None
    # Without a memory, nothing tells what is unseen.
    assert score([unchanged])["lemma_acc_unseen"] is None


def test_other_tokens_are_left_out():
    vocab = spacy.blank("en").vocab
    predicted = Doc(vocab, words=["can", "not", "go"], lemmas=["can", "not", "go"])
    reference = Doc(vocab, words=["cannot", "go"], spaces=[True, False], lemmas=["can not", "went"])
    predicted = Doc(vocab, words=["can", "not", "go"], spaces=[False, True, False])
    scores = score([Example(predicted, reference)])
    assert scores["lemma_acc_changed"] == 0.0
    assert scores["lemma_cer"] == pytest.approx(4 / 4)
