"""Draw pictures, and write each with its caption as a document of spaCy."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import spacy
import typer
from functions import PIXELS, SIZE, TARGET
from numpy import ndarray
from numpy.random import Generator
from scenes import DESCRIBE, GROUPS, Group, Scene
from spacy.tokens import Doc, DocBin
from wasabi import msg

# A picture is a grid of cells, half of them for each group, with one shape at most in each. Its
# radius, and how far it can be from the middle: a cell reaches from -1 to 1.
CELLS = 4
RADIUS, JITTER = 0.8, 0.2
# Each pixel is a mean of so many points in each direction.
POINTS = 4
WHITE = 255
COLOURS = {
    "red": (214, 39, 40),
    "blue": (31, 89, 180),
    "green": (44, 140, 44),
    "orange": (255, 140, 0),
    "black": (30, 30, 30),
}
# Whether points are part of a shape that reaches from -1 to 1 in both directions
SHAPES: dict[str, Callable[[ndarray, ndarray], ndarray]] = {
    "circle": lambda x, y: x**2 + y**2 < 1,
    "square": lambda x, y: numpy.maximum(abs(x), abs(y)) < 0.9,
    "triangle": lambda x, y: (y > -0.8) & (2 * abs(x) < 1 - y),
    "heart": lambda x, y: (1.5 * x**2 + 1.5 * y**2 - 1) ** 3 < 3 * x**2 * y**3,
    "arc": lambda x, y: (x**2 + y**2 > 0.3) & (x**2 + y**2 < 1) & (y > 0),
    "dot": lambda x, y: x**2 + y**2 < 0.2,
    "egg": lambda x, y: 3 * x**2 + y**2 < 1,
    "ring": lambda x, y: (x**2 + y**2 > 0.3) & (x**2 + y**2 < 1),
}
HELD_OUT = [group for group in GROUPS if group.held_out]
KNOWN = [group for group in GROUPS if not group.held_out]


def make_scenes(groups: list[Group], number: int, rng: Generator) -> Iterator[tuple[Group, Scene]]:
    """Make scenes with one of the groups, each of them equally often, and another one that the
    training data has."""
    for i in range(number):
        group = groups[i % len(groups)]
        others = [other for other in KNOWN if other[1:] != group[1:]]
        pair = [group, others[rng.integers(len(others))]]
        first, second = (pair[place] for place in rng.permutation(2))
        yield group, Scene(first, second, above=bool(rng.integers(2)))


def place(scene: Scene, rng: Generator) -> list[ndarray]:
    """Choose columns and rows for the shapes of both groups. *Shape:* (shapes, 2) each"""
    while True:
        places = []
        for half, group in enumerate([scene.first, scene.second]):
            cells = rng.permutation(CELLS * CELLS // 2)[: group.count]
            places.append(numpy.stack([cells % CELLS, cells // CELLS + half * CELLS // 2], axis=1))
        (start, stop), (other_start, other_stop) = (
            (cells[:, 0].min(), cells[:, 0].max()) for cells in places
        )
        # What is above something is not beside it as well.
        if start <= other_stop and other_start <= stop:
            return places if scene.above else [cells[:, ::-1] for cells in places]


def draw(scene: Scene, rng: Generator) -> ndarray:
    """Draw a scene. *Shape:* (SIZE, SIZE, 3)"""
    side = SIZE // CELLS * POINTS
    # The middle of a cell is 0.
    points = (numpy.arange(side) + 0.5) * 2 / side - 1
    canvas = numpy.full((CELLS, side, CELLS, side, 3), WHITE, dtype="uint8")
    for group, cells in zip([scene.first, scene.second], place(scene, rng), strict=True):
        for column, row in cells:
            x, y = rng.uniform(-JITTER, JITTER, 2)
            inside = SHAPES[group.shape]((points - x) / RADIUS, (y - points[:, None]) / RADIUS)
            canvas[row, :, column][inside] = COLOURS[group.colour]
    return canvas.reshape(SIZE, POINTS, SIZE, POINTS, 3).mean(axis=(1, 3)).round().astype("uint8")


def main(output_path: Path, train: int = 12000, other: int = 512, seed: int = 0) -> None:
    """Write TRAIN pictures for training, OTHER for the dev set, and OTHER with what is held out for
    the test set, to a folder for each language in OUTPUT_PATH."""
    Doc.set_extension(TARGET, default=None, force=True)
    vocab = spacy.blank("xx").vocab
    rng = numpy.random.default_rng(seed)
    splits = {"train": (KNOWN, train), "dev": (KNOWN, other), "test": (HELD_OUT, other)}
    for split, (groups, number) in splits.items():
        made = {lang: DocBin(store_user_data=True) for lang in DESCRIBE}
        for group, scene in make_scenes(groups, number, rng):
            # spaCy leaves out documents without tokens.
            doc = Doc(vocab, words=["picture"])
            doc.user_data[PIXELS] = draw(scene, rng)
            doc.user_data["group"] = [*group]
            for lang, describe in DESCRIBE.items():
                doc._.set(TARGET, describe(scene))
                made[lang].add(doc)
        for lang, docs in made.items():
            (output_path / lang).mkdir(parents=True, exist_ok=True)
            docs.to_disk(output_path / lang / f"{split}.spacy")
        msg.good(f"{split}: {number:,} pictures with {len(groups)} combinations")


if __name__ == "__main__":
    typer.run(main)
