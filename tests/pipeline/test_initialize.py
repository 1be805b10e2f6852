"""What `nlp.initialize` leaves of an earlier training: nothing."""

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from ..util import CONVOLUTIONS, DILATED, SENTENCES, WIDTH, listener, tok2vec

ATTEND = {
    name: {"@architectures": f"spacy-textconv.{name}Attend.v1", "width": WIDTH}
    for name in ("Attention", "Conv", "Pool", "Pyramid")
}
NGRAMS = {"@architectures": "spacy-textconv.NgramLinear.v1", "unit": "word", "sizes": [1]}
DENSE = {**DILATED, "@architectures": "spacy-textconv.DenseConvEncoder.v1"}
MODELS = {
    "tagger": {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec(DENSE, embed=None)},
    "textconv_ner": {"@architectures": "spacy-textconv.TagCRF.v1", "tok2vec": listener()},
    "textcat": {
        "@architectures": "spacy-textconv.TextCatConv.v1",
        "tok2vec": listener(),
        "attend": ATTEND,
        "ngrams": {"words": {**NGRAMS, "rows": 100}},
        "exclusive_classes": True,
        "hidden_width": 8,
    },
}


def build():
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": tok2vec(embed=CONVOLUTIONS)})
    for factory, model in MODELS.items():
        nlp.add_pipe(factory, config={"model": model})
    return nlp


def examples(nlp):
    made = []
    for i, (words, tags) in enumerate(SENTENCES):
        reference = Doc(nlp.vocab, words=words, tags=tags)
        reference.ents = [Span(reference, 0, 1, label="FIRST")]
        reference.cats = {"EVEN": float(i % 2 == 0), "ODD": float(i % 2 == 1)}
        made.append(Example(Doc(nlp.vocab, words=words), reference))
    return made


def weights(nlp):
    """All that is trained, for each component."""
    return {
        name: [
            [node.get_param(param).tobytes() for param in node.param_names]
            + [shim.to_bytes() for shim in node.shims]
            for node in pipe.model.walk()
        ]
        for name, pipe in nlp.pipeline
    }


def initialize(nlp):
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp))
    return weights(nlp)


def train(nlp):
    fix_random_seed(0)
    optimizer = Adam(0.01)
    for _ in range(3):
        nlp.update(examples(nlp), sgd=False, drop=0.1)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return weights(nlp)


def test_every_component_is_as_new():
    nlp = build()
    new = initialize(nlp)
    trained = train(nlp)
    assert all(new[name] != trained[name] for name in nlp.pipe_names)
    assert initialize(nlp) == new
    assert train(nlp) == trained


def test_a_pipeline_that_was_not_trained_before_gets_the_same_weights():
    nlp = build()
    initialize(nlp)
    train(nlp)
    assert initialize(nlp) == initialize(build())
