"""What the configs of this project name: a network of our own over pictures, and what reads them.

The network is plain torch, wrapped by Thinc. For `spacy-textconv.Seq2Seq.v1`, it takes the place of
the `tok2vec`: it gives each document rows of `width` numbers, whatever these are of."""

from collections.abc import Callable, Iterator
from pathlib import Path

from spacy import registry
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Model, PyTorchWrapper_v3, chain
from thinc.types import Floats2d, Floats3d, Floats4d
from torch import nn

# Where a document has its pixels (height, width, 3) from 0 to 255, and its caption, `doc._.caption`
PIXELS, TARGET = "pixels", "caption"
# The height and width of a picture, and of the map that the convolutions make of it
SIZE, MAP_SIZE = 32, 4

EncoderT = Model[list[Doc], list[Floats2d]]


@registry.readers("captions.PictureCorpus.v1")
def create_picture_corpus(path: Path) -> Callable[[Language], Iterator[Example]]:
    """Read documents with pixels, which the reader of spaCy would only leave in the reference."""

    def read(nlp: Language) -> Iterator[Example]:
        for reference in DocBin().from_disk(path).get_docs(nlp.vocab):
            doc = nlp.make_doc(reference.text)
            doc.user_data[PIXELS] = reference.user_data[PIXELS]
            yield Example(doc, reference)

    return read


@registry.architectures("captions.PictureMap.v1")
def build_picture_map(width: int) -> Model[list[Doc], list[Floats2d]]:
    """One row for each place of the map that convolutions make of a picture, for a decoder that
    looks at them. The last convolution tells a place what is around it.

    width (int): The width of the rows.
    """
    around = nn.Conv2d(width, width, kernel_size=3, padding=1)
    return wrap(nn.Sequential(*convolutions(width), around, nn.Flatten(2)), width)


@registry.architectures("captions.PictureVector.v1")
def build_picture_vector(width: int, map_width: int) -> Model[list[Doc], list[Floats2d]]:
    """A single row for each picture, for a decoder that writes a text from one vector: a linear map
    of the means of the picture's quarters, which tell how much there is of what, and where.

    width (int): The width of the vector.
    map_width (int): The number of columns of the map that convolutions make of a picture.
    """
    pool = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(map_width * 4, width)]
    return wrap(nn.Sequential(*convolutions(map_width), *pool, nn.Unflatten(1, (width, 1))), width)


def convolutions(width: int) -> list[nn.Module]:
    """*Shape:* (pictures, 3, SIZE, SIZE) to (pictures, width, MAP_SIZE, MAP_SIZE)"""
    return [*convolution(3, 32), *convolution(32, 64), *convolution(64, width)]


def convolution(in_width: int, width: int) -> list[nn.Module]:
    """*Shape:* (pictures, in_width, side, side) to (pictures, width, side / 2, side / 2)"""
    return [
        nn.Conv2d(in_width, width, kernel_size=4, stride=2, padding=1),
        nn.GroupNorm(8, width),
        nn.GELU(),
    ]


def wrap(network: nn.Module, width: int) -> EncoderT:
    """Make a layer of a network. *Shape:* (pictures, 3, SIZE, SIZE) to (pictures, width, rows)"""
    # Without pictures, Thinc can't find out the width.
    encoder: EncoderT = chain(
        Model("read_pixels", read_pixels), PyTorchWrapper_v3(network), Model("list_rows", list_rows)
    )
    encoder.set_dim("nO", width)
    return encoder


def read_pixels(model: Model, docs: list[Doc], is_train: bool) -> tuple[Floats4d, Callable]:
    pixels = model.ops.xp.stack([model.ops.asarray(doc.user_data[PIXELS]) for doc in docs])
    # What is white becomes 0.
    images = 1 - pixels.transpose(0, 3, 1, 2).astype("float32") / 255
    return model.ops.as_contig(images), lambda d_images: docs


def list_rows(model: Model, maps: Floats3d, is_train: bool) -> tuple[list[Floats2d], Callable]:
    def backprop(d_rows: list[Floats2d]) -> Floats3d:
        return model.ops.as_contig(model.ops.xp.stack(d_rows).transpose(0, 2, 1))

    return [*maps.transpose(0, 2, 1)], backprop
