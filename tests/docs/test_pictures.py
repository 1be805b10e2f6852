from pathlib import Path
from xml.etree import ElementTree

import pytest
from spacy.util import import_file

pytest.importorskip("matplotlib")
DOCS = Path(__file__).parents[2] / "docs"
draw_pictures = import_file("draw_pictures", DOCS / "draw_pictures.py")


def test_pictures_are_small_valid_and_repeatable(tmp_path: Path):
    draw_pictures.main(tmp_path)
    drawn = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name for path in drawn} == {"four_steps.svg", "receptive_field.svg"}
    for content in drawn.values():
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
        assert len(content) < 150_000
    draw_pictures.main(tmp_path)
    assert drawn == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_every_picture_is_in_the_folder_of_images():
    for name in draw_pictures.PICTURES:
        assert (DOCS / "images" / f"{name}.svg").exists()


@pytest.mark.parametrize(("dilations", "words"), [([1, 1, 1, 1], 9), ([1, 2, 4, 8], 31)])
def test_the_stated_receptive_fields_are_drawn(dilations: list[int], words: int):
    assert len(draw_pictures.seen_by(15, dilations)[0]) == words
