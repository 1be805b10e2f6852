"""More documents ask no more of a device: what it would be asked for is counted without one."""

import numpy
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_textconv.models import rows

from ..util import CONVOLUTIONS, Counted, listener, tok2vec

COMPONENTS = ["tok2vec", "tagger", "morphologizer"]
WORDS, TAGS = ["Anna", "sees", "a", "bird"], ["PROPN", "VERB", "DET", "NOUN"]


class CountedTorch(TorchDispatchMode):
    """Counts the operations of torch."""

    calls = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def counted_arrays(monkeypatch):
    """Lets our layers give out arrays that count what is asked of them."""
    split = rows.Rows.__init__

    def count(self, flat, lengths):
        split(self, flat.view(Counted), lengths)

    monkeypatch.setattr(rows.Rows, "__init__", count)


def pipeline(*, ours):
    """A pipeline with our models, and with components of spaCy's in the place of those of ours that
    aren't named."""
    nlp = spacy.blank("en")
    hears = {**listener(), "@architectures": "spacy-textconv.Tok2VecListener.v1"}
    head = {"@architectures": "spacy-textconv.Tagger.v1", "tok2vec": hears}
    models = {"tok2vec": tok2vec(embed=CONVOLUTIONS), "tagger": head, "morphologizer": head}
    for name, model in models.items():
        factory = f"textconv_{name}" if name in ours else name
        nlp.add_pipe(factory, name=name, config={"model": model})
    nlp.initialize(lambda: examples(nlp, 2))
    return nlp


def examples(nlp, copies):
    reference = Doc(nlp.vocab, words=WORDS, tags=TAGS, pos=TAGS)
    return [Example(Doc(nlp.vocab, words=WORDS), reference) for _ in range(copies)]


def counts(nlp, copies):
    """How much a training step, and a prediction, of so many documents ask for."""
    made = examples(nlp, copies)
    docs = [example.predicted.copy() for example in made]
    numbers = []
    for ask in (lambda: nlp.update(made, sgd=False), lambda: list(nlp.pipe(docs))):
        Counted.calls = 0
        with CountedTorch() as counted:
            ask()
        numbers.append(counted.calls + Counted.calls)
    return numpy.array(numbers)


def test_more_documents_launch_no_more_kernels(counted_arrays):
    nlp = pipeline(ours=COMPONENTS)
    counts(nlp, 2)
    few, many = counts(nlp, 2), counts(nlp, 40)
    assert (few == many).all()
    assert (many < (400, 80)).all()


@pytest.mark.parametrize("theirs", COMPONENTS)
def test_a_component_of_spacy_launches_more(counted_arrays, theirs):
    nlp = pipeline(ours=[name for name in COMPONENTS if name != theirs])
    counts(nlp, 2)
    (few, _), (many, _) = counts(nlp, 2), counts(nlp, 40)
    assert many > few + 38 * 3
