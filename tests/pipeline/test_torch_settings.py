"""Pipelines in processes in which other code has changed what torch does by default."""

from contextlib import contextmanager, nullcontext

import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_textconv.explain import explain
from spacy_textconv.models.shim import TorchShim

from ..util import CONVOLUTIONS, DILATED, TRANSDUCER, WIDTH, listener, tok2vec

DENSE = {**DILATED, "@architectures": "spacy-textconv.DenseConvEncoder.v1"}
ATTENDS = {
    name.lower(): {"@architectures": f"spacy-textconv.{name}Attend.v1", "width": WIDTH}
    for name in ("Pool", "Attention", "Conv", "Pyramid")
}
WORDS = ["Anna", "sees", "a", "red", "bird"]


@contextmanager
def changed(function, value, before):
    function(value)
    try:
        yield
    finally:
        function(before)


SETTINGS = {
    "float64": lambda: changed(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16": lambda: changed(torch.set_default_dtype, torch.bfloat16, torch.float32),
    # Whatever is made there is not computed.
    "device": lambda: changed(torch.set_default_device, "meta", None),
    "grad off": lambda: changed(torch.set_grad_enabled, False, True),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def examples(nlp):
    doc = Doc(nlp.vocab, words=WORDS)
    reference = Doc(nlp.vocab, words=WORDS, tags=["N", "V", "D", "A", "N"])
    for token in reference:
        token.lemma_ = token.text[:-1]
    reference.set_ents([Span(reference, 0, 1, "PERSON")])
    reference.cats = {"A": 1.0, "B": 0.0}
    if Doc.has_extension("summary"):
        reference._.summary = "A bird"
    return [Example(doc, reference)]


def build():
    """A pipeline with all of our layers."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": tok2vec(embed=CONVOLUTIONS)})
    nlp.add_pipe(
        "tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener()}}
    )
    crf = {"@architectures": "spacy-textconv.TagCRF.v1", "tok2vec": tok2vec(DENSE, embed=None)}
    nlp.add_pipe("textconv_ner", config={"model": crf})
    classifier = {
        **{"@architectures": "spacy-textconv.TextCatConv.v1", "tok2vec": tok2vec(DENSE)},
        **{"attend": ATTENDS, "exclusive_classes": True, "hidden_width": 8},
    }
    nlp.add_pipe("textcat", config={"model": classifier})
    lemmas = {"model": {**TRANSDUCER, "tok2vec": listener()}, "memory": False}
    nlp.add_pipe("textconv_lemmatizer", config=lemmas)
    decoder = {"@architectures": "spacy-textconv.CausalConvDecoder.v1", "width": 16}
    writers = {
        "causal": {"@architectures": "spacy-textconv.Seq2Seq.v1", "decoder": decoder},
        "one_pass": {"@architectures": "spacy-textconv.CTCSeq2Seq.v1", "width": 16},
    }
    for name, model in writers.items():
        config = {"model": {**model, "tok2vec": listener()}, "target": "_.summary", "beam": 2}
        nlp.add_pipe("textconv_seq2seq", name=name, config=config)
    config = {"model": {"decoder": decoder}, "min_count": 1}
    nlp.add_pipe("textconv_lm", config=config)
    nlp.initialize(lambda: examples(nlp))
    return nlp


def train(nlp):
    fix_random_seed(0)
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(3):
        nlp.update(examples(nlp), sgd=False, drop=0.1)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    nlp.get_pipe("textconv_ner").calibrate(examples(nlp))
    with nlp.use_params(optimizer.averages):
        results(nlp)


def results(nlp):
    """What a pipeline predicts, and what it is asked for beside that."""
    doc = nlp(" ".join(WORDS))
    (explanation,) = explain(nlp, [" ".join(WORDS)])
    maps = [heat_map.weights for heat_map in explanation.maps]
    lemmas = [
        candidates[0][1] for candidates in nlp.get_pipe("textconv_lemmatizer").predict([doc])[0]
    ]
    entities = nlp.get_pipe("textconv_ner").predict([doc])[0]
    texts = [
        hypothesis.score
        for name in ("causal", "one_pass")
        for hypothesis in nlp.get_pipe(name).predict([doc])[0]
    ]
    assert len(nlp.get_pipe("textconv_lm").generate("A", seed=0, max_length=5)) == 1
    surprise = doc._.surprise
    return [doc.tensor, entities, lemmas, texts, surprise, *maps, [*doc.cats.values()]]


def parameters(nlp):
    return [
        parameter
        for _, pipe in nlp.pipeline
        for node in pipe.model.walk()
        for shim in node.shims
        if isinstance(shim, TorchShim)
        for parameter in shim.module.parameters()
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where a trained pipeline is saved."""
    path = tmp_path_factory.mktemp("trained")
    nlp = build()
    train(nlp)
    nlp.to_disk(path)
    return path


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_other_code_change_nothing(name, trained):
    outcomes = []
    for context in (nullcontext, SETTINGS[name]):
        with context():
            nlp = spacy.load(trained)
            before = results(nlp)
            train(nlp)
            outcomes.append([*before, *results(nlp)])
    for result, expected in zip(*reversed(outcomes), strict=True):
        assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_built_under_other_settings_can_be_trained_without_them(name, tmp_path):
    with SETTINGS[name]():
        nlp = build()
        train(nlp)
        nlp.to_disk(tmp_path)
        copied = spacy.load(tmp_path)
    for pipeline in (nlp, copied):
        assert {parameter.dtype for parameter in parameters(pipeline)} == {torch.float32}
        train(pipeline)
