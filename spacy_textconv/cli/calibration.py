"""`python -m spacy textconv calibration`."""

from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional, Tuple

import numpy
import srsly
from spacy import util
from spacy.cli._util import Arg, Opt, import_code, setup_gpu
from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Corpus
from wasabi import msg

from ..errors import Errors
from ._app import app, import_plots

N_BINS = 10
# How the picture beside an output ends
PICTURE = ".svg"


@app.command("calibration")
def calibration_cli(
    model: Annotated[str, Arg(help="Model name or path")],
    data_path: Annotated[Path, Arg(metavar="DATA", help="Annotated .spacy file", exists=True)],
    output_path: Annotated[
        Path,
        Arg(metavar="OUTPUT", help="JSON file; the picture gets the same name", dir_okay=False),
    ],
    spans_key: Annotated[
        Optional[str],
        Opt(
            help="Of entities, in `doc.spans` of this key; without it, of the classes of `doc.cats`"
        ),
    ] = None,
    gold_preproc: Annotated[
        bool, Opt("--gold-preproc", "-G", help="Use the tokens and sentences of the data")
    ] = False,
    code_path: Annotated[
        Optional[Path],
        Opt("--code", "-c", help="Python file with additional code (registered functions)"),
    ] = None,
    use_gpu: Annotated[int, Opt("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Measure how far probabilities can be trusted: of entities, or of the most
    probable class of each document. Writes the expected calibration error and
    what a threshold gains in precision and costs in recall, and draws both
    (needs matplotlib).
    """
    if output_path.suffix == PICTURE:
        msg.fail(Errors.E127.format(path=output_path), exits=1)
    plots = import_plots()
    import_code(code_path)
    setup_gpu(use_gpu)
    try:
        nlp = util.load_model(model)
    except (OSError, ValueError) as err:
        msg.fail(Errors.E047.format(reason=err), exits=1)
    try:
        examples = list(Corpus(data_path, gold_preproc=gold_preproc)(nlp))
    except (OSError, ValueError) as err:
        msg.fail(Errors.E142.format(path=data_path, reason=err), exits=1)
    docs = nlp.pipe(example.predicted for example in examples)
    found: List[Tuple[float, bool]] = []
    n_gold = 0
    for example, doc in zip(examples, docs, strict=True):
        gold = example.reference
        if spans_key is None:
            found += _judge_class(doc, gold)
            n_gold += any(map(_is_right, gold.cats.values()))
        else:
            found += _judge_entities(doc, gold, spans_key)
            n_gold += len(gold.ents)
    if not found:
        place = "doc.cats" if spans_key is None else f"doc.spans[{spans_key!r}]"
        msg.fail(Errors.E195.format(place=place), exits=1)
    result = measure_calibration(*map(numpy.array, zip(*found, strict=True)), n_gold=n_gold)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output_path, result)
    plots.plot_calibration(result, output_path.with_suffix(PICTURE))
    msg.good(f"{output_path}: expected calibration error {result['ece']:.3f}")


def _judge_class(doc: Doc, gold: Doc) -> List[Tuple[float, bool]]:
    """The probability of the most probable class, and whether it is right."""
    if not doc.cats or not gold.cats:
        return []
    label = max(doc.cats, key=doc.cats.__getitem__)
    return [(doc.cats[label], _is_right(gold.cats.get(label, 0.0)))]


def _is_right(value: float) -> bool:
    """Tell what a value of the annotated `doc.cats` says of its class."""
    return value >= 0.5


def _judge_entities(doc: Doc, gold: Doc, spans_key: str) -> List[Tuple[float, bool]]:
    """The probability of each entity, and whether it is right."""
    if spans_key not in doc.spans:
        return []
    right = {(ent.start_char, ent.end_char, ent.label_) for ent in gold.ents}
    spans = doc.spans[spans_key]
    return [
        (float(score), (span.start_char, span.end_char, span.label_) in right)
        for span, score in zip(spans, spans.attrs.get("scores", ()), strict=False)
    ]


def measure_calibration(
    probabilities: numpy.ndarray, correct: numpy.ndarray, *, n_gold: int
) -> Dict[str, Any]:
    """Compare probabilities with how often they come true. The expected calibration error is the
    difference of both, in bins of equal width, averaged over predictions (Guo et al. 2017, "On
    calibration of modern neural networks", section 2).

    probabilities (numpy.ndarray): The probability of each prediction. *Shape:* (predictions,)
    correct (numpy.ndarray): Whether each prediction is right. *Shape:* (predictions,)
    n_gold (int): The number of right answers that there are.
    RETURNS (Dict[str, Any]): The calibration error `ece`, the bins that hold any predictions, and
        the scores of what is left by a `threshold`.
    """
    edges = numpy.linspace(0, 1, N_BINS + 1)
    # A bin holds its upper edge, and the first one its lower edge too.
    numbers = numpy.digitize(probabilities, edges[1:-1], right=True)
    bins = [
        {
            "lower": float(edges[number]),
            "upper": float(edges[number + 1]),
            "n": int((numbers == number).sum()),
            "probability": float(probabilities[numbers == number].mean()),
            "accuracy": float(correct[numbers == number].mean()),
        }
        for number in numpy.unique(numbers)
    ]
    gaps = [abs(b["accuracy"] - b["probability"]) for b in bins]
    return {
        "n": len(probabilities),
        "accuracy": float(correct.mean()),
        "probability": float(probabilities.mean()),
        "ece": float(numpy.average(gaps, weights=[b["n"] for b in bins])),
        "bins": bins,
        "thresholds": _sweep_threshold(probabilities, correct, n_gold),
    }


def _sweep_threshold(
    probabilities: numpy.ndarray, correct: numpy.ndarray, n_gold: int
) -> List[Dict[str, float]]:
    """Precision, recall and F1 where predictions below a threshold are left out, up to the
    threshold that leaves none."""
    rows = []
    for threshold in numpy.arange(0, 1, 0.05).round(2):
        kept = probabilities >= threshold
        if not kept.any():
            break
        tp = int(correct[kept].sum())
        score = PRFScore(tp=tp, fp=int(kept.sum()) - tp, fn=n_gold - tp)
        rows.append({"threshold": float(threshold), **score.to_dict()})
    return rows
