"""A page of scores, and of pictures with what was written for them."""

from base64 import b64encode
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
import spacy
import srsly
import typer
from functions import MAP_SIZE, PIXELS, SIZE, TARGET, create_picture_corpus
from jinja2 import Environment
from matplotlib.image import imsave
from numpy import ndarray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

# A blue that colour-blind readers can tell from white, after Okabe and Ito
BLUE = (0, 114, 178)
# In so many pictures, the page shows where a decoder looks.
LOOKS = 3


def encode_picture(pixels: ndarray) -> str:
    """Make a data URI of a picture."""
    png = BytesIO()
    imsave(png, pixels.astype("uint8"), format="png")
    return f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"


def list_looks(doc: Doc) -> list[dict[str, str]]:
    """For each word and the end, the picture, the bluer where the decoder looks more."""
    attention = doc._.get(f"{TARGET}_attention")
    side = SIZE // MAP_SIZE
    looks = []
    for word, weights in zip([*attention["symbols"], "■"], attention["weights"], strict=True):
        share = weights.reshape(MAP_SIZE, MAP_SIZE) / max(weights.max(), 1e-6)
        blue = 0.6 * share.repeat(side, axis=0).repeat(side, axis=1)[..., None]
        shaded = (1 - blue) * doc.user_data[PIXELS] + blue * numpy.array(BLUE)
        looks.append({"word": word, "picture": encode_picture(shaded)})
    return looks


def write_captions(nlp: Language, corpus: Path, number: int) -> list[Example]:
    """Write captions for the first pictures of a corpus."""
    examples = [*islice(create_picture_corpus(corpus)(nlp), number)]
    for eg, doc in zip(examples, nlp.pipe(eg.predicted for eg in examples), strict=True):
        eg.predicted = doc
    return examples


def main(project: Path, output_path: Path, pictures: int = 32) -> None:
    """Write a page (HTML) of the systems of the PROJECT folder that have been evaluated, with what
    they write for the first PICTURES of the test set."""
    systems: list[dict[str, Any]] = []
    for path in sorted((project / "metrics").glob("*/*.json")):
        lang, name = path.parent.name, path.stem
        nlp = spacy.load(project / "training" / lang / name / "model-best")
        examples = write_captions(nlp, project / "corpus" / lang / "test.spacy", pictures)
        looking = examples[:LOOKS] if nlp.get_pipe("captioner").attention else []
        systems.append(
            {
                "lang": lang,
                "name": name,
                "scores": srsly.read_json(path),
                "captions": [
                    (eg.predicted._.get(TARGET), eg.reference._.get(TARGET)) for eg in examples
                ],
                "looks": [list_looks(eg.predicted) for eg in looking],
            }
        )
    # They are the same for all systems.
    drawn = [encode_picture(eg.reference.user_data[PIXELS]) for eg in examples]
    template = Path(__file__).with_name("report.jinja").read_text(encoding="utf8")
    page = (
        Environment(autoescape=True).from_string(template).render(systems=systems, pictures=drawn)
    )
    output_path.write_text(page, encoding="utf8")
    msg.good(f"{output_path}: {len(systems)} systems, {len(drawn)} pictures")


if __name__ == "__main__":
    typer.run(main)
