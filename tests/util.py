"""Small pipelines and documents that several tests use."""

from typing import Any, Dict, List, Optional

import numpy
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

WIDTH = 32
DILATED: Dict[str, Any] = {
    "@architectures": "spacy-textconv.DilatedConvEncoder.v1",
    "width": WIDTH,
    "dilations": [1, 2],
}
SENTENCES = [
    (["Anna", "sees", "a", "red", "bird"], ["PROPN", "VERB", "DET", "ADJ", "NOUN"]),
    (["The", "old", "bird", "sings"], ["DET", "ADJ", "NOUN", "VERB"]),
    (["Birds", "see", "Anna"], ["NOUN", "VERB", "PROPN"]),
    (["Sing"], ["VERB"]),
]


HASHES: Dict[str, Any] = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": WIDTH,
    "attrs": ["NORM", "SUFFIX"],
    "rows": [200, 100],
    "include_static_vectors": False,
}
CHARACTERS: Dict[str, Any] = {
    "@architectures": "spacy.CharacterEmbed.v2",
    "width": WIDTH,
    "rows": 200,
    "nM": 8,
    "nC": 4,
    "include_static_vectors": False,
}
CONVOLUTIONS: Dict[str, Any] = {
    "@architectures": "spacy-textconv.CharConvEmbed.v1",
    "width": WIDTH,
    "attrs": ["NORM", "SUFFIX2"],
    "rows": [200, 100],
}


TRANSDUCER: Dict[str, Any] = {
    "@architectures": "spacy-textconv.CTCTransducer.v1",
    "width": WIDTH,
    "slot_width": WIDTH,
    "dilations": [1, 2, 1],
}


def tok2vec(
    encode: Dict[str, Any] = DILATED, embed: Optional[Dict[str, Any]] = HASHES
) -> Dict[str, Any]:
    """The config of a tok2vec with one of our encoders; without an embedding layer, of one that
    encodes characters."""
    if embed is None:
        return {"@architectures": "spacy-textconv.CharTok2Vec.v1", "encode": encode}
    return {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}


def listener() -> Dict[str, Any]:
    """The config of a listener to the pipeline's tok2vec."""
    return {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "tok2vec"}


def examples(nlp: Language) -> List[Example]:
    """Annotated sentences."""
    made = []
    for words, tags in SENTENCES:
        reference = Doc(nlp.vocab, words=words, tags=tags, pos=tags)
        made.append(Example(Doc(nlp.vocab, words=words), reference))
    return made


def tagger_pipeline(
    *,
    shared: bool = True,
    encode: Dict[str, Any] = DILATED,
    embed: Optional[Dict[str, Any]] = HASHES,
) -> Language:
    """An initialized tagger, behind a listener or with a tok2vec of its own."""
    nlp = spacy.blank("en")
    source = tok2vec(encode, embed)
    if shared:
        nlp.add_pipe("tok2vec", config={"model": source})
    model = {
        "@architectures": "spacy.Tagger.v2",
        "tok2vec": listener() if shared else source,
    }
    nlp.add_pipe("tagger", config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    return nlp


def train(nlp: Language, optimizer: Any, steps: int, drop: float = 0.0) -> Dict[str, float]:
    """Train as `spacy train` does: all components hear the batch before any is updated."""
    losses: Dict[str, float] = {}
    for _ in range(steps):
        losses = {}
        nlp.update(examples(nlp), losses=losses, sgd=False, drop=drop)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return losses


def scrambled(layer: Model) -> Model:
    """Set the parameters of an initialized layer to random numbers, the same every time."""
    generator = numpy.random.default_rng(0)
    for name in layer.param_names:
        shape = layer.get_param(name).shape
        layer.set_param(name, generator.standard_normal(shape, dtype="float32"))
    return layer


def transition_matrix(scores: numpy.ndarray) -> numpy.ndarray:
    """The score of each tag (column) after each tag (row), of the parameter `transitions`: one by
    one, as they are defined."""
    number = scores.shape[1]
    names = ["O", *(f"{letter}{label}" for label in range(number // 4) for letter in "BILU")]
    matrix = numpy.full((number, number), -numpy.inf)
    for x, before in enumerate(names):
        for y, after in enumerate(names):
            if before[0] in "BI":
                if after[0] in "IL" and after[1:] == before[1:]:
                    matrix[x, y] = scores["BI".index(before[0]), y]
            elif after[0] in "OBU":
                if before == "O":
                    matrix[x, y] = scores[0, y]
                else:
                    matrix[x, y] = scores[2 if after == "O" else 3, x] + scores[1, y]
    return matrix


class Counted(numpy.ndarray):
    """An array that counts what a GPU would be asked to do: to compute, and to tell a number."""

    calls = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        Counted.calls += 1
        if out is not None:
            kwargs["out"] = tuple(array.view(numpy.ndarray) for array in out)
        result = getattr(ufunc, method)(*map(uncounted, inputs), **kwargs)
        return numpy.asarray(result).view(Counted)

    def __array_function__(self, function, types, args, kwargs):
        Counted.calls += 1
        result = function(*map(uncounted, args), **kwargs)
        return (
            [each.view(Counted) for each in result]
            if isinstance(result, list)
            else result.view(Counted)
        )

    def argmax(self, **kwargs):
        Counted.calls += 1
        return self.view(numpy.ndarray).argmax(**kwargs).view(Counted)

    def __float__(self):
        Counted.calls += 1
        return float(self.view(numpy.ndarray))

    def __bool__(self):
        Counted.calls += 1
        return bool(self.view(numpy.ndarray))


def uncounted(value):
    if isinstance(value, (list, tuple)):
        return [uncounted(each) for each in value]
    return value.view(numpy.ndarray) if isinstance(value, Counted) else value
