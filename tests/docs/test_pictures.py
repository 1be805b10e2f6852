from pathlib import Path
from xml.etree import ElementTree

import pytest
from spacy.util import import_file

matplotlib = pytest.importorskip("matplotlib")
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


def test_the_folder_of_images_has_the_pictures_as_they_are_drawn(tmp_path: Path):
    draw_pictures.main(tmp_path)
    for path in tmp_path.iterdir():
        image = (DOCS / "images" / path.name).read_text(encoding="utf8")
        if f"Matplotlib v{matplotlib.__version__}," not in image:
            pytest.skip("drawn by another version of Matplotlib")
        assert path.read_text(encoding="utf8") == image


@pytest.mark.parametrize(("dilations", "words"), [([1, 1, 1, 1], 9), ([1, 2, 4, 8], 31)])
def test_the_stated_receptive_fields_are_drawn(dilations: list[int], words: int):
    assert len(draw_pictures.seen_by(15, dilations)[0]) == words
