"""Every component with our layers, in processes that are started in every way."""

import multiprocessing
import subprocess
import sys

import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam

from ..util import CONVOLUTIONS, TRANSDUCER, WIDTH, listener, tok2vec

NGRAMS = {
    "@architectures": "spacy-textconv.NgramLinear.v1",
    "unit": "word",
    "sizes": [1],
    "rows": 100,
}
TEXTCAT = {
    "@architectures": "spacy-textconv.TextCatConv.v1",
    "tok2vec": listener(),
    "attend": {"max": {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH}},
    "ngrams": {"words": NGRAMS},
}
# All but the entity linker, whose knowledge base can't be pickled.
COMPONENTS = {
    "senter": {"model": {"tok2vec": tok2vec(embed=None)}},
    "tagger": {"model": {"tok2vec": listener()}},
    "morphologizer": {"model": {"tok2vec": listener()}},
    "parser": {"model": {"tok2vec": listener()}, "min_action_freq": 1},
    "textconv_ner": {"model": {"tok2vec": listener()}},
    "spancat": {"model": {"tok2vec": listener()}},
    "textcat": {"model": {**TEXTCAT, "exclusive_classes": True}},
    "textcat_multilabel": {"model": {**TEXTCAT, "exclusive_classes": False}},
    "textconv_lemmatizer": {
        "model": {**TRANSDUCER, "tok2vec": listener()},
        "memory": False,
        "n_best": 2,
    },
    "textconv_lm": {
        "model": {
            "@architectures": "spacy-textconv.CausalLM.v1",
            "decoder": {
                "@architectures": "spacy-textconv.CausalConvDecoder.v1",
                "width": 8,
                "dilations": [1, 2],
            },
        },
        "min_count": 1,
    },
    "textconv_transducer": {
        "model": TRANSDUCER,
        "source": "LEMMA",
        "target": "_.plural",
        "features": ["POS"],
        "memory": False,
    },
    "textconv_seq2seq": {
        "model": {
            "tok2vec": listener(),
            "decoder": {"@architectures": "spacy-textconv.CausalConvDecoder.v1", "width": 16},
        },
        "target": "_.summary",
        "symbols": "words",
        "attention": True,
    },
    "textconv_vae": {
        "model": {
            "tok2vec": listener(),
            "pooling": {"@architectures": "spacy-textconv.PoolAttend.v1", "width": WIDTH},
            "latent": 8,
        },
        "kl_weight": 0.0,
    },
}


def full_example(nlp):
    """A document with annotation for every component."""
    words = ["Anna", "saw", "Oslo", ".", "Ben", "left", "Paris", "."]
    tags = ["PROPN", "VERB", "PROPN", "PUNCT"] * 2
    reference = Doc(
        nlp.vocab,
        words=words,
        tags=tags,
        pos=tags,
        morphs=["Number=Sing", "Tense=Past", "Number=Sing", "PunctType=Peri"] * 2,
        heads=[1, 1, 1, 1, 5, 5, 5, 5],
        deps=["nsubj", "ROOT", "obj", "punct"] * 2,
    )
    reference.ents = [Span(reference, i, i + 1, label="PERSON") for i in (0, 4)]
    reference.spans["sc"] = [Span(reference, i, i + 2, label="CLAUSE") for i in (0, 4)]
    reference.cats = {"NEWS": 1.0, "SPORT": 0.0}
    lemmas = ["Anna", "see", "Oslo", ".", "Ben", "leave", "Paris", "."]
    reference._.summary = "Travel news"
    for token, lemma in zip(reference, lemmas, strict=True):
        token.lemma_ = lemma
        token._.plural = f"{lemma}s" if token.pos_ == "PROPN" else lemma
    return Example(Doc(nlp.vocab, words=words), reference)


def full_pipeline():
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": tok2vec(embed=CONVOLUTIONS)})
    for name, config in COMPONENTS.items():
        nlp.add_pipe(name, config=config)
    nlp.initialize(lambda: [full_example(nlp)])
    optimizer = Adam(0.01)
    for _ in range(40):
        nlp.update([full_example(nlp)], sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return nlp


SCRIPT = """
import multiprocessing, sys, numpy, spacy, torch
from spacy.tokens import DocBin

def found(docs):
    annotation, scores = [], []
    for doc in docs:
        data = doc.to_json(underscore=["plural", "summary"])
        candidates = [candidate for token in doc for candidate in token._.lemma_n_best]
        data["candidates"] = [text for text, _ in candidates]
        scores += [probability for _, probability in candidates]
        scores += data.pop("cats").values()
        scores += doc._.latent.tolist()
        scores += [ent._.probability for ent in doc.ents]
        scores += doc._.surprise.tolist()
        scores += [score for key in ("ner", "sc") for score in doc.spans[key].attrs["scores"]]
        annotation.append(data)
    return annotation, scores

if __name__ == "__main__":
    # A program that only reads documents knows about probabilities, too.
    (stored,) = DocBin().from_disk(sys.argv[2]).get_docs(spacy.blank("en").vocab)
    assert all(ent._.probability > 0.5 for ent in stored.ents)
    # What a fork doesn't survive by itself.
    torch.set_num_threads(2)
    nlp = spacy.load(sys.argv[1])
    texts = ["Anna saw Oslo . Ben left Paris . " * 3, "Ben saw Paris ."] * 10
    annotation, scores = found(nlp.pipe(texts))
    for method in sys.argv[3:]:
        multiprocessing.set_start_method(method, force=True)
        again, others = found(nlp.pipe(texts, n_process=2, batch_size=5))
        assert again == annotation
        numpy.testing.assert_allclose(others, scores, atol=1e-4)
        print(method)
"""


def test_two_processes(tmp_path):
    nlp = full_pipeline()
    doc = nlp("Anna saw Oslo . Ben left Paris .")
    # Each component has something to say.
    assert [token.tag_ for token in doc[:4]] == ["PROPN", "VERB", "PROPN", "PUNCT"]
    assert [token.dep_ for token in doc[:4]] == ["nsubj", "ROOT", "obj", "punct"]
    assert [ent.text for ent in doc.ents] == ["Anna", "Ben"]
    assert [token.lemma_ for token in doc[:4]] == ["Anna", "see", "Oslo", "."]
    assert [token._.plural for token in doc[:4]] == ["Annas", "see", "Oslos", "."]
    assert doc._.summary == "Travel news"
    assert doc._.bits_per_character < 1.0
    assert len(list(doc.sents)) == len(doc.spans["sc"]) == 2 and str(doc[1].morph) == "Tense=Past"
    nlp.to_disk(tmp_path / "model")
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "doc.spacy")
    (tmp_path / "script.py").write_text(SCRIPT)
    # Elsewhere than on Linux, fork is not to be relied on.
    methods = [
        method
        for method in multiprocessing.get_all_start_methods()
        if method != "fork" or sys.platform == "linux"
    ]
    command = [sys.executable, "script.py", "model", "doc.spacy", *methods]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert result.stdout.split() == methods, result.stderr
