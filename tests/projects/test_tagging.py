from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus
from spacy.util import load_config

from .util import ROOT, check_workflows, copy_project, run_in_process

CONFIGS = ROOT / "projects" / "tagging" / "configs"

# A multiword token (1-2) and an empty node (8.1)
CONLLU = """\
# text = Evdeki kedi süt içti, köpek su.
1-2\tEvdeki\t_\t_\t_\t_\t_\t_\t_\t_
1\tEvde\tev\tNOUN\tNoun\tCase=Loc|Number=Sing\t3\tnmod\t_\t_
2\tki\tki\tADP\tRel\t_\t1\tcase\t_\t_
3\tkedi\tkedi\tNOUN\tNoun\tCase=Nom|Number=Sing\t5\tnsubj\t_\t_
4\tsüt\tsüt\tNOUN\tNoun\tCase=Nom|Number=Sing\t5\tobj\t_\t_
5\tiçti\tiç\tVERB\tVerb\tTense=Past\t0\troot\t_\tSpaceAfter=No
6\t,\t,\tPUNCT\tPunc\t_\t7\tpunct\t_\t_
7\tköpek\tköpek\tNOUN\tNoun\tCase=Nom|Number=Sing\t5\tconj\t_\t_
8\tsu\tsu\tNOUN\tNoun\tCase=Nom|Number=Sing\t7\torphan\t_\tSpaceAfter=No
8.1\t_\tiç\tVERB\tVerb\tTense=Past\t_\t_\t5:conj\t_
9\t.\t.\tPUNCT\tPunc\t_\t5\tpunct\t_\t_

# text = Bekle!
1\tBekle\tbekle\tVERB\t_\tMood=Imp\t0\troot\t_\tSpaceAfter=No
2\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_

# text = Evet
1\tEvet\tevet\tINTJ\tInterj\t_\t0\troot\t_\t_

"""
VARS = {
    "vars.treebank": "UD_Tiny",
    "vars.prefix": "tr_tiny-ud",
    "vars.lang": "tr",
    "vars.n_sents": 2,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = {f"UD_Tiny/tr_tiny-ud-{split}.conllu": CONLLU for split in ["train", "dev", "test"]}
    return copy_project("tagging", tmp_path_factory.mktemp("root"), assets)


@pytest.fixture(scope="module")
def corpus(project: Path) -> Path:
    run_in_process(project, "convert", VARS)
    return project / "corpus" / "UD_Tiny" / "train.spacy"


def test_convert_reads_words_and_tags(corpus: Path):
    doc, last = DocBin().from_disk(corpus).get_docs(spacy.blank("tr").vocab)
    assert " ".join(t.text for t in doc) == "Evde ki kedi süt içti , köpek su . Bekle !"
    # Without XPOS, as in the second sentence, the tagger learns UPOS
    tags = "Noun Rel Noun Noun Verb Punc Noun Noun Punc VERB PUNCT"
    assert " ".join(t.tag_ for t in doc) == tags
    pos = "NOUN ADP NOUN NOUN VERB PUNCT NOUN NOUN PUNCT VERB PUNCT"
    assert " ".join(t.pos_ for t in doc) == pos
    assert [str(t.morph) for t in doc[:3]] == ["Case=Loc|Number=Sing", "", "Case=Nom|Number=Sing"]
    assert doc[4].lemma_ == "iç"
    assert last.text == "Evet "


def test_docs_of_several_sentences_stay_whole(corpus: Path):
    examples = list(Corpus(corpus, gold_preproc=True)(spacy.blank("tr")))
    assert [len(example.predicted) for example in examples] == [11, 1]


def test_every_dependency_exists_or_is_an_output(project: Path):
    check_workflows(project, VARS)


def test_sentences_by_themselves_have_trees(project: Path):
    run_in_process(project, "convert", {**VARS, "vars.n_sents": 1})
    path = project / "corpus" / "UD_Tiny" / "dev.spacy"
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("tr").vocab))
    assert [len(doc) for doc in docs] == [9, 2, 1]
    heads = [token.head.text for token in docs[0]]
    assert " ".join(heads) == "kedi Evde içti içti içti köpek içti köpek içti"
    assert [token.dep_ for token in docs[0]][:3] == ["nmod", "case", "nsubj"]
    assert all(len(list(doc.sents)) == 1 for doc in docs)


def test_the_peers_differ_in_their_components_alone():
    cnn, parser = (load_config(CONFIGS / f"spacy_{name}.cfg") for name in ("cnn", "parser"))
    for config in (cnn, parser):
        del config["nlp"]["pipeline"], config["training"]["score_weights"]
        config["components"] = {"tok2vec": config["components"]["tok2vec"]}
    assert cnn == parser
