import sys

import pytest
import sacrebleu
import spacy
import srsly
from spacy.cli.evaluate import evaluate
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_textconv.scorers import seq2seq_score, transducer_score

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


FOUND = ["the cat sat on the mat today", "a dog runs", "caf\u00e9"]
GOLD = ["the cat sat on the mat", "a dog ran over the grass", "cafe\u0301"]


@pytest.fixture
def extension():
    Doc.set_extension("translation", default=None, force=True)
    yield "translation"
    Doc.remove_extension("translation")


def text_example(found, gold):
    vocab = spacy.blank("en").vocab
    eg = Example(Doc(vocab, words=["any"]), Doc(vocab, words=["any"]))
    eg.predicted._.translation = found
    eg.reference._.translation = gold
    return eg


def test_texts_are_scored_by_sacrebleu(extension):
    examples = [text_example(*pair) for pair in zip(FOUND, GOLD, strict=True)]
    scores = seq2seq_score(examples, target=extension)
    # Accents are part of their letters, whichever way they are written.
    gold = [[*GOLD[:2], FOUND[2]]]
    bleu, chrf = sacrebleu.corpus_bleu(FOUND, gold), sacrebleu.corpus_chrf(FOUND, gold)
    assert scores["translation_bleu"] == pytest.approx(bleu.score / 100)
    assert scores["translation_chrf"] == pytest.approx(chrf.score / 100)
    assert 0.1 < scores["translation_bleu"] < 1 and 0.1 < scores["translation_chrf"] < 1
    assert scores["translation_exact"] == pytest.approx(1 / 3)
    signature = scores["translation_signature"]
    assert signature["bleu"].startswith("nrefs:1|case:mixed|") and "tok:" in signature["bleu"]
    assert signature["chrf"].startswith("nrefs:1|case:mixed|") and "nc:6" in signature["chrf"]


def test_documents_without_a_target_are_left_out(extension):
    examples = [text_example(*pair) for pair in zip(FOUND, GOLD, strict=True)]
    scores = seq2seq_score(examples, target=extension)
    unknown = [text_example("what", None), text_example("what", "")]
    assert seq2seq_score([*examples, *unknown], target=extension) == scores
    empty = seq2seq_score(unknown, target=extension)
    assert empty == dict.fromkeys(scores) and len(empty) == 4


def test_a_text_that_is_missing_is_a_mistake(extension):
    scores = seq2seq_score([text_example(None, "a dog")], target=extension)
    assert [*scores.values()][:3] == [0.0, 0.0, 0.0]


@Language.factory("shouting_translator")
class Shouting:
    def __init__(self, nlp, name):
        pass

    def __call__(self, doc):
        doc._.translation = doc.text.upper()
        return doc

    def score(self, examples, **kwargs):
        return seq2seq_score(examples, target="translation")


@pytest.mark.parametrize("per_component", [False, True])
def test_scores_are_written_by_spacy_evaluate(extension, tmp_path, per_component):
    nlp = spacy.blank("en")
    nlp.add_pipe("shouting_translator")
    nlp.to_disk(tmp_path / "model")
    doc = nlp.make_doc("a dog runs over the grass")
    doc._.translation = "A DOG RUNS OVER THE ROAD"
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "dev.spacy")
    output = tmp_path / "metrics.json"
    evaluate(tmp_path / "model", tmp_path / "dev.spacy", output, per_component=per_component)
    scores = srsly.read_json(output)
    scores = scores["shouting_translator"] if per_component else scores
    assert 0.5 < scores["translation_bleu"] < 1 and scores["translation_exact"] == 0
    assert "version:" in scores["translation_signature"]["bleu"]


def test_sacrebleu_is_missing(extension, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ImportError, match=r"E153.*pip install sacrebleu.*extra `generate`"):
        seq2seq_score([], target=extension)
