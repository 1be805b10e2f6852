"""spaCy's `tok2vec`, with the gradients of all documents of a batch in one array.

Settings, files and results are spaCy's, which asks the device for one document after the other.
"""

from functools import partial, reduce
from operator import add
from typing import Callable, Dict, Iterable, List, Optional, cast

from spacy.language import Language
from spacy.pipeline.tok2vec import DEFAULT_TOK2VEC_MODEL, Tok2Vec, Tok2VecListener
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

    Takes what `spacy.pipeline.Tok2Vec` takes. In contrast to spaCy's, it also learns from the other
    components where the last one that listens is frozen or has nothing to learn from a batch, and
    no component holds on to a batch that it has learned from.
    """

    # Passes the gradients of a batch through the model, while some are left.
    _pass_back: Optional[Callable[[], List[Doc]]] = None

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Compute the token vectors of a batch for the components that listen. As soon as all of
        them have given a gradient back, the sum goes through the model; if one doesn't, before the
        model is changed or reads the next batch.

        examples (Iterable[Example]): The batch.
        drop (float): The dropout rate.
        sgd (Optional[Optimizer]): The optimizer; without it, gradients are added up.
        losses (Optional[Dict[str, float]]): The losses by component. To this one's, the squares of
            the gradients that components give back are added.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Tok2Vec.update")
        self._learn_the_rest()
        docs = [example.predicted for example in examples]
        set_dropout_rate(self.model, drop)
        vectors, backprop_model = self.model.begin_update(docs)
        lengths = [len(rows) for rows in vectors]
        gradients: List[Floats2d] = []
        listeners = self.listeners
        waiting = {*listeners}

        def pass_back() -> List[Doc]:
            for listener in listeners:
                # Without a batch, it reads the vectors that documents have.
                listener.receive(cast(int, None), None, None)
            return backprop_model(Rows(cast(Floats2d, reduce(add, gradients)), lengths))

        def collect(listener: Tok2VecListener, d_vectors: List[Floats2d]) -> List[Doc]:
            width = vectors[0].shape[1]
            gradients.append(flatten_rows(self.model.ops, d_vectors, width))
            losses[self.name] += float(self.model.ops.xp.sum(gradients[-1] ** 2))
            self._pass_back = pass_back
            waiting.discard(listener)
            if waiting:
                return []
            d_docs = self._learn_the_rest()
            if sgd not in (None, False):
                self.finish_update(cast(Optimizer, sgd))
            return d_docs

        for listener in listeners:
            by_documents = isinstance(listener, ConvTok2VecListener)
            batch_id = docs if by_documents else listener.get_batch_id(docs)
            listener.receive(cast(int, batch_id), vectors, partial(collect, listener))
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the model by the gradients that all components have given back.

        sgd (Optimizer): The optimizer.
        """
        self._learn_the_rest()
        super().finish_update(sgd)

    def _learn_the_rest(self) -> List[Doc]:
        """Pass the gradients that are left through the model."""
        pass_back, self._pass_back = self._pass_back, None
        return pass_back() if pass_back is not None else []
