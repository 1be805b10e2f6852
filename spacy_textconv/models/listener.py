"""The vectors of an earlier component in the place of the first two steps."""

from typing import Iterable, List

from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..checks import check_positive
from ..errors import Errors


def build_tok2vec_listener_v1(
    *, width: int, upstream: str = "*"
) -> Model[List[Doc], List[Floats2d]]:
    """Build a layer that gives out the token vectors of an earlier component, and gives that one
    the gradient back: `spacy.Tok2VecListener.v1`, except that a batch of `textconv_tok2vec` is
    recognized by its documents, without reading their tokens.

    width (int): The width of the token vectors.
    upstream (str): The name of the component; "*" for any.
    RETURNS (Model[List[Doc], List[Floats2d]]): The layer.
    RAISES (ValueError): If a setting is out of its range.
    """
    check_positive("width", width)
    return ConvTok2VecListener(upstream, width)


class ConvTok2VecListener(Tok2VecListener):
    """spaCy's listener, which also knows a batch by its documents."""

    def verify_inputs(self, inputs: Iterable[Doc]) -> bool:
        """Check that the token vectors at hand are those of a batch.

        inputs (Iterable[Doc]): The batch.
        RETURNS (bool): True.
        RAISES (ValueError): If they aren't.
        """
        docs = list(inputs)
        if isinstance(self._batch_id, list):
            if docs == self._batch_id:
                for doc, X in zip(docs, self._outputs, strict=True):
                    if len(doc) != len(X):
                        raise ValueError(Errors.E068.format(vectors=len(X), tokens=len(doc)))
                return True
            # Other documents may have the same tokens.
            self._batch_id = self.get_batch_id(self._batch_id)
        return super().verify_inputs(docs)


# By this name, `spacy pretrain` knows that another component has the layer.
ConvTok2VecListener.__name__ = Tok2VecListener.__name__
