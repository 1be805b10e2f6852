"""Functions that configs name as scorers."""

from typing import Any, Callable, Collection, Dict, Iterable, List, Optional, Sequence, Tuple

import torch
from numpy import ndarray
from spacy.matcher.levenshtein import levenshtein
from spacy.scorer import Scorer
from spacy.training import Example

from .checks import import_extra
from .generation.symbols import normalize
from .layers import active_units
from .models.attributes import aligned, bare_name, read


def create_transducer_scorer_v1() -> Callable:
    """Create the scorer of `textconv_transducer` and `textconv_lemmatizer`."""
    return transducer_score


def transducer_score(
    examples: Iterable[Example], *, source: str, target: str, known: Collection[str], **cfg: Any
) -> Dict[str, Any]:
    """Compare the strings that tokens have with those of the reference.

    examples (Iterable[Example]): The examples.
    source (str): The attribute or extension that strings are made from.
    target (str): The attribute or extension that they are written to.
    known (Collection[str]): The sources that the training data had.
    RETURNS (Dict[str, Any]): With {name} for that of the target, such as `lemma`: `{name}_acc`, the
        share of strings that are right, as `Scorer.score_token_attr` computes it; the same of those
        whose target differs from their source (`{name}_acc_changed`) or whose source the training
        data didn't have (`{name}_acc_unseen`); and `{name}_cer`, the number of letters to be
        changed, added or taken away for each letter of the reference. None where there is nothing
        to score.
    """
    examples = list(examples)
    name = bare_name(target)
    scores = Scorer.score_token_attr(
        examples, name, getter=lambda token, _: read(token, target), missing_values={None, ""}
    )
    triples = [triple for eg in examples for triple in _triples(eg, source, target)]
    changed = [triple for triple in triples if triple[0] != triple[2]]
    unseen = [triple for triple in triples if triple[0] not in known]
    scores[f"{name}_acc_changed"] = _accuracy(changed)
    scores[f"{name}_acc_unseen"] = _accuracy(unseen) if known else None
    letters = sum(len(gold) for _, _, gold in triples)
    edits = sum(levenshtein(found, gold) for _, found, gold in triples)
    scores[f"{name}_cer"] = edits / letters if letters else None
    return scores


def create_seq2seq_scorer_v1() -> Callable:
    """Create the scorer of `textconv_seq2seq`."""
    return seq2seq_score


def seq2seq_score(examples: Iterable[Example], *, target: str, **cfg: Any) -> Dict[str, Any]:
    """Compare the texts that documents have in an extension with those of the references, by
    sacrebleu (Post 2018, "A call for clarity in reporting BLEU scores").

    examples (Iterable[Example]): The examples. Those whose reference has no text are left out.
    target (str): The extension: "translation" for `doc._.translation`.
    RETURNS (Dict[str, Any]): `{target}_bleu` and `{target}_chrf`, those of the whole corpus of
        texts as they are, from 0 to 1; `{target}_exact`, the share of texts that are equal; and
        `{target}_signature`, a dictionary with sacrebleu's signatures of "bleu" and "chrf", which
        tell how they were computed. None where there is nothing to score.
    RAISES (ImportError): If sacrebleu isn't installed.
    """
    metrics = import_extra("sacrebleu").metrics
    pairs = [
        (normalize(eg.predicted._.get(target) or ""), normalize(eg.reference._.get(target)))
        for eg in examples
        if eg.reference._.get(target)
    ]
    names = ("bleu", "chrf", "exact", "signature")
    if not pairs:
        return {f"{target}_{name}": None for name in names}
    found, gold = zip(*pairs, strict=True)
    bleu, chrf = metrics.BLEU(), metrics.CHRF()
    scores = [metric.corpus_score(found, [gold]).score / 100 for metric in (bleu, chrf)]
    exact = sum(text == right for text, right in pairs) / len(pairs)
    signatures = {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}
    values = (*scores, exact, signatures)
    return {f"{target}_{name}": value for name, value in zip(names, values, strict=True)}


def create_vae_scorer_v1() -> Callable:
    """Create the scorer of `textconv_vae`."""
    return vae_score


def vae_score(
    examples: Sequence[Example],
    *,
    target: str,
    texts: Sequence[str],
    nll: Optional[float],
    means: Optional[ndarray],
    divergences: Optional[ndarray],
    **cfg: Any,
) -> Dict[str, Any]:
    """Compare texts with what is written for their points, and tell whether the points matter.

    examples (Sequence[Example]): The examples.
    target (str): The extension of the points: "latent" for `doc._.latent`.
    texts (Sequence[str]): What is written for the point of each example.
    nll (Optional[float]): The mean negative logarithm of the probability of a text, given its
        point, in nats.
    means (Optional[ndarray]): The points. *Shape:* (examples, latent)
    divergences (Optional[ndarray]): How far the distribution of each point is from the prior one,
        in nats; None for a plain autoencoder. *Shape:* (examples,)
    RETURNS (Dict[str, Any]): `{target}_bleu`, that of sacrebleu from 0 to 1, and `{target}_exact`,
        the share of texts that come back as they were; `{target}_nll`; `{target}_kl`, the mean
        divergence; and `{target}_active`, how many columns tell texts apart. Where the last two are
        near 0, the decoder has learned to do without the points ("posterior collapse": Bowman et
        al. 2016, "Generating sentences from a continuous space", section 3.1). None where there is
        nothing to score.
    RAISES (ImportError): If sacrebleu isn't installed.
    """
    scores: Dict[str, Any] = dict.fromkeys(("bleu", "exact", "nll", "kl", "active"))
    if examples:
        gold = [normalize(eg.reference.text) for eg in examples]
        bleu = import_extra("sacrebleu").metrics.BLEU().corpus_score(texts, [gold])
        exact = sum(text == right for text, right in zip(texts, gold, strict=True)) / len(gold)
        scores.update(bleu=bleu.score / 100, exact=exact, nll=nll)
        scores["active"] = active_units(torch.from_numpy(means))
    if divergences is not None:
        scores["kl"] = float(divergences.mean())
    return {f"{target}_{name}": value for name, value in scores.items()}


def _triples(example: Example, source: str, target: str) -> Iterable[Tuple[str, str, str]]:
    """List the source, the predicted and the right string of each token that has one."""
    for token, gold in zip(example.predicted, aligned(example, target), strict=True):
        if gold is not None:
            yield normalize(read(token, source) or ""), read(token, target) or "", gold


def _accuracy(triples: List[Tuple[str, str, str]]) -> Any:
    return sum(found == gold for _, found, gold in triples) / len(triples) if triples else None


def create_lm_scorer_v1() -> Callable:
    """Create the scorer of `textconv_lm`."""
    return lm_score


def lm_score(examples: Iterable[Example], **cfg: Any) -> Dict[str, Any]:
    """Tell how well a language model predicts texts.

    examples (Iterable[Example]): The examples.
    RETURNS (Dict[str, Any]): `bits_per_character`, the surprise of all texts divided by the number
        of their letters in NFC: the lower, the better. As spaCy looks for the highest score,
        `lm_score` is the geometric mean of the probabilities of letters, 2 to the power of minus
        that: like other scores, it is between 0 and 1. None where there is nothing to score.
    """
    docs = [eg.predicted for eg in examples if eg.predicted._.surprise is not None]
    letters = sum(len(normalize(doc.text)) for doc in docs)
    if not letters:
        return {"lm_score": None, "bits_per_character": None}
    bits = sum(float(doc._.surprise.sum(dtype="float64")) for doc in docs) / letters
    return {"lm_score": 2.0**-bits, "bits_per_character": bits}
