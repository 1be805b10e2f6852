"""spaCy's `tok2vec`, with the gradients of all documents of a batch in one array.

Settings, files and results are spaCy's, which asks the device for one document after the other.
"""

from functools import reduce
from operator import add
from typing import Dict, Iterable, List, Optional, cast

from spacy.language import Language
from spacy.pipeline.tok2vec import DEFAULT_TOK2VEC_MODEL, Tok2Vec
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from ..models.listener import ConvTok2VecListener
from ..models.rows import Rows, flatten_rows


@Language.factory(
    "textconv_tok2vec", assigns=["doc.tensor"], default_config={"model": DEFAULT_TOK2VEC_MODEL}
)
def make_textconv_tok2vec(
    *, nlp: Language, name: str, model: Model[List[Doc], List[Floats2d]]
) -> "ConvTok2Vec":
    """Make a tok2vec.

    nlp (Language): The pipeline.
    name (str): The component's name.
    model (Model[List[Doc], List[Floats2d]]): The token vectors, for example `spacy.Tok2Vec.v2`.
    RETURNS (ConvTok2Vec): The component.
    """
    return ConvTok2Vec(nlp.vocab, model, name)


class ConvTok2Vec(Tok2Vec):
    """spaCy's `tok2vec`, with the gradients of all documents of a batch in one array.

    Takes what `spacy.pipeline.Tok2Vec` takes.
    """

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Compute the token vectors of a batch for the components that listen. As soon as the last
        of them has given its gradient back, the sum of all goes through the model.

        examples (Iterable[Example]): The batch.
        drop (float): The dropout rate.
        sgd (Optional[Optimizer]): The optimizer; without it, gradients are added up.
        losses (Optional[Dict[str, float]]): The losses by component. To this one's, the squares of
            the gradients that components give back are added.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        validate_examples(examples, "Tok2Vec.update")
        docs = [example.predicted for example in examples]
        set_dropout_rate(self.model, drop)
        vectors, backprop_model = self.model.begin_update(docs)
        lengths = [len(rows) for rows in vectors]
        gradients: List[Floats2d] = []

        def collect(d_vectors: List[Floats2d]) -> List[Doc]:
            width = vectors[0].shape[1]
            gradients.append(flatten_rows(self.model.ops, d_vectors, width))
            losses[self.name] += float(self.model.ops.xp.sum(gradients[-1] ** 2))
            return []

        def backprop(d_vectors: List[Floats2d]) -> List[Doc]:
            collect(d_vectors)
            d_docs = backprop_model(Rows(cast(Floats2d, reduce(add, gradients)), lengths))
            if sgd is not None:
                self.finish_update(sgd)
            return d_docs

        listeners = self.listeners
        for listener in listeners:
            by_documents = isinstance(listener, ConvTok2VecListener)
            batch_id = docs if by_documents else listener.get_batch_id(docs)
            is_last = listener is listeners[-1]
            listener.receive(cast(int, batch_id), vectors, backprop if is_last else collect)
        return losses
